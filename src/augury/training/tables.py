"""Tables instead of images: the same game between fully connected networks, on numeric columns brought to one scale."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augury.augment import policy
from augury.errors import DataError, SettingsError, TrainingError
from augury.images import Codes
from augury.networks import NETWORKS, build
from augury.randomness import image_noise, torch_seed
from augury.training.adversarial import AdversarialTrainer
from augury.training.batches import WeightedSampler
from augury.training.devices import choose_device
from augury.training.plan import BATCH, pace
from augury.training.recipes import Recipe
from augury.training.recipes import recipe as named

Table = npt.NDArray[np.float64]
AUTO, STEPS = "rpgan", 1000
"""The recipe that `auto` stands for, whose game keeps variety on few rows, and steps that suffice for tables of some thousand
rows and dozens of columns."""


@dataclass(frozen=True)
class Columns:
    """What is known of each column, [D]: mean and scale (its standard deviation, 1 for a constant), the range seen, and
    whether all values were whole numbers."""

    mean: Table
    scale: Table
    low: Table
    high: Table
    whole: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, values: Table) -> Columns:
        """Of a table [N, D]."""
        spread = values.std(axis=0)
        whole = (values == np.rint(values)).all(axis=0)
        return cls(
            values.mean(axis=0), np.where(spread > 0, spread, 1.0), values.min(axis=0), values.max(axis=0), whole
        )

    def standard(self, values: Table) -> npt.NDArray[np.float32]:
        """Values [N, D] -> mean 0, deviation 1."""
        return ((values - self.mean) / self.scale).astype(np.float32)

    def original(self, standard: npt.NDArray[np.float32]) -> Table:
        """Back, kept to the range seen, and to whole numbers where all were."""
        values = np.clip(standard.astype(np.float64) * self.scale + self.mean, self.low, self.high)
        return np.where(self.whole, np.rint(values), values)


@dataclass(frozen=True)
class TableSynthesizer:
    """A trained generator of rows."""

    generator: torch.nn.Module
    columns: Columns
    steps: int

    @torch.no_grad()
    def sample(self, labels: Codes, *, seed: int = 0, start: int = 0) -> Table:
        """Codes int64 [N] -> rows [N, D]; row i has its own noise from (seed, start + i)."""
        device = next(self.generator.parameters()).device
        rows = [np.empty((0, len(self.columns.mean)))]
        for at in range(0, len(labels), 1024):
            codes = np.asarray(labels[at : at + 1024], np.int64)
            indices = np.arange(start + at, start + at + len(codes), dtype=np.int64)
            noise = torch.from_numpy(image_noise(seed, indices, int(self.generator.latent))).to(device)  # type: ignore[arg-type]
            drawn = self.generator(noise, torch.from_numpy(codes[:, None]).to(device))
            rows.append(self.columns.original(drawn.flatten(1).cpu().numpy()))
        return np.concatenate(rows)


def train_table(
    values: npt.NDArray[Any],
    labels: Codes,
    *,
    recipe: str = "auto",
    overrides: dict[str, Any] | None = None,
    steps: int | None = None,
    budget: float | None = None,
    label_sampling: str = "sqrt",
    seed: int = 0,
    device: str = "auto",
) -> TableSynthesizer:
    """Train on numeric rows [N, D] with classes int64 [N] from 0 on. A recipe gives the game, the networks are those of
    `gan` whatever its own, without augmentation; `steps`, or as many as fit into `budget` seconds, or STEPS.

    Raises SettingsError for an autoencoder's recipe and for what tables cannot use, DataError for values that are not finite
    numbers, TrainingError when weights become no numbers.
    """
    if steps is not None and budget is not None:
        raise SettingsError("steps and budget both set the training length; give one of them")
    rule = _rule(AUTO if recipe == "auto" else recipe, overrides or {})
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or not len(table) or not np.isfinite(table).all():
        raise DataError(
            f"a table must be finite numbers [N, D], but this is {list(table.shape)} or holds NaN or infinity; fill the gaps"
        )
    columns, classes, place = Columns.of(table), int(labels.max()) + 1, choose_device(device)
    rows = torch.from_numpy(columns.standard(table))[:, :, None, None]
    lottery = WeightedSampler(labels, classes, label_sampling, min(BATCH, len(table)), seed)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = lottery.draw(number)
        return rows[chosen].to(place), torch.from_numpy(labels[chosen][:, None]).to(place)

    def trainer() -> AdversarialTrainer:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, "weights"))
            networks = build(rule.network, rule.settings, (table.shape[1], 1, 1), (classes,))
        return AdversarialTrainer(*networks, rule, policy("none"), seed=seed, device=place, precision="fp32")

    total = steps or (
        STEPS if budget is None else max(1, int(budget * pace(trainer(), draw, min(3.0, budget / 10), lottery.batch)))
    )
    played = trainer()
    for step in range(total):
        played.train_step(step, step / total, draw)
        if ((step + 1) % 100 == 0 or step + 1 == total) and not played.state.all_finite():
            raise TrainingError(
                f"the weights of step {step + 1} are no longer finite; lower generator_lr ({rule.generator_lr}) and "
                f"discriminator_lr ({rule.discriminator_lr}), or add r1=1"
            )
    return TableSynthesizer(played.state.average.module, columns, total)


def _rule(name: str, overrides: dict[str, Any]) -> Recipe:
    """The recipe's game for the networks of tables."""
    chosen = named(name, overrides)
    if NETWORKS[chosen.network].method != "adversarial":
        raise SettingsError(f"recipe {name} decodes images; for a table use gan, rpgan, wgan or wgan_gp")
    own = {field.name for field in fields(Recipe)}
    settings = {key: value for key, value in overrides.items() if key not in own} | {"bounded": False}
    plain = {"augment": "none", "ada_target": 0.0, "path_length": 0.0, "style_mixing": 0.0, "spectral_control": 0.0}
    idle = [key for key, value in overrides.items() if key in plain and value != plain[key]]
    if idle:
        raise SettingsError(f"{idle[0]}={overrides[idle[0]]!r} has no effect: tables have no pixels; leave it out")
    return replace(chosen, network="mlp", settings=settings, **plain)  # type: ignore[arg-type]
