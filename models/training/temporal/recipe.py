"""Recipes of the temporal head: the bank of answers, the synthetic tracks made of it, and the network."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from models.training.recipe import Plan, Section

__all__ = ["BankPlan", "Model", "TemporalRecipe", "TrackPlan"]

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Range = tuple[Positive, Positive]
"""Smallest and largest; drawn evenly on a logarithmic scale."""


class BankPlan(Section):
    """Of which stills, and seen how, the classifier's answers are kept."""

    stills: Count = 8000
    """Most stills of a split; all of them where there are fewer."""
    sizes: tuple[Annotated[int, msgspec.Meta(ge=8, le=48)], ...] = (12, 16, 20, 28, 48)
    """Pixels across the face, rising; a face of a track drifts between them."""
    crops: Annotated[int, msgspec.Meta(ge=2)] = 4
    """Crops of each still at each size; a face of a track wanders between them."""
    turn: NotNegative = 4.0
    """Degrees by which the head is tilted to either side."""
    wobble: NotNegative = 1.0
    """Pixels of the small face by which a detector's landmarks are off: crops of far faces jitter most."""
    noise: NotNegative = 4.0
    """Largest deviation of the sensor noise of a camera, of 255 levels."""
    blur: NotNegative = 0.8
    """Largest blur of a camera, pixels of the small face."""
    jpeg: Share = 0.6
    """Share of the cameras that compress, at a quality of 30 to 95."""
    held: Share = 0.2
    """Share of the training stills that only validates."""

    def __post_init__(self) -> None:
        """Refuse sizes in another order."""
        self.rising("sizes")


class TrackPlan(Section):
    """What happens to a face that is followed."""

    fps: Range = (5.0, 25.0)
    """Frames per second of the camera."""
    uneven: Share = 0.3
    """Largest part of the interval by which a frame is early or late."""
    dropped: Range | None = (0.01, 0.4)
    """Share of the frames that are lost, one by one."""
    pauses: NotNegative = 1.0
    """Stretches per minute without any frame."""
    pause: Range = (0.5, 4.0)
    """Seconds of a pause."""
    gaps: NotNegative = 3.0
    """Stretches per minute in which the face can't be read."""
    gap: Range = (0.2, 3.0)
    """Seconds of a gap."""
    ramp: Range = (0.1, 1.0)
    """Seconds from one expression to the next."""
    dwell: Range = (1.0, 12.0)
    """Seconds that an expression stays."""
    steady: Share = 0.25
    """Share of the tracks in which the expression never changes."""
    direct: Share = 0.3
    """Share of the changes that go from one expression to another, not by way of neutral."""
    wander: Share = 0.3
    """How far a face drifts to another still of the same expression and back while it dwells."""
    flaws: NotNegative = 6.0
    """Blinks, words and other moments per minute in which a face looks like something else."""
    flaw: Range = (0.08, 0.4)
    """Seconds of one."""
    flaw_depth: Range = (0.2, 0.8)
    """How much of the answer it takes."""
    calm: Range = (0.3, 3.0)
    """Seconds over which the crop, and with it the answer, stays alike."""
    fresh: Range = (0.4, 0.95)
    """Part of the variation between crops that is new in every frame."""
    drift: NotNegative = 0.25
    """How far the size drifts, as the standard deviation of its logarithm."""
    balance: Share = 0.0
    """Expressions are drawn by their frequency to the power of 1 - balance: 0 as they are, 1 all alike."""

    def __post_init__(self) -> None:
        """Refuse reversed ranges."""
        self.rising("fps", "dropped", "pause", "gap", "ramp", "dwell", "flaw", "flaw_depth", "calm", "fresh")


class Model(Section):
    """The network."""

    arch: Literal["gru", "lstm"] = "gru"
    """`gru`: sets the rates of an average, in continuous time. `lstm`: over the classifier's features, by the frame."""
    hidden: Count = 24
    """Numbers that it remembers of a face; those of the averages come on top."""
    width: Count = 32
    """Numbers that a reading becomes before it is remembered (`gru` only)."""


class TemporalRecipe(Plan, kw_only=True):
    """The training of a temporal head."""

    task: Literal["temporal"] = "temporal"
    batch_size: Count = 64
    averaging: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.98
    batches: Count = 40
    """Of an epoch: tracks are made as they are needed, and none comes twice."""
    frames: Count = 120
    """Of a track in training."""
    tracks: TrackPlan = TrackPlan()
    bank: BankPlan = BankPlan()
    model: Model = Model()
    temperature: Positive = 1.0
    """Divides the logits of a training run, as the registry's entry does for the network that it becomes."""
    warmth: Annotated[float, msgspec.Meta(ge=1)] = 1.25
    """Largest factor by which the classifier of a track is more or less sure of itself than it is."""
    steadiness: NotNegative = 6.0
    """What a change of the answer costs from frame to frame where the truth stays."""
    expressed: NotNegative = 0.5
    """Weight of the error of the intensity."""

    def network(self) -> object:
        """Architecture only: tracks may change."""
        return self.model
