"""Brings many deleted files back from a store at once, with as little done for each as can be.

Knows no step: the caller says which bytes are to stand where. Whatever is odd is an Unmendable, and no file was made: who has
more time then finds out what is wrong. Standard library and xxhash only; called under the project's lock.
"""

from __future__ import annotations

import errno
import os
import stat
from _json import encode_basestring_ascii as quoted

from xxhash import xxh3_128_digest

from cpods.store import packindex
from cpods.store.columns import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized

    from cpods.ids import FilePath

    #: A file to be made: project path, XXH3-128 of its bytes, how many they are.
    Wanted = tuple[FilePath, bytes, int]
    #: The same to be made: project path, XXH3-128, mode; its object: file, first byte in it, size.
    Item = tuple[str, bytes, int, str, int, int]
    Read = Callable[[str, int, int], bytes]

#: Larger objects are left to who can share their blocks, or read them piece by piece.
OBJECT_BYTES_MAX = 8 << 20
#: Names in a store, which layout.py and packs.py take time to say.
PACKS, PACK_ENDING, OBJECTS = "packs", ".pack", "objects/xxh3"
#: The journal's entry stands under this name, in the place of a step's.
ENTRY = "from the store"

#: A pack is read as a whole, unless it is larger than this, or than what the reads of its members alone would cost:
#: so many times their bytes, or so many bytes a member.
_WHOLE_BYTES_MAX = 64 << 20
_TIMES_MAX, _READ_BYTES = 4, 4 << 10
_MODE, _EXECUTABLE_MODE = 0o666, 0o777  # less the umask, as a tool would have given it
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Unmendable(Exception):
    """Files cannot be brought back so; none was made."""


def bring_back(state: str, root: str, store: str, wanted: Sequence[Wanted], over: Sized = ()) -> bool:
    """Makes all these files, which must not be there. Raises Unmendable.

    Each is made in its place; should this process be killed, the journal in the folder ``state`` has the next call remove
    them. ``over``: as soon as anything is in it no further file is made; if some were left to make, the answer is False.
    """
    try:
        _make_folders(root, wanted)
        sources = _sources(store, wanted)
        journal = _Journal(state, wanted)
    except (OSError, ValueError) as error:
        raise Unmendable(str(error)) from error
    work = _Work(root, over)
    try:
        for read, items in sources:
            with read:
                work.make(items, read)
    except OSError as error:
        work.error = error
    try:
        if work.error is None or work.undo():
            journal.clear()  # else the next call removes what is left
    except OSError as error:
        work.error = work.error or error
    finally:
        journal.close()
        work.close()
    if work.error is not None:
        raise Unmendable(str(work.error)) from work.error
    return len(work.made) == len(wanted)


