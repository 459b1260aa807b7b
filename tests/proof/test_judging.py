"""A judge for images of any making: files in, verdict, page and badge out."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from proof_data import both, part
from typer.testing import CliRunner

from augury import judging
from augury.cli import app
from augury.data import from_arrays, load, split
from augury.errors import DataError, RunFolderError, SettingsError
from augury.images import SPLITS, LabelledImages
from augury.judging import judge, matched
from augury.settings import ProveSettings, RunSettings, ScoreSettings
from augury.verdict import Verdict

QUICK = ProveSettings(arms=("classical", "gan"), seeds=2, steps=1, batch=4, ratios=(1.0,), near_duplicates="refuse")
SETTINGS = RunSettings(device="cpu", prove=QUICK)
REAL = part((20, 20), 0)
NAMES = {0: "lying", 1: "standing"}


def as_folder(root: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = root / NAMES[int(label)] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(file)
    return root


def test_files_in_verdict_page_and_badge_out(tmp_path: Path) -> None:
    real = as_folder(tmp_path / "real", REAL.images, REAL.labels)
    images, labels = both((6, 6), (8, 8), 7)
    larger = images.repeat(2, axis=2).repeat(2, axis=3)  # a vendor's images of another size, in another format
    np.savez(tmp_path / "made.npz", images=larger, labels=labels, classes=np.array(["lying", "standing"]))
    call = ["prove", str(real), "--with", str(tmp_path / "made.npz"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    call += ["--quiet", "--set", 'prove.arms=["classical","gan"]', "--set", "prove.seeds=2", "--set", "prove.steps=1"]
    done = CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    assert Verdict.from_dict(told["verdict"]).as_dict() == json.loads((tmp_path / "out" / "verdict.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "real with made.npz" in page and 'id="training"' not in page and "augury prove" in page
    assert ET.parse(tmp_path / "out" / "badge.svg").getroot().tag.endswith("svg")
    assert told["badge"].startswith("![synthetic images: underpowered]")
    before = (tmp_path / "out" / "trial.json").read_bytes()
    again = CliRunner().invoke(app, call, catch_exceptions=False)
    assert "UNDERPOWERED." in again.stdout and told["badge"] in again.stdout
    assert (tmp_path / "out" / "trial.json").read_bytes() == before  # nothing was trained again


def test_test_images_among_the_synthetic_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="synthetic images are images of the test part, pixel for pixel"):
        judge(REAL, REAL, tmp_path / "same", settings=SETTINGS)
    labels = np.arange(40) % 2
    coarse = np.random.default_rng(0).integers(40, 200, (40, 16, 16)).repeat(2, axis=1).repeat(2, axis=2)
    brighter = from_arrays(np.minimum(coarse * 1.1 + 12, 255).astype(np.uint8), labels)
    with pytest.raises(DataError, match=r"near-duplicates of a test image.*near_duplicates=drop"):
        judge(from_arrays(coarse.astype(np.uint8), labels), brighter, tmp_path / "near", settings=SETTINGS)
    dropping = SETTINGS.model_copy(update={"prove": QUICK.model_copy(update={"near_duplicates": "drop"})})
    verdict = judge(from_arrays(coarse.astype(np.uint8), labels), brighter, tmp_path / "near", settings=dropping)
    assert verdict.leaks is not None and verdict.leaks["left_out"] == verdict.test_n


def test_classes_are_matched_by_name_and_colours_brought_together() -> None:
    images, labels = both((3, 2), (8, 8), 1)
    turned = LabelledImages(images, 1 - labels, ("standing", "lying"))
    np.testing.assert_array_equal(matched(turned, REAL).labels, labels)
    for names in (("lying", "sitting"), ("Lying", "standing")):
        with pytest.raises(DataError, match=r"1 of 2 classes.*rename or remove.*lying, standing"):
            matched(LabelledImages(images, labels, names), REAL)
    unused = LabelledImages(images, labels, ("lying", "standing", "sitting"))
    np.testing.assert_array_equal(matched(unused, REAL).labels, labels)
    colour = replace(REAL, images=REAL.images.repeat(3, axis=1))
    assert matched(turned, colour).images.shape == (5, 3, 8, 8)
    grey_in_rgb = LabelledImages(images.repeat(3, axis=1), labels, REAL.classes)
    np.testing.assert_array_equal(matched(grey_in_rgb, REAL).images, images)
    tinted = grey_in_rgb.images.copy()
    tinted[:, 0] //= 2
    with pytest.raises(DataError, match="coloured, but the real ones are grey"):
        matched(LabelledImages(tinted, labels, REAL.classes), REAL)


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"holds notes.txt.*another with -o"):
        judge(REAL, REAL, tmp_path, settings=SETTINGS)


@pytest.mark.parametrize(("option", "given"), [("--seed", "3"), ("--attributes", "pose"), ("--read-as", "csv")])
def test_options_of_the_judge_are_refused_for_a_run(tmp_path: Path, option: str, given: str) -> None:
    with pytest.raises(SettingsError, match=f"{option} goes with --with"):
        CliRunner().invoke(app, ["prove", str(tmp_path), option, given], catch_exceptions=False)


@pytest.mark.parametrize("setting", ["train.steps=3", "generate.truncation=1.0", "score.limit=9", "export.format=npz"])
def test_settings_that_no_trial_of_foreign_images_reads_are_refused(tmp_path: Path, setting: str) -> None:
    call = ["prove", str(tmp_path), "--with", str(tmp_path), "-o", str(tmp_path / "out"), "--set", "prove.seeds=2"]
    with pytest.raises(
        SettingsError, match=f"--set {setting.split('=')[0]} changes nothing here.*of data and prove count"
    ):
        CliRunner().invoke(app, [*call, "--set", setting], catch_exceptions=False)
    with pytest.raises(SettingsError, match="there is no such setting"):
        CliRunner().invoke(app, [*call, "--set", "trian.steps=3"], catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_the_command_on_the_page_has_no_setting_that_would_be_refused(tmp_path: Path) -> None:
    real, made = as_folder(tmp_path / "real", REAL.images, REAL.labels), part((4, 4), 8)
    made_files = as_folder(tmp_path / "made", made.images, made.labels)
    judge(real, made_files, tmp_path / "out", settings=SETTINGS.model_copy(update={"score": ScoreSettings(limit=9)}))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "prove.seeds=2" in page and "score.limit" not in page


def test_images_of_other_runs_are_not_for_the_judge(tmp_path: Path) -> None:
    with_others = QUICK.model_copy(update={"others": {"vae": "runs/vae"}})
    with pytest.raises(SettingsError, match="judge others with another --with"):
        judge(REAL, REAL, tmp_path, settings=RunSettings(prove=with_others))


def test_parts_written_for_a_maker_are_those_of_the_trial(tmp_path: Path) -> None:
    real = as_folder(tmp_path / "real", REAL.images, REAL.labels)
    (tmp_path / "people.csv").write_text(
        "path,standing,person\n"
        + "".join(f"{NAMES[int(c)]}/{i}.png,{NAMES[int(c)]},{i % 10}\n" for i, c in enumerate(REAL.labels))
    )
    words = [str(tmp_path / "people.csv"), "--root", str(real), "--column", "label=standing", "--group", "person"]
    call = ["split", *words, "-o", str(tmp_path / "parts"), "--seed", "5", "--json"]
    told = json.loads(CliRunner().invoke(app, call, catch_exceptions=False).stdout)
    data = load(tmp_path / "people.csv", root=real, columns={"label": "standing"}, group="person")
    codes = split(data, seed=5)
    assert told == {
        "data_set": str(tmp_path / "parts"),
        **{part: int((codes == code).sum()) for code, part in enumerate(SPLITS)},
    }
    back = load(tmp_path / "parts")
    assert back.split is not None and back.groups is not None

    def of(images: np.ndarray, parts: np.ndarray) -> set[tuple[bytes, int]]:
        return {(image.tobytes(), int(code)) for image, code in zip(images, parts, strict=True)}

    assert of(back.images, back.split) == of(data.images, codes)
    rows = (tmp_path / "parts" / "manifest.jsonl").read_text().splitlines()
    for row in map(json.loads, rows):  # the files themselves, not the same file twice
        copy, original = tmp_path / "parts" / row["file"], real / row["source"]
        assert copy.read_bytes() == original.read_bytes() and not copy.samefile(original)
    made = as_folder(tmp_path / "made", *both((4, 4), (8, 8), 7))
    judged = ["prove", str(tmp_path / "people.csv"), *words[1:], "--with", str(made), "-o", str(tmp_path / "out")]
    judged += ["--seed", "5", "--device", "cpu", "--quiet", "--set", 'prove.arms=["classical","gan"]']
    CliRunner().invoke(app, [*judged, "--set", "prove.seeds=2", "--set", "prove.steps=1"], catch_exceptions=False)
    counts = json.loads((tmp_path / "out" / "judged.json").read_text())["data"]["counts"]
    assert {part: sum(each) for part, each in counts.items()} == {part: told[part] for part in SPLITS}
    with pytest.raises(RunFolderError, match="lies where the data are read from"):
        CliRunner().invoke(app, ["split", str(real), "-o", str(real / "parts")], catch_exceptions=False)


def test_parts_written_as_arrays_have_the_size_of_their_files(tmp_path: Path) -> None:
    """And are the parts of a run, which reads them at 64 px."""
    rough = np.random.default_rng(0).integers(0, 256, (24, 1, 20, 24), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
    real = as_folder(tmp_path / "real", rough, np.arange(24) % 2)
    call = ["split", str(real), "-o", str(tmp_path / "parts.npz")]
    told = json.loads(CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False).stdout)
    files = {image.tobytes(): i for i, image in enumerate(rough)}
    with np.load(tmp_path / "parts.npz") as written:
        found = {
            files[image.tobytes()]: str(part) for image, part in zip(written["images"], written["split"], strict=True)
        }
        assert written["images"].shape == (24, 80, 96) and len(found) == 24
    data = load(real)
    assert data.shape == (1, 64, 64)
    expected = dict(zip((int(Path(name).stem) for name in data.names), split(data, seed=0).tolist(), strict=True))
    assert {i: SPLITS.index(part) for i, part in found.items()} == expected
    assert [told[name] for name in SPLITS] == [list(found.values()).count(name) for name in SPLITS]
    Image.fromarray(rough[0, 0, :40]).save(real / "lying" / "0.png")
    with pytest.raises(
        DataError, match=r"images have 2 sizes, such as .* choose it with --size, as --size 64, or name a folder"
    ):
        CliRunner().invoke(app, [*call, "--force"], catch_exceptions=False)
    CliRunner().invoke(app, [*call, "--force", "--size", "16x12"], catch_exceptions=False)
    assert np.load(tmp_path / "parts.npz")["images"].shape == (24, 16, 12)


def test_a_killed_judgement_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = part((4, 4), 8)
    whole = judge(REAL, made, tmp_path / "whole", settings=SETTINGS)
    write = judging.write_json

    def killed(path: Path, value: object) -> None:
        if path.name == "verdict.json":
            raise KeyboardInterrupt
        write(path, value)

    monkeypatch.setattr(judging, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        judge(REAL, made, tmp_path / "cut", settings=SETTINGS)
    before = (tmp_path / "cut" / "trial.json").read_bytes()
    monkeypatch.setattr(judging, "write_json", write)
    assert judge(REAL, made, tmp_path / "cut", settings=SETTINGS) == whole
    assert (tmp_path / "cut" / "trial.json").read_bytes() == before


def test_images_of_the_rare_class_alone_are_judged_and_those_without_a_class_refused(tmp_path: Path) -> None:
    images, labels = both((6, 0), (8, 8), 7)
    made = as_folder(tmp_path / "made", images, labels)
    told = judge(REAL, made, tmp_path / "out", settings=SETTINGS)
    assert [row["synthetic"] for row in told.per_class] == [6, 0]
    assert "augury prove" not in (tmp_path / "out" / "report.html").read_text()  # images in memory have no command
    with pytest.raises(DataError, match="no labels; put them into a folder for each class"):
        judge(REAL, made / "lying", tmp_path / "other", settings=SETTINGS)
