"""The client of tests/rtsp_farm.py: starts the farm, tells it what to do, ends it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import pytest

PYTHON = "/usr/bin/python3"
PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def require_rtsp_server() -> None:
    """Skip without Debian's packages (tests/debian-packages.txt); fail in CI, which must have them."""
    probe = subprocess.run([PYTHON, "-W", "ignore", "-c", PROBE], capture_output=True, check=False, timeout=30)
    if probe.returncode == 0:
        return
    message = "no RTSP server: install the packages of tests/debian-packages.txt"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def as_mp4(clip: Path, folder: Path) -> Path:
    """The clip as a file GStreamer can read: GIFs are encoded to MP4 in `folder` once."""
    if clip.suffix != ".gif":
        return clip
    target = folder / f"{clip.stem}.mp4"
    if target.exists():
        return target
    with av.open(str(clip)) as source, av.open(str(target), "w") as sink:
        video = source.streams.video[0]
        out = sink.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast"})
        out.width, out.height, out.pix_fmt = video.width // 2 * 2, video.height // 2 * 2, "yuv420p"
        for count, frame in enumerate(source.decode(video)):
            if count == 200:
                break
            picture = frame.reformat(out.width, out.height, "yuv420p")
            picture.pts, picture.time_base = count, Fraction(1, 25)
            sink.mux(out.encode(picture))
        sink.mux(out.encode(None))
    return target


class Farm:
    """A running farm: `urls` by camera name; `tell("door", "pause")` breaks one, `tell("door", "play")` mends it."""

    def __init__(self, cameras: Mapping[str, Mapping[str, Any]]) -> None:
        self._process = subprocess.Popen(
            [PYTHON, str(Path(__file__).with_name("rtsp_farm.py")), json.dumps(dict(cameras))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        line = self._stdout.readline()
        assert line, "the farm did not start: see its messages above"
        self.ports: dict[str, int] = json.loads(line)
        self.urls = {name: f"rtsp://127.0.0.1:{port}/stream" for name, port in self.ports.items()}

    def tell(self, camera: str, do: str, **options: int) -> None:
        """Give one camera a command and wait until it is carried out."""
        self._stdin.write(json.dumps({"camera": camera, "do": do, **options}) + "\n")
        self._stdin.flush()
        assert self._stdout.readline(), f"the farm died of {do}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()
