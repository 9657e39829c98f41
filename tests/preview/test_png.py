"""PNG images, read back by the format's own rules."""

import struct
import zlib

import pytest

from cpods.preview import png


def read(image: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, channels and pixels."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(image):
        size, name = struct.unpack(">I4s", image[place : place + 8])
        data = image[place + 8 : place + 8 + size]
        assert zlib.crc32(name + data) == int.from_bytes(image[place + 8 + size : place + 12 + size], "big")
        chunks[name] = data
        place += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8 and rest == [0, 0, 0]
    channels = {0: 1, 2: 3}[colour]
    rows, stride = zlib.decompress(chunks[b"IDAT"]), 1 + width * channels
    assert len(rows) == stride * height and not any(rows[::stride])
    return width, height, channels, b"".join(rows[start + 1 : start + stride] for start in range(0, len(rows), stride))


def test_colours() -> None:
    pixels = bytes(range(2 * 3 * 3))
    assert read(png.encode(pixels, 2, 3)) == (2, 3, 3, pixels)


def test_grey_takes_a_third() -> None:
    grey = bytes([0, 50, 255, 7, 8, 9])
    assert read(png.encode(bytes(value for value in grey for _ in range(3)), 3, 2)) == (3, 2, 1, grey)


def test_a_wrong_number_of_bytes() -> None:
    with pytest.raises(ValueError, match="10 bytes are not 2 x 3 RGB pixels"):
        png.encode(bytes(10), 2, 3)
