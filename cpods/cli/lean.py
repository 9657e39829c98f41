"""Loads msgspec without typing_extensions, which it asks for only where Python's own typing lacks something.

Knows no command. A tenth of a small build's time is saved by it; a msgspec that cannot do without is loaded as ever.
"""

import sys

_BACKPORTS = "typing_extensions"


def load_msgspec() -> None:
    """Imports msgspec if nobody has yet; everybody else can import typing_extensions afterwards as before."""
    if "msgspec" in sys.modules or _BACKPORTS in sys.modules:
        return
    sys.modules[_BACKPORTS] = None  # type: ignore[assignment]  # which makes an import of it an ImportError
    try:
        import msgspec  # noqa: F401
    except ImportError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "msgspec"]:
            del sys.modules[name]
    finally:
        del sys.modules[_BACKPORTS]
