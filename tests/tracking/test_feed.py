"""Trackers get every row of the log once, and never stop a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import augury
from augury import tracking
from augury.errors import MissingExtraError, SettingsError
from augury.files import read_json, read_lines, write_lines
from augury.images import LabelledImages
from augury.pipeline import session as sessions
from augury.pipeline.inputs import Callbacks
from augury.settings import TRACKERS as NAMES
from augury.settings import RunSettings
from augury.tracking import TRACKERS, Feed
from augury.validation import validated
from tests.helpers.command_line import command

ROWS = [
    {
        "step": 10 * i,
        "images": 640 * i,
        "loss_d": 1.0 / i,
        "kid": 0.5 - i / 100,
        "warnings": {"a": "b"},
        "worst_class": "cat",
    }
    for i in range(1, 9)
]


def logged(folder: Path, rows: int) -> Path:
    """A training folder with so many rows, and a picture for every second one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "log.jsonl", ROWS[:rows])
    (folder / "samples").mkdir(exist_ok=True)
    for row in ROWS[1:rows:2]:
        pixels = np.full((6, 9), row["step"], np.uint8)
        Image.fromarray(pixels).save(folder / "samples" / f"step-{row['step']:06d}.png")
    return folder


def fed(folder: Path, *names: str, key: str = "k", note: Any = print) -> Feed:
    feed = Feed(folder, names, "photos", {"train.steps": 80}, key, note)
    feed.close()
    return feed


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_names_and_classes_are_the_same_table() -> None:
    assert tuple(TRACKERS) == NAMES
    assert validated(RunSettings, {"train": {"track": "mlflow, tensorboard,mlflow"}}).train.track == (
        "mlflow",
        "tensorboard",
    )
    assert validated(RunSettings, {"train": {"track": ""}}).train.track == ()
    with pytest.raises(SettingsError, match="there is no tracker 'neptune'; choose among: tensorboard, mlflow, wandb"):
        validated(RunSettings, {"train": {"track": "neptune"}})


def test_a_missing_package_is_named_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augury.tracking.feed.find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"pip install wandb, or all trackers with: pip install 'augury\[track\]'"
    ):
        tracking.check(["wandb"])


def test_tensorboard_has_every_row_once_after_resuming(tmp_path: Path) -> None:
    for rows in (3, 3, 6, 8):  # a resumed training writes the whole log again
        fed(logged(tmp_path / "train", rows), "tensorboard")
    stored = curve(tmp_path / "train" / "tensorboard", "kid")
    assert stored == [(row["step"], pytest.approx(row["kid"])) for row in ROWS]
    events = EventAccumulator(str(tmp_path / "train" / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"images", "loss_d", "kid"}, "numbers only"
    pictures = events.Images("samples")
    assert [(p.step, p.width, p.height) for p in pictures] == [(step, 9, 6) for step in (20, 40, 60, 80)]


def test_rows_that_a_rollback_repeats_are_not_sent_again(tmp_path: Path) -> None:
    feed = Feed(logged(tmp_path, 6), ("tensorboard",), "photos", {}, "k")
    feed.update()
    write_lines(tmp_path / "log.jsonl", ROWS[:4])
    feed.update()
    logged(tmp_path, 8)
    feed.close()
    assert [step for step, _ in curve(tmp_path / "tensorboard", "kid")] == [row["step"] for row in ROWS]


class Broken:
    """A tracker that fails from some row on."""

    sent: list[int]
    fails_at = 30

    def __init__(self, folder: Path, title: str, settings: Any, identity: str) -> None:
        self.identity = identity or "run 1"

    def row(self, step: int, values: Any) -> None:
        if step >= type(self).fails_at:
            raise ConnectionError("the server is away\nfor long")
        type(self).sent.append(step)

    def image(self, step: int, path: Path) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def test_a_failure_is_reported_once_counted_and_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS, "mlflow", Broken)
    monkeypatch.setattr(Broken, "sent", [], raising=False)
    notes: list[str] = []
    feed = Feed(tmp_path / "train", ("mlflow",), "photos", {}, "k", notes.append)
    for rows in range(1, 9):
        logged(tmp_path / "train", rows)
        feed._seen = 0.0
        feed.update()
    assert len(notes) == 1 and "The tracker mlflow failed (the server is away). The training continues" in notes[0]
    state = read_json(tmp_path / "train" / "tracking.json")["sent"]["mlflow"]
    assert state["failures"] == 3 and state["row"] == 20 and Broken.sent == [10, 20]
    monkeypatch.setattr(Broken, "fails_at", 1000)
    fed(tmp_path / "train", "mlflow")
    assert Broken.sent == [row["step"] for row in ROWS]


