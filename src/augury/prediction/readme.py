"""The card of a classifier as a page to read."""

from __future__ import annotations

from collections.abc import Sequence

from augury.cards import (
    MEDICAL,
    TAG,
    bullets,
    cell,
    front_matter,
    is_medical,
    licence_lines,
    listed,
    percent,
    section,
    table,
)
from augury.prediction.card import ClassifierCard
from augury.sentences import of_groups

USE = """Use on the command line:

    augury predict RUN new-images/ -o predictions.csv

In Python:

    import augury

    classifier = augury.classifier("RUN")
    predictions = classifier.predict("new-images/")

RUN is the run folder that holds this folder, or this folder itself.
"""
ONNX = """`model.onnx` needs neither Augury nor PyTorch. Its input `images` is uint8 [N, {channels}, {height}, {width}], already resized; scaling,
calibration and softmax are in the graph. Its outputs are `probabilities` [N, {classes}] and `distance` [N].
"""
LIMITS = (
    "- Intended for images of the same kind, origin and classes as the training images. Each image gets one of the classes above, "
    "also where it shows something else.",
    "- Not for decisions about people, patients or safety without a test on images from the place of use.",
    "- Other cameras, scanners, sites or times may lower the accuracy; measure it on labelled images from there.",
)


def readme(card: ClassifierCard, onnx: str = "") -> str:
    """The card as Markdown; `onnx` says why there is no ONNX file, "" where there is one."""
    channels, height, width = card.shape
    fields = {"channels": channels, "height": height, "width": width, "classes": len(card.classes)}
    medical = MEDICAL.splitlines() if is_medical(card.data.get("notes", {})) else []
    lines = [
        _front_matter(card),
        f"# Classifier of {cell(card.data['source'])}",
        "",
        f"An image classifier for {len(card.classes):,} classes: {listed(card.classes)}.",
        "",
        USE,
        f"ONNX: {onnx}\n" if onnx else ONNX.format(**fields),
        *section("Accuracy", _accuracy(card)),
        *section("How it was trained", bullets(_training(card))),
        *section("Images", bullets(_images(card))),
        *section("Probabilities", _probabilities(card)),
        *section("Images unlike the training images", _novelty(card)),
        *section("Intended use and limits", [*LIMITS, *medical]),
        *licence_lines(_licence(card), card.licence_note),
        *section("Versions", [", ".join(f"{name} {version}" for name, version in card.versions.items())]),
    ]
    return "\n".join(lines)


def _accuracy(card: ClassifierCard) -> list[str]:
    """What was measured on the test split: both accuracies, the threshold if there is one, and a row for each class."""
    test = card.test
    worst = test["worst"]
    recall = _interval([worst["recall"], worst["low"], worst["high"]])
    facts = {
        "Balanced accuracy (mean recall of the classes)": _interval(test["balanced_accuracy"]),
        "Accuracy": _interval(test["accuracy"]),
        "Worst class": f"{worst['class']}, recall {recall}",
    }
    return [
        f"Measured once on {test['n']:,} test images{of_groups(test['n'], test['groups'])}. Intervals have a confidence of 95 % and "
        "cover other test images of the same kind, not another training.",
        "",
        *bullets(facts),
        *_detection(card),
        *table(_rows(card), ["class", "train images", "test images", "recall", "95 % interval"]),
    ]


def _detection(card: ClassifierCard) -> list[str]:
    """The threshold and what it gives on the test split; [] for a classifier without one."""
    row = card.operating_point
    if not row:
        return []
    name = cell(row["class"])
    facts = {
        "Sensitivity": f"{_interval(row['sensitivity'])} of {row['positives']:,} test images",
        "Specificity": f"{_interval(row['test_specificity'])} of {row['negatives']:,} test images",
    }
    return [
        f"Threshold for {name}: an image whose probability of {name} is above {row['threshold']:.6g} is reported. It was "
        f"chosen on {row['validation']:,} validation images of other classes, for a specificity of {percent(row['specificity'])}.",
        "",
        *bullets(facts),
        "The recalls below are without this threshold: each image gets its most probable class.",
        "",
    ]


