"""SyncTeX files that fit wherever the project lies: the folder's name is replaced by a token in the store.

Knows bytes only. An editor's inverse search needs the user's own folder in the published file.
"""

import zlib

#: How their names end: ConTeXt does not pack them.
ENDINGS = (".synctex.gz", ".synctex")
#: Stands in stored SyncTeX files for the folder that the project lies in.
ROOT_TOKEN = b"@cpods-root@"
#: zlib's fastest: each pass packs the file anew, and that of a 580-page manual (19 MB) took 1.19 s at level 9, 0.16 s at
#: level 1 (for a file 1.28 times as large), where the whole of a pass's own work should be below 0.3 s.
_LEVEL = 1


def portable_synctex(data: bytes, root: str) -> bytes:
    """A SyncTeX file in which the folder ``root`` is replaced by a token, so that it fits wherever the project lies."""
    return _repacked(data, root.encode(), ROOT_TOKEN)


def local_synctex(data: bytes, root: str) -> bytes:
    """The inverse of :func:`portable_synctex` for a project in the folder ``root``."""
    return _repacked(data, ROOT_TOKEN, root.encode())


def _repacked(data: bytes, old: bytes, new: bytes) -> bytes:
    """A SyncTeX file, packed or not, with ``new`` for ``old``; any other data unchanged."""
    if data.startswith(b"SyncTeX"):
        return _renamed(data, old, new)
    import gzip

    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data
    return gzip.compress(_renamed(plain, old, new), _LEVEL, mtime=0)


def _renamed(plain: bytes, old: bytes, new: bytes) -> bytes:
    """``plain`` with ``new`` for ``old``, and with the byte counts of the lines ``!<count>`` right again.

    Each tells how far back the one before it stands, so that of two folders with names of different length each would give
    another file.
    """
    pieces = []
    done = 0
    found = plain.find(old)
    while found >= 0:
        mark = plain.find(b"\n!", found)
        end = plain.find(b"\n", mark + 2)
        if mark < 0 or end < 0 or not plain[mark + 2 : end].isdigit():
            break
        longer = plain.count(old, found, mark) * (len(new) - len(old))
        pieces += [plain[done:mark].replace(old, new), b"\n!%d" % (int(plain[mark + 2 : end]) + longer)]
        done = end
        found = plain.find(old, done)
    return b"".join([*pieces, plain[done:].replace(old, new)])
