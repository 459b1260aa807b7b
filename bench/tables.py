"""Fill the tables of README and docs from bench/results: between `<!-- bench NAME -->` and `<!-- end -->`.

python bench/tables.py           # rewrite them
python bench/tables.py --check   # fail when one is out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACE = re.compile(r"(<!-- bench (\w+) -->\n).*?(<!-- end -->)", re.S)


def table(name: str) -> str:
    """The markdown table of one result file and the line that says where it comes from."""
    file = ROOT / "bench" / "results" / f"{name}.json"
    if not file.exists():
        return f"Not measured yet: `make bench-{name}`.\n"
    facts = json.loads(file.read_text(encoding="utf-8"))
    lines = ["| case | Augury | compared with | | ratio |", "|---|---:|---|---:|---:|"]
    for r in facts["rows"]:
        unit = f" {r['unit']}" if r["unit"] else ""
        lines.append(
            f"| {r['case']} | {r['ours']:,g}{unit} | {r['peer_name']} | {r['peer']:,g}{unit} | {r['ratio']:.2f} |"
        )
    made_by = (
        f"`{facts['command']}`, {facts['machine']['processor']}, {facts['machine']['cores']} cores, {facts['date']}."
    )
    return "\n".join([*lines, "", made_by]) + "\n"


def main() -> None:
    """Rewrite or check every page."""
    stale = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = PLACE.sub(lambda found: found[1] + table(found[2]) + found[3], old)
        if new != old:
            stale.append(page)
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    if "--check" in sys.argv and stale:
        raise SystemExit(f"out of date: {', '.join(p.name for p in stale)}; run: python bench/tables.py")


if __name__ == "__main__":
    main()
