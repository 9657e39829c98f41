"""What an order lets its step see: the project's listing with the step's inputs over it, as a workspace without a folder.

Knows no transport and no slot: what a file holds is read from the store.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

import msgspec

from cpods.digest import ABSENT, of_file
from cpods.errors import UsageError
from cpods.eyes import Eyes
from cpods.ids import FilePath, is_outside
from cpods.model import Step, Version
from cpods.net.messages import Input, Listing
from cpods.ports import Chef, Objects
from cpods.store.files import read_or_none, stat_regular


class Tree:
    """A decoded :class:`Listing`: files by path, and all folders, those above files included."""

    def __init__(self, listing: Listing) -> None:
        self.files = {file.path: file for file in listing.files}
        self.folders = frozenset({*listing.folders, *above(self.files)})
        check_paths((*self.files, *listing.folders))


def decode_tree(data: bytes) -> Tree:
    """A tree from the bytes of its artefact. Raises UsageError if they are no listing, or one that leaves the project."""
    try:
        return Tree(msgspec.msgpack.decode(data, type=Listing))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"the listing of the project cannot be read: {error}") from error


def check_paths(paths: Sequence[FilePath]) -> None:
    """Raises UsageError for a path that would be written outside of a slot."""
    for path in paths:
        if is_outside(path) or not path or "\0" in path or "/../" in f"/{path}/":
            raise UsageError(f"{path!r} lies outside of the project, so no pod can put it into its workspace")


def above(paths: Mapping[FilePath, object] | Sequence[FilePath]) -> set[FilePath]:
    """All folders above these paths."""
    found: set[FilePath] = set()
    for path in paths:
        while (path := os.path.dirname(path)) and path not in found:
            found.add(path)
    return found


class Visible:
    """The files of a tree with a step's inputs on top, without copying the tree."""

    def __init__(self, tree: Tree, inputs: Sequence[Input]) -> None:
        self.tree = tree
        self.top = {file.path: file for file in inputs}
        check_paths(tuple(self.top))

    def get(self, path: FilePath) -> Input | None:
        """What stands at a path."""
        found = self.top.get(path)
        return self.tree.files.get(path) if found is None else found

    def __iter__(self) -> Iterator[Input]:
        """Every file once."""
        yield from self.top.values()
        yield from (file for path, file in self.tree.files.items() if path not in self.top)


class GivenTree:
    """The Workspace of an order: digests as the MajorDomo sent them, bytes from the store.

    Files outside of the project are this machine's own. ``root`` is the slot that the step runs in; nothing is written there.
    """

    def __init__(self, root: str, visible: Visible, objects: Objects) -> None:
        self.root = root
        self._visible = visible
        self._objects = objects

    def digest(self, path: FilePath) -> str:
        """Digest of the file as it was sent, ABSENT if there is none; of an outside file, of its bytes here."""
        if is_outside(path):
            return self._digest_outside(os.path.join(self.root, path))
        found = self._visible.get(path)
        return ABSENT if found is None else found.digest

    def read(self, path: FilePath) -> bytes | None:
        """The bytes, None if absent or (so far) not in this pod's store."""
        if is_outside(path):
            return read_or_none(os.path.join(self.root, path))
        found = self._visible.get(path)
        if found is None or not self._objects.has(found.digest):
            return None
        with suppress(KeyError):
            return self._objects.read(found.digest)
        return None

    def listing(self) -> Sequence[FilePath]:
        """All files that are visible, sorted."""
        return sorted(file.path for file in self._visible)

    def install(self, path: FilePath, digest: str) -> None:
        """Never asked for: a far step publishes nothing. Raises NotImplementedError."""
        raise NotImplementedError("a pod puts nothing into a project that lies elsewhere")

    def remove(self, path: FilePath) -> None:
        """Never asked for, as :meth:`install`."""
        raise NotImplementedError("a pod removes nothing from a project that lies elsewhere")

    def _digest_outside(self, path: str) -> str:
        if stat_regular(path) is None:
            return ABSENT
        return of_file(path, self._objects.algorithm)[0]


class PodEyes(Eyes):
    """Eyes over one order's tree; what filters leave of a content is remembered for all orders of a pod.

    ``insignificant``: lines that do not count, by the file that another step makes.
    """

    def __init__(
        self,
        folder: GivenTree,
        objects: Objects,
        chefs: Mapping[str, Chef],
        insignificant: Mapping[FilePath, tuple[str, ...]],
        memory: Eyes | None,
    ) -> None:
        super().__init__(folder, objects, chefs, {path: _maker(path, patterns) for path, patterns in insignificant.items()})
        if memory is not None:
            self._memo = memory._memo
            self._plains = memory._plains

    def withheld(self, step: Step, overlay: Mapping[FilePath, Version | None], hidden: AbstractSet[FilePath]) -> frozenset[FilePath]:
        """Nothing: what is not likely to be looked for was not brought here either, unless it is small."""
        return frozenset()


def _maker(path: FilePath, patterns: tuple[str, ...]) -> Step:
    """Stands for the step, unknown here, that makes ``path``."""
    return Step(name=f"@maker of {path}", chef="shell", tool="", argv=(), position=(), outputs=(path,), insignificant=patterns)
