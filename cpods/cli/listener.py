"""Which console fits where the output goes: JSON lines, a terminal, or a pipe.

Knows no build.
"""

import sys

from cpods.cli.console import Console, JsonConsole


def listener_for(json_lines: bool) -> Console:
    """The console for this call; the live one for a terminal only."""
    if json_lines:
        return JsonConsole()
    if sys.stderr.isatty():
        from cpods.cli.live import LiveConsole

        return LiveConsole()
    return Console()
