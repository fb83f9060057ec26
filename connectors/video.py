"""Video through PyAV: RTSP over TCP and UDP, MJPEG and other video over HTTP, files.

PyAV and not OpenCV, because PyAV tells what a supervisor has to know: time stamps and RTCP sender time per picture, why
opening failed (401, 404, refused, ...), corrupt pictures, codec facts; and it has deadlines for opening and reading.
OpenCV's VideoCapture returns False for all of these. Both decode with the same FFmpeg.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator

import av
import av.error
import numpy as np

from connectors.camera import StreamSettings
from connectors.source import Facts, Picture
from operators.errors import Cause, SourceError
from operators.records import Image

__all__ = ["VideoSource"]

_CAUSES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Cause], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.PermissionError), Cause.AUTH),
    ((av.error.HTTPNotFoundError, av.error.FileNotFoundError, av.error.IsADirectoryError), Cause.NOT_FOUND),
    ((av.error.TimeoutError, av.error.ExitError, av.error.BlockingIOError), Cause.TIMEOUT),
    ((av.error.EOFError,), Cause.EOF),
    ((av.error.InvalidDataError, av.error.LookupError, av.error.PatchWelcomeError), Cause.CODEC),
    ((av.error.HTTPError, av.error.HTTPClientError, OSError), Cause.NETWORK),
)
_UDP_BUFFER = str(4 * 2**20)
"""Bytes the kernel holds for us: a key frame comes as one burst and must fit."""
_CLOCKLESS = frozenset({"mpjpeg", "image2pipe", "mjpeg"})
"""Formats without time stamps, for which FFmpeg invents 25 pictures a second."""


class VideoSource:
    """An open video. Files end or loop; a live stream that ends raises SourceError(eof)."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._container = _open(settings)
        if not self._container.streams.video:
            self.close()
            raise SourceError(f"no video in {settings.shown}: expected a stream with pictures", cause=Cause.CODEC)
        self._stream = self._container.streams.video[0]
        # Frame threads would hold back one picture per thread; a file is not in a hurry.
        self._stream.thread_type = "SLICE" if settings.live else "AUTO"
        # Arrival is measured on the monotonic clock: a step of the wall clock can't fold time within a connection.
        self._wall = time.time() - time.monotonic()
        self._timed = not _CLOCKLESS & set(self._container.format.name.split(","))
        self.facts = Facts(
            self._stream.codec_context.name,
            self._stream.codec_context.width,
            self._stream.codec_context.height,
            float(self._stream.average_rate or 0) if self._timed else 0.0,
            frames=self._stream.frames or _frames_by_duration(self._stream),
            live=settings.live,
        )

    def __iter__(self) -> Iterator[Picture]:
        start = 0.0
        while True:
            end = start
            for picture in self._pass(start):
                yield picture
                end = picture.pts or end
            if self._settings.live:
                raise SourceError(f"{self._settings.shown} ended the stream", cause=Cause.EOF)
            if not self._settings.loop or end == start:
                return
            start = end + 1 / (self.facts.fps or 25)
            self._rewind()

    def _pass(self, start: float) -> Iterator[Picture]:
        """All pictures until the end of the stream; `pts` begins at `start` for files."""
        lost, offset, origin = 0, None, 0.0 if self._settings.live else _origin(self._stream)
        for packet in _translated(self._container.demux(self._stream), self._settings):
            received = self._wall + time.monotonic()
            offset = _sender_offset(packet, offset)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                lost += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    lost += 1
                    continue
                pts = float(frame.time) - origin + start if self._timed and frame.time is not None else None
                sender = pts + offset if pts is not None and offset is not None else None
                yield Picture(pts, _converter(frame), received, sender, lost)
                lost = 0

    def _rewind(self) -> None:
        try:
            self._container.seek(0)
        except av.error.FFmpegError:  # GIFs and pipes can't seek
            self._container.close()
            self._container = _open(self._settings)
            self._stream = self._container.streams.video[0]

    def close(self) -> None:
        """Hang up."""
        self._container.close()