def _training(card: ClassifierCard) -> dict[str, str]:
    """The arm, why it was chosen, and how the network was trained."""
    training, arm = card.training, card.arm
    added, split = training["synthetic"], "validation" if arm["by"] == "validation" else "the test split"
    more = f", with {added:,} further {'image' if added == 1 else 'images'}" if added else ""
    scores = sorted(arm["scores"].items(), key=lambda item: -item[1])
    return {
        "Way to train": f"{arm['name']}: {arm['note']}",
        "Why this one": arm["why"],
        f"Scores that decided ({arm['metric']} on {split})": ", ".join(
            f"{name} {percent(value)}" for name, value in scores
        ),
        "Training": f"{training['images']:,} images of the train split{more}; {training['steps']:,} steps of {training['batch']} images, "
        f"learning rate {training['rate']:g}, seed {training['seed']}, {training['precision']} on {training['device']}",
        "Network": ", ".join(f"{key} {value}" for key, value in card.blueprint.items()),
        "Remarks": " ".join(card.remarks),
        "Outcome of the trial about generated images": card.outcome,
    }


def _images(card: ClassifierCard) -> dict[str, str]:
    """Size, preprocessing and origin of the images."""
    channels, height, width = card.shape
    counts = ", ".join(f"{name} {sum(counts):,}" for name, counts in card.data["counts"].items())
    return {
        "Size": f"{height} x {width} px (height x width), {'grey' if channels == 1 else 'RGB'}; others are resized "
        f"({card.data['reading']['fit']}, bicubic, antialiased)",
        "Training images": card.data.get("notes", {}).get("resizing", "as given"),
        "Preprocessing": card.preprocessing,
        "Data": f"{card.data['source']}, fingerprint {card.data['fingerprint']}; images per split: {counts}",
    }


def _probabilities(card: ClassifierCard) -> list[str]:
    """The calibration, and what a probability means."""
    calibration = card.calibration
    return [
        f"- Temperature {card.temperature:.3g}, fitted on {calibration['validation']:,} validation images",
        f"- Expected calibration error on the test split (15 bins): {calibration['before']:.3f} before, {calibration['after']:.3f} after",
        "- A probability holds for images that are drawn like the training images, with the same shares of the classes.",
    ]


def _novelty(card: ClassifierCard) -> list[str]:
    """The threshold of novelty, and how many images of which kind it flags."""
    novelty = card.novelty
    flagged = novelty["flagged"]
    return [
        f"- `unlike_training` is yes where `distance` is above 1. It compares an image with the {novelty['neighbours']} nearest of "
        f"{novelty['references']:,} training images in two ways, each as a multiple of its limit: by the {novelty['features']} (cosine "
        f"distance, limit {novelty['limits']['features']:.3g}), and by brightness, contrast, sharpness and colour (limit "
        f"{novelty['limits']['appearance']:.3g}). The limits come from {novelty['validation']:,} validation images: of images like "
        f"them, at most about {100 * novelty['share']:g} % are flagged.",
        f"- Flagged: {percent(flagged['test'])} of the test images, {percent(flagged['noise'])} of images of pure noise, "
        f"{percent(flagged['plain'])} of images of a single colour. Where the last two are low, the network cannot tell such images "
        "from its own. Images that look like the training images but show something else are often not flagged.",
    ]


def _licence(card: ClassifierCard) -> str:
    return str(card.data.get("notes", {}).get("licence", ""))


def _front_matter(card: ClassifierCard) -> str:
    """The YAML at the top, with the measured accuracy as Hugging Face's `model-index`."""
    source, test = cell(card.data["source"]), card.test
    measured = {"balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy"}
    metrics = [{"type": key, "name": name, "value": round(test[key][0], 4)} for key, name in measured.items()]
    task = {"type": "image-classification", "name": "Image classification"}
    results = [{"task": task, "dataset": {"name": source, "type": "imagefolder", "split": "test"}, "metrics": metrics}]
    return front_matter(
        _licence(card),
        card.classes,
        library_name="augury",
        pipeline_tag="image-classification",
        tags=[TAG, "image-classification"],
        metrics=["accuracy"],
        **{"model-index": [{"name": f"Classifier of {source}", "results": results}]},
    )


def _rows(card: ClassifierCard) -> list[list[str]]:
    counts: Sequence[int] = card.data["counts"].get("train", [])
    return [
        [
            row["class"],
            f"{counts[i]:,}" if counts else "",
            f"{row['test']:,}",
            percent(row["recall"]),
            "" if row["recall"] is None else f"{percent(row['low'])} to {percent(row['high'])}",
        ]
        for i, row in enumerate(card.test["per_class"])
    ]


def _interval(values: Sequence[float]) -> str:
    return f"{percent(values[0])} ({percent(values[1])} to {percent(values[2])})"
