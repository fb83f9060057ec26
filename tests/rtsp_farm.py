"""A farm of RTSP cameras that break on demand: runs under Debian's /usr/bin/python3, which has GStreamer's server.

    /usr/bin/python3 tests/rtsp_farm.py '{"door": {"clip": "walk.mp4", "fps": 25, "password": "secret"}}'

Each camera is a server on a port of its own that loops a clip, encoded once at start (H.264, one key frame a second).
GStreamer can't read GIFs: tests/farm.py, the client of this tool, turns them into MP4 first. `"clock_s": -4` makes the
camera's clock, as its sender reports tell it, so many seconds slow.
The first line on stdout is `{"door": 40123}`. After that, each line on stdin is a command, answered by one line:

    {"camera": "door", "do": "pause"}          the session stays open, nothing is sent any more
    {"camera": "door", "do": "freeze"}         the same picture over and over, at full rate
    {"camera": "door", "do": "black"}          black pictures
    {"camera": "door", "do": "drop"}           half of the pictures between key frames are lost
    {"camera": "door", "do": "flood"}          ten times the frame rate
    {"camera": "door", "do": "size", "width": 640, "height": 360}
    {"camera": "door", "do": "refuse"}         the port is closed and every client thrown out
    {"camera": "door", "do": "play"}           all is well again
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time

import gi

for module in ("Gst", "GstRtsp", "GstRtspServer"):
    gi.require_version(module, "1.0")
from gi.repository import GLib, GObject, Gst, GstRtsp, GstRtspServer  # noqa: E402

ENCODE = (
    "{source} ! videoconvert ! videoscale ! videorate ! "
    "video/x-raw,format=I420,width={width},height={height},framerate={fps}/1,pixel-aspect-ratio=1/1 ! "
    "x264enc speed-preset=ultrafast tune=zerolatency sliced-threads=false threads=1 key-int-max={fps} bitrate=1000 ! "
    "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
)
SERVE = (
    "( appsrc name=src is-live=true format=time do-timestamp=false max-bytes=4000000 "
    "caps=video/x-h264,stream-format=byte-stream,alignment=au ! "
    "h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
LONGEST_S = 8
NTP_S = 2_208_988_800
"""Seconds from 1900 to 1970."""


def encode(clip: str, *, width: int, height: int, fps: int) -> list[tuple[bytes, bool]]:
    """Access units of a clip, or of black pictures: (bytes, whether it is a key frame)."""
    source = f'filesrc location="{clip}" ! decodebin' if clip else "videotestsrc pattern=black num-buffers=50"
    pipeline = Gst.parse_launch(ENCODE.format(source=source, width=width, height=height, fps=fps))
    sink = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    units: list[tuple[bytes, bool]] = []
    while len(units) < LONGEST_S * fps and (sample := sink.emit("try-pull-sample", 5 * Gst.SECOND)):
        buffer = sample.get_buffer()
        units.append((buffer.extract_dup(0, buffer.get_size()), not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)))
    pipeline.set_state(Gst.State.NULL)
    if not units:
        raise SystemExit(f"cannot encode {clip}")
    return units


def wrong_clock(seconds: float) -> Gst.Clock:
    """A clock that shows the time since 1900, as sender reports have it, `seconds` fast."""
    clock = GObject.new(Gst.SystemClock, clock_type=Gst.ClockType.REALTIME)
    clock.set_calibration(0, int((NTP_S + seconds) * Gst.SECOND), 1, 1)
    return clock


def tell_time_of_clock(media: GstRtspServer.RTSPMedia, _state: int) -> None:
    """Sender reports tell the time of the media's clock, and not the machine's."""
    pipeline = media.get_element().get_parent()
    for element in pipeline.children if pipeline else ():
        if element.get_factory().get_name() == "rtpbin":
            element.set_property("ntp-time-source", "clock-time")


class Camera:
    """One looped clip on one port; `mode` is what it does now."""

    def __init__(
        self,
        clip: str,
        *,
        width: int = 320,
        height: int = 180,
        fps: int = 25,
        password: str = "",
        clock_s: float | None = None,
    ) -> None:
        self.clip, self.width, self.height, self.fps, self.password = clip, width, height, fps, password
        self.clock = None if clock_s is None else wrong_clock(clock_s)
        self.units = self.clip_units = encode(clip, width=width, height=height, fps=fps)
        self.mode = "play"
        self.outlets: list[Gst.Element] = []
        self.server: GstRtspServer.RTSPServer | None = None
        self.source_id = 0
        self.port = 0
        self.listen()
        threading.Thread(target=self.feed, daemon=True).start()

    def listen(self) -> None:
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(self.port))
        pool = GstRtspServer.RTSPThreadPool()
        pool.set_max_threads(8)
        self.server.set_thread_pool(pool)
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(SERVE)
        factory.set_shared(True)
        factory.connect("media-configure", self.configure)
        if self.password:
            self.ask_for_password(factory)
        self.server.get_mount_points().add_factory("/stream", factory)
        self.source_id = self.server.attach(None)
        self.port = self.server.get_bound_port()

    def ask_for_password(self, factory: GstRtspServer.RTSPMediaFactory) -> None:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest("admin", self.password, token)
        self.server.set_auth(auth)
        rights = GstRtspServer.RTSPPermissions()
        rights.add_permission_for_role("user", "media.factory.access", True)
        rights.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(rights)

    def configure(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        outlet = media.get_element().get_by_name_recurse_up("src")
        self.outlets.append(outlet)
        media.connect("unprepared", lambda _media: self.outlets.remove(outlet))
        if self.clock is not None:
            media.set_clock(self.clock)
            media.connect("new-state", tell_time_of_clock)

    def feed(self) -> None:
        """Push one picture per frame interval into every running pipeline, stamped with its running time."""
        due = time.monotonic()
        position = 0
        while True:
            interval = 1 / (self.fps * (10 if self.mode == "flood" else 1))
            due = max(due + interval, time.monotonic() - 0.5)
            time.sleep(max(0.0, due - time.monotonic()))
            position = 0 if self.mode == "freeze" else (position + 1) % len(self.units)
            data, key = self.units[position]
            lost = self.mode == "drop" and not key and position % 2
            if self.mode not in {"pause", "refuse"} and not lost:
                for outlet in list(self.outlets):
                    self.push(outlet, data)

    @staticmethod
    def push(outlet: Gst.Element, data: bytes) -> None:
        clock = outlet.get_clock()
        if clock is None:
            return
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = buffer.dts = clock.get_time() - outlet.get_base_time()
        outlet.emit("push-buffer", buffer)

    def do(self, mode: str, **size: int) -> None:
        if mode == "size":
            self.units = encode(self.clip, fps=self.fps, **size)
        elif mode == "black":
            self.units = encode("", width=self.width, height=self.height, fps=self.fps)
        elif mode == "refuse":
            self.close()
        elif mode == "play":
            self.units = self.clip_units
            if self.server is None:
                self.listen()
        self.mode = mode

    def close(self) -> None:
        GLib.source_remove(self.source_id)
        self.server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)
        self.server = None


def main() -> None:
    """Serve until stdin closes."""
    Gst.init(None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cameras = {name: Camera(**options) for name, options in json.loads(sys.argv[1]).items()}
    print(json.dumps({name: camera.port for name, camera in cameras.items()}), flush=True)  # noqa: T201 - its protocol
    loop = GLib.MainLoop()

    def obey() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            done = threading.Event()
            GLib.idle_add(execute, dict(command), done)
            done.wait(20)
            print(json.dumps({"done": command["do"]}), flush=True)  # noqa: T201 - its protocol
        loop.quit()

    def execute(command: dict, done: threading.Event) -> bool:
        cameras[command.pop("camera")].do(command.pop("do"), **command)
        done.set()
        return False

    threading.Thread(target=obey, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
