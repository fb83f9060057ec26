"""What most samples are: nothing reaches a threshold, and nothing was going on. They cost a comparison or two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from operators.records import UNKNOWN, FaceTrack
from operators.rules.reading import Number, Reader
from operators.rules.signal import Truth
from operators.rules.state import Slot

__all__ = ["Gate", "at_rest", "gate_of"]


@dataclass(frozen=True, slots=True)
class Gate:
    """The numbers of all predicates that a condition reads, each with its threshold."""

    numbers: tuple[tuple[Number, float], ...]
    min_quality: float
    min_confidence: float

    def reached(self, faces: Sequence[FaceTrack]) -> Truth:
        """Whether a face reaches a threshold; FALSE only if all faces are readable, or there are none."""
        unreadable = False
        for face in faces:
            if face.label == UNKNOWN or face.quality < self.min_quality or face.confidence < self.min_confidence:
                unreadable = True
                continue
            for number, enter in self.numbers:
                level = number(face)
                if level is None:
                    unreadable = True
                elif level >= enter:
                    return True
        return None if unreadable else False


def gate_of(readers: Iterable[Reader]) -> Gate | None:
    """The gate of these predicates; None where smoothing remembers every reading, or a `not` makes little much."""
    readers = tuple(readers)
    if not readers or any(reader.remembers or reader.negates for reader in readers):
        return None
    leaves = [leaf for reader in readers for leaf in reader.leaves]
    numbers = dict.fromkeys((leaf.number, leaf.enter) for leaf in leaves)
    return Gate(tuple(numbers), leaves[0].min_quality, leaves[0].min_confidence)


def at_rest(slot: Slot) -> bool:
    """After a FALSE sample outside an episode: whether another one would change nothing but the time."""
    pulse, match = slot.pulse, slot.match
    under_way = match is not None and (match.made or match.runs[0] is not None)
    counted = slot.members or (pulse is not None and pulse.ends)
    return not under_way and not counted and not any(leaf.on for leaf in slot.leaves)
