"""What a training keeps and notices: the best state, patience, checkpoints, warnings; and beginning with other weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from augury.errors import RunFolderError, SettingsError
from augury.images import LabelledImages
from augury.settings import TrainSettings
from augury.training import Synthesizer, checkpoints, drop_labels, fingerprint, train, train_plan
from augury.training.adversarial import AdversarialTrainer
from augury.training.checkpoint_manager import CheckpointManager
from augury.training.health import findings
from augury.training.plan import set_up
from augury.training.recipes import recipe
from augury.training.recovery import Recovery
from tests.helpers.training_data import CPU, interrupted, planned, small


def scored(values: list[float]):
    """An assessment that gives these kernel distances one after another, and the generators it was asked about."""
    states: list[bytes] = []

    def assess(synthesizer: Synthesizer) -> dict[str, float]:
        states.append(synthesizer.weights)
        return {"kid": values[len(states) - 1]}

    return assess, states


def test_the_best_generator_is_returned_and_training_ends_when_patience_is_over(tmp_path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=10, patience=0.4)
    assess, assessed = scored([5.0, 3.0, 4.0, 2.0, 4.0, 3.0, 2.5, 2.1, 1.0, 0.5])
    best = train_plan(plan, data, tmp_path, assess=assess)
    assert len(assessed) == 8  # four steps after the best, at step 4, it stopped
    assert best.weights == assessed[3]
    assert best.card.steps == 4
    patient, later_assessed = scored([5.0, 3.0, 4.0, 2.0, 4.0, 3.0, 2.5, 2.1, 1.0, 0.5])
    assert (
        train_plan(planned(data, recipe="dcgan", steps=10, patience=1.0), data, assess=patient).weights
        == later_assessed[-1]
    )


def test_the_latest_within_the_error_of_the_lowest_is_taken() -> None:
    data = small()
    values = iter([5.0, 2.0, 2.4, 2.6, 3.0, 2.9])
    latest = train_plan(
        planned(data, recipe="dcgan", steps=6, patience=1.0),
        data,
        assess=lambda s: {"kid": next(values), "kid_error": 0.5},
    )
    assert latest.card.steps == 3


def test_a_resumed_training_knows_its_best_and_its_patience(tmp_path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=10, patience=0.4)
    values = [5.0, 3.0, 4.0, 2.0, 4.0, 3.0, 2.5, 2.1, 1.0, 0.5]
    uninterrupted = train_plan(plan, data, tmp_path / "whole", assess=scored(values)[0])

    interrupted(plan, data, tmp_path / "cut", 6, scored(values)[0])
    resumed = train_plan(plan, data, tmp_path / "cut", checkpoint_every=1e-9, assess=scored(values[5:])[0])
    assert (resumed.weights, resumed.card.steps) == (uninterrupted.weights, 4)
    rows = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [row["kid"] for row in rows] == values[:8]


def test_two_checkpoints_are_kept_and_the_older_serves_when_the_newer_is_damaged(tmp_path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=6)
    uninterrupted = train_plan(plan, data, tmp_path, checkpoint_every=1e-9)
    files = sorted(tmp_path.glob("checkpoint-*"))
    assert [file.name for file in files] == ["checkpoint-0000005.safetensors", "checkpoint-0000006.safetensors"]
    files[1].write_bytes(files[1].read_bytes()[:100])
    assert train_plan(plan, data, tmp_path, checkpoint_every=1e-9).weights == uninterrupted.weights
    for file in sorted(tmp_path.glob("checkpoint-*")):
        file.write_bytes(b"no checkpoint")
    with pytest.raises(RunFolderError, match="damaged"):
        train_plan(plan, data, tmp_path)


def test_what_was_saved_after_the_state_gone_back_to_is_not_taken_up(tmp_path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=400)
    manager = CheckpointManager(set_up(plan, data)[0], plan, tmp_path, "key")
    manager.resume()
    manager.save(20)
    manager.note(20, {"step": 20})
    for step in (31, 38):  # by the clock, between two rows of the log
        manager.save(step)
    assert not Recovery(manager, lambda text: None).accept(40, {"loss_d": float("nan")})
    resumed_manager = CheckpointManager(set_up(plan, data)[0], plan, tmp_path, "key")
    assert resumed_manager.resume() == 20 and float(resumed_manager.trainer.state.extra["slower"]) == 0.5
    other = CheckpointManager(set_up(plan, data)[0], plan, tmp_path, "of another plan")
    assert other.resume() == 0 and not checkpoints.files(tmp_path)


def test_a_training_with_a_budget_goes_on_in_its_folder(tmp_path, monkeypatch) -> None:
    data, settings = small(), TrainSettings(recipe="dcgan", budget=0.5, batch=8, checkpoint_every=1e-9)
    uninterrupted = train(data, tmp_path, settings=settings, device="cpu")
    trained_steps: list[int] = []
    monkeypatch.setattr(AdversarialTrainer, "train_step", lambda *_: pytest.fail("trained again"))
    assert train(data, tmp_path, settings=settings, device="cpu").weights == uninterrupted.weights
    monkeypatch.undo()
    longer = settings.model_copy(update={"budget": None, "steps": 2})
    other = train(
        data, tmp_path, settings=longer, device="cpu", on_progress=lambda micro: trained_steps.append(micro.step)
    )
    assert other.card.steps == 2 == max(trained_steps) and len(checkpoints.files(tmp_path)) == 2


def test_a_training_resumes_when_its_start_generator_has_moved_or_gone(tmp_path) -> None:
    data = small()
    base = tmp_path / "base"
    train(data, base / "train", settings=TrainSettings(recipe="dcgan", steps=2, batch=8), device="cpu").save(
        base / "synthesizer"
    )
    plan = planned(data, recipe="dcgan", start_from=str(base))
    uninterrupted = train_plan(plan, data, tmp_path / "whole")
    interrupted(plan, data, tmp_path / "cut", 4)
    base_fingerprint = fingerprint(str(base / "synthesizer"))  # without the partner
    assert plan.start is not None and plan.start[1] == fingerprint(str(base)) != base_fingerprint
    base.rename(tmp_path / "moved")
    renamed_plan = replace(plan, start=(str(tmp_path / "moved"), plan.start[1]))
    assert train_plan(renamed_plan, data, tmp_path / "cut").weights == uninterrupted.weights
    shutil.rmtree(tmp_path / "moved")
    assert train_plan(plan, data, tmp_path / "cut").weights == uninterrupted.weights
    with pytest.raises(RunFolderError, match="no synthesizer to start from"):
        train_plan(plan, data, tmp_path / "new")


def rows(**series: list[float]) -> list[dict[str, float]]:
    """Log rows a hundred steps apart."""
    length = len(next(iter(series.values())))
    return [{"step": 400 + 100 * i, **{k: v[i] for k, v in series.items()}} for i in range(length)]


@pytest.mark.parametrize(
    ("name", "series", "well"),
    [
        ("saturated", {"pairwise_accuracy": [0.99, 0.98, 1.0]}, {"pairwise_accuracy": [0.9, 0.99, 0.99]}),
        ("vanished", {"pairwise_accuracy": [0.5, 0.51, 0.49]}, {"pairwise_accuracy": [0.5, 0.5, 0.6]}),
        ("collapsed", {"spread": [0.9, 0.3, 0.2]}, {"spread": [0.3, 0.3, 0.8]}),
        (
            "narrow",
            {"spread": [0.9, 0.9], "worst_spread": [0.2, 0.1], "worst_class": ["rare", "rare"]},
            {"spread": [0.9, 0.9], "worst_spread": [0.2, 0.1], "worst_class": ["rare", "common"]},
        ),
        ("repeated", {"duplicates": [0.0, 0.3, 0.4]}, {"duplicates": [0.3, 0.0, 0.1]}),
        ("copied", {"closeness": [1.1, 1.0, 0.5, 0.4]}, {"closeness": [0.5, 0.5, 0.5, 0.5]}),
    ],
)
def test_a_problem_is_reported_once_with_a_remedy(name: str, series: dict, well: dict) -> None:
    rule = recipe("dcgan")
    reported = findings(rows(**series), rule, 0.5)
    assert list(reported) == [name]
    assert "usual remedies: " in reported[name]
    assert findings(rows(**well), rule, 0.5) == {}
    assert findings(rows(**series), rule, 0.1) == {}
    log_rows = rows(**series)
    log_rows[0]["warnings"] = {name: "…"}
    assert findings(log_rows, rule, 0.5) == {}


def test_a_translator_that_changes_nothing_or_inverts_is_reported() -> None:
    rule = recipe("translator")
    warnings = findings(rows(moved=[0.01, 0.015, 0.019]), rule, 0.4)
    assert list(warnings) == ["unmoved"] and '"cycle": 0.1, "identity": 0.1' in warnings["unmoved"]
    assert findings(rows(moved=[0.01, 0.015, 0.021]), rule, 0.4) == {}
    assert findings(rows(moved=[0.01, 0.015, 0.019]), rule, 0.2) == {}  # it begins at the identity
    warnings = findings(rows(moved=[0.9, 0.85]), rule, 0.06)
    assert list(warnings) == ["inverted"] and "usual remedies: " in warnings["inverted"].lower()
    assert findings(rows(moved=[0.7, 0.85]), rule, 0.06) == {} == findings(rows(moved=[0.9, 0.85]), rule, 0.01)
    assert findings(rows(closeness=[1.1, 1.0, 0.5, 0.4]), rule, 0.5) == {}  # translations resemble their sources


def test_the_class_that_varies_least_is_named() -> None:
    hidden = rows(spread=[0.9, 0.9], worst_spread=[0.2, 0.1], worst_class=["rare", "rare"])
    assert "'rare' are nearly alike: 10% of" in findings(hidden, recipe("dcgan"), 0.5)["narrow"]
    log_rows = rows(spread=[0.3, 0.2], worst_spread=[0.2, 0.1], worst_class=["rare", "rare"])
    assert "lowest for 'rare' (10%)" in findings(log_rows, recipe("dcgan"), 0.5)["collapsed"]


@pytest.mark.parametrize(("spread", "duplicates"), [(0.06, 1.0), (0.9, 0.0)])
def test_the_generator_in_use_is_checked_however_short_the_training(spread, duplicates, tmp_path) -> None:
    data, messages = small(), []

    def assess(synthesizer: Synthesizer) -> dict[str, float]:
        is_better = synthesizer.card.steps == 2  # the generator that is returned; the last one is sound
        return {
            "kid": 0.0 if is_better else 1.0,
            "spread": spread if is_better else 1.0,
            "duplicates": duplicates if is_better else 0.0,
        }

    plan = planned(data, recipe="dcgan", steps=4)
    assert train_plan(plan, data, tmp_path, assess=assess, on_event=messages.append).card.steps == 2
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    used = {row["step"]: list(row["used"]) for row in log if "used" in row}
    if spread > 0.5:
        assert used == {} and messages == []
        return
    assert used == {2: ["collapsed", "repeated"]} and len(messages) == 2
    assert messages[0].startswith(
        "the generator in use (step 2): the images of a class are nearly alike: 6% of the variety"
    )
    assert "100% of the synthetic images are near-duplicates" in messages[1]
    assert all(text.endswith("it was trained for 4 steps, and the recipe's default is 4,000") for text in messages)
    train_plan(plan, data, tmp_path, assess=assess, on_event=messages.append)
    assert len(messages) == 2  # resumed at its end, it says so once


def test_an_end_before_its_time_and_what_could_not_be_judged_are_in_the_log(tmp_path) -> None:
    data, events, assessed = small(), [], []

    def assess(synthesizer: Synthesizer) -> dict[str, float]:
        assessed.append(synthesizer.card.steps)
        if len(assessed) == 2:
            raise torch.OutOfMemoryError("no room")
        return {"kid": float(len(assessed))}

    plan = planned(data, recipe="dcgan", steps=10, patience=0.3)
    train_plan(plan, data, tmp_path, assess=assess, on_event=events.append)
    assert assessed == [1, 2, 3, 4]  # the first was the best; the second could not be judged
    assert events == [
        "out of memory while evaluating the generator of step 2: evaluation skipped",
        "ended at step 4 of 10: no better generator since step 1",
    ]
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], [*row["warnings"].values()]) for row in log if "warnings" in row] == [
        (2, events[:1]),
        (4, events[1:]),
    ]
    train_plan(plan, data, tmp_path, assess=assess)  # taken up again it ends again, and says so once
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == log
    other = lambda synthesizer: (_ for _ in ()).throw(RuntimeError("else"))  # noqa: E731
    with pytest.raises(RuntimeError, match="else"):
        train_plan(plan, data, assess=other)


def test_a_lack_of_memory_is_in_the_log(tmp_path, monkeypatch) -> None:
    from augury.training.adversarial import AdversarialTrainer

    data, events, original_fakes = small(), [], AdversarialTrainer._fakes

    def cramped(self, micro):
        if len(micro.real) > 4:
            raise torch.OutOfMemoryError("no room")
        return original_fakes(self, micro)

    monkeypatch.setattr(AdversarialTrainer, "_fakes", cramped)
    train_plan(planned(data, recipe="dcgan", steps=3), data, tmp_path, on_event=events.append)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert [*first["warnings"].values()] == events and "out of memory" in events[0]


def test_a_critic_may_tell_everything_apart() -> None:
    assert findings(rows(pairwise_accuracy=[1.0, 1.0, 1.0]), recipe("wgan_gp"), 0.5) == {}


def test_warnings_are_reported_and_logged(tmp_path, monkeypatch) -> None:
    from augury.training import health

    monkeypatch.setattr(health, "SETTLED", (0.0, 0))
    data, events = small(), []
    plan = planned(data, recipe="dcgan", steps=6)
    alike = lambda synthesizer: {"kid": 1.0, "spread": 0.1, "duplicates": 0.9, "closeness": 1.0}  # noqa: E731
    train_plan(plan, data, tmp_path, assess=alike, on_event=events.append)
    early = [text for text in events if not text.startswith("the generator in use (step 6)")]
    assert len(events) == len(early) + 2
    assert (
        sum("nearly alike" in text for text in early)
        == sum("near-duplicates of another" in text for text in early)
        == 1
    )
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [sorted(row.get("warnings", {})) for row in log[:3]] == [[], ["collapsed", "repeated"], ["vanished"]]


def test_a_batch_larger_than_the_data_is_refused_and_the_default_fits() -> None:
    with pytest.raises(SettingsError, match="needs at least 41 images, but there are 40"):
        planned(small(), batch=41)
    assert planned(small(), batch=None).batch == 40
    assert planned(small(n=80), batch=None).batch == 64


def other(classes: tuple[str, ...]) -> LabelledImages:
    data = small()
    return LabelledImages(data.images, data.labels, classes, fingerprint="other")


def test_a_start_from_another_training_takes_weights_by_name_and_classes_by_theirs(tmp_path) -> None:
    data = small()
    first = train_plan(planned(data, recipe="dcgan"), data, tmp_path / "run" / "train")
    first.save(tmp_path / "run" / "synthesizer")
    swapped_run = other(("b", "new"))
    plan = planned(swapped_run, recipe="dcgan", start_from=str(tmp_path / "run"))
    trainer, _ = set_up(plan, swapped_run)
    old, new = first.generator.state_dict(), trainer.generator.state_dict()
    assert torch.equal(new["ups.0.weight"], old["ups.0.weight"])
    before, after = old["embedding.tables.0.weight"], new["embedding.tables.0.weight"]
    assert torch.equal(after[0], before[1])  # class b, then second, is now first
    torch.testing.assert_close(after[1], before.mean(0))
    random = set_up(planned(swapped_run, recipe="dcgan"), swapped_run)[0].discriminator.state_dict()
    started = trainer.discriminator.state_dict()
    assert not torch.equal(started["trunks.0.layers.1.weight"], random["trunks.0.layers.1.weight"])
    assert trainer.state.average.module.state_dict()["first.weight"].equal(old["first.weight"])
    train_plan(plan, swapped_run)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_start_takes_the_classifier_of_classes_by_name_and_resets_the_ramp_of_conditions(
    tmp_path, spectral: bool
) -> None:
    overrides = {"conditioning": "auxiliary", "spectral": spectral}
    data, settings = small(), {"recipe": "dcgan", "overrides": {**overrides, "late_conditioning": 1.0}}
    first = train_plan(planned(data, **settings), data, tmp_path / "run" / "train")
    first.save(tmp_path / "run" / "synthesizer")
    assert first.generator.state_dict()["embedding.strength"] < 1
    swapped_run = other(("b", "new"))
    base_options = {"recipe": "dcgan", "overrides": overrides, "start_from": str(tmp_path / "run")}
    trainer, _ = set_up(planned(swapped_run, **base_options), swapped_run)
    assert trainer.generator.state_dict()["embedding.strength"] == 1
    checkpoint, _ = checkpoints.newest(tmp_path / "run" / "train")
    (name,) = [
        name
        for name in trainer.discriminator.state_dict()
        if name.endswith("original" if spectral else "0.weight") and "classes.0" in name
    ]
    before, after = checkpoint[f"discriminator.{name}"], trainer.discriminator.state_dict()[name]
    assert torch.equal(after[0], before[1]) and torch.allclose(after[1], before.mean(0))


def test_a_start_that_hardly_fits_is_refused(tmp_path) -> None:
    data = small()
    train_plan(planned(data, recipe="dcgan", steps=1, overrides={"width": 8}), data).save(tmp_path / "s")
    with pytest.raises(SettingsError, match=r"weights of the generator have a counterpart.*'width': 8"):
        set_up(planned(data, recipe="dcgan", start_from=str(tmp_path / "s"), overrides={"width": 24}), data)


@pytest.mark.parametrize(
    ("settings", "shape", "rule"),
    [({"recipe": "gan"}, (1, 12, 12), "a recipe of that network"), ({"recipe": "dcgan"}, (1, 16, 16), "--size 12x12")],
)
def test_a_start_of_another_network_or_size_is_refused(settings: dict, shape, rule: str, tmp_path) -> None:
    data = small()
    train_plan(planned(data, recipe="dcgan", steps=1), data).save(tmp_path / "s")
    with pytest.raises(SettingsError, match=rule):
        set_up(planned(small(shape=shape), start_from=str(tmp_path / "s"), **settings), small(shape=shape))
    with pytest.raises(RunFolderError, match="no synthesizer to start from"):
        planned(data, start_from=str(tmp_path))


def test_an_unconditional_generator_knows_no_classes() -> None:
    data = small()
    plan = planned(data, recipe="dcgan", unconditional=True)
    synthesizer = train_plan(plan, data)
    assert synthesizer.card.classes == ("image",)
    assert synthesizer.sample(["image"] * 3).images.shape == (3, 1, 12, 12)
    assert drop_labels(plan, data).counts.tolist() == [40]
    with pytest.raises(SettingsError, match="one or the other"):
        planned(data, unconditional=True, condition=("pose",))
    with pytest.raises(SettingsError, match="label_sampling=uniform has no effect"):
        planned(data, unconditional=True, label_sampling="uniform")
    assert set_up(plan, drop_labels(plan, data))[1].draw(0, CPU)[1].unique().tolist() == [0]
    assert np.isfinite(np.frombuffer(synthesizer.weights[-64:], np.float32)).all()
