"""The contracts between the pure middle and the world: one Protocol per port.

Every port has a real part and, where a simulation needs one, an in-memory twin; both pass the suite in tests/contracts/.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from cpods.declaration import Declaration
from cpods.ids import FilePath
from cpods.model import Artefact, Exit, Observation, Remembered, Result, Solution, Step


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """What stat said of a file, and its digest then. ``checked_ns``: wall clock when it was read.

    A state whose ``ctime_ns`` lies within the clock's granularity of ``checked_ns`` proves nothing: hash again.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    digest: str
    checked_ns: int


class Written(msgspec.Struct, frozen=True, array_like=True):
    """A generated file: the step that wrote it and what it wrote."""

    step: str
    digest: str


class KnotMemory(msgspec.Struct, frozen=True):
    """A knot's state between builds. ``good`` is its last FIXED solution; ``unstable`` what one-pass calls reached."""

    good: Solution | None = None
    unstable: Solution | None = None


class Fingerprint(msgspec.Struct, frozen=True):
    """A tool's fingerprint with the stat stamps (path, size, mtime_ns, inode) that it was computed under."""

    digest: str
    stamps: tuple[tuple[str, int, int, int], ...]


#: A try to own a path: (path, epoch that the claimant saw, pod that is to own it, digest that it then has).
Claim = tuple[FilePath, int, str, str]


class Owner(msgspec.Struct, frozen=True):
    """The one pod whose version of a path counts."""

    path: FilePath
    epoch: int
    pod: str
    digest: str

    def won_by(self, claim: Claim) -> bool:
        """Whether this answer says that ``claim`` succeeded: just now, or already when it was made the first time."""
        path, epoch, pod, digest = claim
        return (self.path, self.epoch, self.pod, self.digest) == (path, epoch + 1, pod, digest)


class Memory(msgspec.Struct):
    """Everything that a build knows from earlier ones, loaded at once. Keys: paths, step names, knot names, tool names."""

    files: dict[FilePath, FileState] = {}
    written: dict[FilePath, Written] = {}
    results: dict[str, Result] = {}
    knots: dict[str, KnotMemory] = {}
    fingerprints: dict[str, Fingerprint] = {}
    facts: dict[str, str] = {}


class Changes(msgspec.Struct):
    """What one transaction writes: upserts, and None for a deletion. ``artefacts`` become held by this pod.

    ``owned``: path -> digest, taken at the path's next epoch by this pod, or by the pod that ``owners`` (path -> pod) names.
    """

    files: dict[FilePath, FileState | None] = {}
    written: dict[FilePath, Written | None] = {}
    results: dict[str, Result | None] = {}
    knots: dict[str, KnotMemory | None] = {}
    fingerprints: dict[str, Fingerprint | None] = {}
    facts: dict[str, str | None] = {}
    artefacts: dict[str, int] = {}
    owned: dict[FilePath, str] = {}
    owners: dict[FilePath, str] = {}


class Clock(Protocol):
    """Time, so that tests and simulation can hold it still."""

    def now_ns(self) -> int:
        """Wall clock in nanoseconds since the epoch, the clock that file times come from."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def today(self) -> str:
        """The local calendar date, YYYY-MM-DD."""


class Incoming(Protocol):
    """An object that arrives in pieces, in any order. It ends with one of :meth:`accept` and :meth:`discard`."""

    def write_at(self, data: bytes, offset: int) -> None:
        """Writes all of ``data`` at ``offset`` (bytes). Raises OSError; what was written before stays."""

    def read_at(self, size: int, offset: int) -> bytes:
        """What lies there now: up to ``size`` bytes, fewer at the end, zeros where nothing was written yet. Raises OSError."""

    def set_executable(self) -> None:
        """It was found out meanwhile that the file is executable where it comes from. Raises OSError."""

    def accept(self) -> None:
        """Its digest matched: from now on it is a put object, durable and visible to others after the store's commit."""

    def discard(self) -> None:
        """Deletes it. Idempotent, and nothing after :meth:`accept`."""


