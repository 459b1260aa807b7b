"""With a time for the whole run, fine-tuning is a candidate of the trial's classifier where its trainings fit into the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augury import proof, training
from augury.images import LabelledImages
from augury.networks import lite0_installed
from augury.pipeline.cost import CostModel, plan_run
from augury.pipeline.stages import STAGES, opened, pending
from augury.settings import ProveSettings, RunSettings
from augury.validation import validated

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed"),
]
SMALL = {
    "train": {"recipe": "dcgan", "batch": 8},
    "generate": {"sampling_strategy": 4, "filters": []},
    "score": {"features": "pixels", "limit": 8},
    "prove": {"arms": ["balanced", "gan"], "seeds": 2, "ratios": [0.25, 0.5], "batch": 8},
}
STEP, FINE_STEP = 0.001, 0.2


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the pretrained network, on which a step of fine-tuning takes as long as 200 of the small network."""
    measured = training.step_seconds

    def train_step(*values: object, **options: object) -> object:
        plan, _, checkpoint = measured(*values, **options | {"patience": 0.0})
        return plan, 0.01, checkpoint

    def classifier_step(arms: object, settings: ProveSettings, *values: object, **options: object) -> dict[str, float]:
        return dict.fromkeys(arms, FINE_STEP if settings.classifier == proof.FINETUNED else STEP)

    monkeypatch.setattr(training, "step_seconds", train_step)
    monkeypatch.setattr(proof, "measure_steps", classifier_step)
    monkeypatch.setattr("augury.proof.auto_classifier.lite0_installed", lambda: True)


def noise(n: int = 90) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 12, 12), dtype=np.uint8)
    return LabelledImages(images, np.repeat([0, 1], [2 * n // 3, n - 2 * n // 3]), ("a", "b"))


@pytest.mark.parametrize(("limit", "fits"), [(3600.0, True), (300.0, False)])
def test_fine_tuning_is_a_candidate_where_its_trainings_fit(tmp_path: Path, limit: float, fits: bool) -> None:
    settings = validated(RunSettings, SMALL)
    with opened(noise(), tmp_path / "r", settings=settings) as session:
        plan_run(session, True, lambda: pending(session, set(STAGES)), limit)
        prove = session.settings.prove
        assert (proof.FINETUNED in prove.candidates) == fits
        names = proof.candidates(prove, session.data.shape, session.device, target=False)
        assert names == ((proof.FINETUNED,) if fits else ()) + proof.PRETRAINED[1:]
        trainings = CostModel(session, pending(session, set(STAGES))).trial()[0]
        assert trainings * ProveSettings().steps * FINE_STEP < 3600 / 3, "so that the test is about the time"

    with opened(noise(), tmp_path / "r", settings=settings) as session:  # the same command again
        plan_run(session, True, lambda: pending(session, set(STAGES)), limit)
        assert session.settings.prove == prove


def test_candidates_of_the_settings_stay(tmp_path: Path) -> None:
    mine = validated(RunSettings, SMALL | {"prove": {**SMALL["prove"], "candidates": ["cnn"]}})
    with opened(noise(), tmp_path / "r", settings=mine) as session:
        plan_run(session, True, lambda: pending(session, set(STAGES)), 3600.0)
        assert session.settings.prove.candidates == ("cnn",)


def test_without_a_time_fine_tuning_is_no_candidate_on_a_cpu(tmp_path: Path) -> None:
    with opened(noise(), tmp_path / "r", settings=validated(RunSettings, SMALL)) as session:
        model = CostModel(session, pending(session, set(STAGES)))
        assert not model.fine_tunes and model.speed.fine_tuning == 0.0
