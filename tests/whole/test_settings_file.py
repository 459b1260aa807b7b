"""`--config FILE.yaml`: what is read, in which order settings apply, and what is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.cli.options import settled
from augury.errors import SettingsError
from augury.pipeline import session
from augury.pipeline.run_folder import Run
from augury.pipeline.run_settings import run_settings
from augury.pipeline.settings_file import LARGEST, read_settings, write_settings
from augury.settings import RunSettings
from augury.validation import validated


def file(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_holds_settings_by_section(tmp_path: Path) -> None:
    text = "# a comment\nseed: 3\ndata:\n  size: [96, 64]\n  columns: {label: diagnosis}\ntrain:\n  budget: 1h30m\nprove:\n"
    assert read_settings(file(tmp_path, text)) == {
        "seed": 3,
        "data": {"size": [96, 64], "columns": {"label": "diagnosis"}},
        "train": {"budget": "1h30m"},
        "prove": {},
    }
    assert read_settings(file(tmp_path, "")) == {}


def test_plain_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "train:\n  overrides: {a: 1e-3, b: no, c: 1:30, d: .5, e: 010, f: true, g: null, h: 2020-01-02, i: -7, j: 'true'}\n"
    values = read_settings(file(tmp_path, text))["train"]["overrides"]
    assert values == {
        "a": 0.001, "b": "no", "c": "1:30", "d": 0.5, "e": "010", "f": True, "g": None, "h": "2020-01-02", "i": -7, "j": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("train: {step: 5}", r"settings\.yaml: these settings .*\n  train\.step: there is no such setting; did you mean steps"),
        ("trian: {}", "trian: there is no such setting; did you mean train"),
        ("train: {steps: 0}", r"settings\.yaml: .*\n  train\.steps = 0: .*greater than or equal to 1"),
        ("train: {steps: 5, budget: 1m}", "give one of them"),
        ("train: 5", "train: must hold settings by name; there are: recipe, steps"),
        ("- train", r"settings\.yaml: holds a list, not sections of settings; write, for example"),
        ("just text", "holds a str, not sections"),
        ("seed: 1\nseed: 2", r"settings\.yaml, line 2: 'seed' appears twice"),
        ("train: {steps: 1, steps: 2}", "'steps' appears twice"),
        ("seed: !!python/object/apply:os.system ['true']", r"line 1: the tag tag:yaml\.org,2002:python/object/apply:os\.system"),
        ("seed: !mine 3", "the tag !mine is not read"),
        ("data: &a {size: 8}\ntrain: *a", r"line 1: anchors \(&\) and aliases \(\*\) are not read"),
        ("train: *a", "aliases"),
        ("? [a]\n: 1", "a name must be plain text"),
        ("train: {steps: 5", "line 1: "),
        ("\tseed: 1", "line 1: "),
        ("seed: 1\n---\nseed: 2", "line 2: .*another document"),
        ("[" * 5000, "no YAML file of settings"),
        ("seed: " + "9" * 5000, "no YAML file of settings"),
        ("#" * (LARGEST + 1), "larger than 256 KiB"),
        ("seed: \x01", "no YAML file of settings"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_words(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        read_settings(file(tmp_path, text))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"data: {group: \xe9}")
    for path, rule in (("none.yaml", "No such file"), ("", "directory"), ("latin.yaml", "utf-8")):
        with pytest.raises(SettingsError, match=rule):
            read_settings(tmp_path / path)


def test_stored_then_file_then_options_then_set(tmp_path: Path) -> None:
    stored = RunSettings(seed=1, train={"steps": 10, "batch": 8}, prove={"seeds": 2, "batch": 16, "steps": 9})
    path = file(tmp_path, "seed: 2\ntrain: {steps: 20}\nprove: {seeds: 3, batch: 32}\n")
    merged = settled(stored.model_dump(mode="json"), ["prove.batch=64"], {"prove": {"seeds": 4}}, {"seed": 5}, path)
    assert (merged.seed, merged.train.steps, merged.train.batch) == (5, 20, 8)
    assert (merged.prove.seeds, merged.prove.batch, merged.prove.steps) == (4, 64, 9)


def test_a_length_replaces_the_other_kind_of_length(tmp_path: Path) -> None:
    stored = RunSettings(train={"budget": "1m"}).model_dump(mode="json")
    assert settled(stored, None, {}, {}, file(tmp_path, "train: {steps: 7}")).train.budget is None
    assert run_settings(stored, {"steps": 7}).train.budget is None
    with pytest.raises(SettingsError, match="give one of them"):
        run_settings(stored, {"steps": 7, "budget": "1m"})


def test_overrides_of_a_file_replace_stored_ones_and_hold_for_their_recipe(tmp_path: Path) -> None:
    stored = {"train": {"recipe": "dcgan", "overrides": {"r1": 1}}}
    assert settled(stored, None, {}, {}, file(tmp_path, "train: {overrides: {r2: 1}}")).train.overrides == {"r2": 1}
    assert settled(stored, None, {}, {}, file(tmp_path, "train: {recipe: vae}")).train.overrides == {}
    assert settled(stored, None, {}, {}, file(tmp_path, "train: {steps: 9}")).train.overrides == {"r1": 1}
    other = {"train": {"recipe": "vae", "overrides": {"kl": 2}}}
    settings_file = file(tmp_path, "train: {overrides: {width: 8}}")
    assert settled(stored, None, other, {}, settings_file).train.overrides == {"width": 8, "kl": 2}
    bound = file(tmp_path, "train: {recipe: wgan, overrides: {width: 8}}")
    assert settled(stored, None, other, {}, bound).train.overrides == {"kl": 2}
    both = run_settings({"train": {"overrides": {"r1": 1}}}, {"recipe": "dcgan"}).train
    assert (both.recipe, both.overrides) == ("dcgan", {"r1": 1})
    assert run_settings(stored, {"recipe": "vae"}).train.overrides == {}


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("prove.ratios=0,0.5", (0.0, 0.5)),
        ("prove.ratios=[0, 0.5]", (0.0, 0.5)),
        ("prove.ratios=0.5", (0.5,)),
        ("prove.learning_rates=0.001, 0.01", (0.001, 0.01)),
        ("prove.weight_decays=0", (0.0,)),
        ("prove.candidates=finetune:timm:resnet50,cnn", ("finetune:timm:resnet50", "cnn")),
        ("prove.arms=none, gan", ("none", "gan")),
        ("train.condition=pose", ("pose",)),
        ("data.attributes=stain,pose", ("stain", "pose")),
    ],
)
def test_a_list_is_typed_with_commas_or_as_json(text: str, parsed: tuple[object, ...]) -> None:
    section, name = text.partition("=")[0].split(".")
    assert getattr(getattr(settled({}, [text], {}, {}), section), name) == parsed


@pytest.mark.parametrize("text", ["prove.ratios=a few", "prove.learning_rates=0.001,0", "prove.ratios=true"])
def test_a_list_of_no_numbers_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match=text.partition("=")[0]):
        settled({}, [text], {}, {})


def test_the_command_line_reads_the_file_and_the_run_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 3)
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.repeat([0, 1], 20))
    path = file(tmp_path, "train: {steps: 2, batch: 8}\nprove: {seeds: 5}\ndata: {near_duplicates: allow}\n")
    options = ["--config", str(path), "--seed", "4", "--quiet", "--json", "--set", "train.batch=4"]
    result = CliRunner().invoke(app, ["train", str(tmp_path / "d.npz"), "-o", str(tmp_path / "r"), *options])
    assert result.exit_code == 0 and json.loads(result.stdout)["synthesizer"], result.output
    settings = Run(tmp_path / "r").settings
    assert (settings["seed"], settings["train"]["steps"], settings["train"]["batch"], settings["prove"]["seeds"]) == (
        4,
        2,
        4,
        5,
    )
    words = ["prove", str(tmp_path / "d.npz"), "--with", str(tmp_path / "d.npz"), "--config", str(path)]
    with pytest.raises(SettingsError, match=r"settings\.yaml: train has no effect with --with SYNTHETIC"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_the_file_of_a_run_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 3)
    images = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.repeat([0, 1], [40, 20]))
    words = f"train {tmp_path}/d.npz -o {tmp_path}/first --budget 1s --seed 3 --set train.batch=8"
    assert CliRunner().invoke(app, [*words.split(), "--penalty", "r1=0.5", "--quiet"]).exit_code == 0
    first = Run(tmp_path / "first")
    settings = read_settings(first / "settings.yaml")
    steps = first.read("train/plan")["plan"]["steps"]
    assert (
        settings["train"] | {"recipe": "rpgan", "steps": steps, "budget": None} == settings["train"]
        and settings["device"] == "cpu"
    )
    assert first.settings["train"]["budget"] == "1s" and first.settings["device"] == "auto"

    words = f"train {tmp_path}/d.npz -o {tmp_path}/second --config {first.path}/settings.yaml --quiet"
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    second = Run(tmp_path / "second")
    for name in ("synthesizer/weights.safetensors", "synthesizer/card.json", "split.npy", "settings.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    augury.run(None, second.path, until="split")
    assert read_settings(second / "settings.yaml") == settings
    augury.run(None, second.path, steps=1, until="split")
    assert read_settings(second / "settings.yaml")["train"]["steps"] == 1


def test_sections_that_are_no_mappings_are_refused_in_python_too() -> None:
    with pytest.raises(SettingsError, match="train: must hold settings by name"):
        run_settings({"train": 3}, {"steps": 5})
    with pytest.raises(SettingsError, match=r"train\.step: there is no such setting; did you mean steps"):
        augury.RunSettings(train={"step": 3})


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    group=TEXT | st.sampled_from(["no", "1e-3", "null", "~", "1:30", "- a", "#", "\x85", "\u2028", "\ufeff", "\x7f"]),
    columns=st.dictionaries(st.sampled_from(["image", "label"]), TEXT),
    overrides=st.dictionaries(TEXT, TEXT | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans()),
    patience=st.floats(1e-300, 1),
)  # fmt: skip
def test_what_is_written_is_read(
    tmp_path_factory: Any, group: str, columns: Any, overrides: Any, patience: float
) -> None:
    settings = validated(
        RunSettings,
        {"data": {"group": group, "columns": columns}, "train": {"patience": patience, "overrides": overrides}},
    )
    path = tmp_path_factory.mktemp("written") / "settings.yaml"
    write_settings(path, settings)
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert validated(RunSettings, read_settings(path)) == settings
