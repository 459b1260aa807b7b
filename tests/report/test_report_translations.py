"""The page's first picture of a run of translations: strips in order, the plan with what was kept, and where nothing was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from augury.generation import Example
from augury.report import render, translations
from tests.helpers.report_facts import facts
from tests.helpers.report_page import Page, opened, words

PLAN = [
    {"source": "ring 0, age=old", "target": "ring 1, age=old", "changes": "label", "real": 3, "number": 40, "available": 60,
     "fills": True, "translated": 60, "accepted": 38, "rejected": {"agreement": 20, "not needed": 2}},
    {"source": "ring 1, age=<b>", "target": "ring 1, age=old", "changes": "age", "real": 3, "number": 40, "available": 50,
     "fills": True, "translated": 50, "accepted": 0, "rejected": {"agreement": 50}},
    {"source": "ring 0, age=<b>", "target": "ring 0, age=old", "changes": "age", "real": 60, "number": 40, "available": 50,
     "fills": False, "translated": 40, "accepted": 40, "rejected": {}},
]  # fmt: skip


def written(count: int = 8, **changes):
    report_facts = facts("helps")
    indices = np.arange(count)
    each = [
        Example("ring 0, age=old", "ring 1, age=old", "ring 1", indices, indices + 1, indices + 70, True),
        Example("ring 1, age=<b>", "ring 1, age=old", "age=old", indices, indices + 1, indices[:0], False),
    ]
    sources = np.zeros(len(report_facts.synthetic), np.int64)
    report_facts = replace(report_facts, translations=each, generation={**report_facts.generation, "plan": PLAN})
    return replace(report_facts, synthetic=replace(report_facts.synthetic, sources=sources), **changes)


def test_strips_stand_before_the_ways_to_train_and_hold_the_images_that_they_name() -> None:
    report_facts = written()
    html = render(report_facts)
    page = Page(html)
    assert page.sections[:3] == ["verdict", "translations", "arms"]
    pictures = [each for each in page.all("img") if "strip" in each["class"]]
    first, strips = pictures[:5], pictures[5:]  # the first screen: a translation, and the worst class
    captions = [
        "8 train images of ring 0, age=old",
        "their translations into ring 1, age=old",
        "for each, the most similar real train image of ring 1",
    ]
    assert [each["alt"] for each in strips[:3]] == captions
    assert [each["alt"] for each in first[:3]] == [captions[0].removeprefix("8 "), *captions[1:]]
    assert strips[0]["style"] == "width:100.0%"
    picture = np.asarray(opened(strips[1]))
    np.testing.assert_array_equal(picture[:28, :28, 0], report_facts.synthetic.images[0, 0])
    np.testing.assert_array_equal(np.asarray(opened(strips[0]))[:28, :28, 0], report_facts.train.images[1, 0])


def test_the_plan_says_what_was_kept_and_why_the_rest_was_not() -> None:
    text = words(Page(render(written())).text["translations"])
    assert "none passed the filters; rejected ones are shown" in text and "none to show" in text
    assert "Not accepted: agreement 20; not needed 2" in text and "fills no cell" in text
    assert "ring 1, age=<b> → ring 1, age=old" in text
    old = [{k: v for k, v in row.items() if k not in ("translated", "accepted", "rejected")} for row in PLAN]
    earlier = written(generation={**facts("helps").generation, "plan": old})
    assert "Not accepted" not in words(Page(render(earlier)).text["translations"])


def test_images_from_noise_have_no_such_section_and_long_plans_are_cut() -> None:
    assert translations.section(facts("helps")) is None
    assert "translations" not in Page(render(facts("helps"))).sections
    report_facts = written()
    long_plan = replace(report_facts, translations=report_facts.translations[:1] * 20)
    html = translations.section(long_plan)
    assert html is not None and len(html["cards"]) == translations.MOST


def test_scores_say_why_those_of_memorisation_are_missing_and_copies_mean_other_images_than_the_source() -> None:
    page = Page(render(written(score_notes=("C_T is left out.",))))
    assert "C_T is left out." in words(page.text["scores"])
    assert "nearest training images other than its source" in words(page.text["neighbours"])
