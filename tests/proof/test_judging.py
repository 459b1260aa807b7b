"""A judge for images of any making: files in, verdict, page and badge out."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.data import from_arrays, load, split
from augury.errors import DataError, RunFolderError, SettingsError
from augury.images import SPLITS, LabelledImages
from augury.pipeline import external_trial
from augury.pipeline.external_trial import judge, matched
from augury.pipeline.inputs import Callbacks
from augury.sentences import UNLOOKED
from augury.settings import ProveSettings, RunSettings, ScoreSettings
from augury.verdict import Verdict
from tests.helpers.proof_data import both, part

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
    result = CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False)
    output = json.loads(result.stdout)
    assert Verdict.from_dict(output["verdict"]).as_dict() == json.loads((tmp_path / "out" / "verdict.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "real with made.npz" in page and 'id="training"' not in page and "augury prove" in page
    assert ET.parse(tmp_path / "out" / "badge.svg").getroot().tag.endswith("svg")
    assert output["badge"].startswith("![synthetic images: underpowered]")
    before = (tmp_path / "out" / "trial.json").read_bytes()
    repeated = CliRunner().invoke(app, call, catch_exceptions=False)
    assert "UNDERPOWERED." in repeated.stdout and output["badge"] in repeated.stdout
    assert (tmp_path / "out" / "trial.json").read_bytes() == before  # nothing was trained again


def test_test_images_among_the_synthetic_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="synthetic images are images of the test split, pixel for pixel"):
        judge(REAL, REAL, tmp_path / "same", settings=SETTINGS)
    labels = np.arange(40) % 2
    coarse = np.random.default_rng(0).integers(40, 200, (40, 16, 16)).repeat(2, axis=1).repeat(2, axis=2)
    brighter = from_arrays(np.minimum(coarse * 1.1 + 12, 255).astype(np.uint8), labels)
    with pytest.raises(DataError, match=r"near-duplicates of a test image.*near_duplicates=drop"):
        judge(from_arrays(coarse.astype(np.uint8), labels), brighter, tmp_path / "near", settings=SETTINGS)
    dropping = SETTINGS.model_copy(update={"prove": QUICK.model_copy(update={"near_duplicates": "drop"})})
    verdict = judge(from_arrays(coarse.astype(np.uint8), labels), brighter, tmp_path / "near", settings=dropping)
    held_out = json.loads((tmp_path / "near" / "judged.json").read_text())["data"]["counts"]
    assert verdict.leaks is not None
    assert verdict.leaks["left_out"] == sum(held_out["test"]) + sum(held_out["validation"])  # of both alike


def pictures(n: int, seed: int = 0) -> LabelledImages:
    """Images that are distinguished by their pattern, of two classes in turn, not divided."""
    coarse = np.random.default_rng(seed).integers(40, 200, (n, 16, 16)).repeat(2, axis=1).repeat(2, axis=2)
    return from_arrays(coarse.astype(np.uint8), np.arange(n) % 2)


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("change", ["brighter", "mirrored", "both"])
def test_changed_copies_of_held_out_images_are_found(tmp_path: Path, part: str, change: str) -> None:
    real = pictures(40)
    held_out = real.take(split(real, seed=0) == SPLITS.index(part))
    images = held_out.images
    if change != "brighter":
        images = images[..., ::-1]
    if change != "mirrored":
        images = np.minimum(images * 1.1 + 12, 255)
    synthetic = from_arrays(images.astype(np.uint8).transpose(0, 2, 3, 1), held_out.labels)
    with pytest.raises(DataError, match=rf"synthetic images are (near-duplicates|images) of (a|the) {part}"):
        judge(real, synthetic, tmp_path / "out", settings=SETTINGS)
    dropping = SETTINGS.model_copy(update={"prove": QUICK.model_copy(update={"near_duplicates": "drop"})})
    message = "is left to judge" if change != "mirrored" else "pixel for pixel or mirrored"
    with pytest.raises(DataError, match=message):
        judge(real, synthetic, tmp_path / "out", settings=dropping)


def test_images_held_out_are_named_by_their_files(tmp_path: Path) -> None:
    real = pictures(40)
    held_out = real.take(split(real, seed=0) == 2)
    synthetic = as_folder(
        tmp_path / "made", np.minimum(held_out.images * 1.1 + 12, 255).astype(np.uint8), held_out.labels
    )
    real = replace(real, classes=("lying", "standing"))
    with pytest.raises(DataError, match=r"test image, such as lying/\d+\.png, (lying|standing)/"):
        judge(real, synthetic, tmp_path / "out", settings=SETTINGS)


def test_copies_that_were_not_looked_for_are_reported_in_sentence_and_page(tmp_path: Path) -> None:
    real = pictures(40)
    held_out = real.take(split(real, seed=0) == 2)
    allowing = SETTINGS.model_copy(update={"prove": QUICK.model_copy(update={"near_duplicates": "allow"})})
    verdict = judge(real, held_out, tmp_path / "out", settings=allowing)
    assert verdict.sentence.endswith(UNLOOKED) and verdict.leaks is not None and not verdict.leaks["looked_for"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "not checked for copies of test images" in page and "read for the verdict alone" not in page


def test_a_trial_that_would_show_no_image_is_refused(tmp_path: Path) -> None:
    for ratios in ((), (0.0,)):
        no_images = SETTINGS.model_copy(update={"prove": QUICK.model_copy(update={"ratios": ratios})})
        with pytest.raises(SettingsError, match=r"prove\.ratios has no ratio above 0"):
            judge(REAL, part((4, 4), 8), tmp_path / "out", settings=no_images)


def test_another_trial_in_the_folder_is_set_aside(tmp_path: Path) -> None:
    notes: list[str] = []
    first = judge(REAL, part((4, 4), 8), tmp_path / "out", settings=SETTINGS)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in external_trial.WRITTEN}
    for number, seed in ((1, 9), (2, 10)):
        judge(REAL, part((4, 4), seed), tmp_path / "out", settings=SETTINGS, callbacks=Callbacks(note=notes.append))
        assert sum(f"earlier-{number}" in note for note in notes) == 1
    assert {name: (tmp_path / "out" / "earlier-1" / name).read_bytes() for name in external_trial.WRITTEN} == before
    earlier = judge(REAL, part((4, 4), 8), tmp_path / "out" / "earlier-1", settings=SETTINGS)  # goes on there
    assert earlier.arms == first.arms
    more_seeds = SETTINGS.model_copy(update={"prove": QUICK.model_copy(update={"seeds": 3})})
    judge(REAL, part((4, 4), 10), tmp_path / "out", settings=more_seeds)
    assert not (tmp_path / "out" / "earlier-3").exists()  # the same trial with one seed more


def test_what_was_done_to_synthetic_images_is_reported(tmp_path: Path) -> None:
    notes: list[str] = []
    synthetic = as_folder(tmp_path / "made", *both((4, 4), (8, 8), 8))
    Image.fromarray(np.full((9, 12), 90, np.uint8)).save(synthetic / "lying" / "large.png")
    (synthetic / "lying" / "torn.png").write_bytes(b"no picture")
    skipping = SETTINGS.model_copy(update={"data": SETTINGS.data.model_copy(update={"on_bad": "skip"})})
    real = replace(REAL, classes=("lying", "standing"))
    judge(real, synthetic, tmp_path / "out", settings=skipping, callbacks=Callbacks(note=notes.append))
    assert any("1 synthetic files could not be read" in note and "lying/torn.png" in note for note in notes)
    assert any("1 synthetic images had other sizes (9x12" in note for note in notes)
    assert any("augury split" in note for note in notes)  # REAL has no parts
    page = (tmp_path / "out" / "report.html").read_text()
    assert "How the synthetic images were read" in page and "torn.png" in page


def test_a_table_with_the_columns_of_the_real_one_is_read_by_them(tmp_path: Path) -> None:
    for name, seed, counts in (("real", 0, (20, 20)), ("made", 8, (4, 4))):
        images, labels = both(counts, (8, 8), seed)
        as_folder(tmp_path / name, images, labels)
        rows = [f"{name}/{NAMES[int(c)]}/{i}.png,{NAMES[int(c)]}" for i, c in enumerate(labels)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,diagnosis", *rows]) + "\n")
    settings = SETTINGS.model_copy(
        update={"data": SETTINGS.data.model_copy(update={"columns": {"label": "diagnosis"}})}
    )
    verdict = judge(tmp_path / "real.csv", tmp_path / "made.csv", tmp_path / "out", settings=settings)
    of_folders = judge(tmp_path / "real.csv", tmp_path / "made", tmp_path / "again", settings=settings)
    assert verdict.arms == of_folders.arms


def test_classes_are_matched_by_name_and_colours_brought_together() -> None:
    images, labels = both((3, 2), (8, 8), 1)
    flipped_labels = LabelledImages(images, 1 - labels, ("standing", "lying"))
    np.testing.assert_array_equal(matched(flipped_labels, REAL).labels, labels)
    for names in (("lying", "sitting"), ("Lying", "standing")):
        with pytest.raises(DataError, match=r"1 of 2 classes.*rename or remove.*lying, standing"):
            matched(LabelledImages(images, labels, names), REAL)
    unused = LabelledImages(images, labels, ("lying", "standing", "sitting"))
    np.testing.assert_array_equal(matched(unused, REAL).labels, labels)
    colour = replace(REAL, images=REAL.images.repeat(3, axis=1))
    assert matched(flipped_labels, colour).images.shape == (5, 3, 8, 8)
    grey_in_rgb = LabelledImages(images.repeat(3, axis=1), labels, REAL.classes)
    np.testing.assert_array_equal(matched(grey_in_rgb, REAL).images, images)
    tinted = grey_in_rgb.images.copy()
    tinted[:, 0] //= 2
    with pytest.raises(DataError, match="coloured, but the real ones are grey"):
        matched(LabelledImages(tinted, labels, REAL.classes), REAL)
    with pytest.raises(DataError, match="grey, but the real ones are coloured"):
        matched(flipped_labels, LabelledImages(tinted, labels, REAL.classes))
    with_slash = replace(REAL, classes=("lying/low", "standing"))
    np.testing.assert_array_equal(
        matched(LabelledImages(images, labels, ("lying_low", "standing")), with_slash).labels, labels
    )


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"holds notes.txt.*another with -o"):
        judge(REAL, REAL, tmp_path, settings=SETTINGS)


@pytest.mark.parametrize(("option", "value"), [("--seed", "3"), ("--attributes", "pose"), ("--read-as", "csv")])
def test_options_of_the_judge_are_refused_for_a_run(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{option} needs --with"):
        CliRunner().invoke(app, ["prove", str(tmp_path), option, value], catch_exceptions=False)


@pytest.mark.parametrize("setting", ["train.steps=3", "generate.truncation=1.0", "score.limit=9", "export.format=npz"])
def test_settings_that_no_trial_of_foreign_images_reads_are_refused(tmp_path: Path, setting: str) -> None:
    call = ["prove", str(tmp_path), "--with", str(tmp_path), "-o", str(tmp_path / "out"), "--set", "prove.seeds=2"]
    with pytest.raises(
        SettingsError,
        match=f"--set {setting.split('=')[0]} has no effect with --with SYNTHETIC.*of data and prove apply",
    ):
        CliRunner().invoke(app, [*call, "--set", setting], catch_exceptions=False)
    with pytest.raises(SettingsError, match=f"--set {setting.split('=')[0]} has no effect when images are split"):
        CliRunner().invoke(app, ["split", str(tmp_path), "--set", setting], catch_exceptions=False)
    with pytest.raises(SettingsError, match="there is no such setting"):
        CliRunner().invoke(app, [*call, "--set", "trian.steps=3"], catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_the_command_on_the_page_has_no_setting_that_would_be_refused(tmp_path: Path) -> None:
    real, synthetic = as_folder(tmp_path / "real", REAL.images, REAL.labels), part((4, 4), 8)
    made_files = as_folder(tmp_path / "made", synthetic.images, synthetic.labels)
    judge(real, made_files, tmp_path / "out", settings=SETTINGS.model_copy(update={"score": ScoreSettings(limit=9)}))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "prove.seeds=2" in page and "score.limit" not in page


def test_images_of_other_runs_are_not_for_the_judge(tmp_path: Path) -> None:
    with_others = QUICK.model_copy(update={"others": {"vae": "runs/vae"}})
    with pytest.raises(SettingsError, match="judge other images with another --with"):
        judge(REAL, REAL, tmp_path, settings=RunSettings(prove=with_others))


def test_parts_written_for_a_maker_are_those_of_the_trial(tmp_path: Path) -> None:
    real = as_folder(tmp_path / "real", REAL.images, REAL.labels)
    (tmp_path / "people.csv").write_text(
        "path,standing,person\n"
        + "".join(f"{NAMES[int(c)]}/{i}.png,{NAMES[int(c)]},{i % 10}\n" for i, c in enumerate(REAL.labels))
    )
    words = [str(tmp_path / "people.csv"), "--root", str(real), "--column", "label=standing", "--group", "person"]
    call = ["split", *words, "-o", str(tmp_path / "parts"), "--seed", "5", "--json"]
    output = json.loads(CliRunner().invoke(app, call, catch_exceptions=False).stdout)
    data = load(tmp_path / "people.csv", root=real, columns={"label": "standing"}, group="person")
    codes = split(data, seed=5)
    assert output == {
        "data_set": str(tmp_path / "parts"),
        "skipped": {},
        "empty_classes": {},
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
    synthetic = as_folder(tmp_path / "made", *both((4, 4), (8, 8), 7))
    command_words = [
        "prove",
        str(tmp_path / "people.csv"),
        *words[1:],
        "--with",
        str(synthetic),
        "-o",
        str(tmp_path / "out"),
    ]
    command_words += ["--seed", "5", "--device", "cpu", "--quiet", "--set", 'prove.arms=["classical","gan"]']
    CliRunner().invoke(
        app, [*command_words, "--set", "prove.seeds=2", "--set", "prove.steps=1"], catch_exceptions=False
    )
    counts = json.loads((tmp_path / "out" / "judged.json").read_text())["data"]["counts"]
    assert {part: sum(each) for part, each in counts.items()} == {part: output[part] for part in SPLITS}
    with pytest.raises(RunFolderError, match="lies where the data are read from"):
        CliRunner().invoke(app, ["split", str(real), "-o", str(real / "parts")], catch_exceptions=False)


def test_parts_written_as_arrays_have_the_size_of_their_files(tmp_path: Path) -> None:
    """And are the parts of a run, which reads them at 64 px."""
    coarse_images = np.random.default_rng(0).integers(0, 256, (24, 1, 20, 24), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
    real = as_folder(tmp_path / "real", coarse_images, np.arange(24) % 2)
    call = ["split", str(real), "-o", str(tmp_path / "parts.npz")]
    output = json.loads(CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False).stdout)
    files = {image.tobytes(): i for i, image in enumerate(coarse_images)}
    with np.load(tmp_path / "parts.npz") as written:
        part_of = {
            files[image.tobytes()]: str(part) for image, part in zip(written["images"], written["split"], strict=True)
        }
        assert written["images"].shape == (24, 80, 96) and len(part_of) == 24
    data = load(real)
    assert data.shape == (1, 64, 64)
    expected = dict(zip((int(Path(name).stem) for name in data.names), split(data, seed=0).tolist(), strict=True))
    assert {i: SPLITS.index(part) for i, part in part_of.items()} == expected
    assert [output[name] for name in SPLITS] == [list(part_of.values()).count(name) for name in SPLITS]
    Image.fromarray(coarse_images[0, 0, :40]).save(real / "lying" / "0.png")
    with pytest.raises(
        DataError, match=r"images have 2 sizes, such as .* choose it with --size, as --size 64, or give a folder"
    ):
        CliRunner().invoke(app, [*call, "--force"], catch_exceptions=False)
    CliRunner().invoke(app, [*call, "--force", "--size", "16x12"], catch_exceptions=False)
    assert np.load(tmp_path / "parts.npz")["images"].shape == (24, 16, 12)


def test_a_killed_judgement_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic = part((4, 4), 8)
    verdict = judge(REAL, synthetic, tmp_path / "whole", settings=SETTINGS)
    write = external_trial.write_json

    def killed(path: Path, value: object) -> None:
        if path.name == "verdict.json":
            raise KeyboardInterrupt
        write(path, value)

    monkeypatch.setattr(external_trial, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        judge(REAL, synthetic, tmp_path / "cut", settings=SETTINGS)
    before = (tmp_path / "cut" / "trial.json").read_bytes()
    monkeypatch.setattr(external_trial, "write_json", write)
    assert judge(REAL, synthetic, tmp_path / "cut", settings=SETTINGS) == verdict
    assert (tmp_path / "cut" / "trial.json").read_bytes() == before


def test_images_of_the_rare_class_alone_are_judged_and_those_without_a_class_refused(tmp_path: Path) -> None:
    images, labels = both((6, 0), (8, 8), 7)
    synthetic = as_folder(tmp_path / "made", images, labels)
    output = judge(REAL, synthetic, tmp_path / "out", settings=SETTINGS)
    assert [row["synthetic"] for row in output.per_class] == [6, 0]
    assert "augury prove" not in (tmp_path / "out" / "report.html").read_text()  # images in memory have no command
    with pytest.raises(DataError, match="no labels; put them into one folder per class"):
        judge(REAL, synthetic / "lying", tmp_path / "other", settings=SETTINGS)
