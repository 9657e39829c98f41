"""The drawing process: answers questions about PDF files until its standard input ends.

Knows no page, no version and no browser. A process of its own, because a broken PDF may bring PDFium down, and because drawing must
not hold up what watches and builds.
"""

import ctypes
import mmap
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pypdfium2
import xxhash

from cpods.preview import png
from cpods.preview.frames import LENGTHS, Answer, Question, pack
from cpods.preview.links import links_of

#: Open documents: the newest and the one before it, of a few goals.
_OPEN_MAX = 6

#: A drawn page may not be larger than this, whatever its shape: A4 at 4,000 pixels in width.
_PIXELS_MAX = 24_000_000


class Draughtsman:
    """Answers one question after the other."""

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}
        self._answers: dict[str, Callable[[Question], tuple[Answer, bytes]]] = {
            "sizes": self._sizes,
            "text": self._text,
            "links": self._links,
            "draw": self._draw,
        }

    def answer(self, question: Question) -> tuple[Answer, bytes]:
        """An answer and its body; what goes wrong is an answer too."""
        try:
            return self._answers[question.kind](question)
        except Exception as error:  # a file may be wrong in any way, and the next question may be about a good one
            return Answer(error=str(error).rstrip(".") or type(error).__name__), b""

    def _document(self, path: str) -> Any:
        document = self._open.pop(path, None)
        if document is None:
            while len(self._open) >= _OPEN_MAX:
                self._open.pop(next(iter(self._open))).close()
            document = pypdfium2.PdfDocument(_mapped(path))
        self._open[path] = document  # the youngest stands last
        return document

    def _sizes(self, question: Question) -> tuple[Answer, bytes]:
        # Asked once for each new file, whose path may be that of a closed one.
        old = self._open.pop(question.path, None)
        if old is not None:
            old.close()
        document = self._document(question.path)
        sizes = _sizes_of(document)
        if not sizes:
            raise ValueError("it has no pages")
        return Answer(sizes=sizes), b""

    def _text(self, question: Question) -> tuple[Answer, bytes]:
        page = self._document(question.path)[question.page]
        try:
            text = page.get_textpage()
            try:
                return Answer(text=text.get_text_range()), b""
            finally:
                text.close()
        finally:
            page.close()

    def _links(self, question: Question) -> tuple[Answer, bytes]:
        document = self._document(question.path)
        page = document[question.page]
        try:
            return Answer(links=links_of(document, page, _sizes_of(document))), b""
        finally:
            page.close()

    def _draw(self, question: Question) -> tuple[Answer, bytes]:
        page = self._document(question.path)[question.page]
        try:
            width, height = page.get_size()
            # PDFium rounds up: a hair less gives exactly the width that was asked for.
            scale = min((question.width - 0.01) / width, (_PIXELS_MAX / (width * height)) ** 0.5)
            bitmap = page.render(scale=scale, rev_byteorder=True)
        finally:
            page.close()
        try:
            pixels = _tight(bytes(bitmap.buffer), 3 * bitmap.width, bitmap.stride)
            digest = f"{bitmap.width}-{xxhash.xxh3_128_hexdigest(pixels)}"
            known = digest == question.known
            return Answer(digest=digest), b"" if known else png.encode(pixels, bitmap.width, bitmap.height)
        finally:
            bitmap.close()


def _sizes_of(document: Any) -> list[tuple[float, float]]:
    return [document.get_page_size(page) for page in range(len(document))]


def _mapped(path: str) -> Any:
    """The file's bytes, read when they are needed. By descriptor: pypdfium2 would look for the name, and our copies have none."""
    with open(path, "rb") as file:
        if not (size := os.fstat(file.fileno()).st_size):
            raise ValueError("it is empty")
        return (ctypes.c_ubyte * size).from_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _tight(pixels: bytes, row: int, stride: int) -> bytes:
    """Rows of ``row`` bytes without what pads them to ``stride``."""
    if row == stride:
        return pixels
    return b"".join(pixels[start : start + row] for start in range(0, len(pixels), stride))


def main() -> int:
    """Serves the socket that is our standard input, until its other end is closed."""
    draughtsman = Draughtsman()
    with socket.socket(fileno=0) as line, line.makefile("rwb") as stream:
        while len(lengths := stream.read(LENGTHS.size)) == LENGTHS.size:
            head, _ = LENGTHS.unpack(lengths)
            question = msgspec.json.decode(stream.read(head), type=Question)
            stream.write(pack(*draughtsman.answer(question)))
            stream.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
