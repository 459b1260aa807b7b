"""How data are read is said alike to every verb, kept in the run's settings, and decides the split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import augury
from augury.cli import console
from augury.cli.commands import app
from augury.cli.reading import DATA, reads
from augury.errors import SettingsError
from augury.pipeline.augmented_copies import copies
from augury.pipeline.inputs import Callbacks, describe_data, images_of
from augury.pipeline.run_folder import Run
from augury.settings import READING, RunSettings

N = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 12, 12), dtype=np.uint8)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.npz"
    parts = np.repeat(["train", "val", "test"], [20, 10, 10])
    np.savez(
        path, image=PIXELS, label=np.arange(N) % 2, person=np.arange(N) // 4, eyes=np.arange(N) // 2 % 2, split=parts
    )
    return path


def call(*words: object) -> dict:
    result = CliRunner().invoke(app, [str(outcome) for outcome in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_reading_setting_is_an_option_of_every_verb_that_reads() -> None:
    assert sorted(setting for setting, _, _ in DATA.values()) == sorted(READING)
    for verb in ("inspect", "split", "augment", "run", "train", "compare", "prove"):
        output = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output
        options = (
            "--size",
            "--fit",
            "--on-bad",
            "--read-as",
            "--column",
            "--attributes",
            "--group",
            "--split",
            "--root",
        )
        assert all(option in output for option in (*options, "--window", "--stretch", "--bins")), verb


def test_options_reach_the_reader(people: Path, tmp_path: Path) -> None:
    assert call("inspect", people, "--json")["groups"] == 10
    output = call("inspect", people, "--group", "none", "--split", "new", "--size", "9x8", "--json")
    assert output["groups"] == 0 and output["splits"] == {} and output["shape"] == [1, 9, 8]
    assert len(output["attributes"]["person"]) == 10
    result = call("augment", people, "-o", tmp_path / "out.npz", "--group", "eyes", "--json")  # npz by its name
    assert len(np.unique(np.load(result["data_set"])["group"])) == 2
    for words, rule in (
        (["--window", "wide"], "--window wide"),
        (["--column", "label"], "write it as name=value"),
        (["--column", "label=a"], "has no columns"),
        (["--stretch", "log"], "stretch = 'log'"),
        (["--read-as", "zip"], "format is 'zip'"),
        (["--root", "."], "knows no root"),
        (["--group", "nobody"], "nothing is called 'nobody'"),
    ):
        with pytest.raises(augury.errors.AuguryError, match=rule):
            CliRunner().invoke(app, ["inspect", str(people), *words], catch_exceptions=False)


def test_options_are_kept_in_the_run_and_decide_the_split(people: Path, tmp_path: Path) -> None:
    settings = RunSettings(device="cpu", data={"split": "new", "near_duplicates": "allow"})
    run = augury.run(people, tmp_path / "r", settings=settings, until="split")
    first, key = np.load(run / "split.npy"), run.key("split")
    assert all(len(set(first[k : k + 4].tolist())) == 1 for k in range(0, N, 4)) and set(first.tolist()) == {0, 1, 2}
    augury.run(None, tmp_path / "r", until="split")
    assert run.key("split") == key and run.settings["data"]["split"] == "new"
    other = settings.model_copy(update={"data": settings.data.model_copy(update={"group": "eyes", "split": "given"})})
    with pytest.raises(augury.errors.DataError, match="a group must stay on one side"):
        augury.run(people, tmp_path / "r", settings=other, until="split")
    ungrouped = settings.model_copy(update={"data": settings.data.model_copy(update={"group": "none"})})
    run = augury.run(people, tmp_path / "r", settings=ungrouped, until="split")
    assert run.key("split") != key and run.metadata["data"]["notes"]["split"].startswith("the parts")


def test_tables_are_read_by_settings(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "scans").mkdir()
    lines = ["scan,diagnosis,case"]
    for i in range(24):
        Image.fromarray(PIXELS[i]).save(tmp_path / "scans" / f"{i}.png")
        lines.append(f"{i}.png,{'ill' if i % 2 else 'well'},{i // 4}")
    (tmp_path / "all.csv").write_text("\n".join(lines))
    words = [
        "--column",
        "image=scan",
        "--column",
        "label=diagnosis",
        "--group",
        "case",
        "--root",
        str(tmp_path / "scans"),
    ]
    output = call("inspect", tmp_path / "all.csv", *words, "--json")
    assert output["counts"] == {"ill": 12, "well": 12} and output["groups"] == 6
    run = Run(tmp_path / "r")
    settings = RunSettings(
        device="cpu",
        data={"columns": {"image": "scan", "label": "diagnosis"}, "group": "case", "root": str(tmp_path / "scans")},
    )
    augury.run(tmp_path / "all.csv", run.path, settings=settings, until="split")
    assert run.settings["data"]["columns"] == {"image": "scan", "label": "diagnosis"}
    assert run.metadata["data"]["notes"]["grouped_by"] == "case"


def test_a_verb_gets_what_was_given_alone() -> None:
    calls: list[dict] = []
    verb = reads(lambda data=None: calls.append(data))
    blank = dict.fromkeys(DATA)
    verb(**blank)
    verb(**{**blank, "window": "40,400", "size": "9x8", "column": ["label=a"], "attributes": "b, c"})
    assert calls == [{}, {"window": (40.0, 400.0), "size": (9, 8), "columns": {"label": "a"}, "attributes": ("b", "c")}]


def test_a_format_that_is_not_written_is_refused_before_anything_is_done(people: Path, tmp_path: Path) -> None:
    settings = RunSettings(device="cpu", export={"format": "zip"})
    with pytest.raises(SettingsError, match="no format 'zip' to write; choose one of: folder, imagefolder"):
        augury.run(people, tmp_path / "r", settings=settings, until="split")
    with pytest.raises(SettingsError, match="no format 'zip'"):
        CliRunner().invoke(app, ["export", str(tmp_path / "r"), "--format", "zip"], catch_exceptions=False)


@pytest.mark.parametrize(
    "options",
    [{"columns": {"label": "y"}}, {"attributes": ("pose",)}, {"root": "."}, {"format": "csv"}, {"class_folder": 2}],
)
def test_settings_that_do_not_apply_to_images_in_memory_are_refused(options: dict[str, Any]) -> None:
    data = augury.data.from_arrays(np.zeros((4, 3, 3), np.uint8), [0, 1, 0, 1])
    with pytest.raises(SettingsError, match="images in memory have no columns, root, format, folders or links"):
        images_of(data, RunSettings(data=options))
    assert images_of(data, RunSettings()) is data


def test_a_run_does_not_record_a_name_for_each_copied_image() -> None:
    data = augury.data.from_arrays(np.zeros((4, 3, 3), np.uint8), [0, 1, 0, 1])
    copied = copies(data, "natural", per_image=2)
    output = describe_data(copied, {"train": copied})["notes"]["copies"]
    assert (
        output == {"policy": "natural", "flips": None, "seed": 0, "data": data.fingerprint}
        and copied.notes["copies"]["of"]
    )


def test_a_run_records_and_reports_skipped_files(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(24):
        (tmp_path / "in" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[i]).save(tmp_path / "in" / "ab"[i % 2] / f"{i}.png")
    (tmp_path / "in" / "c").mkdir()
    (tmp_path / "in" / "c" / "0.HEIC").write_bytes(b"x")
    with pytest.raises(augury.errors.DataError, match=r"this class folder: 'c' \(1 \.heic\)"):
        augury.run(tmp_path / "in", tmp_path / "r", until="split")
    notes: list[str] = []
    run = augury.run(
        tmp_path / "in", tmp_path / "r", until="split", on_bad="skip", callbacks=Callbacks(note=notes.append)
    )
    assert notes[0] == "1 file was skipped: 1 .heic (convert to JPEG or PNG)" and "'c' (1 .heic)" in notes[1]
    assert run.metadata["data"]["warnings"] == notes[:2]
    assert console.skipped(run) == {"skipped": {".heic": 1}, "empty_classes": {"c": "1 .heic"}}
