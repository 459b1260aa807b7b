"""A run of a translator as a user goes it: what is printed before, what it leaves, and `augury translate`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import augury
from augury import proof, session
from augury.images import Attribute, LabelledImages
from augury.opening import Watcher
from augury.runfolder import Run
from augury.settings import RunSettings, validated

SETTINGS = {
    "train": {"recipe": "translator", "steps": 4, "batch": 8, "precision": "fp32", "condition": ["ground"]},
    "score": {"features": "pixels"},
    "prove": {"steps": 3, "near_duplicates": "allow"},
    "data": {"near_duplicates": "allow"},
    "device": "cpu",
}


def bars(counts: tuple[int, int, int, int] = (40, 40, 40, 5)) -> LabelledImages:
    """Lying or standing bars on dark or bright ground, 12 px; few stand on bright ground."""
    labels, grounds = np.repeat([0, 0, 1, 1], counts), np.repeat([0, 1, 0, 1], counts)
    numbers = np.random.default_rng(0)
    images = numbers.normal(np.array([50, 140])[grounds][:, None, None], 15, (len(labels), 12, 12))
    for image, label, place in zip(images, labels, numbers.integers(0, 12, len(labels)), strict=True):
        image[(slice(None), place) if label else (place,)] += 70
    ground = Attribute(grounds.astype(np.int64), ("dark", "bright"))
    pixels = np.clip(images, 0, 255).astype(np.uint8)[:, None]
    return LabelledImages(
        pixels, labels.astype(np.int64), ("lying", "standing"), {"ground": ground}, fingerprint="bars"
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Run, list[str]]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "LESSON", 5)
        patch.setitem(proof.column_classifiers.__globals__, "STEPS", 5)
        folder = tmp_path_factory.mktemp("translator") / "run"
        settings = validated(RunSettings, SETTINGS)
        for until in ("generate", "score"):
            run = augury.run(bars(), folder, settings=settings, until=until, watch=Watcher(note=said.append))
    return run, said


def test_the_table_and_the_plan_are_told_before_training(made) -> None:
    _, said = made
    at = said.index("Train images of each cell (* empty or rare: fewer than 20):")
    assert said[at + 1].split() == ["ground=dark", "ground=bright"] and said[at + 3].endswith("*")
    assert said[at + 4] == "Cells to fill, and from which:"
    assert any(line.startswith("  standing, ground=dark → standing, ground=bright: ") for line in said[at + 5 :])
    assert said.count(said[at]) == 1  # not again where the training is done


def test_the_plan_is_stored_with_what_became_of_it(made) -> None:
    run, _ = made
    plan = json.loads((run / "generation.json").read_text())["plan"]
    rows = (run / "synthetic" / "manifest.jsonl").read_text().splitlines()
    assert sum(row["translated"] for row in plan) == len(rows)
    assert sum(row["kept"] for row in plan) == sum(json.loads(row)["kept"] for row in rows)
    for row in plan:
        assert row["translated"] == row["kept"] + sum(row["rejected"].values())


def test_a_translator_has_no_scores_of_memorisation_and_its_sources_are_no_copies(made) -> None:
    run, _ = made
    card = json.loads((run / "scores.json").read_text())
    names = {row["name"] for row in card["scores"]}
    assert "KID-pixels" in names and "GAN-train" in names
    assert not {name for name in names if name.startswith(("C_T", "authenticity", "duplicates", "membership"))}
    assert "a translation resembles its source by design" in " ".join(card["notes"]).replace("  ", " ")
    # four steps leave the translator near the identity, so that every image nearly is its source
    assert {row["features"].split("@")[0]: row["copies"] for row in card["copies"]["looked"]}["pixels"] == 0
