"""Reads one object of a PDF that lies in an object stream, as engines put the catalogue there.

Knows no meaning of any object, and finds nothing whenever it is not sure (PDF 32000-1, 7.5.7 and 7.5.8).
"""

import re
import zlib

_HEAD = re.compile(rb"\d+\s+0\s+obj\b\s*")
_STREAM = re.compile(rb"\bstream\r?\n")
_INTEGERS = re.compile(rb"\d+")
_OBJECTS_MAX = 1 << 20
_PLAIN, _COMPRESSED = 1, 2

Entry = tuple[int, int, int]


def compressed_object(data: bytes, table: int, number: int) -> bytes | None:
    """The text of object ``number``; ``table``: where the file's only cross-reference stream starts. None if in doubt."""
    try:
        dictionary, rows = _stream(data, table)
        kind, stream, place = _entry(dictionary, rows, number)
        if kind != _COMPRESSED:
            return None
        kind, offset, _ = _entry(dictionary, rows, stream)
        if kind != _PLAIN:
            return None
        found, text = _members(data, offset)[place]
        return text if found == number else None
    except (zlib.error, IndexError, KeyError, ValueError):
        return None


def _entry(dictionary: bytes, rows: bytes, number: int) -> Entry:
    """(kind, offset or object stream, generation or place there) of an object, by a cross-reference stream. Raises KeyError.

    Only its row is read: a file has thousands, and every pass of a document asks for all figures in its folder.
    """
    widths = _numbers(dictionary, b"W")
    index = _numbers(dictionary, b"Index") or [0, _integer(dictionary, b"Size")]
    if len(widths) != 3 or len(index) % 2 or sum(index[1::2]) > _OBJECTS_MAX:
        raise ValueError("no cross-reference stream")
    row, found = 0, -1
    for first, count in zip(index[::2], index[1::2], strict=True):
        if first <= number < first + count:
            found = row + number - first  # of several the last one counts
        row += count
    if found < 0:
        raise KeyError(number)
    at = found * sum(widths)
    fields = []
    for width in widths:
        fields.append(int.from_bytes(rows[at : at + width], "big") if width else _PLAIN)
        at += width
    return fields[0], fields[1], fields[2]


def _members(data: bytes, offset: int) -> list[tuple[int, bytes]]:
    """(number, text) of the objects in the object stream at an offset."""
    dictionary, content = _stream(data, offset)
    count, first = _integer(dictionary, b"N"), _integer(dictionary, b"First")
    numbers = [int(number) for number in _INTEGERS.findall(content[:first])][: 2 * count]
    starts = [first + start for start in numbers[1::2]]
    return [(number, content[start:end]) for number, start, end in zip(numbers[::2], starts, [*starts[1:], len(content)], strict=True)]


def _stream(data: bytes, offset: int) -> tuple[bytes, bytes]:
    """(dictionary, content) of the stream object at an offset: deflated, without a predictor, its length in itself."""
    head, start = _HEAD.match(data, offset), _STREAM.search(data, offset)
    if head is None or start is None or b"/DecodeParms" in data[head.end() : start.start()]:
        raise ValueError("no plain stream")
    dictionary = data[head.end() : start.start()]
    if not re.search(rb"/Filter\s*/FlateDecode\b", dictionary):
        raise ValueError("another filter")
    return dictionary, zlib.decompress(data[start.end() : start.end() + _integer(dictionary, b"Length")])


def _integer(dictionary: bytes, key: bytes) -> int:
    found = re.search(rb"/" + key + rb"\s+(\d+)\s*(?=[/>])", dictionary)
    if found is None:
        raise ValueError("no number")
    return int(found[1])


def _numbers(dictionary: bytes, key: bytes) -> list[int]:
    found = re.search(rb"/" + key + rb"\s*\[([\d\s]*)\]", dictionary)
    return [int(number) for number in _INTEGERS.findall(found[1])] if found else []
