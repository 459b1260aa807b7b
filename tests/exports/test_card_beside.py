"""The card of an export of one file lies beside it, counts its images and is not written over what somebody else wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from augury.cards import Background
from augury.data import load
from augury.errors import RunFolderError
from augury.exports import EXPORTS, ExportOptions, card_path
from tests.helpers.export_data import real_images, synthetic_images

PLACES = {"npz": "The arrays `origin`", "tar": "The .json file of each image", "parquet": "The columns `origin`"}


@pytest.fixture(params=PLACES)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is an extra")
    return str(request.param)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))


def test_the_card_counts_the_images_and_says_where_their_origin_stands(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "out" / f"photos.{kind}"
    known = Background("cc0-1.0", "photos", "rpgan", ("## Scores", "", "KID 0.1", ""))
    EXPORTS[kind](file, real_images(), synthetic_images(), ExportOptions(background=known))
    assert sorted(path.name for path in file.parent.iterdir()) == [f"photos.{kind}", f"photos.{kind}.README.md"]
    _, front, body = card_path(file, kind).read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["license"] == "cc0-1.0" and fields["pretty_name"] == f"photos.{kind}"
    assert "| cat | 4 | 3 |" in body and "| dog | 3 | 0 |" in body and "KID 0.1" in body and "rpgan" in body
    assert PLACES[kind] in body and "manifest.jsonl" not in body
    assert ("text chunks" in body) == (kind != "npz")
    read = load(file)
    assert len(read) == 10 and not read.notes.get("ignored")


def test_an_export_does_not_replace_a_card_unless_forced(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"photos.{kind}"
    card_path(file, kind).write_text("mine")
    with pytest.raises(RunFolderError, match=rf"photos\.{kind}\.README\.md: is there already; .*--force"):
        EXPORTS[kind](file, real_images())
    assert card_path(file, kind).read_text() == "mine" and not file.exists()
    EXPORTS[kind](file, real_images(), options=ExportOptions(force=True))
    assert "7 real: as in the source" in card_path(file, kind).read_text(encoding="utf-8")