def _open(settings: StreamSettings) -> av.container.InputContainer:
    started = time.monotonic()
    try:
        return av.open(
            settings.address().removeprefix("file://"),
            options=_options(settings),
            timeout=(settings.open_timeout, settings.read_timeout),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError) as error:
        # The original error is not chained: it holds the address with its password.
        if time.monotonic() - started >= settings.open_timeout:  # FFmpeg then says "invalid data", among others
            raise SourceError(
                f"cannot open {settings.shown}: no answer in {settings.open_timeout:g} s", cause=Cause.TIMEOUT
            ) from None
        raise _source_error(error, settings) from None


def _options(settings: StreamSettings) -> dict[str, str]:
    if not settings.live:
        return {}
    options = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}
    if settings.scheme in {"rtsp", "rtsps"}:
        options |= {"rtsp_transport": settings.transport, "buffer_size": _UDP_BUFFER, "max_delay": "300000"}
        options |= {"allowed_media_types": "video"}
    return options


def _translated(packets: Iterator[av.Packet], settings: StreamSettings) -> Iterator[av.Packet]:
    """The packets, with FFmpeg's errors as ours and the read deadline kept."""
    asked = time.monotonic()
    try:
        for packet in packets:
            # At its deadline FFmpeg first gives what its parser still held: that is no sign of life.
            if settings.live and time.monotonic() - asked >= settings.read_timeout:
                raise SourceError(f"{settings.shown} was silent for {settings.read_timeout:g} s", cause=Cause.TIMEOUT)
            yield packet
            asked = time.monotonic()
    except (av.error.FFmpegError, OSError) as error:
        raise _source_error(error, settings) from None


def _source_error(error: Exception, settings: StreamSettings) -> SourceError:
    """What FFmpeg's error means; its own text is left out, since that holds the address with its password."""
    cause = next((cause for kinds, cause in _CAUSES if isinstance(error, kinds)), Cause.NETWORK)
    if cause in {Cause.NETWORK, Cause.CODEC} and settings.scheme in {"rtsps", "https"} and _tls_fails(settings):
        cause = Cause.TLS
    elif cause is Cause.CODEC and settings.live and not _answers(settings):
        cause = Cause.NETWORK  # FFmpeg calls some unreachable hosts invalid data
    reason = getattr(error, "strerror", None) or type(error).__name__
    return SourceError(f"cannot read {settings.shown}: {reason}", cause=cause)


def _answers(settings: StreamSettings) -> bool:
    try:
        socket.create_connection(settings.endpoint, timeout=min(3.0, settings.open_timeout)).close()
    except OSError:
        return False
    return True


def _tls_fails(settings: StreamSettings) -> bool:
    """Whether the port answers but speaks no TLS that we understand. Certificates of cameras are not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(settings.endpoint, timeout=min(3.0, settings.open_timeout)) as plain:
            context.wrap_socket(plain).close()
    except ssl.SSLError:
        return True
    except OSError:
        return False
    return False


def _sender_offset(packet: av.Packet, known: float | None) -> float | None:
    """Camera wall clock - stream time, from the RTCP sender reports that FFmpeg attaches as `prft` (microseconds)."""
    if packet.pts is None or not packet.has_sidedata("prft"):
        return known
    (wallclock_us,) = struct.unpack_from("<q", bytes(packet.get_sidedata("prft")))
    return float(wallclock_us / 1e6 - float(packet.pts * packet.time_base))


def _converter(frame: av.VideoFrame) -> Callable[[], Image]:
    def rgb() -> Image:
        return np.ascontiguousarray(frame.to_ndarray(format="rgb24"))

    return rgb


def _origin(stream: av.VideoStream) -> float:
    return float(stream.start_time * stream.time_base) if stream.start_time is not None else 0.0


def _frames_by_duration(stream: av.VideoStream) -> int:
    if stream.duration is None or not stream.average_rate:
        return 0
    return round(float(stream.duration * stream.time_base * stream.average_rate))
