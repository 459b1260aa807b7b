"""The generated parts of docs/gallery.md, and its pictures of the executed notebooks.

make docs && .venv/bin/python bench/gallery.py   # cuts the pictures out of the notebooks that the pages have just executed
python bench/tables.py                           # lists notebooks and pictures in the gallery

A picture of the gallery is any picture that another page shows. Its text there is its title here.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = DOCS / "pictures"
SHOWN = {
    "first_run": (("first-11",), "Bags and sandals that the generator drew after 150 steps"),
    "holes": (("holes-07", "holes-08"), "Plain shirts of the train split, and the same shirts translated to striped ones after 60 steps"),
    "medicine": (("medicine-02", "medicine-05"), "Simulated ultrasound images, and those that a generator drew after 120 steps"),
    "vendor": (("vendor-04",), "A delivery of images that are copies of train images, a little brighter"),
}  # fmt: skip
"""Notebook -> the cells whose strips of images are shown one below the other, and what they show."""
TIMES = 2
"""Pixels of the picture per pixel of an image."""
INLINE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
SHOWS = re.compile(r"^!\[([^\]]+)\]\(pictures/([\w-]+\.png)\)$")


def notebooks() -> str:
    """Each notebook with its first paragraph and its picture."""
    lines = []
    for path in sorted((DOCS / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title, paragraph = first.split("\n\n")[:2]
        lines += [f"### {title.removeprefix('# ')}", "", " ".join(paragraph.split()), ""]
        lines += [f"![{SHOWN[path.stem][1]}](pictures/notebook-{path.stem}.png)", ""]
        lines += [f"*{SHOWN[path.stem][1]}.* [Code and results](notebooks/{path.name})", ""]
    return "\n".join(["", *lines])


def pictures() -> str:
    """Each picture of the other pages, with a link to the section that shows it."""
    lines, listed = [], set()
    for page in sorted(DOCS.glob("*.md")):
        title = section = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                section = line.lstrip("# ")
                title = title or section
            match = SHOWS.match(line)
            if match and page.name not in ("gallery.md", "index.md") and match[2] not in listed:
                listed.add(match[2])
                target = page.name if section == title else f"{page.name}#{slug(section)}"
                where = title if section == title else f"{title}: {section}"
                lines += [
                    f"### {match[1]}",
                    "",
                    f"![{match[1]}](pictures/{match[2]})",
                    "",
                    f"Explained in [{where}]({target}).",
                    "",
                ]
    return "\n".join(["", *lines])


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main() -> None:
    """Write the pictures of the notebooks."""
    for name, (cells, _) in SHOWN.items():
        executed = DOCS / "jupyter_execute" / "notebooks" / f"{name}.ipynb"
        if not executed.is_file():
            raise SystemExit(f"{name}.ipynb has not been executed below docs/; run first: make docs")
        strips = [strip(json.loads(executed.read_text(encoding="utf-8")), cell) for cell in cells]
        width = max(image.width for image in strips)
        whole = np.full((sum(image.height for image in strips) + 2 * (len(strips) - 1), width, 3), 255, np.uint8)
        top = 0
        for image in strips:
            whole[top : top + image.height, : image.width] = np.asarray(image)
            top += image.height + 2
        picture = Image.fromarray(whole).resize(
            (TIMES * whole.shape[1], TIMES * whole.shape[0]), Image.Resampling.NEAREST
        )
        picture.save(PICTURES / f"notebook-{name}.png", optimize=True)
        print(f"notebook-{name}.png: {picture.width} × {picture.height}")


def strip(notebook: dict[str, Any], cell: str) -> Image.Image:
    """The first image in the output of a cell, in colour."""
    (outputs,) = (each["outputs"] for each in notebook["cells"] if each.get("id") == cell)
    pages = ["".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
    matches = [match for page in pages for match in INLINE.findall(page)]
    if not matches:
        raise SystemExit(f"the cell {cell} shows no images: run make docs, or change SHOWN in bench/gallery.py")
    return Image.open(io.BytesIO(base64.b64decode(matches[0]))).convert("RGB")


if __name__ == "__main__":
    main()
