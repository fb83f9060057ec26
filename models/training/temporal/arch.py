"""Networks that follow the expression of one face.

`TimedGru` is an exponential average whose time constant is set anew at each reading, by a gated recurrent unit in
continuous time after Mozer et al., "Discrete event, continuous time RNNs" (arXiv 1710.04110): in `dt` seconds a memory
moves towards its candidate by 1 - exp(-rate * dt), and the network sets the rates by what it sees and remembers.

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
_FAST, _SLOW = 20.0, 4.0
"""Rates that the averages begin with, per second."""
_SEEN = 13
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
    """Two averages of the readings, a fast one and a slow one after it, whose rates a small recurrent network sets.

    The answer is the slow average: a mean of what the classifier said, never anything else. So what the network learns
    is when to move, not what faces look like, and it can't learn the faces that it was trained on by heart. It sees
    the averages and the reading only by how sure they are and how far apart, which is alike for all expressions.
    """

    def __init__(self, classes: int, model: Model) -> None:
        super().__init__()
        self.values = classes + 1  # the intensity is averaged like a probability
        self.hidden = model.hidden
        self.remembered = 2 * self.values + model.hidden
        self.read = nn.Sequential(nn.Linear(_SEEN, model.width), nn.SiLU())
        self.enter = nn.Linear(model.width, 2 * model.hidden)
        self.recall = nn.Linear(model.hidden, 2 * model.hidden, bias=False)
        self.rates = nn.Linear(model.hidden, 2)
        own = torch.logspace(0, 1, model.hidden, base=_FASTEST / _SLOWEST) * _SLOWEST
        with torch.no_grad():
            self.enter.bias[: model.hidden] = _before_softplus(own)
            self.rates.bias.copy_(_before_softplus(torch.tensor([_FAST, _SLOW])))

    def sequence(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Logits `(n, t, k)` and intensity `(n, t)` of whole tracks, which begin with an empty memory."""
        values = torch.cat([frames.probs, frames.intensity[..., None]], -1)
        quality, dt = frames.quality[..., None], frames.dt[..., None]
        memory = values.new_zeros(len(values), self.remembered)
        averages = []
        for new, good, seconds in zip(values.unbind(1), quality.unbind(1), dt.unbind(1), strict=True):
            average, memory = self._step(new, good, seconds, memory)
            averages.append(average)
        answer = torch.stack(averages, 1)
        return torch.log(answer[..., :-1] + _TINY), answer[..., -1]

    def forward(
        self, probs: Tensor, intensity: Tensor, quality: Tensor, dt: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One reading of each of n faces, for ONNX: `probs (n, k)`, `memory (n, remembered)`, the others `(n, 1)`."""
        answer, memory = self._step(torch.cat([probs, intensity], -1), quality, dt, memory)
        return answer[:, :-1], answer[:, -1:], memory

    def _step(self, new: Tensor, quality: Tensor, dt: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        known = dt < FRESH_S
        fast, slow, state = memory.split([self.values, self.values, self.hidden], -1)
        fast, slow = torch.where(known, fast, new), torch.where(known, slow, new)
        entered = self.enter(self.read(_seen(new, fast, slow, quality, dt)))
        state = self._move(entered, dt, torch.where(known, state, 0.0))
        follow, settle = _share(self.rates(state), dt).chunk(2, -1)
        fast = fast + follow * (new - fast)
        slow = slow + settle * (fast - slow)
        return slow, torch.cat([fast, slow, state], -1)

    def _move(self, entered: Tensor, dt: Tensor, state: Tensor) -> Tensor:
        rate, candidate = (entered + self.recall(state)).chunk(2, -1)
        return state + _share(rate, dt) * (torch.tanh(candidate) - state)


def _share(rate: Tensor, dt: Tensor) -> Tensor:
    """How much of the way is gone in `dt` seconds."""
    return 1 - torch.exp(-F.softplus(rate) * dt)


def _before_softplus(rates: Tensor) -> Tensor:
    return torch.log(torch.expm1(rates))


def _seen(new: Tensor, fast: Tensor, slow: Tensor, quality: Tensor, dt: Tensor) -> Tensor:
    """`(n, _SEEN)`: what doesn't depend on which expression is which."""
    probs = [values[:, :-1] for values in (new, fast, slow)]
    sure = [values.amax(-1, keepdim=True) for values in probs]
    spread = [(values * values).sum(-1, keepdim=True) for values in probs]
    alike = [
        (a * b).sum(-1, keepdim=True) for a, b in ((probs[0], probs[1]), (probs[0], probs[2]), (probs[1], probs[2]))
    ]
    apart = [(a - b).abs().sum(-1, keepdim=True) for a, b in ((probs[0], probs[2]), (probs[1], probs[2]))]
    return torch.cat([*sure, *spread, *alike, *apart, quality, torch.log(dt.clamp(0.01, 4.0)) / 2], -1)


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
