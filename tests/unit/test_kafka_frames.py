from __future__ import annotations

import struct
import zlib

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka_frames import MAGIC, FrameHead, decode_frame, decode_head, encode_frame
from operators.errors import DecodeError
from operators.records import Clock, Frame, Gap, GapReason

GAP = Gap("lobby", 1000.25, 1002.5, GapReason.DOWN, 7)


def frame(*, width: int = 64, height: int = 48) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (200, 30, 30)
    image[:, width // 2 :] = (30, 30, 200)
    return Frame("lobby", 1_763_738_000_000, 5, 1_763_738_001.5, Clock.SENDER, image)


def test_a_frame_comes_back_as_it_was_but_for_the_losses_of_jpeg() -> None:
    sent = frame()
    got = decode_frame(encode_frame(sent, quality=90))
    assert isinstance(got, Frame)
    assert (got.camera_id, got.epoch, got.seq, got.ts, got.clock) == (
        sent.camera_id,
        sent.epoch,
        sent.seq,
        sent.ts,
        sent.clock,
    )
    assert got.image.shape == sent.image.shape
    assert np.abs(got.image.astype(int) - sent.image).mean() < 3, "red stays red"


def test_a_gap_comes_back_exactly() -> None:
    assert decode_frame(encode_frame(GAP)) == GAP
    assert decode_head(encode_frame(GAP)) == GAP


def test_the_head_says_what_the_frame_is_without_its_picture() -> None:
    sent = frame()
    assert decode_head(encode_frame(sent)) == FrameHead(
        sent.camera_id, sent.epoch, sent.seq, sent.ts, sent.clock, width=64, height=48
    )


def test_a_lower_quality_takes_fewer_bytes() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    sent = Frame("lobby", 1, 0, 0.0, Clock.MEDIA, noise)
    assert len(encode_frame(sent, quality=45)) < len(encode_frame(sent, quality=75))


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), of_gap=st.booleans())
def test_one_flipped_bit_is_poison(position: int, bit: int, of_gap: bool) -> None:
    data = bytearray(encode_frame(GAP if of_gap else frame()))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(DecodeError):
        decode_frame(bytes(data))


@given(data=st.binary(max_size=200), begins=st.booleans())
def test_anything_else_is_poison(data: bytes, begins: bool) -> None:
    with pytest.raises(DecodeError):
        decode_frame(MAGIC * begins + data)


@given(share=st.floats(0, 0.999))
def test_a_part_is_poison(share: float) -> None:
    data = encode_frame(frame())
    with pytest.raises(DecodeError):
        decode_frame(data[: int(len(data) * share)])


def sealed(kind: bytes, head: object, picture: bytes) -> bytes:
    """A record with a checksum that is right, as another program might write it."""
    packed = msgspec.msgpack.encode(head)
    body = struct.pack(">cH", kind, len(packed)) + packed + picture
    return MAGIC + struct.pack(">I", zlib.crc32(body)) + body


HEAD = {"camera_id": "a", "epoch": 1, "seq": 2, "ts": 3.0, "clock": "media", "width": 8, "height": 8}
BLACK = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("kind", "head", "picture", "said"),
    [
        (b"F", HEAD, b"", "JPEG picture of 8x8, got none"),
        (b"F", HEAD, b"no JPEG", "JPEG picture of 8x8, got none"),
        (b"F", HEAD | {"width": 9}, BLACK, "JPEG picture of 9x8, got 8x8"),
        (b"F", HEAD | {"width": 100_000, "height": 100_000}, BLACK, "got 100000x100000"),
        (b"F", HEAD | {"width": -8, "height": -8}, b"", "expected a JPEG picture"),
        (b"F", HEAD | {"clock": "sundial"}, BLACK, "header of a FrameHead"),
        (b"F", {"camera_id": "a"}, BLACK, "header of a FrameHead"),
        (b"G", {"camera_id": "a"}, b"", "header of a Gap"),
        (b"X", HEAD, BLACK, "another version"),
    ],
)
def test_what_is_wrong_inside_is_said(kind: bytes, head: object, picture: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        decode_frame(sealed(kind, head, picture))


def test_a_frame_of_another_program_is_read() -> None:
    got = decode_frame(sealed(b"F", HEAD | {"added later": 1}, BLACK))
    assert isinstance(got, Frame)
    assert got.camera_id == "a"
