"""An event loop whose clock stands still while something can be done, and jumps to the next timer when nothing can.

Knows no test. What takes minutes takes none here, the same way each time; a test in which everybody waits for ever fails.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: No test's story takes longer, on its own clock.
STORY_SECONDS_MAX = 3_600.0


class StillLoop(asyncio.SelectorEventLoop):
    """For one thread only: whatever happens outside of the loop takes no time."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.complaints: list[dict[str, Any]] = []
        super().__init__(_Jumping(self))
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        """Seconds of the story."""
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: StillLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits for something that nobody does")
        self._loop.now += max(0.0, timeout)
        return super().select(0)


def play(story: Coroutine[Any, Any, T], allow: str = "") -> T:
    """Runs a story to its end. What went wrong in its background fails it, unless the complaint begins with ``allow``."""
    with asyncio.Runner(loop_factory=StillLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, StillLoop)
        result = runner.run(_limited(story))
        wrong = [context for context in loop.complaints if not (allow and str(context.get("message")).startswith(allow))]
        assert not wrong, wrong
        return result


async def _limited(story: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(STORY_SECONDS_MAX):
        result = await story
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks that nobody ended: {left}"
    return result
