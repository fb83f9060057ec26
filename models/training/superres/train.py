"""Train what enlarges small faces, the classifier behind it, or both, on the same pairs and by the same losses.

The three that a table compares differ in two words of their recipes: own network and frozen classifier (`tune: false`),
both (`tune: true`), and the fair rival, a classifier tuned on bilinear enlargements (`shape: null`, `tune: true`).
That the losses go through the classifier is SR-FER's and AffectSRNet's idea (arXiv 2502.09932).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.training.archs import Network
from models.training.expression import as_input
from models.training.faces import Data, Faces, Grey
from models.training.fit import Epoch, Progress, fit, load_checkpoint
from models.training.losses import head_loss
from models.training.recipe import Head
from models.training.report import shrink
from models.training.superres.chain import READS, Chain, Teacher, read_teacher
from models.training.superres.data import Pairs, Some
from models.training.superres.network import LumaNet, resize
from models.training.superres.recipe import SuperRecipe
from operators.errors import ConfigError

__all__ = ["charbonnier", "train"]

WATCHED = ((12, None), (16, 50), (24, None))
"""Size and JPEG quality of the faces that are scored after each epoch; the table has them all."""
WATCHED_FACES = 1000


def train(
    recipe: SuperRecipe,
    data: Data,
    out: Path,
    *,
    init: Path | None = None,
    teachers: Sequence[Path] = (),
    device: str = "cpu",
    progress: Progress = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Run or resume a training; the scores are accuracies on small faces, and the PSNR in dB.

    `teachers` holds the one classifier behind the chain, which is tuned where the recipe says so; `init` a run of
    super-resolution whose enlarging network (not its classifier) is where this one begins. Raises ConfigError.
    """
    teacher = _teacher(recipe, teachers)
    _check(recipe, data, teacher)
    torch.manual_seed(recipe.seed)
    chain = Chain(
        LumaNet(recipe.shape) if recipe.shape else None,
        teacher.build() if teacher else None,
        side=recipe.side,
        tune=recipe.tune,
    )
    task = _Enlarging(
        recipe,
        chain.to(device, memory_format=torch.channels_last),
        data,
        teacher,
        teacher.build().requires_grad_(requires_grad=False).to(device, memory_format=torch.channels_last)
        if teacher
        else None,
        device,
    )
    begin = None if init is None else _begin(init, chain, device)
    yield from fit(task, recipe, out, begin=begin, progress=progress)


def charbonnier(a: Tensor, b: Tensor, *, epsilon: float = 1e-3) -> Tensor:
    """Mean of `sqrt((a - b)^2 + epsilon^2)`: the absolute difference, smooth at zero."""
    return torch.sqrt((a - b) ** 2 + epsilon**2).mean()


@dataclass(frozen=True, slots=True, eq=False)
class _Enlarging:
    """The task: small faces in, undegraded ones and the right answers out."""

    recipe: SuperRecipe
    model: Chain
    data: Data
    teacher: Teacher | None
    judge: Network | None
    """The teacher as it was, which says what the undegraded face shows."""
    device: str

    def batches(self, epoch: int) -> DataLoader[Some]:
        pairs = _Enhanced(self.data.training, self.recipe, epoch)
        return DataLoader(pairs, batch_size=None, num_workers=1, prefetch_factor=8)

    def loss(self, model: Any, batch: Some) -> Tensor:  # noqa: ANN401 -- the chain, compiled
        weights = self.recipe.losses
        small, clean = (as_input(images).to(self.device) for images in (batch.small, batch.clean))
        face, features, logits = model(small)
        loss = weights.pixel * charbonnier(face.float(), clean)
        if self.judge is not None:
            loss = loss + self._of_answers(self.judge, features, logits, clean)
            loss = loss + weights.label * self._of_labels(logits[0], batch)
        return loss

    def _of_answers(self, judge: Network, features: Tensor, logits: Sequence[Tensor], clean: Tensor) -> Tensor:
        weights = self.recipe.losses
        with torch.no_grad():
            seen = judge.features(resize(clean, READS))
            said = [head(seen) for head in judge.heads.values()]
        differing = torch.stack([divergence(*pair) for pair in zip(logits, said, strict=True)]).sum()
        far = 1 - F.cosine_similarity(features.float(), seen.float(), dim=1).mean()
        return weights.answer * differing + weights.features * far

    def _of_labels(self, logits: Tensor, batch: Some) -> Tensor:
        if self.head not in batch.targets:
            return logits.new_zeros(())
        targets = torch.from_numpy(batch.targets[self.head]).to(self.device)
        return head_loss(logits, targets, Head(), targets.sum(0))

    def scores(self, model: nn.Module) -> dict[str, float]:
        faces = self.data.test
        return score(model, faces.where(_watched(faces, self.head)), self.recipe, head=self.head, device=self.device)

    @property
    def head(self) -> str:
        """The head of the classifier that is listened to: its first; none where there is no classifier."""
        return next(iter(self.teacher.classes), "") if self.teacher else ""

    def about(self) -> dict[str, Any]:
        teacher = self.teacher
        classes = {head: list(labels) for head, labels in teacher.classes.items()} if teacher else {}
        return {"teacher": dict(teacher.recipe) if teacher else None, "classes": classes}