class _Journal:
    """One entry that names all files, in the words of journal.py. Raises OSError, ValueError if there is any other."""

    def __init__(self, state: str, wanted: Sequence[Wanted]) -> None:
        self._descriptor = os.open(os.path.join(state, "journal.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._write(wanted)
        except BaseException:
            self.close()
            raise

    def _write(self, wanted: Sequence[Wanted]) -> None:
        if os.fstat(self._descriptor).st_size:
            raise ValueError("an interrupted build is to be put right")
        files = ",".join([f'{quoted(path)}:"absent"' for path, _, _ in wanted])
        line = f'{{"begin":{quoted(ENTRY)},"outputs":{{{files}}},"pid":0,"start":0}}\n'.encode()
        if os.write(self._descriptor, line) != len(line):
            self.clear()
            raise OSError(errno.ENOSPC, "no space left for the journal")

    def clear(self) -> None:
        """Forgets it."""
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Releases the file."""
        os.close(self._descriptor)


class _Work:
    """Files being made. ``made``: so far; ``error``: the first; then no more are made.

    By one thread: in one folder two wait for each other, and search ext4's inode tables twice (10,000 files: 2.7 s, not 0.5 to 1).
    """

    def __init__(self, root: str, over: Sized) -> None:
        self.error: Exception | None = None
        self._folder = root
        self._root = -1
        self._over = over
        self.made: list[FilePath] = []

    def make(self, items: Sequence[Item], read: Read) -> None:
        """Makes these, or as many as can be until something is wrong."""
        made, over, write = self.made.append, self._over, os.write
        try:
            if self._root < 0:
                self._root = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            root = self._root
            for path, digest, mode, source, start, size in items:
                if over or self.error is not None:
                    return
                data = read(source, start, size)
                if xxh3_128_digest(data) != digest:
                    raise ValueError(f"{source}: damaged")
                descriptor = os.open(path, _NEW, mode, dir_fd=root)
                made(path)
                written = write(descriptor, data)
                os.close(descriptor)
                if written != size:
                    raise OSError(errno.ENOSPC, "no space left", path)
        except Exception as error:
            self.error = error

    def undo(self) -> bool:
        """Removes what was made; False if something is left."""
        left = False
        for path in self.made:
            try:
                os.unlink(path, dir_fd=self._root)
            except FileNotFoundError:
                pass
            except OSError:
                left = True
        return not left

    def close(self) -> None:
        """Releases the folder."""
        if self._root >= 0:
            os.close(self._root)


class _Pack:
    """Reads objects of one pack."""

    def __init__(self, path: str, sizes: Sequence[int]) -> None:
        self._path = path
        self._worth_bytes = max(sum(sizes) * _TIMES_MAX, len(sizes) * _READ_BYTES)
        self._whole: bytes | None = None

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(self._descriptor).st_size
        if size <= min(_WHOLE_BYTES_MAX, self._worth_bytes):
            self._whole = os.pread(self._descriptor, size, 0)

    def __call__(self, path: str, start: int, size: int) -> bytes:
        if self._whole is not None:
            return self._whole[start : start + size]
        return os.pread(self._descriptor, size, start)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._whole = None
        _mark_used(self._path)


class _Files:
    """Reads objects that are files of their own."""

    def __enter__(self) -> None:
        pass

    def __call__(self, path: str, start: int, size: int) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, size + 1)
        finally:
            os.close(descriptor)
        _mark_used(path)
        return data

    def __exit__(self, *_: object) -> None:
        pass


def _mark_used(path: str) -> None:
    """Eviction goes by it."""
    try:  # noqa: SIM105  contextlib takes time to load
        os.utime(path)
    except OSError:  # a store that may only be read is evicted from by its owner
        pass


def _sources(store: str, wanted: Sequence[Wanted]) -> list[tuple[_Pack | _Files, list[Item]]]:
    """What is to be made of which pack, then of objects that are files. Raises ValueError for what is not here, OSError."""
    missing: dict[bytes, list[Wanted]] = {}
    for one in wanted:
        missing.setdefault(one[1].hex().encode(), []).append(one)
    sources: list[tuple[_Pack | _Files, list[Item]]] = []
    folder = os.path.join(store, PACKS)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if not missing:
            break
        if name.endswith(PACK_ENDING):
            path = os.path.join(folder, name)
            items = _members(path, missing)
            if items:
                items.sort(key=_start)
                sources.append((_Pack(path, [item[-1] for item in items]), items))
    if missing:
        sources.append((_Files(), [_loose(store, one) for ones in missing.values() for one in ones]))
    return sources


def _members(path: str, missing: dict[bytes, list[Wanted]]) -> list[Item]:
    """What a pack has of it, which is missing no longer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        known = packindex.entries(packindex.index_bytes(descriptor) or b"")
    finally:
        os.close(descriptor)
    items: list[Item] = []
    for digest in missing.keys() & known.keys():
        start, size, executable = packindex.place(known[digest])
        mode = _EXECUTABLE_MODE if executable else _MODE
        items += [(one[0], one[1], mode, path, start, size) for one in missing.pop(digest)]
    return items


def _loose(store: str, one: Wanted) -> Item:
    digest = one[1].hex()
    path = f"{store}/{OBJECTS}/{digest[:2]}/{digest[2:]}"
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size > OBJECT_BYTES_MAX:
        raise ValueError(f"{path}: not to be read in one piece")
    return one[0], one[1], _EXECUTABLE_MODE if status.st_mode & 0o111 else _MODE, path, 0, status.st_size


def _start(item: Item) -> int:
    return item[-2]


def _make_folders(root: str, wanted: Sequence[Wanted]) -> None:
    """Makes the folders that files go into. Raises ValueError for one that is not the project's own, or a link, and OSError."""
    known = {""}
    for path, _, _ in wanted:
        folder = path.rpartition("/")[0]
        if folder not in known or path[0] == "/":
            _make_folder(root, path, folder, known)


def _make_folder(root: str, path: FilePath, folder: str, known: set[str]) -> None:
    if path[0] == "/" or ".." in folder.split("/"):
        raise ValueError(f"{path}: not in the project")
    above, _, _ = folder.rpartition("/")
    if above not in known:
        _make_folder(root, path, above, known)
    try:
        if not stat.S_ISDIR(os.lstat(f"{root}/{folder}").st_mode):
            raise ValueError(f"{folder}: not a folder")
    except FileNotFoundError:
        os.mkdir(f"{root}/{folder}")
    known.add(folder)
