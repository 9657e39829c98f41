"""Where a page's links lie and lead, asked of PDFium itself: pypdfium2 wraps no links.

Knows no connection. Only for the drawing process.
"""

import ctypes
from typing import Any

from pypdfium2 import raw

from cpods.preview.frames import Link

#: Links of a page: an index page of a book has some hundreds.
_LINKS_MAX = 2000

#: What a document may send a reader to.
_SCHEMES = ("http://", "https://", "mailto:")

#: Device units across a page while places are asked for.
_UNITS = 100_000


def links_of(document: Any, page: Any, sizes: list[tuple[float, float]]) -> list[Link]:
    """The links of an open ``page``; ``sizes``: of all pages of the ``document``, in points."""
    found: list[Link] = []
    position, handle = ctypes.c_int(0), raw.FPDF_LINK()
    while len(found) < _LINKS_MAX and raw.FPDFLink_Enumerate(page, ctypes.byref(position), ctypes.byref(handle)):
        box = _box(page, handle)
        target = _target(document, handle, sizes) if box else None
        if box and target:
            found.append(Link(box, *target))
    return found


def _box(page: Any, link: Any) -> tuple[float, float, float, float] | None:
    rectangle = raw.FS_RECTF()
    if not raw.FPDFLink_GetAnnotRect(link, ctypes.byref(rectangle)):
        return None
    # Through the device, so that turned and cropped pages come out right.
    (x1, y1), (x2, y2) = (_seen(page, x, y) for x, y in ((rectangle.left, rectangle.top), (rectangle.right, rectangle.bottom)))
    return round(min(x1, x2), 5), round(min(y1, y2), 5), round(abs(x2 - x1), 5), round(abs(y2 - y1), 5)


def _seen(page: Any, x: float, y: float) -> tuple[float, float]:
    right, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page, 0, 0, _UNITS, _UNITS, 0, x, y, ctypes.byref(right), ctypes.byref(down))
    return right.value / _UNITS, down.value / _UNITS


def _target(document: Any, link: Any, sizes: list[tuple[float, float]]) -> tuple[int, float, str] | None:
    """Page, how far down in it, URL; None for what leads nowhere we go."""
    destination = raw.FPDFLink_GetDest(document, link)
    action = raw.FPDFLink_GetAction(link)
    if not destination and action:
        if raw.FPDFAction_GetType(action) == raw.PDFACTION_URI:
            url = _url(document, action)
            return (-1, 0.0, url) if url.lower().startswith(_SCHEMES) else None
        if raw.FPDFAction_GetType(action) == raw.PDFACTION_GOTO:
            destination = raw.FPDFAction_GetDest(document, action)
    page = raw.FPDFDest_GetDestPageIndex(document, destination) if destination else -1
    return (page, _down(destination, sizes[page][1]), "") if 0 <= page < len(sizes) else None


def _url(document: Any, action: Any) -> str:
    size = raw.FPDFAction_GetURIPath(document, action, None, 0)
    buffer = ctypes.create_string_buffer(size)
    raw.FPDFAction_GetURIPath(document, action, buffer, size)
    return buffer.value.decode("utf-8", "replace")


def _down(destination: Any, height: float) -> float:
    """As a share of the page's height. The top of a page that is turned or cropped may be missed by a little."""
    has_x, has_y, has_zoom = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    x, y, zoom = ctypes.c_float(), ctypes.c_float(), ctypes.c_float()
    flags = (ctypes.byref(has_x), ctypes.byref(has_y), ctypes.byref(has_zoom))
    told = raw.FPDFDest_GetLocationInPage(destination, *flags, ctypes.byref(x), ctypes.byref(y), ctypes.byref(zoom))
    return round(min(1.0, max(0.0, 1 - y.value / height)), 4) if told and has_y.value else 0.0
