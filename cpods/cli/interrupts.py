"""What Ctrl-C, a polite kill and a closed terminal do to a command: the first ends it in good order, more of them hasten its steps.

Knows no command.
"""

import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What a signal did before it was too late.
_before: "dict[int, Handler]" = {}


def end_on_signals() -> None:
    """From now on these signals cancel the running task, once: what it does to end in good order is not disturbed by more."""
    import asyncio

    task = asyncio.current_task()
    assert task is not None
    pending = [task.cancel]

    def interrupted() -> None:
        from cpods.majordomo.drive import hasten

        if pending:
            pending.pop()()
        else:
            hasten()

    for number in _NUMBERS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means that a closed terminal is no end
            asyncio.get_running_loop().add_signal_handler(number, interrupted)


def too_late() -> None:
    """From now on these signals are ignored: what is to be done is done, and the call ends as what it was.

    For the rest of the process; who goes on after the call says :func:`heard_again`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)
    if "asyncio" in sys.modules:
        _forget_handlers()
    for number in _NUMBERS:
        _before.setdefault(number, signal.signal(number, signal.SIG_IGN))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def heard_again() -> None:
    """Ends :func:`too_late`. Nothing if it was not called."""
    while _before:
        number, handler = _before.popitem()
        signal.signal(number, handler)


def _forget_handlers() -> None:
    """The loop would put its own idea of a handler back when it closes."""
    import asyncio

    with suppress(RuntimeError):  # none runs
        loop = asyncio.get_running_loop()
        for number in _NUMBERS:
            loop.remove_signal_handler(number)
