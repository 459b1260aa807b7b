"""The explorer as a person uses it, in headless Chromium: every page, sliders, the keyboard, a review in two tabs, a reload."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

import augury
from augury.files import read_lines
from augury.pipeline.run_folder import Run
from tests.helpers.browser import browser
from tests.helpers.devtools import Chromium, Tab, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason="no Chromium is installed, so no page can be opened"),
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


def heed_interrupts() -> None:
    """Tests in the background of a shell ignore SIGINT, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def served(
    whole: Path, turning: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Path, str]]]:
    """A copy of each run, and the address where `augury explore` serves it."""
    root, processes, runs = tmp_path_factory.mktemp("served"), [], {}
    try:
        for name, run in (("whole", whole), ("turning", turning)):
            shutil.copytree(run, root / name)
            words = [sys.executable, "-c", FAST, "explore", str(root / name), "--port", "0"]
            processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts))
        for name, process in zip(("whole", "turning"), processes, strict=True):
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address is not None
            runs[name] = (root / name, address[0])
        yield runs
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        assert [process.wait(120) for process in processes] == [0] * len(processes)


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


def test_every_page_opens_without_errors_and_fits_a_phone(chrome: Chromium, site: str) -> None:
    tab = chrome.tab(f"{site}/data")
    for name in ("data", "training", "generator", "review", "verdict"):
        for width in (1200, 390):
            tab.resize(width)
            tab.go(f"{site}/{name}")
            tab.wait("document.querySelector('h1')")
            assert tab.run(OVERFLOW) <= width, (name, width)
            assert tab.run("document.querySelector('[aria-current]').textContent").lower() == name
            assert tab.run("document.getElementById('status').textContent") == ""
    tab.go(f"{site}/training")
    tab.wait("document.getElementById('sheet').naturalWidth > 0")
    tab.go(f"{site}/data")
    assert tab.run("document.querySelectorAll('#images .sheet img').length") == 36


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
