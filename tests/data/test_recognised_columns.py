"""Columns are known by their names in any spelling; what looks like a group or several labels and is not used is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augury.data import cautions, from_arrays, inspect, load, regrouped, split
from augury.data.formats.column_names import canonical, is_called
from augury.errors import DataError
from augury.images import LabelledImages
from tests.helpers.image_files import dicom_file, png, rows, written

PEOPLE, EACH = 24, 6
N = PEOPLE * EACH
LABELS = [["No Finding", "Effusion"][(i // EACH + i) % 2] for i in range(N)]
PATIENTS = [1000 + i // EACH for i in range(N)]


def table(root: Path, header: list[str], *columns: list[object]) -> Path:
    """A .csv with six images of each of 24 patients; the images are the same few."""
    written(root, {f"{i:03d}.png": png(i % 6) for i in range(N)})
    return rows(
        root / "set.csv", header, [list(row) for row in zip([f"{i:03d}.png" for i in range(N)], *columns, strict=True)]
    )


def patients_separate(data: LabelledImages) -> bool:
    """Whether no patient lies in two parts of a new split."""
    codes = split(data)
    return all(len({int(codes[i]) for i in range(N) if PATIENTS[i] == patient}) == 1 for patient in PATIENTS)


@pytest.mark.parametrize(
    "name",
    ["Patient ID", "patient-id", "Patient.Id", "PatientID", "PATIENT_ID", "participant_id", "Subject No", "MRN", "lesion_id",
     "Case ID", "animal id", "Slide_ID", "patient name", "Donor"],
)  # fmt: skip
def test_usual_names_of_groups_in_any_spelling(tmp_path: Path, name: str) -> None:
    data = load(table(tmp_path, ["File Name", "Class-Name", name], LABELS, PATIENTS))
    assert data.notes["grouped_by"] == name and data.groups is not None and patients_separate(data)
    assert not cautions(data)


@pytest.mark.parametrize("name", ["path", "valid", "covid", "solid", "outside", "age", "patient_age", "pathology"])
def test_other_names_are_no_groups(name: str) -> None:
    assert not is_called("group", name) and canonical("Pa.ti-ent  ID") == "patientid"


def test_a_person_goes_before_what_one_person_has_several_of(tmp_path: Path) -> None:
    lesions = [i // 2 for i in range(N)]
    assert (
        load(table(tmp_path, ["path", "label", "lesion_id", "patient_id"], LABELS, lesions, PATIENTS)).notes[
            "grouped_by"
        ]
        == "patient_id"
    )
    path = table(tmp_path, ["path", "label", "lesion_id", "study_id"], LABELS, lesions, PATIENTS)
    with pytest.raises(DataError, match="'lesion_id' and 'study_id' could both be the group"):
        load(path)


@pytest.mark.parametrize("name", ["Site ID", "cow-id", "siteId", "SITEID", "volunteerid"])
def test_another_id_that_recurs_is_named_with_the_option(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, ["path", "label", name], LABELS, PATIENTS)
    (advice,) = [line for line in inspect(path)[1].advice if "looks like an id" in line]
    assert f"'{name}'" in advice and "24 values for 144 images" in advice and f"--group '{name}'" in advice
    assert not patients_separate(load(path)) and patients_separate(load(path, group=name))
    assert not cautions(load(path, group=name)) and not cautions(load(path, group="none"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("scan_id", list(range(N))),  # a name for each image
        ("class_id", [int(label == "Effusion") for label in LABELS]),  # another name of the label
        ("site_id", [7] * N),  # one value
        ("covid", [i % 2 for i in range(N)]),  # a word that ends so
    ],
)
def test_ids_that_keep_nothing_together_are_not_named(tmp_path: Path, name: str, values: list[object]) -> None:
    assert not cautions(load(table(tmp_path, ["path", "label", name], LABELS, values)))


def test_arrays_beside_images_are_named_alike(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (N, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array(LABELS), site_id=np.array(PATIENTS))
    assert "--group 'site_id'" in cautions(load(tmp_path / "a.npz"))[0]
    np.savez(tmp_path / "b.npz", images=images, labels=np.array(LABELS), **{"Patient ID": np.array(PATIENTS)})
    assert patients_separate(load(tmp_path / "b.npz"))


def test_a_group_of_all_images_is_no_group(tmp_path: Path) -> None:
    """As in anonymised files: the split would have one group to divide, and was refused."""
    path = table(tmp_path, ["path", "label", "patient"], LABELS, ["ANONYMOUS"] * N)
    data = load(path)
    assert data.groups is None and set(split(data).tolist()) == {0, 1, 2}
    assert "all 144 images are in one group (patient)" in cautions(data)[0] and "grouped_by" not in data.notes
    assert not cautions(load(path, group="none"))
    assert regrouped(load(path, group="none"), "patient").groups is None


def test_group_none_forgets_the_patients_of_dicom_files(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8)
    files = {f"{c}/{i}.dcm": dicom_file(ramp + i, PatientID=f"P{i // 2}") for i in range(8) for c in "ab"}
    root = written(tmp_path / "named", files)
    assert load(root).groups is not None
    ungrouped = load(root, group="none")
    assert (
        ungrouped.groups is None
        and "grouped_by" not in ungrouped.notes
        and ungrouped.fingerprint != load(root).fingerprint
    )
    hidden = {f"{c}/{i}.dcm": dicom_file(ramp + i, PatientID="ANONYMOUS") for i in range(8) for c in "ab"}
    data = load(written(tmp_path / "hidden", hidden))
    assert data.groups is None and set(split(data).tolist()) == {0, 1, 2}
    assert "one group (the PatientID of the DICOM files)" in cautions(data)[0]
    assert not cautions(load(tmp_path / "hidden", group="none"))
    written(root, {"a/9.dcm": dicom_file(ramp)})
    assert "name no patient" in cautions(load(root))[0] and not cautions(load(root, group="none"))


@pytest.mark.parametrize(
    ("classes", "sign"),
    [
        (("Effusion", "Infiltration", "Effusion|Infiltration"), "|"),
        (("cat;dog", "cat;bird", "fish"), ";"),
        (("cat", "cat, dog", "bird"), ","),
        (("HER2+", "HER2-"), ""),
        (("3/4", "1/4", "1/2"), ""),
        (("Corn, grain", "Rice"), ""),
    ],
)
def test_labels_that_join_several_are_reported(classes: tuple[str, ...], sign: str) -> None:
    images = np.full((30, 4, 4), 255, np.uint8)
    warnings = cautions(from_arrays(images, np.arange(30) % len(classes), classes))
    assert [f"join several labels with '{sign}'" in line for line in warnings] == ([True] if sign else [])


def test_no_message_prints_a_cell_whole(tmp_path: Path) -> None:
    """A report of 50,000 characters in any column: refused or left out in a message that one can read."""
    long_text = "all is well. " * 4000
    for header in (["path", "label"], ["label", "path"], ["path", "label", "patient"], ["path", "label", "note"]):
        for position in range(len(header)):
            line = ["0.png", "a", "b"][: len(header)]
            if header[0] == "label":
                line = ["a", "0.png"]
            line[position] = long_text
            written(tmp_path, {f"{i}.png": png(i) for i in range(6)})
            valid_rows = [(["1.png", "a", "p"] if header[0] == "path" else ["a", "1.png"])[: len(header)]]
            valid_rows.append((["2.png", "b", "q"] if header[0] == "path" else ["b", "2.png"])[: len(header)])
            for first in (header, [*header[:position], long_text, *header[position + 1 :]]):
                path = rows(tmp_path / "set.csv", first, [line, *valid_rows])
                try:
                    text = "\n".join(map(str, inspect(path)[1].as_dict().items()))
                except DataError as error:
                    text = str(error)
                assert len(text) < 3000 and long_text[:300] not in text, (header, position)
    with pytest.raises(DataError, match="a label has 52,000 characters, but at most 200"):
        from_arrays(np.zeros((4, 8, 8), np.uint8), ["a", "b", "a", long_text])