def test_another_training_in_the_folder_is_a_new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS, "mlflow", Broken)
    monkeypatch.setattr(Broken, "sent", [], raising=False)
    monkeypatch.setattr(Broken, "fails_at", 1000)
    fed(logged(tmp_path, 4), "mlflow", key="first")
    fed(logged(tmp_path, 2), "mlflow", key="second")
    assert Broken.sent == [10, 20, 30, 40, 10, 20]


def test_mlflow_has_every_row_once_with_settings_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for rows in (3, 8):
        feed = fed(logged(tmp_path / "train", rows), "mlflow", note=pytest.fail)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'train' / 'mlflow.db'}")
    run = client.get_run(feed.state["sent"]["mlflow"]["run"])
    assert run.info.run_name == "photos" and run.info.status == "FINISHED" and run.data.params == {"train.steps": "80"}
    history = client.get_metric_history(run.info.run_id, "kid")
    assert [(m.step, m.value) for m in history] == [(row["step"], pytest.approx(row["kid"])) for row in ROWS]
    names = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, "samples")]
    assert names == [f"step-{step:06d}.png" for step in (20, 40, 60, 80)]


def test_wandb_stays_offline_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    feed = fed(logged(tmp_path / "train", 8), "wandb", note=pytest.fail)
    (stored,) = (tmp_path / "train" / "wandb").glob("offline-run-*")
    assert feed.state["sent"]["wandb"]["row"] == 80 and list(stored.glob("*.wandb"))
    pictures = list(stored.rglob("samples*.png"))
    assert len(pictures) == 4


def noise() -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (90, 1, 16, 16), dtype=np.uint8)
    return LabelledImages(images, np.arange(90) % 2, ("a", "b"))


@pytest.mark.slow
def test_a_run_is_tracked_and_its_weights_stay_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)
    settings = {"train": {"recipe": "vae", "steps": 12, "batch": 8, "checkpoint_every": 1e-9}}
    plain = augury.run(noise(), tmp_path / "plain", settings=settings, until="train")
    run = augury.run(noise(), tmp_path / "tracked", settings=settings, until="train", track="tensorboard")
    log = read_lines(run / "train" / "log.jsonl")
    assert curve(run / "train" / "tensorboard", "loss") == [
        (row["step"], pytest.approx(row["loss"], rel=1e-5)) for row in log
    ]
    assert (run / "synthesizer/weights.safetensors").read_bytes() == (
        plain / "synthesizer/weights.safetensors"
    ).read_bytes()
    cached: list[str] = []
    callbacks = Callbacks(begin=lambda stage, done: cached.append(stage) if done else None)
    augury.run(noise(), plain.path, settings=settings, until="train", track="tensorboard", callbacks=callbacks)
    assert cached == ["split", "classify", "train"], "another tracker trains nothing again"
    sent = command("track", str(plain.path), "--to", "tensorboard", "--json")
    assert sent.returncode == 0, sent.stderr
    assert curve(plain / "train" / "tensorboard", "loss") == curve(run / "train" / "tensorboard", "loss")


@pytest.mark.slow
def test_a_broken_tracker_does_not_end_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)
    monkeypatch.setitem(TRACKERS, "tensorboard", Broken)
    monkeypatch.setattr(Broken, "fails_at", 0)
    notes: list[str] = []
    settings = {"train": {"recipe": "vae", "steps": 6, "batch": 8, "track": "tensorboard"}}
    run = augury.run(noise(), tmp_path / "r", settings=settings, until="train", callbacks=Callbacks(note=notes.append))
    assert run.synthesizer.card.steps == 6
    assert sum("The tracker tensorboard failed" in note for note in notes) == 1
