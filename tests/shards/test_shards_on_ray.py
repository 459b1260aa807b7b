"""Shards made by a local Ray: equal bytes, also where a worker is killed half-way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from augury.errors import RunFolderError, SettingsError
from augury.shards import ENGINES, Job, ShardOptions, ShardPlan, generate_shards, merge
from tests.helpers.generation_data import tiny
from tests.helpers.processes import killing_one

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
COUNT = 1000
"""Sixteen shards."""


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """All shards by this process alone; the generator is beside them."""
    folder = tmp_path_factory.mktemp("ray")
    tiny().save(folder / "generator")
    generate_shards(folder / "generator", folder / "whole", COUNT, ShardOptions(features="pixels", workers=1))
    merge(folder / "whole")
    return folder / "whole"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "plan.json"}


def test_a_killed_worker_changes_no_byte(two_workers: None, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "whole"
    with killing_one("ray::make_shard", lambda: len(list(output.glob("shard-*.json"))) >= 2) as killed:
        work = generate_shards(whole.parent / "generator", output, COUNT, ShardOptions(features="pixels", engine="ray"))
    assert killed and [manifest["shard"] for manifest in work.manifests] == list(range(16))
    merge(output)
    assert contents(output) == contents(whole)


def test_an_error_of_a_worker_reaches_the_user(two_workers: None, whole: Path, tmp_path: Path) -> None:
    plan = ShardPlan("generate", "another", "gan", 1, "", (1, 8, 8), ("a", "b"), 64, 64, cells=((0,), (1,)))
    job = Job(plan, str(whole.parent / "generator"), str(tmp_path / "out"))
    with pytest.raises(RunFolderError, match="this generator is another one than that of the shards"):
        ENGINES["ray"](job, [0], None, lambda done, total: None)
    with pytest.raises(SettingsError, match="give at least 1"):
        generate_shards(whole.parent / "generator", tmp_path / "out", 64, ShardOptions(engine="ray", workers=0))
