"""Which address means what: requests in, responses out. Everything is below the token.

Knows no connection but through ``wanted``, and no build.

  /TOKEN/                      the page; its style and scripts beside it
  /TOKEN/N/pages               of goal N: version, sizes, and where page ``at`` of version ``since`` has gone
  /TOKEN/N/page/P              page P (from 0) of version ``v``, ``w`` pixels wide; 204 if it still is ``known``, 410 if ``v`` is old
  /TOKEN/N/links/P             where the links of page P of version ``v`` lie and lead; 410 as above
  /TOKEN/N/file/NAME           the PDF file itself
  /TOKEN/N/html/NAME           the HTML document, and what lies beside and below it
"""

import asyncio
import hmac
import importlib.resources
import mimetypes
from collections.abc import Callable, Sequence

import msgspec

from cpods.preview.drawer import Unwanted
from cpods.preview.exchange import Refused, Request, Response
from cpods.preview.htmlgoal import HtmlGoal
from cpods.preview.pdfgoal import PdfGoal

_PAGE_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    **{name: (name, "text/javascript; charset=utf-8") for name in ("page.js", "pages.js", "frames.js", "trouble.js")},
}

#: The page loads nothing from elsewhere and is shown in no other page. A goal's own HTML, in its frame, is the writer's business.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; frame-src 'self'; "
    "object-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_NOTHING_HERE = "nothing is here; copy the whole address that cpods printed"


class Routes:
    """The addresses of one preview."""

    def __init__(self, token: str, goals: Sequence[PdfGoal | HtmlGoal]) -> None:
        self._token = token.encode()
        self._goals = goals

    def asks_for_events(self, request: Request) -> bool:
        """Whether this one is for the stream of events."""
        return self._admitted(request) == ("events",)

    async def respond(self, request: Request, wanted: Callable[[], bool]) -> Response:
        """Raises Refused and CannotDraw; ``wanted``: whether somebody still waits for the response."""
        try:
            return await self._respond(request, wanted)
        except Unwanted:
            raise Refused(410, "there is a newer version") from None

    async def _respond(self, request: Request, wanted: Callable[[], bool]) -> Response:
        match self._admitted(request):
            case ():
                return Response(308, headers={"Location": f"/{self._token.decode()}/"})
            case (name,) if name in _PAGE_FILES:
                return _page_file(name)
            case (number, "pages"):
                return await self._pages(self._pdf(number), request)
            case (number, "page", page) if _is_number(page):
                return await self._page(self._pdf(number), int(page), request, wanted)
            case (number, "links", page) if _is_number(page):
                return await self._links(self._pdf(number), int(page), request, wanted)
            case (number, "file", _):
                return self._file(self._pdf(number))
            case (number, "html", *parts):
                return await self._html(number, parts)
        raise Refused(404, _NOTHING_HERE)

    def _admitted(self, request: Request) -> tuple[str, ...]:
        """The parts behind the token."""
        if not hmac.compare_digest(request.parts[0].encode(), self._token):
            raise Refused(404, _NOTHING_HERE)
        return request.parts[1:]

    def _goal(self, number: str) -> PdfGoal | HtmlGoal:
        if not _is_number(number) or int(number) >= len(self._goals):
            raise Refused(404, _NOTHING_HERE)
        return self._goals[int(number)]

    def _pdf(self, number: str) -> PdfGoal:
        goal = self._goal(number)
        if not isinstance(goal, PdfGoal):
            raise Refused(404, _NOTHING_HERE)
        return goal

    async def _pages(self, goal: PdfGoal, request: Request) -> Response:
        found = await goal.pages(request.number("since"), request.number("at"))
        return Response(content_type="application/json", body=msgspec.json.encode(found))

    async def _page(self, goal: PdfGoal, page: int, request: Request, wanted: Callable[[], bool]) -> Response:
        known = request.query.get("known", "")[:64]
        digest, image = await goal.draw(page, request.number("v"), request.number("w", 1000), known, wanted)
        return Response(200 if image else 204, "image/png", image, {"X-Digest": digest})

    async def _links(self, goal: PdfGoal, page: int, request: Request, wanted: Callable[[], bool]) -> Response:
        found = await goal.links(page, request.number("v"), wanted)
        return Response(content_type="application/json", body=msgspec.json.encode(found))

    def _file(self, goal: PdfGoal) -> Response:
        copy = goal.last_good()
        if copy is None:
            raise Refused(404, f"{goal.name} is not there yet; it appears with the first stable build")
        return Response(content_type="application/pdf", file=copy.open(), size=copy.size)

    async def _html(self, number: str, parts: Sequence[str]) -> Response:
        goal = self._goal(number)
        if not isinstance(goal, HtmlGoal):
            raise Refused(404, _NOTHING_HERE)
        found = await asyncio.to_thread(goal.read, parts)
        if found is None:
            raise Refused(404, f"{'/'.join(parts)[:200]}: there is no such file below the goal's folder")
        kind = mimetypes.guess_type(parts[-1])[0] or "application/octet-stream"
        if isinstance(found, bytes):
            return Response(content_type=kind, body=found)
        return Response(content_type=kind, file=found, size=found.seek(0, 2) - found.seek(0))


def _page_file(name: str) -> Response:
    file, kind = _PAGE_FILES[name]
    body = importlib.resources.files("cpods.preview").joinpath(file).read_bytes()
    return Response(content_type=kind, body=body, headers={"Content-Security-Policy": _PAGE_POLICY})


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
