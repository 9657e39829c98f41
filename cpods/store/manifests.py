"""Manifests: what earlier runs gave, by static key, and path records by project. The real part of the Results port.

Knows no object's bytes and not whether a result still fits.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import xxhash

from cpods.model import Result, Solution
from cpods.ports import Changes, KnotMemory, Memory, Written
from cpods.store.batches import KEYS_MIN, Batches
from cpods.store.files import new_file, temporary_beside, write_all
from cpods.store.layout import manifest_path, open_root, project_path

#: A project's path records are rewritten when they are this many times as long as after the last rewriting.
COMPACT_FACTOR = 4
COMPACT_BYTES_MIN = 1 << 20
_HEAD_BYTES = 20  # kind, blank, 16 hex, blank, at least one byte

_RESULT, _SOLUTION, _RECORD, _BASE = b"r", b"s", b"p", b"b"


class Record(msgspec.Struct, omit_defaults=True):
    """One line of a project's path records: upserts, None for a deletion."""

    written: dict[str, Written | None] = {}
    results: dict[str, Result | None] = {}
    knots: dict[str, KnotMemory | None] = {}


class Line(NamedTuple):
    """A line whose checksum holds: its kind (one letter) and its JSON."""

    kind: bytes
    body: bytes


class _Manifest:
    """The parsed lines of one key, and the file they came from."""

    def __init__(self, inode: int = 0) -> None:
        self.size = 0
        self.inode = inode
        self.results: list[Result] = []
        self.solutions: list[Solution] = []


_encode = msgspec.json.Encoder().encode
_decode_result = msgspec.json.Decoder(Result).decode
_decode_solution = msgspec.json.Decoder(Solution).decode
_decode_record = msgspec.json.Decoder(Record).decode
_T = TypeVar("_T")


