"""The command line: one module a command group; parse, call, print, exit code.

Knows no build; heavy modules are imported only when a command needs them.
"""

import sys


def main() -> None:
    """The ``cpods`` entry point."""
    if sys.argv[1:2] == ["rebuild"]:
        from cpods.cli.glance import try_rebuild

        code = try_rebuild(sys.argv[2:])
        if code is not None:
            sys.exit(code)
    from cpods.cli.app import app

    sys.exit(app())
