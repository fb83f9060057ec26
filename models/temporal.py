"""A learned head over time: a small network that steps from reading to reading of one face.

It stands behind `operators.ports.TemporalModel`. What it remembers of a face is a few numbers in the state, so a stream
cut anywhere and resumed from its state gives the same bytes; each face is stepped by itself, so it doesn't matter which
others are seen. It was trained by `models/training/temporal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.session import Session
from operators.errors import ModelError
from operators.records import Floats, Reading
from operators.temporal import ExpressionFilter, Followed, follow

__all__ = ["TEMPORAL_INPUTS", "TEMPORAL_OUTPUTS", "TemporalHead", "TemporalOptions"]

TEMPORAL_INPUTS = ("probs", "intensity", "quality", "dt", "memory")
TEMPORAL_OUTPUTS = ("probs_over_time", "intensity_over_time", "remembered")
_FRESH_S = np.float32(60.0)
"""Time step of the first reading of a face, as in training: nothing is left of the empty memory."""


@dataclass(frozen=True, slots=True)
class TemporalOptions:
    """What happens while a face can't be read; defaults are those that it was trained with."""

    hold: float = ExpressionFilter().hold
    """Seconds for which the last reading stands."""
    reset_after: float = ExpressionFilter().reset_after
    """Seconds without a reading after which the face is as new."""

    def __post_init__(self) -> None:
        if min(self.hold, self.reset_after) < 0:
            raise ValueError("hold and reset_after must be 0 s or more")


class TemporalHead:
    """A `TemporalModel`: readings over `labels` in, readings over time out."""

    def __init__(self, session: Session, labels: Sequence[str], options: TemporalOptions) -> None:
        """Take a session with TEMPORAL_INPUTS and TEMPORAL_OUTPUTS; raises ModelError for another network."""
        shapes = session.input_shapes
        if tuple(shapes) != TEMPORAL_INPUTS or shapes["probs"][1] != len(labels):
            raise ModelError(
                f"expected a temporal head of {len(labels)} expressions, with the inputs {', '.join(TEMPORAL_INPUTS)}; "
                f"got a network that reads {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
            )
        self.options = options
        self._empty = np.zeros((1, int(str(shapes["memory"][1]))), np.float32)
        self._labels = tuple(labels)
        self._session = session

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the expressions, in the order of the probabilities: those of the classifier it was trained on."""
        return self._labels

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that really runs."""
        return self._session.provider

    def step(
        self, state: Followed[Floats] | None, /, *, ts: float, reading: Reading | None, quality: float
    ) -> tuple[Followed[Floats] | None, Reading | None]:
        """The next state and the reading at `ts`, or None while nothing is known; ModelError for other labels."""

        def update(before: Followed[Floats] | None, new: Reading) -> tuple[Reading, Floats]:
            # Unlike the filter it counts from the last reading: it has learnt what time without one is worth.
            dt = _FRESH_S if before is None else np.float32(max(ts - before.read_ts, 0.0))
            return self._read(new, quality, dt, self._empty if before is None else before.memory)

        options = self.options
        return follow(state, ts=ts, reading=reading, hold=options.hold, reset_after=options.reset_after, update=update)

    def _read(self, new: Reading, quality: float, dt: np.float32, memory: Floats) -> tuple[Reading, Floats]:
        if len(new.probs) != len(self._labels):
            raise ModelError(
                f"the temporal head reads {len(self._labels)} expressions, the classifier gives {len(new.probs)}: "
                "use the classifier it was trained on, or leave models.temporal out"
            )
        expressed = 1 - float(new.probs[self._labels.index("neutral")]) if new.intensity is None else new.intensity
        probs, intensity, remembered = self._session(
            new.probs[None].astype(np.float32, copy=False), _cell(expressed), _cell(quality), _cell(dt), memory
        )
        over_time = None if new.intensity is None else float(intensity[0, 0])
        return Reading(probs[0], over_time), remembered


def _cell(value: float | np.float32) -> Floats:
    return np.array([[value]], np.float32)
