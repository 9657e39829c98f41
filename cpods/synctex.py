"""SyncTeX files that fit wherever the project lies: the folder's name is replaced by a token in the store.

Knows bytes only. An editor's inverse search needs the user's own folder in the published file.
"""

import gzip

#: Stands in stored SyncTeX files for the folder that the project lies in.
ROOT_TOKEN = b"@cpods-root@"


def portable_synctex(data: bytes, root: str) -> bytes:
    """A SyncTeX file in which the folder ``root`` is replaced by a token, so that it fits wherever the project lies."""
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError):
        return data
    return gzip.compress(plain.replace(root.encode(), ROOT_TOKEN), mtime=0)


def local_synctex(data: bytes, root: str) -> bytes:
    """The inverse of :func:`portable_synctex` for a project in the folder ``root``."""
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError):
        return data
    return gzip.compress(plain.replace(ROOT_TOKEN, root.encode()), mtime=0)
