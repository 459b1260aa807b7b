"""Facts of a made-up run: drawn shapes, seeded, with any number of classes, any size, any outcome."""

import numpy as np

from augury.images import LabelledImages, SyntheticImages
from augury.report import Facts
from augury.sentences import IMAGES
from augury.verdict import Verdict

OUTCOMES = {
    "helps": (0.021, 0.012, 0.031, 0.03125),
    "no difference": (0.004, -0.006, 0.013, 0.4375),
    "hurts": (-0.019, -0.03, -0.008, 0.03125),
    "underpowered": (0.01, -0.04, 0.05, 0.25),
    "not tested": (0.001, -0.01, 0.01, 0.9),
}
FILTERS = ("agreement", "near_copy")
REJECTED = {"near_copy": 60, "agreement": 640}


def shapes(labels, size, channels, noise, seed):
    """uint8 [N, channels, size, size]: a ring for each label, of its own radius and eccentricity, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    images = []
    for label in labels:
        shift = rng.normal(0, 0.08, 2)
        radius = np.hypot((x - shift[0]) * (1 + 0.25 * (label % 4)), y - shift[1])
        ring = np.exp(-(((radius - 0.25 - 0.06 * (label % 7)) / 0.12) ** 2))
        tint = 0.5 + 0.5 * np.cos(label + np.arange(channels) * 2.1) if channels == 3 else np.ones(1)
        images.append(255 * ring * tint[:, None, None] + rng.normal(0, noise, (channels, size, size)))
    return np.clip(np.array(images), 0, 255).astype(np.uint8)


def verdict(outcome, classes, counts, seeds=6, ratio=0.5):
    """A verdict with arms that fit the outcome."""
    rng = np.random.default_rng(5)
    difference, low, high, p = OUTCOMES[outcome]
    bases = {"none": 0.741, "class_weights": 0.752, "balanced": 0.768, "classical": 0.803}
    pattern = np.linspace(-1, 1, seeds) if seeds > 1 else np.zeros(1)
    arms = {name: base + rng.normal(0, 0.006, seeds) for name, base in bases.items()}
    arms["gan"] = arms["classical"] + difference + pattern * (high - low) * 0.6
    recalls = {name: rng.uniform(0.5, 0.99, (seeds, len(classes))) for name in arms}
    rows = []
    for c, name in enumerate(classes):
        without, with_them = (float(recalls[arm][:, c].mean()) for arm in ("classical", "gan"))
        change = float((recalls["gan"] - recalls["classical"])[:, c].mean())
        counted = {"train": int(counts[c]), "test": 40, "synthetic": int(max(counts) - counts[c]) if ratio else 0}
        rows.append(
            {"class": name, **counted, "recall_comparator": without, "recall_arm": with_them, "difference": change}
            | {
                "interval_comparator": [without - 0.04, without + 0.03],
                "interval_arm": [with_them - 0.04, with_them + 0.03],
            }
            | {"low": change - 0.05, "high": change + 0.05, "level": 0.05, "p_adjusted": 0.4, "worse": False}
        )
    compared = {"difference": difference, "low": low, "high": high, "p": p, "p_adjusted": p, "level": 0.05}
    curve = [
        {"ratio": r, "values": (0.79 + 0.03 * r - 0.028 * r**2 + rng.normal(0, 0.004, 3)).tolist()}
        for r in (0.0, 0.25, 0.5, 1.0)
    ]
    return Verdict(
        outcome=outcome,
        arm="gan",
        comparator="classical",
        difference=difference,
        low=low,
        high=high,
        p=p,
        level=0.05,
        ratio=ratio,
        seeds=tuple(range(seeds)),
        test_n=2517,
        margin=0.02,
        p_no_gain=0.01,
        p_no_loss=0.01,
        detectable=0.0173,
        least_seeds=6,
        seeds_needed=14,
        images_needed=5000,
        matched_control={"arm": "gan", "against": "classical", **compared},
        comparisons=({"arm": "gan", "against": "classical", "adds": IMAGES, **compared},),
        leaks={"test_not_seen_by": ["classifier", "filters", "generator"], "left_out": 0},
        arms={
            name: {
                "balanced_accuracy": values.tolist(),
                "macro_f1": (values - 0.01).tolist(),
                "worst_recall": recalls[name].min(axis=1).tolist(),
                "auc": (values + 0.1).tolist(),
                "ece": (1 - values).tolist(),
                "brier": (1.2 - values).tolist(),
                "sensitivity": recalls[name].tolist(),
                "recall": recalls[name].tolist(),
            }
            for name, values in arms.items()
        },
        ratio_curve=() if outcome == "not tested" else tuple(curve),
        synthetic={
            "drawn": 700,
            "accepted": 0 if outcome == "not tested" else 500,
            "left_out": 0,
            "rejected": REJECTED,
        },
        per_class=tuple(rows),
    )


def log(rows):
    """log.jsonl of a training that settles."""
    rng = np.random.default_rng(8)
    t = np.arange(1, rows + 1)
    resolve_recipe = np.exp(-t / 15)
    columns = {
        "step": t * 100,
        "images": t * 6400,
        "seconds": t * 13.4,
        "images_per_second": 470 + rng.normal(0, 8, rows),
        "loss_g": 1.1 + resolve_recipe + rng.normal(0, 0.06, rows),
        "loss_d": 1.25 - 0.6 * resolve_recipe + rng.normal(0, 0.04, rows),
        "score_real": 0.6 + 1.5 * resolve_recipe + rng.normal(0, 0.05, rows),
        "score_fake": -0.6 - 1.5 * resolve_recipe + rng.normal(0, 0.05, rows),
    }
    return [{name: round(float(values[i]), 4) for name, values in columns.items()} for i in range(rows)]


def scores():
    """Scores as the metrics room gives them, one without a baseline."""
    extractor = {"features": "lite0 (sha256 579344248a93)", "preprocessing": "bicubic to 224, antialiased, uint8"}
    return [
        {"name": "FD-lite0", "value": 84.2137, "low": 80.1, "high": 88.9, "n": 780, "better": "lower", **extractor,
         "baseline": 41.73, "note": "not meaningful below 1,280 images: biased upwards"},
        {"name": "KID", "value": 0.00431, "low": 0.0031, "high": 0.0056, "n": 780, "better": "lower", **extractor,
         "baseline": 0.0002, "note": ""},
        {"name": "coverage", "value": 0.712, "low": 0.68, "high": 0.744, "n": 780, "better": "higher", **extractor,
         "baseline": None, "note": "k = 5"},
    ]  # fmt: skip


def facts(
    outcome="helps", classes=5, size=28, channels=1, names=None, seeds=6, ratio=0.5, log_rows=60, keep=0.7, each=14
):
    """Facts of a run over `classes` ring classes."""
    names = tuple(names or (f"ring {c}" for c in range(classes)))
    k = len(names)
    if outcome == "not tested":
        ratio, keep = 0.0, 0.0
    rng = np.random.default_rng(2)
    labels = np.concatenate([np.full(max(9, 60 // (c + 1)), c) for c in range(k)])
    train = LabelledImages(shapes(labels, size, channels, 10, 1), labels, names, fingerprint="abc")
    requested = np.repeat(np.arange(k), each)
    draw = rng.random(len(requested))
    reasons = tuple("" if d < keep else FILTERS[int(10 * d) % 2] for d in draw)
    pictures, index = shapes(requested, size, channels, 30, 3), np.arange(len(requested))
    synthetic = SyntheticImages(pictures, requested[:, None], ("class",), names, 0, index, "f00d", {}, reasons)
    near = np.array([[m, *np.flatnonzero(labels == requested[m])[:5]] for m in range(min(30, len(requested)))])
    rows = [
        {
            "class": name,
            "real": int(train.counts[c]),
            "requested": int(train.counts.max() - train.counts[c]),
            "drawn": each,
            "accepted": int((synthetic.accepted & (requested == c)).sum()),
            "why": f"rare: <{c}> images lack",
            "rejected": {f: sum(r == f for r, a in zip(reasons, requested, strict=True) if a == c) for f in FILTERS},
        }
        for c, name in enumerate(names)
    ]
    parts = {"train": train.counts.tolist(), "validation": [7] * k, "test": [11] * k}
    return Facts(
        title="rings",
        source="the embedded sample (long-tailed rings, MIT)",
        command="augury run rings/ -o runs/rings --seed 0",
        metadata={
            "version": "0.1.0",
            "settings": {"seed": 0, "train": {"recipe": "dcgan"}},
            "versions": {"python": "3.11.9", "torch": "2.13.0"},
            "machine": {"processor": "two cores", "memory_gb": 16.0},
            "data": {
                "n": 4321,
                "shape": list(train.shape),
                "classes": list(names),
                "counts": parts,
                "warnings": ["30 files were skipped: 30 .heic (convert to JPEG or PNG)"],
                "notes": {"resizing": "native, not resized", "skipped": [f"broken-{i}.png" for i in range(20)]},
            },
        },
        verdict=verdict(outcome, names, train.counts, seeds, ratio),
        train=train,
        synthetic=synthetic,
        neighbours=near,
        distances=np.sort(rng.uniform(3, 30, (len(near), 5)), axis=1),
        log=log(log_rows),
        plan={
            "recipe": "dcgan", "steps": 4000, "batch": 64, "precision": "bf16", "device": "cpu",
            "images_per_second": 471.3, "parameters": {"generator": 1_234_567, "discriminator": 654_321},
            "augment": "diffaugment", "label_sampling": "sqrt",
        },
        generation={
            "strategy": "tail",
            "rows": rows,
            "filters": {"agreement": "no other class is seen; at least 1", "near_copy": "pixel distance; at least 3.2"},
        },
        scores=scores(),
        seconds={"split": 0.31, "train": 803.4, "generate": 12.0, "prove": 4212.0},
    )  # fmt: skip
