"""Writes PNG images: rows of grey or RGB bytes in, one file's bytes out.

Knows no PDF. Only what a page on loopback needs: 8 bits a channel, no filter, little compression, much speed.
"""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2

#: Higher levels cost several times the time, and loopback does not care about bytes.
_LEVEL = 1


def encode(pixels: bytes, width: int, height: int) -> bytes:
    """PNG of ``pixels``, RGB bytes in rows from the top without padding; smaller as grey, if no pixel has a colour.

    Raises ValueError if there are not ``3 * width * height`` bytes.
    """
    if len(pixels) != 3 * width * height:
        raise ValueError(f"{len(pixels)} bytes are not {width} x {height} RGB pixels")
    red = pixels[::3]
    if red == pixels[1::3] == pixels[2::3]:
        return _file(red, width, height, _GREY, width)
    return _file(pixels, width, height, _RGB, 3 * width)


def _file(rows: bytes, width: int, height: int, colour: int, stride: int) -> bytes:
    # Each row starts with the number of its filter: 0, none.
    filtered = b"".join(part for start in range(0, stride * height, stride) for part in (b"\0", rows[start : start + stride]))
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(filtered, _LEVEL)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
