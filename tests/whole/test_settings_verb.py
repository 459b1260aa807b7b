"""`augury settings` shows every setting of a run, and which of them differ from the defaults."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.cli.settings import setting_rows
from augury.data import from_arrays
from augury.errors import SettingsError
from augury.files import write_json
from augury.networks import NETWORKS, DiscriminatorSettings, build
from augury.networks.stylegan import StyleGANSettings
from augury.pipeline.run_folder import FORMAT
from augury.pipeline.run_settings import OPTIONS, run_settings
from augury.settings import RunSettings
from augury.training.recipes import RECIPES, Recipe, recipe
from augury.validation import validated


def settings_of(*words: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["settings", *words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_without_a_run_every_setting_has_its_default_and_a_help_text() -> None:
    rows = settings_of()
    names = [row["name"] for row in rows]
    assert names == [row["name"] for row in setting_rows(RunSettings(), RunSettings())]
    assert {"seed", "data.target", "train.recipe", "prove.learning_rates", "export.format"} <= set(names)
    assert all(row["source"] == "default" and row["value"] == row["default"] and row["help"] for row in rows)


def test_of_a_run_those_that_were_changed_are_marked(tmp_path: Path) -> None:
    values = validated(RunSettings, {"seed": 4, "train": {"recipe": "dcgan"}, "prove": {"seeds": 7}})
    write_json(tmp_path / "run.json", {"format": FORMAT, "version": "0", "settings": values.model_dump(mode="json")})
    changed = {row["name"]: (row["value"], row["default"]) for row in settings_of(str(tmp_path), "--changed")}
    assert changed["seed"] == (4, 0) and changed["train.recipe"] == ("dcgan", "auto")
    assert all(value != default for value, default in changed.values())
    text = CliRunner().invoke(app, ["settings", str(tmp_path)]).stdout
    assert "* seed" in text and "  device" in text and "* differs from the default" in text


def test_the_settings_of_a_recipe_are_listed_with_those_of_its_network(tmp_path: Path) -> None:
    rows = {row["name"].removeprefix("train.overrides."): row for row in settings_of("--recipe", "stylegan")}
    assert rows["r1"]["value"] == 0.05 and rows["width"]["value"] == 16 and rows["scales"]["value"] == 1
    assert all(row["help"] and row["source"] == "default" for row in rows.values())
    assert set(Recipe.model_fields) - {"settings"} | set(StyleGANSettings.model_fields) <= rows.keys()
    values = validated(RunSettings, {"train": {"recipe": "vae", "overrides": {"kl": 2, "latent": 8}}})
    write_json(tmp_path / "run.json", {"format": FORMAT, "version": "0", "settings": values.model_dump(mode="json")})
    changed = {row["name"]: (row["value"], row["default"]) for row in settings_of(str(tmp_path), "--changed")}
    assert changed["train.overrides.kl"] == (2, 1) and changed["train.overrides.latent"] == (8, 32)
    assert "train.overrides.r1" not in changed
    assert not any(
        row["source"] == "run" for row in settings_of(str(tmp_path), "--recipe", "ae") if "overrides." in row["name"]
    )
    with pytest.raises(SettingsError, match="there is no recipe 'magic'"):
        CliRunner().invoke(app, ["settings", "--recipe", "magic"], catch_exceptions=False)


def test_every_setting_of_a_recipe_and_of_a_network_is_described() -> None:
    models = [Recipe, DiscriminatorSettings, *(type(network.settings) for network in NETWORKS.values())]
    assert all(field.description for model in models for field in model.model_fields.values())


def test_a_recipe_is_checked_and_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RECIPES["dcgan"].steps = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Recipe(network="dcgan", loss="hinge", steps=0)
    assert recipe("dcgan", {"r1": 2}).r1 == 2.0 and RECIPES["dcgan"].r1 == 0.0
    with pytest.raises(SettingsError, match="has no setting 'widthh'; did you mean width"):
        build("dcgan", {"widthh": 8}, (1, 8, 8), (2,))


def test_a_run_takes_options_by_name_or_by_section() -> None:
    settings = run_settings({"train": {"steps": 7}, "seed": 2}, {"recipe": "dcgan", "seeds": 9, "target": "other/"})
    assert (settings.seed, settings.train.steps, settings.train.recipe, settings.prove.seeds) == (2, 7, "dcgan", 9)
    assert settings.data.target == "other/"
    assert run_settings(settings, {"steps": 8}).train.model_dump() == {**settings.train.model_dump(), "steps": 8}
    with pytest.raises(SettingsError, match="did you mean recipe"):
        run_settings(None, {"recipes": "dcgan"})
    with pytest.raises(SettingsError, match=r"train\.steps"):
        run_settings(None, {"steps": 0})


def test_every_option_is_a_setting_of_its_section() -> None:
    sections = {name: type(value).model_fields for name, value in RunSettings() if hasattr(value, "model_dump")}
    for name, section in OPTIONS.items():
        assert name in (sections[section] if section else RunSettings.model_fields), name


def test_options_of_a_run_are_stored_and_hold_when_it_is_resumed(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    data = from_arrays(images, np.repeat(["a", "b"], 20))
    augury.run(data, tmp_path / "run", steps=3, flips=True, until="split")
    stored = augury.run(data, tmp_path / "run", recipe="dcgan", until="split").settings
    assert (stored["train"]["steps"], stored["train"]["recipe"], stored["prove"]["flips"]) == (3, "dcgan", True)
