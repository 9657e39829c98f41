"""How a line of progress or an error looks on a terminal.

Knows no build and no console.
"""

import os

DIM, RED = "2", "31"


def styled(text: str, style: str) -> str:
    """The text for a terminal; plain for one that knows no styles, and never in colour where NO_COLOR is set."""
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown") or (style == RED and os.environ.get("NO_COLOR")):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"
