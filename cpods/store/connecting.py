"""Opens the catalogue's file by the standard library's sqlite3, with the settings that all of ours share.

Knows no table and no query.
"""

import os
import sqlite3
from collections.abc import Iterable

#: Of a connection that may write whatever there is.
PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 30000", "temp_store = MEMORY", "mmap_size = 268435456")


def connected(path: str, pragmas: Iterable[str] = PRAGMAS) -> sqlite3.Connection:
    """A connection that begins no transaction by itself. A file that is gone is an error, not a new one. Raises sqlite3.Error."""
    name = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file://{name}?mode=rw", uri=True, isolation_level=None)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection
