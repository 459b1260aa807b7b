"""A run with a target: its settings, its parts, and the report of pseudo-labels and of translations."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.data.target import TargetImages
from augury.errors import DataError, SettingsError
from augury.images import Attribute, LabelledImages, SyntheticImages
from augury.pipeline import domains
from augury.settings import RunSettings
from augury.validation import validated
from tests.helpers.two_domains import CLASSES, source, target

CPU = torch.device("cpu")


def settings(**sections: dict[str, Any]) -> RunSettings:
    return validated(RunSettings, {**sections, "data": {"target": "other/", **sections.get("data", {})}})


def test_a_run_with_a_target_trains_a_translator_that_changes_the_domain_alone() -> None:
    run_settings = domains.settings_for_target(settings(train={"steps": 7, "overrides": {"width": 8}}))
    assert (run_settings.train.recipe, run_settings.train.condition, run_settings.train.steps) == (
        "translator",
        ("domain",),
        7,
    )
    assert run_settings.train.overrides == {"width": 8, "class_moves": False}
    assert domains.settings_for_target(run_settings) == run_settings
    without = validated(RunSettings, {"train": {"recipe": "dcgan", "condition": ["age"]}})
    assert domains.settings_for_target(without) is without


@pytest.mark.parametrize(
    ("sections", "rule"),
    [
        ({"train": {"recipe": "dcgan"}}, r"recipe dcgan does not go with a target \(--target\).*leave it out"),
        ({"train": {"condition": ["age"]}}, "condition=age does not go with a target"),
        ({"train": {"condition": ["domain", "age"]}}, "condition=domain,age does not go with"),
        ({"train": {"overrides": {"class_moves": True}}}, "class_moves=true does not go with.*only the domain"),
        ({"data": {"fold": [1, 5]}}, "--folds does not go with"),
        ({"prove": {"resample": "bootstrap"}}, r"prove\.resample=bootstrap does not go with"),
    ],
)
def test_settings_that_contradict_a_target_are_refused(sections: dict[str, Any], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        domains.settings_for_target(settings(**sections))


def with_attribute(data: LabelledImages, name: str, values: tuple[str, ...]) -> LabelledImages:
    codes = np.arange(len(data), dtype=np.int64) % len(values)
    return replace(data, attributes={**data.attributes, name: Attribute(codes, values)})


def test_the_domain_is_an_attribute_beside_others_and_no_other_may_be_called_so() -> None:
    aged = with_attribute(source(), "age", ("young", "old"))
    with_domain = domains.in_domain(aged, "target")
    assert list(with_domain.attributes) == ["age", "domain"] and (with_domain.attributes["domain"].codes == 1).all()
    assert (domains.in_domain(with_domain, "source").attributes["domain"].codes == 0).all()
    with pytest.raises(DataError, match="already have an attribute called 'domain'; rename it, or leave --target out"):
        domains.refuse_domain_attribute(with_domain)
    domains.refuse_domain_attribute(aged)


def parts() -> dict[str, LabelledImages]:
    """Of a run without a target: 20, 8 and 12 images."""
    return {name: source(counts, seed) for seed, (name, counts) in enumerate(
        {"train": (12, 8), "validation": (4, 4), "test": (7, 5)}.items())}  # fmt: skip


def test_all_labelled_images_but_those_that_validate_train_and_the_targets_test() -> None:
    splits_without_group, other = parts(), target((6, 9), seed=8)
    splits = domains.target_splits(splits_without_group, TargetImages(target().images, other))
    np.testing.assert_array_equal(
        splits["train"].images,
        np.concatenate([splits_without_group["train"].images, splits_without_group["test"].images]),
    )
    np.testing.assert_array_equal(
        splits["train"].labels,
        np.concatenate([splits_without_group["train"].labels, splits_without_group["test"].labels]),
    )
    np.testing.assert_array_equal(splits["validation"].images, splits_without_group["validation"].images)
    np.testing.assert_array_equal(splits["test"].images, other.images)
    np.testing.assert_array_equal(splits["test"].labels, other.labels)
    for name, code in (("train", 0), ("validation", 0), ("test", 1)):
        assert set(splits[name].attributes["domain"].codes.tolist()) == {code}
    without = domains.target_splits(splits_without_group, TargetImages(target().images))
    assert len(without["test"]) == 0 and len(without["train"]) == 32
    assert without["test"].classes == CLASSES and without["test"].shape == splits_without_group["test"].shape


def test_attributes_of_the_labelled_images_are_not_asked_of_the_target() -> None:
    aged = {name: with_attribute(part, "age", ("young", "old")) for name, part in parts().items()}
    with_names = replace(target((6, 9)), names=tuple(f"{i}.png" for i in range(15)))
    for test in (None, with_names):
        splits = domains.target_splits(aged, TargetImages(target().images, test))
        assert list(splits["test"].attributes) == ["domain"] and len(splits["test"].names) == len(splits["test"])


def test_a_class_without_a_labelled_target_image_is_refused() -> None:
    one_class = target((0, 9), seed=8)
    with pytest.raises(DataError, match="1 of 2 classes have no labelled target image for the test, such as 'lying'"):
        domains.target_splits(parts(), TargetImages(target().images, one_class))


def test_the_translator_learns_from_source_images_and_target_images_under_their_pseudo_labels() -> None:
    train, other, labels = domains.in_domain(source((12, 8)), "source"), target((5, 5)).images, np.arange(10) % 2
    train = with_attribute(train, "age", ("young", "old"))
    known = domains.with_target(train, other, labels)
    np.testing.assert_array_equal(known.images, np.concatenate([train.images, other]))
    assert known.labels.tolist() == [*train.labels.tolist(), *labels.tolist()]
    assert known.attributes["domain"].codes.tolist() == [0] * 20 + [1] * 10 and list(known.attributes) == ["domain"]
    image_hashes = {domains.with_target(train, images, assigned).fingerprint for images, assigned in (
        (other, labels), (other, 1 - labels), (255 - other, labels))}  # fmt: skip
    assert len(image_hashes) == 3
    assert np.bincount(domains.stand_in(train, other).labels[20:]).tolist() == [20, 20]


def test_a_class_needs_enough_images_in_both_domains() -> None:
    train = source((30, 12))
    domains.check_pseudo_labels(np.repeat([0, 1], [20, 2]), train)
    for labels in (np.repeat([0, 1], [19, 40]), np.zeros(19, np.int64)):
        with pytest.raises(DataError, match="no class has 20 labelled images and 20 target images"):
            domains.check_pseudo_labels(labels, train)


class Stripes(nn.Module):
    """Names a bar lying or standing by where the contrast lies, whatever the brightness; `wrong` ones the other way round."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(-1.0 if wrong else 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.mean((1, 3)), x.mean((1, 2))  # [N, H], [N, W]
        lying = rows.std(1) - columns.std(1)
        return 100 * self.sign * torch.stack([lying, -lying], 1)


TARGET = target()


def translations(data: LabelledImages, labels: np.ndarray | None = None) -> SyntheticImages:
    """The source's images, in the target's colours, made for these labels."""
    rows = np.arange(len(data))
    cells = np.stack([data.labels if labels is None else labels, np.ones(len(data), np.int64)], 1)
    images = (150 + data.images / 3).astype(np.uint8)
    return SyntheticImages(images, cells, ("domain",), CLASSES, 0, rows, "made", sources=rows)


def test_pseudo_labels_are_what_the_classifier_names_and_the_mix_is_their_share() -> None:
    unlabelled = target((45, 15), seed=5)
    pseudo = domains.label_target(Stripes(), unlabelled.images)
    assert pseudo.labels.dtype == np.int64 and (pseudo.labels == unlabelled.labels).mean() > 0.95
    np.testing.assert_allclose(pseudo.mix, np.bincount(pseudo.labels, minlength=2) / 60)
    lines = pseudo.lines(CLASSES, np.array([30, 10]))
    assert [line.split() for line in lines] == [
        ["lying", "labelled", "75.0%", "target,", "estimated", f"{pseudo.mix[0]:.1%}"],
        ["standing", "labelled", "25.0%", "target,", "estimated", f"{pseudo.mix[1]:.1%}"],
    ]
    assert len({line.index("labelled") for line in lines}) == 1  # in columns
    assert "0.0%" in pseudo.lines(CLASSES, np.array([0, 0]))[0]


