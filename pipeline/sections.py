"""The sections of the settings that belong to the wiring; all others are the operators' and connectors' own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from connectors.camera import StreamSettings
from operators.enhance import EnhanceGate
from operators.illumination import Illumination
from operators.motion import MotionGate
from operators.quality import Gate
from operators.temporal import ExpressionFilter
from operators.track import Tracker
from operators.units import Seconds
from operators.zones import Zone

__all__ = [
    "Analysis",
    "Camera",
    "Console",
    "DetectorModel",
    "EnhancerModel",
    "ExpressionModel",
    "Metrics",
    "Models",
    "TemporalModel",
    "Worker",
]

_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera(StreamSettings):
    """One camera: its stream, and what the analysis should know of its view."""

    zones: dict[str, Zone] = field(default_factory=dict)
    """Areas of the picture by name, for rules: `{desk: {polygon: [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]}}`."""
    detail: Literal["normal", "far"] = "normal"
    """`far` also looks for small, distant faces, in an enlarged picture; it costs more time per frame."""
    enabled: bool = True
    """false keeps the settings of the camera but doesn't open it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorModel:
    """The network that finds faces."""

    name: str = "mtcnn"
    """Name in the model registry: mtcnn or yunet; `mien models list` shows all."""
    min_face_size: float | None = None
    """Smallest face to look for, in pixels of the frame; smaller costs more time. Default: the model's own."""

    def __post_init__(self) -> None:
        """Refuse faces too small to be one."""
        if self.min_face_size is not None and self.min_face_size < 4:
            raise ValueError(f"expected min_face_size of 4 pixels or more, got {self.min_face_size:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionModel:
    """The network that reads expressions."""

    name: str = "expression"
    """Name in the model registry: `mien models list`."""
    path: Path | None = None
    """Your own ONNX file in place of the registry's, as `mien export` writes it: it says itself what it reads."""
    temperature: float | None = None
    """Makes the network surer of itself below 1, less sure above: what `mien evaluate` says fits best. When absent, the
    registry's, or 1 for your own file."""
    site: Mapping[str, float] = field(default_factory=dict)
    """How frequent expressions are where the cameras look, such as `{neutral: 0.95}`; others share the rest. A rare one
    is then claimed only on better evidence."""

    def __post_init__(self) -> None:
        """Refuse a temperature that nothing can be divided by."""
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"expected a temperature above 0, got {self.temperature:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhancerModel:
    """The network that upscales small faces."""

    name: str = "enhancer"
    """Name in the model registry: `mien models list`."""
    path: Path | None = None
    """Your own ONNX file in place of the registry's: RGB or grey pictures in, larger ones out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalModel:
    """The network that follows the expression of one face over time."""

    name: str = "temporal"
    """Name in the model registry: `mien models list`."""
    path: Path | None = None
    """Your own ONNX file of such a head in place of the registry's, trained on the network that reads expressions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The networks and where they run."""

    detector: DetectorModel = field(default_factory=DetectorModel)
    """Finds faces."""
    expression: ExpressionModel = field(default_factory=ExpressionModel)
    """Reads expressions."""
    enhancer: EnhancerModel | None = None
    """Upscales small faces before they are read; off when absent."""
    temporal: TemporalModel | None = None
    """Follows expressions over time in place of the average of `analysis.temporal`, which it replaces when present."""
    device: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    """Where the networks run."""
    threads: int = 1
    """Threads within one call of a network, 0 for one per core; 1 is best for several cameras, sharing the cores."""
    mirror: Path | None = None
    """Folder that holds copies of the registry's files, for machines that may not download."""

    def __post_init__(self) -> None:
        """Refuse a negative number of threads."""
        if self.threads < 0:
            raise ValueError(f"expected threads of 0 or more, got {self.threads}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The stages between a picture and an observation."""

    tracker: Tracker = field(default_factory=Tracker)
    """Follows faces from frame to frame."""
    quality: Gate = field(default_factory=Gate)
    """Which faces can be read; the others are `unknown`."""
    temporal: ExpressionFilter = field(default_factory=ExpressionFilter)
    """Smooths the expression of one face over time; with `models.temporal` only `hold` and `reset_after` count."""
    illumination: Illumination = field(default_factory=Illumination)
    """Evens out the light on a face before it is read."""
    enhance: EnhanceGate = field(default_factory=EnhanceGate)
    """Which faces are upscaled, where there is an enhancer."""
    motion: MotionGate = field(default_factory=MotionGate)
    """Leaves out pictures in which nothing moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Where Prometheus can read the metrics."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""
    port: int = 9108
    """TCP port."""

    def __post_init__(self) -> None:
        """Refuse ports that don't exist."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"expected port from 0 to 65535, got {self.port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What the processes of a distributed pipeline (`mien capture`, `mien worker`) have in common."""

    host: str = "127.0.0.1"
    """Address of the health endpoints /healthz, /readyz and /metrics; 0.0.0.0 for every interface."""
    port: int = 9110
    """TCP port of the health endpoints; 0 for any free one."""
    stalled_after: Seconds = 20.0
    """A worker that has work and makes no progress for so long ends itself, to be started anew."""
    stop_within: Seconds = 8.0
    """After SIGTERM a worker that hasn't ended by then is cut off; nothing is lost by that."""
    skip_older_than: Seconds = 0.5
    """A frame that waited for longer says that analysis is overloaded: it does the newest of each camera, with gaps."""

    def __post_init__(self) -> None:
        """Refuse ports that don't exist."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"expected port from 0 to 65535, got {self.port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The web console of `mien run` and its HTTP API."""

    enabled: bool = True
    """false serves nothing."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface. Any but this machine's own (loopback) needs a token."""
    port: int | None = None
    """TCP port, 0 for any free one. Default: 8420, or where that is taken any free one."""
    token: SecretStr | None = None
    """What people and programs must show: 16 characters or more, such as `openssl rand -hex 32` prints."""
    names: tuple[str, ...] = ()
    """More host names that people reach it by, such as mien.example.org in front of a proxy."""
    live: Literal["outlines", "blurred", "full", "off"] = "outlines"
    """What the live view shows. `outlines`: outlines of faces over a picture too coarse to read any face in; `blurred`:
    the picture with the faces that were found made unreadable, not those that were missed; `full`: all of it."""
    recordings: Path | None = None
    """Folder with recordings that the console offers for replay."""
    history: Seconds = 6 * 3600.0
    """How much of the cameras' time lines is kept in memory."""

    def __post_init__(self) -> None:
        """Refuse ports that don't exist, and what would let strangers in."""
        if self.port is not None and not 0 <= self.port <= 65535:
            raise ValueError(f"expected port from 0 to 65535, got {self.port}")
        if not 60 <= self.history <= 7 * 86400:
            raise ValueError(f"expected a history from 1m to 7d, got {self.history:g} s")
        for name in self.names:
            if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
                raise ValueError(f"expected names such as mien.example.org, without scheme and port, got {name!r}")
        token = None if self.token is None else self.token.get_secret_value()
        if token is None and not self.local:
            raise ValueError(f"expected a token, as {self.host} can be reached from other machines: set token")
        if token is not None and not (token.isascii() and token.isprintable() and len(token) >= _SHORTEST_TOKEN):
            raise ValueError(f"expected a token of {_SHORTEST_TOKEN} or more printable ASCII characters")

    @property
    def everywhere(self) -> bool:
        """Whether it listens on every interface."""
        return self.host in {"0.0.0.0", "::"}  # noqa: S104 -- compared, not bound

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
