"""What Ctrl-C, a polite kill and a closed terminal do to a command: the first ends it in good order, more of them hasten its steps.

Knows no command.
"""

import asyncio
import signal


def end_on_signals() -> None:
    """From now on these signals cancel the running task, once: what it does to end in good order is not disturbed by more."""
    task = asyncio.current_task()
    assert task is not None
    pending = [task.cancel]

    def interrupted() -> None:
        from cpods.majordomo.drive import hasten

        if pending:
            pending.pop()()
        else:
            hasten()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupted)
