"""What every condition is: it turns samples into one value per scope, and says when an episode is enough.

Adding one: settings in `conditions.py` and a field of `Rule`, its memory in `state.py`, a module with these
methods, a line in `compile.py`. The life cycle, scopes, schedules, silence and limits come by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from operators.records import FaceTrack
from operators.rules.reading import Reader
from operators.rules.signal import Truth
from operators.rules.state import Slot

__all__ = ["Condition", "Due", "Now", "Value"]

Due = tuple[int, int, str]
"""`(wake, ts, reason)`: what happens next if no other sample comes. `ts` is when it happens, `wake` the first ms in
which that is certain: a sample just in time still closes a gap."""


class Now(NamedTuple):
    """The instant of a sample: its time in ms, and what is known of the cameras' health."""

    ts: int
    fps: int = 0
    """Pictures that the camera has delivered in the last second, where a rule asks for it."""
    complete: bool = True


class Value(NamedTuple):
    """What a condition makes of one sample."""

    value: Truth
    level: float | None
    """The number that it decided by; None where there is none."""
    face: FaceTrack | None = None
    """The face that shows it most."""
    starts_at: int | None = None
    """Where an episode that opens now began, if that was earlier."""
    over: str = ""
    """Why a pending episode ends now, before this value counts."""


class Condition(Protocol):
    """One condition of one rule in one partition; all that it remembers is in the slot."""

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """The value of a sample that shows `faces` in the scope; called once per sample, in time order."""
        ...

    @property
    def watched(self) -> Sequence[Reader]:
        """The predicates that decide whether anything goes on; empty where every sample is remembered."""
        ...

    def enough(self, slot: Slot) -> bool:
        """Whether the episode of `slot.alarm`, whose last sample is TRUE, makes the rule fire."""
        ...

    def breaks_at(self, slot: Slot) -> Due:
        """When and why the pending episode ends if no other sample comes."""
        ...

    def evidence(self, slot: Slot, /) -> Mapping[str, float]:
        """Numbers that say why, besides those of every alert."""
        ...

    @property
    def remembers(self) -> int:
        """For how many ms after its last sample a scope without an alert still matters."""
        ...