def divergence(logits: Tensor, said: Tensor) -> Tensor:
    """KL divergence of what `logits (n, k)` say from what `said (n, k)` says; a scalar, 0 where they agree."""
    return F.kl_div(
        F.log_softmax(logits.float(), 1), F.log_softmax(said.float(), 1), reduction="batchmean", log_target=True
    )


@torch.no_grad()
def score(model: nn.Module, faces: Faces, recipe: SuperRecipe, *, head: str, device: str) -> dict[str, float]:
    """Accuracy of the chain on small faces of each kind that is watched, and the mean PSNR in dB over all of them."""
    rows: dict[str, float] = {}
    errors = []
    for side, quality in WATCHED:
        clean = as_input(faces.images).to(device)
        small = _enhance([shrink(image, side * recipe.side // READS, quality) for image in faces.images], recipe)
        parts = [model(as_input(small[i : i + 250]).to(device)) for i in range(0, len(small), 250)]
        found = torch.cat([face for face, _, _ in parts]).float().clamp(0, 1)
        errors.append(((found - clean) ** 2).mean((1, 2, 3)))
        if head in faces.targets:
            read = torch.cat([logits[0] for _, _, logits in parts]).argmax(1).cpu().numpy()
            name = f"{side} px" + (f" JPEG {quality}" if quality else "")
            rows[name] = float((read == faces.targets[head].argmax(1)).mean())
    rows["psnr"] = float((-10 * torch.log10(torch.cat(errors).clamp(min=1e-8))).mean())
    return rows


class _Enhanced(Dataset[Some]):
    """Pairs whose small faces went through another enhancer first, where the recipe names one."""

    def __init__(self, faces: Faces, recipe: SuperRecipe, epoch: int) -> None:
        self.pairs = Pairs(faces, recipe, epoch)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Some:
        some = self.pairs[index]
        return Some(_enhance(list(some.small), self.pairs.recipe), some.clean, some.targets)


def _enhance(small: Sequence[Grey], recipe: SuperRecipe) -> Grey:
    if recipe.enhancer is None:
        return np.stack(small)
    from models.training.superres.enlarge import of_model  # noqa: PLC0415 -- ONNX Runtime, for this kind of recipe only

    large = of_model(recipe.enhancer)(small)
    return np.stack([cv2.resize(face, (recipe.side, recipe.side), interpolation=cv2.INTER_AREA) for face in large])


def _watched(faces: Faces, head: str) -> np.ndarray:
    """Every nth of the faces whose label is beyond dispute."""
    mask = faces.clear.copy()
    if head in faces.targets:
        mask &= faces.targets[head].sum(1) > 0
    rows = np.flatnonzero(mask)
    picked = np.zeros(len(faces), bool)
    picked[rows[:: -(-len(rows) // WATCHED_FACES)]] = True
    return picked


def _teacher(recipe: SuperRecipe, runs: Sequence[Path]) -> Teacher | None:
    if not recipe.reads():
        if runs:
            raise ConfigError(
                f"{recipe.name} asks no classifier: leave --teacher out, or set tune: true or losses beyond pixel"
            )
        return None
    if len(runs) != 1:
        raise ConfigError(f"{recipe.name} needs the run of one classifier as --teacher, got {len(runs)}")
    return read_teacher(runs[0])


def _check(recipe: SuperRecipe, data: Data, teacher: Teacher | None) -> None:
    if recipe.shape is None and not recipe.tune:
        raise ConfigError(f"{recipe.name} has nothing to learn: give it a shape, or set tune: true")
    if len(data.training) < recipe.batch_size or not len(data.test):
        raise ConfigError(
            f"expected a test split and {recipe.batch_size} training faces or more (batch_size), "
            f"got {len(data.training)} and {len(data.test)}"
        )
    if teacher is not None and recipe.losses.label:
        head, labels = next(iter(teacher.classes.items()))
        if tuple(data.classes.get(head, ())) != tuple(labels):
            raise ConfigError(f"the teacher reads {head} as {labels}, of which the data have no labels: set label: 0")


def _begin(run: Path, chain: Chain, device: str) -> dict[str, Tensor]:
    weights, _ = load_checkpoint(run, device)
    own = {key: value for key, value in weights.items() if key.startswith("enlarger.")}
    wanted = {key: value.shape for key, value in chain.state_dict().items() if key.startswith("enlarger.")}
    if not wanted or {key: value.shape for key, value in own.items()} != wanted:
        raise ConfigError(f"{run} holds another enlarging network: expected the shape of the recipe")
    return own
