"""The score card on the page: every score is there, marks lie where the numbers say, copies are shown."""

from dataclasses import replace

import numpy as np
import pytest

from augury.metrics import SCORES
from augury.report import render, scores
from tests.helpers.report_facts import facts
from tests.helpers.report_page import Page, opened, words


def row(name, value, low, high, baseline, better="higher", **options):
    common = {"n": 100, "features": "lite0@57", "preprocessing": "to 224", "note": "", "settings": "", "group": ""}
    return {
        "name": name,
        "value": value,
        "low": low,
        "high": high,
        "baseline": baseline,
        "better": better,
        **common,
        **options,
    }


def centres(chart):
    return [m.attributes["cx"] for m in chart.marks if m.attributes["class"] == "point synthetic"]


def rule(chart):
    return next(m.attributes["x1"] for m in chart.marks if m.attributes["class"] == "rule")


def test_dots_lie_left_of_real_images_when_worse_whatever_the_direction():
    rows = [
        row("KID-lite0", 0.3, 0.2, 0.4, 0.0, "lower"),
        row("recall-lite0", 0.3, 0.2, 0.4, 0.9),
        row("precision-lite0", 0.95, 0.9, 1.0, 0.9),
        row("coverage-lite0", 0.9, 0.9, 0.9, 0.9),
    ]
    chart = scores.chart(rows, "quality")
    kid, recall, precision, coverage = centres(chart)
    assert kid < rule(chart) and recall < rule(chart) < precision and coverage == rule(chart)
    whiskers = [m.attributes for m in chart.marks if m.attributes["class"] == "whisker synthetic"]
    assert all(scores.LEFT - 0.1 <= w[end] <= scores.RIGHT + 0.1 for w in whiskers for end in ("x1", "x2"))
    shares = [
        (w["x1"] - rule(chart)) / (centre - rule(chart))
        for w, centre in zip(whiskers[:2], centres(chart), strict=False)
    ]
    assert shares == pytest.approx([0.2 / 0.3, 0.7 / 0.6], rel=1e-2)


def test_what_means_nothing_or_has_no_baseline_is_in_the_table_and_not_in_the_chart():
    rows = [
        row("FD-lite0", 80, 70, 90, 40, "lower", note="not meaningful: N=100"),
        row("KID-lite0", 0.1, 0, 0.2, None),
    ]
    assert scores.chart(rows, "quality") is None
    text = words(Page(render(replace(facts(), scores=rows))).text["scores"])
    assert "FD-lite0" in text and "not meaningful: N=100" in text and "KID-lite0" in text


def test_each_score_of_the_table_is_explained_and_under_one_theme():
    rows = [row(f"{each.label}-lite0", 0.5, 0.4, 0.6, 0.5, each.score.__name__) for each in SCORES.values()]
    rows += [row("GAN-train", 0.5, 0.4, 0.6, 0.5), row("GAN-test", 0.5, 0.4, 0.6, 0.5)]
    tables = scores.tables(rows)
    assert [len(table["rows"]) for table in tables] == [2, 13, 4]
    assert all(r["asks"] for table in tables for r in table["rows"])
    assert {r["name"].split("-lite0")[0] for r in tables[2]["rows"]} == {
        "C_T", "authenticity", "duplicates", "membership-AUC"}  # fmt: skip


def test_classes_are_set_side_by_side():
    rows = [row("KID-lite0", 0.1, 0, 0.2, 0.05, group=g, n=n) for g, n in (("cats", 9), ("dogs", 7))]
    rows.append(row("spread-lite0", 0.7, 0.6, 0.8, None, group="dogs", n=6))
    charts = scores.by_class(rows)
    assert charts["names"] == ["KID-lite0", "spread-lite0"]
    assert [(name, n, [c and c["value"] for c in cells]) for name, n, cells in charts["rows"]] == [
        ("cats", 9, [0.1, None]), ("dogs", 6, [0.1, 0.7])]  # fmt: skip
    text = words(Page(render(replace(facts(), scores=rows))).text["scores"])
    assert "cats" in text and "(0.05)" in text


def test_copied_pairs_are_shown_as_pictures_and_counted():
    report_facts = facts(classes=2, size=12)
    pairs = [
        {"features": kind, "class": "<b>ring", "seed": 1, "index": i, "train": f"r/{i}.png", "distance": 0.1, "limit": 0.5}
        for kind in ("phash", "lite0@57") for i in (3, 4)
    ]  # fmt: skip
    pictures = np.zeros((4, 2, 1, 12, 12), np.uint8)
    pictures[:, 0], pictures[:, 1] = 10, np.array([200, 220, 200, 220])[:, None, None, None]
    looked = [{"features": "lite0@57", "fakes": 40, "train": 90, "copies": 2}, {"features": "phash", "fakes": 40, "train": 90, "copies": 0}]  # fmt: skip
    page = Page(render(replace(report_facts, copies={"looked": looked, "pairs": pairs}, copied=pictures)))
    text = words(page.text["neighbours"])
    assert "lite0: 2 of 40, compared with 90 training images" in text and "phash: none of 40" in text
    assert text.count("phash 0.1 (limit 0.5); lite0 0.1 (limit 0.5)") == 2  # each pair once
    shown_pictures = [opened(img) for img in page.all("img") if "r/" in img["alt"]]
    assert [(im.size, im.getpixel((0, 0))[0], im.getpixel((im.size[0] - 1, 5))[0]) for im in shown_pictures] == [
        ((25, 12), 10, 200), ((25, 12), 10, 220)]  # fmt: skip
    assert "<b>ring" in text
