"""Labels belong to their images: samples of a tar, joined torch data sets, and names in several spellings."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, Dataset, Subset

from augury.data import from_arrays, inspect, load
from augury.errors import DataError
from augury.pipeline.external_trial import matched
from tests.helpers.image_files import GREY, packed, png, rows, written

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "müller_é") for form in ("NFC", "NFD"))


class Labelled(Dataset[Any]):
    """Images whose pixels are all the number of the item, and codes with names (or without)."""

    def __init__(self, codes: list[int], classes: list[str] | None, first: int) -> None:
        self.codes, self.first = codes, first
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return np.full((8, 8), self.first + i, np.uint8), self.codes[i]


def names_by_number(data: Any) -> dict[int, str]:
    return {int(image[0, 0, 0]): data.classes[c] for image, c in zip(data.images, data.labels, strict=True)}


PETS = Labelled([0, 1, 0], ["cat", "dog"], 0)
MORE = Labelled([0, 1, 2], ["dog", "emu", "cat"], 10)
EXPECTED = {0: "cat", 1: "dog", 2: "cat", 10: "dog", 11: "emu", 12: "cat"}


def test_each_part_of_a_joined_set_has_its_own_names() -> None:
    assert names_by_number(load(ConcatDataset([PETS, MORE]))) == EXPECTED


def test_a_subset_of_a_joined_set_follows_its_items() -> None:
    subset = Subset(ConcatDataset([Subset(PETS, [2, 1]), MORE]), [4, 0, 2, 1])
    assert names_by_number(load(subset)) == {k: EXPECTED[k] for k in (12, 2, 10, 1)}


def test_joined_sets_with_ambiguous_parts_are_refused() -> None:
    class Shuffled(Dataset[Any]):
        def __init__(self, dataset: Dataset[Any]) -> None:
            self.dataset = dataset

        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            return self.dataset[5 - i]

    with pytest.raises(DataError, match=r"Shuffled: .*it is unclear which of them an item comes from"):
        load(Shuffled(ConcatDataset([PETS, MORE])))
    with pytest.raises(DataError, match=r"item 3 has the code 0 without a class name, but another of the joined"):
        load(ConcatDataset([PETS, Labelled([0, 1], None, 20)]))


def test_class_to_idx_names_codes() -> None:
    dataset = Labelled([0, 1, 0], None, 0)
    dataset.class_to_idx = {"dog": 1, "cat": 0}  # type: ignore[attr-defined]
    assert names_by_number(load(dataset)) == {0: "cat", 1: "dog", 2: "cat"}


def test_samples_that_share_a_key_are_all_bad(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for i in range(3):
        for k, label in enumerate((b"dark", b"bright")):
            members |= {f"scan_{i}.{k}.png": png(2 * i + k), f"scan_{i}.{k}.cls": label}
    valid_members = {
        f"ok{i}.{extension}": raw
        for i in range(4)
        for extension, raw in (("png", png(i)), ("cls", b"ab"[i % 2 : i % 2 + 1]))
    }
    path = packed(tmp_path / "shard.tar", members | valid_members)
    with pytest.raises(
        DataError, match=r"scan_0\.0\.png and scan_0\.1\.png: the name of a sample ends at the first dot"
    ):
        load(path)
    data = load(path, on_bad="skip")
    assert data.classes == ("a", "b") and len(data) == 4 and len(data.notes["skipped"]) == 6


def test_two_labels_for_one_image_and_labels_without_image(tmp_path: Path) -> None:
    members = {
        f"{i}.{extension}": raw
        for i in range(5)
        for extension, raw in (("png", png(i)), ("cls", b"ab"[i % 2 : i % 2 + 1]))
    }
    path = packed(tmp_path / "shard.tar", members | {"0.left.cls": b"b", "9.cls": b"a"})
    with pytest.raises(DataError, match=r"0\.png: is of a sample with several \.cls files, such as 0\.left\.cls"):
        load(path)
    data = load(path, on_bad="skip")
    assert data.names == ("1.png", "2.png", "3.png", "4.png") and data.notes["ignored"] == {
        "label files without an image": 1
    }


def test_two_unicode_forms_are_one_class(tmp_path: Path) -> None:
    files = {f"{name}/{i}.png": png(i) for i, name in enumerate((COMPOSED, DECOMPOSED, "z", "z"))}
    assert load(written(tmp_path / "in", files)).counts.tolist() == [2, 2]
    data = from_arrays(GREY, [COMPOSED, DECOMPOSED, "z"] * 2, groups=[COMPOSED, DECOMPOSED, "g"] * 2)
    assert data.classes == (COMPOSED, "z") and data.groups is not None and data.groups.tolist() == [1, 1, 0] * 2
    assert load(Labelled([0, 1], ["z", DECOMPOSED], 0)).classes == ("z", COMPOSED)


@pytest.mark.parametrize(("on_disk", "in_table"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_table_may_spell_a_file_in_the_other_unicode_form(tmp_path: Path, on_disk: str, in_table: str) -> None:
    written(tmp_path / "in", {f"{on_disk}{i}.png": png(i) for i in range(4)})
    table = rows(
        tmp_path / "in" / "set.csv", ["path", "label"], [[f"{in_table}{i}.png", "ab"[i % 2]] for i in range(4)]
    )
    data = load(table)
    assert len(data) == 4 and data.notes["ignored"] == {}


def test_synthetic_classes_are_matched_in_any_unicode_form() -> None:
    real = from_arrays(GREY, [COMPOSED, "z"] * 3)
    synthetic = from_arrays(GREY, ["z", DECOMPOSED] * 3)
    matched_again = matched(synthetic, real)
    assert [real.classes[c] for c in matched_again.labels] == ["z", COMPOSED] * 3
    with pytest.raises(DataError, match=r"'Z' \(3 images\), which differs from 'z' by case"):
        matched(from_arrays(GREY, [COMPOSED, "Z"] * 3), real)


def test_names_that_differ_by_case_or_blanks_alone_are_reported(tmp_path: Path) -> None:
    names = ("No Tumor", "no_tumor", "glioma")
    root = written(tmp_path / "in", {f"{name}/{i}.png": png(i) for name in names for i in range(2)})
    advice = inspect(root)[1].advice
    assert any(line.startswith("the classes 'No Tumor' and 'no_tumor' differ by case, blanks") for line in advice)
    table = rows(
        root / "set.csv", ["path", "label", "patient"], [[f"glioma/{i}.png", "ab"[i], "Pp"[i] + "7"] for i in range(2)]
    )
    assert any("the groups 'P7' and 'p7' differ" in line for line in inspect(table)[1].advice)
    assert not any("differ by case" in line for line in inspect((GREY, ["-1", "1"] * 3))[1].advice)  # type: ignore[arg-type]
