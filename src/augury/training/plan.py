"""The training plan, resolved before the first step and recorded: the same plan gives the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from augury.augment import policy
from augury.data import effective_number
from augury.errors import SettingsError
from augury.files import digest
from augury.images import LabelledImages
from augury.networks import NETWORKS, PIPELINES, build
from augury.randomness import torch_seed
from augury.settings import TrainSettings
from augury.training.adversarial import AdversarialTrainer
from augury.training.batches import BatchLoader
from augury.training.devices import choose_precision, out_of_memory
from augury.training.distributed import ALONE, World
from augury.training.flow import FlowTrainer
from augury.training.micro_batches import Draw, refuse_parts
from augury.training.pairs import PairSampler
from augury.training.pipelines import image_seconds, refuse_training_settings, settled_rule
from augury.training.recipes import Recipe, recipe, suitable
from augury.training.reconstruction import ReconstructionTrainer
from augury.training.transfer import fingerprint, transfer
from augury.training.translation import Judges, TranslationTrainer

BATCH = 64
BATCHES = {"translation": 32, "flow": 16}
"""Training method -> images per step, where not BATCH. In equal time these learn more from many small batches: each image
passes through a translator two or three times per step, and a flow needs many steps.
"""


@dataclass(frozen=True)
class Plan:
    """A training with every setting resolved."""

    recipe: str  # name in RECIPES
    rule: Recipe  # the recipe with its overrides
    steps: int
    batch: int  # images per step
    condition: tuple[str, ...]  # attributes of the condition, in addition to the class
    label_sampling: str | float  # name in batches.FREQUENCY, or exponent of the count
    augment: str  # augmentation policy of what the discriminator sees
    flips: bool  # whether mirrored images are allowed
    precision: str  # "bf16" or "fp32"
    device: str  # "cpu", "cuda" or "mps"
    seed: int
    images_per_second: float | None  # throughput measured when the plan was made, or None
    unconditional: bool = False  # classes and attributes are ignored
    patience: float = 0.5  # share of the training without a better generator after which it ends; 1 or more: never
    start: tuple[str, str] | None = None  # folder of the initial weights, and the digest of these weights

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"rule": self.rule.model_dump()}

    @property
    def key(self) -> str:
        """Identifies this training. The location of its initial weights and the measured throughput do not count."""
        start = None if self.start is None else self.start[1]
        return digest(self.as_dict() | {"start": start, "images_per_second": None})

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Plan:
        """The inverse of `as_dict`."""
        rule = Recipe(**stored["rule"])
        start = None if stored["start"] is None else tuple(stored["start"])
        return cls(**{**stored, "rule": rule, "condition": tuple(stored["condition"]), "start": start})


Trainer = AdversarialTrainer | ReconstructionTrainer | TranslationTrainer | FlowTrainer
Sampler = BatchLoader | PairSampler
METHODS: dict[str, Callable[..., Trainer]] = {
    "adversarial": AdversarialTrainer,
    "reconstruction": ReconstructionTrainer,
    "translation": TranslationTrainer,
    "flow": FlowTrainer,
}


def translates(rule: Recipe) -> bool:
    """Whether the recipe trains a translator from images to images, not a generator from noise.

    Parameters
    ----------
    rule
        The recipe.
    """
    if trains_nothing(rule):
        return PIPELINES[rule.network].translates
    return NETWORKS[rule.network].method == "translation"


def trains_nothing(rule: Recipe) -> bool:
    """Whether the recipe uses a pretrained pipeline, so that nothing is trained.

    Parameters
    ----------
    rule
        The recipe.
    """
    return rule.network in PIPELINES


def drop_labels(plan: Plan, data: LabelledImages) -> LabelledImages:
    """Remove classes and attributes from the data when the plan is unconditional.

    Parameters
    ----------
    plan
        The training plan.
    data
        The images with their labels.

    Returns
    -------
    The images with a single class; unchanged data when the plan is conditional.
    """
    if not plan.unconditional:
        return data
    return LabelledImages(
        data.images, np.zeros(len(data), np.int64), ("image",), fingerprint=data.fingerprint, notes=data.notes
    )


def set_up(
    plan: Plan, data: LabelledImages, random_init: bool = True, judges: Judges = (), world: World = ALONE
) -> tuple[Trainer, Sampler]:
    """Build the trainer at step 0 and its batches.

    Both depend only on the plan and on the data as returned by `drop_labels`. Without `random_init` the weights to start
    from are not loaded, because those of a checkpoint replace them. `judges` are the classifiers of a translator. `world` are the
    processes that train together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(plan.seed, "weights"))
        networks = build(plan.rule.network, plan.rule.settings, data.shape, data.cardinalities(plan.condition))
    if plan.start is not None and random_init:
        transfer(plan.start[0], networks, plan.rule.network, data, plan.condition)
    device = torch.device(plan.device)
    trainer = METHODS[NETWORKS[plan.rule.network].method](
        *networks,
        plan.rule,
        policy(plan.augment, flips=plan.flips),
        seed=plan.seed,
        device=device,
        precision=plan.precision,
        rarity=rarity(data),
        world=world,
        **({"judges": judges, "mirror": policy("none", flips=plan.flips)} if translates(plan.rule) else {}),
    )
    if translates(plan.rule):
        rule = plan.rule
        return trainer, PairSampler(
            data, plan.condition, plan.batch, plan.seed, rule.hole_share, rule.class_moves, rule.paired > 0
        )
    return trainer, BatchLoader(data, plan.condition, plan.label_sampling, plan.batch, plan.seed)


