"""The explorer as a person uses it, in headless Chromium: every page, sliders, the keyboard, a review in two tabs, a reload."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

import augury
from augury.files import read_lines
from augury.pipeline import latent_runs
from augury.pipeline.run_folder import Run
from tests.helpers.browser import MISSING, browser
from tests.helpers.command_line import wait_until
from tests.helpers.devtools import Chromium, Tab, chromium
from tests.helpers.explorer_process import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason=MISSING),
]
LARGE = "document.getElementById('large').src"
BASE, EDITED = ("document.getElementById('base').src", "document.getElementById('edited').src")
FAST = """
from augury.cli.commands import main
from augury.explorer import latent
latent.STEPS = 60
main()
"""
"""The command `augury` with a shorter search for photographs."""
OVERFLOW = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def served(
    whole: Path, turning: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Path, str]]]:
    """A copy of each run, and the address where `augury explore` serves it."""
    root, runs = tmp_path_factory.mktemp("served"), {}
    with ExitStack() as explorers:
        for name, run in (("whole", whole), ("turning", turning)):
            shutil.copytree(run, root / name)
            address, _ = explorers.enter_context(serving(root / name, (sys.executable, "-c", FAST)))
            runs[name] = (root / name, address)
        yield runs


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def site(served: dict[str, tuple[Path, str]]) -> str:
    return served["whole"][1]


def slide(tab: Tab, name: str, key: str, times: int = 1) -> None:
    """Move a slider with the keyboard."""
    tab.run(f"document.getElementById({name!r}).focus()")
    for _ in range(times):
        tab.press(key)


def settled(tab: Tab) -> None:
    """Wait until the page has all images that it asked for."""
    tab.wait("!document.body.classList.contains('busy') && document.querySelectorAll('#frames img').length")


def test_every_page_opens_without_errors_and_fits_a_phone(
    chrome: Chromium, site: str, served: dict[str, tuple[Path, str]]
) -> None:
    tab = chrome.tab(f"{site}/data")
    for name in ("data", "training", "generator", "review", "verdict"):
        for width in (1200, 390):
            tab.resize(width)
            tab.go(f"{site}/{name}")
            tab.wait("document.querySelector('h1')")
            assert tab.run(OVERFLOW) <= width, (name, width)
            assert tab.run("document.querySelector('[aria-current]').textContent").lower() == name
            if name == "generator":
                settled(tab)
            assert tab.run("document.getElementById('status').textContent") == ""
            assert tab.errors() == [], (name, width)
    tab.go(f"{site}/training")
    tab.wait("document.getElementById('sheet').naturalWidth > 0")
    tab.go(f"{site}/data")
    assert tab.run("document.querySelectorAll('#images .sheet img').length") == 36
    tab.go(f"{served['turning'][1]}/generator")
    tab.wait("document.getElementById('changed').naturalWidth > 0")
    assert tab.errors() == []


def test_errors_of_a_page_are_noticed(chrome: Chromium, site: str) -> None:
    tab = chrome.tab(f"{site}/data")
    assert tab.errors() == []
    tab.run("setTimeout(() => { throw new Error('a fault of the page'); }) && 0")
    tab.run("Object.assign(new Image(), {src: '/static/missing.png'}) && 0")
    tab.run("Object.assign(new Image(), {src: 'http://127.0.0.1:9/elsewhere.png'}) && 0")
    wait_until(lambda: len(tab.errors()) == 3, seconds=30)
    for part in ("a fault of the page", "404 (Not Found)", "Content Security Policy"):
        assert len([text for text in tab.errors() if part in text]) == 1, (part, tab.errors())


def focused(tab: Tab) -> str:
    """The id of the element that has the focus, or of the nearest element around it that has one."""
    return str(tab.run("document.activeElement.closest('[id]')?.id ?? ''"))


def tab_to(tab: Tab, name: str) -> list[str]:
    """Press the Tab key until the focus is at or within the element with this id; returns what had the focus, each with a frame."""
    visited: list[str] = []
    while not visited or visited[-1] != name:
        assert len(visited) < 60, (name, visited)
        tab.press("Tab")
        visited.append(focused(tab))
        assert tab.run("getComputedStyle(document.activeElement).outlineStyle") != "none", visited
    return visited


def test_the_tab_key_reaches_every_control_of_the_generator(chrome: Chromium, site: str) -> None:
    tab = chrome.tab(f"{site}/generator")
    tab.front()
    settled(tab)
    tab.wait("document.querySelectorAll('#sliders input').length > 0")
    visited, before = tab_to(tab, "other"), tab.run(LARGE)
    tab.press(" ")
    tab.wait(f"{LARGE} !== {before!r}")
    assert tab.run("document.getElementById('seed').value") == "1" and focused(tab) == "other"
    settled(tab)
    visited, before = visited + tab_to(tab, "truncation"), tab.run(LARGE)
    tab.press("ArrowLeft")
    tab.wait(f"{LARGE} !== {before!r}")
    settled(tab)
    visited, before = visited + tab_to(tab, "sliders"), tab.run(EDITED)
    tab.press("ArrowRight")
    tab.wait(f"{EDITED} !== {before!r}")
    assert tab.run("document.activeElement.previousElementSibling.textContent") == "+0.25"
    controls = ["cell0", "cell1", "seed", "other", "truncation", "sheet", "photo-file", "space", "sliders"]
    assert [name for name in visited if name in controls] == controls
    tab_to(tab, "position")
    assert tab.errors() == []


def test_the_training_page_follows_a_log_that_grows(chrome: Chromium, served: dict[str, tuple[Path, str]]) -> None:
    run, site = served["whole"]
    log, step = run / "train" / "log.jsonl", "document.querySelector('#live p').textContent.split(' of ')[0]"
    rows = read_lines(log)
    whole_log, curves = log.read_text(), "document.getElementById('curves').innerHTML"
    try:
        with Run(run).held():  # as a training does
            log.write_text(json.dumps({**rows[-1], "step": 2, "images": 16}) + "\n")
            tab = chrome.tab(f"{site}/training")
            tab.front()
            tab.wait(f"{step} === 'Step 2' && document.getElementById('live').dataset.working === 'true'")
            before = tab.run(curves)
            with log.open("a") as file:
                file.write(json.dumps({**rows[-1], "step": 3, "images": 24}) + "\n")
            tab.wait(f"{step} === 'Step 3' && {curves} !== {before!r}")
        tab.wait("document.getElementById('live').dataset.working === 'false'")
        assert tab.errors() == []
    finally:
        log.write_text(whole_log)


def test_directions_that_were_not_found_are_listed_with_the_reason(
    chrome: Chromium, served: dict[str, tuple[Path, str]]
) -> None:
    run, site = served["whole"]
    latent_runs.store_directions(run, methods=["pca"], number=2)
    try:
        file = run / "directions" / "directions.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "skipped": {"pose": "all images look alike"}}))
        tab = chrome.tab(f"{site}/generator")
        tab.wait("document.querySelectorAll('#sliders input').length === 2")
        assert tab.run("document.querySelector('#skipped-directions summary').textContent") == "Not found: pose"
        assert tab.run("document.querySelector('#skipped-directions li').textContent") == "pose: all images look alike."
    finally:
        shutil.rmtree(run / "directions")
    tab.reload()
    tab.wait("document.querySelectorAll('#sliders input').length > 2")
    assert not tab.run("document.getElementById('skipped-directions')")


def test_sliders_and_pickers_change_the_picture_and_a_reload_keeps_them(chrome: Chromium, site: str) -> None:
    tab = chrome.tab(f"{site}/generator")
    settled(tab)
    first = tab.run(LARGE)
    slide(tab, "truncation", "ArrowLeft", 8)
    tab.wait(f"{LARGE} !== {first!r}")
    settled(tab)
    second = tab.run(LARGE)
    tab.run("document.querySelector('#sheet button').focus()")
    tab.press("ArrowRight")
    tab.wait(f"{LARGE} !== {second!r}")
    assert tab.run("document.getElementById('named').textContent") == "seed 0, image 1"
    settled(tab)
    third = tab.run(LARGE)
    tab.run(
        "Object.assign(document.getElementById('cell0'), {value: 1}).dispatchEvent(new Event('change', {bubbles: true}))"
    )
    tab.wait(f"{LARGE} !== {third!r}")
    settled(tab)
    tab.wait("document.querySelectorAll('#mixing img').length === 29")
    chosen, frame = tab.run(LARGE), tab.run("document.getElementById('frame').src")
    tab.reload()
    settled(tab)
    tab.wait(f"{LARGE} === {chosen!r}")
    assert tab.run("document.getElementById('truncation').value") == "0.6"
    slide(tab, "position", "End")
    tab.wait(f"document.getElementById('frame').src !== {frame!r}")
    assert tab.run("document.getElementById('position-value').textContent") == "9 of 9"


def test_two_tabs_review_the_same_images(chrome: Chromium, served: dict[str, tuple[Path, str]]) -> None:
    run, site = served["whole"]
    address = f"{site}/review?show=all"
    first, second = chrome.tab(address), chrome.tab(address)
    seen = "document.querySelector('[data-position=\"{}\"]').dataset.seen"
    first.run("document.querySelector('[data-position=\"0\"]').focus()")
    first.press("r")
    first.press("ArrowRight")
    first.press("k")
    first.wait(f"{seen.format(0)} === 'reject' && {seen.format(1)} === 'keep'")
    decided = [row.get("review", {}).get("decision") for row in read_lines(run / "synthetic" / "manifest.jsonl")]
    assert decided == ["reject", "keep"] + [None] * (len(decided) - 2)
    assert first.run("document.querySelector('[data-count=\"rejected by hand\"]').textContent") == "1"
    second.wait(f"{seen.format(0)} === 'reject'")  # the other tab learns of it without a reload
    second.run("document.querySelector('[data-position=\"0\"] .quiet').click()")
    second.wait(f"{seen.format(0)} === ''")
    first.front()
    first.wait(f"{seen.format(0)} === ''")
    first.reload()
    first.wait(f"{seen.format(1)} === 'keep'")
    assert Run(run).synthetic.reasons[1] == ""
    first.run(  # as if the page were old
        "(card => { card.dataset.seen = 'keep'; card.querySelector('[data-decision=reject]').click(); })"
        "(document.querySelector('[data-position=\"2\"]'))"
    )
    first.wait("document.getElementById('status').textContent.startsWith('Someone else has decided')")
    assert "review" not in read_lines(run / "synthetic" / "manifest.jsonl")[2]


def test_the_plot_of_the_verdict_answers_to_its_lists(chrome: Chromium, site: str) -> None:
    tab = chrome.tab(f"{site}/verdict")
    means = "[...document.querySelectorAll('.arm[tabindex] .value')].map(each => each.textContent).join()"
    before = tab.run(means)
    tab.run(
        "Object.assign(document.querySelector('[name=against]'), {value: 'gan'}).dispatchEvent(new Event('change', {bubbles: true}))"
    )
    tab.wait(f"{means} !== {before!r}")
    assert "0.0" in tab.run(means).split(",") and "against=gan" in tab.run("location.search")
    assert tab.run("document.activeElement.name") == "against"


def test_an_uploaded_image_is_changed_and_a_large_one_refused(
    chrome: Chromium, served: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    tab = chrome.tab(f"{served['turning'][1]}/generator")
    changed = "document.getElementById('changed').src"
    tab.wait(f"{changed}.startsWith('data:image/png')")
    before = tab.run(changed)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / "me.png")
    tab.upload("#upload", tmp_path / "me.png")
    tab.wait(f"{changed} !== {before!r}")
    assert tab.run("document.getElementById('read-as').textContent") == "me.png: 40 × 40 px, resized to 16 × 16."
    said = "document.getElementById('status').textContent"
    (tmp_path / "letter.png").write_bytes(b"Dear Sir or Madam")
    tab.upload("#upload", tmp_path / "letter.png")
    tab.wait(f"{said}.includes('not an image of a known kind')")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(50 * 2**20)
    tab.upload("#upload", tmp_path / "huge.png")
    tab.wait(f"{said}.includes('50 MB, but 20 MB is the most')")
    after = tab.run(changed)
    assert after.startswith("data:image/png") and after != before  # the refused files have left the picture alone


def test_a_photograph_is_inverted_and_edited(chrome: Chromium, site: str, whole: Path, tmp_path: Path) -> None:
    tab = chrome.tab(f"{site}/generator")
    settled(tab)
    assert tab.run(BASE) == tab.run(EDITED) == tab.run(LARGE)
    tab.wait("document.querySelectorAll('#sliders input').length > 0")
    tab.run("document.querySelector('#sliders input').id = 'first'")
    slide(tab, "first", "ArrowRight", 4)
    tab.wait(f"{EDITED} !== {BASE}")
    assert tab.run("document.querySelector('#sliders output').textContent") == "+1"
    drawn, edited = tab.run(BASE), tab.run(EDITED)
    slide(tab, "truncation", "Home")
    tab.wait(f"{BASE} !== {drawn!r} && {EDITED} !== {edited!r}")  # the edit follows the truncation
    slide(tab, "truncation", "End")
    image = augury.Synthesizer.load(whole).sample([[1, 1]], seed=9).images[0, 0]
    Image.fromarray(image).save(tmp_path / "me.png")
    tab.upload("#photo-file", tmp_path / "me.png")
    tab.wait("!document.getElementById('quality').hidden", 120)
    assert tab.run("document.getElementById('rating').textContent").startswith(("Close", "Similar", "Failed"))
    assert "PSNR" in tab.run("document.getElementById('measure').textContent")
    assert tab.run("document.getElementById('base-name').textContent") == "inversion"
    assert tab.run("document.getElementById('original').naturalWidth") == 16
    settled(tab)
    assert tab.run(BASE) != tab.run(EDITED) != edited
    for width in (1200, 390):
        tab.resize(width)
        assert tab.run(OVERFLOW) <= width
    tab.resize(1200)
    inverted, edited = tab.run(BASE), tab.run(EDITED)
    tab.reload()
    tab.wait(f"{BASE} === {inverted!r} && {EDITED} === {edited!r}")
    tab.run("document.getElementById('forget').click()")
    tab.wait(f"{BASE} !== {inverted!r} && document.getElementById('original-figure').hidden")
    assert "photo" not in tab.run("location.search")
    (tmp_path / "letter.png").write_bytes(b"Dear Sir or Madam")
    tab.upload("#photo-file", tmp_path / "letter.png")
    tab.wait("document.getElementById('status').textContent.includes('not an image of a known kind')")
    assert tab.run("document.getElementById('original-figure').hidden")


def test_an_explorer_that_was_stopped_is_said(chrome: Chromium, site: str) -> None:
    tab = chrome.tab(f"{site}/generator")
    settled(tab)
    before = tab.run(LARGE)
    tab.offline()
    tab.run("document.getElementById('other').click()")
    tab.wait("document.getElementById('status').textContent.startsWith('The explorer does not answer')")
    assert tab.run(LARGE) == before and before.startswith("data:image/png")  # the page keeps what it shows
