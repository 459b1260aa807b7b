"""Tables instead of images: the same adversarial training with fully connected networks, on standardised numeric columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

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
from augury.training.protocols import Generator
from augury.training.recipes import Recipe
from augury.training.recipes import recipe as named

Table = npt.NDArray[np.float64]
AUTO, STEPS = "rpgan", 1000
"""The recipe for `auto`, whose loss keeps variety on few rows; and steps that suffice for some thousand rows and dozens of
columns."""


@dataclass(frozen=True)
class Columns:
    """Statistics of each column, [D]: mean, scale (standard deviation, 1 for a constant), range, and whether all values are
    whole numbers.
    """

    mean: Table
    scale: Table
    low: Table
    high: Table
    whole: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, values: Table) -> Columns:
        """Of a table [N, D]."""
        spread = values.std(axis=0)
        integral = (values == np.rint(values)).all(axis=0)
        return cls(
            values.mean(axis=0), np.where(spread > 0, spread, 1.0), values.min(axis=0), values.max(axis=0), integral
        )

    def standard(self, values: Table) -> npt.NDArray[np.float32]:
        """Values [N, D] -> mean 0, deviation 1."""
        return ((values - self.mean) / self.scale).astype(np.float32)

    def original(self, standard: npt.NDArray[np.float32]) -> Table:
        """Inverse of `standard`, clipped to the range seen, and rounded in columns of whole numbers."""
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
            noise = torch.from_numpy(image_noise(seed, indices, cast(Generator, self.generator).latent)).to(device)
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
    """Train a generator of table rows.

    The recipe sets the loss and its settings. The networks are always those of `gan`, without augmentation.

    Parameters
    ----------
    values
        Numeric rows [N, D].
    labels
        Classes int64 [N], from 0 on.
    recipe, overrides
        An adversarial recipe, and changes of it.
    steps, budget
        Steps, or as many as fit into `budget` seconds; STEPS where neither is set.
    label_sampling
        Weight of each class, as in `batches.FREQUENCY`.
    seed, device
        Seed of all random numbers; "auto", "cpu", "cuda" or "mps".

    Returns
    -------
    The trained generator.

    Raises
    ------
    SettingsError
        For a recipe that is not adversarial, and for settings that tables cannot use.
    DataError
        For values that are not finite.
    TrainingError
        When weights are no longer finite.
    """
    if steps is not None and budget is not None:
        raise SettingsError("steps and budget both set the training length; give one of them")
    rule = _rule(AUTO if recipe == "auto" else recipe, overrides or {})
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or not len(table) or not np.isfinite(table).all():
        raise DataError(
            f"a table must be finite numbers [N, D], but this is {list(table.shape)} or holds NaN or infinity; fill the gaps"
        )
    columns, classes, compute_device = Columns.of(table), int(labels.max()) + 1, choose_device(device)
    rows = torch.from_numpy(columns.standard(table))[:, :, None, None]
    batches = WeightedSampler(labels, classes, label_sampling, min(BATCH, len(table)), seed)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = batches.draw(number)
        return rows[chosen].to(compute_device), torch.from_numpy(labels[chosen][:, None]).to(compute_device)

    def trainer() -> AdversarialTrainer:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, "weights"))
            generator, critic = build(rule.network, rule.settings, (table.shape[1], 1, 1), (classes,))
        return AdversarialTrainer(
            generator, critic, rule, policy("none"), seed=seed, device=compute_device, precision="fp32"
        )

    total = steps or (
        STEPS if budget is None else max(1, int(budget * pace(trainer(), draw, min(3.0, budget / 10), batches.batch)))
    )
    fitted = trainer()
    for step in range(total):
        fitted.train_step(step, step / total, draw)
        if ((step + 1) % 100 == 0 or step + 1 == total) and not fitted.state.all_finite():
            raise TrainingError(
                f"the weights of step {step + 1} are no longer finite; lower generator_lr ({rule.generator_lr}) and "
                f"discriminator_lr ({rule.discriminator_lr}), or add r1=1"
            )
    return TableSynthesizer(fitted.state.average.module, columns, total)


def _rule(name: str, overrides: dict[str, Any]) -> Recipe:
    """The recipe's loss and settings, for the networks of tables."""
    chosen = named(name, overrides)
    if chosen.network not in NETWORKS or NETWORKS[chosen.network].method != "adversarial":
        raise SettingsError(f"recipe {name} generates images only; for a table use gan, rpgan, wgan or wgan_gp")
    own = Recipe.model_fields
    settings = {key: value for key, value in overrides.items() if key not in own} | {"bounded": False}
    plain = {
        "augment": "none",
        "ada_target": 0.0,
        "path_length": 0.0,
        "style_mixing": 0.0,
        "spectral_control": 0.0,
    }
    idle = [key for key, value in overrides.items() if key in plain and value != plain[key]]
    if idle:
        raise SettingsError(f"{idle[0]}={overrides[idle[0]]!r} has no effect: tables have no pixels; leave it out")
    return chosen.model_copy(update={"network": "mlp", "settings": settings, **plain})
