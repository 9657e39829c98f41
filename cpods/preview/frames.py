"""What the preview and its drawing process say to each other: a question, an answer, and how they lie on a socket.

Knows no PDF. A frame is two lengths (4 bytes each, big endian), a JSON head and a body of bytes.
"""

import struct
from typing import Literal

import msgspec

LENGTHS = struct.Struct(">II")


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """``sizes``: of all pages; ``text``, ``links``: of one page; ``draw``: one page, ``width`` pixels wide, unless it still is ``known``.

    ``path``: a PDF file that will not change while it is asked about. ``page`` counts from 0.
    """

    kind: Literal["sizes", "text", "links", "draw"]
    path: str
    page: int = 0
    width: int = 0
    known: str = ""


class Link(msgspec.Struct, frozen=True):
    """``box``: left, top, width and height as shares of the page's. Leads to ``page``, ``down`` of its height; or, page -1, to ``url``."""

    box: tuple[float, float, float, float]
    page: int
    down: float
    url: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """``error``: one sentence, nothing else counts then. ``sizes``: width and height of each page in points.

    ``digest``: of a drawn page's pixels; the body holds its PNG, or nothing if the digest was known.
    """

    error: str = ""
    sizes: list[tuple[float, float]] = []
    text: str = ""
    links: list[Link] = []
    digest: str = ""


def pack(head: msgspec.Struct, body: bytes = b"") -> bytes:
    """The bytes of a frame."""
    encoded = msgspec.json.encode(head)
    return LENGTHS.pack(len(encoded), len(body)) + encoded + body
