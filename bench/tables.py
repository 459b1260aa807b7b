"""Fill the tables of README and docs: between `<!-- bench NAME -->` and `<!-- end -->` from bench/results
(`NAME.PART` is another table of that file), and between
`<!-- table NAME -->` and `<!-- end -->` from the package's own tables.

python bench/tables.py           # rewrite them
python bench/tables.py --check   # fail when one is out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

from gallery import notebooks, pictures

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACE = re.compile(r"(<!-- (bench|table) ([\w.]+) -->\n).*?(<!-- end -->)", re.S)


def table(name: str) -> str:
    """The markdown table of one result file and the line that says where it comes from."""
    name, _, part = name.partition(".")
    file = ROOT / "bench" / "results" / f"{name}.json"
    if not file.exists():
        return f"Not measured yet: `make bench-{name}`.\n"
    facts = json.loads(file.read_text(encoding="utf-8"))
    command_note = (
        f"`{facts['command']}`, {facts['machine']['processor']}, {facts['machine']['cores']} cores, {facts['date']}."
    )
    if "table" in facts:
        rows = facts["tables"][part] if part else facts["table"]
        return "\n".join([*plain(rows), "", command_note]) + "\n"
    lines = ["| case | Augury | compared with | | ratio |", "|---|---:|---|---:|---:|"]
    for r in facts["rows"]:
        unit, ratio = f" {r['unit']}" if r["unit"] else "", shown(r["ratio"] if r["peer"] > 0 else None)
        lines.append(f"| {r['case']} | {r['ours']:,g}{unit} | {r['peer_name']} | {r['peer']:,g}{unit} | {ratio} |")
    return "\n".join([*lines, "", command_note]) + "\n"


def shown(ratio: float | None) -> str:
    """Two decimals, or three below a hundredth."""
    return "–" if ratio is None else f"{ratio:.2f}" if abs(ratio) >= 0.01 or not ratio else f"{ratio:.3f}"


def plain(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a markdown table of rows of one kind."""
    every = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in every if not name.endswith("_real") and name != "features"]
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    for row in rows:
        cells = [
            f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            for value in (row.get(name, "–") for name in names)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def own(name: str) -> str:
    """A table of the package itself."""
    return OWN[name]()


def formats() -> str:
    """What is read and what is written."""
    from augury.data import FORMATS
    from augury.exports import EXPORTS

    written = set(EXPORTS)
    lines = [
        "| format | what it looks like | read | written | labels, attributes, groups, split |",
        "|---|---|---|---|---|",
    ]
    for f in FORMATS:
        lines.append(f"| `{f.name}` | {f.looks} | ✓ | {'✓' if f.name in written else ''} | {f.tells} |")
        written.discard(f.name)
    lines += [f"| `{name}` | | | ✓ | |" for name in EXPORTS if name in written]
    return "\n".join(lines) + "\n"


def settings() -> str:
    """Every setting of a run with its default and what it is for."""
    from augury.settings import RunSettings
    from augury.settings_help import describe

    lines, defaults = ["| setting | default | what it is |", "|---|---|---|"], RunSettings().model_dump(mode="json")
    for section, field in RunSettings.model_fields.items():
        kind = field.annotation
        fields = getattr(kind, "model_fields", None)
        named = {section: field} if fields is None else {f"{section}.{name}": own for name, own in fields.items()}
        for name in named:
            default = defaults[section] if fields is None else defaults[section][name.partition(".")[2]]
            default_text = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
            lines.append(f"| `{name}` | `{default_text}` | {describe(name, default='').replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def recipe() -> str:
    """Every setting of a recipe with its default and what it is for."""
    from augury.training.recipes import Recipe

    return _overrides(Recipe, ("settings",))


def pipeline() -> str:
    """Every setting of a pretrained pipeline that a user gives."""
    from augury.networks import PipelineSettings
    from augury.training.pipelines import BY_THE_RUN

    return _overrides(PipelineSettings, BY_THE_RUN)


def _overrides(model: Any, without: tuple[str, ...]) -> str:
    from augury.settings_help import describe

    lines = ["| `train.overrides` | default | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name not in without:
            default = "" if field.is_required() else f"`{json.dumps(field.get_default(call_default_factory=True))}`"
            lines.append(f"| `{name}` | {default} | {describe(field, default='').replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def reading() -> str:
    """Every option about reading data, on the command line and in Python."""
    from augury.cli.options import typed
    from augury.cli.reading import DATA
    from augury.settings_help import describe, field_of

    lines = ["| option | `load(…)` | what |", "|---|---|---|"]
    for option, (name, *_) in DATA.items():
        examples = (field_of(f"data.{name}").examples or [])[-1:]
        words = ["--" + option.replace("_", "-"), *(typed(f"data.{name}", isinstance(e, dict), e) for e in examples)]
        lines.append(f"| `{' '.join(words)}` | `{name}` | {describe(f'data.{name}', null='not given', written=repr)} |")
    return "\n".join(lines) + "\n"


PLAYED = {
    "gan": "gan (non-saturating)",
    "dcgan": "gan (non-saturating)",
    "stylegan": "gan (non-saturating)",
    "wgan": "wgan (clipping)",
    "wgan_gp": "wgan_gp",
    "rpgan": "r3gan (relativistic + R1 + R2)",
    "r3gan": "r3gan (relativistic + R1 + R2)",
}
"""Recipe -> the objective of bench-modes that it uses."""


def recipes() -> str:
    """What was measured of each recipe, a row each; a dash where nothing was."""
    from augury.training.recipes import RECIPES

    modes = {row["case"]: row["ours"] for row in _result("modes").get("rows", [])}
    quality = {row["recipe"]: row for row in _result("quality").get("table", []) if row["data"].startswith("sample")}
    speed = {row["recipe"]: row for row in _result("speed").get("recipes", []) if row["size"] == 32}
    columns = ["recipe", "modes of 25", "KID", "precision", "recall", "GAN-train", "trains, img/s", "draws, img/s"]
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    for name in RECIPES:
        stored_value = modes.get(f"grid of 25, {PLAYED.get(name)}: modes found")
        share = modes.get(f"grid of 25, {PLAYED.get(name)}: high-quality samples", 0.0)
        cells = ["–" if stored_value is None else f"{stored_value:.0f}, {share:.0%} good"]
        scores, pace = quality.get(name, {}), speed.get(name, {})
        cells += [f"{scores[c]:.3f}" if c in scores else "–" for c in ("kid", "precision", "recall", "gan_train")]
        cells += [f"{pace[c]:,.3g}" if c in pace else "–" for c in ("trained", "drawn")]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    real = next(iter(quality.values()), {})
    cells = [
        f"{real[f'{c}_real']:.3f}" if f"{c}_real" in real else "–" for c in ("kid", "precision", "recall", "gan_train")
    ]
    return "\n".join([*lines, f"| real images | 25, 99% good | {' | '.join(cells)} | | |"]) + "\n"


def galaxies() -> str:
    """The arms of the trial of bench-galaxies."""
    rows = _result("galaxies").get("arms")
    return "\n".join(plain(rows)) + "\n" if rows else "Not measured yet: `make bench-galaxies`.\n"


PEERS = {
    "peers": (
        ("PyTorch-GAN", "torchgan", "lightweight-gan"),
        "[KID after equal time](measured.md#quality-beside-peers)",
    ),
    "speed": (
        ("PyTorch-GAN", "StyleGAN2"),
        "[training and drawing](measured.md#every-recipe-and-other-implementations)",
    ),
    "augment": (("kornia", "torchvision", "albumentations"), "[augmentation](augment.md#how-fast)"),
    "metrics": (
        ("torch-fidelity", "torchmetrics", "pytorch-fid", "clean-fid", "prdc"),
        "[time and memory of scores](scores.md#how-fast)",
    ),
}
"""Result file -> the programs that it compares with, as its names begin, and what it measures."""


def peers() -> str:
    """Each comparison with another program in one row: how often Augury is ahead, and by how much."""
    lines = ["| program | measured | Augury ahead | median advantage | least advantage |", "|---|---|---:|---:|---:|"]
    for name, (programs, measured) in PEERS.items():
        for program in programs:
            rows = [row for row in _result(name).get("rows", []) if row["peer_name"].startswith(program)]
            ratios = [r["ours"] / r["peer"] if r["higher_is_better"] else r["peer"] / r["ours"] for r in rows]
            if ratios:
                ahead = f"{sum(ratio > 1 for ratio in ratios)} of {len(ratios)}"
                cells = (ahead, shown(median(ratios)), shown(min(ratios)))
                lines.append(f"| {program} | {measured} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _result(name: str) -> dict[str, Any]:
    file = ROOT / "bench" / "results" / f"{name}.json"
    stored_value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return stored_value


OWN = {
    "galaxies": galaxies,
    "formats": formats,
    "notebooks": notebooks,
    "peers": peers,
    "pictures": pictures,
    "pipeline": pipeline,
    "reading": reading,
    "recipe": recipe,
    "recipes": recipes,
    "settings": settings,
}
MAKERS = {"bench": table, "table": own}


def main() -> None:
    """Rewrite or check every page."""
    stale = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = PLACE.sub(
            lambda stored_value: stored_value[1] + MAKERS[stored_value[2]](stored_value[3]) + stored_value[4], old
        )
        if new != old:
            stale.append(page)
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    if "--check" in sys.argv and stale:
        raise SystemExit(f"out of date: {', '.join(p.name for p in stale)}; run: python bench/tables.py")


if __name__ == "__main__":
    main()
