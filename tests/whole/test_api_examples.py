"""The Python of every page runs: the blocks of a page from top to bottom, in a folder as the pages describe it."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.networks import build_generator
from augury.training import Card, Synthesizer

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if BLOCK.search(path.read_text(encoding="utf-8"))
    and path.parent.name != "zh"  # the same code: test_chinese_pages.py
)
SHORTER = {
    'budget="10m"': "steps=20",
    'budget="5m"': "steps=2",
    "steps=400": "steps=4",
    "classifier=Calibrated": "settings=augury.RunSettings(prove=QUICK['prove']).prove, classifier=Calibrated",
}
"""Text of the pages -> what the test runs instead, to train for less time."""
QUICK = {
    "train": {"recipe": "dcgan", "steps": 20},
    "generate": {"filters": ()},
    "score": {"features": "pixels"},
    "prove": {"arms": ("balanced", "gan"), "seeds": 2, "steps": 3, "ratios": (0.5,)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that pages name: photos/, a run of them, copies of them, new-scanner/ and the translator runs/faces."""
    root = tmp_path_factory.mktemp("pages")
    data = augury.data.sample()
    for name, code, number in (("cat", 2, 40), ("dog", 4, 30), ("disgust", 6, 12)):
        (root / "photos" / name).mkdir(parents=True)
        for i, image in enumerate(data.images[np.flatnonzero(data.labels == code)[:number]]):
            Image.fromarray(image[0]).save(root / "photos" / name / f"{i}.png")
    shutil.copytree(root / "photos" / "cat", root / "new-scanner")
    np.savez(root / "cmu_faces_64x60.npz", image=np.zeros((3, 60, 64), np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("augury.pipeline.session.CLASSIFIER_STEPS", 5)
        augury.run("photos/", "runs/photos", seed=0, settings=QUICK)
        result = CliRunner().invoke(app, ["augment", "photos/", "--policy", "natural", "-o", "more/"])
        assert result.exit_code == 0, result.output
    attributes = {"young": ("yes", "no"), "gender": ("male", "female")}
    network = {"width": 4, "blocks": 1}
    generator = build_generator("translator", network, (1, 16, 16), (2, 2, 2))
    card = Card(
        "translator", network, (1, 16, 16), ("man", "woman"), tuple(attributes), tuple(attributes.values()), "", "translator",
        seed=0, steps=1, batch=8, precision="fp32",
    )  # fmt: skip
    Synthesizer(card, generator).save(root / "runs" / "faces" / "synthesizer")
    return root


def run_page(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run all blocks of a page in `folder`; returns their variables."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("augury.pipeline.session.CLASSIFIER_STEPS", 5)
    names: dict[str, Any] = {"QUICK": QUICK}
    for number, block in enumerate(BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))):
        for text, shorter in SHORTER.items():
            block = block.replace(text, shorter)
        exec(compile(block, f"{page}, example {number + 1}", "exec"), names)
    return names


def check_api(names: dict[str, Any]) -> None:
    assert names["changed"].shape == (1, 28, 28) and (names["changed"].images != names["train"].images).any()
    assert names["verdict"].outcome == "underpowered" and Path("dataset").is_dir()
    assert names["edited"].shape[:2] == (2, 3) and len(names["inverted"]) == len(names["again"]) == 2
    assert names["run"].settings["train"]["steps"] == 20


def check_arms(names: dict[str, Any]) -> None:
    assert names["network"](torch.zeros(1, 1, 28, 28)).shape == (1, 3)
    assert names["verdict"].test_n == len(names["test"]) > 0


def check_augment(names: dict[str, Any]) -> None:
    assert (names["few"].images == names["changed"].images[[17, 4, 60]]).all()
    assert (np.asarray(names["turned"]) == np.asarray(names["image"].rotate(90))).all()
    written = np.asarray(Image.open(Path("more", names["row"]["file"])))
    assert (names["copy"].images[0, 0] == written).all() and names["row"]["origin"] == "augmented"


def check_guide(names: dict[str, Any]) -> None:
    run, photos = names["run"], names["photos"]
    assert names["train"].counts.sum() == int((run.split == 0).sum()) + int(run.synthetic.accepted.sum())
    assert len(names["test"]) == int((run.split == 2).sum()) and names["more"].images.shape == (50, 1, 28, 28)
    assert (np.bincount(names["labels"]) == photos.counts.max()).all() and len(names["images"]) == len(names["labels"])


def check_readme(names: dict[str, Any]) -> None:
    run = names["run"]
    assert run.verdict.outcome == "underpowered" and run.report.is_file() and run.split.shape == (82,)
    assert repr(run).endswith("82 images, 1×28×28, 3 classes, 9 stages done, underpowered)")
    assert repr(run.verdict).startswith("Verdict(underpowered: ") and "gan against balanced" in repr(run.verdict)
    assert repr(run.synthesizer).startswith("Synthesizer(generator, dcgan, 1×28×28, 3 classes, 20 steps, seed 0, ")
    for value in (run, run.verdict):
        assert html.escape(run.verdict.sentence) in value._repr_html_()
    assert "data:image/png" in run._repr_html_()


def check_translated(names: dict[str, Any]) -> None:
    images = names["images"].images
    (translated,) = (names[name] for name in ("older", "translated") if name in names)
    assert translated.shape == images.shape and (translated != images).any()


def check_faces(names: dict[str, Any]) -> None:
    assert names["faces"]["image"].shape == (3, 40, 40) and Path("heads.npz").is_file()


def check_latent(names: dict[str, Any]) -> None:
    directions, images = names["directions"], names["images"]
    assert [d.name for d in directions.entries] == ["sefa0", "sefa1", "sefa2", "sefa3"] and images.shape[:2] == (2, 5)
    assert (images[:, 2] == names["synthesizer"].sample(["cat", "dog"], seed=1).images).all()
    assert (names["edited"][:, 0] == names["inverted"].images).all() and (
        names["edited"][:, 4] != names["edited"][:, 0]
    ).any()
    assert Path("runs/photos/directions/directions.json").is_file()


CHECKS = {
    "README.md": check_readme,
    "docs/api.md": check_api,
    "docs/arms.md": check_arms,
    "docs/augment.md": check_augment,
    "docs/faces.md": check_faces,
    "docs/generation.md": check_translated,
    "docs/guide.md": check_guide,
    "docs/holes.md": check_translated,
    "docs/latent.md": check_latent,
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CHECKS[page](run_page(page, folder, monkeypatch))


def test_every_python_block_is_found_and_every_shorter_text_is_on_a_page() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]
    fences = [line for text in texts for line in text.splitlines() if re.match(r"\s*(```|~~~)\s*py", line)]
    assert len(fences) == sum(len(BLOCK.findall(text)) for text in texts) and len(PAGES) >= 7
    assert all(any(text in block for page in texts for block in BLOCK.findall(page)) for text in SHORTER)