class Objects(Protocol):
    """Content-addressed object files. Idempotent: putting the same bytes twice is no error and no second copy.

    A put object can be read at once by this process; it is durable and visible to others after :meth:`commit`.
    """

    algorithm: str

    def put_file(self, path: str) -> Artefact:
        """Copies a file (absolute path) in. Raises OSError."""

    def put_open(self, descriptor: int) -> Artefact:
        """Copies an open regular file in, from its current position to its end. Raises OSError."""

    def put_bytes(self, data: bytes) -> Artefact:
        """Stores a byte string."""

    def incoming(self, artefact: Artefact, executable: bool) -> Incoming:
        """A place for an object that arrives in pieces; who writes it checks its digest, then accepts. Raises OSError."""

    def has(self, digest: str) -> bool:
        """Whether the object is here (not whether it is intact)."""

    def read(self, digest: str) -> bytes:
        """The bytes, verified. Raises KeyError if absent or damaged; a damaged object is quarantined first."""

    def export(self, digest: str, path: str) -> None:
        """Writes a verified private copy to ``path`` (absolute): beside it, then by rename.

        Raises KeyError as :meth:`read` does, OSError if ``path`` cannot be written.
        """

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Forgets those of the objects that were put and are not committed yet; returns their digests."""

    def commit(self) -> None:
        """Makes all that was put durable and visible: one syncfs, then the renames. Raises OSError."""


class Results(Protocol):
    """The manifests: results by static key, solutions by knot key, path records by project. Kept in the store.

    Append-only; several processes may append to one key at once. Newest last. A torn or foreign line is skipped.
    """

    def results(self, static_key: str) -> Sequence[Result]:
        """All stored results of a static key."""

    def add_result(self, result: Result) -> None:
        """Appends, unless an equal one (same reads, outputs, exit, date) is there."""

    def solutions(self, key: str) -> Sequence[Solution]:
        """All stored solutions of a knot's static key."""

    def add_solution(self, solution: Solution) -> None:
        """Appends, unless an equal one is there."""

    def record(self, project: str, changes: Changes) -> None:
        """Appends a project's ``written``, ``results`` and ``knots`` changes, so that a lost catalogue can be rebuilt."""

    def recorded(self, project: str) -> Memory:
        """All that :meth:`record` was told of a project, folded into one memory."""

    def commit(self) -> None:
        """Writes what was added. Raises OSError."""


class Catalogue(Protocol):
    """The pod's memory in SQLite."""

    async def load(self) -> Memory:
        """Everything at once. Raises StoreDamaged (also for a schema newer than the program's)."""

    async def save(self, changes: Changes) -> None:
        """One transaction: all or nothing."""

    async def close(self) -> None:
        """Releases the database."""


class Ownership(Protocol):
    """Who owns which path: the compare-and-set of (path, epoch)."""

    async def owner(self, path: FilePath) -> Owner | None:
        """The present owner."""

    async def claim(self, path: FilePath, epoch: int, pod: str, digest: str) -> Owner:
        """Takes ``path`` if its epoch is ``epoch`` (0: nobody owns it) and returns the owner now, at epoch + 1.

        If the epoch has moved on, changes nothing and returns the present owner. A claim repeated because its answer did not
        come in time changes nothing if it had been applied, and its answer is the one that was missed: :meth:`Owner.won_by`
        recognises it. Should somebody have claimed the path after that, the answer names them: the path has moved on.
        """

    async def claim_many(self, claims: Sequence[Claim]) -> list[Owner]:
        """As :meth:`claim` for many, one after the other in one transaction; each is won or lost by itself.

        Returns the owners after all of them, in the order of the claims: ``owner.won_by(claim)`` says who has won.
        """

    async def enter(self, claims: Sequence[Claim], held: Mapping[str, Mapping[str, int]]) -> list[Owner]:
        """As :meth:`claim_many`, and in the same transaction as :meth:`hold` for many (pod -> digest -> size)."""

    async def holders(self, digests: Sequence[str]) -> Mapping[str, int]:
        """Bytes of the given artefacts that each pod holds."""

    async def hold(self, pod: str, artefacts: Mapping[str, int]) -> None:
        """``pod`` now holds these artefacts (digest -> size). Idempotent."""

    async def drop(self, pod: str, digests: Iterable[str]) -> None:
        """``pod`` holds these no longer. Idempotent."""


class Workspace(Protocol):
    """A folder that steps run in: the project itself, or a mirror of it. Paths are project paths."""

    root: str

    def digest(self, path: FilePath) -> str:
        """Digest of the file's bytes, ABSENT if there is no regular file. Stat first, hash only if the state is no proof."""

    def read(self, path: FilePath) -> bytes | None:
        """The bytes, None if absent."""

    def listing(self) -> Sequence[FilePath]:
        """All files below the root, sorted; without cpods' state folder, version control and sockets or devices."""

    def install(self, path: FilePath, digest: str) -> None:
        """Puts a stored artefact there by rename; nothing happens if it is there already. Raises KeyError, OSError."""

    def remove(self, path: FilePath) -> None:
        """Deletes a file; absent is no error."""


