"""What the programs of one order say, kept for its MajorDomo instead of a log file.

Knows no step; an executor stands behind it.
"""

from collections.abc import Callable

import msgspec

from cpods.model import Exit
from cpods.ports import Command, Executor
from cpods.scheduler.logs import shown

_LOG_BYTES_MAX = 32 << 10
_NOISE = b"kdebug:"


class Ear:
    """The executor of one order: remembers what its last program said, which goes to the MajorDomo and into no file."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._last: tuple[tuple[str, ...], Exit] | None = None

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        """As Executor.run."""
        self._last = None
        exit = await self._executor.run(msgspec.structs.replace(command, log=""), started)
        self._last = command.argv, exit
        return exit

    def log(self) -> str:
        """What was said as a log file would have it, its end if it is long, without TeX's search trace; '' if nothing was."""
        if self._last is None:
            return ""
        argv, exit = self._last
        parts = [f"{exit.error}\n"] if exit.error else []
        for title, data in (("stdout", exit.stdout), ("stderr", exit.stderr)):
            said = _readable(data)
            if said:
                parts.append(f"== {title} of {shown(argv)} ==\n{said}")
        return "".join(parts)


def _readable(data: bytes) -> str:
    if _NOISE in data:
        data = b"".join(line for line in data.splitlines(keepends=True) if _NOISE not in line)
    text = data[-_LOG_BYTES_MAX:].decode("utf-8", "replace")
    return text if not text or text.endswith("\n") else text + "\n"
