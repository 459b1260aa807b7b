"""Decisions by hand in the manifest: they count instead of the filters, and nobody's decision is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augury import generation
from augury.errors import RunFolderError, SettingsError
from augury.images import SyntheticImages


def drawn(reasons: tuple[str, ...] = ("", "agreement", "", "not needed"), synthesizer: str = "abc") -> SyntheticImages:
    numbers = np.arange(len(reasons))
    images = np.random.default_rng(0).integers(0, 256, (len(reasons), 1, 4, 4), dtype=np.uint8)
    scores = {"agreement": numbers / 10}
    return SyntheticImages(
        images, (numbers % 2)[:, None], (), ("cat", "dog"), 3, numbers, synthesizer, scores, reasons
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generation.save(drawn(), tmp_path)
    return tmp_path


def rows_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def decide(folder: Path, position: int, choice: str, seen: str = "") -> generation.Decided:
    image = generation.image_identity(rows_in(folder)[position])
    return generation.decide(folder, position, choice, seen=seen, image=image)


def test_a_decision_counts_instead_of_the_filters_and_can_be_withdrawn(folder: Path) -> None:
    before = rows_in(folder)
    assert decide(folder, 0, "reject").stored and decide(folder, 1, "keep").stored
    images = generation.load(folder, ("cat", "dog"))
    assert images.reasons == ("review", "", "", "not needed") and images.accepted.tolist() == [False, True, True, False]
    assert rows_in(folder)[2:] == before[2:]
    assert decide(folder, 0, "", seen="reject").stored and decide(folder, 1, "reject", seen="keep").stored
    assert generation.load(folder, ("cat", "dog")).reasons == ("", "review", "", "not needed")
    assert decide(folder, 1, "", seen="reject").stored
    assert rows_in(folder) == before


def test_of_two_reviewers_the_second_learns_of_the_first(folder: Path) -> None:
    assert decide(folder, 2, "reject").stored
    late = decide(folder, 2, "keep", seen="")
    assert not late.stored and generation.decision(late.row) == "reject"
    assert decide(folder, 2, "reject", seen="").stored  # both want the same
    assert generation.load(folder, ("cat", "dog")).reasons[2] == "review"


def test_images_that_are_drawn_again_keep_their_decisions(folder: Path) -> None:
    decide(folder, 0, "reject")
    decide(folder, 3, "keep")
    lost = generation.save(drawn(("agreement", "", "")), folder)  # other filters, one image less
    assert lost == 1
    assert generation.load(folder, ("cat", "dog")).reasons == ("review", "", "")
    assert rows_in(folder)[0]["review"] == {"decision": "reject", "filters": "agreement"}
    assert generation.save(drawn(synthesizer="other"), folder) == 1
    assert not generation.decisions(rows_in(folder))


def test_an_image_that_was_drawn_again_is_not_decided_blindly(folder: Path) -> None:
    image = generation.image_identity(rows_in(folder)[0])
    generation.save(replace(drawn(), seed=4), folder)
    with pytest.raises(RunFolderError, match="drawn again since"):
        generation.decide(folder, 0, "keep", seen="", image=image)
    for position, choice, problem in ((9, "keep", "there are 4"), (0, "perhaps", "give keep, reject")):
        with pytest.raises(SettingsError, match=problem):
            generation.decide(folder, position, choice, seen="", image=image)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"accepted": False}, "accepted: false with the reason"),
        ({"reason": "review", "accepted": False}, "no entry 'review'"),
        ({"review": {"decision": "keep"}}, "the filters' reason"),
        ({"review": {"decision": "reject", "filters": ""}}, "the decision reject"),
        ({"row": 2}, "in the order of the images"),
        ({"reason": None}, "with the reason null"),
    ],
)
def test_a_manifest_edited_by_hand_is_refused_with_line_and_remedy(folder: Path, change: dict, problem: str) -> None:
    rows = rows_in(folder)
    rows[0] |= change
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "manifest.jsonl").write_text(text)
    for read in (lambda: generation.load(folder, ("cat", "dog")), lambda: decide(folder, 1, "keep")):
        with pytest.raises(RunFolderError, match=problem) as caught:
            read()
        assert "line 1 " in str(caught.value) and "augury explore RUN" in str(caught.value)
    assert (folder / "manifest.jsonl").read_text() == text


def test_a_recount_sees_the_decisions(folder: Path) -> None:
    decide(folder, 0, "reject")
    rows = [{"class": name, "real": 5, "accepted": 9, "rejected": {}} for name in ("cat", "dog")]
    counted = generation.recounted(rows, generation.load(folder, ("cat", "dog")))
    assert [(row["accepted"], row["rejected"], row["real"]) for row in counted] == [
        (1, {"review": 1}, 5), (0, {"agreement": 1, "not needed": 1}, 5)
    ]  # fmt: skip
