"""Runs into another domain as they are typed: with and without labels of the target, and what is refused before a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import AuguryError
from augury.pipeline import domains, session

CLASSES = ("lying", "standing")
QUICK = (
    "--steps", 20, "--precision", "fp32", "--device", "cpu", "--set", "train.batch=8", "--set",
    'train.overrides={"width": 8, "blocks": 1}', "--set", "prove.steps=10", "--set", "prove.seeds=2", "--set",
    "prove.arms=none,randaugment,adabn,translated,translated_mean_teacher", "--set", "score.features=classifier", "--set",
    "score.limit=40",
)  # fmt: skip


def bars(number: int, standing: int, pale: bool, seed: int) -> np.ndarray:
    """Bright bars that lie or stand on a dark ground, uint8 [N, 24, 24]; pale: brighter, and of a third of the contrast."""
    random = np.random.default_rng([seed, standing, pale])
    images = random.normal(70, 20, (number, 24, 24))
    for image, place in zip(images, random.integers(1, 20, number), strict=True):
        image[(slice(None), slice(place, place + 3)) if standing else slice(place, place + 3)] += 90
    return (150 + images / 3 if pale else images).clip(0, 255).astype(np.uint8)


def write(folder: Path, images: np.ndarray, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images, first):
        Image.fromarray(image).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("domains") / "labelled"
    for standing, name in enumerate(CLASSES):
        write(folder / name, bars(60, standing, False, 0))
    return folder


def new_scanner(folder: Path, *, labels: bool, each: int = 60) -> Path:
    """The target domain, in class folders or in one."""
    for standing, name in enumerate(CLASSES):
        write(folder / name if labels else folder, bars(each, standing, True, 1), 0 if labels else 1000 * standing)
    return folder


@pytest.fixture(autouse=True, scope="module")
def briefly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "LESSON", 3)
        patch.setattr(domains, "STEPS", 5)
        patch.setattr("augury.proof.column_judges.STEPS", 3)
        yield


def call(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(outcome) for outcome in words])
    error = str(done.exception) if isinstance(done.exception, AuguryError) else done.stderr
    if done.exception is not None and not isinstance(done.exception, AuguryError | SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, error
