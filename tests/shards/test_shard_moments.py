"""Scores of merged shards from moments alone, against features that are held in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg, stats
from typer.testing import CliRunner

import augury
from augury import metrics
from augury.cli.commands import app
from augury.errors import AuguryError
from augury.metrics import moments
from augury.randomness import rng
from augury.shards import ShardOptions, generate_shards, merge, stored_moments
from augury.shards.moments import merged_groups, pack, unpack
from tests.helpers.generation_data import tiny

COUNT = 500


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Merged shards with moments, and a file of real images of their size."""
    folder = tmp_path_factory.mktemp("moments")
    tiny().save(folder / "generator")
    generate_shards(folder / "generator", folder / "many", COUNT, ShardOptions(features="pixels", workers=1))
    merge(folder / "many")
    real = np.random.default_rng(0).normal(110, 40, (900, 1, 8, 8)).clip(0, 255).astype(np.uint8)
    np.savez(folder / "real.npz", images=real)
    return folder / "many", folder / "real.npz"


def two_pass(x: np.ndarray, y: np.ndarray) -> float:
    """The Fréchet distance from the covariances of all features, by the square root of a matrix."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(a @ b).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root))


def evaluate(*words: object) -> tuple[int, str]:
    try:
        result = CliRunner().invoke(app, ["evaluate", *map(str, words), "--quiet"], catch_exceptions=False)
    except AuguryError as error:
        return 1, str(error)
    return result.exit_code, result.output


def test_the_distance_from_moments_is_that_of_two_passes_over_all_features(folders: tuple[Path, Path]) -> None:
    many, real = folders
    code, printed = evaluate(many, "--reference", real, "--json")
    (score,) = json.loads(printed)["scores"]
    fake, true = augury.load(many).images[:], np.load(real)["images"]
    expected = two_pass(fake.reshape(len(fake), -1) / 255, true.reshape(len(true), -1) / 255)
    assert code == 0 and score["name"] == "FD-pixels" and score["n"] == COUNT
    assert score["value"] == pytest.approx(expected, rel=1e-6)
    assert score["low"] < score["value"] < score["high"]
    usual = metrics.evaluate(true, fake, ["pixels"], scores=["fd"], baseline=None)["FD-pixels"]
    assert score["value"] == pytest.approx(usual.value, rel=1e-9)
    x, y = (images.reshape(len(images), -1) / 255 for images in (fake, true))
    shard, group = np.arange(COUNT) // 64, rng(0, "frechet", 1).permutation(np.arange(900) % 8)
    left = [two_pass(x[shard != g], y[group != g]) for g in range(8)]
    error = np.sqrt(7 / 8 * np.sum((np.array(left) - np.mean(left)) ** 2))  # the delete-a-group jackknife
    assert score["high"] - score["low"] == pytest.approx(2 * stats.t.ppf(0.975, 7) * error, rel=1e-4)


def test_moments_of_groups_are_those_of_all_their_images(folders: tuple[Path, Path]) -> None:
    plan, groups = stored_moments(folders[0])
    images = augury.load(folders[0]).images[:].reshape(COUNT, -1) / np.float32(255)
    assert plan.shards == len(groups) == 8 and sum(group.n for group in groups) == COUNT
    np.testing.assert_allclose(groups[1].mean, images[64:128].mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(groups[1].covariance, np.cov(images[64:128].astype(np.float64), rowvar=False), atol=1e-9)


def test_packed_moments_are_the_same_and_shards_share_groups() -> None:
    x = np.random.default_rng(1).standard_normal((60, 5))
    parts = [moments(x[i : i + 5]) for i in range(0, 60, 5)]
    groups = merged_groups(enumerate(parts))
    assert [group.n for group in groups] == [10, 10, *[5] * 8]
    for ours, theirs in zip(groups, unpack(pack(groups), "here"), strict=True):
        assert ours.n == theirs.n
        np.testing.assert_array_equal(ours.mean, theirs.mean)
        np.testing.assert_array_equal(np.triu(ours.scatter), np.triu(theirs.scatter))
    np.testing.assert_allclose(groups[0].covariance, np.cov(np.concatenate([x[:5], x[50:55]]), rowvar=False))


def test_what_moments_cannot_answer_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    many, real = folders
    for words, reason in (
        ([many, real, "--reference", real], "FAKE has no effect with --reference"),
        ([many, "--reference", real, "--limit", 9], "--limit has no effect"),
        ([many, "--reference", real, "--baseline", "none"], "--baseline has no effect"),
        ([tmp_path, "--reference", real], "no folder of shards"),
        ([many], f"augury evaluate {many} --reference REAL"),
    ):
        code, error = evaluate(*words)
        assert code == 1 and reason in error
    generator = many.parent / "generator"
    generate_shards(generator, tmp_path / "without", 70, ShardOptions(workers=1))
    assert "were made without moments" in evaluate(tmp_path / "without", "--reference", real)[1]
    generate_shards(generator, tmp_path / "open", 70, ShardOptions(features="pixels", workers=1))
    code, error = evaluate(tmp_path / "open", "--reference", real)
    assert code == 1 and f"augury merge {tmp_path / 'open'}" in error
