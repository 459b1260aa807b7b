"""Folder names for hostile, colliding and ordinary class names."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.exports.names import folder_name, folder_names

HOSTILE = ["../../etc", "a/b", "CON", "con.txt", "COM1", "", " ", ".", "..", ".hidden", "a\\b", "c:d", "x" * 400,
           "é" * 300, "nul\0byte", "tab\there", "end.", "end ", "\u202egnp", "\udcff", "-rf", "a\nb", "/"]  # fmt: skip


def is_safe(name: str) -> bool:
    one_part = PurePosixPath(name).parts == (name,) == PureWindowsPath(name).parts
    is_portable = not name.startswith((".", " ")) and not name.endswith((".", " ")) and name.isprintable()
    return one_part and is_portable and 0 < len(name.encode()) < 200 and not PureWindowsPath(name).is_reserved()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_one_safe_component(name, tmp_path):
    safe = folder_name(name)
    assert is_safe(safe)
    (tmp_path / safe).mkdir()
    assert [p.name for p in tmp_path.iterdir()] == [safe]


@given(st.text())
def test_any_text_becomes_one_safe_component(name):
    assert is_safe(folder_name(name))


@pytest.mark.parametrize("name", ["T-shirt", "ankle boot", "0", "Löwe", "猫", "c++", "v1.2"])
def test_ordinary_names_stay(name):
    assert folder_name(name) == name


def test_collisions_after_cleaning_and_in_case_are_distinguished():
    classes = ["a/b", "a_b", "A", "a", "é", "e\u0301", "a_b-2", "manifest.jsonl", "CON", "_con"]
    names = folder_names(classes, taken=("manifest.jsonl",))
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(classes)
    assert names[1] == "a_b" and names[2] == "A" and names[6] == "a_b-2"  # those already safe keep their names
    assert "manifest.jsonl" not in names


ALIKE = ["a", "A", "a-2", "A-2", "a/", "a?", "", "unnamed", "..", "__"]


@given(st.lists(st.sampled_from(ALIKE), max_size=10, unique=True))
def test_names_never_collide(classes):
    names = folder_names(classes)
    assert len({name.casefold() for name in names}) == len(classes)
    assert folder_names(classes) == names
