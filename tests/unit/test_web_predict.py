"""One picture in, its faces out: the same as in a stream, within limits, whatever is sent."""

from __future__ import annotations

import base64
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from connectors.scene import load_figure, render
from operators.analyze import Analyzer
from operators.errors import DecodeError, ModelError
from operators.records import Clock, Frame, Image
from pipeline.build import build_analyzer
from pipeline.web.predict import LARGEST, LOOKED_AT, WAITING, Predictor, faces_of
from pipeline.web.uploads import LONGEST_SIDE, TooLargeError, UnknownTypeError, decoded, size_of
from tests.web_bed import asking, site_of, sources_of

SUFFIXES = (".jpg", ".png", ".webp", ".bmp")


def encoded(image: Image, suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image, options)[1].tobytes()


def header_of_png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


def turned(jpeg: bytes, orientation: int) -> bytes:
    """The same JPEG with an EXIF orientation."""
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + b"\x00" * 4
    exif = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def part(disposition: str) -> bytes:
    return f"--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\na\r\n--x--\r\n".encode()


@pytest.fixture(scope="module")
def picture() -> Image:
    return render(load_figure("smile"), 8.0)


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return build_analyzer(site_of(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def http(analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    site = site_of(tmp_path_factory.mktemp("predict"))
    with sources_of(site, analyzer=lambda: analyzer) as sources, asking(sources) as client:
        yield client


def predicted(http: httpx.Client, data: bytes) -> dict[str, Any]:
    answer = http.post("/predict", files={"picture": ("any", data)})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestFaces:
    def test_a_picture_reads_as_the_first_frame_of_a_stream(
        self, http: httpx.Client, analyzer: Analyzer, picture: Image
    ) -> None:
        _, (seen,) = analyzer.step(None, [Frame("a", 1, 1, 1.0, Clock.STREAM, picture)])
        found = predicted(http, encoded(picture, ".png"))
        assert (found["height"], found["width"]) == picture.shape[:2]
        assert len(found["faces"]) == len(seen.faces) > 0
        for face, tracked in zip(found["faces"], seen.faces, strict=True):
            assert face["box"] == pytest.approx(tracked.xyxy, abs=0.06)
            assert face["scores"] == pytest.approx(tracked.scores, abs=1e-4)
            assert (face["label"], face["reasons"]) == (tracked.label, list(tracked.reasons))
            assert face["confidence"] == pytest.approx(tracked.confidence, abs=1e-4)
            assert face["quality"] == pytest.approx(tracked.quality, abs=1e-4)
            assert set(face) == {"box", "confidence", "label", "scores", "source_px", "quality", "reasons"}

    def test_base64_in_json_is_the_same(self, http: httpx.Client, picture: Image) -> None:
        data = encoded(picture, ".jpg")
        text = base64.b64encode(data).decode()
        expected = predicted(http, data)
        for written in (
            text,
            f"data:image/jpeg;base64,{text}",
            "\n".join(text[i : i + 76] for i in range(0, 9999, 76)) + text[10032:],
        ):
            assert http.post("/predict", json={"picture": written}).json() == expected

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_every_type_is_read(self, http: httpx.Client, picture: Image, suffix: str) -> None:
        assert len(predicted(http, encoded(picture, suffix))["faces"]) > 0

    @pytest.mark.parametrize(("orientation", "quarters"), [(1, 0), (3, 2), (6, 1), (8, 3)])
    def test_a_picture_is_turned_upright(
        self, http: httpx.Client, picture: Image, orientation: int, quarters: int
    ) -> None:
        lying = np.ascontiguousarray(np.rot90(picture, quarters))
        found = predicted(http, turned(encoded(lying, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100), orientation))
        upright = predicted(http, encoded(picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100))
        assert (found["width"], found["height"]) == (upright["width"], upright["height"])
        assert [one["label"] for one in found["faces"]] == [one["label"] for one in upright["faces"]]
        assert found["faces"][0]["box"] == pytest.approx(upright["faces"][0]["box"], abs=4)

    def test_a_large_picture_is_looked_at_in_a_smaller_copy(self, analyzer: Analyzer, picture: Image) -> None:
        large = np.asarray(cv2.resize(picture, None, fx=4, fy=4), np.uint8)
        assert max(large.shape) > LOOKED_AT
        small_faces, large_faces = faces_of(analyzer, picture), faces_of(analyzer, large)
        assert len(large_faces) == len(small_faces)
        for small, grown in zip(small_faces, large_faces, strict=True):
            assert grown.xyxy == pytest.approx([4 * edge for edge in small.xyxy], abs=0.2 * grown.source_px)
            assert grown.source_px == pytest.approx(4 * small.source_px, rel=0.2)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (11, 13), (4096, 2)])
    def test_a_picture_without_a_face_has_none(self, analyzer: Analyzer, shape: tuple[int, int]) -> None:
        assert faces_of(analyzer, np.full((*shape, 3), 128, np.uint8)) == ()

    def test_nothing_is_written_to_the_disk(
        self, http: httpx.Client, picture: Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = encoded(np.tile(picture, (2, 2, 1)), ".bmp")
        assert 2_000_000 < len(data) < LARGEST
        monkeypatch.setattr(tempfile, "TemporaryFile", None)  # what a large form would be put into
        assert len(predicted(http, data)["faces"]) > 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "status", "said"),
        [
            (b"", 415, "expected a picture as JPEG, PNG, WebP or BMP"),
            (b"GIF89a\x01\x00\x01\x00", 415, "expected a picture as JPEG"),
            (b"<svg/>", 415, "expected a picture as JPEG"),
            (header_of_png(5000, 10), 413, "at most 4096 x 4096 px, got 5000 x 10"),
            (header_of_png(2**31 - 1, 2**31 - 1), 413, "scale it down"),
            (header_of_png(10, 10), 422, "damaged"),
            (header_of_png(0, 10), 422, "damaged"),
            (b"\xff\xd8\xff" + b"\xff" * 100_000, 422, "damaged"),
            (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x09\x00\x09" + b"\xff\xda\x00\x02" * 100, 422, "at most 64 scans"),
            (b"BM" + b"\x00" * 5, 422, "damaged"),
            (b"BM" + bytes(LARGEST), 413, "at most 8388608 bytes"),
        ],
        ids=lambda value: "" if isinstance(value, bytes) else str(value),
    )
    def test_what_can_t_be_read_is_said(self, http: httpx.Client, data: bytes, status: int, said: str) -> None:
        for answer in (
            http.post("/predict", files={"picture": ("any", data)}),
            http.post("/predict", json={"picture": base64.b64encode(data).decode()}),
        ):
            assert answer.status_code == status, answer.text
            assert said in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            (b"{", "application/json", 422),
            (b"[]", "application/json", 422),
            (b'{"picture": 7}', "application/json", 422),
            (b'{"picture": "\xc3\xa9"}', "application/json", 422),
            (b'{"picture": "a"}', "application/json; charset=utf-8", 422),
            (b'{"picture": "\xff"}', "application/json", 422),
            (b"", "multipart/form-data", 422),
            (b"nothing", "multipart/form-data; boundary=x", 422),
            (b"--x\r\n\r\n", "multipart/form-data; boundary=x", 422),
            (part('name="picture"'), "multipart/form-data; boundary=x", 422),
            (part('name="other"; filename="a"'), "multipart/form-data; boundary=x", 422),
            (part('filename="a"'), "multipart/form-data; boundary=x", 422),
            (part('name="picture"; filename="a"') * 2, "multipart/form-data; boundary=x", 415),
            (b"a", "multipart/form-data; boundary=x; charset=no-such", 422),
            (b"\xff\xd8\xff", "image/jpeg", 415),
            (b"picture=a", "application/x-www-form-urlencoded", 415),
            (b"", "", 415),
        ],
        ids=str,
    )  # fmt: skip
    def test_wrong_requests_are_said(self, http: httpx.Client, body: bytes, kind: str, status: int) -> None:
        answer = http.post("/predict", content=body, headers={"content-type": kind})
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]

    def test_models_that_can_t_be_loaded_are_said(self, tmp_path: Path, picture: Image) -> None:
        def missing() -> Analyzer:
            raise ModelError("yunet needs a file: run `mien models fetch yunet`")

        with sources_of(site_of(tmp_path), analyzer=missing) as sources, asking(sources) as client:
            answer = client.post("/predict", files={"picture": encoded(picture, ".jpg")})
        assert (answer.status_code, answer.json()["error"]["message"][:5]) == (503, "yunet")

    def test_only_a_few_pictures_wait(self, tmp_path: Path, analyzer: Analyzer, picture: Image) -> None:
        begin = threading.Event()

        def slow() -> Analyzer:
            assert begin.wait(60)
            return analyzer

        with (
            sources_of(site_of(tmp_path), analyzer=slow) as sources,
            asking(sources) as client,
            ThreadPoolExecutor(WAITING + 4) as many,
        ):
            data = encoded(picture, ".jpg")
            asked = [many.submit(client.post, "/predict", files={"picture": data}) for _ in range(WAITING + 4)]
            while sum(one.done() for one in asked) < 3:
                time.sleep(0.01)
            begin.set()
            statuses = sorted(one.result().status_code for one in asked)
        assert statuses == [200] * (WAITING + 1) + [429] * 3

    def test_a_picture_on_its_way_has_its_turn_already(self, tmp_path: Path) -> None:
        lines = "POST /predict HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 99"
        head = "\r\n".join((*lines, "", "")).encode()
        with sources_of(site_of(tmp_path)) as sources, asking(sources) as client, ExitStack() as opened:
            address = (client.base_url.host, client.base_url.port)
            for _ in range(WAITING + 1):
                opened.enter_context(socket.create_connection(address)).sendall(head)
            while (status := client.post("/predict", json={"picture": ""}).status_code) != 429:
                assert status == 415

    def test_the_thread_gives_way_to_the_analysis(self, analyzer: Analyzer) -> None:
        predictor = Predictor(lambda: analyzer)
        nice = predictor._thread.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
        assert nice == max(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), 10)


