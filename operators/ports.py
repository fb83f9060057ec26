"""The protocols between operators and the rest of the house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from operators.records import Detections, Image, Reading

__all__ = ["Classifier", "Detector", "Enhancer", "Operator", "TemporalModel"]


class Detector(Protocol):
    """Finds faces: `(H, W, 3)` RGB -> detections in pixels of that image."""

    def __call__(self, image: Image, /) -> Detections: ...


class Enhancer(Protocol):
    """Upscales small faces: crops of any size -> the same crops, `scale` times larger."""

    @property
    def scale(self) -> int: ...

    def __call__(self, crops: Sequence[Image], /) -> list[Image]: ...


class Classifier(Protocol):
    """Reads expressions: n RGB crops of any size -> n readings, with probabilities over `labels`."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def __call__(self, crops: Sequence[Image], /) -> list[Reading]: ...


State = TypeVar("State")
In_contra = TypeVar("In_contra", contravariant=True)
Out = TypeVar("Out")


class Operator(Protocol[State, In_contra, Out]):
    """A stateful stage: never changes `state`, returns the next one; `None` is the start."""

    def step(self, state: State | None, item: In_contra, /) -> tuple[State, list[Out]]: ...


class TemporalModel(Protocol[State]):
    """Expression of one face over time, for uneven frame rates and gaps.

    `reading` is the classifier's at `ts`, or None where the face could not be read; `quality` in [0, 1].
    Returns the next state and the reading over time, or None while nothing is known.
    """

    def step(
        self, state: State | None, /, *, ts: float, reading: Reading | None, quality: float
    ) -> tuple[State | None, Reading | None]: ...
