"""Moments that are added to finished shards are those that are computed when the shards are made."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from augury.errors import RunFolderError, SettingsError
from augury.shards import ShardOptions, add_moments, adding_moments, generate_shards, merge, stored_moments
from augury.shards.store import LocalStore
from tests.helpers.command_line import call
from tests.helpers.generation_data import tiny

COUNT = 200
"""Three full shards of 64 images, and one of 8."""


@pytest.fixture(scope="module", params=["tar", "parquet"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Merged shards with moments from the beginning, and the same shards without."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("added")
    tiny().save(folder / "generator")
    for name, features in (("whole", "pixels"), ("without", "")):
        options = ShardOptions(seed=3, features=features, workers=1, written=request.param)
        generate_shards(folder / "generator", folder / name / "many", COUNT, options)
    merge(folder / "whole" / "many")
    return folder / "whole" / "many", folder / "without" / "many"


@pytest.fixture
def many(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    return shutil.copytree(folders[1], tmp_path / "many")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "plan.json"}


def described(folder: Path) -> dict[str, object]:
    """The plan without the command, which may have its options in another order."""
    return {name: value for name, value in json.loads((folder / "plan.json").read_text()).items() if name != "command"}


def test_added_moments_give_the_bytes_of_shards_that_were_made_with_them(
    folders: tuple[Path, Path], many: Path
) -> None:
    merge(many)  # as a user has done before the score was wanted
    code, printed = call("merge", many, "--moments", "pixels", "--workers", 1)
    assert code == 0 and "augury evaluate" in printed
    assert contents(many) == contents(folders[0]) and described(many) == described(folders[0])
    times = {path.name: path.stat().st_mtime_ns for path in many.glob("shard-*")}
    assert call("merge", many, "--moments", "pixels", "--workers", 1)[0] == 0
    assert {path.name: path.stat().st_mtime_ns for path in many.glob("shard-*")} == times


@pytest.mark.slow
def test_processes_add_the_same_moments(folders: tuple[Path, Path], many: Path) -> None:
    add_moments(many, "pixels", workers=2)
    merge(many)
    assert contents(many) == contents(folders[0])


def test_an_interrupted_call_is_continued(
    folders: tuple[Path, Path], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_moments(many, "pixels", workers=1, on_progress=stop)
    with pytest.raises(RunFolderError, match="2 of 4 shards have no moments of pixels yet; add them with: ") as refusal:
        merge(many)
    with pytest.raises(RunFolderError, match="not merged yet"):
        stored_moments(many)
    assert len(list(many.glob("shard-*.json"))) == 4
    written: list[str] = []
    real = LocalStore.write

    def write(self: LocalStore, name: str, content: bytes) -> None:
        written.append(name)
        real(self, name, content)

    monkeypatch.setattr(LocalStore, "write", write)
    assert call(*shlex.split(str(refusal.value).rpartition("with: ")[2])[1:], "--workers", 1)[0] == 0
    assert [name for name in written if name.endswith(".json")] == [
        "shard-000002.json",
        "shard-000003.json",
        "manifest.json",
    ]
    assert contents(many) == contents(folders[0])


def test_incomplete_and_damaged_shards_are_named_and_made_again_with_moments(
    folders: tuple[Path, Path], many: Path
) -> None:
    (file,) = (path for path in many.glob("shard-000001.*") if path.suffix != ".json")
    raw = bytearray(file.read_bytes())
    raw[700] ^= 1
    file.write_bytes(raw)  # of the same size
    (many / "shard-000002.json").unlink()
    code, error = call("merge", many, "--moments", "pixels", "--workers", 1)
    assert code == 1 and "2 of 4 shards" in error
    assert "shard-000001 is damaged" in error and "missing: shard-000002" in error
    assert call(*shlex.split(error.rpartition("with: ")[2])[1:], "--workers", 1)[0] == 0
    assert call("merge", many)[0] == 0 and contents(many) == contents(folders[0])


def test_a_shard_with_other_images_than_its_manifest_states_is_refused(
    folders: tuple[Path, Path], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding_moments, "_in_tar", lambda content: iter([b"no image"]))
    monkeypatch.setattr(adding_moments, "_in_parquet", lambda content: iter([]))
    with pytest.raises(
        RunFolderError, match=r"shard-000000.* moments cannot be computed .*(not an image|holds 0 images)"
    ):
        add_moments(many, "pixels", workers=1)


def test_what_cannot_be_added_is_refused(folders: tuple[Path, Path], many: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has moments of pixels / .*, but phash / .* was asked for"):
        add_moments(folders[0], "phash", workers=1)
    for words, rule in (
        (["--moments", "nonsense"], "there are no features 'nonsense'"),
        (["--workers", 2], "--workers has no effect without --moments"),
        (["--device", "cpu"], "--device has no effect without --moments"),
        (["--moments", "pixels", "--engine", "spark"], "choose one of: local, ray"),
    ):
        code, error = call("merge", many, *words)
        assert code == 1 and rule in error
    assert contents(many) == contents(folders[1]) and described(many) == described(folders[1])
    with pytest.raises(RunFolderError, match="no folder of shards"):
        add_moments(tmp_path / "none", "pixels")
