"""Alerts: what fires and what fired, and what people say to it."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import Field

from connectors.store_reader import Episode, Wanted
from operators.records import Alert as Record
from operators.records import Scope, Severity, Status
from pipeline.web.answers import Answer, ProblemAnswer
from pipeline.web.sources import From, Sources

__all__ = ["Alert", "Transition", "router"]

router = APIRouter(prefix="/api/alerts", tags=["alerts"])

UNKNOWN_ALERT: dict[int | str, dict[str, object]] = {
    404: {"model": ProblemAnswer, "description": "There is no alert with this id, or no longer."}
}
LONGEST_NOTE = 500
AlertId = Annotated[str, Path(max_length=64, description="As in `alert_id`.", examples=["5b1f0c7be2a94d10"])]
Time = Annotated[float | None, Query(allow_inf_nan=False)]


class Transition(Answer):
    """One transition of an alert. Evidence is figures only."""

    alert_id: str = Field(examples=["5b1f0c7be2a94d10"])
    seq: int
    """Counts the transitions of one alert."""
    rule: str
    scope: Scope
    camera_id: str
    """Empty where the alert is about a group or the site."""
    status: Status
    reason: str
    severity: Severity
    ts: float
    starts_at: float
    fired_at: float | None
    ends_at: float | None
    labels: dict[str, str]
    annotations: dict[str, str]
    evidence: dict[str, float]
    config: str
    """Version of the rules."""
    silenced_by: str
    """Why it is recorded but not sent, or empty."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """The transition as the store holds it."""
        return cls.model_validate(record, from_attributes=True)


class Alert(Transition):
    """An alert as it is now: its latest transition, when it began, and what people said to it."""

    started: float
    """Time of its first transition."""
    recorded_at: float
    """When its latest transition came into the store."""
    acknowledged_at: float | None
    """When a person said to have seen it."""
    note: str

    @classmethod
    def now(cls, episode: Episode) -> Self:
        """An alert as the store knows it."""
        return cls(
            **Transition.of(episode.alert).model_dump(),
            started=episode.started,
            recorded_at=episode.recorded_at,
            acknowledged_at=episode.acknowledged_at,
            note=episode.note,
        )


class Alerts(Answer):
    """A page of alerts, the one that began last first."""

    items: list[Alert]
    next: str | None
    """The `cursor` of the next page; null on the last one."""


class AlertDetails(Answer):
    """An alert with all its transitions, oldest first."""

    alert: Alert
    transitions: list[Transition]


class Acknowledgement(Answer):
    """What a person says to an alert that they have seen."""

    note: str = Field(default="", max_length=LONGEST_NOTE, examples=["looked at it: a delivery"])


@router.get("")
def alerts(
    sources: From,
    *,
    status: Annotated[list[Status], Query(description="May repeat, as all names here: any of them.")] = [],  # noqa: B006
    rule: Annotated[list[str], Query()] = [],  # noqa: B006
    camera: Annotated[list[str], Query()] = [],  # noqa: B006
    severity: Annotated[list[Severity], Query()] = [],  # noqa: B006
    since: Annotated[Time, Query(alias="from", description="What went on at this time or later.")] = None,
    until: Annotated[Time, Query(alias="to", description="What had begun by this time.")] = None,
    acknowledged: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the page before.")] = None,
) -> Alerts:
    """Alerts, the one that began last first.

    An alert keeps its place while it goes on: paging misses none and repeats none while others begin.
    """
    wanted = Wanted(
        statuses=status,
        rules=rule,
        cameras=camera,
        severities=severity,
        since=since,
        until=until,
        acknowledged=acknowledged,
    )
    page = sources.reader.page(wanted, limit=limit, before=None if cursor is None else int(cursor))
    return Alerts(
        items=[Alert.now(episode) for episode in page.episodes], next=None if page.next is None else str(page.next)
    )


@router.get("/{alert_id}", responses=UNKNOWN_ALERT)
def alert(sources: From, alert_id: AlertId) -> AlertDetails:
    """One alert with all its transitions."""
    transitions = sources.reader.transitions(alert_id)
    return AlertDetails(alert=_alert(sources, alert_id), transitions=[Transition.of(one) for one in transitions])


@router.post("/{alert_id}/acknowledgement", responses=UNKNOWN_ALERT)
def acknowledge(sources: From, alert_id: AlertId, body: Acknowledgement) -> Alert:
    """Say that a person has seen an alert. Nothing else about it changes, and nothing is sent."""
    sources.store.acknowledge(alert_id, body.note)
    return _alert(sources, alert_id)


@router.delete("/{alert_id}/acknowledgement", responses=UNKNOWN_ALERT)
def unacknowledge(sources: From, alert_id: AlertId) -> Alert:
    """Take that back."""
    sources.store.unacknowledge(alert_id)
    return _alert(sources, alert_id)


def _alert(sources: Sources, alert_id: str) -> Alert:
    episode = sources.reader.episode(alert_id)
    if episode is None:
        raise HTTPException(404, f"there is no alert {alert_id}: it may have passed its retention (store.retention)")
    return Alert.now(episode)
