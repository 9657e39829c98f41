"""Writes small PDF files: pages of text lines, in one of the fonts that every viewer has.

Knows no preview.
"""

from collections.abc import Sequence


def pdf(
    pages: Sequence[str], size: tuple[int, int] = (595, 842), colour: str = "0 0 0", links: Sequence[str] = (), turned: int = 0
) -> bytes:
    """A PDF file of ``pages``, each its lines of ASCII; ``size`` in points; ``colour``: red, green and blue of the text, 0 to 1.

    ``links``: rectangles and actions on every page, in PDF's own words; page n (from 0) is object 4 + 2n. ``turned``: degrees.
    """
    annotations = " ".join(f"<< /Type /Annot /Subtype /Link {link} >>" for link in links)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} /MediaBox [0 0 {size[0]} {size[1]}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        drawn = _content(text, size[1], colour)
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /Contents {5 + 2 * number} 0 R "
            f"/Rotate {turned} /Annots [{annotations}] /Resources << /Font << /F 3 0 R >> >> >>".encode()
        )
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    return _file(bodies)


def _content(text: str, height: int, colour: str) -> bytes:
    lines = "".join(f"({line.translate(_ESCAPES)}) Tj T*\n" for line in text.split("\n"))
    return f"{colour} rg BT /F 14 Tf 18 TL 60 {height - 80} Td\n{lines}ET".encode("ascii")


_ESCAPES = str.maketrans({"(": r"\(", ")": r"\)", "\\": r"\\"})


def _file(bodies: Sequence[bytes]) -> bytes:
    written = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, start)
    return bytes(written)
