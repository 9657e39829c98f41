"""What an engine that includes a PDF draws from it: all but the document's dates and /ID.

Knows no step; of the PDF format only what it must, and leaves a file alone whenever it is not sure.

Engines take pages and what those refer to; never the trailer, its /ID, or the catalogue's metadata. pdfTeX and LuaTeX do
copy the Info dictionary, as the /PTEX.InfoDict of the drawing, but nothing shows it. Values are overwritten by zeros of
the same length, so that the result is itself a valid PDF with the same offsets (PDF 32000-1, 7.5.5, 14.3, 14.4). ConTeXt
repeats its date in an ID of its own in the Info dictionary and in the metadata.
"""

import re

from cpods.chefs.pdfobjects import compressed_object

FILTER = "pdf-dates/2"

_DATES = re.compile(
    rb"/(?:CreationDate|ModDate|ID|ConTeXt\.Time)\s*(?:\((?P<text>(?:[^()\\]|\\.){0,300})\)|<(?P<hex>[0-9A-Fa-f\s]{0,160})>)",
    re.DOTALL,
)
_IDENTITY = re.compile(rb"/ID\s*\[\s*<(?P<first>[0-9A-Fa-f\s]*)>\s*<(?P<second>[0-9A-Fa-f\s]*)>\s*\]")
_XMP = re.compile(
    rb"<(?P<tag>xmp:(?:CreateDate|ModifyDate|MetadataDate)|pdf:(?:CreationDate|ModDate)|xap:(?:CreateDate|ModifyDate|MetadataDate)"
    rb"|(?:xmpMM|xapMM):(?:DocumentID|InstanceID)|pdfx:(?:ID|ConTeXt\.Time))>(?P<text>[^<]{0,300})</(?P=tag)>"
    rb"|\b(?:xmp|xap):(?:CreateDate|ModifyDate|MetadataDate)=(?P<quote>['\"])(?P<value>[^'\"<]{0,100})(?P=quote)"
    rb"|\b(?:xmpMM|xapMM):(?:DocumentID|InstanceID)=(?P<quote2>['\"])(?P<value2>[^'\"<]{0,100})(?P=quote2)"
)
_START = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*$")
_REFERENCE_BYTES_MAX = 1 << 16

Span = tuple[int, int]


def without_dates(data: bytes) -> bytes:
    """The PDF with the dates of its Info dictionary and catalogue metadata and its /ID zeroed; unchanged if in doubt.

    Two files that differ by these alone give the same result.
    """
    trailer = _trailer(data)
    if trailer is None:
        return data
    text = data[trailer[0] : trailer[1]]
    if b"/Encrypt" in text or b"/Prev" in text:
        # Encrypted: the /ID is part of the key. Several revisions: which object counts is not this module's business.
        return data
    view = bytearray(data)
    _zero(view, data, trailer, _IDENTITY)
    if info := _object(data, text, b"Info"):
        _zero(view, data, info, _DATES)
    if metadata := _object(data, _catalogue(data, trailer), b"Metadata"):
        _zero(view, data, metadata, _XMP)
    return bytes(view)


def _catalogue(data: bytes, trailer: Span) -> bytes:
    """The text of the catalogue, which may lie in an object stream; empty if it is not found."""
    text = data[trailer[0] : trailer[1]]
    if root := _object(data, text, b"Root"):
        return data[root[0] : root[1]]
    number = re.search(rb"/Root\s+(\d+)\s+0\s+R\b", text)
    return (compressed_object(data, trailer[0], int(number[1])) or b"") if number else b""


def _zero(view: bytearray, data: bytes, span: Span, pattern: re.Pattern[bytes]) -> None:
    """Overwrites digits and hex letters of every named value that the pattern finds within the span."""
    for found in pattern.finditer(data, *span):
        for group, value in found.groupdict().items():
            if value is not None and group not in ("tag", "quote", "quote2"):
                start, end = found.span(group)
                view[start:end] = re.sub(rb"[0-9A-Fa-f]", b"0", value)


def _trailer(data: bytes) -> Span | None:
    """Where the only trailer dictionary is: behind ``trailer``, or at the head of the cross-reference stream."""
    start = _START.search(data, max(0, len(data) - 1024))
    if not data.startswith(b"%PDF-") or start is None:
        return None
    if data.count(b"trailer") == 1 and data.count(b"startxref") == 1:
        # Also with a wrong offset, which readers repair in this very way.
        return data.index(b"trailer"), start.start()
    offset = int(start[1])
    end = data.find(b"stream", offset)
    is_stream = re.match(rb"\d+ \d+ obj\b", data[offset : offset + 32]) and 0 < end < offset + _REFERENCE_BYTES_MAX
    return (offset, end) if is_stream and b"/XRef" in data[offset:end] else None


def _object(data: bytes, dictionary: bytes, key: bytes) -> Span | None:
    """Where the plain (not compressed) object is that ``dictionary`` names under ``key``; None unless there is exactly one."""
    reference = re.search(rb"/" + key + rb"\s+(\d+)\s+(\d+)\s+R\b", dictionary)
    if reference is None:
        return None
    # The digits come first, so that the search can skip to them: a look-behind there costs 30 ms a megabyte.
    heads = re.finditer(reference[1] + rb"\s+" + reference[2] + rb"\s+obj\b", data)
    found = [head for head in heads if not data[head.start() - 1 : head.start()].isdigit()]
    if len(found) != 1:
        return None
    end = data.find(b"endobj", found[0].end())
    return (found[0].end(), end) if end > 0 else None
