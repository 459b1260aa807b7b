"""The cards of a whole run: what they repeat is what the run has found, and what is missing is not claimed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.images import LabelledImages
from augury.pipeline import session
from augury.pipeline.run_folder import Run

SETTINGS = {
    "data": {"licence": "CC BY-NC 4.0"},
    "train": {"recipe": "dcgan", "steps": 2, "batch": 8, "overrides": {"width": 8}, "precision": "fp32"},
    "generate": {"filters": (), "sampling_strategy": 12},
    "score": {"features": "pixels", "limit": 16},
    "prove": {
        "seeds": 2,
        "steps": 2,
        "classifier": "cnn",
        "ratios": (0.5,),
        "arms": ("classical", "gan"),
        "near_duplicates": "allow",
    },
    "export": {"sidecar": True},
}


def photos(number: int = 150) -> LabelledImages:
    """Noise of two classes, two to one, the second brighter."""
    labels = (np.arange(number) % 3 // 2).astype(np.int64)
    images = np.random.default_rng(0).normal(90 + 60 * labels[:, None, None, None], 30, (number, 1, 12, 12))
    return LabelledImages(images.clip(0, 255).astype(np.uint8), labels, ("cat", "dog"), fingerprint="photos")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 3)
        folder = tmp_path_factory.mktemp("run")
        augury.run(photos(), folder / "r", settings=SETTINGS, until="train")
        early = (folder / "r" / "synthesizer" / "README.md").read_text(encoding="utf-8")
        assert "## Scores" not in early or "not been scored" in early
        return augury.run(photos(), folder / "r", settings=SETTINGS)


def card(folder: Path) -> tuple[dict[str, object], str]:
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_of_the_generator_repeats_scores_verdict_and_licence(run: Run) -> None:
    fields, body = card(run / "synthesizer")
    assert fields["license"] == "cc-by-nc-4.0" and fields["classes"] == ["cat", "dog"]
    assert run.verdict.sentence in body
    for score in (each for each in run.scores.scores if not each.group):
        assert f"| {score.name} | {score.value:.3g} |" in body
    memorised = body.split("## Memorisation")[1].split("\n## ")[0]
    assert "authenticity-pixels" in memorised and "near-duplicates of one of" in memorised
    assert run.synthesizer.fingerprint in body
    assert "KID-pixels" not in memorised and "KID-pixels" in body


def test_the_card_of_the_data_set_counts_its_manifest(run: Run) -> None:
    fields, body = card(run.dataset)
    rows = [json.loads(line) for line in (run.dataset / "manifest.jsonl").read_text().splitlines()]
    for name in ("cat", "dog"):
        of = [sum(row["class"] == name and row["origin"] == origin for row in rows) for origin in ("real", "synthetic")]
        assert f"| {name} | {of[0]} | {of[1]} |" in body
    assert (
        fields["license"] == "cc-by-nc-4.0" and fields["size_categories"] == ["n<1K"] and "synthetic" in fields["tags"]
    )
    assert run.verdict.sentence in body and "Recipe of the generator: dcgan" in body


def test_the_card_of_the_classifier_has_front_matter_with_its_accuracy(run: Run) -> None:
    fields, _ = card(run / "classifier")
    (index,) = fields["model-index"]
    values = {metric["type"]: metric["value"] for metric in index["results"][0]["metrics"]}
    assert values["balanced_accuracy"] == pytest.approx(run.classifier.card.test["balanced_accuracy"][0], abs=1e-4)
    assert fields["license"] == "cc-by-nc-4.0" and fields["pipeline_tag"] == "image-classification"


def test_generated_files_have_tags_sidecars_and_a_card_that_grows(run: Run, tmp_path: Path) -> None:
    words = ["generate", str(run.path), "-o", str(tmp_path / "out"), "--number", "2", "--sidecar"]
    assert CliRunner().invoke(app, [*words, "--label", "dog"], catch_exceptions=False).exit_code == 0
    fields, body = card(tmp_path / "out")
    assert fields["classes"] == ["dog"] and "| dog | 2 |" in body and fields["license"] == "cc-by-nc-4.0"
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert "| cat | 2 |" in card(tmp_path / "out")[1]
    image = Image.open(tmp_path / "out" / "dog" / "seed0-000001.png")
    facts = json.loads(image.text["augury"])
    assert facts["synthesizer"] == run.synthesizer.fingerprint and facts["recipe"] == "dcgan"
    again = run.synthesizer.sample([facts["class"]], seed=facts["seed"], start=facts["index"])
    np.testing.assert_array_equal(np.asarray(image), again.images[0, 0])
    assert len(list((tmp_path / "out").rglob("*.c2pa.json"))) == 4


def test_a_run_on_an_exported_data_set_is_cautioned(run: Run, tmp_path: Path) -> None:
    notes: list[str] = []
    augury.run(run.dataset, tmp_path / "again", until="split", callbacks=augury.Callbacks(note=notes.append))
    assert any(note.startswith("Caution: ") and "say that they are synthetic, by Augury" in note for note in notes)
