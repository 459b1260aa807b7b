"""The objective of each step: the loss of the batch, for some arms with further terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.images import Codes
from augury.proof.batch_sampler import BatchSampler
from augury.proof.gradient_reversal import reversal_strength, reversed_gradient
from augury.proof.losses import LOSSES
from augury.proof.train_config import Inputs, TrainConfig
from augury.randomness import rng, stream
from augury.training import as_float

DRO_STEP = 0.01
"""Step size of the cell weights (Sagawa et al. 2020, appendix C.2)."""
CONSISTENCY = 5.0
"""Weight of the consistency loss (Goel et al. 2021)."""
CONFIDENT = 0.95
"""Least probability of a pseudo-label of FixMatch (Sohn et al. 2020, table 4)."""
TURNS = 4
"""Turns by 90° that "rotation" predicts (Gidaris et al. 2018)."""
HIDDEN = 100
"""Units of the adversary's hidden layer (Ganin et al. 2016, figure 4)."""

Forward = Callable[[nn.Module, Tensor, tuple[int, ...]], Tensor]
"""(network, images, expected shape) -> logits, checked."""
Prepare = Callable[[Inputs, int], Tensor]
"""(images as stored, step) -> network input, augmented with the random numbers of that step."""


class Objective:
    """The weighted mean loss of a batch, for one network or a stack of S.

    Subclasses add a term. They train one network at a time, unless `stackable` is True.
    """

    stackable = True

    def __init__(
        self,
        model: nn.Module,
        samplers: Sequence[BatchSampler],
        config: TrainConfig,
        device: torch.device,
        forward: Forward,
    ) -> None:
        self.model, self.samplers, self.config, self.forward = model, samplers, config, forward
        self.loss = LOSSES[config.loss]
        self.shares = torch.from_numpy(np.stack([sampler.shares for sampler in samplers])).to(device)[:, None]
        self.device = device

    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that are trained in addition to those of the network."""
        return ()

    def __call__(
        self, x: Tensor, targets: Tensor, weights: Tensor, rows: Codes, step: int, half: Any, prepare: Prepare
    ) -> Tensor:
        """The scalar to minimise.

        Parameters
        ----------
        x
            Network input [B, S·C, H, W], or [B, S·D].
        targets, weights
            float32 [S, B, K] and [S, B], weights of sum 1 for each network.
        rows
            int64 [S, B], the row of each image in its train part.
        half
            The autocast context that forward passes run in.
        """
        return self.batch_loss(self.losses(self.logits(x, targets, half), targets), weights, rows)

    def logits(self, x: Tensor, targets: Tensor, half: Any) -> Tensor:
        """float32 [S, B, K]."""
        copies = (len(self.samplers),) if len(self.samplers) > 1 else ()
        with half:
            logits = self.forward(self.model, x, (len(x), *copies, targets.shape[-1])).float()
        return logits.reshape(len(x), len(self.samplers), -1).transpose(0, 1)

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each image [S, B]."""
        return self.loss(logits, targets, self.shares)

    def batch_loss(self, losses: Tensor, weights: Tensor, rows: Codes) -> Tensor:
        """The losses of the images [S, B] as one number."""
        return (losses * weights).sum()


class GroupDRO(Objective):
    """Online group distributionally robust optimisation (Sagawa et al. 2020, algorithm 1).

    The weights q of the cells grow exponentially with their loss. The objective is the sum of q · (mean loss of the cell in
    this batch).
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.config.cells is None:
            raise SettingsError("group_dro needs the cell of each train image; give a trial with attributes")
        self.cells = np.unique(self.config.cells, return_inverse=True)[1].reshape(-1)
        cells = int(self.cells.max()) + 1
        self.q = torch.full((len(self.samplers), cells), 1 / cells, device=self.device)

    def batch_loss(self, losses: Tensor, weights: Tensor, rows: Codes) -> Tensor:
        """Update q and weight the cells by it. A cell without images in the batch has loss 0."""
        cells = F.one_hot(torch.from_numpy(self.cells[rows]).to(losses.device), self.q.shape[1]).to(losses.dtype)
        means = (losses[..., None] * cells).sum(1) / cells.sum(1).clamp(min=1)
        grown = self.q * torch.exp(DRO_STEP * means.detach())
        self.q = grown / grown.sum(1, keepdim=True)
        return (self.q * means).sum()


class Adversarial(Objective):
    """Features that do not reveal the attribute value (Ganin & Lempitsky 2015).

    A small network predicts the attribute value from the inputs of the last layer, behind a reversed gradient.
    """

    stackable = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.config.attributes is None:
            raise SettingsError(
                "the arm dann needs the attribute value of each train image; give a trial with attributes"
            )
        self.attributes = np.unique(self.config.attributes, return_inverse=True)[1].reshape(-1)
        model: Any = self.model
        size, values, seed = model.last.in_features, int(self.attributes.max()) + 1, self.samplers[0].seed
        shapes = ((HIDDEN, size), (HIDDEN,), (values, HIDDEN), (values,))
        draws = stream(seed, "adversary")
        bounds = (size**-0.5, size**-0.5, HIDDEN**-0.5, HIDDEN**-0.5)
        drawn = [torch.empty(s).uniform_(-b, b, generator=draws) for s, b in zip(shapes, bounds, strict=True)]
        self.head = [nn.Parameter(weights.to(self.device)) for weights in drawn]

    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the adversary."""
        return self.head

    def __call__(
        self, x: Tensor, targets: Tensor, weights: Tensor, rows: Codes, step: int, half: Any, prepare: Prepare
    ) -> Tensor:
        """The loss of the classes plus the loss of the adversary."""
        model: Any = self.model
        with half:
            features = model.last_inputs(x)
            logits = model.last(features).float()[None]
        total = self.batch_loss(self.losses(logits, targets), weights, rows)
        a, b, c, d = self.head
        hidden = reversed_gradient(features.float(), reversal_strength(step / self.config.steps))
        attribute_logits = F.linear(F.relu(F.linear(hidden, a, b)), c, d)
        return total + F.cross_entropy(
            attribute_logits, torch.from_numpy(self.attributes[rows[0]]).to(attribute_logits.device)
        )


