"""Every arm and every classifier: trains, gives the same again, goes on where it stopped; and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from augury.errors import DataError, SettingsError, TrainingError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import checks, prove
from augury.proof.arms import ARMS
from augury.proof.cost import number_of_trainings
from augury.proof.neighbours import WeightedNeighbours
from augury.proof.train_config import TrainConfig
from augury.proof.trainings import Trainings
from augury.settings import ProveSettings, RunSettings
from augury.validation import validated
from tests.helpers.tiny_data import random_layers, tiny


def trainings(results: dict[str, Any] | None = None, **changes: Any) -> Trainings:
    options = {
        name: changes.pop(name) for name in ("classifier_object", "synthetic", "extra", "layers") if name in changes
    }
    synthetic = tiny(seed=5)
    return Trainings(
        tiny(),
        options.get("synthetic", (synthetic.images, synthetic.labels)),
        ProveSettings(**{"steps": 4, "batch": 12, **changes}),
        False,
        torch.device("cpu"),
        {} if results is None else results,
        lambda count, name: None,
        validation=tiny((6, 6, 6), 1),
        extra=options.get("extra", {name: (tiny(seed=6).images, synthetic.labels) for name in ("vae", "unlabelled")}),
        classifier=options.get("classifier_object"),
        layers=options.get("layers", random_layers((1, 10, 10))),
    )


PART = tiny((8, 8, 8), 2)
PLAIN = tuple(name for name, arm in ARMS.items() if not arm.cells and not arm.method)
"""The others are in test_arms_of_cells.py and test_arms_of_domains.py."""
SEES_PIXELS = {"cutmix", "trivialaugment_cutmix", "fixmatch"}
"""Arms that a classifier on features cannot train."""


@pytest.mark.parametrize("arm", PLAIN)
def test_every_arm_has_as_many_steps(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    step = torch.optim.AdamW.step

    def counted_step(self: torch.optim.AdamW, *arguments: Any) -> Any:
        steps.append(len(self.param_groups))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted_step)
    trainings().measured("test", arm, 0.5, (0,), PART)
    assert len(steps) == (8 if ARMS[arm].initialisation else 4)


@pytest.mark.parametrize("arm", PLAIN)
def test_an_arm_trains_alike_each_time_and_goes_on_where_it_stopped(arm: str) -> None:
    all_trainings = trainings()
    assert all_trainings.select([arm]) == (arm,)
    rows = all_trainings.measured("test", arm, 0.5, (0, 1), PART)
    assert all_trainings.done == 2
    assert all(0 <= each["balanced_accuracy"] <= 1 and len(each["recall"]) == 3 for each in rows)
    gone_on: dict[str, Any] = {"test/0": all_trainings.results["test/0"]}
    assert trainings(gone_on).measured("test", arm, 0.5, (0, 1), PART) == rows
    assert gone_on == all_trainings.results


def predictions(arm: str, classifier: Any, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> np.ndarray:
    options = {"classifier": classifier} if isinstance(classifier, str) else {"classifier_object": classifier}
    subject_trainings = trainings(**options, **changes)
    config = subject_trainings.config(arm, 0.5, 3e-3, 1e-2)
    return np.stack(
        list(subject_trainings.learner.predicted([subject_trainings.train] * len(seeds), config, seeds, PART.images))
    )


class Plain(nn.Module):
    """A user's network, with a dropout that draws from PyTorch's own generator."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels * 100, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


OBJECTS = {"class": Plain, "network": Plain(1, 3), "estimator": make_pipeline(StandardScaler(), LogisticRegression())}
NAMES = ("cnn", "resnet", "linear_probe:pixels", "forest:pixels", "neighbours:pixels", *OBJECTS)
SUBJECTS = [(c, a) for c in NAMES for a in ("gan", "mixup", "smote_features")]
SLOW = {("forest:pixels", "mixup"), ("forest:pixels", "smote_features")}
HEADLESS = {("class", "smote_features"), ("network", "smote_features")}