def rarity(data: LabelledImages, overlap: float = 0.99) -> torch.Tensor:
    """[classes] in [0, 1]: the inverse of each class's effective number of images (Cui et al. 2019, eq. 2); 1 for the
    rarest.
    """
    effective = effective_number(np.maximum(data.counts, 1), overlap)
    return torch.from_numpy((effective.min() / effective).astype(np.float32))


R1 = 0.0002
"""StyleGAN2's weight of R1, per pixel and divided by the batch size (Karras et al. 2020b, appendix C)."""


def resolve_recipe(data: LabelledImages, settings: TrainSettings, device: torch.device) -> tuple[str, Recipe]:
    """Resolve and check the recipe of these settings, before anything is computed.

    The networks and the trainer are built once as a check, and discarded.

    Parameters
    ----------
    data
        The images to train on.
    settings
        The training settings.
    device
        On which "auto" depends.

    Returns
    -------
    The recipe's name, and the recipe with its overrides.

    Raises
    ------
    SettingsError
        For settings that do not fit together or to `data`.
    RunFolderError
        For a start that is not a synthesizer.
    """
    name = suitable(len(data), min(data.shape[1:]), device.type) if settings.recipe == "auto" else settings.recipe
    rule = recipe(name, settings.overrides, unconditional=settings.unconditional)
    if trains_nothing(rule):
        refuse_training_settings(name, settings)
        precision = choose_precision(device) if settings.precision == "auto" else settings.precision
        return name, settled_rule(rule, data, settings.condition, precision)
    if name == "stylegan" and "r1" not in (settings.overrides or {}):
        weight = R1 * data.shape[1] * data.shape[2] / (settings.batch or BATCH)
        rule = rule.model_copy(update={"r1": max(rule.r1, weight)})
    if settings.batch is not None and settings.batch > len(data):
        raise SettingsError(
            f"a batch of {settings.batch} needs at least {settings.batch} images, but there are {len(data)} to train on; use "
            f"--set train.batch={len(data)} or less"
        )
    if settings.unconditional and settings.condition:
        raise SettingsError("unconditional ignores the classes, but condition names attributes; use one or the other")
    if settings.unconditional and settings.label_sampling != "sqrt":
        raise SettingsError(
            f"label_sampling={settings.label_sampling} has no effect: an unconditional training has no classes; leave it out"
        )
    if translates(rule):
        _refuse_for_translator(settings)
    augment = settings.augment or rule.augment
    leaks = {
        "reconstruction": "make an autoencoder reconstruct the augmented images, and its decoder generate them",
        "flow": "make a flow generate the augmented images",
    }
    if augment != "none" and (leak := leaks.get(NETWORKS[rule.network].method)):
        raise SettingsError(f"augment={augment} would {leak}; leave it out for this recipe")
    if augment == "ada" and not rule.ada_target and 1.0 in (rule.augment_p, rule.final_augment_p):
        raise SettingsError(
            "augment=ada applies every augmentation to every image at a p of 1, and the generator then learns the augmentations "
            "(Karras et al. 2020b, section 2.2); use --set train.augment=diffaugment_light, ada_target=0.6 or augment_p=0.3"
        )
    if augment == "none":
        chances = {name: getattr(rule, name) for name in ("ada_target", "augment_p", "final_augment_p")}
        idle = [name for name, value in chances.items() if value != (0 if name == "ada_target" else 1)]
        if idle:
            raise SettingsError(
                f"{idle[0]}={chances[idle[0]]:g} has no effect with augment=none, which changes no image; leave it out, or set "
                f"{idle[0]}={0 if idle[0] == 'ada_target' else 1} in train.overrides"
            )
    draft = _drafted(data, settings, name, rule, "cpu", seed=0, flips=False, precision="fp32")
    set_up(draft, drop_labels(draft, data))
    return name, rule


def _refuse_for_translator(settings: TrainSettings) -> None:
    """Raise SettingsError for settings that have no meaning for a translator."""
    unusable = [
        (settings.unconditional, "unconditional=true", "a translator changes images from one cell into another"),
        (
            settings.label_sampling != "sqrt",
            f"label_sampling={settings.label_sampling}",
            "its cells come in equal proportions",
        ),
        (settings.unlabelled is not None, "unlabelled", "it needs the cell of each image"),
    ]
    for wrong, name, why in unusable:
        if wrong:
            raise SettingsError(f"{name} does not go with recipe translator: {why}; leave it out")


