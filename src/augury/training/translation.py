"""One training step of an image-to-image translator between the cells of class × attribute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from augury.augment import Policy
from augury.augment.draws import Selected
from augury.errors import SettingsError
from augury.losses import ADVERSARIAL_LOSSES, mode_seeking, patch_contrast, squared_gradient_norm
from augury.networks.translator import JointProjectionHead
from augury.randomness import stream, torch_seed
from augury.training.distributed import ALONE, World
from augury.training.micro_batches import PENALTY_DRAWS, means, refuse_parts
from augury.training.pairs import Pairs
from augury.training.protocols import Discriminator, Translator
from augury.training.recipes import Recipe
from augury.training.schedules import between
from augury.training.train_state import TrainState

IDENTITY_EVERY = 4
"""The identity loss is computed every so many steps, at that many times its weight. It changes slowly and costs a forward
pass."""
PAIRED = 0.99
"""Decay of the moving average of the share of real images that score above their translation."""
PATCHES = 64
"""Positions of an image that the contrastive loss compares (a quarter of CUT's 256, for images of a quarter of the side)."""
Judges = Sequence[Sequence[nn.Module]]
"""For each column of a condition (class, then attributes) frozen classifiers: images [N, C, H, W] in [-1, 1] -> logits [N, V]."""


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch after augmentation, and the addresses of its random numbers.

    Of several processes, each has its share of the sources with a real image, and of those without.
    """

    pairs: Pairs
    seed: int
    step: int
    part: int

    @property
    def share(self) -> float:
        """Share of this process in the sources."""
        return len(self.pairs.images) / sum(self.pairs.totals)

    @property
    def share_of_real(self) -> float:
        """Share of this process in the real images."""
        return len(self.pairs.real) / self.pairs.totals[0]

    @property
    def weight_of_real(self) -> float:
        """Converts a mean over this process's real images, in a loss that is weighted by `share`."""
        return self.share_of_real / self.share

    def draws(self, name: str) -> torch.Generator:
        """Random numbers for the purpose `name`, the same in all processes."""
        return stream(self.seed, name, self.step, self.part)

    def draws_of_real(self, name: str) -> torch.Generator | Selected:
        """Random numbers for images [A, …], as many as real images, or several such batches one after another."""
        if self.pairs.world.size == 1:
            return self.draws(name)
        return Selected(self.draws(name), self._rows()[0], self.pairs.totals[0])

    def draws_of_sources(self, name: str) -> torch.Generator | Selected:
        """Random numbers for images [B, …], as many as sources."""
        if self.pairs.world.size == 1:
            return self.draws(name)
        return Selected(self.draws(name), self._rows()[1], sum(self.pairs.totals))

    def draws_of_all(self, name: str) -> torch.Generator | Selected:
        """Random numbers for sources and real images [B + A, …]."""
        if self.pairs.world.size == 1:
            return self.draws(name)
        real, sources = self._rows()
        total = sum(self.pairs.totals)
        return Selected(self.draws(name), torch.cat([sources, total + real]), total + self.pairs.totals[0])

    def normal(self, name: str, size: int) -> torch.Tensor:
        """Standard normal numbers [B, size]."""
        numbers = torch.randn(sum(self.pairs.totals), size, generator=self.draws(name))
        return numbers if self.pairs.world.size == 1 else numbers[self._rows()[1]]

    def _rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of this process among the real images of all processes, and among the sources."""
        world, (known, holes) = self.pairs.world, self.pairs.totals
        real = torch.arange(known)[world.rows(known)]
        return real, torch.cat([real, known + torch.arange(holes)[world.rows(holes)]])


class TranslationTrainer:
    """Translator against a discriminator that sees one joint cell at a time.

    The discriminator compares translations between two known cells with real images of the target cell. Sources whose
    target cell has too few real images only enter the cycle, identity and semantic losses.

    `augment` changes what the discriminator sees, real images and translations alike (Zhao et al. 2020). `mirror` changes
    source and real images before anything else. Other augmentations of the sources would have to be translated too, and
    weakened the translator in measurements.

    `judges` are for the semantic loss. It requires that the columns that a translation does not change are still
    recognised.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe,
        augment: Policy,
        *,
        seed: int,
        device: torch.device,
        precision: str,
        rarity: torch.Tensor | None = None,
        mirror: Policy | None = None,
        judges: Judges = (),
        world: World = ALONE,
    ) -> None:
        if recipe.loss not in ADVERSARIAL_LOSSES:
            raise SettingsError(f"there is no loss '{recipe.loss}'; choose one of: {', '.join(ADVERSARIAL_LOSSES)}")
        self.generator, self.discriminator = cast(Translator, generator), cast(Discriminator, discriminator)
        networks = {"generator": generator, "discriminator": discriminator}
        self.projector = _projector(self.generator.feature_widths, seed) if recipe.contrast else nn.ModuleList()
        if recipe.contrast:
            networks["projector"] = self.projector
        self.state = TrainState(networks, recipe, device, world)
        self.recipe, self.augment, self.seed, self.device = recipe, augment, seed, device
        self.mirror = mirror
        self.loss, self.judges, self.half = ADVERSARIAL_LOSSES[recipe.loss], judges, precision == "bf16"
        self.latent = self.generator.latent
        extra = self.state.extra
        extra["pairwise_accuracy"] = torch.full((), 0.5, device=device)
        if recipe.replay:
            self.cell_head = next(m for m in discriminator.modules() if isinstance(m, JointProjectionHead))
            number = self.cell_head.cells.num_embeddings * recipe.replay
            extra["replay"] = torch.zeros(number, *self.generator.shape, device=device)
            extra["replay_filled"] = torch.zeros(number, device=device)

    def train_step(self, step: int, progress: float, draw: Callable[[int], Any]) -> dict[str, torch.Tensor]:
        """Update the discriminator, then the translator; return losses and mean scores as scalars.

        `draw` returns the `Pairs` of a step. `moved` is the mean absolute change of a translation, on the scale [-1, 1].
        """
        self.state.schedule(progress)
        pairs: Pairs = draw(step)
        parts, images_in_all = self.state.parts, sum(pairs.totals)
        refuse_parts(pairs.totals[0], parts * pairs.world.size)
        batch = [self._mirrored(pair, step, part) for part, pair in enumerate(pairs.split(parts))]

        # Discriminator phase: real images of the target cell score above translations into it.
        reports: list[dict[str, torch.Tensor]] = []
        reusable: list[torch.Tensor | None] = []
        for micro in batch:
            with torch.set_grad_enabled(parts == 1):
                images = self._translate(micro)
            losses, total = self._discriminator_loss(micro, images.detach(), progress)
            self.state.backward(total * micro.share / parts)
            reports.append(losses)
            reusable.append(images if parts == 1 else None)
        self.state.step("discriminator")

        # Translator phase: adversarial loss for known targets; cycle, identity and semantic losses for all.
        for micro, losses, stored in zip(batch, reports, reusable, strict=True):
            with self.state.frozen("discriminator"):
                images = self._translate(micro) if stored is None else stored
                losses |= self._generator_losses(micro, images)
                self.state.backward(losses.pop("total") * micro.share / parts)
        self.state.step(*(name for name in self.state.networks if name != "discriminator"))

        # Average of the translator's weights, and the values to report.
        self.state.update_average(images_in_all, step * images_in_all)
        return means(reports, batch, pairs.world) | {"pairwise_accuracy": self.state.extra["pairwise_accuracy"].clone()}

    def _mirrored(self, pairs: Pairs, step: int, part: int) -> MicroBatch:
        """Mirror half of the source and real images, where that is allowed."""
        micro = MicroBatch(pairs, self.seed, step, part)
        if self.mirror is None:
            return micro
        images, real = pairs.images, pairs.real
        if self.recipe.paired:  # a source and its real image are mirrored alike
            both = torch.cat([images, torch.cat([real, images[len(real) :]])], dim=1)
            images, partners = self.mirror(both, micro.draws_of_sources("mirror")).chunk(2, dim=1)
            real = partners[: len(real)]
        else:
            both = self.mirror(torch.cat([images, real]), micro.draws_of_all("mirror"))
            images, real = both[: len(images)], both[len(images) :]
        images, real = (x.contiguous(memory_format=torch.channels_last) for x in (images, real))
        return replace(micro, pairs=replace(pairs, images=images, real=real))

    def _translate(self, micro: MicroBatch, name: str = "noise") -> torch.Tensor:
        with self.autocast():
            return self._call(micro.pairs.images, micro.pairs.changes, micro, name).float()

    def _call(self, images: torch.Tensor, changes: torch.Tensor, micro: MicroBatch, name: str) -> torch.Tensor:
        """Apply the translator to images [N, C, H, W] for changes int64 [N, K], with noise where it uses any."""
        noise = None
        if self.latent:
            noise = micro.normal(name, self.latent).to(self.device)
        return self.generator(images, changes, noise)

    def _discriminator_loss(
        self, micro: MicroBatch, translated: torch.Tensor, progress: float
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The values to report, and the loss with its penalty."""
        rule, real = self.recipe, micro.pairs.real
        cells, fake = micro.pairs.targets[: len(real)], translated[: len(real)]
        fake = self._replayed(micro, fake, cells) if rule.replay else fake
        with self.autocast():
            seen = self.augment(torch.cat([real, fake]), micro.draws_of_real("augment"))
            scores = self.discriminator(seen, cells.repeat(2, 1)).float()
        on_real, on_fake = scores.chunk(2)
        loss = self.loss.discriminator(on_real, on_fake)
        with torch.no_grad():
            paired = ((on_real > on_fake).float() + (on_real == on_fake).float() / 2).mean()
            paired = micro.pairs.world.sum(paired * micro.share_of_real)
            self.state.extra["pairwise_accuracy"].lerp_(paired, 1 - PAIRED)
        total = loss
        if rule.r1 and micro.step % rule.penalty_every == 0:
            weight = rule.r1 * rule.penalty_every * between(rule.schedule, progress, 1.0, rule.final_penalty)

            def scorer(images: torch.Tensor) -> torch.Tensor:
                seen = self.augment(images, micro.draws_of_real(PENALTY_DRAWS))
                return self.discriminator(seen, cells).flatten(1).mean(1)

            total = loss + weight * squared_gradient_norm(scorer, real)
        report = {"loss_d": loss, "score_real": on_real.mean(), "score_fake": on_fake.mean()}
        return {name: value * micro.weight_of_real for name, value in report.items()}, total * micro.weight_of_real

    def _generator_losses(self, micro: MicroBatch, translated: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every loss of the translator, and their weighted "total"."""
        rule, pairs = self.recipe, micro.pairs
        real, images = pairs.real, pairs.images
        cells = pairs.targets[: len(real)]
        with self.autocast():
            seen = self.augment(translated[: len(real)], micro.draws_of_real("augment fake"))
            on_fake = self.discriminator(seen, cells).float()
            on_real = on_fake.detach()
            if self.loss.paired:
                with torch.no_grad():
                    on_real = self.discriminator(self.augment(real, micro.draws_of_real("augment real")), cells).float()
        losses = {"loss_g": self.loss.generator(on_real, on_fake) * micro.weight_of_real}
        losses["moved"] = (translated.detach() - images).abs().mean()
        total = losses["loss_g"]
        if rule.cycle:
            with self.autocast():
                back = self._call(translated, pairs.returns, micro, "noise back").float()
            losses["cycle"] = (back - images).abs().mean()
            total = total + rule.cycle * losses["cycle"]
        if rule.identity and micro.step % IDENTITY_EVERY == 0:
            with self.autocast():
                same = self._call(images, pairs.returns, micro, "noise same").float()
            total = total + IDENTITY_EVERY * rule.identity * (same - images).abs().mean()
        if rule.paired:
            apart = (translated[: len(real)] - real).abs().flatten(1).mean(1)
            number = pairs.world.sum(pairs.matched.sum()).clamp(min=1)
            losses["paired"] = (apart * pairs.matched).sum() / number / micro.share
            total = total + rule.paired * losses["paired"]
        if rule.semantic and self.judges:
            losses["semantic"] = self._semantic(pairs, translated)
            total = total + rule.semantic * losses["semantic"]
        if rule.contrast:
            losses["contrast"] = self._contrast(micro, translated)
            total = total + rule.contrast * losses["contrast"]
        if rule.mode_seeking and self.latent:
            other = self._translate(micro, "other noise")
            first, second = (micro.normal(name, self.latent).to(self.device) for name in ("noise", "other noise"))
            total = total + rule.mode_seeking * mode_seeking(translated, other, first, second)
        return losses | {"total": total}

    def _semantic(self, pairs: Pairs, translated: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of the columns that a translation does not change, by the classifiers of each (Hoffman et al.
        2018, eq. 4).
        """
        total = translated.new_zeros(())
        for column, members in enumerate(self.judges):
            unchanged = (pairs.targets[:, column] == pairs.sources[:, column]).float()
            for judge in members:
                with self.autocast():
                    logits = judge(translated).float()
                loss = F.cross_entropy(logits, pairs.targets[:, column], reduction="none")
                total = total + (unchanged * loss).mean() / len(members)
        return total

    def _contrast(self, micro: MicroBatch, translated: torch.Tensor) -> torch.Tensor:
        """CUT's loss: a position of the translation resembles the same position of its source more than other positions of
        it.
        """
        with self.autocast():
            mine = self.generator.features(translated)
            with torch.no_grad():
                theirs = self.generator.features(micro.pairs.images)
        each = []
        for level, (query, key) in enumerate(zip(mine, theirs, strict=True)):
            positions = torch.randperm(prod(query.shape[2:]), generator=micro.draws(f"places {level}"))[:PATCHES]
            at = positions.to(self.device)
            project = self.projector[level]
            pick = [project(x.float().flatten(2)[:, :, at].transpose(1, 2)) for x in (query, key)]
            each.append(patch_contrast(pick[0], pick[1].detach()))
        return torch.stack(each).mean()

    @torch.no_grad()
    def _replayed(self, micro: MicroBatch, fake: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Exchange half of the translations for earlier ones of the same cell (Shrivastava et al. 2017, section 2.3).

        Each cell has `replay` slots in the training state. An empty slot takes a copy.
        """
        world, total = micro.pairs.world, micro.pairs.totals[0]
        fake, cells = world.gather(fake, total), world.gather(cells, total)
        extra, slots, shown = self.state.extra, self.recipe.replay, fake.clone()
        codes = self.cell_head.codes(cells)
        draws = torch.rand(2, len(fake), generator=micro.draws("replay"))
        for row, (code, position, coin) in enumerate(zip(codes.tolist(), *draws.tolist(), strict=True)):
            at = code * slots + int(position * slots)
            if not bool(extra["replay_filled"][at]):
                extra["replay"][at], extra["replay_filled"][at] = fake[row], 1.0
            elif coin < 0.5:
                shown[row] = extra["replay"][at]
                extra["replay"][at] = fake[row]
        return shown[world.rows(total)]

    def autocast(self) -> torch.autocast:
        """bf16 autocast when the plan says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def _projector(widths: Sequence[int], seed: int, size: int = 64) -> nn.ModuleList:
    """A head of two layers for each level of the translator's features (Park et al. 2020, section 3.2)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "projector"))
        return nn.ModuleList(
            nn.Sequential(nn.Linear(width, size), nn.ReLU(), nn.Linear(size, size)) for width in widths
        )
