"""Training on labelled images of one domain and unlabelled images of another, step by step together.

Each step makes one forward pass of the labelled batch and one of the target batch. So batch norm normalises each domain by its
own statistics (French, Mackiewicz & Fisher 2018, section 3.1). The final statistics are those of the target.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.images import Images, LabelledImages
from augury.proof.batch_norm import adapt_batch_norm, has_batch_norm
from augury.proof.batch_sampler import BatchSampler
from augury.proof.classifiers import Build, batch_tensors, input_tensor, new_network, seeded
from augury.proof.gradient_reversal import reversal_strength, reversed_gradient
from augury.proof.losses import LOSSES
from augury.proof.recipe import Optimiser, recipe_of
from augury.proof.train_config import TrainConfig
from augury.randomness import rng, stream, torch_seed
from augury.training import keep_memory


@dataclass(frozen=True)
class Step:
    """Inputs of an objective in one step.

    Attributes
    ----------
    number
        Number of the step.
    progress
        Share of the training done, in [0, 1).
    images
        Target images without augmentation, float [B, C, H, W].
    features
        Inputs of the last layer for the labelled batch, [B, D].
    """

    number: int
    progress: float
    images: Tensor
    features: Tensor


class Objective(Protocol):
    """The training objective on target images, added to the loss of the labelled images."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that are trained together with those of the network."""
        ...

    def loss(self, step: Step) -> Tensor:
        """The term that is added to the loss of the labelled batch."""
        ...

    def update(self) -> None:
        """Called after each step of the optimiser."""
        ...

    def result(self) -> nn.Module:
        """The network to use after training."""
        ...


Make = Callable[[nn.Module, TrainConfig, int], Objective]
"""(network, config, seed) -> the objective on target images."""


def fit_with_target(
    labelled: LabelledImages,
    target: Images,
    config: TrainConfig,
    make: Make,
    *,
    seed: int,
    device: torch.device,
    build: Build,
) -> nn.Module:
    """Train a new network on labelled images and on `target` images uint8 [M, C, H, W].

    The config defines the labelled part, the objective of `make` the target part. The optimiser and its schedule are those of
    `fit`. Target batches have the size of the labelled ones and are drawn with replacement. Returns the network in eval
    mode, with batch-norm statistics of the target and without gradients.
    """
    keep_memory()
    with seeded(seed, device):
        model = new_network(build, labelled, seed, device)
        config = recipe_of(model).adjusted(config)
        last, sampler = Inputs(head(model)), BatchSampler(labelled, config, seed)
        objective = make(model, config, seed)
        loss, shares = LOSSES[config.loss], torch.from_numpy(sampler.shares).to(device)
        optimiser = Optimiser(model, config, device, objective.parameters())
        model.train()
        for number in range(config.steps):
            progress = number / config.steps
            optimiser.begin(number)
            x, soft, weights, _ = batch_tensors([sampler], config, number, device)
            total = (loss(model(x).float(), soft[0], shares) * weights[0]).sum()
            rows = rng(seed, "target", number).integers(0, len(target), config.batch)
            images = input_tensor(target[rows], device)
            optimiser.minimise(total + objective.loss(Step(number, progress, images, last.taken())))
            objective.update()
        last.close()
        network = objective.result().eval().requires_grad_(False)
    return adapt_batch_norm(network, target, seed=seed) if has_batch_norm(network) else network


def augmented(images: Tensor, config: TrainConfig, seed: int, name: str, step: int) -> Tensor:
    """Augment images float [B, C, H, W] as the config says, from the stream (seed, name, step)."""
    x = images if config.augment is None else config.augment(images, stream(seed, name, step))
    return x.contiguous(memory_format=torch.channels_last)


def head(model: nn.Module) -> nn.Linear:
    """The last linear layer: `last` if the network has one, else the last linear module.

    Raises SettingsError if there is none.
    """
    linear = [m for m in (getattr(model, "last", None), *reversed(list(model.modules()))) if isinstance(m, nn.Linear)]
    if not linear:
        raise SettingsError(
            f"the network {type(model).__name__} has no linear layer, so its features are unknown; end it with "
            "torch.nn.Linear, or use adabn and pseudo_labels, which need none"
        )
    return linear[0]


class Inputs:
    """Stores the latest input of a layer."""

    def __init__(self, layer: nn.Module) -> None:
        self.value: Tensor | None = None
        self._handle = layer.register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.value = inputs[0]

    def taken(self) -> Tensor:
        """Return the latest input since the last call, flattened to [B, D]."""
        assert self.value is not None, "no forward pass was made"
        features, self.value = self.value.flatten(1), None
        return features

    def close(self) -> None:
        """Remove the hook, so that copies of the network have none either."""
        self._handle.remove()


