"""Runs into another domain as they are typed: with and without labels of the target, and what is refused before a training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.errors import AuguryError
from augury.pipeline import domains, session

pytestmark = pytest.mark.slow

CLASSES = ("lying", "standing")
QUICK = (
    "--steps", 20, "--precision", "fp32", "--device", "cpu", "--set", "train.batch=8", "--set",
    'train.overrides={"width": 8, "blocks": 1}', "--set", "prove.steps=10", "--set", "prove.seeds=2", "--set",
    "prove.arms=none,randaugment,adabn,translated,translated_mean_teacher", "--set", "score.features=classifier", "--set",
    "score.limit=40",
)  # fmt: skip


def bars(number: int, standing: int, pale: bool, seed: int) -> np.ndarray:
    """Bright bars that lie or stand on a dark ground, uint8 [N, 24, 24]; pale: brighter, and of a third of the contrast."""
    random = np.random.default_rng([seed, standing, pale])
    images = random.normal(70, 20, (number, 24, 24))
    for image, position in zip(images, random.integers(1, 20, number), strict=True):
        image[(slice(None), slice(position, position + 3)) if standing else slice(position, position + 3)] += 90
    return (150 + images / 3 if pale else images).clip(0, 255).astype(np.uint8)


def write(folder: Path, images: np.ndarray, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images, first):
        Image.fromarray(image).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("domains") / "labelled"
    for standing, name in enumerate(CLASSES):
        write(folder / name, bars(60, standing, False, 0))
    return folder


def new_scanner(folder: Path, *, labels: bool, each: int = 60) -> Path:
    """The target domain, in class folders or in one."""
    for standing, name in enumerate(CLASSES):
        write(folder / name if labels else folder, bars(each, standing, True, 1), 0 if labels else 1000 * standing)
    return folder


@pytest.fixture(autouse=True, scope="module")
def briefly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 3)
        patch.setattr(domains, "STEPS", 5)
        patch.setattr("augury.proof.column_judges.STEPS", 3)
        yield


def call(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(outcome) for outcome in words])
    error = str(result.exception) if isinstance(result.exception, AuguryError) else result.stderr
    if result.exception is not None and not isinstance(result.exception, AuguryError | SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, error


@pytest.fixture(scope="module")
def tested(briefly, labelled: Path, tmp_path_factory) -> tuple[Path, str, str]:
    """A run with labelled target images: its folder, what it said, and what it noted on the way."""
    folder = tmp_path_factory.mktemp("tested")
    other = new_scanner(folder / "other", labels=True)
    code, out, messages = call("run", labelled, "--target", other, "-o", folder / "run", *QUICK)
    assert code == 0, messages
    return folder / "run", out, messages


@pytest.fixture(scope="module")
def untested(briefly, labelled: Path, tmp_path_factory) -> tuple[Path, str, str]:
    """The same of a run whose target images have no labels."""
    folder = tmp_path_factory.mktemp("untested")
    other = new_scanner(folder / "other", labels=False)
    code, out, messages = call("run", labelled, "--target", other, "-o", folder / "run", *QUICK)
    assert code == 0, messages
    return folder / "run", out, messages


def stored(run: Path, name: str) -> dict:
    return json.loads((run / f"{name}.json").read_text(encoding="utf-8"))


def pixels(folder: Path) -> list[bytes]:
    """Of every picture in a folder."""
    return [np.asarray(Image.open(file)).tobytes() for file in folder.rglob("*.png")]


def test_a_run_with_labelled_target_images_ends_with_a_verdict_about_the_target(tested) -> None:
    run, out, _ = tested
    verdict = stored(run, "verdict")
    assert "\n\nUse these synthetic images? " in out and f"{verdict['outcome'].upper()}. " in out
    assert f"report      {run / 'report.html'}" in out
    assert list(verdict["arms"]) == ["none", "randaugment", "adabn", "translated", "translated_mean_teacher"]
    assert verdict["arm"] in ("translated", "translated_mean_teacher") and verdict["test_n"] == 60
    assert verdict["metric"] == "balanced accuracy" and not verdict["cells"] and verdict["ratio"] == 1
    assert stored(run, "target")["images"] == stored(run, "target")["test"] == 60


def test_every_labelled_image_that_does_not_validate_is_translated_once(tested) -> None:
    run, _, messages = tested
    generation = stored(run, "generation")
    assert [(row["source"], row["target"], row["changes"], row["number"]) for row in generation["plan"]] == [
        (f"{name}, domain=source", f"{name}, domain=target", "domain", 51) for name in CLASSES
    ]
    rows = [json.loads(row) for row in (run / "synthetic" / "manifest.jsonl").read_text().splitlines()]
    assert len({row["source_sha256"] for row in rows}) == len(rows) == 102
    pictures = pixels(run / "dataset")
    assert len(pictures) == 102 + sum(row["accepted"] for row in rows)  # and no image of the target among them
    assert not set(pixels(run.parent / "other")) & set(pictures)
    assert "102 labelled images of the source, 60 images of the target without labels" in messages
    assert "test: 60 labelled images of the target" in messages
    assert generation["kept_classes"]["overall"]["n"] == 102 and generation["kept_classes"]["sentence"] in messages
    share = f"estimated {stored(run, 'target')['class_mix'][0]:6.1%}"
    assert f"lying     labelled  50.0%   target, {share}" in messages


def test_translations_are_scored_against_target_images(tested) -> None:
    run, _, _ = tested
    card = stored(run, "scores")
    names = {row["name"] for row in card["scores"]}
    assert any(name.startswith("KID") for name in names) and card["notes"]
    assert not {name for name in names if name.startswith(("C_T", "authenticity", "membership"))}


def test_the_page_shows_sources_translations_and_the_most_similar_target_images(tested) -> None:
    run, _, _ = tested
    page = (run / "report.html").read_text(encoding="utf-8")
    first = page.index("train images of lying, domain=source")
    then = page.index("their translations into lying, domain=target", first)
    last = page.index("for each, the most similar real train image of domain=target", then)
    strips = [page.rfind("<img", 0, at) for at in (first, then, last)]
    assert all('src="data:image/' in page[start : start + 200] for start in strips) and len(set(strips)) == 3
    assert "data.target=" in page  # the command that gives the same again


def test_the_verdict_chooses_the_classifier_for_another_domain(tested) -> None:
    run, out, _ = tested
    card, verdict = stored(run, "classifier/card"), stored(run, "verdict")
    assert card["arm"]["by"] == "verdict" and "it is of the source domain" in card["arm"]["why"]
    assert card["arm"]["name"] == verdict["arm" if verdict["outcome"] == "helps" else "comparator"]
    assert any("slightly optimistic" in remark for remark in card["remarks"])
    assert out.strip().startswith("The best way to train here, by the verdict, is ")
    assert len(augury.classifier(run).predict(run / "dataset")) > 102


def test_a_second_call_repeats_nothing_and_the_folder_alone_suffices(tested, labelled: Path) -> None:
    run, out, _ = tested
    before = {file: file.stat().st_mtime_ns for name in ("verdict.json", "synthesizer/card.json", "report.html",
        "target.npy", "scores.json") for file in [run / name]}  # fmt: skip
    for words in (("run", labelled, "--target", run.parent / "other", "-o", run, *QUICK), ("run", "-o", run)):
        code, second_output, messages = call(*words)
        assert code == 0 and second_output == out
        stages = [line for line in messages.splitlines() if line.split(" (")[0] in ("split", "classify", "train",
            "generate", "score", "prove", "classifier", "export", "report")]  # fmt: skip
        assert len(stages) == 9 and all(line.endswith("(done before)") for line in stages)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    code, output, _ = call("report", run, "--json")
    assert code == 0 and json.loads(output)["verdict"]["outcome"] == stored(run, "verdict")["outcome"]


def test_a_run_without_labels_of_the_target_says_so_and_how_many_translations_keep_their_class(untested) -> None:
    run, out, messages = untested
    assert not (run / "verdict.json").exists() and not (run / "report.html").exists()
    assert (run / "scores.json").exists() and len(list((run / "dataset").rglob("*.png"))) > 102
    kept_classes = stored(run, "generation")["kept_classes"]
    assert out.strip().startswith("NOT TESTED. No target image has a label, so there is no verdict. ")
    assert kept_classes["sentence"] in out and f"data set  {run / 'dataset'}" in out and "report" not in out
    assert (
        f"assigns {kept_classes['overall']['value']:.0%} of the translated images to the class of their source" in out
    )
    assert "there is no verdict" in messages and "120 images of the target without labels" in messages
    assert messages.index("there is no verdict") < messages.index("\nclassify\n")  # before anything is trained
    assert stored(run, "target")["test"] == 0 and len(np.load(run / "target.npy")) == 120


def test_a_run_without_labels_of_the_target_tells_the_same_as_json_and_is_not_done_again(untested) -> None:
    run, _, _ = untested
    for words in (("run", "-o", run, "--json"), ("report", run, "--json")):
        code, out, messages = call(*words)
        assert code == 0, messages
        kept_classes = stored(run, "generation")["kept_classes"]
        nothing = {"skipped": {}, "empty_classes": {}}
        assert json.loads(out) == {"run": str(run), "verdict": None, "kept_classes": kept_classes, **nothing}
        assert "train\n" not in messages


def test_labels_that_come_later_give_a_verdict_and_one_of_an_earlier_target_is_not_reported_again(
    labelled: Path, tmp_path: Path
) -> None:
    words = ("-o", tmp_path / "run", *QUICK, "--set", "prove.arms=none,translated")
    unlabelled, known = (new_scanner(tmp_path / name, labels=name == "known", each=40) for name in ("bare", "known"))
    for other, begins in ((known, "UNDERPOWERED."), (unlabelled, "NOT TESTED.")):
        code, out, messages = call("run", labelled, "--target", other, *words)
        assert code == 0 and any(line.startswith(begins) for line in out.splitlines()), messages


def error_of(run: Path, *words: object) -> str:
    """What is said of a command that cannot be; nothing may have been trained."""
    code, out, error = call(*words)
    assert code == 1 and not out
    assert not list(run.rglob("*.safetensors")) and not list(run.rglob("target.npy"))
    return error


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--recipe", "dcgan"), "recipe dcgan does not go with a target (--target)"),
        (("--condition", "age"), "condition=age does not go with a target"),
        (("--folds", "2"), "--folds does not go with a target"),
        (("--set", "prove.resample=bootstrap"), "prove.resample=bootstrap does not go with a target"),
        (("--set", "prove.arms=none,gan"), "the translations are of the target; use translated"),
        (("--set", "prove.classifier=linear_probe:pixels"), "use prove.classifier=cnn"),
        (("--set", 'train.overrides={"class_moves": true}'), "class_moves=true does not go with a target"),
        (("--sampling-strategy", '{"sitting": 5}'), "names 'sitting', but the classes are: lying, standing"),
    ],
)
def test_settings_that_contradict_a_target_are_refused_before_anything_is_trained(
    words: tuple[str, ...], rule: str, labelled: Path, tmp_path: Path
) -> None:
    other = new_scanner(tmp_path / "other", labels=True)
    call_ = ("run", labelled, "--target", other, "-o", tmp_path / "run", *QUICK, *words)
    assert rule in error_of(tmp_path / "run", *call_)


def test_target_images_that_cannot_be_used_are_refused_before_anything_is_trained(
    labelled: Path, tmp_path: Path
) -> None:
    def error_for(other: Path) -> str:
        return error_of(tmp_path / "run", "run", labelled, "--target", other, "-o", tmp_path / "run", *QUICK)

    assert "120 of 120 target images are labelled images too" in error_for(labelled)
    assert "holds 18 images" in error_for(new_scanner(tmp_path / "few", labels=False, each=9))
    assert "there is no such file" in error_for(tmp_path / "nowhere")
    lacking = new_scanner(tmp_path / "lacking", labels=True, each=90)
    for file in (lacking / "lying").iterdir():
        file.unlink()
    assert "1 of 2 classes have no labelled target image" in error_for(lacking)


def test_a_run_among_its_target_images_is_refused_and_leaves_nothing_there(labelled: Path, tmp_path: Path) -> None:
    other = new_scanner(tmp_path / "other", labels=False)
    for folder in (other / "run", other):
        words = ("run", labelled, "--target", other, "-o", folder, *QUICK)
        assert "lies where the data are read from" in error_of(other, *words)
    assert all(file.suffix == ".png" for file in other.iterdir())


def test_an_arm_that_adapts_needs_a_target(labelled: Path, tmp_path: Path) -> None:
    words = ("run", labelled, "-o", tmp_path / "run", "--steps", 2, "--set", "prove.arms=none,gan,adabn")
    assert "name a folder of them with --target" in error_of(tmp_path / "run", *words)
