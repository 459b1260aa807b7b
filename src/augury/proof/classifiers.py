"""Training one classifier on real images, with or without synthetic ones beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from augury.augment import Policy
from augury.images import Codes, Images, LabelledImages
from augury.networks import Classifier
from augury.randomness import rng, stream, torch_seed
from augury.training import as_float, keep_memory, placed
from augury.training.schedules import cosine


@dataclass(frozen=True)
class Lesson:
    """What one classifier is taught and how; the seed decides weights, batches and augmentation.

    `balanced` draws classes equally often instead of as they come; `class_weights` weighs the loss by N / (K·n_c)
    instead (King & Zeng 2001, as scikit-learn's "balanced"). `ratio` synthetic images are shown for each real one, in
    the classes that have any; `synthetic` is (images uint8 [M, C, H, W], labels int64 [M]).
    """

    steps: int = 300
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-2
    balanced: bool = False
    class_weights: bool = False
    augment: Policy | None = None
    synthetic: tuple[Images, Codes] | None = None
    ratio: float = 0.0


def teach(train: LabelledImages, lesson: Lesson, *, seed: int, device: torch.device) -> Classifier:
    """A classifier trained on `train` as the lesson says; the same seed gives the same weights on the same device."""
    keep_memory()
    classes = len(train.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "classifier"))
        model = Classifier(train.shape[0], classes)
    model = placed(model, device).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=lesson.rate, weight_decay=lesson.decay, fused=device.type in ("cpu", "cuda")
    )
    counts = np.maximum(train.counts, 1)
    weight = (
        torch.tensor(len(train) / (classes * counts), dtype=torch.float32, device=device)
        if lesson.class_weights
        else None
    )
    deck = _Deck(train, lesson, seed)
    for step in range(lesson.steps):
        for group in optimiser.param_groups:
            group["lr"] = lesson.rate * cosine(step / lesson.steps, 0.02)
        images, labels = deck.draw(step)
        x = as_float(images, device)
        if lesson.augment is not None:
            x = lesson.augment(x, stream(seed, "classical", step))
        loss = F.cross_entropy(model(x), torch.from_numpy(labels).to(device), weight=weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval().requires_grad_(False)


class _Deck:
    """Draws (images uint8 [B, C, H, W], labels int64 [B]) of a step, a function of (seed, step) alone."""

    def __init__(self, train: LabelledImages, lesson: Lesson, seed: int) -> None:
        self.train, self.lesson, self.seed = train, lesson, seed
        self.present = np.flatnonzero(train.counts)
        self.order, self.begin = _by_class(train.labels, len(train.classes))
        self.mix = lesson.ratio / (1 + lesson.ratio) if lesson.synthetic is not None else 0.0
        if lesson.synthetic is not None:
            self.synthetic_order, self.synthetic_begin = _by_class(lesson.synthetic[1], len(train.classes))

    def draw(self, step: int) -> tuple[Images, Codes]:
        """The batch of this step."""
        random, batch = rng(self.seed, "lesson", step), self.lesson.batch
        if self.lesson.balanced:
            labels = self.present[random.integers(0, len(self.present), batch)]
            chosen = self.order[_within(labels, self.begin, random)]
        else:
            chosen = random.integers(0, len(self.train), batch)
        images, labels = self.train.images[chosen], self.train.labels[chosen]
        if self.lesson.synthetic is not None and self.mix > 0:
            has_any = np.diff(self.synthetic_begin)[labels] > 0
            swap = np.flatnonzero((random.random(batch) < self.mix) & has_any)
            picks = self.synthetic_order[_within(labels[swap], self.synthetic_begin, random)]
            images[swap] = self.lesson.synthetic[0][picks]
        return images, labels


def _by_class(labels: Codes, classes: int) -> tuple[Codes, Codes]:
    """(row numbers sorted by class, where each class begins [K + 1])."""
    counts = np.bincount(labels, minlength=classes)
    return np.argsort(labels, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def _within(labels: Codes, begin: Codes, random: np.random.Generator) -> Codes:
    """For each label a place drawn uniformly among its class's places."""
    return begin[labels] + (random.random(len(labels)) * (begin[labels + 1] - begin[labels])).astype(np.int64)


@torch.inference_mode()
def probabilities(model: Classifier, images: Images, batch: int = 256) -> npt.NDArray[np.float64]:
    """Class probabilities float64 [N, K] of uint8 images [N, C, H, W]."""
    device = next(model.parameters()).device
    parts = [
        model(as_float(images[i : i + batch], device)).double().softmax(1).cpu().numpy()
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(parts) if parts else np.empty((0, model.last.out_features))
