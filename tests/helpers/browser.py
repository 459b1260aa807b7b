"""Headless Chromium, where it is installed: a page in a frame of an exact width, and what is cut off there."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = "no Chromium is installed, so no page can be opened; install one: apt-get install chromium"
"""Why a test in the browser is skipped."""
CHECK = """
const page = document.querySelector("iframe").contentDocument, width = page.documentElement.clientWidth, over = [];
for (const each of page.body.querySelectorAll("*")) {
  const box = each.getBoundingClientRect();
  if (box.width && (box.right > width + 1 || box.left < -1) && !each.closest(".scroll table") && !each.closest("svg")) {
    over.push(each.tagName + "." + each.getAttribute("class") + ": " + each.textContent.trim().slice(0, 60));
  }
}
const scrolls = [...page.querySelectorAll(".scroll")].map(each => getComputedStyle(each).overflowX);
const found = {width, page: page.documentElement.scrollWidth, over, scrolls, height: page.documentElement.scrollHeight,
  first: [...page.querySelectorAll(FIRST)].map(each => each.getBoundingClientRect().bottom)};
document.body.innerHTML = "<pre id=found></pre>";
document.getElementById("found").textContent = JSON.stringify(found);
"""
"""Elements of the page that reach beyond its width; the contents of a table may, because it scrolls."""


def browser() -> str | None:
    """The path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def measured(page: str, width: int, folder: Path, first: str = "h1") -> dict[str, object]:
    """{width, page: its scroll width, over: elements cut off, scrolls, first: lower ends in px of the elements `first`, height}.

    The page forbids scripts, so the script runs in a document around its frame.
    """
    program = browser()
    assert program is not None, "ask browser() first"
    without_policy = page.replace('http-equiv="Content-Security-Policy"', 'name="policy"')
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(without_policy, quote=True)}"></iframe>'
    script = CHECK.replace("FIRST", json.dumps(first))
    file = folder / f"frame-{width}.html"
    file.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{frame}<script>onload = () => {{{script}}}</script></body>',
        encoding="utf-8",
    )
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        "--dump-dom",
    ]
    size = f"--window-size={max(width, 500)},1000"
    result = subprocess.run(
        [program, *words, size, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    text = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.S)
    assert text is not None, result.stderr[-2000:]
    measurements: dict[str, object] = json.loads(html.unescape(text[1]))
    return measurements
