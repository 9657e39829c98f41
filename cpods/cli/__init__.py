"""The command line: one module a command group; parse, call, print, exit code.

Knows no build; heavy modules are imported only when a command needs them.
"""

import gc
import os
import sys

#: Thresholds of the garbage collector: what imports and a build keep is much and holds few circles; looking for them is waste.
_COLLECTION = (200_000, 20, 100)


def main() -> None:
    """The ``cpods`` entry point. Whatever happens ends in an exit code and at most one sentence, never in a traceback."""
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:  # before a command looks after interrupts itself
        sys.stderr.write("cpods: interrupted; nothing had been started\n")
        code = 130
    except BrokenPipeError:  # the reader of our output has seen enough
        _forget_stdout()
        code = 0
    except Exception as error:
        from cpods.crash import EXIT_CODE, crashed

        sys.stderr.write(f"cpods: {crashed(os.environ.get('CPODS_STATE') or '.cpods', error)}\n")
        code = EXIT_CODE
    sys.exit(code)


def _run() -> int:
    if sys.argv[1:2] == ["rebuild"]:
        from cpods.cli.glance import try_rebuild

        code = try_rebuild(sys.argv[2:])
        if code is not None:
            return code
    gc.set_threshold(*_COLLECTION)
    from cpods.cli.app import app

    return app()


def _forget_stdout() -> None:
    """What is still to be written goes nowhere, so that the interpreter's own flush at the end is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
