"""Frames and gaps as bytes: a small checked header, then the picture as JPEG.

    magic (3 bytes), CRC-32 of all that follows (4), kind (1), size of the header (2), header (MessagePack), JPEG

A gap is a header alone. It travels among the frames of its camera, in the same partition, so that whoever reads them
learns at the right place in the order what was not seen.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TypeVar

import cv2
import msgspec
import numpy as np

from operators.errors import DecodeError
from operators.records import Clock, Frame, Gap, Image

__all__ = ["FrameHead", "decode_frame", "decode_head", "encode_frame"]

MAGIC = b"mi1"
FRAME, GAP = b"F", b"G"
LARGEST_PIXELS = 64 * 1024 * 1024
"""More than any camera sends; what claims more is not decoded."""
_START = struct.Struct(">3sI")
_KIND = struct.Struct(">cH")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FrameHead:
    """What is known of a frame without decoding its picture; `width` and `height` in pixels."""

    camera_id: str
    epoch: int
    seq: int
    ts: float
    clock: Clock
    width: int
    height: int


def encode_frame(item: Frame | Gap, /, *, quality: int = 75) -> bytes:
    """The bytes of a frame, its picture as JPEG of that quality (1 to 95), or of a gap."""
    if isinstance(item, Gap):
        return _packed(GAP, msgspec.msgpack.encode(item), b"")
    height, width = item.image.shape[:2]
    head = FrameHead(item.camera_id, item.epoch, item.seq, item.ts, item.clock, width, height)
    return _packed(FRAME, msgspec.msgpack.encode(head), _jpeg(item.image, quality))


def decode_head(data: bytes) -> FrameHead | Gap:
    """The header alone, to see at little cost whether a frame is worth decoding; DecodeError as `decode_frame`."""
    return _opened(data)[0]


def decode_frame(data: bytes) -> Frame | Gap:
    """Read what `encode_frame` wrote. Raises DecodeError for anything else, down to one flipped bit."""
    head, picture = _opened(data)
    if isinstance(head, Gap):
        return head
    image = _image(picture)
    if image is None or image.shape != (head.height, head.width, 3):
        got = "none" if image is None else f"{image.shape[1]}x{image.shape[0]}"
        raise DecodeError(f"expected a JPEG picture of {head.width}x{head.height}, got {got}")
    return Frame(head.camera_id, head.epoch, head.seq, head.ts, head.clock, image)


def _packed(kind: bytes, head: bytes, picture: bytes) -> bytes:
    described = _KIND.pack(kind, len(head)) + head
    checksum = zlib.crc32(picture, zlib.crc32(described))
    return b"".join((_START.pack(MAGIC, checksum), described, picture))


def _opened(data: bytes) -> tuple[FrameHead | Gap, memoryview]:
    """The header, and the bytes of the picture."""
    if len(data) < _START.size + _KIND.size or not data.startswith(MAGIC):
        raise DecodeError(f"expected a frame or gap that begins with {MAGIC!r}, got {len(data)} bytes that don't")
    body = memoryview(data)[_START.size :]
    if zlib.crc32(body) != _START.unpack_from(data)[1]:
        raise DecodeError(f"expected a frame or gap as it was sent, got {len(data)} bytes that are damaged")
    kind, size = _KIND.unpack_from(body)
    described, picture = body[_KIND.size :][:size], body[_KIND.size + size :]
    if kind == GAP:
        return _unpacked(described, Gap), picture
    if kind != FRAME:
        raise DecodeError(f"expected a frame or a gap, got a record of kind {kind!r} from another version")
    head = _unpacked(described, FrameHead)
    if not 0 < head.width * head.height <= LARGEST_PIXELS:
        raise DecodeError(f"expected a picture of at most {LARGEST_PIXELS} pixels, got {head.width}x{head.height}")
    return head, picture


def _unpacked(data: memoryview, type_: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(data, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"expected the header of a {type_.__name__}, got {len(data)} bytes: {error}") from error


def _jpeg(image: Image, quality: int) -> bytes:
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"expected a picture (H, W, 3) that fits a JPEG, got {image.shape}")
    return encoded.tobytes()


def _image(jpeg: memoryview) -> Image | None:
    """`(H, W, 3)` uint8 RGB, or None for what is no picture."""
    if not jpeg:
        return None
    try:
        return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]
    except cv2.error:  # it claims more pixels than OpenCV takes
        return None
