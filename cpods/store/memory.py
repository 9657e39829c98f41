"""In-memory twins of the store's parts, for simulation and for tests of the floors above.

Knows no file system; the contracts are those of cpods.ports.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from cpods.digest import ABSENT, DEFAULT_ALGORITHM, algorithm_of, of_bytes
from cpods.ids import FilePath
from cpods.model import Artefact, Result, Solution
from cpods.ports import Changes, Claim, Memory, Objects, Owner
from cpods.store.files import read_all

_T = TypeVar("_T")


class MemoryObjects:
    """Objects in a dict. ``disk`` stands for the files that :meth:`put_file` reads and :meth:`export` writes."""

    def __init__(self, disk: dict[str, bytes] | None = None, algorithm: str = DEFAULT_ALGORITHM) -> None:
        self.algorithm = algorithm
        self.disk = {} if disk is None else disk
        self.quarantined: dict[str, bytes] = {}
        self._data: dict[str, bytes] = {}
        self._pending: set[str] = set()

    def put_file(self, path: str) -> Artefact:
        """Copies a file of ``disk`` in. Raises FileNotFoundError."""
        if path not in self.disk:
            raise FileNotFoundError(path)
        return self.put_bytes(self.disk[path])

    def put_open(self, descriptor: int) -> Artefact:
        """Copies an open regular file in, from its current position to its end. Raises OSError."""
        return self.put_bytes(read_all(descriptor))

    def put_bytes(self, data: bytes) -> Artefact:
        """Stores a byte string."""
        artefact = Artefact(of_bytes(data, self.algorithm), len(data))
        if artefact.digest not in self._data:
            self._data[artefact.digest] = data
            self._pending.add(artefact.digest)
        return artefact

    def incoming(self, artefact: Artefact, executable: bool) -> "MemoryIncoming":
        """A place for an object that arrives in pieces. What is executable is not kept: ``disk`` has no modes."""
        algorithm_of(artefact.digest)

        def settle(data: bytes) -> None:
            if artefact.digest not in self._data:
                self._data[artefact.digest] = data
                self._pending.add(artefact.digest)

        return MemoryIncoming(settle)

    def has(self, digest: str) -> bool:
        """Whether the object is here."""
        return digest in self._data

    def read(self, digest: str) -> bytes:
        """The bytes, verified. Raises KeyError if absent or damaged; a damaged object is quarantined first."""
        data = self._data[digest]
        if of_bytes(data, digest.partition(":")[0]) != digest:
            self.quarantined[digest] = self._data.pop(digest)
            raise KeyError(digest)
        return data

    def export(self, digest: str, path: str) -> None:
        """Writes a verified copy to ``disk``. Raises KeyError as :meth:`read` does."""
        self.disk[path] = self.read(digest)

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Forgets those of the objects that were put and are not committed yet; returns their digests."""
        dropped = self._pending.intersection(digests)
        for digest in dropped:
            self.evict(digest)
        return dropped

    def commit(self) -> None:
        """Nothing to make durable."""
        self._pending.clear()

    def damage(self, digest: str, data: bytes) -> None:
        """For tests: replaces an object's bytes."""
        self._data[digest] = data

    def evict(self, digest: str) -> None:
        """For tests: the object is gone."""
        self._data.pop(digest, None)
        self._pending.discard(digest)


class MemoryIncoming:
    """Bytes that arrive in pieces. ``settle`` is called once, by :meth:`accept`, with all of them."""

    def __init__(self, settle: Callable[[bytes], None]) -> None:
        self._settle = settle
        self._data = bytearray()
        self._open = True

    def write_at(self, data: bytes, offset: int) -> None:
        """Writes all of ``data`` at ``offset``."""
        self._data.extend(bytes(max(0, offset + len(data) - len(self._data))))
        self._data[offset : offset + len(data)] = data

    def read_at(self, size: int, offset: int) -> bytes:
        """What lies there now."""
        return bytes(self._data[offset : offset + size])

    def set_executable(self) -> None:
        """Nothing: no modes here."""

    def accept(self) -> None:
        """From now on it is a put object."""
        self._open = False
        self._settle(bytes(self._data))

    def discard(self) -> None:
        """Forgets it."""
        if self._open:
            self._data.clear()