class ManifestStore:
    """Manifests below a store's root. Append-only, shared with other processes; what was added is seen here at once."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        open_root(self.root)
        self._known: dict[str, _Manifest] = {}
        self._added: dict[str, list[bytes]] = {}
        self._fresh: dict[str, tuple[list[Result], list[Solution]]] = {}
        self._records: dict[str, list[Record]] = {}
        self._batches = Batches(self.root)
        self._batched: dict[str, tuple[int, list[Result], list[Solution]]] = {}

    def results(self, static_key: str) -> Sequence[Result]:
        """All stored results of a static key, newest last."""
        found = self._load(static_key).results
        batched, fresh = self._in_batches(static_key)[0], self._fresh.get(static_key)
        return [*batched, *found, *(fresh[0] if fresh else ())] if batched or fresh else found

    def add_result(self, result: Result) -> None:
        """Appends, unless an equal one (same reads, outputs, exit, date) is there.

        What others added since the key was looked at last is not looked for: a line too many is no harm.
        """
        key = result.static_key
        wanted = _identity(result)
        if not any(_identity(known) == wanted for known in self._looked_at(key)):
            self._add(key, _line(_RESULT, _encode(result)))[0].append(result)

    def _looked_at(self, key: str) -> Sequence[Result]:
        if key not in self._known:
            return self.results(key)
        batched, fresh = self._batched.get(key), self._fresh.get(key)
        return [*(batched[1] if batched else ()), *self._known[key].results, *(fresh[0] if fresh else ())]

    def solutions(self, key: str) -> Sequence[Solution]:
        """All stored solutions of a knot's static key, newest last."""
        return [*self._in_batches(key)[1], *self._load(key).solutions, *self._fresh.get(key, ([], []))[1]]

    def add_solution(self, solution: Solution) -> None:
        """Appends, unless an equal one is there."""
        if solution not in self.solutions(solution.key):
            self._add(solution.key, _line(_SOLUTION, _encode(solution)))[1].append(solution)

    def record(self, project: str, changes: Changes) -> None:
        """Appends a project's ``written``, ``results`` and ``knots`` changes."""
        if changes.written or changes.results or changes.knots:
            record = Record(dict(changes.written), dict(changes.results), dict(changes.knots))
            self._records.setdefault(project, []).append(record)

    def recorded(self, project: str) -> Memory:
        """All that :meth:`record` was told of a project, folded into one memory."""
        memory = _fold(read_lines(project_path(self.root, project)))
        for record in self._records.get(project, ()):
            _apply(memory, record)
        return memory

    def commit(self) -> None:
        """Writes what was added: one write per file. Raises OSError; what is not written yet stays added."""
        if len(self._added) >= KEYS_MIN:
            self._batches.write(self._added)
            self._added.clear()
            self._fresh.clear()
        for key in list(self._added):
            size, inode = append(manifest_path(self.root, key), b"".join(self._added[key]))
            self._take_over(key, size, inode, len(b"".join(self._added.pop(key))))
        for project in list(self._records):
            lines = [_line(_RECORD, _encode(record)) for record in self._records[project]]
            self._append_records(project_path(self.root, project), b"".join(lines))
            del self._records[project]

    def _add(self, key: str, line: bytes) -> tuple[list[Result], list[Solution]]:
        self._added.setdefault(key, []).append(line)
        return self._fresh.setdefault(key, ([], []))

    def _take_over(self, key: str, size: int, inode: int, added: int) -> None:
        """Committed entries join the parsed ones, if nobody else wrote in between; else the file is read again."""
        manifest = self._known.get(key)
        results, solutions = self._fresh.pop(key)
        if manifest is not None and manifest.inode in (0, inode) and manifest.size + added == size:
            manifest.size, manifest.inode = size, inode
            manifest.results += results
            manifest.solutions += solutions
        else:
            self._known.pop(key, None)

    def _in_batches(self, key: str) -> tuple[list[Result], list[Solution]]:
        """Results and solutions of a key in batches; each line is parsed once."""
        lines = self._batches.lines(key)
        if not lines:
            return [], []
        count, results, solutions = self._batched.get(key, (0, [], []))
        if len(lines) > count:
            _sort_in(key, parse_lines(lines[count:]), results, solutions)
            self._batched[key] = (len(lines), results, solutions)
        return results, solutions

    def _load(self, key: str) -> _Manifest:
        """The parsed manifest; only what was appended since the last look is read."""
        path = manifest_path(self.root, key)
        manifest = self._known.get(key)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return self._known.setdefault(key, _Manifest()) if manifest is None or manifest.size == 0 else self._renew(key, 0)
        if manifest is None or status.st_size < manifest.size or manifest.inode != status.st_ino:
            manifest = self._renew(key, status.st_ino)
        if status.st_size > manifest.size:
            self._read_tail(key, path, manifest)
        return manifest

    def _renew(self, key: str, inode: int) -> _Manifest:
        manifest = self._known[key] = _Manifest(inode)
        return manifest

    def _read_tail(self, key: str, path: str, manifest: _Manifest) -> None:
        with open(path, "rb") as file:
            file.seek(manifest.size)
            data = file.read()
        complete = data.rfind(b"\n") + 1  # a line without its end is still being written, or torn: looked at again later
        manifest.size += complete
        _sort_in(key, parse(data[:complete]), manifest.results, manifest.solutions)

    def _append_records(self, path: str, data: bytes) -> None:
        before, base = _sizes(path)
        if before == 0:
            data = _line(_BASE, b"%d" % len(data)) + data
        elif before > max(COMPACT_BYTES_MIN, COMPACT_FACTOR * base):
            compact(path)
        append(path, data)


def parse(data: bytes) -> Iterator[Line]:
    """The lines whose checksum holds; torn and foreign ones are skipped."""
    return parse_lines(data.split(b"\n"))


def parse_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """As :func:`parse`, of lines without their ends."""
    for line in lines:
        if len(line) < _HEAD_BYTES or line[1:2] != b" " or line[18:19] != b" ":
            continue
        body = line[19:]
        if xxhash.xxh3_64_hexdigest(line[:1] + body).encode() == line[2:18]:
            yield Line(line[:1], body)


