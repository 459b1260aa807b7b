"""What every filter promises, by the table: so a new one is tested unwritten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from augury.errors import SettingsError
from augury.generation import FILTERS, FilterContext, described, rules
from augury.generation.filters import apply
from augury.metrics import nearest
from tests.helpers.generation_data import candidates, halves, known, make, placed

N = 40


def random_candidates(quota: int = 5):
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (N, 1, 8, 8), dtype=np.uint8)
    images[:8] = placed(random.integers(0, 256, (8, 2)))
    return replace(candidates(images, random.integers(0, 2, N), quota), sources=np.arange(N) % 11)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_scores_every_image_the_same_way_every_time(name: str) -> None:
    context, images = known(make((20, 12))), random_candidates()
    scores, reasons = apply((name,), images, context)
    repeated, reasons_again = apply((name,), images, known(make((20, 12))))
    assert set(scores) == {name} and scores[name].shape == (N,) and scores[name].dtype == np.float64
    assert np.isfinite(scores[name]).all()
    assert len(reasons) == N and set(reasons) <= {"", name}
    np.testing.assert_array_equal(scores[name], repeated[name])
    assert reasons == reasons_again


@pytest.mark.parametrize("name", FILTERS)
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    context, images = known(make((20, 12))), random_candidates()
    order = np.random.default_rng(0).permutation(N)
    columns = ("images", "conditions", "indices", "quota", "passed", "sources")
    reordered = type(images)(*(getattr(images, column)[order] for column in columns))
    scores, reasons = apply((name,), images, context)
    other, other_reasons = apply((name,), reordered, context)
    np.testing.assert_allclose(other[name], scores[name][order], atol=1e-9)
    assert other_reasons == [reasons[i] for i in order]


@pytest.mark.parametrize("name", FILTERS)
def test_scores_known_from_an_earlier_round_change_nothing(name: str) -> None:
    context, images = known(make((20, 12))), random_candidates()
    columns = ("images", "conditions", "indices", "quota", "passed", "sources")
    first = type(images)(*(getattr(images, column)[:15] for column in columns))
    before, _ = apply((name,), first, context)
    scores, reasons = apply((name,), images, context)
    going_on, reasons_from_scores = apply((name,), images, context, before)
    np.testing.assert_allclose(going_on[name], scores[name], atol=1e-9)
    assert reasons_from_scores == reasons


@pytest.mark.parametrize("name", [name for name, row in FILTERS.items() if not row.selects])
def test_a_limit_in_the_name_keeps_one_side_of_it(name: str) -> None:
    context, images = known(make((20, 12))), random_candidates()
    scores = apply((name,), images, context)[0][name]
    middle = float(np.median(scores))
    for sign, is_kept in ((">", scores >= middle), ("<", scores <= middle)):
        reasons = apply((f"{name}{sign}{middle!r}",), images, context)[1]
        np.testing.assert_array_equal(np.array(reasons) == "", is_kept)


@pytest.mark.parametrize("name", [name for name, row in FILTERS.items() if row.selects])
def test_a_selection_keeps_the_quota_of_each_class_of_those_that_passed(name: str) -> None:
    context, images = known(make((20, 12))), random_candidates(quota=5)
    reasons = np.array(apply(("confidence>0.4", name), images, context)[1])
    confident = np.array(apply(("confidence>0.4",), images, context)[1])
    for label in (0, 1):
        of_label = images.labels == label
        assert (reasons[of_label] == "").sum() == min(5, (confident[of_label] == "").sum())
    assert ((reasons == "confidence") == (confident == "confidence")).all()


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_looks_at_more_than_it_says(name: str) -> None:
    """Without the evidence that it needs a filter says so, and with none missing it never asks for labels of a test part."""
    minimal = FilterContext(make(), known(make()).probabilities, nearest)
    images = random_candidates()
    try:
        apply((name,), images, minimal)
    except SettingsError as error:
        assert "leave it out" in str(error)
    assert described((name,), known(make()))[name].startswith(FILTERS[name].meaning)


def test_an_image_counts_for_the_first_filter_that_rejects_it() -> None:
    context, images = known(make((20, 12))), random_candidates()
    reasons = apply(("margin>2", "confidence>2"), images, context)[1]
    assert set(reasons) == {"margin"}
    reasons = apply(("confidence>2", "margin>2"), images, context)[1]
    assert set(reasons) == {"confidence"}
    both = np.array(apply(("confidence>0.3", "confidence<0.7"), images, context)[1]) == ""
    p = apply(("confidence",), images, context)[0]["confidence"]
    np.testing.assert_array_equal(both, (p >= 0.3) & (p <= 0.7))


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (("magic",), "no filter 'magic'"),
        (("confidence>high",), "write a number"),
        (("confidence>nan",), "write a number"),
        (("confidence=.6",), "no filter"),
        (("k_center", "agreement"), "put it last"),
        (("k_center", "determinantal"), "put it last"),
    ],
)
def test_filters_that_make_no_sense_are_refused(names: tuple[str, ...], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        rules(names)


def test_features_are_taken_of_the_images_given_alone() -> None:
    """Of the training images features are taken once, whatever the number of filters and rounds."""
    lengths: list[int] = []

    def count_and_extract(images: np.ndarray) -> np.ndarray:
        lengths.append(len(images))
        return halves(images)

    context = replace(known(make((20, 12))), features=count_and_extract)
    for _ in range(2):
        apply(("class_distance", "realism", "near_duplicate"), random_candidates(), context)
    assert lengths.count(32) == 1
