"""How fast a pod pulls: bytes and seconds while at least one pull was under way.

Knows no transfer; how many bytes have come is asked for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Pulls that moved less say more about the way there and back than about the link.
SAMPLE_BYTES_MIN = 256 << 10


class Gauge:
    """``moved()``: bytes that have come so far, of all pulls together. ``now()``: seconds that never go back."""

    def __init__(self, moved: Callable[[], int], now: Callable[[], float]) -> None:
        self._moved = moved
        self._now = now
        self._under_way = 0
        self._since = (0, 0.0)
        self._bytes, self._seconds = 0, 0.0

    @contextmanager
    def pulling(self) -> Iterator[None]:
        """A pull is under way as long as this is entered; several at once share the time."""
        if not self._under_way:
            self._since = self._moved(), self._now()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._look()

    def take(self) -> tuple[int, float]:
        """(bytes, seconds) of what was measured since the last call; (0, 0.0) if nothing was."""
        taken = self._bytes, round(self._seconds, 4)
        self._bytes, self._seconds = 0, 0.0
        return taken

    def _look(self) -> None:
        moved, now = self._moved(), self._now()
        if moved - self._since[0] >= SAMPLE_BYTES_MIN:
            self._bytes += moved - self._since[0]
            self._seconds += now - self._since[1]
            self._since = moved, now
