"""`augury export` with the original files: linked or copied unchanged, with synthetic images of a stated size beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.errors import SettingsError
from augury.pipeline import session
from augury.pipeline.run_folder import Run

SETTINGS = {
    "train": {"recipe": "dcgan", "steps": 1, "batch": 4, "precision": "fp32", "overrides": {"width": 8}},
    "generate": {"filters": (), "sampling_strategy": 12},
    "data": {"near_duplicates": "allow", "size": 8},
    "device": "cpu",
}


@pytest.fixture(scope="module")
def exported_run(tmp_path_factory) -> tuple[Path, Run]:
    """A folder of photos of several sizes, and a run of them that has drawn images."""
    photos, numbers = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, count in (("cats", 14), ("dogs", 6)):
        (photos / name).mkdir()
        for i in range(count):
            pixels = numbers.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / name / f"{i}.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 2)
        return photos, augury.run(photos, tmp_path_factory.mktemp("runs") / "r", settings=SETTINGS, until="generate")


def export(*words: object) -> None:
    result = CliRunner().invoke(app, ["export", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def rows_in(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("link", ["link", "copy"])
def test_original_files_and_synthetic_images_of_a_stated_size(exported_run, tmp_path: Path, link: str) -> None:
    photos, run = exported_run
    before = run.settings
    export(run.path, "-o", tmp_path / "set", "--originals", link, "--size", "30x20")
    rows = rows_in(tmp_path / "set")
    real = [row for row in rows if row["origin"] == "real"]
    assert len(real) == sum(run.metadata["data"]["counts"]["train"]) < len(rows)
    for row in real:
        written, original = tmp_path / "set" / row["file"], photos / row["source"]
        assert written.read_bytes() == original.read_bytes() and written.samefile(original) == (link == "link")
    sizes = {Image.open(tmp_path / "set" / row["file"]).size for row in rows if row["origin"] == "synthetic"}
    assert sizes == {(20, 30)}
    assert Run(run.path).settings == before  # an export elsewhere changes no setting of the run


def test_without_a_size_synthetic_images_keep_theirs(exported_run, tmp_path: Path) -> None:
    _, run = exported_run
    export(run.path, "-o", tmp_path / "set", "--originals", "link")
    sizes = {Image.open(tmp_path / "set" / row["file"]).size for row in rows_in(tmp_path / "set")}
    assert (8, 8) in sizes and any(height > 8 for _, height in sizes)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-o", "set.npz", "--originals", "copy"], "use originals=none or another format"),
        (["-o", "set", "--size", "30"], "size needs originals=link or copy"),
        (["-o", "set.csv"], "--format csv -o set"),
        (["-o", "set", "--originals", "symlink"], "'none', 'link' or 'copy'"),
    ],
)
def test_what_cannot_be_written_is_refused(
    exported_run, tmp_path: Path, monkeypatch, words: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=reason):
        export(exported_run[1].path, *words)
    assert not list(tmp_path.iterdir())


def test_originals_that_are_no_files_are_refused_before_any_training(exported_run, tmp_path: Path) -> None:
    data = augury.load(exported_run[0], size=8)
    settings = {**SETTINGS, "export": {"originals": "link"}}
    with pytest.raises(SettingsError, match="not every image of images given in memory is a file of its own"):
        augury.run(data, tmp_path / "r", settings=settings)
    assert not (tmp_path / "r" / "split.npy").exists()
