"""Shards of generated images: equal bytes whoever makes them, nothing half written, and a merge that finds what is wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import augury
from augury.errors import RunFolderError, SettingsError
from augury.shards import ShardOptions, Share, generate_shards, making, merge, shard_size
from augury.training import Synthesizer
from tests.helpers.command_line import call, wait_until
from tests.helpers.generation_data import tiny
from tests.helpers.processes import killing_one

COUNT = 300
"""Four full shards of 64 images, and one of 44."""


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "generator"
    tiny().save(folder)
    return folder


@pytest.fixture(scope="module")
def whole(generator: Path) -> Path:
    """All shards, made by one process in order, and merged."""
    output = generator.parent / "whole"
    generate_shards(generator, output, COUNT, ShardOptions(seed=3, features="pixels", workers=1))
    merge(output)
    return output


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, without the plan, whose command names the folder of the generator."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "plan.json"}


def members(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.glob("*.tar")):
        with tarfile.open(file) as archive:
            for member in archive:
                yield member.name, archive.extractfile(member).read()


def test_every_image_is_the_one_that_the_generator_draws_for_its_seed_and_index(generator: Path, whole: Path) -> None:
    synthesizer = Synthesizer.load(generator)
    samples = dict(members(whole))
    names = sorted(name for name in samples if name.endswith(".png"))
    assert len(names) == COUNT and len(samples) == 3 * COUNT
    for index, name in enumerate(names):
        facts = json.loads(samples[name.replace(".png", ".json")])
        assert facts["provenance"]["source"]["index"] == index and facts["label"] == "ab"[index % 2]
        if index % 37 == 0:
            image = synthesizer.sample([facts["label"]], seed=3, start=index).images[0, 0]
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(samples[name]))), image)


def test_the_shards_are_a_data_set_that_load_reads(whole: Path) -> None:
    data = augury.load(whole)
    assert len(data) == COUNT and data.classes == ("a", "b") and data.counts.tolist() == [150, 150]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_in_any_order_give_the_bytes_of_one_process(
    generator: Path, whole: Path, tmp_path: Path, order: tuple[int, ...]
) -> None:
    for part in order:
        words = ["--count", COUNT, "--seed", 3, "--moments", "pixels", "--shard", f"{part}/3", "--workers", 1]
        assert call("generate", generator, *words, "-o", tmp_path / "whole")[0] == 0
    code, printed = call("merge", tmp_path / "whole", "--json")
    assert code == 0 and json.loads(printed)["images"] == COUNT
    assert contents(tmp_path / "whole") == contents(whole)


@pytest.mark.slow
def test_processes_of_one_machine_give_the_bytes_of_one_process(generator: Path, whole: Path, tmp_path: Path) -> None:
    generate_shards(generator, tmp_path / "whole", COUNT, ShardOptions(seed=3, features="pixels", workers=2))
    merge(tmp_path / "whole")
    assert contents(tmp_path / "whole") == contents(whole)


def test_a_finished_shard_is_skipped_and_only_a_changed_one_is_made_again(generator: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    generate_shards(generator, output, COUNT, ShardOptions(workers=1))
    times = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    (output / "shard-000002.tar").write_bytes(b"cut off")
    generate_shards(generator, output, COUNT, ShardOptions(workers=1))
    later = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert {name for name in times if times[name] != later[name]} == {"shard-000002.tar", "shard-000002.json"}


def test_a_killed_process_leaves_no_half_shard_and_the_next_call_completes_the_set(
    generator: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "whole"
    slow = (
        "import time, augury.exports.tar as tar, augury.shards.making as making\n"
        "def write(path, rows):\n"
        "    path.write_bytes(b'half of a shard')\n"
        "    if len(rows) < 64: time.sleep(600)\n"
        "    tar.write_tar(path, rows)\n"
        "making.write_tar = write\n"
        f"from augury.shards import ShardOptions, generate_shards\n"
        f"options = ShardOptions(seed=3, features='pixels', workers=1)\n"
        f"generate_shards({str(generator)!r}, {str(output)!r}, {COUNT}, options)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", slow], stderr=subprocess.PIPE, text=True)
    half = output / "shard-000004.tar"
    wait_until(lambda: any(output.glob(".shard-000004.tar*.part")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not half.exists() and not (output / "shard-000004.json").exists()
    with pytest.raises(RunFolderError, match=r"1 of 5 shards are not complete .missing: shard-000004"):
        merge(output)
    generate_shards(generator, output, COUNT, ShardOptions(seed=3, features="pixels", workers=1))
    merge(output)
    assert contents(output) == contents(whole)  # and no temporary file is left


@pytest.mark.slow
def test_a_killed_worker_is_reported_and_the_next_call_completes_the_set(generator: Path, tmp_path: Path) -> None:
    output, whole = tmp_path / "out" / "many", tmp_path / "whole" / "many"
    count = 2000  # 32 shards
    with (
        killing_one("spawn_main", lambda: any(output.glob("shard-*.json"))) as killed,
        pytest.raises(RunFolderError, match="a worker process was killed"),
    ):
        generate_shards(generator, output, count, ShardOptions(workers=2))
    assert killed and not (output / "shard-000031.json").exists()
    generate_shards(generator, output, count, ShardOptions(workers=1))
    generate_shards(generator, whole, count, ShardOptions(workers=1))
    merge(output)
    merge(whole)
    assert contents(output) == contents(whole)


def test_the_merge_names_damaged_and_missing_shards_and_the_command_that_makes_them(
    generator: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "whole"
    options = ["--count", COUNT, "--seed", 3, "--moments", "pixels"]
    assert call("generate", generator, *options, "--workers", 1, "-o", output)[0] == 0
    raw = bytearray((output / "shard-000001.tar").read_bytes())
    raw[700] ^= 1
    (output / "shard-000001.tar").write_bytes(raw)  # of the same size
    code, error = call("merge", output)
    assert code == 1 and "shard-000001 is damaged: shard-000001.tar has another SHA-256" in error
    again = shlex.split(error.rpartition("with: ")[2])
    assert again[:2] == ["augury", "generate"] and again[again.index("--shard") + 1] == "2/5"
    assert call(*again[1:], "--workers", 1)[0] == 0
    (output / "shard-000000.json").unlink()
    (output / "shard-000003.tar").unlink()
    code, error = call("merge", output)
    assert code == 1 and "2 of 5 shards" in error and "missing: shard-000000" in error and "shard-000003 is" in error
    again = shlex.split(error.rpartition("with: ")[2])
    assert "--shard" not in again and call(*again[1:], "--workers", 1)[0] == 0
    assert call("merge", output)[0] == 0 and contents(output) == contents(whole)


def test_the_merged_manifest_states_counts_and_hashes(whole: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["images"] == manifest["drawn"] == COUNT and manifest["classes"] == {"a": 150, "b": 150}
    for name, facts in manifest["files"].items():
        content = (whole / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    card = (whole / "README.md").read_text()
    assert "| a | 150 |" in card and "Indices 0 to 299 of seed 3" in card and "manifest.jsonl" not in card


def test_the_card_states_the_licence_and_the_command_repeats_it(generator: Path, tmp_path: Path) -> None:
    assert (
        call("generate", generator, "--count", 70, "--licence", "mit", "--workers", 1, "-o", tmp_path / "out")[0] == 0
    )
    (tmp_path / "out" / "shard-000001.json").unlink()
    code, error = call("merge", tmp_path / "out")
    assert code == 1 and call(*shlex.split(error.rpartition("with: ")[2])[1:], "--workers", 1)[0] == 0
    assert call("merge", tmp_path / "out")[0] == 0
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()


def test_parquet_shards_hold_the_same_images(generator: Path, whole: Path, tmp_path: Path) -> None:
    code, _ = call(
        "generate",
        generator,
        "--count",
        COUNT,
        "--seed",
        3,
        "--format",
        "parquet",
        "--workers",
        1,
        "-o",
        tmp_path / "p",
    )
    assert code == 0 and call("merge", tmp_path / "p")[0] == 0
    ours, theirs = augury.load(tmp_path / "p"), augury.load(whole)
    assert ours.classes == theirs.classes and np.array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.images[:], theirs.images[:])


def test_a_folder_of_other_shards_or_files_is_refused(generator: Path, whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    code, error = call("generate", generator, "--count", COUNT, "--seed", 4, "--moments", "pixels", "-o", whole)
    assert code == 1 and "another seed" in error and contents(whole) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, error = call("generate", generator, "--count", COUNT, "-o", tmp_path / "mine")
    assert code == 1 and "holds other files, such as notes.txt" in error
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    code, error = call("merge", tmp_path / "mine")
    assert code == 1 and "no folder of shards" in error


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_share_counts_from_one(text: str) -> None:
    with pytest.raises(SettingsError, match="i from 1 to n"):
        Share.parsed(text)
    assert sorted(n for i in (1, 2, 3) for n in Share.parsed(f"{i}/3").numbers(10)) == list(range(10))


def test_options_of_the_other_way_are_refused(generator: Path, tmp_path: Path) -> None:
    for words, reason in (
        (["--shard", "1/2"], "--shard is for many images"),
        (["--count", 9, "--number", 3], "--number has no effect with --count"),
        (["--count", 9, "--engine", "spark"], "choose one of: local, ray"),
        (["--count", 9, "--format", "zip"], "tar or parquet"),
        (["--count", 9, "--filter", "k_center"], "selects among all images"),
        (["--count", 9, "--filter", "agreement"], "filters need the data and the classifier of a run"),
    ):
        code, error = call("generate", generator, *words, "-o", tmp_path / "out")
        assert code == 1 and reason in error and not (tmp_path / "out").exists()


def test_the_size_of_a_shard_depends_on_the_number_and_size_of_images_alone() -> None:
    assert shard_size(300, (1, 8, 8)) == 64
    assert shard_size(10_000_000, (3, 64, 64)) == 8192
    assert shard_size(10_000_000, (3, 256, 256)) == 1024  # 256 MiB of pixels hold 1365 images
    assert shard_size(1_000_000, (3, 32, 32)) == 1024
    assert all(-(-n // shard_size(n, (1, 28, 28))) <= 1024 for n in (1, 64, 65_537, 5_000_000))


def test_an_address_that_fails_is_explained(generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = pytest.importorskip("fsspec.implementations.memory")

    def refuse(*words: object, **options: object) -> None:
        raise ValueError("the token has expired")

    monkeypatch.setattr(memory.MemoryFileSystem, "put_file", refuse)
    with pytest.raises(RunFolderError, match=r"memory://bucket/new: .* to write \(the token has expired\)"):
        generate_shards(generator, "memory://bucket/new", 9, ShardOptions(workers=1))
    with pytest.raises(RunFolderError, match="nosuchprotocol"):
        generate_shards(generator, "nosuchprotocol://bucket/new", 9, ShardOptions(workers=1))


@pytest.mark.parametrize("full", ["images", "folder"])
def test_a_full_disk_for_temporary_files_is_explained_and_the_next_call_completes_the_set(
    generator: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    fsspec = pytest.importorskip("fsspec")
    temporary, address = tmp_path / "temporary", f"memory://bucket/full-{full}"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    options = ShardOptions(seed=3, features="pixels", workers=1)

    def no_space(*words: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if full == "images":
            patch.setattr(making, "write_tar", no_space)
        else:
            patch.setattr(tempfile, "mkdtemp", no_space)
        with pytest.raises(RunFolderError, match=rf"{temporary}: the disk is full; .*same command again"):
            generate_shards(generator, address, COUNT, options)
    assert not list(temporary.iterdir())
    generate_shards(generator, address, COUNT, options)
    merge(address)
    files = fsspec.filesystem("memory")
    there = {path.rpartition("/")[2]: files.cat_file(path) for path in files.ls(address.split(":/")[1], detail=False)}
    there.pop("plan.json")
    assert {name: there[name] for name in there if name != "README.md"} == {
        name: content for name, content in contents(whole).items() if name != "README.md"
    }


def test_a_bucket_that_does_not_exist_is_explained(generator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = pytest.importorskip("fsspec.implementations.memory")

    def missing(*words: object, **options: object) -> None:
        raise FileNotFoundError("The specified bucket does not exist")

    monkeypatch.setattr(memory.MemoryFileSystem, "put_file", missing)
    with pytest.raises(
        RunFolderError, match=r"memory://nowhere/new: .* to write \(The specified bucket does not exist\)"
    ):
        generate_shards(generator, "memory://nowhere/new", 9, ShardOptions(workers=1))


def test_shards_lie_behind_any_fsspec_address(generator: Path, whole: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    generate_shards(
        generator, "memory://bucket/whole", COUNT, ShardOptions(seed=3, features="pixels", workers=1, share="2/2")
    )
    with pytest.raises(RunFolderError, match=r"3 of 5 shards .*-o memory://bucket/whole"):
        merge("memory://bucket/whole")
    generate_shards(generator, "memory://bucket/whole", COUNT, ShardOptions(seed=3, features="pixels", workers=1))
    merge("memory://bucket/whole")
    files = fsspec.filesystem("memory")
    there = {path.rpartition("/")[2]: files.cat_file(path) for path in files.ls("/bucket/whole", detail=False)}
    there.pop("plan.json")
    assert there == contents(whole)
