"""What a person sees while the pipeline runs: one screen on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from connectors.sink import NOTIFIED
from connectors.stdout import StdoutSettings
from connectors.wire import place_of
from operators.records import UNKNOWN, Alert, Severity
from operators.records import Status as AlertStatus
from operators.rules import Rule
from operators.units import format_duration
from pipeline.config import Settings
from pipeline.status import CameraStatus, RulesStatus, Status

__all__ = ["View", "explain", "restore_terminal", "screen", "stdout_is_taken", "summary"]

STATE_STYLES = {
    "live": "green",
    "connecting": "yellow",
    "stalled": "yellow",
    "backing off": "bold red",
    "stopped": "dim",
}
SEVERITY_STYLES = {
    Severity.INFO: "dim",
    Severity.NOTICE: "cyan",
    Severity.WARNING: "yellow",
    Severity.CRITICAL: "bold red",
}
REASONS = {
    "small": "too small",
    "turned": "turned away",
    "dark": "too dark",
    "bright": "too bright",
    "flat": "no contrast",
}
"""Words for the reasons of `operators.quality` that don't speak for themselves."""
LINES_EVERY_S = 10.0
"""How often each camera gets a plain line while nothing happens."""
SHOWN_EXPLANATIONS = 5
SHOWN_ALERTS = 8
FIXED_LINES = 5
"""Lines of the screen that are always there: purpose, rules, two headings, footer."""
SPACES = 3
"""Empty lines between its parts, where there is room for them."""


class View:
    """Shows a running pipeline: `with View(settings) as view: view.update(status)`.

    Takes over the terminal, or writes plain lines without control characters where `console` (standard output, unless
    that is taken) is none or `plain` is set. `address` is where a browser shows more, if anywhere.
    """

    def __init__(
        self, settings: Settings, *, plain: bool = False, console: Console | None = None, address: str = ""
    ) -> None:
        console = console or Console(stderr=stdout_is_taken(settings))
        self._show: _Shows
        if plain or not console.is_terminal:
            self._show = _Lines(console, settings.purpose, address)
        else:
            self._show = _Screen(console, settings.purpose, address)

    def __enter__(self) -> View:
        self._show.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show.stop()

    def update(self, status: Status) -> None:
        """Show the latest status; call it several times a second."""
        self._show.update(status)


