"""Structured pruning: whole channels are taken out, so that what is left is a smaller dense network.

Which channels depend on each other through shortcuts and gates, and which matter least by the norm of their weights, is
found by torch-pruning (Fang et al., DepGraph, arXiv 2301.12900).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
import torch_pruning
from torch import nn

from models.training.archs import Network, SqueezeExcite
from operators.errors import ConfigError

__all__ = ["Of", "Pruned", "prune"]

Of = Literal["channels", "work"]
"""What a share is of: the channels of every layer, or the multiplications of the network."""

MULTIPLE = 4
"""Channels are kept in fours: an integer dot product takes four at once."""
FINEST = 0.01


@dataclass(frozen=True, slots=True)
class Pruned:
    """A network with fewer channels, and the share of multiplications and of parameters that is left."""

    model: Network
    work: float
    parameters: float


def prune(network: Network, share: float, *, of: Of = "channels", side: int = 48) -> Pruned:
    """Take a share of the channels of every layer out, or as many as it takes to save a share of the multiplications.

    Heads keep their classes and gates their inner width. The network given stays as it is; the result has to be tuned.
    """
    if not 0 < share < 1:
        raise ConfigError(f"expected a share to prune between 0 and 1, such as 0.3, got {share}")
    if of == "channels":
        return _without(network, share, side)
    for step in range(1, round(1 / FINEST)):
        pruned = _without(network, step * FINEST, side)
        if pruned.work <= 1 - share:
            return pruned
    raise ConfigError(f"this network can't be pruned by {share:.0%} of its multiplications: ask for less")


def _without(network: Network, share: float, side: int) -> Pruned:
    model = copy.deepcopy(network).eval()
    faces = torch.zeros(1, 1, side, side)
    kept: list[nn.Module] = [*model.heads.values()]
    kept += [module.gate[1] for module in model.modules() if isinstance(module, SqueezeExcite)]
    before = torch_pruning.utils.count_ops_and_params(model, faces)
    torch_pruning.pruner.BasePruner(
        model,
        faces,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=share,
        round_to=MULTIPLE,
        ignored_layers=kept,
    ).step()
    after = torch_pruning.utils.count_ops_and_params(model, faces)
    return Pruned(model, after[0] / before[0], after[1] / before[1])
