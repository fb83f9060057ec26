"""Real streams: clips served by a real RTSP server that breaks on demand, and MJPEG over a plain HTTP server."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from connectors.camera import Backoff, State, StreamSettings
from connectors.capture import Captures, CaptureStatus
from connectors.doctor import examine, lines
from operators.errors import Cause
from operators.records import Clock, Frame, Gap, GapReason
from tests.farm import Farm, as_mp4, require_rtsp_server

pytestmark = pytest.mark.integration

PASSWORD = "p@ss:w/rd#%"
QUICK = Backoff(first=0.3, longest=2.0)


@pytest.fixture(scope="module")
def clip(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    require_rtsp_server()
    folder = tmp_path_factory.mktemp("clips")
    return str(as_mp4(shared / "data/clips/head-pose-face-detection-female.gif", folder))


@pytest.fixture
def farm(clip: str) -> Iterator[Farm]:
    with Farm({"door": {"clip": clip}}) as running:
        yield running


class Watched:
    """Captures with everything they gave, in order."""

    def __init__(self, cameras: Mapping[str, StreamSettings]) -> None:
        self.captures = Captures(cameras, backoff=QUICK)
        self.items: dict[str, list[Frame | Gap]] = {name: [] for name in cameras}

    def until(self, done: Callable[[], bool], *, within_s: float = 30.0) -> float:
        """Take until `done()`; returns the seconds it took, fails after `within_s`."""
        start = time.monotonic()
        while not done():
            assert time.monotonic() - start < within_s, (self.status(), self.tail())
            for item in self.captures.take(16, 0.1):
                self.items[item.camera_id].append(item)
        return time.monotonic() - start

    def status(self, name: str = "door") -> CaptureStatus:
        return self.captures.status()[name]

    def frames(self, name: str = "door") -> list[Frame]:
        return [item for item in self.items[name] if isinstance(item, Frame)]

    def gaps(self, reason: GapReason, name: str = "door") -> list[Gap]:
        return [item for item in self.items[name] if isinstance(item, Gap) and item.reason is reason]

    def tail(self) -> dict[str, list[Any]]:
        return {name: [getattr(item, "reason", "frame") for item in items[-5:]] for name, items in self.items.items()}


@contextmanager
def watching(**cameras: StreamSettings) -> Iterator[Watched]:
    """Run captures and check, at the end of every run, what must hold of every run."""
    watched = Watched(cameras)
    with watched.captures:
        yield watched
    for name, items in watched.items.items():
        status = watched.status(name)
        assert status.frames == status.delivered + sum(status.drops.values()), status
        assert status.delivered == len(watched.frames(name))
        assert_in_order(items)


def assert_in_order(items: list[Frame | Gap]) -> None:
    told = 0.0
    last = (0, -1)
    for item in items:
        if isinstance(item, Gap):
            assert told - 1e-6 <= item.from_ts <= item.to_ts
            told = item.to_ts
        else:
            assert item.ts >= told
            assert (item.epoch, item.seq) > last
            told, last = item.ts, (item.epoch, item.seq)


def camera(url: str, **options: Any) -> StreamSettings:
    return StreamSettings(url, **{"fps": 10, "open_timeout": 4.0, "read_timeout": 3.0, **options})


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_is_read_in_sender_time(farm: Farm, transport: str) -> None:
    with watching(door=camera(farm.urls["door"], transport=transport)) as door:
        door.until(lambda: len(door.frames()) > 60)
        status = door.status()
        assert status.state is State.LIVE
        assert door.frames()[-1].clock is Clock.SENDER
        assert status.skew_s == pytest.approx(0, abs=1)
        assert door.frames()[-1].image.shape == (180, 320, 3)
        assert abs(time.time() - door.frames()[-1].ts) < 3
        steps = np.diff([frame.ts for frame in door.frames()])
        assert 0.05 < float(np.median(steps)) < 0.15, "10 of the camera's 25 pictures a second"


def test_a_password_of_special_characters_needs_no_escaping(clip: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with Farm({"door": {"clip": clip, "password": PASSWORD}}) as farm:
        apart = camera(farm.urls["door"], username="admin", password=SecretStr(PASSWORD))
        within = camera(farm.urls["door"].replace("://", f"://admin:{PASSWORD}@"))
        wrong = camera(farm.urls["door"], username="admin", password=SecretStr("guess"))
        with watching(apart=apart, within=within, wrong=wrong) as all_three:
            all_three.until(lambda: bool(all_three.frames("apart") and all_three.frames("within")))
            all_three.until(lambda: all_three.status("wrong").cause is Cause.AUTH)
            assert "password" in all_three.status("wrong").advice
            assert "guess" not in str(all_three.status("wrong"))
        report = "\n".join(lines(examine(wrong, seconds=1)))
        assert "authenticate" in report
        assert "guess" not in report + caplog.text
        assert PASSWORD not in caplog.text
        assert "cause=auth" in caplog.text


def test_a_wrong_path_is_not_found(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"] + "/nothing")) as door:
        door.until(lambda: door.status().cause is Cause.NOT_FOUND)
        door.until(lambda: bool(door.gaps(GapReason.DOWN)))


def test_a_silent_camera_stalls_and_comes_back(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"])) as door:
        door.until(lambda: len(door.frames()) > 5)
        epoch = door.frames()[-1].epoch
        farm.tell("door", "pause")
        stalled_s = door.until(lambda: door.status().state is State.STALLED)
        broken_s = door.until(lambda: door.status().reconnects.get("timeout", 0) > 0)
        farm.tell("door", "play")
        back_s = door.until(lambda: door.frames()[-1].epoch > epoch)
        assert door.gaps(GapReason.DOWN)
        print(f"pause: stalled {stalled_s:.1f} s, given up {broken_s:.1f} s, back {back_s:.1f} s")  # noqa: T201
        assert stalled_s < 8
        assert broken_s < 10


def test_a_frozen_and_a_black_picture_are_gaps(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"], frozen_after=2.0, black_after=1.0)) as door:
        door.until(lambda: len(door.frames()) > 5)
        farm.tell("door", "freeze")
        frozen_s = door.until(lambda: bool(door.gaps(GapReason.FROZEN)))
        assert door.status().state is State.LIVE
        farm.tell("door", "play")
        count = len(door.frames())
        back_s = door.until(lambda: len(door.frames()) > count)
        farm.tell("door", "black")
        black_s = door.until(lambda: bool(door.gaps(GapReason.BLACK)))
        print(f"frozen {frozen_s:.1f} s, back {back_s:.1f} s, black {black_s:.1f} s")  # noqa: T201
        assert door.status().drops["frozen"] > 0


def test_the_resolution_may_change_in_mid_stream(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"])) as door:
        door.until(lambda: len(door.frames()) > 5)
        epoch = door.frames()[-1].epoch
        farm.tell("door", "size", width=640, height=360)
        changed_s = door.until(lambda: door.frames()[-1].image.shape == (360, 640, 3))
        print(f"resolution {changed_s:.1f} s, same connection: {door.frames()[-1].epoch == epoch}")  # noqa: T201
        assert door.frames()[-1].image.mean() > 10, "a real picture"


def test_lost_pictures_are_counted(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"])) as door:
        door.until(lambda: len(door.frames()) > 10)
        farm.tell("door", "drop")
        lost_s = door.until(lambda: door.status().lost > 0)
        print(f"lost {lost_s:.1f} s")  # noqa: T201


def test_a_refused_camera_comes_back(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"])) as door:
        door.until(lambda: len(door.frames()) > 5)
        epoch = door.frames()[-1].epoch
        farm.tell("door", "refuse")
        refused_s = door.until(lambda: bool(door.status().reconnects))
        first = next(iter(door.status().reconnects))
        door.until(lambda: door.status().reconnects.get("network", 0) > 0)
        farm.tell("door", "play")
        back_s = door.until(lambda: door.frames()[-1].epoch > epoch)
        print(f"refuse: {refused_s:.1f} s as {first}, back {back_s:.1f} s")  # noqa: T201


def test_a_port_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = camera(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/stream", open_timeout=1.0)
        with watching(door=settings) as door:
            seconds = door.until(lambda: door.status().cause is not None)
            assert door.status().cause is Cause.TIMEOUT
            print(f"mute: {seconds:.1f} s")  # noqa: T201


def test_tls_where_the_port_speaks_none(farm: Farm) -> None:
    with watching(door=camera(farm.urls["door"].replace("rtsp:", "rtsps:"))) as door:
        door.until(lambda: door.status().cause is Cause.TLS)


def test_two_of_five_lose_nothing_while_three_misbehave(clip: str) -> None:
    names = ("first", "second", "hanging", "refusing", "flooding")
    with (
        Farm({name: {"clip": clip} for name in names}) as farm,
        watching(**{name: camera(farm.urls[name]) for name in names}) as five,
    ):
        five.until(lambda: all(len(five.frames(name)) > 5 for name in names))
        farm.tell("hanging", "pause")
        farm.tell("refusing", "refuse")
        farm.tell("flooding", "flood")
        before = {name: len(five.frames(name)) for name in names}
        five.until(lambda: five.status("hanging").reconnects.get("timeout", 0) > 0)
        five.until(lambda: five.status("refusing").reconnects.get("network", 0) > 0)
        five.until(lambda: all(len(five.frames(name)) - before[name] > 100 for name in ("first", "second")))
        for name in ("first", "second"):
            status = five.status(name)
            assert (sum(status.drops.values()), status.lost, status.reconnects) == (0, 0, {}), status
            seqs = [frame.seq for frame in five.frames(name)]
            assert seqs == list(range(len(seqs)))
        flooding = five.status("flooding")
        assert flooding.frames < 40 * (len(five.frames("first")) / 10), "the rate of analysis is ours, not its own"


@contextmanager
def mjpeg(pictures: list[bytes], *, fps: float, code: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            if not pictures:
                return
            try:
                for count in range(10_000):
                    data = pictures[count % len(pictures)]
                    self.wfile.write(
                        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)
                    )
                    time.sleep(1 / fps)
            except OSError:
                return  # the reader has gone

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/video"
        server.shutdown()


def test_mjpeg_over_http_is_read_in_receive_time() -> None:
    noise = np.random.default_rng(1)
    pictures = [cv2.imencode(".jpg", noise.integers(0, 255, (120, 160, 3), np.uint8))[1].tobytes() for _ in range(5)]
    with mjpeg(pictures, fps=12) as url, watching(door=camera(url, fps=4)) as door:
        door.until(lambda: len(door.frames()) > 8)
        assert door.frames()[-1].clock is Clock.RECEIVE
        steps = np.diff([frame.ts for frame in door.frames()])
        assert 0.15 < float(np.median(steps)) < 0.4


@pytest.mark.parametrize(("code", "cause"), [(401, Cause.AUTH), (404, Cause.NOT_FOUND), (503, Cause.NETWORK)])
def test_http_says_why_it_refuses(code: int, cause: Cause) -> None:
    with mjpeg([], fps=1, code=code) as url, watching(door=camera(url)) as door:
        door.until(lambda: door.status().cause is cause)


def test_the_doctor_finds_a_healthy_camera_healthy(farm: Farm) -> None:
    report = examine(camera(farm.urls["door"]), seconds=2)
    assert report.ok, lines(report)
    assert not report.advice
    assert "h264 320x180" in "\n".join(lines(report))


@pytest.mark.parametrize(
    ("url", "step"),
    [("rtsp://no-such-host.invalid/x", "resolve"), ("rtsp://127.0.0.1:9/x", "connect"), ("/no/such/file", "open")],
)
def test_the_doctor_names_the_step_that_fails(url: str, step: str) -> None:
    report = examine(camera(url, open_timeout=2.0), seconds=1)
    assert [s.name for s in report.steps if not s.ok] == [step]
    assert report.advice


def test_readers_die_with_a_killed_parent(farm: Farm) -> None:
    program = (
        "import sys, time\n"
        "from connectors.camera import StreamSettings\n"
        "from connectors.capture import Captures\n"
        "captures = Captures({'door': StreamSettings(sys.argv[1])})\n"
        "captures.start()\n"
        "while not captures.status()['door'].delivered: captures.take(1, 1)\n"
        "print(captures._feeds['door']._link._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, farm.urls["door"]], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    reader = Path("/proc") / parent.stdout.readline().strip()
    assert reader.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while alive(reader):
        assert time.monotonic() < deadline, "the reader outlived its parent"
        time.sleep(0.1)


def alive(process: Path) -> bool:
    try:
        return ") Z " not in (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
