"""What a client and the resident MajorDomo say to each other over the Unix socket: one byte, a length, a marshalled value.

Knows no build. Imports nothing that takes time: a client has 20 ms for everything. Marshalled values are read only from processes of
the same user (the socket's mode is 0600) with the same Python: :data:`HELLO` is compared before anything is unmarshalled.
"""

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself is not loaded for it
    from typing import Any

SOCKET = "majordomo.sock"

#: Form of what is said here; a client of another form or Python builds by itself.
FORMAT = 1
HELLO = b"cpods" + bytes([FORMAT]) + sys.hexversion.to_bytes(4, "big")

#: From the client: a request (with its standard files), and an interrupt. From a watch: steps to begin again, and the files
#: that they read and that changed.
REQUEST, INTERRUPT, RESTART = b"R", b"I", b"C"
#: To the client: not here, do it yourself; here is the whole answer; it has begun; it has ended.
DECLINED, ANSWER, BEGUN, ENDED = b"N", b"A", b"B", b"E"

_LENGTH_BYTES = 4
HEAD_BYTES = 1 + _LENGTH_BYTES

#: Longer paths do not fit into a Unix socket's address.
_ADDRESS_BYTES_MAX = 100


def frame(kind: bytes, value: "Any") -> bytes:
    """A message."""
    body = marshal.dumps(value)
    return kind + len(body).to_bytes(_LENGTH_BYTES, "big") + body


def parsed(data: bytes) -> "tuple[bytes, Any, bytes] | None":
    """(kind, value, what follows) of the first message; None if it is not complete. Raises ValueError, EOFError, TypeError."""
    if len(data) < HEAD_BYTES:
        return None
    end = HEAD_BYTES + int.from_bytes(data[1:HEAD_BYTES], "big")
    if len(data) < end:
        return None
    return data[:1], marshal.loads(data[HEAD_BYTES:end]), data[end:]


def address(state: str) -> tuple[str, int]:
    """Where the socket of a state folder is reached, and a descriptor to close afterwards (-1: none). Raises OSError."""
    path = f"{state}/{SOCKET}"
    if len(path.encode("utf-8", "surrogateescape")) <= _ADDRESS_BYTES_MAX:
        return path, -1
    descriptor = posix.open(state, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/{SOCKET}", descriptor


def identity() -> tuple[object, ...]:
    """What must be the same in two processes for one to stand for the other: the program, its Python, how both were started."""
    from cpods import __file__ as program
    from cpods import __version__

    steering = sorted(item for item in posix.environ.items() if item[0].startswith(b"PYTHON"))
    return (__version__, program, sys.version, sys.getfilesystemencoding(), tuple(steering))
