"""Builds the page: facts in, one HTML text out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augury import sentences
from augury.files import write_text
from augury.proof.arms import ARMS
from augury.report import cells, charts, overview, scores, translations, wording
from augury.report.copies import copies
from augury.report.facts import Facts
from augury.report.pictures import Strip, StripInput, strips
from augury.sentences import LAYERS, of_groups, same, specificity
from augury.verdict import Verdict

if TYPE_CHECKING:
    from jinja2 import Environment

PICTURE_BYTES = 3_000_000
"""Most bytes of all pictures together; with MOST_ROWS it keeps the page under 5 MB."""
MOST_ROWS = 200
"""Most rows of a table; the run's JSON files have all rows."""
MOST_CLASSES = 40
"""Most classes shown in pictures: those with the fewest training images."""
EACH = 8
PAIRS = 12
REAL_NEIGHBOURS = 3
LOSSES = {"loss_g": "synthetic", "loss_d": "real", "loss": "real"}
SCORES = {"score_real": "real", "score_fake": "synthetic"}
KERNEL = {"kid": "synthetic"}
HEALTH = {"spread": "synthetic", "closeness": "real"}
CONTEST = {"pairwise_accuracy": "real", "p": "synthetic"}
CHANGE = {"moved": "synthetic", "cycle": "real"}
TITLES = {
    "kid": "kernel distance",
    "spread": "within-class variety",
    "closeness": "distance to train",
    "pairwise_accuracy": "pairwise accuracy",
    "p": "augment probability",
    "loss": "nats per image",
    "loss_g": "generator",
    "loss_d": "discriminator",
    "score_real": "real images",
    "score_fake": "synthetic images",
    "moved": "translation",
    "cycle": "cycle",
}
TRAINING_CHARTS = [
    (
        "Distance to held-out images",
        KERNEL,
        "The latest checkpoint within one standard error of the lowest point is used.",
    ),
    (
        "Relative to real images",
        HEALTH,
        "1: as real images. Variety near 0: mode collapse. Distance near 0: copies.",
    ),
    ("Losses", LOSSES, "Healthy training: both losses stay bounded and close together."),
    (
        "How much images change",
        CHANGE,
        "Mean absolute difference from the source, on the scale −1 to 1: of the translation, and after translating back (cycle).",
    ),
    ("Discriminator scores", SCORES, "Batch means."),
    ("Pairwise accuracy", CONTEST, "Share of real images scored above a fake: 0.5 is chance, 1 is perfect separation."),
]
"""Title, columns of the log and caption of each chart of the training."""
FILTERS = (
    "share", "percent", "points", "detectable", "number", "signed", "duration", "phrase", "short", "pretty", "confidence", "breakable",
    "code",
)  # fmt: skip
"""Functions of `wording` that the templates call by name."""
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters, lone surrogates and direction overrides, which external names may contain."""


def render(facts: Facts) -> str:
    """The whole page as HTML in UTF-8, under 5 MB, without scripts or external resources; the same facts give the same text."""
    page = _environment().get_template("page.html.j2").render(**_context(facts))
    return UNPRINTABLE.sub("\ufffd", page)


def write(facts: Facts, path: str | os.PathLike[str]) -> None:
    """Write the page to `path`, atomically; raises RunFolderError when it cannot be written."""
    write_text(Path(path), render(facts))


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("augury", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        environment.filters[name] = getattr(wording, name)
    return environment


def _context(facts: Facts) -> dict[str, Any]:
    """The variables of the template."""
    verdict = facts.verdict
    differences = [abs(row["difference"]) for row in verdict.per_class if not wording.missing(row["difference"])]
    return {
        "facts": facts,
        "trained": {"unlabelled": None, "start_from": None} | facts.metadata.get("settings", {}).get("train", {}),
        "pipeline": facts.plan.get("steps") == 0,
        "pretrained": sentences.PRETRAINED,
        "v": verdict,
        "sign": wording.SIGNS[verdict.outcome],
        "cells": cells.section(verdict),
        "translations": translations.section(facts),
        "most_each": max((len(each.rows) for each in facts.translations), default=EACH),
        "question": sentences.question(verdict),
        "gain": sentences.gain(verdict, facts.best, facts.classifier.get("arm", {}).get("by", "validation"))
        if facts.best
        else "",
        "classifier": facts.classifier,
        "answer": sentences.ANSWERS[verdict.outcome],
        "effect": sentences.effect(verdict),
        "lead": wording.lead(verdict),
        "disagreement": wording.disagreement(verdict),
        "second": wording.second_answer(verdict),
        "overview": overview.section(facts),
        "losses": wording.losses(verdict),
        "tested": verdict.outcome != "not tested",
        "generator_warnings": wording.generator_warnings(facts.log),
        "adds": verdict.adds,
        "filtered": _filtered(facts),
        "of_images": verdict.adds != LAYERS,
        "groups": of_groups(verdict.test_n, verdict.test_groups),
        "same": same(verdict.adds),
        "other_network": any(name in ARMS and ARMS[name].trained_weights for name in verdict.arms),
        "meaning": wording.meaning(verdict),
        "arm_notes": {name: arm.note for name, arm in ARMS.items()},
        "arms": _arm_rows(verdict),
        "sensitivity": _sensitivity(verdict),
        "specificity": specificity(verdict),
        "arms_chart": charts.arms(verdict),
        "difference_chart": charts.difference(verdict),
        "ratio_chart": charts.ratio_curve(verdict),
        "bar": charts.bar,
        "most": max(differences, default=0.0),
        "training_charts": TRAINING_CHARTS,
        "drawn": lambda columns: charts.lines(facts.log, columns, TITLES),
        "warnings": [(row["step"], text) for row in facts.log for text in row.get("warnings", {}).values()],
        "filters": _filters(facts.generation),
        "totals": _totals(facts.generation),
        "data": _data(facts),
        "copies": copies(facts),
        "seed": facts.metadata.get("settings", {}).get("seed"),
        "score_charts": {kind: scores.chart(facts.scores, kind) for kind in scores.SIDES},
        "score_tables": scores.tables(facts.scores),
        "class_scores": scores.by_class(facts.scores),
        "looked": scores.looked(facts),
        "rows": MOST_ROWS,
        "each": EACH,
        **_pictures(facts),
    }


def _arm_rows(verdict: Verdict) -> list[dict[str, Any]]:
    """One row per arm: mean scores over the seeds, and the interval of the metric."""
    rows = []
    for name, arm in verdict.arms.items():
        values = np.array(verdict.values(name))
        rows.append(
            {
                "name": name,
                "metric": float(values.mean()),
                "interval": charts.interval(values),
                "overall": _mean(arm.get("overall", ())),
                **{name: _mean(arm[name]) for name in ("macro_f1", "worst_recall", "auc", "ece", "brier")},
                "role": {verdict.arm: "synthetic", verdict.comparator: "real"}.get(name, "other"),
            }
        )
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _sensitivity(verdict: Verdict) -> list[dict[str, Any]]:
    """Sensitivity at 90 % specificity without and with synthetic images, mean over the seeds; only for two classes.

    Its thresholds are those of the test images. A trial about sensitivity has its own, chosen on validation.
    """
    if len(verdict.per_class) != 2 or verdict.operating_point is not None:
        return []
    without, with_them = (verdict.arms[getattr(verdict, role)]["sensitivity"] for role in ("comparator", "arm"))
    return [
        {"class": row["class"], "without": _mean([s[c] for s in without]), "with": _mean([s[c] for s in with_them])}
        for c, row in enumerate(verdict.per_class)
    ]


def _filtered(facts: Facts) -> bool:
    """Whether filters chose among the synthetic images: true for a run and its folds, false for external images."""
    return not facts.judged or facts.verdict.folds > 1


def _filters(generation: Mapping[str, Any]) -> list[str]:
    """The filters named in any row, in order of appearance."""
    return list(dict.fromkeys(name for row in generation.get("rows", ()) for name in row.get("rejected", {})))


def _totals(generation: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of every column of the generation table."""
    rows = generation.get("rows", ())
    totals = {column: sum(row[column] for row in rows) for column in ("real", "requested", "drawn", "accepted")}
    rejected = {name: sum(row["rejected"].get(name, 0) for row in rows) for name in _filters(generation)}
    return {**totals, "rejected": rejected}


