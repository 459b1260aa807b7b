"""The page as a reader without our code sees it: through html.parser, an XML parser and Pillow."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import augury.report
from augury.errors import RunFolderError
from augury.images import LabelledImages
from augury.report import badge, markdown, render, wording, write
from tests.helpers.report_facts import OUTCOMES, facts, log, shapes, verdict
from tests.helpers.report_page import Page, opened, words

SECTIONS = ["verdict", "arms", "classes", "ratio", "pictures", "filters", "neighbours", "scores", "training", "data",
            "reproduce"]  # fmt: skip
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7*7 }}", "a & b", "'quote'", "</svg><b>",
           "]]>", "tab\x00\u202e", "stray\udcff", "n" * 3000]  # fmt: skip


def svgs(html):
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.S)]


def test_skipped_files_are_on_the_page():
    page = Page(render(facts()))
    assert "30 files were skipped: 30 .heic (convert to JPEG or PNG)" in words(page.text["data"])


def test_the_page_is_complete_in_itself():
    html = render(facts())
    page = Page(html)
    kinds = ("src", "href", "action", "data", "srcset", "poster", "background")
    targets = {a[key] for _, a in page.tags for key in kinds if key in a}
    assert targets and all(t.startswith(("#", "data:image/png;base64,")) for t in targets)
    assert {t[1:] for t in targets if t.startswith("#")} <= set(page.sections)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert "url(" not in html and "@import" not in html and "http:" not in html and "https:" not in html
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_the_answer_comes_first_and_all_sections_are_there():
    page = Page(render(facts("helps")))
    text = words(page.text["verdict"])
    assert text.startswith(
        "Use these synthetic images? ▲Yes They add 2.1 points of balanced accuracy. 95 % interval +1.2 to +3.1; "
    )
    assert page.sections == SECTIONS
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]
    assert all(page.text[section].strip() for section in SECTIONS)


def test_what_filters_keep_and_why_a_class_gets_its_number_is_reported():
    report_facts = facts("helps")
    text = words(Page(render(report_facts)).text["filters"])
    for name, counts in report_facts.generation["filters"].items():
        assert f"{name.replace('_', ' ')}: {counts}" in text
    for row in report_facts.generation["rows"]:
        assert row["why"] in text
    old = replace(
        report_facts,
        generation={"strategy": "balance", "rows": [r | {"why": ""} for r in report_facts.generation["rows"]]},
    )
    assert "Each filter keeps" not in words(Page(render(old)).text["filters"])


def test_every_number_of_the_verdict_is_on_the_page():
    report_facts = facts("helps")
    v, text = report_facts.verdict, {k: words(t) for k, t in Page(render(report_facts)).text.items()}
    for number in ("2.1 points", "+1.2 to +3.1", "0.031", "2,517", "0.5"):
        assert number in text["verdict"]
    for name, arm in v.arms.items():
        assert name in text["arms"]
        for measure in ("balanced_accuracy", "macro_f1", "worst_recall", "auc", "ece", "brier"):
            assert f"{np.mean(arm[measure]):.3f}" in text["arms"]
    for row in v.per_class:
        formatted = f"{100 * row['difference']:+.1f}".replace("-", "−")
        counts = f"{row['train']} + {row['synthetic']} train, {row['test']} test"
        cells = [
            row["class"],
            counts.replace(" ", ""),
            formatted,
            f"{100 * row['low']:+.1f}to{100 * row['high']:+.1f}".replace("-", "−"),
        ]
        for role in ("comparator", "arm"):
            low, high = row[f"interval_{role}"]
            cells += [f"{row[f'recall_{role}']:.3f}{low:.3f}to{high:.3f}"]
        assert "".join(cells) in text["classes"].replace(" ", "").replace("ring", "ring ")
    assert "0, 1, 2, 3, 4, 5" in text["reproduce"] and report_facts.command in text["reproduce"]


ANSWERS = {
    "helps": ("Yes", "They add 2.1 points", "About 2.1 more test images in 100 are classified correctly"),
    "no difference": (
        "No",
        "They make no difference of 2 points or more",
        "Prefer the arm classical, which does not use",
    ),
    "hurts": ("No", "They cost 1.9 points", "About 1.9 fewer test images in 100 are classified correctly"),
    "underpowered": (
        "Cannot tell",
        "The effect is between −4.0 and +5.0 points",
        "The interval excludes neither zero nor",
    ),
    "not tested": (
        "Not tested",
        "None of the 700 synthetic images was accepted",
        "the arm gan was trained without any",
    ),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_has_its_own_answer_and_meaning(outcome):
    text = words(Page(render(facts(outcome, classes=2))).text["verdict"])
    for other, (answer, effect, meaning) in ANSWERS.items():
        assert (effect in text) == (meaning in text) == (other == outcome)
        assert other != outcome or f"Use these synthetic images? {wording.SIGNS[outcome]}{answer} {effect}" in text


def test_a_trial_of_others_images_gets_a_shorter_page():
    page = Page(render(replace(facts(classes=2), judged=True, log=[], scores=[], generation={}, plan={}, seconds={})))
    assert page.sections == [s for s in SECTIONS if s not in ("filters", "scores", "training")]
    assert {a["href"][1:] for a in page.all("a")} <= set(page.sections)
    assert "Sensitivity of each class at 90 % specificity" in page.text["classes"]


def test_looks_and_other_synthetic_arms_are_reported():
    v = facts("underpowered", classes=3).verdict
    other = {**v.comparisons[0], "arm": "gan_first", "p_adjusted": 0.125, "level": 0.025}
    looks = [{"seeds": 12, "level": 0.00305, "p": 0.02, "outcome": "underpowered"}]
    changed = replace(
        v, comparisons=(*v.comparisons, other), looks=tuple(looks), seeds_needed=None, level=0.025,
        leaks={"test_not_seen_by": ["generator"], "left_out": 3},
    )  # fmt: skip
    text = {k: words(t) for k, t in Page(render(replace(facts(), verdict=changed))).text.items()}
    assert "gan_first" in text["arms"] and "0.125" in text["arms"] and "97.5 %" in text["arms"]
    assert "120.003050.020underpowered" in text["arms"].replace(" ", "")
    assert "97.5 % interval" in text["verdict"] and "About 5,000 test images would" in text["verdict"]
    assert "3 synthetic images that resemble a test image" in text["data"]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_badge_is_a_picture_with_the_word_and_the_sentence(outcome):
    v = facts(outcome).verdict
    row = {
        "arm": HOSTILE[0],
        "against": "none",
        "outcome": "hurts",
        "difference": 0,
        "low": 0,
        "high": 0,
        "level": 0.05,
    }
    root = ET.fromstring(badge(replace(v, initialisation=row)))
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "synthetic images" and texts[1].startswith(outcome)
    assert root.find("{http://www.w3.org/2000/svg}title").text.count(HOSTILE[0]) == 1
    line = markdown(v, "a folder (new)/badge.svg")
    assert line.startswith(f"![synthetic images: {outcome}") and line.endswith("](a%20folder%20%28new%29/badge.svg)")


@pytest.mark.parametrize("seeds", [1, 3])
def test_too_few_seeds_are_reported_as_such(seeds):
    text = words(Page(render(facts("underpowered", seeds=seeds, classes=2))).text["verdict"])
    assert f"With {seeds} paired seed" in text
    assert f"smallest possible p-value of the test is {2.0 ** (1 - seeds):g}," in text
    assert "detectable difference–" in text  # as it could not have found one of any size


def test_groups_are_reported_with_the_images_of_each_class():
    base = facts("underpowered", classes=2)
    rows = [{**row, "groups": number} for row, number in zip(base.verdict.per_class, (4, 10), strict=True)]
    n = base.verdict.test_n
    grouped = replace(base.verdict, test_groups=14, per_class=tuple(rows), coarse="the class 'a' has 4 groups")
    page = Page(render(replace(base, verdict=grouped)))
    text = {name: words(each) for name, each in page.text.items() if name}
    assert (
        f"{n:,} test images of 14 groups" in text["verdict"]
        and "40 test of 4" in text["classes"]
        and "40 test of 10" in text["classes"]
    )
    assert "ring 0 has fewer than 5 groups (people, patients) to test" in text["verdict"]
    assert "rule of three" in text["verdict"] and "the class 'a' has 4 groups" in text["verdict"]
    assert "groups" not in words(Page(render(base)).text["classes"])


def test_an_interval_over_two_seeds_is_one_of_shares_and_says_what_it_leaves_out():
    v = facts("underpowered", seeds=2, classes=2).verdict
    arms = {**v.arms, "gan": {**v.arms["gan"], "balanced_accuracy": [0.598, 0.804]}}
    text = words(Page(render(replace(facts(classes=2), verdict=replace(v, arms=arms)))).text["arms"])
    assert "0.7010.000 to 1.000" in text
    assert "over the seeds alone, clipped to 0 and 1; they do not cover the choice of test images" in text
    single_seed = words(Page(render(facts("underpowered", seeds=1, classes=2))).text["arms"])
    assert "Small print" not in single_seed


@pytest.mark.parametrize(("detectable", "expected"), [(0.0173, "1.7 points"), (8.16, "–")])
def test_a_detectable_difference_that_no_accuracies_can_have_is_a_dash(detectable, expected):
    text = words(
        Page(render(replace(facts(), verdict=replace(facts().verdict, detectable=detectable)))).text["verdict"]
    )
    assert f"detectable difference{expected}" in text and "816" not in text


def test_negative_numbers_have_true_minus_signs_in_what_others_wrote_too():
    report_facts = facts(classes=2)
    metadata = {
        **report_facts.metadata,
        "data": {**report_facts.metadata["data"], "notes": {"tones": {"window -600, width 1500": 9}}},
    }
    page = render(
        replace(
            report_facts,
            metadata=metadata,
            scores=[{**report_facts.scores[0], "value": -3.25, "note": "-3 or less: copies"}],
            generation={**report_facts.generation, "filters": {"realism": "it looks real; at least -1.7"}},
        )
    )
    text = Page(page).text
    assert "−3.25" in text["scores"] and "−3 or less: copies" in text["scores"]
    assert "at least −1.7" in text["filters"] and "window −600" in text["data"]
    assert not re.search(r"(?<![\w–])-\d", "".join(text.values()))


def test_hostile_class_names_are_text_everywhere():
    report_facts = facts(names=HOSTILE, each=4)
    metadata = {**report_facts.metadata, "data": {**report_facts.metadata["data"], "notes": {HOSTILE[0]: [HOSTILE[1]]}}}
    report_facts = replace(
        report_facts, metadata=metadata, title=HOSTILE[0], source=HOSTILE[1], command=f"augury run '{HOSTILE[0]}'"
    )
    arms = dict(report_facts.verdict.arms)
    arms[HOSTILE[0]] = arms["none"]
    report_facts = replace(report_facts, verdict=replace(report_facts.verdict, arms=arms, comparator=HOSTILE[0]))
    html = render(report_facts)
    page = Page(html)
    assert not page.all("script") and "onerror" not in {key for _, a in page.tags for key in a}
    assert all(a["src"].startswith("data:") for a in page.all("img"))
    assert "<script" not in html and "{{ 7*7 }}" in page.text["classes"]
    for section in ("classes", "pictures", "filters", "data"):
        assert HOSTILE[0] in page.text[section] and "a & b" in page.text[section]
    assert any("<script>alert(1)</script>" in "".join(svg.itertext()) for svg in svgs(html))
    assert any("<script>alert(1)</script>" in a["alt"] for a in page.all("img"))
    assert not set(html) & set("\x00\u202e\udcff") and len(html) < 1_000_000
    html.encode("utf-8")


@pytest.mark.parametrize("report_facts", [facts(), facts("underpowered", seeds=1, classes=2)], ids=["full", "one seed"])
def test_inline_svg_is_well_formed_and_described(report_facts):
    drawings = svgs(render(report_facts))
    assert len(drawings) > 3
    for svg in drawings:
        assert svg.get("role") == "img" and svg.get("aria-label").strip()
        width, height = map(float, svg.get("viewBox").split()[2:])
        for mark in svg.iter():
            for name in ("x", "cx", "x1", "x2", "y", "cy", "y1", "y2"):
                limit = width if "x" in name else height
                assert -1 <= float(mark.get(name, 0)) <= limit + 1, (mark.tag, mark.attrib)


def test_tables_have_headers_and_pictures_have_words():
    page = Page(render(facts()))
    assert len(page.all("table")) == len(page.all("caption")) == 6
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert page.all("img") and all(a["alt"].strip() for a in page.all("img"))


def test_pictures_are_the_first_ones_pixel_for_pixel():
    report_facts = facts(classes=2, size=28)
    sources = Page(render(report_facts)).all("img")
    by_alt = {source["alt"]: source for source in sources}
    real, synthetic = (
        np.asarray(opened(by_alt[f"8 {noun} of ring 0"]))
        for noun in ("real training images", "accepted synthetic images")
    )
    step = (real.shape[1] - 28) // 7
    rows = np.flatnonzero((report_facts.synthetic.labels == 0) & report_facts.synthetic.accepted)
    for index in range(8):
        tile = slice(index * step, index * step + 28)
        np.testing.assert_array_equal(real[:, tile, 0], report_facts.train.images[index, 0])
        np.testing.assert_array_equal(synthetic[:, tile, 0], report_facts.synthetic.images[rows[index], 0])
    assert "pixelated" in sources[0]["class"]


def test_neighbours_are_the_closest_and_rejected_ones_are_called_so():
    report_facts = facts(classes=2, keep=0.0)
    page = Page(render(report_facts))
    text = page.text["neighbours"]
    closest = [f"{d:.1f}" for d in np.sort(report_facts.distances[:, 0])[:12]]
    assert "12 synthetic images closest to a training image, of 28" in words(text) and text.count("rejected:") == 12
    assert re.findall(r"synthetic(\d+\.\d)", text) == closest
    assert "No synthetic image was accepted" in page.text["filters"] and "none accepted" in page.text["pictures"]


def test_images_of_any_making_passed_no_filters_and_those_of_folds_did():
    report_facts = replace(facts(classes=2, keep=1.0), judged=True)
    page = render(report_facts)
    text = words("".join(Page(page).text.values()))
    assert "the first 8 synthetic images of each class. They were not selected by quality" in text
    assert "the 12 synthetic images closest to a training image, of 28. Copies would appear" in text
    assert "filter" not in text.replace("filters, generator", "") and "accepted" not in page
    folds = words(
        "".join(Page(render(replace(report_facts, verdict=replace(report_facts.verdict, folds=3)))).text.values())
    )
    assert (
        "the first 8 synthetic images of each class that passed the filters" in folds
        and "accepted or rejected" in folds
    )


def test_missing_sections_are_reported_as_missing():
    full = facts(classes=2)
    nothing = full.synthetic.take(np.zeros(len(full.synthetic), bool))
    incomplete = replace(
        full, log=[], scores=[], generation={}, plan={}, seconds={}, metadata={}, synthetic=nothing,
        neighbours=np.empty((0, 6), np.int64), distances=np.empty((0, 5)),
        verdict=replace(full.verdict, ratio=0.0, ratio_curve=(), per_class=()),
    )  # fmt: skip
    text = {section: words(content) for section, content in Page(render(incomplete)).text.items()}
    assert "The training log is empty" in text["training"]
    assert "No scores were computed" in text["scores"]
    assert "No synthetic images were drawn" in text["filters"]
    assert "Nearest training images were not computed" in text["neighbours"]
    assert "Only one ratio was available" in text["ratio"] and "no table by class" in text["classes"]
    assert text["pictures"].count("none accepted") == 2


def test_numbers_that_are_none_or_nan_are_dashes():
    report_facts = facts(classes=2)
    rows = [{**report_facts.verdict.per_class[0], "recall_arm": None, "difference": float("nan")}]
    scores = [{**report_facts.scores[0], "low": None, "high": None, "baseline": None, "value": float("nan")}]
    holes = [{**row, "loss_g": None} for row in report_facts.log]
    text = Page(
        render(
            replace(
                report_facts, verdict=replace(report_facts.verdict, per_class=tuple(rows)), scores=scores, log=holes
            )
        )
    ).text
    assert "nan" not in " ".join(text.values()).lower().replace("finance", "")
    assert "– to –" in text["scores"]


def test_a_training_of_one_log_row_has_no_lines():
    assert "log is empty" in words(Page(render(facts(log_rows=1))).text["training"])


def test_forty_classes_of_large_colour_pictures_stay_within_the_limit():
    names = [f"a rather long name of the flower number {i}" for i in range(40)]
    report_facts = facts(names=names, size=24, channels=3, each=8)
    large = shapes(np.arange(16), 112, 3, 60, 4)
    labels = np.repeat(np.arange(40), 8)
    big = large[np.arange(320) % 16]
    report_facts = replace(
        report_facts,
        train=LabelledImages(big, labels, tuple(names)),
        synthetic=replace(report_facts.synthetic, images=big, reasons=()),
        neighbours=report_facts.neighbours % 320,
    )
    html = render(report_facts)
    assert len(html.encode()) < 5_000_000
    page = Page(html)
    assert len(page.all("img")) == 4 + 2 * 40 + 12
    sheet = opened(page.all("img")[0])
    assert sheet.height <= 96


def test_many_classes_are_cut_and_said_to_be():
    names = [f"kind {i}" for i in range(1500)]
    two_classes = facts(classes=2)
    train = LabelledImages(two_classes.train.images[np.arange(1500) % 9], np.arange(1500), tuple(names))
    synthetic = replace(two_classes.synthetic, classes=tuple(names))
    v = verdict("helps", names, train.counts)
    metadata = {**two_classes.metadata, "data": {"classes": names, "counts": {"train": [1] * 1500}}}
    html = render(replace(two_classes, train=train, synthetic=synthetic, verdict=v, metadata=metadata))
    assert len(html.encode()) < 5_000_000
    text = {section: words(content) for section, content in Page(html).text.items()}
    assert "The first 200 of 1500 classes; verdict.json" in text["classes"]
    assert "the 40 rarest of 1500 classes" in text["pictures"]


def test_a_long_log_is_thinned():
    assert len(render(replace(facts(classes=2), log=log(20_000)))) < 400_000


def test_the_same_facts_give_the_same_page():
    assert render(facts()) == render(facts())


def test_a_photograph_is_shrunk_to_a_thumbnail():
    report_facts = facts(classes=2, size=120, channels=3)
    strips = Page(render(report_facts)).all("img")
    first = next(each for each in strips if each["alt"] == "8 accepted synthetic images of ring 0")
    sheet = opened(first)
    assert sheet.height == 96 and sheet.mode == "RGBA" and "pixelated" not in first["class"]


def test_write_is_atomic_and_explains_itself(tmp_path):
    write(facts(classes=2), tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="a file is in the way"):
        write(facts(classes=2), tmp_path / "file" / "report.html")


def test_the_templates_lie_in_the_package():
    folder = Path(augury.report.__file__).parent
    assert {"page.html.j2", "parts.html.j2", "style.css"} <= {p.name for p in folder.iterdir()}


def test_near_duplicates_are_reported_with_pictures_and_policy():
    report_facts = facts()
    assert "Near-duplicates" not in render(report_facts)
    near = {
        "policy": "drop",
        "mirrored": True,
        "clusters": [["a.png", "b.png"], ["c", "d", "e"]],
        "left_out": ["a.png"],
    }
    images = [report_facts.train.images[[0, 0]], report_facts.train.images[[1, 2, 3]]]
    page = render(replace(report_facts, near=near, near_images=images))
    assert "2 pictures have near-duplicates: 5 images in all, including mirrored copies" in page
    assert "1 image was left out" in page
    assert "2 near-duplicates: a.png, b.png" in page and "3 near-duplicates: c, d, e" in page
    without_copies = render(replace(report_facts, near={**near, "clusters": [], "left_out": []}))
    assert "No near-duplicates were found, including mirrored ones." in without_copies
    assert "allowed and not searched for" in render(
        replace(report_facts, near={**near, "policy": "allow", "clusters": []})
    )
