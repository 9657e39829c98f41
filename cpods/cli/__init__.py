"""The command line: one module a command group; parse, call, print, exit code.

Knows no build; heavy modules are imported only when a command needs them.
"""

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself is not loaded for it
    from collections.abc import Callable
    from typing import NoReturn

#: Thresholds of the garbage collector: what imports and a build keep is much and holds few circles; looking for them is waste.
_COLLECTION = (200_000, 20, 100)


def main() -> None:
    """The ``cpods`` entry point."""
    _leave(call())


def call(run: "Callable[[], int] | None" = None) -> int:
    """What ``cpods`` does with ``sys.argv``: whatever happens ends in an exit code and at most one sentence, never in a traceback.

    ``run``: does it, and no resident MajorDomo is asked.
    """
    try:
        code = _asked() if run is None else run()
        if code is None:
            code = run_here()
        sys.stdout.flush()
    except KeyboardInterrupt:  # before a command looks after interrupts itself
        import warnings

        from cpods.cli.interrupts import too_late

        too_late()
        warnings.simplefilter("ignore")  # of a coroutine that never began
        sys.unraisablehook = lambda _: None  # of a loop that was half made
        sys.stderr.write("cpods: interrupted; nothing had been started\n")
        code = 130
    except BrokenPipeError:  # the reader of our output has seen enough
        _forget_stdout()
        code = 0
    except Exception as error:
        from cpods.crash import EXIT_CODE, crashed

        sys.stderr.write(f"cpods: {crashed(os.environ.get('CPODS_STATE') or '.cpods', error)}\n")
        code = EXIT_CODE
    return code


def _asked() -> int | None:
    """The exit code of a resident MajorDomo's answer, None if there is none."""
    if sys.argv[1:2] != ["rebuild"]:
        return None
    from cpods.cli.nearby import has_resident

    if not has_resident(sys.argv[1:]):
        return None
    from cpods.cli.client import main as ask

    return ask(sys.argv[1:])


def run_here() -> int:
    """What ``cpods`` does with ``sys.argv``, in this process."""
    if sys.argv[1:2] == ["rebuild"]:
        from cpods.cli.glance import try_rebuild

        code = try_rebuild(sys.argv[2:])
        if code is not None:
            return code
    gc.set_threshold(*_COLLECTION)
    if sys.argv[1:2] == ["rebuild"]:
        from cpods.cli.plainflags import plain

        flags = plain(sys.argv[2:])
        if flags is not None:
            from cpods.cli.lean import load_asyncio, load_msgspec

            load_msgspec()
            load_asyncio()
            from cpods.cli.rebuild import run

            return run(flags)
    from cpods.cli.app import app

    return app()


def _leave(code: int) -> "NoReturn":
    """Ends the process. Taking a build's modules and objects apart one by one would be an eighth of a small build's time."""
    threading = sys.modules.get("threading")
    if (threading is None or threading.active_count() == 1) and sys.gettrace() is None and sys.getprofile() is None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads them any more: the interpreter's own way may say so
            sys.exit(code)
        os._exit(code)
    sys.exit(code)


def _forget_stdout() -> None:
    """What is still to be written goes nowhere, so that the interpreter's own flush at the end is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
