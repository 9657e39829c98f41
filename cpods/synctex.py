"""SyncTeX files that fit wherever the project lies: the folder's name is replaced by a token in the store.

Knows bytes only. An editor's inverse search needs the user's own folder in the published file.
"""

import gzip
import zlib

#: Stands in stored SyncTeX files for the folder that the project lies in.
ROOT_TOKEN = b"@cpods-root@"
#: zlib's fastest: each pass packs the file anew, and that of a 580-page manual (19 MB) took 1.19 s at level 9, 0.16 s at
#: level 1 (for a file 1.28 times as large), where the whole of a pass's own work should be below 0.3 s.
_LEVEL = 1


def portable_synctex(data: bytes, root: str) -> bytes:
    """A SyncTeX file in which the folder ``root`` is replaced by a token, so that it fits wherever the project lies."""
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data
    return gzip.compress(plain.replace(root.encode(), ROOT_TOKEN), _LEVEL, mtime=0)


def local_synctex(data: bytes, root: str) -> bytes:
    """The inverse of :func:`portable_synctex` for a project in the folder ``root``."""
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data
    return gzip.compress(plain.replace(ROOT_TOKEN, root.encode()), _LEVEL, mtime=0)
