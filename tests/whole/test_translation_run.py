"""The whole way of a run that fills an empty cell: from files to the report, cut off and taken up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import augury
from augury.errors import DataError, SettingsError
from augury.files import read_json, read_lines
from augury.images import UNNEEDED
from augury.pipeline import session
from augury.pipeline.inputs import Callbacks
from augury.pipeline.stages import run
from augury.settings import RunSettings
from augury.validation import validated

SECTIONS = {
    "train": {
        "recipe": "translator", "condition": ("scanner",), "steps": 8, "batch": 8, "precision": "fp32",
        "overrides": {"width": 8, "blocks": 1},
    },
    "generate": {"filters": ("changed>0",)},
    "score": {"features": "classifier", "limit": 40},
    "prove": {"arms": ("randaugment", "drop_cells", "filled", "symmetric"), "seeds": 2, "steps": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Two classes from two scanners; class b from the second scanner only in the test part."""
    random, rows = np.random.default_rng(0), []
    for label in (0, 1):
        for scanner in (0, 1):
            for part, number in (("train", 24), ("validation", 8), ("test", 16)):
                if part == "test" or not (label and scanner):
                    rows += [(label, scanner, part)] * number
    labels, scanners, parts = (np.array(column) for column in zip(*rows, strict=True))
    images = random.normal(80 + 40 * labels[:, None, None] + 60 * scanners[:, None, None], 25, (len(rows), 16, 16))
    file = tmp_path_factory.mktemp("scans") / "scans.npz"
    np.savez(
        file, images=images.clip(0, 255).astype(np.uint8), label=np.array(["a", "b"])[labels],
        scanner=np.array(["first", "second"])[scanners], split=parts,
    )  # fmt: skip
    return file