class View(Protocol):
    """A workspace right after a run, read-only, as a chef's ``observe`` sees it. Paths are project paths."""

    root: str

    def read(self, path: FilePath) -> bytes | None:
        """Bytes now, None if absent. Outside paths (absolute) are read too."""

    def exists(self, path: FilePath) -> bool:
        """Whether a regular file is there now."""

    def before(self, path: FilePath) -> bool:
        """Whether a regular file was there before the run."""

    def changed(self) -> Sequence[FilePath]:
        """Files of the workspace that are new or have another file state than before the run, sorted."""


class Toolbox(Protocol):
    """What a chef may ask about the machine. Reads only, starts no process; answers are cached by file state."""

    def which(self, program: str) -> str | None:
        """Absolute path of a program in the build's PATH, None if there is none."""

    def binary(self, program: str) -> str:
        """Content digest of the program's file, ABSENT if there is none."""

    def packages(self, trees: Sequence[str]) -> str:
        """Digest of the sorted (package, version) list of all packages that own files below these folders."""

    def content(self, path: str) -> str:
        """Content digest of a file (absolute path), ABSENT if there is none."""

    def names(self, tree: str) -> str:
        """Digest of the sorted file names below a folder, ABSENT if there is none."""

    def environment(self, name: str) -> str | None:
        """A variable of the build's environment."""


class Command(msgspec.Struct, frozen=True):
    """One process to run. ``cwd`` absolute; ``env`` complete; ``timeout`` in seconds; output is also written to ``log``."""

    argv: tuple[str, ...]
    cwd: str
    env: tuple[tuple[str, str], ...]
    timeout: float | None = None
    log: str = ""


class Withdrawn(Exception):
    """A program was not started after all, or whoever started it is gone: it may be begun again."""


class Executor(Protocol):
    """Runs processes, each in a process group of its own."""

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        """Runs to the end. ``started`` gets (process id, start time in clock ticks) once, before the program runs on.

        Cancelling the task ends the group (SIGTERM, then SIGKILL) before CancelledError is raised. Never raises for a
        program that cannot be started: code 127 and ``error``.
        """


class Watcher(Protocol):
    """Tells of changed files."""

    def changes(self) -> AsyncIterator[frozenset[FilePath]]:
        """Sets of paths that may have changed; an empty set means: everything may have (overflow)."""


class Chef(Protocol):
    """A plug-in for one kind of step. Pure over read-only views, versioned, no asyncio, starts no process."""

    name: str
    version: int

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """Steps for declaration number ``index`` (their ``position`` starts with it). Raises ProjectFileError."""

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """What a run of ``step`` read, missed, wrote and complained about. Called where the step ran."""

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Name of the filter through which ``step`` sees ``path``; '' where it may depend on every byte."""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """The part of ``data`` that readers with filter ``name`` can see. Deterministic."""

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Digest of the tools that ``step`` runs, the same on two machines with the same packages."""


class Message(msgspec.Struct, frozen=True):
    """What travels on a bus. ``sender``: the member who signed it, '' on a bus without signatures."""

    subject: str
    payload: bytes
    reply: str = ""
    sender: str = ""


class Bus(Protocol):
    """Small, frequent messages. At most once; order kept per sender and subject. Subjects as in NATS (``*``, ``>``)."""

    async def publish(self, subject: str, payload: bytes) -> None:
        """Sends to all present subscribers."""

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """Sends and waits for one answer. Raises Unavailable at once if nobody listens, TimeoutError after ``timeout`` s."""

    async def subscribe(self, subject: str, handler: Callable[[Message], Awaitable[bytes | None]]) -> Callable[[], Awaitable[None]]:
        """Calls ``handler`` for each message; bytes it returns answer a request. Returns the way to unsubscribe."""

    async def close(self) -> None:
        """Ends all subscriptions."""


class Transfer(Protocol):
    """Pulls artefacts from the pods that hold them. The receiver computes the digest.

    As with every put, what was pulled is durable after the store's ``commit``.
    """

    async def pull(self, artefact: Artefact, holders: Sequence[str]) -> None:
        """Brings the artefact into the own store, verified. Idempotent. Raises Unavailable if no holder delivers it."""

    async def pull_many(self, wanted: Mapping[Artefact, Sequence[str]]) -> Mapping[Artefact, str]:
        """As :meth:`pull` for many, each with its holders; small ones travel together. Returns those that failed, and why."""
