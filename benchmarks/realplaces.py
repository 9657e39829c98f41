"""The machines of a real run: a founder's and four more, each a network namespace whose link has a speed, where root allows it.

Knows neither cpods nor Dask: a machine is an address and a way to start a program there.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from benchmarks.suite import CannotMeasure
from scripts.demo_places import Places, places

FOUNDER = "founder"
PODS = ("amber", "birch", "cedar", "dogwood")

#: Kept small beside what a link carries in a tenth of a second, so that the speed holds for single files, too; above one packet of
#: 64 KiB, which the kernel hands down whole.
_BURST = "128kb"
_LATENCY = "100ms"


@contextmanager
def machines(mark: str, bytes_per_second: float, say: Callable[[str], None], loopback: bool = False) -> Iterator[Places]:
    """The founder's machine and those of PODS, with both directions of each pod's link at that speed; 0: as fast as it goes.

    Without root they are ports of the loopback address, as fast as it goes; ``say`` is told. All programs that were started there
    are ended with the block, and the namespaces removed. Raises CannotMeasure if a link cannot be shaped.
    """
    where = places((FOUNDER, *PODS), mark, "loopback" if loopback else "", say)
    try:
        if bytes_per_second and is_shaped(where):
            for number, pod in enumerate(PODS, start=2):
                _shape(where, pod, "eth0", bytes_per_second)
                _shape(where, FOUNDER, f"to{number}", bytes_per_second)
        yield where
    finally:
        with uninterrupted():
            if killed := where.close():
                say(f"these processes did not end by themselves and were killed: {killed}")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait: an end that is interrupted would leave processes and namespaces behind."""
    before = []
    with suppress(ValueError):  # only the main thread is interrupted at all
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def speed_of_links(mark: str, bytes_per_second: float, say: Callable[[str], None], loopback: bool = False) -> float:
    """What :func:`machines` can give here: that speed, or 0 if links cannot have one. Raises as it."""
    with machines(mark, bytes_per_second, say, loopback) as where:
        if is_shaped(where):
            return bytes_per_second
    say("the links have no speed of their own: bytes can be compared, times say little")
    return 0.0


def is_shaped(where: Places) -> bool:
    """Whether each machine has a link of its own."""
    return bool(where.machines[FOUNDER].prefix)


def sent_bytes(where: Places, machine: str) -> int:
    """What a machine has sent over its link so far, all protocols and headers with it; 0 if it has none of its own."""
    if not is_shaped(where):
        return 0
    with suppress(ValueError):
        return int(_run(where, machine, "cat", "/sys/class/net/eth0/statistics/tx_bytes"))
    return 0


def _shape(where: Places, machine: str, device: str, bytes_per_second: float) -> None:
    rate = f"{round(bytes_per_second * 8)}bit"
    _run(where, machine, "tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", _BURST, "latency", _LATENCY)


def _run(where: Places, machine: str, *words: str) -> str:
    command: Sequence[str] = [*where.machines[machine].prefix, *words]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise CannotMeasure(
            f"{' '.join(words)} on {machine} failed: {said}; `python -m benchmarks.placement --loopback` does without"
        ) from error
