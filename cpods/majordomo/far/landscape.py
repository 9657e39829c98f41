"""What a step on another pod sees of the project: its sources as one listing, and the products that count for it.

Knows no pod; digests are the folder's, and what a step may see is as it would be here.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from cpods.digest import ABSENT
from cpods.globs import expand
from cpods.ids import FilePath, is_fact, is_outside
from cpods.majordomo.planning import Planned
from cpods.majordomo.scene import Scene
from cpods.model import Artefact
from cpods.net.messages import Input, Listing
from cpods.orders import Order
from cpods.ports import Memory, Objects, Workspace


class Ground(Workspace, Protocol):
    """What the landscape needs of the project folder besides."""

    def size(self, path: FilePath) -> int | None:
        """Bytes of the file, None if absent."""

    def refresh(self, path: FilePath) -> str:
        """The digest, looking at the file again."""

    def elsewhere(self, path: FilePath) -> Artefact | None:
        """The product at a path whose bytes are not here, be it that nobody holds it now."""


class Tree(msgspec.Struct, frozen=True):
    """The sources: the artefact that holds their listing, and its rows by path."""

    artefact: Artefact
    files: Mapping[FilePath, Input]


class Shown(msgspec.Struct, frozen=True):
    """What one step is shown below its overlay: the sources, and the products (by path) on top."""

    tree: Tree
    products: Mapping[FilePath, Input]

    def get(self, path: FilePath) -> Input | None:
        """What stands at a path."""
        return self.products.get(path) or self.tree.files.get(path)


class Landscape:
    """The project of one build as other pods are shown it."""

    def __init__(
        self, folder: Ground, objects: Objects, memory: Memory, planned: Planned, scene: Scene, folders: Callable[[], Iterable[str]]
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._memory = memory
        self._planned = planned
        self._scene = scene
        self._folders = folders
        self._tree: Tree | None = None
        self._sought: dict[str, set[FilePath]] = {}

    def shown(self, order: Order) -> Shown:
        """What a step is shown as things stand now. Raises OSError."""
        return Shown(self.tree(), {row.path: row for row in self.products(order)})

    def seek(self, order: Order, shown: Shown, paths: Iterable[FilePath]) -> bool:
        """A run looked for these: whether some of them stand in the project and were not shown. The next run sees those too."""
        if order.step.open_reads or order.knot:  # they are shown everything
            return False
        known = self._sought.setdefault(order.step.name, set())
        hidden = {*order.overlay, *order.hidden, *order.step.outputs, *known}
        more = {
            path
            for path in paths
            if path not in hidden and not is_fact(path) and not is_outside(path) and shown.get(path) is None
            if self._scene.is_product(path) and self._folder.digest(path) != ABSENT
        }
        known |= more
        return bool(more)

    def tree(self) -> Tree:
        """All sources, each in the own store now, so that pods can pull it. Looked at once, until :meth:`moved`. Raises OSError.

        A source that may not be read is left out: most steps have no use for it.
        """
        if self._tree is None:
            rows = {}
            for path in self._folder.listing():
                if not self._scene.is_product(path):
                    try:
                        row = self._row(path)
                    except PermissionError:
                        continue
                    if row is not None:
                        rows[path] = row
            listing = Listing(tuple(rows.values()), tuple(sorted(self._folders())))
            data = msgspec.msgpack.encode(listing)
            self._tree = Tree(self._objects.put_bytes(data), rows)
            self._objects.commit()
        return self._tree

    def moved(self, shown: Shown, paths: Iterable[FilePath]) -> list[FilePath]:
        """Those of the paths at which something else stands than what a step was shown; then the sources are looked at anew for
        the next step.
        """
        changed = []
        for path in dict.fromkeys(paths):
            if is_fact(path) or is_outside(path):
                continue
            row = shown.get(path)
            if row is None and self._scene.is_product(path):  # what others make comes and goes by the scheduler's will
                continue
            far = self._folder.elsewhere(path)
            now = self._folder.refresh(path) if far is None else far.digest
            if now != (ABSENT if row is None else row.digest):
                changed.append(path)
        if changed:
            self._tree = None
        return changed

    def forget(self) -> None:
        """The sources are looked at, and put into the own store, anew for the next step."""
        self._tree = None

    def products(self, order: Order) -> list[Input]:
        """The products that a step sees: for an engine all that stand and are not hidden, else those that it names or read."""
        step = order.step
        if step.open_reads or order.knot:
            names: Iterable[FilePath] = (*self._memory.written, *self._planned.leftovers)
        else:
            remembered = self._planned.remembered.get(step.name)
            names = {*step.inputs, *step.optional, *(remembered.reads if remembered else ()), *self._sought.get(step.name, ())}
            if step.globs:
                listing = self._folder.listing()
                names = names | {path for pattern in step.globs for path in expand(pattern, listing)}
        tree = self.tree().files
        rows = []
        for path in sorted(set(names) - tree.keys() - order.overlay.keys() - order.hidden):
            if is_fact(path) or is_outside(path) or (not order.knot and path in step.outputs and path not in step.optional):
                continue
            row = self._row(path)
            if row is not None:
                rows.append(row)
        return rows

    def wanted(self, order: Order) -> tuple[FilePath, ...] | None:
        """The paths that must be there before a step starts, None for all: an engine may look for anything, and so may any
        step that never ran.
        """
        step = order.step
        remembered = self._planned.remembered.get(step.name)
        if step.open_reads or remembered is None:
            return None
        sought = self._sought.get(step.name, ())
        reads = (path for path in (*remembered.reads, *sought) if not is_fact(path) and not is_outside(path))
        return tuple(sorted({*step.inputs, *step.optional, *reads, *order.overlay}))

    def _row(self, path: FilePath) -> Input | None:
        """A product as it stands, near or far; one that lies here is put into the own store.

        One that nobody holds any more is shown all the same: whoever needs it will miss it, and then it is made again.
        """
        far = self._folder.elsewhere(path)
        return self._stored(path) if far is None else Input(path, far.digest, far.size)

    def _stored(self, path: FilePath) -> Input | None:
        """A file of the folder as it is now; its bytes are in the own store then, durable with the next commit."""
        absolute = os.path.join(self._folder.root, path)
        digest = self._folder.digest(path)
        if digest == ABSENT:
            return None
        has_here = getattr(self._objects, "has_here", self._objects.has)
        if not has_here(digest):
            try:
                artefact = self._objects.put_file(absolute)
            except FileNotFoundError:
                return None
            if artefact.digest != digest:  # changed since it was looked at
                self._folder.refresh(path)
                return Input(path, artefact.digest, artefact.size, os.access(absolute, os.X_OK))
        return Input(path, digest, self._folder.size(path) or 0, os.access(absolute, os.X_OK))
