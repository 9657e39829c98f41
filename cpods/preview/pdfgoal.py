"""A PDF goal: its last good version, its pages as images, and where a page of the version before has gone.

Knows no browser and no build.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable

from cpods.preview import copies, places
from cpods.preview.copies import Copy
from cpods.preview.drawer import CannotDraw, Drawer, Unwanted
from cpods.preview.frames import Answer, Link, Question

#: Widths in pixels that are drawn; a browser asks for what its window needs.
WIDTH_MIN, WIDTH_MAX = 16, 6000


class Version:
    """One good version of a document: a copy, the sizes of its pages in points, texts as they were asked for."""

    def __init__(self, number: int, copy: Copy, sizes: list[tuple[float, float]]) -> None:
        self.number = number
        self.copy = copy
        self.sizes = sizes
        self.texts: dict[int, str] = {}


class PdfGoal:
    """``name``: its project path. Without a ``drawer`` the file is only handed out, for the browser's own viewer."""

    def __init__(self, root: str, name: str, drawer: Drawer | None) -> None:
        self.name = name
        self._path = os.path.join(root, name)
        self._drawer = drawer
        self._number = 0
        self._now: Version | None = None
        self._before: Version | None = None

    @property
    def kind(self) -> str:
        """How a page shows it: ``pages`` as images, or ``viewer``."""
        return "pages" if self._drawer else "viewer"

    @property
    def version(self) -> int:
        """Counts good versions; 0 before the first."""
        return self._now.number if self._now else 0

    @property
    def address(self) -> str:
        """Of the file itself, below the goal's number."""
        return "file/" + os.path.basename(self.name)

    async def look(self) -> bool:
        """Takes the file as the new version, if there is another; whether there was. Raises CannotDraw: the last good one stays."""
        copy = await asyncio.to_thread(copies.take, self._path)
        if copy is None:
            return False
        if self._now is not None and self._now.copy.digest == copy.digest:
            copy.close()
            return False
        sizes: list[tuple[float, float]] = []
        if self._drawer is not None:
            try:
                answer, _ = await self._drawer.ask(Question("sizes", copy.path))
            except BaseException:
                copy.close()
                raise
            sizes = answer.sizes
        self._number += 1
        too_old, self._before, self._now = self._before, self._now, Version(self._number, copy, sizes)
        await self._drop(too_old)
        return True

    async def pages(self, since: int, at: int) -> dict[str, object]:
        """``version``, ``sizes`` of its pages in points, and ``at``: where page ``at`` of version ``since`` is now."""
        now = self._now
        if now is None:
            return {"version": 0, "sizes": [], "at": 0}
        place = min(at, max(0, len(now.sizes) - 1))
        before = self._before
        if before is not None and before.number == since and at < len(before.sizes):
            with contextlib.suppress(CannotDraw, Unwanted):  # a page whose text cannot be read stays at its number
                place = await self._place(before, now, at)
        return {"version": now.number, "sizes": now.sizes, "at": place}

    async def draw(self, page: int, version: int, width: int, known: str, wanted: Callable[[], bool]) -> tuple[str, bytes]:
        """A page's digest and PNG; no bytes if the digest is ``known``. Raises Unwanted if ``version`` is not the last one any more."""
        width = min(max(width, WIDTH_MIN), WIDTH_MAX)
        answer, image = await self._ask(version, page, wanted, lambda path: Question("draw", path, page, width, known))
        return answer.digest, image

    async def links(self, page: int, version: int, wanted: Callable[[], bool]) -> list[Link]:
        """Of a page. Raises Unwanted as :meth:`draw` does."""
        answer, _ = await self._ask(version, page, wanted, lambda path: Question("links", path, page))
        return answer.links

    def last_good(self) -> Copy | None:
        """The file itself."""
        return self._now.copy if self._now else None

    async def close(self) -> None:
        """Gives the copies back."""
        before, now = self._before, self._now
        self._before = self._now = None
        await self._drop(before)
        await self._drop(now)

    async def _ask(self, version: int, page: int, wanted: Callable[[], bool], question: Callable[[str], Question]) -> tuple[Answer, bytes]:
        now = self._now
        if self._drawer is None or now is None or now.number != version or page >= len(now.sizes):
            raise Unwanted
        return await self._drawer.ask(question(now.copy.path), lambda: now is self._now and wanted())

    async def _place(self, before: Version, now: Version, page: int) -> int:
        count = len(now.sizes)
        old = await self._texts(before, places.neighbourhood(page, len(before.sizes)))
        if page < count:
            near = await self._texts(now, places.neighbourhood(page, count))
            if places.likeness(old, near, page, page) >= places.STAYED:
                return page
        return places.find(old, await self._texts(now, places.neighbourhood(page, count, places.REACH_PAGES + 1)), page, count)

    async def _texts(self, version: Version, pages: Iterable[int]) -> dict[int, str]:
        assert self._drawer is not None
        for page in pages:
            if page not in version.texts:
                question = Question("text", version.copy.path, page)
                answer, _ = await self._drawer.ask(question, lambda: not version.copy.closed)
                version.texts[page] = answer.text
        return {page: version.texts[page] for page in pages}

    async def _drop(self, version: Version | None) -> None:
        if version is None:
            return
        if self._drawer is None:
            version.copy.close()
        else:
            await self._drawer.between(version.copy.close)
