"""``cpods pod drain``: empties a pod that is to leave, and says how far it is.

Knows not how: see steward/draining.py.
"""

import sys

from cpods.cli.asking import ask_pod, ask_pods, ask_steward, connected, known_pod, live_pods
from cpods.cli.desk import told
from cpods.cli.store import human
from cpods.errors import Unavailable, UsageError

_PATHS_SHOWN = 5


def run(federation: str, pod: str, off: bool) -> int:
    """Drains a pod, or (``off``) lets it take steps again; the exit code."""
    return told(lambda: _undrain(federation, pod) if off else _drain(federation, pod))


async def _drain(federation: str, pod: str) -> int:
    from cpods.net.questions import Okay
    from cpods.net.wire import Wire
    from cpods.steward.draining import Asking, Emptying

    async with connected(federation) as (home, bus):
        known_pod(home, pod)
        pods = await ask_pods(home, bus)
        live = live_pods(pods)
        statuses = {status.pod: status for status in pods.statuses}
        if pod not in live:
            raise Unavailable(
                f"pod {pod} does not run, so it cannot hand anything over; start it, or let the next builds do without it "
                f"(`cpods federation revoke {pod}`): what only it held is made again"
            )

        async def of_pod(name: str, question: Wire, kind: type[Wire], seconds: float) -> Wire:
            return await ask_pod(home, bus, name, question, kind, seconds=seconds)

        async def of_steward(question: Wire) -> Okay:
            return await ask_steward(home, bus, question, Okay)

        others = [statuses[name] for name in live if name != pod and statuses[name].state == "ready"]
        emptied = await Emptying(statuses[pod], others, Asking(of_pod, of_steward, _say)).run()
    if emptied.edited:
        shown = ", ".join(emptied.edited[:_PATHS_SHOWN]) + (", …" if len(emptied.edited) > _PATHS_SHOWN else "")
        raise UsageError(
            f"{pod} still owns what was edited there and no MajorDomo has seen: {shown}; build their projects once, then drain again"
        )
    print(f"{pod} is drained: {emptied.copies} only copies ({human(emptied.bytes)}) and {emptied.paths} ownerships are with others now")
    print(f"it may leave: `cpods pod stop {pod}` (and `cpods federation revoke {pod}`); `cpods pod drain --off {pod}` takes it back")
    return 0


async def _undrain(federation: str, pod: str) -> int:
    from cpods.net.questions import Drain, Okay

    async with connected(federation) as (home, bus):
        known_pod(home, pod)
        await ask_pod(home, bus, pod, Drain(off=True), Okay)
    print(f"{pod} takes steps again")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
