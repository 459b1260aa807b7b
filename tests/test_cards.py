"""Cards are valid front matter and Markdown, whatever names they contain."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from augury.cards import LICENCES, Background, cell, front_matter, licence_fields, size_category
from augury.exports import ExportOptions, count, export_folder, readme
from augury.training.card import Card
from augury.training.readme import readme as generator_card
from tests.helpers.export_data import real_images, synthetic_images

NASTY = ("a|b", "- c: {d", "---", "e\n---\nf", "'g\"", "<script>", "\udcff", "ü", "null", "1")
CARD = Card("dcgan", {}, (3, 32, 48), NASTY, ("pose",), (("left", "up"),), "f00d", "rpgan", 4, 1200, 64, "fp32")


def parsed(text: str) -> tuple[dict[str, object], str]:
    """Front matter and body, split by the expression of Hugging Face (huggingface_hub.repocard.REGEX_YAML_BLOCK)."""
    match = re.search(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\r|\n|$))", text)
    assert match is not None and match.start() == 0
    return yaml.safe_load(match[2]), text[match.end() :]


def test_names_of_classes_cannot_break_the_front_matter() -> None:
    fields, _ = parsed(front_matter("mit", NASTY, tags=["augury"], size_categories=[]))
    assert fields == {
        "license": "mit",
        "tags": ["augury"],
        "classes": [name.encode("utf-8", "backslashreplace").decode() for name in NASTY],
    }


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("MIT", {"license": "mit"}),
        ("", {"license": "unknown"}),
        ("?!", {"license": "unknown"}),
        ("Hospital: agreement No. 7", {"license": "other", "license_name": "hospital-agreement-no.-7"}),
    ],
)
def test_a_licence_is_an_identifier_or_other_with_a_name(licence: str, expected: dict[str, str]) -> None:
    assert licence_fields(licence) == expected
    assert expected["license"] in LICENCES | {"other"}


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (999_999, "100K<n<1M"), (10_000_000, "n>10M")],
)
def test_size_categories(number: int, expected: str) -> None:
    assert size_category(number) == expected


def test_cells_of_tables_are_one_line_without_markup() -> None:
    assert cell("a|b\n<i>[x](y)") == r"a\|b &lt;i>\[x\](y)"
    assert cell(12345) == "12,345"


def test_the_card_of_a_generator_states_how_it_was_trained_and_what_it_is_not_for() -> None:
    text = generator_card(CARD, translates=False, parameters=1234, fingerprint="abcd")
    fields, body = parsed(text)
    assert fields["license"] == "unknown" and fields["pipeline_tag"] == "unconditional-image-generation"
    assert len(fields["classes"]) == len(NASTY)
    for expected in ("32 x 48 px", "RGB", "1,234 weights", "1,200 of 64 images", "seed 4", "abcd", "not been scored",
                     "Intended use and limits", "Licence of the source: unknown", "Attribute pose: left, up"):  # fmt: skip
        assert expected in body, expected
    translator = generator_card(CARD, translates=True, parameters=1, fingerprint="", background=Background("mit", "x"))
    assert parsed(translator)[0]["pipeline_tag"] == "image-to-image" and "--change pose=left" in translator


def test_an_exported_folder_has_a_card_that_counts_its_images(tmp_path: Path) -> None:
    known = Background("cc0-1.0", "photos", "rpgan", ("## Scores", "", "KID 0.1", ""))
    export_folder(tmp_path / "out", real_images(), synthetic_images(), ExportOptions(background=known))
    fields, body = parsed((tmp_path / "out" / "README.md").read_text(encoding="utf-8"))
    assert fields == {
        "license": "cc0-1.0",
        "pretty_name": "out",
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
        "tags": ["augury", "synthetic", "synthetic-data", "image-classification"],
        "classes": ["cat", "dog"],
    }
    assert "| cat | 4 | 3 |" in body and "| dog | 3 | 0 |" in body and "KID 0.1" in body and "rpgan" in body
    export_folder(tmp_path / "out", real_images())  # the card is part of the export, which may be replaced
    fields, body = parsed((tmp_path / "out" / "README.md").read_text(encoding="utf-8"))
    assert fields["license"] == "unknown" and "synthetic" not in fields["tags"] and "text chunks" not in body


def test_a_class_called_like_the_card_gets_another_folder(tmp_path: Path) -> None:
    said = export_folder(tmp_path / "out", real_images(("README.md", "dog")))
    assert said["folders"]["README.md"] == "README.md-2" and (tmp_path / "out" / "README.md").is_file()


def test_counts_come_from_the_rows_of_a_manifest() -> None:
    rows = [{"class": "a", "origin": "synthetic"}, {"class": "b", "origin": "real"}, {"class": "a", "origin": "real"}]
    assert count(rows, ["a", "b"]) == {"real": {"a": 1, "b": 1}, "synthetic": {"a": 1, "b": 0}}
    unlabelled = readme("out", count([{"origin": "synthetic"}], []), (1, 8, 8), Background())
    assert "task_categories" not in unlabelled and "1 images, without labels" in unlabelled


def test_hugging_face_reads_the_cards(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    synthetic = replace(synthetic_images(), classes=real_images().classes)
    export_folder(tmp_path / "out", real_images(), synthetic, ExportOptions(background=Background("my own")))
    data = hub.DatasetCard.load(tmp_path / "out" / "README.md").data
    assert (data.license, data.license_name, data.classes) == ("other", "my-own", ["cat", "dog"])
    text = generator_card(CARD, translates=False, parameters=1, fingerprint="")
    assert hub.ModelCard(text).data.pipeline_tag == "unconditional-image-generation"
    assert np.array_equal(hub.ModelCard(text).data.classes[:2], NASTY[:2])
