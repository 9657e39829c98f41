"""The resident MajorDomo of one project: answers null builds out of its memory, has the nursery do all others.

Knows no flag and no terminal: what a call means, and what is said of one that had nothing to do, it is told.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import cpods
from cpods.errors import Locked
from cpods.resident import protocol
from cpods.resident.crew import Crew
from cpods.resident.door import Door, Visitor
from cpods.resident.footing import Footing, last_key, of_good_build
from cpods.resident.grounds import Grounds
from cpods.store.glance import Look, environment_digest

LOCK = "majordomo.lock"
#: How often an idle resident looks whether its project is still there.
_LOOK_SECONDS = 60.0
#: A state folder that is not there for so long does not come back.
_GONE_SECONDS = 1.0


class Meant(NamedTuple):
    """What a call means: the project's folder and its state folder (absolute), the name of its null build, the report it wants.

    ``key`` '': only a build can answer.
    """

    root: str
    state: str
    key: str = ""
    report: str = ""


class Means(Protocol):
    """What the command line knows and the resident does not."""

    #: Module and name of the function that is a build.
    entry: tuple[str, str]

    def meant(self, arguments: list[str], cwd: str, environment: Mapping[str, str]) -> Meant | None:
        """What a call means; None if the resident is to keep out of it."""

    def told(self, look: Look, root: str, reported: bool, seconds: float) -> tuple[str, str]:
        """What a call with nothing to do prints, and its report if one is wanted. Raises OSError, ValueError, KeyError."""


class Resident:
    """``say``: a line for the log. Use from one event loop: :meth:`open`, then :meth:`until_idle`, then :meth:`close`."""

    def __init__(self, root: str, state: str, means: Means, say: Callable[[str], None] = lambda line: None) -> None:
        self.root = root
        self.state = state
        self._means = means
        self._say = say
        self._real_root = os.path.realpath(root)
        self._real_state = os.path.realpath(state)
        self._identity = protocol.identity()
        self._stamp = _stamp()
        self.grounds = Grounds(state, self._stirred)
        self.crew = Crew(means.entry)
        self.on_change: list[Callable[[], None]] = []
        self._door = Door(state, self._welcome)
        self._lock = -1
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = False
        self._woken = asyncio.Event()
        self._gone_since: float | None = None
        self._started = self._active = time.monotonic()
        self.answered = self.built = 0

    # -- life ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Answers clients from now on. Raises Locked if another resident does, OSError."""
        descriptor = os.open(os.path.join(self.state, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise Locked(f"a MajorDomo of {self.root} runs already; `cpods majordomo status` tells of it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor
        self._door.open()

    def recall(self, environment: Mapping[str, str]) -> None:
        """Loads what the last good build in this environment stood on, so that the first call need not wait for it."""
        digest = environment_digest(environment)
        key = last_key(self.state, digest, cpods.__version__)
        if key is not None:
            self.load((key, digest), environment)

    async def until_idle(self, seconds: float) -> str:
        """Returns when it is to end, with the reason: nobody asked for so long, it was told to, or the project is gone."""
        while not self._retired:
            left = self._active + seconds - time.monotonic()
            if left <= 0 and not self.crew.busy:
                return f"nobody asked for {seconds:.0f} s"
            if self._is_gone_for_good():
                return f"{self.state} is gone"
            if self._gone_since is not None:
                left = min(left, _GONE_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), max(0.01, min(left if left > 0 else _LOOK_SECONDS, _LOOK_SECONDS)))
        return "it was told to end"

    def _is_gone_for_good(self) -> bool:
        """Whether the state folder has not been there for a while: a project is also renamed away and back."""
        if os.path.isdir(self.state):
            self._gone_since = None
            return False
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
            self._woken.clear()
        return now - self._gone_since >= _GONE_SECONDS

    def retire(self) -> None:
        """Ends :meth:`until_idle`."""
        self._retired = True
        self._woken.set()

    async def close(self) -> None:
        """Lets nobody in any more, waits for builds that go on, ends the watch. Idempotent."""
        if self._lock >= 0:
            self._door.close()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.crew.close()
        self.grounds.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _stirred(self) -> None:
        if not os.path.isdir(self.state):
            self._woken.set()
        for heard in self.on_change:
            heard()

    # -- visitors --------------------------------------------------------------------------------------------------

    def _welcome(self, visitor: Visitor) -> None:
        task = asyncio.ensure_future(self._receive(visitor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, visitor: Visitor) -> None:
        self._active = time.monotonic()
        try:
            await self._serve(visitor)
        except Exception as error:  # a visitor that cannot be served builds by itself
            self._say(f"a request could not be served: {error!r}")
            await visitor.say(protocol.DECLINED)
        finally:
            visitor.leave()
            self._active = time.monotonic()

    async def _serve(self, visitor: Visitor) -> None:
        request = visitor.request
        if "ask" in request:
            await visitor.say(protocol.ANSWER, (0, self._asked(str(request["ask"])), "", ""))
            return
        environment = {os.fsdecode(name): os.fsdecode(value) for name, value in request["environment"].items()}
        cwd = os.fsdecode(request["cwd"])
        meant = self._means.meant(request["arguments"], cwd, environment)
        if meant is None or not self._is_ours(request, meant):
            await visitor.say(protocol.DECLINED)
            return
        answer = await self._null(meant, environment)
        if answer is not None:
            self.answered += 1
            await visitor.say(protocol.ANSWER, answer)
            return
        await self._build(visitor, meant, environment)

    def _is_ours(self, request: Mapping[str, Any], meant: Meant) -> bool:
        if request["identity"] != self._identity:
            self._say("declined a client of another version of cpods or Python")
            return False
        if _stamp() != self._stamp:
            self._say("cpods was installed anew: this process ends")
            self.retire()
            return False
        same = (os.path.realpath(meant.root), os.path.realpath(meant.state)) == (self._real_root, self._real_state)
        return same and os.path.isdir(self.state)

    def _asked(self, what: str) -> str:
        if what == "stop":
            self.retire()
            return "ending\n"
        lookout = self.grounds.lookout
        facts: dict[str, object] = {
            "pid": os.getpid(),
            "version": cpods.__version__,
            "seconds": round(time.monotonic() - self._started, 1),
            "idle_seconds": round(time.monotonic() - self._active, 1),
            "watches": lookout.watches,
            "polling": lookout.why_polling,
            "answered": self.answered,
            "built": self.built,
            "nursery": self.crew.pid or 0,
        }
        return "".join(f"{name}: {value}\n" for name, value in facts.items())

    # -- null builds -----------------------------------------------------------------------------------------------

    async def _null(self, meant: Meant, environment: Mapping[str, str]) -> tuple[int, str, str, str] | None:
        """The whole answer if nothing changed, and it is certain that every change before the question was seen; else None."""
        begun = time.monotonic()
        if not meant.key:
            return None
        name = (meant.key, environment_digest(environment))
        if not await self.grounds.drained():
            return None
        footing = self._current(name, environment)
        if footing is None or footing.standing is None or self._is_under_way():
            return None
        self.grounds.check(name)
        if not footing.holds() or self.grounds.lookout.why_polling:
            return None
        try:
            out, report = self._means.told(footing.standing.look(), self.root, bool(meant.report), time.monotonic() - begun)
        except (OSError, ValueError, KeyError):
            return None
        return 0, out, meant.report, report

    def _current(self, name: tuple[str, str], environment: Mapping[str, str]) -> Footing | None:
        """What the last good build stood on, read anew if another was made since."""
        footing = self.grounds.get(name)
        if footing is not None and footing.standing is not None and footing.standing.is_current():
            return footing
        return self.load(name, environment)

    def load(self, name: tuple[str, str], environment: Mapping[str, str]) -> Footing | None:
        """Reads what the last good build of a call (key, digest of the environment) stood on, and looks at all of it."""
        footing = of_good_build(self.state, self.root, name[0], environment)
        if footing is None:
            self.grounds.drop(name)
        else:
            self.grounds.hold(name, footing)
        return footing

    def _is_under_way(self) -> bool:
        """Whether somebody builds, or an interrupted build is to be put right: then one waits and looks, as without a resident."""
        try:
            if os.path.getsize(os.path.join(self.state, "journal.jsonl")):
                return True
            descriptor = os.open(os.path.join(self.state, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    # -- builds ----------------------------------------------------------------------------------------------------

    async def _build(self, visitor: Visitor, meant: Meant, environment: Mapping[str, str]) -> None:
        visitor.link.setblocking(True)
        over = self.crew.hand_over(visitor.request, visitor.files)
        visitor.leave()  # the nursery has it now
        self.built += 1
        code = await over
        self._say(f"{' '.join(visitor.request['arguments'])}: exit code {code}")
        name = (meant.key, environment_digest(environment))
        if meant.key and code == 0:
            self._current(name, environment)


def _stamp() -> tuple[int, int]:
    """Changes when cpods is installed anew."""
    try:
        status = os.stat(cpods.__file__)
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