class MemoryResults:
    """Manifests in dicts."""

    def __init__(self) -> None:
        self._results: dict[str, list[Result]] = {}
        self._solutions: dict[str, list[Solution]] = {}
        self._recorded: dict[str, Memory] = {}

    def results(self, static_key: str) -> Sequence[Result]:
        """All stored results of a static key, newest last."""
        return list(self._results.get(static_key, ()))

    def add_result(self, result: Result) -> None:
        """Appends, unless an equal one (same reads, outputs, exit, date) is there."""
        known = self._results.setdefault(result.static_key, [])
        wanted = (result.reads, result.outputs, result.exit_code, result.date)
        if all((other.reads, other.outputs, other.exit_code, other.date) != wanted for other in known):
            known.append(result)

    def solutions(self, key: str) -> Sequence[Solution]:
        """All stored solutions of a knot's static key, newest last."""
        return list(self._solutions.get(key, ()))

    def add_solution(self, solution: Solution) -> None:
        """Appends, unless an equal one is there."""
        known = self._solutions.setdefault(solution.key, [])
        if solution not in known:
            known.append(solution)

    def record(self, project: str, changes: Changes) -> None:
        """Folds a project's ``written``, ``results`` and ``knots`` changes in."""
        memory = self._recorded.setdefault(project, Memory())
        _fold(memory.written, changes.written)
        _fold(memory.results, changes.results)
        _fold(memory.knots, changes.knots)

    def recorded(self, project: str) -> Memory:
        """All that :meth:`record` was told of a project."""
        return _copy(self._recorded.get(project, Memory()))

    def commit(self) -> None:
        """Nothing to write."""


class MemoryOwnership:
    """Owners and holders in dicts."""

    def __init__(self) -> None:
        self._owners: dict[FilePath, Owner] = {}
        self._sizes: dict[str, int] = {}
        self._pods: dict[str, set[str]] = {}

    async def owner(self, path: FilePath) -> Owner | None:
        """The present owner."""
        return self._owners.get(path)

    async def claim(self, path: FilePath, epoch: int, pod: str, digest: str) -> Owner:
        """Takes ``path`` if its epoch is ``epoch``; returns the owner now (at epoch 0 if nobody owns it)."""
        present = self._owners.get(path) or Owner(path, 0, "", "")
        if present.epoch == epoch:
            present = self._owners[path] = Owner(path, epoch + 1, pod, digest)
        return present

    async def claim_many(self, claims: Sequence[Claim]) -> list[Owner]:
        """As :meth:`claim` for many, in order; returns the owners after all of them."""
        for claim in claims:
            await self.claim(*claim)
        return [self._owners.get(path) or Owner(path, 0, "", "") for path, *_ in claims]

    async def enter(self, claims: Sequence[Claim], held: Mapping[str, Mapping[str, int]]) -> list[Owner]:
        """As :meth:`claim_many` and :meth:`hold` for many at once."""
        for pod, artefacts in held.items():
            await self.hold(pod, artefacts)
        return await self.claim_many(claims)

    async def owners(self) -> Mapping[FilePath, Owner]:
        """All owners by path."""
        return dict(self._owners)

    async def holders(self, digests: Sequence[str]) -> Mapping[str, int]:
        """Bytes of the given artefacts that each pod holds; each digest counts once."""
        held: Counter[str] = Counter()
        for digest in set(digests):
            for pod in self._pods.get(digest, ()):
                held[pod] += self._sizes[digest]
        return dict(held)

    async def hold(self, pod: str, artefacts: Mapping[str, int]) -> None:
        """``pod`` now holds these artefacts (digest -> size). Idempotent."""
        for digest, size in artefacts.items():
            self._sizes[digest] = size
            self._pods.setdefault(digest, set()).add(pod)

    async def drop(self, pod: str, digests: Iterable[str]) -> None:
        """``pod`` holds these no longer. Idempotent."""
        for digest in digests:
            self._pods.get(digest, set()).discard(pod)

    async def held(self) -> Mapping[str, Mapping[str, int]]:
        """pod -> the artefacts that it holds (digest -> size): what a mirror starts from."""
        found: dict[str, dict[str, int]] = {}
        for digest, pods in self._pods.items():
            for pod in pods:
                found.setdefault(pod, {})[digest] = self._sizes[digest]
        return found

    async def own(self, pod: str, owned: Mapping[FilePath, str], elsewhere: Mapping[FilePath, str]) -> None:
        """Takes paths (path -> digest) at their next epoch, for ``pod`` or for the pod that ``elsewhere`` names."""
        for path, digest in owned.items():
            epoch = self._owners[path].epoch if path in self._owners else 0
            await self.claim(path, epoch, elsewhere.get(path, pod), digest)


