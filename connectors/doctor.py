"""The camera doctor: tries an address step by step and says in plain words what is wrong."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.camera import ADVICE, UNWELL, State, StreamSettings
from connectors.capture import Captures, CaptureStatus
from operators.errors import Cause
from operators.records import Clock, Frame, GapReason

__all__ = ["Report", "Step", "examine", "lines"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing tried: resolve, connect, open, authenticate or read."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was tried and found; `advice` is empty when all is well."""

    shown: str
    steps: tuple[Step, ...]
    advice: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every step succeeded."""
        return all(step.ok for step in self.steps)


def examine(settings: StreamSettings, *, seconds: float = 5.0) -> Report:
    """Resolve, connect, open, authenticate, and read for some seconds. Never raises for what a camera does."""
    steps = list(_reach(settings)) if settings.live else []
    if steps and not steps[-1].ok:
        return Report(settings.shown, tuple(steps), (ADVICE[Cause.NETWORK],))
    status = _watch(settings, seconds)
    if status.facts is None:
        steps.append(Step("authenticate" if status.cause is Cause.AUTH else "open", ok=False, text=status.detail))
        return Report(settings.shown, tuple(steps), (ADVICE[status.cause or Cause.TIMEOUT],))
    facts = status.facts
    steps.append(Step("open", ok=True, text=f"{facts.codec} {facts.width}x{facts.height}"))
    read_ok = status.frames > 0 and status.cause is None
    steps.append(Step("read", ok=read_ok, text=_reading(status) if read_ok else status.detail or "no picture came"))
    return Report(settings.shown, tuple(steps), tuple(_advice(settings, status)))


def lines(report: Report) -> list[str]:
    """The report for a terminal, one line a step."""
    steps = [f"  {'ok' if step.ok else 'FAILED':<6}  {step.name:<12}  {step.text}" for step in report.steps]
    return [report.shown, *steps, *(f"  -> {advice}" for advice in report.advice)]


def _reach(settings: StreamSettings) -> Iterator[Step]:
    host, port = settings.endpoint
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield Step("resolve", ok=False, text=f"{host}: {error}")
        return
    yield Step("resolve", ok=True, text=f"{host} is {found[0][4][0]}")
    started = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=settings.open_timeout).close()
    except OSError as error:
        yield Step("connect", ok=False, text=f"port {port}: {error}")
        return
    yield Step("connect", ok=True, text=f"port {port} answers in {(time.monotonic() - started) * 1000:.0f} ms")


def _watch(settings: StreamSettings, seconds: float) -> CaptureStatus:
    """The state after some seconds of pictures, or at the first failure: the same reader as in the pipeline."""
    until = time.monotonic() + settings.open_timeout + 2 + seconds
    with Captures({"camera": settings}) as captures:
        seen = False
        while time.monotonic() < until and not captures.finished:
            status = captures.status()["camera"]
            if status.state in (State.BACKING_OFF, State.STALLED):
                return status
            if any(isinstance(item, Frame) for item in captures.take(1, 0.2)) and not seen:
                seen, until = True, time.monotonic() + seconds
        return captures.status()["camera"]


def _reading(status: CaptureStatus) -> str:
    clock = f"{status.clock} time" if status.clock else "no time"
    skew = "" if status.skew_s is None else f", its clock {status.skew_s:+.1f} s from ours"
    return f"{status.fps_in:.1f} pictures/s, {status.lost} lost, {clock}{skew}"


def _advice(settings: StreamSettings, status: CaptureStatus) -> Iterator[str]:
    if status.cause is not None:
        yield ADVICE[status.cause]
    if status.skew_s is not None and abs(status.skew_s) > 2:
        yield f"The camera's clock is {status.skew_s:+.0f} s off: turn on NTP in the camera."
    if status.lost and settings.transport == "udp" and settings.scheme.startswith("rtsp"):
        yield "Pictures get lost on the way: try transport tcp."
    if 0 < status.fps_in < 0.9 * settings.fps and status.clock is not Clock.RECEIVE:
        yield f"The camera sends {status.fps_in:.1f} pictures/s, fewer than the {settings.fps:g} wanted for analysis."
    yield from (UNWELL[reason] for reason in (GapReason.BLACK, GapReason.FROZEN) if status.drops.get(reason))
