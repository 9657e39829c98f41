"""The resident MajorDomo's own process: ``python -m cpods.cli.serve ROOT STATE IDLE_SECONDS READY``.

Knows no build. READY: a descriptor on which it says, in one line, that it answers, or why it cannot.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time


def main(root: str, state: str, idle_seconds: str, ready: str) -> int:
    """Answers until it is idle or told to end; the exit code."""
    os.chdir("/")
    os.umask(os.umask(0o022))
    gc.set_threshold(200_000, 20, 100)
    return asyncio.run(_serve(root, state, float(idle_seconds), int(ready)))


async def _serve(root: str, state: str, idle_seconds: float, ready: int) -> int:
    from cpods.cli.residents import CallMeans
    from cpods.errors import Locked
    from cpods.resident.server import Resident

    try:
        resident = Resident(root, state, CallMeans(), _say)
        resident.open()
    except (Locked, OSError) as error:
        _tell(ready, str(error))
        return 7
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, resident.retire)
    _say(f"answers for {root}")
    _tell(ready, "")
    resident.recall(os.environ)
    gc.collect()
    gc.freeze()
    why = await resident.until_idle(idle_seconds)
    _say(f"ends: {why}")
    await resident.close()
    return 0


def _say(line: str) -> None:
    """A line of the log, which is our stderr."""
    with contextlib.suppress(OSError):  # the disk is full
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {os.getpid()} {line}\n")
        sys.stderr.flush()


def _tell(ready: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(ready, text.encode() + b"\n")
    os.close(ready)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
