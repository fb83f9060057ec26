"""Networks that follow the expression of one face.

`TimedGru` is a gated recurrent unit in continuous time, after Mozer et al., "Discrete event, continuous time RNNs"
(arXiv 1710.04110): in `dt` seconds a memory moves towards its candidate by 1 - exp(-rate * dt), and the network sets
the rate of each memory by what it reads and remembers. It is the exponential average with a time constant that is
learnt and depends on the face; looking twice as often at the same face moves it as far.

`Lstm` is the CNN + LSTM of the source documents: over the classifier's features, frame by frame, without time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.temporal.recipe import Model

__all__ = ["Follower", "Frames", "Lstm", "TimedGru", "build", "parameters"]

FRESH_S = 60.0
"""`dt` of the first reading of a face: so long that nothing is left of the empty memory."""
_SLOWEST, _FASTEST = 0.5, 15.0
"""Rates that the memories begin with, per second."""
_TINY = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """n tracks of t readings: `probs (n, t, k)`, `features (n, t, f)`, `intensity`, `quality` and `dt (n, t)`.

    `dt` is the time since the reading before; FRESH_S where the face is new, or was not read for too long.
    """

    probs: Tensor
    features: Tensor
    intensity: Tensor
    quality: Tensor
    dt: Tensor


class TimedGru(nn.Module):
    """Probabilities, intensity, quality and time step in; the same over time out."""

    def __init__(self, classes: int, model: Model) -> None:
        super().__init__()
        self.hidden = model.hidden
        self.read = nn.Sequential(nn.Linear(classes + 3, model.width), nn.SiLU())
        self.enter = nn.Linear(model.width, 2 * model.hidden)
        self.recall = nn.Linear(model.hidden, 2 * model.hidden, bias=False)
        self.answer = nn.Linear(model.hidden, classes + 1)
        rates = torch.logspace(0, 1, model.hidden, base=_FASTEST / _SLOWEST) * _SLOWEST
        with torch.no_grad():
            self.enter.bias[: model.hidden] = torch.log(torch.expm1(rates))  # softplus of it is the rate

    def sequence(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Logits `(n, t, k)` and intensity `(n, t)` of whole tracks, which begin with an empty memory."""
        intensity, quality, dt = (values[..., None] for values in (frames.intensity, frames.quality, frames.dt))
        entered = self._entered(frames.probs, intensity, quality, dt)
        memory = entered.new_zeros(len(entered), self.hidden)
        memories = []
        for step, seconds in zip(entered.unbind(1), dt.unbind(1), strict=True):
            memory = self._move(step, seconds, memory * (seconds < FRESH_S))
            memories.append(memory)
        return self._answered(torch.stack(memories, 1))

    def forward(
        self, probs: Tensor, intensity: Tensor, quality: Tensor, dt: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One reading of each of n faces, for ONNX: `probs (n, k)`, `memory (n, hidden)`, the others `(n, 1)`."""
        memory = self._move(self._entered(probs, intensity, quality, dt), dt, memory)
        logits, expressed = self._answered(memory)
        return torch.softmax(logits, -1), expressed[..., None], memory

    def _entered(self, probs: Tensor, intensity: Tensor, quality: Tensor, dt: Tensor) -> Tensor:
        pace = torch.log(dt.clamp(0.01, 4.0))
        return self.enter(self.read(torch.cat([torch.log(probs + _TINY) / 4, intensity, quality, pace / 2], -1)))

    def _move(self, entered: Tensor, dt: Tensor, memory: Tensor) -> Tensor:
        rate, candidate = (entered + self.recall(memory)).chunk(2, -1)
        share = 1 - torch.exp(-F.softplus(rate) * dt)
        return memory + share * (torch.tanh(candidate) - memory)

    def _answered(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.answer(memory)
        return answer[..., :-1], torch.sigmoid(answer[..., -1])


class Lstm(nn.Module):
    """Features of the classifier in; begins anew where a face is new."""

    def __init__(self, classes: int, features: int, model: Model) -> None:
        super().__init__()
        self.cell = nn.LSTM(features, model.hidden, batch_first=True)
        self.answer = nn.Linear(model.hidden, classes + 1)

    def sequence(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Logits `(n, t, k)` and intensity `(n, t)` of whole tracks."""
        # A face that comes back is read with what was remembered: the documents know no time.
        answer = self.answer(self.cell(frames.features)[0])
        return answer[..., :-1], torch.sigmoid(answer[..., -1])


Follower = TimedGru | Lstm


def build(model: Model, *, classes: int, features: int) -> Follower:
    """The network of a recipe, with random weights."""
    return TimedGru(classes, model) if model.arch == "gru" else Lstm(classes, features, model)


def parameters(model: nn.Module) -> int:
    """How many numbers were learnt."""
    return sum(p.numel() for p in model.parameters())
