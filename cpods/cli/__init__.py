"""The command line: one module a command group; parse, call, print, exit code.

Knows no build; heavy modules are imported only when a command needs them.
"""

import sys


def main() -> None:
    """The ``cpods`` entry point."""
    from cpods.cli.app import app

    sys.exit(app())
