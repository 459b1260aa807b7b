"""What is read from a folder of shards: plan, manifests and moments, which may be damaged or of others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from augury.errors import RunFolderError, SettingsError
from augury.shards import ShardOptions, generate_shards, merge
from augury.shards.making import read_plan
from augury.shards.manifests import finished, manifest_of
from augury.shards.moments import MOST_FEATURES, pack, unpack
from augury.shards.store import LocalStore, open_store
from tests.helpers.generation_data import tiny

COUNT = 200
"""Three full shards of 64 images, and one of 8."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    tiny().save(folder / "generator")
    generate_shards(folder / "generator", folder / "many", COUNT, ShardOptions(workers=1))
    return folder / "many"


@pytest.fixture
def many(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "many")


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_plan_is_read_as_it_was_written(original: Path) -> None:
    plan = read_plan(open_store(str(original)))
    stored = json.loads((original / "plan.json").read_text())
    assert json.loads(json.dumps(plan.as_dict())) == stored
    assert plan.key == json.loads((original / "shard-000000.json").read_text())["plan"]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"size": 0}, r"size = 0: Input should be greater than or equal to 1"),
        ({"count": 10**18}, r"1,000,000,000,000,000,000 images are more than 10,000,000 shards of 64"),
        ({"count": -5}, r"count = -5"),
        ({"start": 2**63 - 1}, r"indices above"),
        ({"shape": [1, 8]}, r"shape"),
        ({"shape": [3, 9999, 9999]}, r"are more than 268,435,456 bytes"),
        ({"seed": "3"}, r"seed = '3': Input should be a valid integer"),
        ({"seed_": 3}, r"seed_"),
        ({"task": "paint"}, r"task = 'paint'"),
        ({"format": 2}, r"shards of format 2, but this version reads format 1"),
    ],
)
def test_a_damaged_plan_is_refused_with_its_first_wrong_value(many: Path, values: dict[str, Any], rule: str) -> None:
    change(many / "plan.json", **values)
    with pytest.raises(RunFolderError, match=rf"{many}.*{rule}"):
        merge(many)
    assert len(list(many.glob("shard-*.json"))) == 4


@pytest.mark.parametrize("content", [b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_no_plan_is_refused(many: Path, content: bytes) -> None:
    (many / "plan.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"plan\.json: damaged, or written by another version"):
        merge(many)


def test_a_plan_with_another_seed_removes_no_manifest(many: Path) -> None:
    change(many / "plan.json", seed=5)
    with pytest.raises(RunFolderError, match=r"4 of 4 shards are not complete .*shard-000000\.json has plan = "):
        merge(many)
    change(many / "plan.json", seed=0)
    assert merge(many).manifest["images"] == COUNT


def test_more_images_than_a_set_may_have_are_refused_before_anything_is_written(original: Path, tmp_path: Path) -> None:
    for count, start, rule in ((10**18, 0, "10,000,000 shards"), (9, 2**63, "indices above")):
        with pytest.raises(SettingsError, match=rule):
            generate_shards(original.parent / "generator", tmp_path / "out", count, start=start)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"images": 63}, "63 images and 0 rejected ones are not the 64 drawn ones"),
        ({"rejected": {"agreement": 1}}, "64 images and 1 rejected ones are not the 64 drawn ones"),
        ({"classes": {"a": 64, "b": 32}}, "the classes have 96 images, not 64"),
        ({"drawn": 32, "images": 32, "classes": {"a": 32}}, "drawn = 32, but this plan 64"),
        ({"first_index": 0}, "first_index = 0, but this plan 64"),
        ({"classes": [64]}, "classes = "),
        (
            {"files": {"../../x": {"bytes": 1, "sha256": "0" * 64}}},
            r"lists \.\./\.\./x, but this plan shard-000001\.tar",
        ),
        ({"files": {"shard-000001.tar": {"bytes": 1}}}, "sha256"),
    ],
)
def test_a_manifest_that_contradicts_itself_or_the_plan_is_no_finished_shard(
    many: Path, values: dict[str, Any], rule: str
) -> None:
    before = (many / "shard-000001.json").read_bytes()
    change(many / "shard-000001.json", **values)
    store = open_store(str(many))
    plan = read_plan(store)
    with pytest.raises(RunFolderError, match=rule):
        manifest_of((many / "shard-000001.json").read_bytes(), plan, 1)
    assert finished(store, plan, 1) is None
    with pytest.raises(RunFolderError, match=rf"1 of 4 shards .*shard-000001 is damaged: .*{rule}"):
        merge(many)
    (many / "shard-000001.json").write_bytes(before)
    assert merge(many).manifest["images"] == COUNT


@pytest.mark.parametrize("name", ["drawn", "images", "classes", "rejected", "files"])
def test_a_manifest_without_one_of_its_values_is_no_finished_shard(many: Path, name: str) -> None:
    manifest = json.loads((many / "shard-000002.json").read_text())
    del manifest[name]
    (many / "shard-000002.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match=rf"shard-000002\.json: .*{name}: Field required"):
        merge(many)


def test_a_merge_lists_the_folder_once_and_a_restart_never(
    original: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[Path] = []
    real = LocalStore.sizes

    def sizes(self: LocalStore) -> dict[str, int]:
        listings.append(self.folder)
        return real(self)

    monkeypatch.setattr(LocalStore, "sizes", sizes)
    merge(many)
    assert listings == [many]
    generate_shards(original.parent / "generator", many, COUNT, ShardOptions(workers=1))
    assert listings == [many]


def test_a_shard_that_is_finished_during_the_merge_is_not_damaged(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tmp_path / "held"
    held.mkdir()
    for file in many.glob("shard-000003.*"):
        file.rename(held / file.name)
    real = LocalStore.sizes

    def sizes(self: LocalStore) -> dict[str, int]:
        listed = real(self)
        for file in held.iterdir():
            file.rename(many / file.name)
        return listed

    monkeypatch.setattr(LocalStore, "sizes", sizes)
    assert merge(many).manifest["images"] == COUNT


def group(d: int, **changed: np.ndarray) -> bytes:
    values = {"n": np.array([9]), "mean": np.ones(d), "scatter": np.ones(d * (d + 1) // 2)}
    return save({f"00.{name}": value for name, value in (values | changed).items()})


def test_moments_of_another_size_are_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pack(unpack(group(5), "here")) == group(5)
    taken: list[Any] = []
    real: Callable[..., Any] = np.zeros

    def zeros(shape: Any, *words: Any, **options: Any) -> Any:
        taken.append(shape)
        return real(shape, *words, **options)

    monkeypatch.setattr("augury.shards.moments.np.zeros", zeros)
    for content, rule in (
        (group(MOST_FEATURES + 1, scatter=np.ones(1)), "4,097 features, but at most 4,096"),
        (group(4000, scatter=np.ones(7)), "arrays of the shapes"),
        (group(5, mean=np.ones((5, 1))), "arrays of the shapes"),
        (group(5, n=np.array([0])), "a number of images below 1"),
        (group(5, mean=np.ones(5, np.float32)), "another type"),
        (group(5, mean=np.full(5, np.nan)), "not finite"),
        (group(5, mean=np.full(5, -1e300)), "beyond 1e"),
        (b"nonsense", "no moments of features"),
    ):
        with pytest.raises(RunFolderError, match=rule):
            unpack(content, "here")
    assert taken == []
