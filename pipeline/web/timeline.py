"""What one camera showed over time: shares of expressions, with gaps and alerts as regions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

from connectors.store_reader import Wanted
from operators.records import Alert, GapReason, Severity, Status
from operators.rules import RuleSet
from pipeline.web.answers import Answer, ProblemAnswer
from pipeline.web.history import Counts, History, Stretches
from pipeline.web.sources import From, Sources

__all__ = ["Region", "Strip", "Timeline", "regions", "router", "strip_of"]

router = APIRouter(prefix="/api/timeline", tags=["timeline"])

USUAL_S = 900.0
"""What is shown where nobody says from when."""
MOST_ALERTS = 500
LATEST = 1e11
"""Far in the future, and still a whole number of milliseconds."""
SHOWN = (Status.FIRING, Status.RESOLVED)

Time = Annotated[float | None, Query(ge=0, le=LATEST, allow_inf_nan=False)]


class MissedTime(Answer):
    """A time in which the camera was not seen."""

    from_ts: float
    to_ts: float
    reason: GapReason


class Region(Answer):
    """An alert that fired, as a stretch of time."""

    alert_id: str
    rule: str
    severity: Severity
    status: Status
    started: float
    """When its condition began."""
    fired_at: float | None
    ends_at: float | None
    """null while it fires."""


class Strip(Answer):
    """What a camera showed in stretches of equal width; null where there was no frame, or of shares, no readable face.

    Stretches begin where something was first seen and end where something was last seen: without any, all lists are
    empty.
    """

    camera_id: str
    width_s: float
    start: list[float]
    faces: list[float | None]
    """Faces per frame."""
    unknown: list[float | None]
    """Share of the faces that could not be read."""
    shares: dict[str, list[float | None]]
    """By expression: the share of the readable faces that showed it most. They sum up to 1."""
    observed_s: list[float]
    """How much of the stretch was observed."""
    gaps: list[MissedTime]


class Timeline(Strip):
    """What a camera showed from one time to another, and the alerts of it."""

    from_: Annotated[float, Field(serialization_alias="from")]
    to: float
    alerts: list[Region]
    """Those that fired: of this camera, of groups that it is in, and of the site; at most 500, the latest ones."""


@router.get("", responses={404: {"model": ProblemAnswer, "description": "There is no such camera."}})
def timeline(
    sources: From,
    *,
    camera: Annotated[str, Query(description="Id of a camera.")],
    since: Annotated[Time, Query(alias="from")] = None,
    until: Annotated[Time, Query(alias="to")] = None,
    points: Annotated[int, Query(ge=1, le=2000, description="So many stretches at most.")] = 400,
) -> Timeline:
    """What one camera showed: by itself, of the last quarter of an hour.

    `GET /api/status` says in `history_s` how far it goes back; the last twenty minutes have stretches of down to a
    second, what is before of down to ten.
    """
    if camera not in sources.settings.cameras:
        raise HTTPException(404, f"there is no camera {camera}")
    end = until if until is not None else _now(sources, camera)
    begin = since if since is not None else max(end - USUAL_S, 0.0)
    strip = strip_of(sources.history, camera, begin, max(begin, end), points=points)
    return Timeline(**dict(strip), from_=begin, to=end, alerts=_alerts(sources, camera, begin, end))


def strip_of(history: History, camera_id: str, begin: float, end: float, *, points: int) -> Strip:
    """What a camera showed between two times, of a history."""
    stretches = history.stretches(camera_id, begin, end, points=points)
    gaps = history.gaps(camera_id, begin, end, apart=stretches.width_s)
    return Strip(
        camera_id=camera_id,
        width_s=stretches.width_s,
        start=stretches.start.tolist(),
        faces=_ratio(stretches.faces, stretches.frames),
        unknown=_ratio(stretches.unread, stretches.faces),
        shares=_shares(stretches, history.labels),
        observed_s=(stretches.observed_ms / 1000).tolist(),
        gaps=[MissedTime(from_ts=gap.from_ts, to_ts=gap.to_ts, reason=gap.reason) for gap in gaps],
    )


def regions(alerts: Iterable[tuple[float, Alert]], camera_id: str, rules: RuleSet) -> list[Region]:
    """The alerts (when they began, and their last transitions) that are about a camera, its groups, or the site."""
    groups = {name for name, group in rules.groups.items() if camera_id in group.cameras}
    return [_region(started, alert) for started, alert in alerts if _concerns(alert, camera_id, groups)]


def _concerns(alert: Alert, camera_id: str, groups: Collection[str]) -> bool:
    if alert.camera_id:
        return alert.camera_id == camera_id
    return "group" not in alert.labels or alert.labels["group"] in groups


def _region(started: float, alert: Alert) -> Region:
    return Region(
        alert_id=alert.alert_id,
        rule=alert.rule,
        severity=alert.severity,
        status=alert.status,
        started=started,
        fired_at=alert.fired_at,
        ends_at=alert.ends_at,
    )


def _now(sources: Sources, camera_id: str) -> float:
    """The present of a camera: files have a time of their own."""
    newest = sources.history.newest(camera_id)
    return sources.clock() if newest is None else newest


def _alerts(sources: Sources, camera_id: str, begin: float, end: float) -> list[Region]:
    wanted = Wanted(statuses=SHOWN, cameras=[camera_id, ""], since=begin, until=end)
    episodes = sources.reader.page(wanted, limit=MOST_ALERTS).episodes
    return regions(((one.started, one.alert) for one in episodes), camera_id, sources.ruleset)


def _ratio(parts: Counts, wholes: Counts) -> list[float | None]:
    return [
        round(part / whole, 4) if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)
    ]


def _shares(stretches: Stretches, labels: Sequence[str]) -> dict[str, list[float | None]]:
    read = stretches.faces - stretches.unread
    return (
        {label: _ratio(stretches.labels[:, number], read) for number, label in enumerate(labels)}
        if len(stretches)
        else {}
    )
