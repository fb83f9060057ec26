"""A bank of made-up answers, for tests of what is built on it."""

import numpy as np

from models.training.temporal.bank import Bank


def made_up_bank(*, stills: int = 60, classes: int = 3, features: int = 5, noise: float = 0.5, seed: int = 1) -> Bank:
    """Answers that are right on average and vary by `noise` between crops; of three sizes and four crops."""
    rng = np.random.default_rng(seed)
    truth = np.arange(stills) % classes
    shape = (stills, 3, 4)
    logits = 3 * np.eye(classes)[truth][:, None, None] + noise * rng.standard_normal((*shape, classes))
    return Bank(
        logits=logits.astype(np.float16),
        intensity=np.broadcast_to((truth > 0)[:, None, None], shape).astype(np.float16),
        features=rng.standard_normal((*shape, features)).astype(np.float16),
        quality=np.broadcast_to(np.array([0.4, 0.7, 1.0])[None, :, None], shape).astype(np.float16),
        truth=truth,
        expressed=(truth > 0).astype(np.float32),
        key=rng.integers(0, 1 << 62, stills).astype(np.uint64),
        sizes=np.array([12, 24, 48]),
    )
