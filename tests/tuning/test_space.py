"""The search space: every configuration of it can be trained, and neutral values change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury import training
from augury.errors import SettingsError
from augury.images import LabelledImages
from augury.settings import RunSettings
from augury.training.recipes import RECIPES
from augury.tuning import DIMENSIONS, OBJECTIVES
from augury.tuning.space import Candidate, Space, chosen_dimensions, dimensions_of, fixes_recipe
from augury.validation import validated

CPU = torch.device("cpu")
GENERATORS = [name for name in RECIPES if name not in ("translator", "projected")]


def noise(n: int = 80, side: int = 16) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (n, 1, side, side), dtype=np.uint8)
    return LabelledImages(images, np.arange(n) % 2, ("a", "b"))


def space(*names: str, objective: str = "uplift", settings: dict[str, Any] | None = None) -> Space:
    base, data = validated(RunSettings, settings or {}), noise()
    candidates = {}
    for name in names:
        train = base.train.model_copy(update={"recipe": name})
        _, rule = training.resolve_recipe(data, train, CPU)
        candidates[name] = Candidate(name, rule, 64, len(data), 16, objective)
    return Space(base, candidates, chosen_dimensions(base, ()))


class RandomTrial:
    """Suggests as a trial of Optuna does, without a study."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def suggest_categorical(self, name: str, values: tuple[Any, ...]) -> Any:
        return values[self.random.integers(len(values))]

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        if log:
            return float(np.exp(self.random.uniform(np.log(low), np.log(high))))
        return float(self.random.uniform(low, high))


@pytest.mark.parametrize("name", GENERATORS)
def test_every_configuration_can_be_trained(name: str) -> None:
    searched = space(name)
    for seed in range(6):
        candidate, values = searched.suggest(RandomTrial(seed))  # type: ignore[arg-type]
        settings = searched.settings(candidate, values)
        recipe, rule = training.resolve_recipe(noise(), settings.train, CPU)
        assert recipe == name and (settings.train.batch is None or settings.train.batch <= 80)
        assert rule.generator_lr == pytest.approx(values["generator_lr"] * RECIPES[name].generator_lr, rel=1e-3)


@pytest.mark.parametrize("name", GENERATORS)
def test_neutral_values_are_the_recipe_itself(name: str) -> None:
    searched = space(name)
    neutral = searched.neutral(searched.default)
    assert list(neutral) == [dimension.name for dimension in searched.of(searched.default)]
    settings = searched.settings(searched.default, neutral)
    plain = validated(RunSettings, {"train": {"recipe": name}})
    assert settings.train == plain.train and settings.generate == plain.generate
    for dimension in searched.of(searched.default):  # Optuna must be able to draw the neutral value
        value = neutral[dimension.name]
        assert value in dimension.values if dimension.values else dimension.low <= value <= dimension.high


def test_the_first_random_trials_are_near_the_default() -> None:
    searched = space("rpgan")
    neutral, starts = searched.neutral(searched.default), [searched.start(number) for number in range(60)]
    changed = [sum(start[name] != neutral[name] for name in neutral) for start in starts]
    assert all(start.keys() == neutral.keys() for start in starts) and starts[3] == space("rpgan").start(3)
    assert 0.15 < np.mean(changed) / len(neutral) < 0.45, "a choice may be drawn unchanged"
    rates = np.log([start["generator_lr"] for start in starts if start["generator_lr"] != 1])
    assert np.abs(rates).max() <= np.log(3) + 1e-9 and 0.2 < rates.std() < 0.6  # log(3) / 3 = 0.37
    for start in starts:
        for dimension in searched.of(searched.default):
            value = start[dimension.name]
            assert value in dimension.values if dimension.values else dimension.low <= value <= dimension.high


def test_the_space_reaches_what_the_recipes_have() -> None:
    names = {
        name: {d.name for d in space(name).of(space(name).default)}
        for name in ("rpgan", "stylegan", "flow", "vae", "wgan_gp", "dcgan")
    }
    assert {"r1", "r2", "loss", "deeper", "width", "label_sampling", "ratio", "filters"} <= names["rpgan"]
    assert "scales" not in names["rpgan"], "simultaneous training has one score per image"
    assert "scales" in names["dcgan"] and "ada_target" in names["stylegan"] and "gradient_penalty" in names["wgan_gp"]
    assert "kl" in names["vae"] and not {"loss", "deeper", "r1"} & names["vae"]
    assert not {"discriminator_lr", "r1", "deeper", "augment"} & names["flow"]


def test_values_become_settings_of_a_run() -> None:
    searched = space("rpgan")
    values = searched.neutral(searched.default) | {
        "width": 2.0,
        "r1": 0.5,
        "batch": 2.0,
        "ratio": 1.0,
        "filters": "near_copy,near_duplicate",
    }
    settings = searched.settings(searched.default, values)
    assert settings.train.overrides == {"width": 32, "r1": 0.15} and settings.train.batch == 80
    assert settings.prove.ratios == (0.0, 1.0) and settings.generate.filters == ("near_copy", "near_duplicate")


def test_what_the_user_sets_is_not_searched() -> None:
    given = {"train": {"recipe": "rpgan", "batch": 16, "overrides": {"r1": 1.0}}, "generate": {"truncation": 0.9}}
    searched = space("rpgan", settings=given)
    assert not {"batch", "r1", "truncation"} & {dimension.name for dimension in searched.dimensions}
    settings = searched.settings(searched.default, searched.neutral(searched.default))
    assert settings.train.overrides == {"r1": 1.0} and settings.train.batch == 16
    base = validated(RunSettings, given)
    assert fixes_recipe(base.train) and not fixes_recipe(RunSettings().train)
    with pytest.raises(SettingsError, match=r"the settings give train\.batch a value"):
        chosen_dimensions(base, ("batch",))
    with pytest.raises(SettingsError, match="there is no 'depth'; there are: recipe, generator_lr"):
        chosen_dimensions(base, ("depth",))


def test_dimensions_are_recognised_by_the_settings_that_are_stated() -> None:
    stated = {
        "seed": 1,
        "train": {"steps": 5, "augment": "none", "overrides": {"r1": 1.0}},
        "generate": {"truncation": 1.0},
    }
    assert dimensions_of(stated) == dimensions_of(validated(RunSettings, stated)) == {"augment", "truncation"}
    whole = validated(RunSettings, stated).model_dump()
    assert dimensions_of(whole) == dimensions_of(validated(RunSettings, whole)) == set()
    names = [dimension.name for dimension in chosen_dimensions(RunSettings(), (), ("truncation",))]
    assert names == [name for name in DIMENSIONS if name != "truncation"]
    with pytest.raises(SettingsError, match=r"^--search truncation: the settings give generate\.truncation a value"):
        chosen_dimensions(RunSettings(), ("truncation",), ("truncation",))
    with pytest.raises(SettingsError, match=r"^fixed: there is no 'recipe'; there are: generator_lr, "):
        chosen_dimensions(RunSettings(), (), ("recipe",))


def test_the_key_follows_everything_that_is_searched() -> None:
    keys = [
        space("rpgan").key(),
        space("rpgan", "flow").key(),
        space("rpgan", objective="kid").key(),
        space("rpgan", settings={"prove": {"steps": 10}}).key(),
        space("rpgan", settings={"train": {"batch": 16}}).key(),
    ]
    assert len(set(keys)) == len(keys)
    assert space("rpgan", settings={"device": "cpu", "train": {"track": "mlflow"}}).key() == keys[0]


def test_the_page_names_every_dimension_and_objective() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    for name in (*DIMENSIONS, *OBJECTIVES):
        assert f"`{name}`" in page, name
