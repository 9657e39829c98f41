"""Loads msgspec without typing_extensions, which it asks for only where Python's own typing lacks something, and asyncio without TLS.

Knows no command. A fifth of a small build's own time is saved by it; a msgspec that cannot do without is loaded as ever, and so is
TLS as soon as somebody uses it.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BACKPORTS = "typing_extensions"
#: What asyncio imports at once and uses only for connections with TLS. OpenSSL comes with it.
_TLS = ("ssl", "asyncio.sslproto")


class _Later(ModuleType):
    """Stands for a module: whatever is asked of it is asked of the real one, which is imported then."""

    def __getattr__(self, name: str) -> "Any":
        from importlib import import_module

        return getattr(import_module(self.__name__), name)


def load_asyncio() -> None:
    """Imports asyncio if nobody has yet. What it imports later stands in its own modules only; everybody else imports as before."""
    if "asyncio" in sys.modules:
        return
    later = {name: _Later(name) for name in _TLS if name not in sys.modules}
    sys.modules.update(later)
    try:
        import asyncio  # noqa: F401
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


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
