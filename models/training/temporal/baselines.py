"""What a temporal head is measured against, each behind `operators.ports.TemporalModel`, as it would run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.temporal.bank import Bank
from operators.records import Floats, Reading

__all__ = ["HiddenMarkov", "Majority", "confusion"]

Votes = tuple[tuple[float, int, float], ...]
Belief = tuple[NDArray[np.float64], float]


@dataclass(frozen=True, slots=True)
class Majority:
    """The share of each label among the readings of the last `window` seconds, by their quality."""

    window: float

    def step(
        self, state: Votes | None, /, *, ts: float, reading: Reading | None, quality: float
    ) -> tuple[Votes, Reading | None]:
        """State: time, label and quality of each reading of the window."""
        kept = tuple(vote for vote in state or () if ts - vote[0] <= self.window)
        if reading is None:
            return kept, None
        kept = (*kept, (ts, int(reading.probs.argmax()), max(quality, 1e-3)))
        shares = np.bincount(
            [label for _, label, _ in kept], [weight for _, _, weight in kept], minlength=len(reading.probs)
        )
        return kept, Reading(np.asarray(shares / shares.sum(), np.float32), reading.intensity)


@dataclass(frozen=True, slots=True, eq=False)
class HiddenMarkov:
    """The forward filter of a hidden Markov model (Rabiner, Proc. IEEE 77, 1989) in continuous time.

    A face leaves its expression `rate` times per second, for any other by its `prior (k,)`. A reading counts by the
    probability that each expression gives it: `emission (k, k)`, by true class and label, to the power of `trust` times
    the quality, because readings that follow each other aren't independent.
    """

    emission: NDArray[np.float64]
    prior: NDArray[np.float64]
    rate: float
    trust: float

    def step(
        self, state: Belief | None, /, *, ts: float, reading: Reading | None, quality: float
    ) -> tuple[Belief | None, Reading | None]:
        """State: what is believed, and when the last reading was."""
        if reading is None:
            return state, None
        before, at = state if state is not None else (self.prior, ts)
        stays = np.exp(-self.rate * max(ts - at, 0.0))
        belief = stays * before + (1 - stays) * self.prior
        belief = belief * (self.emission @ reading.probs) ** (self.trust * quality)
        belief = belief / belief.sum()
        return (belief, ts), Reading(belief.astype(np.float32), reading.intensity)


def confusion(bank: Bank) -> tuple[NDArray[np.float64], Floats]:
    """How often each true class `(k, k)` is read as each label over all sizes and crops, and how common it is `(k,)`.

    One reading of every kind is added, so that nothing is impossible.
    """
    read = bank.logits.astype(np.float32).argmax(-1).reshape(len(bank), -1)
    counts = np.ones((bank.classes, bank.classes))
    np.add.at(counts, (bank.truth[:, None].repeat(read.shape[1], 1), read), 1)
    prior = np.bincount(bank.truth, minlength=bank.classes) + 1.0
    return counts / counts.sum(1, keepdims=True), prior / prior.sum()