class _Shows(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def update(self, status: Status, /) -> None: ...


class _Screen:
    """The whole terminal, given back as it was at the end."""

    def __init__(self, console: Console, purpose: str, address: str) -> None:
        self._console, self._purpose, self._address = console, purpose, address
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def update(self, status: Status) -> None:
        picture = screen(status, purpose=self._purpose, height=self._console.height, address=self._address)
        self._live.update(picture, refresh=True)


class _Lines:
    """One line per change at once, one per camera now and then. Times are those of the pipeline's start."""

    def __init__(self, console: Console, purpose: str, address: str) -> None:
        self._console, self._purpose, self._address = console, purpose, address
        self._states: dict[str, tuple[str, str, str]] = {}
        self._alerts: frozenset[str] = frozenset()
        self._rules: RulesStatus | None = None
        self._due_s = LINES_EVERY_S

    def start(self) -> None:
        self._write(self._purpose)
        if self._address:
            self._write(f"console at {self._address}")

    def stop(self) -> None:
        pass

    def update(self, status: Status) -> None:
        for line in self._news(status):
            self._write(f"+{status.uptime_s:.1f}s {line}")

    def _news(self, status: Status) -> Iterator[str]:
        for camera in status.cameras:
            state = (camera.state, camera.cause, camera.advice)
            if self._states.get(camera.camera_id) != state:
                self._states[camera.camera_id] = state
                yield _state_line(camera)
        yield from _rules_lines(self._rules, status.rules)
        self._rules = status.rules
        yield from (_alert_line(alert) for alert in status.alerts if alert.transition_id not in self._alerts)
        self._alerts = frozenset(alert.transition_id for alert in status.alerts)
        if status.uptime_s >= self._due_s:
            self._due_s = status.uptime_s + LINES_EVERY_S
            yield from map(_camera_line, status.cameras)

    def _write(self, line: str) -> None:
        self._console.print(_clean(line), markup=False, highlight=False, emoji=False, soft_wrap=True)


def screen(status: Status, *, purpose: str, height: int = 24, address: str = "") -> RenderableType:
    """The terminal's picture of `status` in at most `height` lines; what doesn't fit is said to be left out."""
    room = height - FIXED_LINES
    cameras = status.cameras if len(status.cameras) <= room - 2 else status.cameras[: max(room - 3, 1)]
    left_out = len(status.cameras) - len(cameras)
    more = [_line(f"... and {left_out} more cameras: enlarge the window", "dim")] if left_out else []
    room -= len(cameras) + len(more)
    sentences = list(explain(status))[: max(min(SHOWN_EXPLANATIONS, room - 1), 1)]
    room -= len(sentences)
    alerts = [alert for alert in status.alerts if alert.status in NOTIFIED][::-1][: max(min(SHOWN_ALERTS, room), 1)]
    space = [_line()] if room - max(len(alerts), 1) >= SPACES else []
    return Group(
        _line(f"mien: {purpose}", "bold"),
        _line(f"rules: {', '.join(map(_rule, status.rules.rules)) or 'none'}", "dim"),
        _camera_table(cameras),
        *(*more, *space, *map(_line, sentences), *space),
        _line(f"alerts, newest first ({status.firing} firing)", "bold"),
        _alert_table(alerts),
        *space,
        _footer(status, address),
    )


def explain(status: Status) -> Iterator[str]:
    """What happens now, in words: trouble first, then what is waiting to fire, then what the cameras see."""
    troubled = [camera for camera in status.cameras if camera.state != "live" or camera.advice]
    seeing = [camera for camera in status.cameras if camera.state == "live" and camera.faces]
    yield from map(_trouble, troubled)
    if status.store_error:
        yield f"alerts are only held in memory: {status.store_error}"
    if status.rules.error:
        yield f"changed rules are refused, the old ones go on: {_beginning(status.rules.error)}"
    yield from (f"{sink.name} doesn't take alerts: {sink.error}" for sink in status.sinks if sink.error)
    yield from (
        f"{alert.rule} on {place_of(alert)} is pending: it has not lasted long enough yet" for alert in _pending(status)
    )
    for camera in seeing:
        yield from _sights(camera)
    if status.cameras and not troubled and not seeing:
        yield "nobody is in sight of any camera"


def restore_terminal() -> None:
    """Give the terminal back when the process ends without leaving the view."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[?1049l\x1b[?25h")  # leave the alternate screen, show the cursor
        sys.stdout.flush()


def stdout_is_taken(settings: Settings) -> bool:
    """Whether a program reads alerts as JSON on standard output: words for people then go to standard error."""
    return any(isinstance(sink, StdoutSettings) and sink.format == "json" for sink in settings.sinks)


def summary(status: Status) -> str:
    """How a run went, in plain lines."""
    fired, resolved = (
        len({alert.alert_id for alert in status.alerts if alert.status is wanted})  # an escalation fires no new one
        for wanted in (AlertStatus.FIRING, AlertStatus.RESOLVED)
    )
    lines = [f"ran for {_span(status.uptime_s)}"]
    lines += [
        f"  {camera.camera_id}: {camera.frames} frames in, {camera.analysed} analysed, dropped: {_drops(camera)}"
        for camera in status.cameras
    ]
    silenced = len({alert.alert_id for alert in status.alerts if alert.silenced_by})
    counts = f"{fired} fired, {resolved} resolved, {status.firing} firing at the end"
    lines.append(f"latest alerts: {counts}" + (f", {silenced} silenced" if silenced else ""))
    lines += [f"  {_clock(alert.ts)} {_alert_line(alert)}" for alert in status.alerts if alert.status in NOTIFIED]
    lines += [f"  {sink.name}: {sink.waiting} not delivered yet: {sink.error}" for sink in status.sinks if sink.waiting]
    lines.append(f"store: {status.store or 'none'}")
    return "\n".join(map(_clean, lines))


def _camera_table(cameras: Iterable[CameraStatus]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("camera", max_width=16, no_wrap=True)
    table.add_column("state", width=11, no_wrap=True)
    table.add_column("fps in", width=6, justify="right", no_wrap=True)
    table.add_column("read", width=5, justify="right", no_wrap=True)
    table.add_column("faces", ratio=5, min_width=6, no_wrap=True)
    table.add_column("age", width=6, justify="right", no_wrap=True)
    table.add_column("drops", ratio=4, no_wrap=True)
    table.add_column("clock", width=7, no_wrap=True)
    for camera in cameras:
        table.add_row(
            camera.camera_id,
            Text(camera.state, STATE_STYLES.get(camera.state, "")),
            f"{camera.fps_in:.1f}",
            f"{camera.fps_analysed:.1f}",
            Text(_faces(camera)),
            _age(camera),
            Text(_drops(camera)),
            camera.clock,
        )
    return table


def _alert_table(alerts: Iterable[Alert]) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), show_header=False)
    for width in (8, 8, None, 8):
        table.add_column(width=width, ratio=None if width else 3, no_wrap=True)
    table.add_column(ratio=4, no_wrap=True)
    for alert in alerts:
        table.add_row(
            _clock(alert.ts),
            Text(alert.severity, SEVERITY_STYLES[alert.severity]),
            f"{alert.rule} {place_of(alert)}",
            Text(alert.status, "bold" if alert.status is AlertStatus.FIRING else "green"),
            Text(_clean(_said(alert)), no_wrap=True, overflow="ellipsis"),
            style="dim" if alert.silenced_by else "",
        )
    return table if table.row_count else _line("none yet", "dim")


def _footer(status: Status, address: str) -> Text:
    parts = [f"up {_span(status.uptime_s)}", f"store {status.store or 'none'}", "Ctrl-C ends"]
    if address:  # before the store, whose path may be long
        parts[1:] = [f"console {address}", *parts[:0:-1]]
    return _line("   ".join(parts), "dim")


def _trouble(camera: CameraStatus) -> str:
    cause = f" ({camera.cause})" if camera.cause else ""
    return f"{camera.camera_id} is {camera.state}{cause}{': ' if camera.advice else ''}{camera.advice}"


def _pending(status: Status) -> Iterator[Alert]:
    """Alerts whose latest transition is that they wait for their time."""
    latest = {alert.alert_id: alert for alert in status.alerts}
    return (alert for alert in latest.values() if alert.status is AlertStatus.PENDING)


def _sights(camera: CameraStatus) -> Iterator[str]:
    """One sentence per face."""
    for number, label in enumerate(camera.labels):
        size = f" is {camera.face_px[number]:.0f} px high and" if number < len(camera.face_px) else ""
        if label != UNKNOWN:
            yield f"the face on {camera.camera_id}{size} shows {label}"
        else:
            reasons = camera.reasons[number] if number < len(camera.reasons) else ()
            why = ", ".join(REASONS.get(reason, reason) for reason in reasons) or "too small, turned, blurred or dark"
            yield f"the face on {camera.camera_id}{size} can't be read: {why}"


def _state_line(camera: CameraStatus) -> str:
    cause = f" cause={camera.cause}" if camera.cause else ""
    advice = f" {camera.advice}" if camera.advice else ""
    return f"camera={camera.camera_id} state={camera.state!r}{cause}{advice}"


def _camera_line(camera: CameraStatus) -> str:
    rates = f"fps_in={camera.fps_in:.1f} fps_read={camera.fps_analysed:.1f}"
    seen = f"faces={_faces(camera)!r} age={_age(camera)} drops={_drops(camera)!r}"
    return f"camera={camera.camera_id} state={camera.state!r} {rates} {seen}"


def _rules_lines(before: RulesStatus | None, now: RulesStatus) -> Iterator[str]:
    """What changed about the rules since the last line."""
    if before is not None and now.reloads != before.reloads:
        yield f"rules applied version={now.version} {', '.join(map(_rule, now.rules)) or 'none'}"
    if now.error and (before is None or now.error != before.error):
        yield f"rules refused, the old ones go on: {_beginning(now.error)}"


def _rule(rule: Rule) -> str:
    lasting = f", for {format_duration(rule.for_)}" if rule.for_ else ""
    return f"{rule.id} ({rule.severity}{lasting})"


def _beginning(complaint: str) -> str:
    """Its first line: the log has it in full."""
    first, *others = complaint.splitlines()
    return f"{first} (the log says more)" if others else first


def _alert_line(alert: Alert) -> str:
    place = f"camera={alert.camera_id}" if alert.camera_id else place_of(alert).replace(" ", "=")
    return f"alert {alert.status} {alert.severity} rule={alert.rule} {place} {_said(alert)}".rstrip()


def _said(alert: Alert) -> str:
    """What silences it; the rule's own words while it fires; why it ended after that."""
    words = alert.annotations.get("summary", "")
    firing = alert.status is AlertStatus.FIRING
    said = words if firing and words else f"{alert.reason}: {words}" if words else alert.reason
    return f"not sent, {alert.silenced_by}: {said}" if alert.silenced_by else said


def _faces(camera: CameraStatus) -> str:
    return f"{camera.faces} {', '.join(camera.labels)}".rstrip()


def _drops(camera: CameraStatus) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in camera.drops.items() if count) or "0"


def _age(camera: CameraStatus) -> str:
    return "-" if camera.age_s is None else f"{camera.age_s:.1f}s"


def _clock(ts: float) -> str:
    """Time of day in UTC."""
    return f"{datetime.fromtimestamp(ts, UTC):%H:%M:%S}"


def _span(seconds: float) -> str:
    return format_duration(int(seconds))


def _line(text: str = "", style: str = "") -> Text:
    return Text(_clean(text), style, no_wrap=True, overflow="ellipsis")


def _clean(text: str) -> str:
    """Without control characters: titles and addresses come from outside."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