@pytest.fixture(autouse=True)
def briefly(monkeypatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr("augury.proof.column_judges.STEPS", 3)


def test_a_run_fills_the_empty_cell_and_judges_within_it(scans: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    run_result = run(
        scans, tmp_path / "run", settings=validated(RunSettings, SECTIONS), callbacks=Callbacks(note=notes.append)
    )
    verdict = run_result.verdict
    card = run_result.classifier.card
    assert card.arm["by"] == "verdict" and "no image of an empty cell" in card.arm["why"]
    assert card.arm["name"] == (verdict.arm if verdict.outcome == "helps" else verdict.comparator)
    assert verdict.metric == "balanced accuracy within scanner=second"
    hole_row = next(row for row in verdict.cells if row["class"] == "b" and row["hole"])
    assert hole_row["train"] == 0 and hole_row["test"] == 16
    plan = read_json(tmp_path / "run" / "generation.json")["plan"]
    assert {(row["source"], row["target"]) for row in plan if row["fills"]} == {
        ("a, scanner=second", "b, scanner=second"), ("b, scanner=first", "b, scanner=second")
    }  # fmt: skip
    kept_classes = read_json(tmp_path / "run" / "generation.json")["kept_classes"]
    assert (
        0 <= kept_classes["overall"]["value"] <= 1
        and kept_classes["overall"]["n"] == 48
        and kept_classes["sentence"] in notes
    )
    assert any("b, scanner=first → b, scanner=second" in note for note in notes)
    rows = read_lines(tmp_path / "run" / "synthetic" / "manifest.jsonl")
    assert all(len(row["source_sha256"]) == 64 for row in rows)
    exported = list((tmp_path / "run" / "dataset").rglob("*.png"))
    assert len(exported) > 72
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "scanner=second" in page and "independent classifier" in page
    judges = (tmp_path / "run" / "judges" / "done").read_text()
    run(None, tmp_path / "run", seed=1, until="generate")  # another seed trains other judges
    assert (tmp_path / "run" / "judges" / "done").read_text() != judges


def test_a_killed_run_goes_on_to_the_same_translations(scans: Path, tmp_path: Path) -> None:
    settings = validated(RunSettings, SECTIONS)
    uninterrupted = run(scans, tmp_path / "whole", settings=settings, until="generate")

    class Stop(Exception):
        pass

    def stop(progress) -> None:
        if progress.step == 4:
            raise Stop

    often = settings.model_copy(update={"train": settings.train.model_copy(update={"checkpoint_every": 1e-9})})
    with pytest.raises(Stop):
        run(scans, tmp_path / "cut", settings=often, until="generate", callbacks=Callbacks(training=stop))
    resumed = run(scans, tmp_path / "cut", settings=often, until="generate")
    images = [np.load(each.path / "synthetic" / "images.npy") for each in (uninterrupted, resumed)]
    np.testing.assert_array_equal(*images)


def test_what_cannot_be_filled_is_refused_before_anything_is_trained(scans: Path, tmp_path: Path) -> None:
    sections = {**SECTIONS, "generate": {**SECTIONS["generate"], "sampling_strategy": {"a/first": 5}}}
    with pytest.raises(SettingsError, match="the empty or rare cells are: b/second"):
        run(scans, tmp_path / "named", settings=validated(RunSettings, sections))
    assert not (tmp_path / "named" / "synthesizer").exists()
    one_column = {**SECTIONS, "train": {**SECTIONS["train"], "condition": ("colour",)}}
    with pytest.raises(DataError, match="no attribute 'colour'"):
        run(scans, tmp_path / "unknown", settings=validated(RunSettings, one_column))
    arms = {"prove": {"arms": ("randaugment", "filled")}, "train": {"recipe": "rpgan", "steps": 2}}
    with pytest.raises(SettingsError, match="use recipe translator"):
        augury.run(scans, tmp_path / "noise", settings=validated(RunSettings, arms))


def test_without_attributes_a_rare_class_is_translated_from_a_common_one(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.arange(150) % 3 // 2
    images = random.normal(90 + 60 * labels[:, None, None], 30, (150, 16, 16)).clip(0, 255).astype(np.uint8)
    np.savez(tmp_path / "two.npz", images=images, label=np.array(["common", "rare"])[labels])
    sections = {name: dict(values) for name, values in SECTIONS.items()}
    del sections["train"]["condition"], sections["generate"]  # the filters that a run has by default
    sections["prove"] = {"arms": ("randaugment", "gan"), "seeds": 2, "steps": 4, "ratios": (0.5,)}
    run_result = run(tmp_path / "two.npz", tmp_path / "run", settings=validated(RunSettings, sections))
    plan = read_json(tmp_path / "run" / "generation.json")["plan"]
    assert [(row["source"], row["target"], row["changes"]) for row in plan] == [("common", "rare", "label")]
    assert run_result.verdict.metric == "balanced accuracy" and not run_result.verdict.cells


def test_translations_of_people_keep_their_identity(tmp_path: Path, monkeypatch) -> None:
    """Each person was scanned by both scanners. The networks that judge it are trained once."""
    monkeypatch.setattr("augury.proof.identity_training.IDENTITY_STEPS", 3)
    random, rows = np.random.default_rng(0), []
    for person in range(30):
        part = ("train", "train", "train", "validation", "test")[person % 5]
        rows += [(person % 2, scanner, person, part) for scanner in (0, 1) for _ in range(6)]
    rows = [row for row in rows if row[3] == "test" or not (row[0] and row[1])]
    labels, scanners, people, parts = (np.array(column) for column in zip(*rows, strict=True))
    faces = random.normal(0, 60, (30, 16, 16))[people]
    images = 110 + 20 * labels[:, None, None] + 30 * scanners[:, None, None] + faces + random.normal(0, 5, faces.shape)
    np.savez(
        tmp_path / "people.npz", images=images.clip(0, 255).astype(np.uint8), label=np.array(["a", "b"])[labels],
        scanner=np.array(["first", "second"])[scanners], split=parts, person=people.astype(str),
    )  # fmt: skip
    sections = {name: values for name, values in SECTIONS.items() if name != "generate"}  # the default filters
    notes: list[str] = []
    callbacks = Callbacks(note=notes.append)
    run(
        tmp_path / "people.npz",
        tmp_path / "run",
        settings=validated(RunSettings, sections),
        until="generate",
        callbacks=callbacks,
    )
    facts = read_json(tmp_path / "run" / "generation.json")
    label, scanner = facts["identity"]
    assert scanner["column"] == "scanner" and scanner["probes"] == 108 and scanner["groups"] == 9
    assert label["auc"] is None and not label["judges"]
    assert any(
        "Filter identity: " in note and label["sentence"] in note and scanner["sentence"] in note for note in notes
    )
    assert list(facts["filters"]) == ["agreement", "attribute_agreement", "changed", "near_copy", "identity"]
    assert scanner["sentence"] in facts["filters"]["identity"]
    manifest = read_lines(tmp_path / "run" / "synthetic" / "manifest.jsonl")
    assert all(0 < row["scores"]["identity"] <= 1 for row in manifest)
    stored = {file.name: file.read_bytes() for file in (tmp_path / "run" / "identity").iterdir()}
    assert set(stored) == {"fold-0.safetensors", "fold-1.safetensors", "done"}

    def train_again(*_: object, **__: object) -> None:
        raise AssertionError("the stored networks were not used")

    monkeypatch.setattr("augury.proof.identity_networks", train_again)
    stricter = {**sections, "generate": {"filters": ("identity>0.5",)}}
    run(None, tmp_path / "run", settings=validated(RunSettings, stricter), until="generate")
    rows = read_lines(tmp_path / "run" / "synthetic" / "manifest.jsonl")
    assert [row["scores"]["identity"] for row in rows] == [row["scores"]["identity"] for row in manifest]
    assert {row["reason"] for row in rows} <= {"", "identity", UNNEEDED}
    assert [row["reason"] == "identity" for row in rows] == [row["scores"]["identity"] < 0.5 for row in rows]