class Consistency(Objective):
    """Consistent predictions for an image and its translation.

    The term is CONSISTENCY times the mean Jensen-Shannon divergence of their predictions (Goel et al. 2021, eq. 4), over the
    images of the batch that have a pair.
    """

    stackable = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.config.pairs is None:
            raise SettingsError("the arm consistency needs pairs of images; give translations with sources")

    def __call__(
        self, x: Tensor, targets: Tensor, weights: Tensor, rows: Codes, step: int, half: Any, prepare: Prepare
    ) -> Tensor:
        """The loss of the batch plus that of its pairs. A pair gets the augmentation of its image."""
        assert self.config.pairs is not None
        images, partners = self.config.pairs
        partner = partners[rows[0]]
        paired = np.flatnonzero(partner >= 0)
        if not len(paired):
            return super().__call__(x, targets, weights, rows, step, half, prepare)
        others = prepare(images[np.maximum(partner, 0)], step)[torch.from_numpy(paired).to(x.device)]
        both = torch.cat([x, others])
        if both.ndim == 4:
            both = both.contiguous(memory_format=torch.channels_last)
        logits = self.logits(both, targets, half)
        own, other = logits[:, : len(x)], logits[0, len(x) :]
        total = self.batch_loss(self.losses(own, targets), weights, rows)
        return total + CONSISTENCY * jensen_shannon(own[0, torch.from_numpy(paired).to(x.device)], other).mean()


class FixMatch(Objective):
    """FixMatch (Sohn et al. 2020): the loss of the labelled batch plus that of as many unlabelled images.

    The network predicts an unlabelled image as it is. Where it is confident, it learns to predict the same class for the
    augmented image. The paper augments the first one weakly, and shows seven unlabelled images for each labelled one.
    """

    stackable = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.config.unlabelled is None or not len(self.config.unlabelled):
            raise SettingsError("the arm fixmatch needs images without labels; name a folder of them with --unlabelled")

    def __call__(
        self, x: Tensor, targets: Tensor, weights: Tensor, rows: Codes, step: int, half: Any, prepare: Prepare
    ) -> Tensor:
        """The loss of the labelled batch plus the mean over the unlabelled batch of [p ≥ CONFIDENT] · cross-entropy."""
        assert self.config.unlabelled is not None
        drawn = rng(self.samplers[0].seed, "unlabelled", step).integers(0, len(self.config.unlabelled), len(x))
        images = self.config.unlabelled[drawn]
        with torch.no_grad():
            plain = as_float(images, self.device).contiguous(memory_format=torch.channels_last)
            confidence, labels = self.logits(plain, targets, half)[0].softmax(1).max(1)
        both = torch.cat([x, prepare(images, step)]).contiguous(memory_format=torch.channels_last)
        logits = self.logits(both, targets, half)
        total = self.batch_loss(self.losses(logits[:, : len(x)], targets), weights, rows)
        unlabelled = F.cross_entropy(logits[0, len(x) :], labels, reduction="none")
        return total + (unlabelled * (confidence >= CONFIDENT)).mean()


class Rotation(Objective):
    """The network predicts by how many quarter turns an image was turned (Gidaris et al. 2018).

    The images of a batch are turned by 0, 90, 180 and 270° in turn, after augmentation. Images that are not square are turned by
    0 and 180° only.
    """

    stackable = False

    def __call__(
        self, x: Tensor, targets: Tensor, weights: Tensor, rows: Codes, step: int, half: Any, prepare: Prepare
    ) -> Tensor:
        """The mean cross-entropy of the turns."""
        turns = torch.arange(len(x), device=x.device) % TURNS
        if x.shape[-1] != x.shape[-2]:
            turns = 2 * (turns % 2)
        turned = torch.empty_like(x)
        for turn in range(TURNS):
            turned[turns == turn] = torch.rot90(x[turns == turn], turn, (2, 3)) if (turns == turn).any() else x[:0]
        one_hot = F.one_hot(turns, TURNS).to(targets.dtype)[None]
        return F.cross_entropy(self.logits(turned, one_hot, half)[0], turns)


def jensen_shannon(a: Tensor, b: Tensor) -> Tensor:
    """Jensen-Shannon divergence [N] in nats of the predictions of logits `a` and `b` [N, K]: ½ KL(p ‖ m) + ½ KL(q ‖ m) with
    m = (p + q) / 2 (Lin 1991, eq. 4.1).
    """
    first, second = F.log_softmax(a, -1), F.log_softmax(b, -1)
    middle = torch.logaddexp(first, second) - math.log(2)
    terms = [(each.exp() * (each - middle)).sum(-1) for each in (first, second)]
    return (terms[0] + terms[1]) / 2


OBJECTIVES: dict[str, type[Objective]] = {
    "": Objective,
    "group_dro": GroupDRO,
    "adversarial": Adversarial,
    "consistency": Consistency,
    "fixmatch": FixMatch,
    "rotation": Rotation,
}


def stackable(config: TrainConfig) -> bool:
    """Whether the config can train a stack of networks."""
    return OBJECTIVES[config.objective].stackable and not config.initialisation


def objective(
    model: nn.Module, samplers: Sequence[BatchSampler], config: TrainConfig, device: torch.device, forward: Forward
) -> Objective:
    """The objective that the config names."""
    return OBJECTIVES[config.objective](model, samplers, config, device, forward)