@pytest.mark.parametrize(("classifier", "arm"), [pair for pair in SUBJECTS if pair not in SLOW | HEADLESS])
def test_a_classifier_predicts_alike_each_time(classifier: str, arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augury.proof.learners.lite0_installed", lambda: False)  # pixels: quick
    subject = OBJECTS.get(classifier, classifier)
    state = torch.random.get_rng_state()
    rows = predictions(arm, subject)
    assert torch.equal(state, torch.random.get_rng_state())
    assert rows.shape == (2, len(PART), 3)
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(predictions(arm, subject), rows)
    np.testing.assert_array_equal(predictions(arm, subject, (1,))[0], rows[1])


@pytest.mark.parametrize(
    "classifier", ["forest:pixels", "neighbours:pixels", "linear_probe:pixels", OBJECTS["estimator"]]
)
def test_estimators_learn_what_is_there_to_learn(classifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augury.proof.learners.lite0_installed", lambda: False)
    for arm in ("gan_alone", "smote_pixels"):
        probabilities = predictions(arm, classifier, (0,), steps=40)[0]
        assert (probabilities.argmax(1) == PART.labels).mean() > 0.7, arm


class Broken(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * torch.nan


class Twofold(Plain):
    """Gives its logits and what they are made of, as networks with auxiliary outputs do."""

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x), x


class TwofoldAtLast(Plain):
    """The same, but only once it has learnt."""

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x) if self.training else (super().forward(x), x)


class Lacking(LogisticRegression):
    """Forgets its last class."""

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(X)[:, :-1]


class Silent(BaseEstimator):
    """Does not say which classes it has seen."""

    def fit(self, X: Any, y: Any) -> Silent:
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.ones((len(X), 3)) / 3


@pytest.mark.parametrize(
    ("classifier", "rule"),
    [
        (Twofold, "for 12 images the classifier gives a tuple; it must give one tensor"),
        (Twofold(1, 3), "gives a tuple"),
        (TwofoldAtLast, "for 24 images the classifier gives a tuple"),
        (nn.Flatten(), "Flatten has no parameters that can be trained; give it a layer that has"),
        (Plain(1, 3).requires_grad_(False), "Plain has no parameters that can be trained"),
        (
            lambda channels, classes: None,
            "asked for a classifier of 1 channels and 3 classes, <lambda> gives a NoneType",
        ),
        (lambda channels, classes: nn.Conv2d(1, 3, 3), r"gives \[12, 3, 8, 8\]; it must give a logit of each class"),
        (Lacking(), r"24 images of 3 classes predict_proba of Lacking gives \[24, 2\]"),
        (Silent(), "Silent does not report the classes of its fit"),
    ],
)
def test_a_user_classifier_with_other_outputs_is_refused(
    classifier: Any, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augury.proof.learners.lite0_installed", lambda: False)
    with pytest.raises(SettingsError, match=rule):
        predictions("none", classifier)


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(TrainingError, match="24 of 24"):
        predictions("none", Broken)
    with pytest.raises(SettingsError, match=r"gives \[12, 5\]"):
        predictions("none", Plain(1, 5))
    with pytest.raises(SettingsError, match="cnn, resnet, finetune, linear_probe"):
        predictions("none", "vgg")
    with pytest.raises(SettingsError, match="CalibratedClassifierCV"):
        predictions("none", LinearSVC())
    with pytest.raises(SettingsError, match="box of pixels"):
        trainings(classifier="linear_probe:pixels").select(["cutmix"])
    with pytest.raises(SettingsError, match="loss of its own"):
        trainings(classifier="forest:pixels").select(["focal"])
    with pytest.raises(SettingsError, match="no known last layer"):
        trainings(classifier_object=Plain).select(["smote_features"])
    with pytest.raises(SettingsError, match="extra="):
        trainings(extra={}).select(["vae"])
    with pytest.raises(SettingsError, match="--unlabelled"):
        trainings(extra={}).select(["pseudo_labels"])
    with pytest.raises(SettingsError, match="choose among: all, usual, none"):
        trainings().select(["magic"])
    with pytest.raises(DataError, match="one of each"):
        TrainConfig(synthetic=(PART.images, PART.labels[:3]))
    for invalid in ({"loss": "hinge"}, {"mix": "blend"}, {"smoothing": 1.0}, {"ratio": -1}, {"smote": "x"}):
        with pytest.raises(SettingsError):
            TrainConfig(**invalid)  # type: ignore[arg-type]


def test_all_arms_are_those_that_can_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = validated(RunSettings, {"prove": {"arms": "all"}}).prove.arms
    assert trainings().select(requested) == PLAIN
    assert set(PLAIN) - set(trainings(extra={}).select(requested)) == {"vae", "pseudo_labels", "fixmatch"}
    unavailable = set(trainings(layers="it has none").select(requested))
    assert set(PLAIN) - unavailable == {name for name in PLAIN if ARMS[name].network}
    assert set(PLAIN) - set(trainings(classifier="linear_probe:pixels").select(requested)) == SEES_PIXELS
    monkeypatch.setattr("augury.proof.checks.smote_installed", lambda: False)
    assert set(PLAIN) - set(trainings().select(requested)) == {"smote_pixels", "smote_features"}


def test_each_arm_takes_its_best_rate_on_validation() -> None:
    subject = trainings(learning_rates=(1e-7, 3e-3), weight_decays=(1e-2,), steps=30, batch=16)
    one = subject.settings.model_copy(update={"learning_rates": (3e-3,)})
    searching, without = (number_of_trainings(s, ["none", "balanced"], [0.0]) for s in (subject.settings, one))
    assert searching - without == 8
    rows = subject.measured("test", "balanced", 0.0, (0,), PART)
    names = [name for name in subject.results if name.startswith("search/balanced")]
    assert len(names) == 4 and subject.done == 5
    single_rates = [
        trainings(learning_rates=(rate,), weight_decays=(1e-2,), steps=30, batch=16) for rate in (1e-7, 3e-3)
    ]
    unlearnt, learnt = (each.measured("test", "balanced", 0.0, (0,), PART) for each in single_rates)
    assert rows == learnt != unlearnt  # at 1e-7 nothing is learnt
    subject.validation = None
    with pytest.raises(SettingsError, match="no validation split"):
        subject.select(["none"])


def test_synthetic_images_of_a_class_that_has_none_do_not_stop_an_arm() -> None:
    one = tiny((5, 0, 0), 3)
    for arm in ("gan", "gan_pretrain"):
        assert trainings(synthetic=(one.images, one.labels)).measured("test", arm, 1.0, (0,), PART)
        assert trainings(synthetic=None).measured("test", arm, 1.0, (0,), PART)


def test_a_class_of_one_image_is_left_as_it_is_by_smote() -> None:
    data: LabelledImages = tiny((9, 4, 1))
    subject = trainings()
    subject.train = data
    for arm in ("smote_pixels", "smote_features"):
        assert len(subject.measured(arm, arm, 0.0, (0,), PART)) == 1


def test_a_trial_of_all_arms_tells_how_many_trainings_there_are() -> None:
    synthetic_images = tiny(seed=5)
    synthetic = SyntheticImages(
        synthetic_images.images,
        synthetic_images.labels[:, None],
        (),
        synthetic_images.classes,
        0,
        np.arange(len(synthetic_images)),
        "made",
    )
    progress: list[tuple[int, int]] = []
    settings = ProveSettings(
        arms=("all",),
        seeds=2,
        steps=2,
        batch=8,
        classifier="linear_probe:pixels",
        learning_rates=(1e-3, 1e-2),
        ratios=(0.0, 1.0),
    )
    verdict = prove(
        tiny(),
        tiny((6, 6, 6), 1),
        PART,
        synthetic,
        settings,
        extra={"vae": synthetic, "unlabelled": synthetic},
        layers=random_layers((1, 10, 10)),
        on_result=lambda count, total, name: progress.append((count, total)),
    )
    assert set(verdict.arms) == set(PLAIN) - SEES_PIXELS and ARMS[verdict.arm].generative
    assert [count for count, _ in progress] == list(range(1, len(progress) + 1)) and {
        total for _, total in progress
    } == {len(progress)}


def test_images_of_another_generator_must_not_be_test_images_either() -> None:
    synthetic_images = tiny(seed=5)
    synthetic, leaked = (
        SyntheticImages(x.images, x.labels[:, None], (), x.classes, 0, np.arange(len(x)), "made")
        for x in (synthetic_images, PART)
    )
    settings = ProveSettings(arms=("balanced", "gan", "vae"), seeds=2, steps=2, batch=8)
    with pytest.raises(DataError, match="images of the test split, pixel for pixel"):
        prove(tiny(), tiny((6, 6, 6), 1), PART, synthetic, settings, extra={"vae": leaked})


def test_the_page_on_arms_tells_of_each() -> None:
    rows = [f"| `{name}` | {arm.note} |" for name, arm in ARMS.items()]
    page = (Path(__file__).parents[2] / "docs" / "arms.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in page, "the table of docs/arms.md should be:\n" + "\n".join(rows)


def test_arms_that_cannot_be_trained_fail_the_preflight_check() -> None:
    def foreseen(*arms: str, classifier: str = "cnn", **options: object) -> None:
        settings = ProveSettings(arms=("none", "gan", *arms), classifier=classifier)
        checks.check_trial(settings, (1, 10, 10), torch.device("cpu"), **options)

    for arm, message, classifier in (
        ("cutmix", "a box of pixels", "linear_probe:pixels"),
        ("focal", "a loss of its own", "forest:pixels"),
        ("vae", "another generator", "cnn"),
        ("pseudo_labels", "--unlabelled", "cnn"),
    ):
        with pytest.raises(SettingsError, match=message):
            foreseen(arm, classifier=classifier)
    with pytest.raises(SettingsError, match="the recipe vae trains none"):
        foreseen("discriminator_init", without_layers="the recipe vae trains none")
    foreseen("usual", "discriminator_init", "vae", "pseudo_labels", "focal", sources=("vae", "unlabelled"))
    foreseen("all", classifier="linear_probe:pixels")  # of "all", those that can be


def test_neighbours_vote_with_their_weights_and_are_different_images() -> None:
    random = np.random.default_rng(3)
    x, y = random.normal(size=(40, 3)), random.integers(0, 3, 40)
    queries = random.normal(size=(20, 3))
    neighbours = WeightedNeighbours(5)
    np.testing.assert_allclose(
        neighbours.fit(x, y).predict_proba(queries), KNeighborsClassifier(5).fit(x, y).predict_proba(queries)
    )
    weights = random.integers(1, 4, 40)
    twice = np.repeat(np.arange(40), weights)  # a neighbour of weight w is as good as w of weight 1 at its place
    nearest = np.argsort(((queries[:, None] - x) ** 2).sum(2), axis=1)[:, :5]
    by_hand = [np.bincount(np.concatenate([y[twice[twice == i]] for i in row]), minlength=3) for row in nearest]
    probabilities = neighbours.fit(x, y, sample_weight=weights).predict_proba(queries)
    np.testing.assert_allclose(probabilities, [votes / votes.sum() for votes in by_hand])


def test_an_arm_of_another_generator_is_judged_by_its_own_images() -> None:
    train, validation, test = tiny((12, 8), 0), tiny((6, 6), 1), tiny((10, 10), 2)
    others, empty = tiny((3, 5), 3), tiny((1, 1), 4)
    index = np.arange(8)
    vae = SyntheticImages(others.images, others.labels[:, None], (), train.classes, 0, index, "vae")
    rejected = SyntheticImages(
        empty.images, empty.labels[:, None], (), train.classes, 0, np.arange(2), "gan", reasons=("bad",) * 2
    )
    settings = ProveSettings(arms=("classical", "vae"), seeds=2, steps=1, batch=4, ratios=(1.0,))
    verdict = prove(train, validation, test, rejected, settings, extra={"vae": vae})
    assert verdict.ratio == 1 and verdict.adds == "synthetic images of vae"
    assert [row["synthetic"] for row in verdict.per_class] == [3, 5]
