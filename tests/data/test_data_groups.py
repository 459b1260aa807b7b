"""A person, patient or track never lies on two sides of a split, whatever the format that tells of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augury.data import from_arrays, load, regrouped, split
from augury.data.formats.column_names import NAMES
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages
from tests.helpers.image_files import idx_folder, packed, rows, written

N = 48
PIXELS = np.random.default_rng(3).integers(0, 256, (N, 6, 5), np.uint8)
LABELS = ["cat" if i % 2 else "dog" for i in range(N)]


def picture(i: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS[i]).save(file, "PNG")
    return file.getvalue()


FILES = {f"{i}.png": picture(i) for i in range(N)}


def npz(root: Path, name: str, people: Sequence[str]) -> Path:
    np.savez(root / "set.npz", image=PIXELS, label=np.array(LABELS), **{name: np.array(people)})
    return root / "set.npz"


def csv(root: Path, name: str, people: Sequence[str]) -> Path:
    table = [[file, label, person] for file, label, person in zip(FILES, LABELS, people, strict=True)]
    return rows(written(root, FILES) / "set.csv", ["path", "label", name], table)


def imagefolder(root: Path, name: str, people: Sequence[str]) -> Path:
    rows = zip(FILES, LABELS, people, strict=True)
    lines = [json.dumps({"file_name": file, "label": label, name: person}) for file, label, person in rows]
    (written(root, FILES) / "metadata.jsonl").write_text("\n".join(lines))
    return root


def webdataset(root: Path, name: str, people: Sequence[str]) -> Path:
    members = dict(FILES)
    for i in range(N):
        members[f"{i}.json"] = json.dumps({"label": LABELS[i], name: people[i]}).encode()
    return packed(root / "set.tar", members)


def parquet(root: Path, name: str, people: Sequence[str]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    cells = arrow.table({"image": list(FILES.values()), "label": LABELS, name: list(people)})
    pyarrow.parquet.write_table(cells, root / "set.parquet")
    return root / "set.parquet"


def hugging_face(root: Path, name: str, people: Sequence[str]) -> list[dict[str, object]]:
    rows = zip(PIXELS, LABELS, people, strict=True)
    return [{"image": Image.fromarray(image), "label": label, name: person} for image, label, person in rows]


WRITERS: tuple[Callable[[Path, str, Sequence[str]], Any], ...] = (
    npz,
    csv,
    imagefolder,
    webdataset,
    parquet,
    hugging_face,
)


def check(data: LabelledImages, people: Sequence[str], seed: int) -> None:
    codes = split(data, seed=seed)
    assert set(codes.tolist()) == {0, 1, 2}
    sides: dict[str, set[int]] = {}
    for name, code in zip(data.names, codes.tolist(), strict=True):
        at = int("".join(c for c in name.split(".png")[0].split("row ")[-1] if c.isdigit()))
        sides.setdefault(people[at], set()).add(code)
    assert all(len(parts) == 1 for parts in sides.values())


@pytest.mark.parametrize("writer", WRITERS, ids=lambda f: f.__name__)
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_no_person_lies_on_two_sides(writer, data) -> None:
    name = data.draw(st.sampled_from([*NAMES["group"], "Person", "Track_ID", "Patient ID", "subject-id", "Lesion.Id"]))
    people = data.draw(st.integers(6, 12))
    pairs = data.draw(st.lists(st.integers(0, people - 1), min_size=N // 2 - people, max_size=N // 2 - people))
    person_ids = [f"p{person}" for person in [*range(people), *pairs] for _ in range(2)]  # each has both classes
    with TemporaryDirectory() as folder:
        loaded = load(writer(Path(folder), name, person_ids), cache=Path(folder) / "cache")
        assert loaded.notes["grouped_by"] == name and name not in loaded.attributes
        check(loaded, person_ids, data.draw(st.integers(0, 9)))


@pytest.mark.parametrize("writer", WRITERS, ids=lambda f: f.__name__)
def test_any_attribute_can_be_the_group_and_a_name_can_be_overruled(writer, tmp_path: Path) -> None:
    person_ids = [f"p{i // 4}" for i in range(N)]
    path = writer(tmp_path, "telescope", person_ids)
    loaded = load(path, cache=tmp_path / "c")
    assert loaded.groups is None and set(loaded.attributes) == {"telescope"}
    grouped = load(path, group="telescope", cache=tmp_path / "c")
    assert grouped.fingerprint != loaded.fingerprint and not grouped.attributes
    check(grouped, person_ids, 0)
    with pytest.raises((SettingsError, DataError), match="'nobody'"):
        load(path, group="nobody", cache=tmp_path / "c")
    with pytest.raises(SettingsError, match="give one of them"):
        load(path, group="telescope", columns={"group": "label"})


@pytest.mark.parametrize("writer", WRITERS, ids=lambda f: f.__name__)
def test_group_none_makes_an_attribute_of_it(writer, tmp_path: Path) -> None:
    data = load(writer(tmp_path, "subject", [f"p{i // 4}" for i in range(N)]), group="none", cache=tmp_path / "c")
    assert data.groups is None and set(data.attributes) == {"subject"}


def test_two_names_are_not_guessed_between(tmp_path: Path) -> None:
    person, track = np.arange(N) // 8, np.arange(N) // 4
    np.savez(tmp_path / "set.npz", image=PIXELS, label=np.array(LABELS), person=person, track=track)
    with pytest.raises(DataError, match=r"'person' and 'track' could both be the group.*--group person"):
        load(tmp_path / "set.npz")
    loaded = load(tmp_path / "set.npz", group="person")
    assert set(loaded.attributes) == {"track"} and len(np.unique(loaded.groups)) == 6


def test_what_tells_only_labels_has_no_group(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tells nothing of its images but the label"):
        load(idx_folder(tmp_path / "idx"), group="person")
    with pytest.raises(SettingsError, match="tells nothing"):
        load((PIXELS, LABELS), group="person")
    with pytest.raises(SettingsError, match=r"pairs \(image, label\), which have no columns"):
        load(list(zip(PIXELS, LABELS, strict=True)), group="person")
    with pytest.raises(SettingsError, match="'given' or 'new'"):
        load(split="mine")  # type: ignore[arg-type]


def test_groups_and_parts_can_be_changed_in_memory(tmp_path: Path) -> None:
    parts = np.repeat([0, 1, 2], N // 3)
    data = from_arrays(PIXELS, LABELS, attributes={"stain": np.arange(N) // 4}, split=parts)
    grouped = regrouped(data, "stain")
    assert np.array_equal(grouped.groups, np.arange(N) // 4) and grouped.fingerprint != data.fingerprint
    assert regrouped(grouped, "none").groups is None and regrouped(data, None) is data
    regrouped_data = regrouped(data, None, "new")
    assert (
        regrouped_data.split is None
        and regrouped_data.fingerprint != data.fingerprint
        and not np.array_equal(split(regrouped_data), parts)
    )
    np.savez(tmp_path / "set.npz", images=PIXELS, labels=np.array(LABELS), split=parts)
    assert load(tmp_path / "set.npz", split="new").split is None
    with pytest.raises(SettingsError, match="there is no attribute 'x' to be the group; the data have 'stain'"):
        regrouped(data, "x")