class TestHeaders:
    @given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(SUFFIXES), st.booleans())
    def test_the_size_is_that_of_the_picture(self, width: int, height: int, suffix: str, alpha: bool) -> None:
        image = np.zeros((height, width, 4 if alpha and suffix in {".png", ".webp"} else 3), np.uint8)
        data = encoded(image, suffix)
        assert size_of(data) == (width, height)
        assert decoded(data).shape == (height, width, 3)

    @pytest.mark.parametrize(
        ("format_", "mode", "options"),
        [
            ("JPEG", "L", {"progressive": True}),
            ("JPEG", "CMYK", {}),
            ("JPEG", "RGB", {"exif": bytes(60_000)}),
            ("PNG", "1", {}),
            ("PNG", "P", {}),
            ("PNG", "LA", {}),
            ("PNG", "I;16", {}),
            ("WEBP", "RGB", {"quality": 50}),
            ("WEBP", "RGBA", {"lossless": True}),
            ("WEBP", "RGB", {"save_all": True, "append_images": [Pillow.new("RGB", (40, 30), "red")]}),
            ("BMP", "P", {}),
            ("BMP", "1", {}),
        ],
    )  # fmt: skip
    def test_what_others_write_is_read(self, format_: str, mode: str, options: dict[str, Any]) -> None:
        stream = BytesIO()
        Pillow.new(mode, (40, 30)).save(stream, format_, **options)
        assert size_of(stream.getvalue()) == (40, 30)
        assert decoded(stream.getvalue()).shape == (30, 40, 3)

    @given(st.data())
    def test_no_damage_is_more_than_damage(self, data: st.DataObject) -> None:
        image = np.arange(48 * 40 * 3, dtype=np.uint32).reshape(48, 40, 3).astype(np.uint8)
        whole = bytearray(encoded(image, data.draw(st.sampled_from(SUFFIXES))))
        for _ in range(data.draw(st.integers(1, 5))):
            place = data.draw(st.integers(0, min(len(whole) - 1, 200)))
            whole[place] = data.draw(st.integers(0, 255))
        damaged = bytes(whole[: data.draw(st.integers(1, len(whole)))])
        try:
            found = decoded(damaged)
        except DecodeError:
            return
        assert sorted(found.shape[:2]) == sorted(size_of(damaged))

    @given(
        st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP", b"BM"])
    )
    def test_noise_is_no_picture(self, noise: bytes, start: bytes) -> None:
        with pytest.raises(DecodeError):
            decoded(start + noise)

    def test_the_longest_side_is_allowed(self) -> None:
        assert decoded(encoded(np.zeros((2, LONGEST_SIDE, 3), np.uint8), ".png")).shape == (2, LONGEST_SIDE, 3)
        with pytest.raises(TooLargeError):
            decoded(encoded(np.zeros((LONGEST_SIDE + 1, 2, 3), np.uint8), ".png"))
        with pytest.raises(UnknownTypeError):
            decoded(b"\x00" * 100)
