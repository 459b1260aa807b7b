"""A run leaves a classifier, and `augury predict` uses it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.pipeline import session as sessions
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from tests.helpers.classifier_data import CLASSES, squares

pytestmark = pytest.mark.slow

SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"recipe": "dcgan", "batch": 8, "steps": 4, "precision": "fp32"},
    "generate": {"sampling_strategy": 4, "filters": []},
    "score": {"features": "pixels", "limit": 8},
    "prove": {
        "classifier": "cnn",
        "arms": ["none", "classical", "gan", "discriminator_init"],
        "seeds": 2,
        "steps": 8,
        "ratios": [0.25],
        "batch": 16,
    },
}


@pytest.fixture(scope="module", autouse=True)
def short_classifier() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "CLASSIFIER_STEPS", 3)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return augury.run(squares(120, 0), tmp_path_factory.mktemp("runs") / "squares", settings=SETTINGS)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    new = squares(6, 5)
    for i, (image, label) in enumerate(zip(new.images, new.labels, strict=True)):
        folder = tmp_path / "new" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{i}.png")
    return tmp_path / "new"


def call(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return 1, result.stdout, str(result.exception)
    return result.exit_code, result.stdout, result.stderr


def test_a_run_leaves_the_arm_that_was_best_on_validation(run: Run) -> None:
    verdict, card = run.verdict, run.classifier.card
    means = {name: np.mean(arm["validation"]) for name, arm in verdict.arms.items()}
    assert card.arm["scores"] == pytest.approx(means) and means[card.arm["name"]] == max(means.values())
    assert card.arm["by"] == "validation" and card.outcome == verdict.outcome
    assert card.data["counts"]["train"] == run.metadata["data"]["counts"]["train"]
    assert card.training["steps"] == 8 and card.training["images"] == (run.split == 0).sum()
    test = squares(120, 0).take(np.flatnonzero(run.split == 2))
    assert (run.classifier.predict(test).labels == test.labels).mean() == pytest.approx(card.test["accuracy"][0])


def test_the_page_and_the_console_begin_with_the_gain_and_link_the_classifier(run: Run) -> None:
    page, (_, output, _) = (run / "report.html").read_text(encoding="utf-8"), call("report", run.path)
    sentence = "The best way to train here, by the validation split, is"
    assert output.strip().startswith(sentence) and page.index(sentence) < page.index('class="question"')
    assert 'href="classifier/README.md"' in page and "augury predict squares NEW-IMAGES" in page
    assert f"augury predict {run.path} NEW-IMAGES -o predictions.csv" in output
    printed = json.loads(call("report", run.path, "--json")[1])
    assert printed["classifier"]["arm"] == run.classifier.card.arm["name"]


def test_a_second_call_does_nothing_and_a_lost_classifier_is_made_again_with_the_same_bytes(run: Run) -> None:
    weights = run / "classifier" / "weights.safetensors"
    before = weights.read_bytes()
    stages: list[tuple[str, bool]] = []
    callbacks = Callbacks(begin=lambda stage, cached: stages.append((stage, cached)))
    augury.run(squares(120, 0), run.path, callbacks=callbacks)
    assert ("classifier", True) in stages
    (run / "classifier" / "README.md").unlink()
    stages.clear()
    augury.run(squares(120, 0), run.path, callbacks=callbacks)
    assert [stage for stage, cached in stages if not cached] == ["classifier"], "the page has not changed"
    assert weights.read_bytes() == before


def test_predict_writes_a_table_and_a_summary(run: Run, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    code, output, _ = call("predict", run.path, images, "-o", table, "--quiet")
    rows = list(csv.DictReader(table.open(encoding="utf-8", newline="")))
    expected = augury.classifier(run.path).predict(images)
    assert code == 0 and [row["file"] for row in rows] == list(expected.names) and len(rows) == 6
    assert [row["predicted"] for row in rows] == expected.predicted
    assert [float(row["p_left"]) for row in rows] == pytest.approx(expected.probabilities[:, 0].tolist(), abs=1e-6)
    assert (
        "6 images classified" in output and str(table) in output and "The images name their classes: accuracy" in output
    )


@pytest.mark.parametrize("ending", [".json", ".parquet"])
def test_other_endings_hold_the_same_rows(run: Run, images: Path, tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"table{ending}"
    code, output, _ = call("predict", run.path, images, "-o", table, "--quiet", "--json")
    summary = json.loads(output)
    assert code == 0 and summary["images"] == 6 and summary["table"] == str(table)
    if ending == ".json":
        rows = json.loads(table.read_text(encoding="utf-8"))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(table).to_pylist()
    assert rows == augury.classifier(run.path).predict(images).rows()


def test_several_paths_and_no_table(run: Run, images: Path) -> None:
    two_files = sorted(images.rglob("*.png"))[:2]
    code, output, messages = call("predict", run.path, *two_files)
    assert code == 0 and all(str(path) in output for path in two_files) and "predict" in messages
    code, output, _ = call("predict", run.path, images, two_files[0], "--json", "--quiet")
    names = [row["file"] for row in json.loads(output)["predictions"]]
    assert len(names) == 7 and names[-1] == str(two_files[0]) and names[0].startswith(str(images))


def test_a_table_is_never_overwritten_nor_written_among_the_images(run: Run, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("mine")
    for words, message in (
        ((images, "-o", table), "exists already; replace it with --force"),
        ((images, "-o", images / "t.csv"), "lies where the data are read from"),
        ((images, "-o", tmp_path / "t.xlsx"), "ends in .csv, .json, .parquet"),
        ((tmp_path / "nowhere", "-o", tmp_path / "t.csv"), "there is no such file or folder"),
    ):
        code, _, error = call("predict", run.path, *words, "--quiet")
        assert code == 1 and message in error
    assert table.read_text() == "mine"
    assert (
        call("predict", run.path, images, "-o", table, "--force", "--quiet")[0] == 0 and "p_left" in table.read_text()
    )


def test_corrupt_files_are_listed_and_an_empty_folder_is_an_error(run: Run, images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"no image")
    code, output, _ = call("predict", run.path, images, "--quiet")
    assert (
        code == 0
        and "1 file could not be read and is not in the table" in output
        and "broken.png: is damaged" in output
    )
    (tmp_path / "empty").mkdir()
    code, _, error = call("predict", run.path, tmp_path / "empty", "--quiet")
    assert code == 1 and "holds no image file" in error


def test_where_there_is_no_classifier_the_error_says_how_to_get_one(images: Path, tmp_path: Path) -> None:
    early = augury.run(squares(120, 0), tmp_path / "early", settings=SETTINGS, until="split")
    code, _, error = call("predict", early.path, images, "--quiet")
    assert code == 1 and f"the run writes it after its trial: augury run -o {early.path}" in error
    code, _, error = call("predict", images, images, "--quiet")
    assert code == 1 and "no classifier is stored here; give a run folder" in error


def test_an_estimator_is_not_stored_and_the_reason_is_reported(tmp_path: Path, images: Path) -> None:
    pytest.importorskip("sklearn")
    notes: list[str] = []
    settings = SETTINGS | {"prove": SETTINGS["prove"] | {"classifier": "neighbours", "arms": ["none", "gan"]}}
    run = augury.run(squares(120, 0), tmp_path / "estimator", settings=settings, callbacks=Callbacks(note=notes.append))
    assert any("No classifier is stored: WeightedNeighbours is an estimator of scikit-learn" in note for note in notes)
    code, _, error = call("predict", run.path, images, "--quiet")
    assert code == 1 and "WeightedNeighbours" in error and "prove.classifier=cnn" in error
    assert "The best way to train" not in call("report", run.path)[1]


def test_a_probe_is_stored_with_its_features(tmp_path: Path) -> None:
    settings = SETTINGS | {
        "prove": SETTINGS["prove"] | {"classifier": "linear_probe:pixels", "arms": ["none", "classical", "gan"]}
    }
    probed = augury.run(squares(120, 0), tmp_path / "probe", settings=settings)
    assert probed.classifier.card.blueprint["kind"] == "features" and len(probed.classifier.predict(squares(4, 8))) == 4