class MemoryCatalogue:
    """A catalogue in a Memory. ``ownership`` is its Ownership port, as with the real one."""

    def __init__(self, pod: str = "here") -> None:
        self.pod = pod
        self.ownership = MemoryOwnership()
        self._memory = Memory()

    async def load(self) -> Memory:
        """Everything at once: a copy."""
        return _copy(self._memory)

    async def save(self, changes: Changes) -> None:
        """All or nothing."""
        for name in Memory.__struct_fields__:
            _fold(getattr(self._memory, name), getattr(changes, name))
        await self.ownership.hold(self.pod, changes.artefacts)
        await self.ownership.own(self.pod, changes.owned, changes.owners)

    async def close(self) -> None:
        """Nothing to release."""


class MemoryWorkspace:
    """A project folder in a dict (path -> bytes), over any Objects."""

    def __init__(self, objects: Objects, files: dict[FilePath, bytes] | None = None, root: str = "/project") -> None:
        self.root = root
        self.objects = objects
        self.files = {} if files is None else files

    def digest(self, path: FilePath) -> str:
        """Digest of the file's bytes, ABSENT if there is none."""
        data = self.files.get(path)
        return ABSENT if data is None else of_bytes(data, self.objects.algorithm)

    def read(self, path: FilePath) -> bytes | None:
        """The bytes, None if absent."""
        return self.files.get(path)

    def listing(self) -> Sequence[FilePath]:
        """All files below the root, sorted."""
        return sorted(path for path in self.files if not path.startswith("/"))

    def install(self, path: FilePath, digest: str) -> None:
        """Puts a stored artefact there. Raises KeyError."""
        if self.digest(path) != digest:
            self.files[path] = self.objects.read(digest)

    def remove(self, path: FilePath) -> None:
        """Deletes a file; absent is no error."""
        self.files.pop(path, None)

    def view(self) -> "MemoryView":
        """The folder as it is now, before a run, and as it will be after it."""
        return MemoryView(self)


class MemoryView:
    """The View of a MemoryWorkspace around one run."""

    def __init__(self, workspace: MemoryWorkspace) -> None:
        self.root = workspace.root
        self._files = workspace.files
        self._before = dict(workspace.files)

    def read(self, path: FilePath) -> bytes | None:
        """Bytes now, None if absent."""
        return self._files.get(path)

    def exists(self, path: FilePath) -> bool:
        """Whether the file is there now."""
        return path in self._files

    def before(self, path: FilePath) -> bool:
        """Whether the file was there before the run."""
        return path in self._before

    def changed(self) -> Sequence[FilePath]:
        """Files that are new or were written (as another bytes object) since before the run, sorted."""
        return sorted(path for path, data in self._files.items() if self._before.get(path) is not data)


def _fold(into: dict[str, _T], changes: Mapping[str, _T | None]) -> None:
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value


def _copy(memory: Memory) -> Memory:
    return Memory(**{name: dict(getattr(memory, name)) for name in Memory.__struct_fields__})
