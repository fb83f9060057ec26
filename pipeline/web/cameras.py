"""The pipeline and its cameras as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from pipeline.status import CameraStatus
from pipeline.web.answers import Answer
from pipeline.web.sources import From, Sources

__all__ = ["Camera", "PipelineStatus", "camera_list", "router", "status_now"]

router = APIRouter(prefix="/api", tags=["now"])

VERSION = version("mien")


class Sink(Answer):
    """A receiver of alerts."""

    name: str
    waiting: int
    """Transitions that are stored but not delivered yet."""
    error: str
    """Why the last delivery failed, or empty."""


class Rules(Answer):
    """The rules in force."""

    version: str
    count: int
    reloads: int
    """Changes applied since the start."""
    refused: int
    """Changes that were wrong."""
    error: str
    """Why what the files hold now is refused, or empty."""


class PipelineStatus(Answer):
    """The whole pipeline now."""

    version: str
    now: float
    uptime_s: float
    purpose: str
    firing: int
    """Alerts that fire now."""
    live: Literal["outlines", "blurred", "full", "off"]
    """What the live view shows."""
    sinks: list[Sink]
    store: str
    store_error: str
    """Why alerts are only held in memory, or empty."""
    rules: Rules
    expressions: list[str]
    """The labels that a face can have, besides `unknown`."""
    history_s: float
    """How far back time lines go."""


class Zone(Answer):
    """An area of the picture."""

    polygon: list[tuple[float, float]]
    """Corners, relative to the width and the height of the picture."""
    inertia_s: float
    """How long a face must be inside or outside before it has entered or left."""


class Camera(Answer):
    """A camera now. Rates are over the last few seconds, counts since the start."""

    camera_id: str
    state: str = Field(examples=["live"])
    """connecting, live, stalled, backing off or stopped."""
    cause: str
    """Why it is not live, or empty."""
    advice: str
    """One sentence for a person, or empty."""
    clock: str
    skew_s: float | None
    """The camera's clock minus ours, where it tells its time."""
    fps_in: float
    fps_analysed: float
    age_s: float | None
    """Now minus the time of the newest analysed frame; null for files."""
    faces: int
    labels: list[str]
    """What each face shows, or `unknown`."""
    frames: int
    analysed: int
    lost: int
    late: int
    drops: dict[str, int]
    reconnects: dict[str, int]
    detail: Literal["normal", "far"]
    groups: list[str]
    zones: dict[str, Zone]
    masks: list[list[tuple[float, float]]]


@router.get("/status")
def status(sources: From) -> PipelineStatus:
    """What the pipeline says about itself."""
    return status_now(sources)


@router.get("/cameras")
def cameras(sources: From) -> list[Camera]:
    """Every camera, in the order of the configuration."""
    return list(camera_list(sources))


def status_now(sources: Sources) -> PipelineStatus:
    """What the pipeline says about itself now."""
    now, settings = sources.status(), sources.settings
    rules = now.rules
    return PipelineStatus(
        version=VERSION,
        now=round(sources.clock(), 3),
        uptime_s=round(now.uptime_s, 3),
        purpose=settings.purpose,
        firing=now.firing,
        live=settings.console.live,
        sinks=[Sink(name=sink.name, waiting=sink.waiting, error=sink.error) for sink in now.sinks],
        store=now.store,
        store_error=now.store_error,
        rules=Rules(
            version=rules.version,
            count=len(rules.rules),
            reloads=rules.reloads,
            refused=rules.refused,
            error=rules.error,
        ),
        expressions=list(sources.history.labels),
        history_s=settings.console.history,
    )


def camera_list(sources: Sources) -> Iterator[Camera]:
    """Every camera that is enabled, in the order of the configuration."""
    for camera in sources.status().cameras:
        yield _camera(sources, camera)


def _camera(sources: Sources, camera: CameraStatus) -> Camera:
    configured = sources.settings.cameras[camera.camera_id]
    groups = [name for name, group in sources.ruleset.groups.items() if camera.camera_id in group.cameras]
    return Camera(
        camera_id=camera.camera_id,
        state=camera.state,
        cause=camera.cause,
        advice=camera.advice,
        clock=camera.clock,
        skew_s=_rounded(camera.skew_s),
        fps_in=round(camera.fps_in, 2),
        fps_analysed=round(camera.fps_analysed, 2),
        age_s=_rounded(camera.age_s),
        faces=camera.faces,
        labels=list(camera.labels),
        frames=camera.frames,
        analysed=camera.analysed,
        lost=camera.lost,
        late=camera.late,
        drops=dict(camera.drops),
        reconnects=dict(camera.reconnects),
        detail=configured.detail,
        groups=groups,
        zones={
            name: Zone(polygon=list(zone.polygon), inertia_s=zone.inertia) for name, zone in configured.zones.items()
        },
        masks=[list(mask) for mask in configured.masks],
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
