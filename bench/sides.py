"""The sides that bench/speed.py compares: each is built from its name, to train and to draw.

A recipe's name stands for Augury's own training and drawing. `dcgan_as_large` is the dcgan recipe, as wide as it must be
to have at least as many parameters as `pytorch_gan`; `augury_on_peer` is Augury's training of that peer's own networks;
`stylegan_grouped` and `stylegan_scaled` are StyleGAN2 as it was first formulated and as the ADA release trains it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from augury.augment import policy
from augury.images import LabelledImages
from augury.networks import build
from augury.networks.stylegan import StyleGANSettings
from augury.settings import TrainSettings
from augury.training import Plan, choose_device, keep_memory, make_plan, train_plan
from augury.training.adversarial import AdversarialTrainer
from augury.training.plan import set_up
from augury.training.recipes import RECIPES
from common import parameters, period, random_images
from peers import pytorch_gan, stylegan_reference

SIZES = {32: 1, 64: 3, 128: 3}
"""px -> channels."""
DRAWN = 256
Cost = tuple[Callable[[int], object], Callable[[], int], int]
"""(train a step, draw and return how many, parameters)."""


def planned(name: str, images: LabelledImages, batch: int, **overrides: Any) -> Plan:
    """The recipe as `augury train` would train it."""
    settings = TrainSettings(recipe=name, steps=1000, batch=batch, overrides=overrides)
    return make_plan(images, settings, seed=0, device=choose_device("cpu"), flips=True)


def augury(plan: Plan, images: LabelledImages) -> Cost:
    """Augury's own training and drawing."""
    keep_memory()
    trainer, batches = set_up(plan, images)
    device = torch.device(plan.device)

    def draw() -> int:
        labels = [i % len(images.classes) for i in range(DRAWN)]
        return len(synthesizer.sample(labels))

    synthesizer = train_plan(replace(plan, steps=1), images)
    count = parameters(*trainer.state.networks.values())
    return lambda step: trainer.train_step(step, 0.0, lambda number: batches.draw(number, device)), draw, count


def wide_enough(name: str, shape: tuple[int, int, int], least_parameters: int) -> dict[str, int]:
    """The smallest even width at which the recipe's networks have at least `least_parameters` parameters."""
    for width in range(8, 512, 2):
        settings = {"width": width, "widest": 16 * width}
        if parameters(*build(RECIPES[name].network, settings, shape, (10,))) >= least_parameters:
            return settings
    raise SystemExit(f"no width of {name} has {least_parameters} parameters")


def side(name: str, size: int, batch: int) -> tuple[Cost, int]:
    """(what to measure, period of the penalties) of a recipe or of one side of a comparison."""
    images = random_images(SIZES[size], size)
    if name in RECIPES:
        plan = planned(name, images, batch)
        return augury(plan, images), period(plan.rule)
    if name in ("pytorch_gan", "dcgan_as_large"):
        train_step, drawn, count = pytorch_gan.dcgan(images.images, 0, batch)
        if name == "pytorch_gan":
            return (train_step, lambda: len(drawn(DRAWN)), count), 1
        return augury(planned("dcgan", images, batch, **wide_enough("dcgan", images.shape, count)), images), 1
    if name == "augury_on_peer":
        keep_memory()
        plan = planned("dcgan", images, batch)
        networks = pytorch_gan.ConvGenerator(images.shape), pytorch_gan.ConvDiscriminator(images.shape)
        trainer = AdversarialTrainer(
            *networks, plan.rule, policy("none"), seed=0, device=torch.device("cpu"), precision=plan.precision
        )
        batches = set_up(plan, images)[1]
        train_step = lambda step: trainer.train_step(step, 0.0, lambda number: batches.draw(number, trainer.device))  # noqa: E731
        return (train_step, lambda: 0, parameters(*networks)), 1
    return reference(images, batch, fused=name == "stylegan_grouped"), RECIPES["stylegan"].penalty_every


def reference(images: LabelledImages, batch: int, fused: bool) -> Cost:
    """StyleGAN2's first formulation on the same batches, augmentation, rates and penalty as the stylegan recipe."""
    plan = planned("stylegan", images, batch)
    rule, batches, see = plan.rule, set_up(plan, images)[1], policy(plan.augment, flips=True)
    parts = stylegan_reference.Generator, stylegan_reference.Discriminator
    settings = StyleGANSettings(**rule.settings)
    generator, discriminator = (part(settings, images.shape, (10,)) for part in parts)
    for module in generator.modules():
        if isinstance(module, stylegan_reference.ModulatedConv):
            module.fused = fused
    random, number = torch.Generator().manual_seed(0), iter(range(1 << 60))

    def batch_drawn() -> tuple[torch.Tensor, torch.Tensor]:
        real, conditions = batches.draw(next(number), torch.device("cpu"))
        return real.contiguous(), conditions

    @torch.no_grad()
    def draw() -> int:
        generator.eval()
        for at in range(0, DRAWN, 32):
            conditions = torch.arange(at, at + 32)[:, None] % 10
            generator(torch.randn(32, generator.latent), conditions).add(1).mul(127.5).clamp(0, 255).to(torch.uint8)
        generator.train()
        return DRAWN

    train_step = stylegan_reference.loop(
        generator,
        discriminator,
        batch_drawn,
        lambda x: see(x, random),
        rule.generator_lr,
        rule.r1,
        rule.penalty_every,
    )
    return train_step, draw, parameters(generator, discriminator)
