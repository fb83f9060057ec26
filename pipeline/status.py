"""What a running pipeline says about itself: read by the terminal view, the log lines and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from operators.records import Alert
from operators.rules import Rule


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera now. Rates are over the last few seconds; `age_s` is now - ts of the newest analysed frame.

    `state` is one of connecting, live, stalled, backing off, stopped; `cause` is set while it is not live. `drops`
    counts frames since the start by reason and `advice` is one plain sentence for a person, or empty. `labels`,
    `face_px` (`source_px` of the faces) and `reasons` (why a face can't be read, or empty) go together, face by face;
    `frames`, `analysed`, `lost` (never arrived, or arrived broken) and `late` (came after their time had passed for the
    rules) count since the start. `skew_s` is the camera's clock minus ours, where it tells its time; `pid` is the
    process that reads the camera, while there is one.
    """

    camera_id: str
    state: str
    cause: str = ""
    advice: str = ""
    clock: str = ""
    skew_s: float | None = None
    pid: int | None = None
    fps_in: float = 0.0
    fps_analysed: float = 0.0
    faces: int = 0
    labels: tuple[str, ...] = ()
    face_px: tuple[float, ...] = ()
    reasons: tuple[tuple[str, ...], ...] = ()
    age_s: float | None = None
    frames: int = 0
    analysed: int = 0
    lost: int = 0
    late: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    reconnects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink: `waiting` transitions are stored but not delivered yet, `error` says why, or is empty."""

    name: str
    waiting: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class RulesStatus:
    """The rules in force, and the version that alerts carry as `config`.

    `reloads` counts the changes applied since the start, `refused` those that were wrong; `error` says why what the
    files hold now is refused, or is empty.
    """

    version: str = ""
    rules: tuple[Rule, ...] = ()
    reloads: int = 0
    refused: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One role of a worker: `ready` once its `partitions` are assigned and their state is read back.

    `done` records were worked on since the start, `dead` ones of them went to the dead letters; `waiting` ones are in
    the brokers, None while those don't answer. The oldest record of the last batch had waited for `age_s`.
    """

    role: str
    ready: bool
    partitions: int
    done: int = 0
    dead: int = 0
    waiting: int | None = None
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole pipeline now; `alerts` are the latest transitions, newest last; `store_error` is mostly empty."""

    uptime_s: float
    cameras: tuple[CameraStatus, ...]
    alerts: tuple[Alert, ...] = ()
    firing: int = 0
    sinks: tuple[SinkStatus, ...] = ()
    store: str = ""
    store_error: str = ""
    rules: RulesStatus = field(default_factory=RulesStatus)
    roles: tuple[RoleStatus, ...] = ()