def test_the_labeller_learns_the_target_without_a_label_and_gives_the_same_again(monkeypatch) -> None:
    monkeypatch.setattr(domains, "STEPS", 60)
    arguments = (source(), TARGET.images, domains.LABELLER)

    def pseudo_labels(seed: int = 0) -> np.ndarray:
        model = domains.target_classifier(*arguments, seed=seed, flips=False, device=CPU)
        return domains.label_target(model, TARGET.images).labels

    labels = pseudo_labels()
    assert (labels == TARGET.labels).mean() > 0.8
    np.testing.assert_array_equal(pseudo_labels(), labels)


def test_translations_that_keep_their_class_are_advised_and_the_agreement_is_reported() -> None:
    assert (domains.label_target(Stripes(), TARGET.images).labels == TARGET.labels).all()
    labels = TARGET.labels.copy()
    labels[np.flatnonzero(labels == 1)[:20]] = 0  # of 60 called lying it agrees for 40, of 20 called standing for all
    report = domains.classes_kept_by_target(Stripes(), translations(source((40, 20))), TARGET.images, labels)
    assert report.advised and report.overall.value > 0.95 and report.overall.n == 60
    assert report.judge == pytest.approx((2 / 3 + 1) / 2) and report.limit == pytest.approx(0.8 * report.judge)
    assert "It agrees with the pseudo-labels of 83% of the real target images." in report.sentence
    json.dumps(report.as_dict())


def test_translations_under_labels_at_random_are_advised_against() -> None:
    data = source((40, 20))
    for labels in (np.random.default_rng(0).permutation(data.labels), 1 - data.labels):
        report = domains.classes_kept_by_target(Stripes(), translations(data, labels), TARGET.images, TARGET.labels)
        assert not report.advised and report.overall.value < 0.7 and "not recommended" in report.sentence


def test_a_judge_that_never_agrees_with_the_pseudo_labels_is_reported_without_an_error() -> None:
    report = domains.classes_kept_by_target(Stripes(wrong=True), translations(source()), TARGET.images, TARGET.labels)
    assert report.judge is not None and report.judge < 0.05 and "agrees with the pseudo-labels" in report.sentence
    assert not report.advised and "hardly better than chance" in report.sentence


def test_what_is_stored_of_a_target_is_plain_and_other_images_are_distinguished() -> None:
    test, other_target = target((6, 9), seed=8), TARGET.images
    described = domains.describe_target(
        TargetImages(other_target, test, ("a note",)), domains.TargetLabels(TARGET.labels, np.array([0.5, 0.5]))
    )
    assert described == {"images": 80, "test": 15, "notes": ["a note"], "class_mix": [0.5, 0.5]}
    json.dumps(described)
    assert domains.describe_target(TargetImages(other_target))["test"] == 0
    swapped_labels = replace(test, labels=1 - test.labels)
    targets = (
        TargetImages(other_target),
        TargetImages(other_target, test),
        TargetImages(other_target, swapped_labels),
        TargetImages(255 - other_target, test),
    )
    assert len({domains.target_digest(each) for each in targets}) == 4
    assert domains.target_digest(TargetImages(other_target.copy(), test)) == domains.target_digest(
        TargetImages(other_target, test)
    )