@dataclass(frozen=True)
class MeanTeacher:
    """Self-ensembling (French, Mackiewicz & Fisher 2018; Tarvainen & Valpola 2017), as a `Make`.

    A teacher, the moving average of the network, predicts target images without augmentation. The network learns to predict
    the same for augmented images.

    Attributes
    ----------
    ema
        Share of its weights that the teacher keeps in a step, in [0, 1).
    threshold
        Target images count from this confidence.
    weight
        Factor of the loss.
    warm, ramp
        The factor is 0 for the share `warm` of the steps. It rises over the next share `ramp`, as exp(-5 (1 - t)²) (Laine &
        Aila 2017).
    align
        Power in [0, 1]. The teacher's probabilities are divided by this power of their running mean. This distribution
        alignment to the uniform mix (Berthelot et al. 2020, section 3.1) protects rare classes.
    balance
        Weight of the class balance loss.

    Notes
    -----
    Measured on USPS (500 labels) -> MNIST in 800 steps, balanced accuracy of one seed; source only has 76:

    - published threshold .968 and weight 3 (of the mean over classes; here the sum), no warm start: 72 to 83
    - with the warm start: 91
    - no augmentation for the teacher, and alignment: 93
    - threshold .9 and weight 10: 95

    The published setting trains hundreds of epochs. A few hundred steps need the warm start, since early labels are wrong.
    Alignment 1 is as good with an even target and loses 3 points with a long-tailed one. A threshold of .8 instead of .9
    loses 0 to 1.5 points on USPS -> MNIST. It gains 1 to 2.5 on fonts -> photographs (three seeds), 0.4 on MNIST -> USPS, and
    1.2 with 300 target images.
    """

    ema: float = 0.99
    threshold: float = 0.8
    weight: float = 10.0
    warm: float = 0.4
    ramp: float = 0.2
    align: float = 0.5
    balance: float = 0.005

    def __call__(self, model: nn.Module, config: TrainConfig, seed: int) -> Objective:
        """The objective on target images."""
        return _SelfEnsembling(model, config, seed, self)

    def weight_at(self, progress: float) -> float:
        """The weight of the consistency loss at `progress` in [0, 1)."""
        if progress < self.warm:
            return 0.0
        t = min(1.0, (progress - self.warm) / self.ramp) if self.ramp else 1.0
        return self.weight * exp(-5 * (1 - t) ** 2)


class _SelfEnsembling:
    def __init__(self, model: nn.Module, config: TrainConfig, seed: int, settings: MeanTeacher) -> None:
        self.model, self.config, self.seed, self.settings = model, config, seed, settings
        self.teacher = copy.deepcopy(model).train().requires_grad_(False)
        self.mean: Tensor | None = None

    def parameters(self) -> Iterable[nn.Parameter]:
        return ()

    def loss(self, step: Step) -> Tensor:
        """Weight · (mean over the batch of [confidence ≥ threshold] · Σ (p - q)², and the class balance loss)."""
        weight = self.settings.weight_at(step.progress)
        if not weight:
            return step.images.new_zeros(())
        teacher_probabilities = self._teacher_probabilities(step.images)
        x = augmented(step.images, self.config, self.seed, "student", step.number)
        predicted = self.model(x).float().softmax(1)
        sure = (teacher_probabilities.max(1).values >= self.settings.threshold).float()
        consistency: Tensor = (sure * (predicted - teacher_probabilities).square().sum(1)).mean()
        balance = self.settings.balance * class_balance(predicted) * sure.mean()
        return weight * (consistency + balance)

    @torch.no_grad()
    def _teacher_probabilities(self, images: Tensor) -> Tensor:
        """The teacher's probabilities [B, K] of target images, aligned."""
        p: Tensor = self.teacher(images.contiguous(memory_format=torch.channels_last)).float().softmax(1)
        self.mean = p.mean(0) if self.mean is None else self.mean.lerp(p.mean(0), 0.05)
        aligned: Tensor = p / self.mean**self.settings.align
        return aligned / aligned.sum(1, keepdim=True)

    @torch.no_grad()
    def update(self) -> None:
        average(self.teacher, self.model, self.settings.ema)

    def result(self) -> nn.Module:
        return self.teacher


def average(teacher: nn.Module, model: nn.Module, ema: float) -> None:
    """Parameters of `teacher` ← ema · teacher + (1 - ema) · model (Tarvainen & Valpola 2017, eq. 2)."""
    torch._foreach_lerp_(list(teacher.parameters()), list(model.parameters()), 1 - ema)


def class_balance(predicted: Tensor) -> Tensor:
    """Binary cross-entropy of the mean prediction over the batch [K] with the uniform distribution (French et al. 2018,
    section 3.4).
    """
    mean = predicted.mean(0).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(mean, torch.full_like(mean, 1 / len(mean)))


@dataclass(frozen=True)
class DomainAdversarial:
    """DANN (Ganin & Lempitsky 2015), as a `Make`: gradient reversal hides the domain from a domain classifier.

    `weight` is the factor of the reversed gradient at the end of the training, `hidden` the width of the domain classifier.
    Batch norm normalises each domain separately, which already removes much of the difference between them.
    """

    weight: float = 0.1
    hidden: int = 128

    def __call__(self, model: nn.Module, config: TrainConfig, seed: int) -> Objective:
        """The objective on target images."""
        return _Adversary(model, config, seed, self)


class _Adversary:
    def __init__(self, model: nn.Module, config: TrainConfig, seed: int, settings: DomainAdversarial) -> None:
        self.model, self.config, self.seed, self.weight = model, config, seed, settings.weight
        layer = head(model)
        self.inputs = Inputs(layer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, "domain classifier"))
            hidden = nn.Linear(layer.in_features, settings.hidden)
            domains = nn.Sequential(hidden, nn.ReLU(), nn.Linear(settings.hidden, 1))
        self.domains = domains.to(layer.weight.device)

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.domains.parameters()

    def loss(self, step: Step) -> Tensor:
        """Cross-entropy of the domain; the factor is that of Ganin et al. 2016, section 5.2.2."""
        self.model(augmented(step.images, self.config, self.seed, "student", step.number))
        both = torch.cat([step.features, self.inputs.taken()]).float()
        factor = self.weight * reversal_strength(step.progress)
        logits = self.domains(reversed_gradient(both, factor))[:, 0]
        labelled = (torch.arange(len(logits), device=logits.device) < len(step.features)).float()
        return F.binary_cross_entropy_with_logits(logits, labelled)

    def update(self) -> None:
        pass

    def result(self) -> nn.Module:
        self.inputs.close()
        return self.model