def _drafted(
    data: LabelledImages,
    settings: TrainSettings,
    name: str,
    rule: Recipe,
    device: str,
    *,
    seed: int,
    flips: bool,
    precision: str,
) -> Plan:
    """The plan before a budget is converted to steps."""
    start = settings.start_from
    return Plan(
        recipe=name,
        rule=rule,
        steps=0 if trains_nothing(rule) else settings.steps or rule.steps,
        batch=1
        if trains_nothing(rule)
        else settings.batch or min(BATCHES.get(NETWORKS[rule.network].method, BATCH), len(data)),
        condition=settings.condition,
        label_sampling=settings.label_sampling,
        augment="none" if trains_nothing(rule) else settings.augment or rule.augment,
        flips=flips,
        precision=precision,
        device=device,
        seed=seed,
        images_per_second=None,
        unconditional=settings.unconditional,
        patience=settings.patience,
        start=None if start is None else (start, fingerprint(start)),
    )


def make_plan(
    data: LabelledImages,
    settings: TrainSettings,
    *,
    seed: int,
    device: torch.device,
    flips: bool,
) -> Plan:
    """Resolve the settings of a training to a plan.

    Where the precision is not set, the device decides it. The steps come from `steps`, from `budget` and the measured
    throughput, or from the recipe.

    Parameters
    ----------
    data, settings, device
        As in `resolve_recipe`.
    seed
        Seed of the training.
    flips
        Whether mirrored images are allowed.

    Returns
    -------
    The plan.

    Raises
    ------
    SettingsError, RunFolderError
        As `resolve_recipe` does.
    """
    name, rule = resolve_recipe(data, settings, device)
    precision = choose_precision(device) if settings.precision == "auto" else settings.precision
    plan = _drafted(data, settings, name, rule, device.type, seed=seed, flips=flips, precision=precision)
    if settings.steps is None and settings.budget is not None:
        rate = throughput(plan, drop_labels(plan, data), patience=min(6.0, settings.budget / 10))
        plan = replace(plan, steps=max(1, int(settings.budget * rate / plan.batch)), images_per_second=round(rate, 1))
    return plan


def step_seconds(
    data: LabelledImages, settings: TrainSettings, *, device: torch.device, flips: bool, patience: float
) -> tuple[Plan, float, int]:
    """Measure what a training costs, for an estimate before it begins.

    Parameters
    ----------
    data, settings, device
        As in `resolve_recipe`.
    flips
        Whether mirrored images are allowed.
    patience
        Measure for about this many seconds.

    Returns
    -------
    The plan with the recipe's steps where the settings give none, the seconds of a step, and the bytes of a checkpoint. For a
    pretrained pipeline, the seconds of one image.
    """
    name, rule = resolve_recipe(data, settings, device)
    precision = choose_precision(device) if settings.precision == "auto" else settings.precision
    plan = _drafted(data, settings, name, rule, device.type, seed=0, flips=flips, precision=precision)
    if trains_nothing(rule):
        return plan, image_seconds(plan.rule, data, plan.condition, device), 0
    trainer, batches = set_up(plan, drop_labels(plan, data))
    rate = pace(trainer, lambda number: batches.draw(number, device), patience, plan.batch, warm_up=1)
    if settings.steps is None and settings.budget is not None:
        plan = replace(plan, steps=max(1, int(settings.budget * rate)))
    return plan, 1 / rate, sum(tensor.nbytes for tensor in trainer.state.tensors().values())


def throughput(plan: Plan, data: LabelledImages, patience: float) -> float:
    """Images per second of this plan, measured for about `patience` seconds on a trainer that is discarded."""
    trainer, batches = set_up(plan, data)
    device = torch.device(plan.device)
    return plan.batch * pace(trainer, lambda number: batches.draw(number, device), patience, plan.batch)


def pace(trainer: Trainer, draw: Draw, patience: float, batch: int, warm_up: int = 3) -> float:
    """Steps per second of a trainer, measured for about `patience` seconds after `warm_up` steps.

    When memory does not suffice, batches are split into micro-batches as in training, and the measurement starts again.
    Raises TrainingError when the micro-batches of `batch` images become too small.
    """
    synchronise: Callable[[], None] = torch.cuda.synchronize if trainer.device.type == "cuda" else lambda: None
    while True:
        try:
            for step in range(warm_up):
                trainer.train_step(step, 0.0, draw)
            synchronise()
            started, step = time.perf_counter(), 0
            while step == 0 or time.perf_counter() - started < patience:
                trainer.train_step(step, 0.0, draw)
                step += 1
                synchronise()
            return step / (time.perf_counter() - started)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            refuse_parts(batch, 2 * trainer.state.parts)
            trainer.state.split_batch()