def _data(facts: Facts) -> dict[str, Any]:
    """The data section: counts per split and class, and the size in words."""
    data = facts.metadata.get("data", {})
    counts: Mapping[str, Any] = data.get("counts") or {"train": facts.train.counts.tolist()}
    channels, height, width = data.get("shape") or facts.train.shape
    classes = list(data.get("classes") or facts.train.classes)
    return {
        "n": data.get("n", len(facts.train)),
        "size": f"{width} × {height} px, {'grey' if channels == 1 else 'colour'}",
        "splits": list(counts),
        "rows": [(name, [column[c] for column in counts.values()]) for c, name in enumerate(classes)],
        "totals": [sum(column) for column in counts.values()],
        "warnings": list(data.get("warnings", ())),
        "notes": dict(data.get("notes", {})),
    }


def _pictures(facts: Facts) -> dict[str, Any]:
    """Real and synthetic strips of each class, and each shown synthetic image with its nearest training images."""
    shown = np.sort(np.argsort(facts.train.counts, kind="stable")[:MOST_CLASSES])
    strip_inputs: list[StripInput] = []
    layout: list[tuple[str, str, list[str]]] = []
    synthetic_noun = "accepted synthetic images" if _filtered(facts) else "synthetic images"
    for c in shown.tolist():
        name = facts.train.classes[c]
        strip_inputs.append(_strip(facts.train.images, facts.train.labels == c, f"real training images of {name}"))
        at = (facts.synthetic.labels == c) & facts.synthetic.accepted
        strip_inputs.append(_strip(facts.synthetic.images, at, f"{synthetic_noun} of {name}"))
    order = np.argsort(facts.distances[:, 0], kind="stable")[:PAIRS] if facts.distances.size else np.empty(0, int)
    for m in order.tolist():
        drawn, real = int(facts.neighbours[m, 0]), facts.neighbours[m, 1 : 1 + REAL_NEIGHBOURS]
        name = facts.synthetic.classes[int(facts.synthetic.labels[drawn])]
        images = np.concatenate([facts.synthetic.images[drawn][None], facts.train.images[real]])
        strip_inputs.append((images, f"a synthetic image of {name}, then the {len(real)} nearest training images"))
        reason = facts.synthetic.reasons[drawn] if facts.synthetic.reasons else ""
        layout.append((name, reason, [wording.decimals(d, facts.distances) for d in facts.distances[m, : len(real)]]))
    copies = scores.copied(facts)
    strip_inputs += [pictures for _, pictures in copies]
    indices = [i for i, (images, _) in enumerate(strip_inputs) if len(images)]
    by_index = dict(zip(indices, strips([strip_inputs[i] for i in indices], PICTURE_BYTES), strict=False))
    pairs: list[tuple[str, Strip | None, Strip | None]] = [
        (facts.train.classes[c], by_index.get(2 * i), by_index.get(2 * i + 1)) for i, c in enumerate(shown.tolist())
    ]
    first = 2 * len(shown)
    near = [(*layout[i], by_index[first + i]) for i in range(len(layout)) if first + i in by_index]
    last = first + len(layout)
    copied = [(rows, by_index[last + i]) for i, (rows, _) in enumerate(copies) if last + i in by_index]
    return {"copied": copied, "pairs": pairs, "near": near, "near_of": len(facts.synthetic), "k": REAL_NEIGHBOURS}


def _strip(images: Any, mask: Any, noun: str) -> StripInput:
    """The first EACH images where `mask` holds."""
    at = np.flatnonzero(mask)[:EACH]
    return images[at], f"{len(at)} {noun}"
