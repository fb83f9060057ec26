"""Pictures that somebody sends: what they are is read from their first bytes, before anything is decoded.

JPEG, PNG, WebP and BMP. Sizes are checked before there is an image of that size; what the header says is compared with
what came out.
"""

from __future__ import annotations

import re
import struct

import cv2
import numpy as np

from operators.errors import DecodeError
from operators.records import Image

__all__ = ["LONGEST_SIDE", "TooLargeError", "UnknownTypeError", "decoded", "size_of"]

LONGEST_SIDE = 4096
MOST_SCANS = 64
"""A progressive JPEG has about ten; one of thousands in few bytes would keep a core busy for hours."""
MOST_MARKERS = 1000
"""So far a JPEG is searched for its size."""
_STARTS = re.compile(
    rb"(?P<jpeg>\xff\xd8\xff)|(?P<png>\x89PNG\r\n\x1a\n)|(?P<webp>RIFF....WEBP)|(?P<bmp>BM)", re.DOTALL
)
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
"""Markers of a JPEG that give its size."""
_ALONE = (0x00, 0x01, *range(0xD0, 0xD9))
"""Markers of a JPEG without a length."""

Size = tuple[int, int]
"""Width and height."""


class UnknownTypeError(DecodeError):
    """None of the types of pictures that are read."""


class TooLargeError(DecodeError):
    """More pixels than are read."""


def decoded(data: bytes) -> Image:
    """A picture as `(H, W, 3)` RGB, upright as its EXIF orientation says; the first one where there are several.

    Raises UnknownTypeError, TooLargeError, and DecodeError for damage.
    """
    width, height = size = size_of(data)
    if max(size) > LONGEST_SIDE:
        raise TooLargeError(
            f"expected a picture of at most {LONGEST_SIDE} x {LONGEST_SIDE} px, got {width} x {height}: scale it down"
        )
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MOST_SCANS:
        raise DecodeError(f"expected a JPEG of at most {MOST_SCANS} scans: save it anew")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise _damaged() from error
    if image is None or sorted(image.shape[:2]) != sorted(size):
        raise _damaged()
    return np.asarray(image, np.uint8)


def size_of(data: bytes) -> Size:
    """Width and height as the header says; raises UnknownTypeError, and DecodeError where there is no size."""
    found = _STARTS.match(data)
    if found is None:
        raise UnknownTypeError("expected a picture as JPEG, PNG, WebP or BMP")
    readers = {"jpeg": _size_of_jpeg, "png": _size_of_png, "webp": _size_of_webp, "bmp": _size_of_bmp}
    try:
        size = readers[str(found.lastgroup)](data)
    except (struct.error, IndexError) as error:
        raise _damaged() from error
    if min(size) < 1:
        raise _damaged()
    return size


def _size_of_png(data: bytes) -> Size:
    name, width, height = struct.unpack_from(">4sII", data, 12)
    if name != b"IHDR":
        raise _damaged()
    return width, height


def _size_of_bmp(data: bytes) -> Size:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)


def _size_of_webp(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _size_of_jpeg(data: bytes) -> Size:
    """That of the first frame header: a decoder refuses a second one."""
    at = 2
    for _ in range(MOST_MARKERS):
        at = data.find(b"\xff", at)
        marker = data[at + 1] if at >= 0 else 0
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if at < 0:
            break
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise _damaged()


def _damaged() -> DecodeError:
    return DecodeError("the picture is damaged: it can't be decoded")
