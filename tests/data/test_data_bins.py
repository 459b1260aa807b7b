"""Attributes of numbers in bins: where they begin, what they are called, and that a run knows them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import binned, load
from augury.errors import DataError, SettingsError
from augury.images import Attribute, LabelledImages
from augury.pipeline.inputs import images_of
from augury.settings import RunSettings
from augury.validation import validated


def people(values: list[str], codes: list[int]) -> LabelledImages:
    n = len(codes)
    images = np.arange(n * 16, dtype=np.uint32).view(np.uint8).reshape(n, 1, 8, 8)
    ages = Attribute(np.array(codes, np.int64), tuple(values))
    return LabelledImages(images, np.arange(n) % 2, ("a", "b"), {"age": ages}, fingerprint="f")


def test_bins_are_quantiles_and_their_names_cover_the_values_between() -> None:
    data = people(["100", "2", "10", "30", "31", "116"], [0, 1, 2, 3, 4, 5])  # sorted as text, not as numbers
    age_groups = binned(data, {"age": 3})
    assert age_groups.attributes["age"].values == ("2–29", "30–99", "100–116")
    assert age_groups.attributes["age"].codes.tolist() == [2, 0, 0, 1, 1, 2]
    assert age_groups.notes["bins"] == {"age": ["2–29", "30–99", "100–116"]}
    assert age_groups.fingerprint != binned(data, {"age": 2}).fingerprint != data.fingerprint


def test_a_value_that_most_images_have_is_not_torn_and_no_bin_is_empty() -> None:
    age_groups = binned(people(["0", "1", "2"], [0] * 90 + [1, 2]), {"age": 3}).attributes["age"]
    assert age_groups.values == ("0", "1", "2") and np.bincount(age_groups.codes).tolist() == [90, 1, 1]
    floats = binned(people(["-0.5", "0.25", "1.5", "7"], [0, 1, 2, 3]), {"age": 2}).attributes["age"]
    assert floats.values == ("-0.5 to 0.25", "1.5 to 7")


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        ({"age": 7}, "has 6 different values, too few for 7 bins; ask for at most 6"),
        ({"agee": 2}, "no attribute 'agee' to divide into bins; did you mean 'age'"),
        ({"skin": 2}, "The data have: 'age'"),
    ],
)
def test_bins_that_cannot_be_are_refused(bins, message) -> None:
    with pytest.raises(DataError, match=message):
        binned(people(["1", "2", "3", "4", "5", "6"], [0, 1, 2, 3, 4, 5]), bins)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="the value 'old', which is no number"):
        binned(people(["1", "old"], [0, 1]), {"age": 2})
    with pytest.raises(SettingsError, match="2 or more bins"):
        load((np.zeros((2, 8, 8), np.uint8), [0, 1]), bins={"age": 1})
    with pytest.raises(SettingsError, match=r"data\.bins"):
        validated(RunSettings, {"data": {"bins": {"age": 1}}})


def test_a_column_of_many_values_becomes_an_attribute_when_it_is_to_be_divided(tmp_path: Path) -> None:
    rows = ["file,label,age"]
    for i in range(12):
        Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i % 2]},{i * 7}")
    (tmp_path / "people.csv").write_text("\n".join(rows))
    assert not load(tmp_path / "people.csv").attributes
    settings = validated(RunSettings, {"data": {"bins": {"age": 2}}})
    data = images_of(tmp_path / "people.csv", settings)
    assert data.attributes["age"].values == ("0–41", "42–77")
    ages = np.linspace(0, 1, 12)
    np.savez(tmp_path / "x.npz", images=data.images[:, 0], labels=np.arange(12) % 2, age=ages)
    assert load(tmp_path / "x.npz", bins={"age": 2}).attributes["age"].codes.tolist() == [0] * 6 + [1] * 6


def test_in_memory_bins_apply_and_change_the_identity_of_a_run() -> None:
    data = people(["1", "2", "3", "4"], [0, 1, 2, 3])
    image_hashes = {
        images_of(data, validated(RunSettings, {"data": {"bins": bins}})).fingerprint
        for bins in ({}, {"age": 2}, {"age": 3})
    }
    assert len(image_hashes) == 3
