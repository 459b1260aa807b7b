"""`augury evaluate` on any two sets: labelled or not, of other sizes and modes, and with every mistake reported in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import linalg
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import AuguryError, DataError, ScoreError, SettingsError, WeightsError
from augury.metrics import ScoreCard, kernel_distance


def blobs(n: int, seed: int, side: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = random.normal(100 + 60 * labels[:, None, None], 25, (n, side, side)).clip(0, 255).astype(np.uint8)
    return images, labels


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    images, labels = blobs(80, 0)
    file = tmp_path_factory.mktemp("real") / "real.npz"
    np.savez(file, images=images, labels=np.array(["dark", "bright"])[labels])
    return file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))


def folder(root: Path, images: np.ndarray, mode: str = "L", names: list[str] | None = None) -> Path:
    for i, image in enumerate(images):
        folder_of_image = root / names[i] if names else root
        folder_of_image.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert(mode).save(folder_of_image / f"{i}.png")
    return root


def output_of(*words: object) -> str:
    result = CliRunner().invoke(app, ["evaluate", *map(str, words), "--quiet"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def card(*words: object) -> dict:
    return json.loads(output_of(*words, "--json"))


def test_a_plain_folder_beside_an_npz_gives_what_the_formulas_give(real: Path, tmp_path: Path) -> None:
    fakes = blobs(50, 1)[0]
    words = (real, folder(tmp_path / "made", fakes), "--features", "pixels", "--baseline", "none", "--scores", "kid,fd")
    scores = ScoreCard.from_dict(card(*words))
    x, y = (images.reshape(len(images), -1) / 255.0 for images in (fakes, blobs(80, 0)[0]))
    assert scores["KID-pixels"].value == pytest.approx(kernel_distance(x, y), rel=1e-4, abs=1e-7)
    assert scores["KID-pixels"].n == 50 and scores["KID-pixels"].baseline is None
    first, second = (np.cov(side, rowvar=False) for side in (x, y))
    root = linalg.sqrtm(first @ second).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert scores["FD-pixels"].value == pytest.approx(expected, rel=1e-3)
    output = output_of(*words, "-o", tmp_path / "card.json")
    assert (
        "KID-pixels" in output
        and "[1] not meaningful" in output
        and "50 images, 12x12 grey" in output
        and " – " in output
    )
    assert ScoreCard.read(tmp_path / "card.json") == scores


def test_classes_are_matched_by_name_and_scored_one_by_one(real: Path, tmp_path: Path) -> None:
    images, labels = blobs(60, 2)
    generated = folder(tmp_path / "made", images, names=[("dark", "bright")[label] for label in labels])
    scores = ScoreCard.from_dict(card(real, generated, "--features", "pixels", "--scores", "kid,spread"))
    assert {s.group for s in scores.scores} == {"", "dark", "bright"}
    swapped = folder(tmp_path / "swapped", images, names=[("bright", "dark")[label] for label in labels])
    wrong = ScoreCard.from_dict(card(real, swapped, "--features", "pixels", "--scores", "kid,spread"))
    assert wrong["KID-pixels"].value == pytest.approx(scores["KID-pixels"].value, abs=0.02)
    assert wrong.of("KID-pixels", "dark").value > scores.of("KID-pixels", "dark").value + 0.1
    assert "by class" in output_of(real, generated, "--features", "pixels")
    other = folder(tmp_path / "other", images, names=[("a", "b")[label] for label in labels])
    unmatched = card(real, other, "--features", "pixels", "--scores", "kid")
    assert "fewer than two class names in common" in unmatched["notes"][0] and len(unmatched["scores"]) == 1


def test_another_size_and_mode_are_brought_together_and_said(real: Path, tmp_path: Path) -> None:
    generated = folder(tmp_path / "made", blobs(40, 3, 24)[0], "RGB")
    scores = card(real, generated, "--features", "pixels", "--scores", "kid")
    assert scores["sets"]["real"]["shape"] == scores["sets"]["synthetic"]["shape"] == [3, 12, 12]
    assert scores["notes"][0].startswith("synthetic: images of 24x24 px are resized to 12x12")
    assert scores["notes"][1].startswith("real: grey is repeated to three channels")
    (score,) = ScoreCard.from_dict(scores).scores
    assert score.preprocessing.startswith("synthetic to 12x12 first (crop); ")
    plain = ScoreCard.from_dict(card(real, folder(tmp_path / "same", blobs(40, 3)[0]), "--scores", "kid", "--features",
                                     "pixels"))  # fmt: skip
    with pytest.raises(ScoreError, match="preprocessing"):
        score.compare(plain["KID-pixels"])
    Image.fromarray(blobs(1, 4, 30)[0][0]).save(generated / "odd.png")
    assert card(real, generated, "--features", "pixels", "--scores", "kid")["sets"]["synthetic"]["shape"] == [3, 12, 12]
    with pytest.raises(SettingsError, match=r"several sizes .*--size"):
        card(generated, generated, "--features", "pixels")
    assert card(generated, generated, "--features", "pixels", "--scores", "kid", "--size", "8x10")["sets"]["real"][
        "shape"
    ] == [
        3,
        8,
        10,
    ]


def test_copies_are_found_among_the_training_images(real: Path, tmp_path: Path) -> None:
    copied = folder(tmp_path / "made", np.concatenate([blobs(80, 0)[0][:20], blobs(20, 5)[0]]))
    unseen = folder(tmp_path / "unseen", blobs(40, 6)[0])
    words = (real, copied, "--features", "pixels,phash", "--train", real, "--held-out", unseen)
    scores = ScoreCard.from_dict(card(*words))
    assert scores["duplicates-pixels"].value == scores["duplicates-phash"].value == 0.5
    assert scores["membership-AUC-pixels"].value > 0.6


def test_limit_and_seed_decide_which_images_are_taken(real: Path, tmp_path: Path) -> None:
    generated = folder(tmp_path / "made", blobs(50, 7)[0])
    words = (real, generated, "--features", "pixels", "--scores", "kid", "--limit", "30")
    first, repeated, other = card(*words), card(*words), card(*words, "--seed", "1")
    assert first == repeated and first["scores"] != other["scores"]
    assert first["sets"]["real"]["images"] == first["sets"]["synthetic"]["images"] == 30


MISTAKES = {
    "no such features": (["--features", "fid"], SettingsError, "no features 'fid'; choose one of"),
    "no such score": (["--features", "pixels", "--scores", "fid"], SettingsError, "no score 'fid'; choose from"),
    "no weights": (["--features", "inception"], SettingsError, "need a weights file"),
    "weights for none": (["--features", "pixels", "--weights", "w.pth"], SettingsError, "take no weights file"),
    "checksum of none": (["--features", "pixels", "--sha256", "ab"], SettingsError, "a checksum needs a weights file"),
    "no classifier": (["--features", "classifier"], SettingsError, "classifier=RUN"),
    "no head": (["--features", "pixels", "--scores", "is"], ScoreError, "needs class probabilities"),
    "no training images": (["--features", "pixels", "--scores", "duplicates"], ScoreError, "needs the training images"),
    "settings": (["--set", "score.limit=9"], SettingsError, "two sets of images have no run"),
    "no such precision": (["--precision", "fp8"], SettingsError, "choose fp32 or bf16"),
    "missing baseline": (["--features", "pixels", "--baseline", "nowhere"], DataError, "no such file or folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_reported_in_words(mistake: str, real: Path, tmp_path: Path) -> None:
    words, kind, rule = MISTAKES[mistake]
    generated = folder(tmp_path / "made", blobs(8, 8)[0])
    with pytest.raises(kind, match=rule):
        output_of(real, generated, *words)


@pytest.mark.parametrize(
    ("images", "rule"),
    [
        (np.zeros((0, 12, 12), np.uint8), "no images"),
        (blobs(1, 0)[0], "at least 4 images a set, but the synthetic set has 1"),
        (np.full((8, 12, 12), np.nan), "NaN"),
    ],
)
def test_sets_that_cannot_be_scored_are_refused(images: np.ndarray, rule: str, real: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "made.npz", images)
    with pytest.raises(AuguryError, match=rule):
        output_of(real, tmp_path / "made.npz", "--features", "pixels")


def test_constant_images_get_numbers(real: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "made.npz", np.full((10, 12, 12), 7, np.uint8))
    scores = ScoreCard.from_dict(card(real, tmp_path / "made.npz", "--features", "pixels"))
    assert scores["Vendi-pixels"].value == pytest.approx(1, abs=1e-6) and scores["precision-pixels"].value == 0


def test_pickled_weights_and_wrong_checksums_are_refused(real: Path, tmp_path: Path) -> None:
    import torch

    generated = folder(tmp_path / "made", blobs(8, 8)[0])
    torch.save({"code": print}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="could run code"):
        output_of(real, generated, "--features", "inception", "--weights", tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"SHA-256 is .*, but should be 6726825d"):
        output_of(real, generated, "--features", str(tmp_path / "w.pth"), "--sha256", "6726825d")


def test_a_run_refuses_what_is_for_two_sets(real: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(SettingsError, match="--baseline is for two sets"):
        output_of(tmp_path / "run", "--baseline", "none")
    with pytest.raises(SettingsError, match="a run folder, combined with another path"):
        output_of(tmp_path / "run", real)


def test_the_options_of_other_commands_about_reading_hold_here_too(real: Path, tmp_path: Path) -> None:
    words = ("--features", "pixels", "--baseline", "none", "--scores", "fd")
    pool, links, table = folder(tmp_path / "pool", blobs(20, 1)[0]), tmp_path / "links", tmp_path / "made.csv"
    links.mkdir()
    for file in pool.iterdir():
        (links / file.name).symlink_to(file)
    table.write_text("path\n" + "\n".join(f"{i}.png" for i in range(20)))
    with pytest.raises(AuguryError, match="links that lead outside"):
        output_of(real, links, *words)
    cards = [card(real, links, *words, "--follow-links", pool), card(real, table, *words, "--root", pool)]
    distances = [result["scores"][0]["value"] for result in (card(real, pool, *words), *cards)]
    assert distances[1:] == pytest.approx([distances[0]] * 2)
    with pytest.raises(SettingsError, match=r"real\.npz: the format 'npz' knows no root; leave it out"):
        output_of(real, pool, *words, "--root", pool)
    with pytest.raises(AuguryError, match="is not UTF-8 text"):
        output_of(real, pool, *words, "--read-as", "csv")
