"""What a wrong answer costs: one formula, cross-entropy against a distribution, with what may be done to it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.training.recipe import Head

__all__ = ["consistency_loss", "head_loss"]


def head_loss(logits: Tensor, targets: Tensor, head: Head, counts: Tensor) -> Tensor:
    """Mean loss over the faces that have a label for this head; a scalar.

    `logits (n, k)`; `targets (n, k)` rows that sum to 1, or to less where a face is partly or not labelled; `counts
    (k,)` of each class in the training set. With a distribution as target this is the KL divergence up to a constant.
    """
    labelled = targets.sum(1)
    if head.smoothing:
        targets = targets * (1 - head.smoothing) + head.smoothing / targets.shape[1] * labelled[:, None]
    if head.adjust:
        logits = logits + head.adjust * torch.log(counts / counts.sum()).clamp(min=-10)
    log_probs = F.log_softmax(logits.float(), 1)
    terms = -targets * log_probs
    if head.focal:
        terms = terms * (1 - log_probs.exp()) ** head.focal
    if head.effective:
        terms = terms * effective_weights(counts, head.effective)
    return terms.sum() / labelled.sum().clamp(min=1)


def consistency_loss(clean: Tensor, degraded: Tensor) -> Tensor:
    """How far the answer for a degraded face `(n, k)` is from that for the same face clean: KL divergence, a scalar.

    The clean answer is the teacher: it isn't pulled towards the other one.
    """
    expected = F.log_softmax(clean.detach().float(), 1)
    return F.kl_div(F.log_softmax(degraded.float(), 1), expected, log_target=True, reduction="batchmean")


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """Weight of each class `(k,)` by its effective number of samples; their mean is 1."""
    weights = (1 - beta) / (1 - beta ** counts.clamp(min=1))
    return weights / weights.mean()
