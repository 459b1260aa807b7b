"""Shards with the filters of a run, and shards of translations."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import augury
from augury.networks import build
from augury.pipeline import session
from augury.settings import RunSettings
from augury.shards import ShardOptions, generate_shards, merge
from augury.training import Card, Synthesizer
from augury.validation import validated
from tests.helpers.command_line import call


def samples(folder: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for file in sorted(folder.glob("*.tar")):
        with tarfile.open(file) as archive:
            members |= {member.name: archive.extractfile(member).read() for member in archive}
    return members


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A trained run of dark and bright images, from files that every worker can read."""
    folder = tmp_path_factory.mktemp("filters")
    numbers = np.random.default_rng(0)
    labels = np.arange(120) % 2
    pixels = numbers.normal(np.array([60, 190])[labels][:, None, None], 20, (120, 8, 8)).clip(0, 255)
    np.savez(folder / "data.npz", images=pixels.astype(np.uint8), labels=labels)
    settings = {
        "train": {"recipe": "gan", "steps": 20, "batch": 16, "precision": "fp32"},
        "data": {"near_duplicates": "allow"},
        "device": "cpu",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 30)
        augury.run(folder / "data.npz", folder / "run", settings=validated(RunSettings, settings), until="train")
    return folder / "run"


def test_filters_reject_within_a_shard_and_the_manifests_count_it(run: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    words = ["--count", 128, "--filter", "agreement>0.9", "--filter", "near_duplicate", "--workers", 1]
    for part in ("2/2", "1/2"):
        assert call("generate", run, *words, "--shard", part, "-o", tmp_path / "many")[0] == 0
    manifest = merge(tmp_path / "many").manifest
    assert manifest["drawn"] == 128 and 0 < manifest["images"] < 128
    assert manifest["images"] + sum(manifest["rejected"].values()) == 128
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before  # workers only read the run
    facts = [json.loads(raw) for name, raw in samples(tmp_path / "many").items() if name.endswith(".json")]
    assert len(facts) == manifest["images"] and all(each["provenance"]["scores"]["agreement"] >= 0.9 for each in facts)
    generate_shards(run, tmp_path / "again", 128, ShardOptions(workers=1), filters=("agreement>0.9", "near_duplicate"))
    assert samples(tmp_path / "again") == samples(tmp_path / "many")


def test_only_the_judged_images_of_a_filter_differ_between_runs(run: Path, tmp_path: Path) -> None:
    generate_shards(run, tmp_path / "all", 128, ShardOptions(workers=1))
    generate_shards(run, tmp_path / "some", 128, ShardOptions(workers=1), filters=("agreement>0.9", "near_duplicate"))
    every, some = samples(tmp_path / "all"), samples(tmp_path / "some")
    pictures = {name for name in some if name.endswith(".png")}
    assert pictures < {name for name in every if name.endswith(".png")}
    for name in pictures:
        ours, theirs = (np.asarray(Image.open(io.BytesIO(each[name]))) for each in (some, every))
        np.testing.assert_array_equal(ours, theirs)
    code, error = call("generate", run, "--count", 64, "--filter", "discriminator", "-o", tmp_path / "no")
    assert code == 1 and "cannot be applied to shards" in error


@pytest.fixture(scope="module")
def translator(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("translator") / "translator"
    settings = {"width": 8, "blocks": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, _ = build("translator", settings, (1, 12, 12), (2, 2))
    card = Card(
        "translator", settings, (1, 12, 12), ("man", "woman"), ("age",), (("young", "old"),), "x", "translator", 0, 1, 1, "fp32"
    )  # fmt: skip
    Synthesizer(card, network).save(folder)
    return folder


@pytest.mark.parametrize("labelled", [True, False])
def test_translations_are_sharded_and_each_names_its_source(translator: Path, tmp_path: Path, labelled: bool) -> None:
    model = Synthesizer.load(translator)
    pixels = np.random.default_rng(1).integers(0, 256, (150, 1, 12, 12), dtype=np.uint8)
    labels = {"labels": np.array(["man", "woman"])[np.arange(150) % 2]} if labelled else {}
    np.savez(tmp_path / "photos.npz", images=pixels, **labels)
    words = ["translate", translator, tmp_path / "photos.npz", "--change", "age=old", "--format", "tar", "--workers", 1]
    for part in ("3/3", "1/3", "2/3"):
        assert call(*words, "--shard", part, "-o", tmp_path / "out")[0] == 0
    assert call(*words, "-o", tmp_path / "once")[0] == 0
    merged, once = merge(tmp_path / "out"), merge(tmp_path / "once")
    assert merged.manifest == once.manifest and merged.manifest["images"] == 150
    written = samples(tmp_path / "out")
    for i in (0, 77, 149):
        facts = json.loads(written[f"synthetic-{i:09d}.json"])
        source = facts["provenance"]["source"]
        assert source["source_sha256"] == hashlib.sha256(pixels[i].tobytes()).hexdigest()
        assert facts["age"] == "old" and facts.get("label") == (("man", "woman")[i % 2] if labelled else None)
        expected = model.translate(pixels[[i]], model.changes_of({"age": "old"}), indices=[i])[0, 0]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(written[f"synthetic-{i:09d}.png"]))), expected)
    code, error = call(*words[:-4], "--shard", "1/2", "-o", tmp_path / "no")
    assert code == 1 and "give --format tar too" in error