def _sort_in(key: str, lines: Iterable[Line], results: list[Result], solutions: list[Solution]) -> None:
    """Adds what belongs to a key."""
    for line in lines:
        if line.kind == _RESULT and (result := _decoded(_decode_result, line)) and result.static_key == key:
            results.append(result)
        elif line.kind == _SOLUTION and (solution := _decoded(_decode_solution, line)) and solution.key == key:
            solutions.append(solution)


def read_lines(path: str) -> Iterator[Line]:
    """The intact lines of a file, none if it is absent. Raises OSError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return iter(())
    return parse(data)


def usable(line: Line) -> bool:
    """Whether this program understands a line of a manifest or of path records."""
    decoders: Mapping[bytes, Callable[[bytes], object]] = {_RESULT: _decode_result, _SOLUTION: _decode_solution, _RECORD: _decode_record}
    return line.kind == _BASE or (line.kind in decoders and _decoded(decoders[line.kind], line) is not None)


def append(path: str, data: bytes) -> tuple[int, int]:
    """Appends whole lines under the file's lock, after a newline if the last writer was cut off. Returns (size, inode)."""
    descriptor = _open_locked(path)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            write_all(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        status = os.fstat(descriptor)
        return status.st_size, status.st_ino
    finally:
        os.close(descriptor)


def rewrite(path: str, make: Callable[[bytes], bytes]) -> None:
    """Replaces a file by what ``make`` makes of its content, under its lock; empty content deletes it. Raises OSError."""
    descriptor = _open_locked(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
        new = make(data)
        if not new:
            os.unlink(path)
        elif new != data:
            temporary = temporary_beside(path)
            with new_file(temporary, 0o644) as target:
                write_all(target, new)
                os.rename(temporary, path)
    finally:
        os.close(descriptor)


def compact(path: str) -> None:
    """Rewrites a project's path records as their folded content."""
    rewrite(path, _compacted)


def encode_line(line: Line) -> bytes:
    """A line as it stands in a file."""
    return _line(line.kind, line.body)


def _compacted(data: bytes) -> bytes:
    memory = _fold(parse(data))
    record = Record(dict(memory.written), dict(memory.results), dict(memory.knots))
    line = _line(_RECORD, _encode(record))
    return _line(_BASE, b"%d" % len(line)) + line


def _line(kind: bytes, body: bytes) -> bytes:
    return b"%s %s %s\n" % (kind, xxhash.xxh3_64_hexdigest(kind + body).encode(), body)


def _decoded(decode: Callable[[bytes], _T], line: Line) -> _T | None:
    try:
        return decode(line.body)
    except msgspec.MsgspecError:
        return None


def _identity(result: Result) -> tuple[object, ...]:
    return result.reads, result.outputs, result.exit_code, result.date


def _fold(lines: Iterator[Line]) -> Memory:
    memory = Memory()
    for line in lines:
        if line.kind == _RECORD and (record := _decoded(_decode_record, line)):
            _apply(memory, record)
    return memory


def _apply(memory: Memory, record: Record) -> None:
    _merge(memory.written, record.written)
    _merge(memory.results, record.results)
    _merge(memory.knots, record.knots)


def _merge(into: dict[str, _T], changes: Mapping[str, _T | None]) -> None:
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value


def _sizes(path: str) -> tuple[int, int]:
    """(bytes now, bytes after the last rewriting) of a project's path records."""
    try:
        with open(path, "rb") as file:
            first = next(parse(file.readline()), None)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0, 0
    return size, int(first.body) if first is not None and first.kind == _BASE else 0


def _open_locked(path: str) -> int:
    """A descriptor for appending, exclusively locked; makes the file and its folder. The lock ends with the descriptor."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # rewritten while we waited: the name is another file now
