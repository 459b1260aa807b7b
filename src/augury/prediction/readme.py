"""The card of a classifier as a page to read."""

from __future__ import annotations

from collections.abc import Sequence

from augury.cards import MEDICAL, TAG, cell, front_matter, is_medical, licence_lines, listed, percent, table
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


def readme(card: ClassifierCard, onnx: str = "") -> str:
    """The card as Markdown; `onnx` says why there is no ONNX file, "" where there is one."""
    c, h, w = card.shape
    test, novelty = card.test, card.novelty
    lines = [_front_matter(card), f"# Classifier of {cell(card.data['source'])}", ""]
    lines += [f"An image classifier for {len(card.classes):,} classes: {listed(card.classes)}.", ""]
    lines += [USE]
    fields = {"channels": c, "height": h, "width": w, "classes": len(card.classes)}
    lines += [f"ONNX: {onnx}\n" if onnx else ONNX.format(**fields)]
    lines += ["## Accuracy", ""]
    of = of_groups(test["n"], test["groups"])
    lines += [
        f"Measured once on {test['n']:,} test images{of}. Intervals have a confidence of 95 % and cover other test images of the same "
        "kind, not another training.",
        "",
        f"- Balanced accuracy (mean recall of the classes): {_interval(test['balanced_accuracy'])}",
        f"- Accuracy: {_interval(test['accuracy'])}",
        f"- Worst class: {test['worst']['class']}, recall {percent(test['worst']['recall'])} "
        f"({percent(test['worst']['low'])} to {percent(test['worst']['high'])})",
        "",
    ]
    lines += _detection(card)
    lines += table(_rows(card), ["class", "train images", "test images", "recall", "95 % interval"])
    lines += ["## How it was trained", ""]
    training, arm = card.training, card.arm
    added = training["synthetic"]
    more = f", with {added:,} further {'image' if added == 1 else 'images'}" if added else ""
    lines += [
        f"- Way to train: `{arm['name']}`: {arm['note']}",
        f"- Why this one: {arm['why']}",
        f"- Scores that decided ({arm['metric']} on {'validation' if arm['by'] == 'validation' else 'the test split'}): "
        + ", ".join(
            f"{name} {percent(value)}" for name, value in sorted(arm["scores"].items(), key=lambda item: -item[1])
        ),
        f"- Trained on {training['images']:,} images of the train split{more}; {training['steps']:,} steps of {training['batch']} images, "
        f"learning rate {training['rate']:g}, seed {training['seed']}, {training['precision']} on {training['device']}",
        f"- Network: {', '.join(f'{key} {value}' for key, value in card.blueprint.items())}",
        *(f"- {remark}" for remark in card.remarks),
        *([f"- Outcome of the trial about generated images: {card.outcome}"] if card.outcome else []),
        "",
    ]
    lines += ["## Images", ""]
    reading, notes = card.data["reading"], card.data.get("notes", {})
    lines += [
        f"- Size: {h} x {w} px (height x width), {'grey' if c == 1 else 'RGB'}; others are resized ({reading['fit']}, bicubic, antialiased)",
        f"- Training images: {notes.get('resizing', 'as given')}",
        f"- Preprocessing: {card.preprocessing}",
        f"- Data: {card.data['source']}, fingerprint {card.data['fingerprint']}; images per split: "
        + ", ".join(f"{name} {sum(counts):,}" for name, counts in card.data["counts"].items()),
        "",
    ]
    lines += ["## Probabilities", ""]
    calibration = card.calibration
    lines += [
        f"- Temperature {card.temperature:.3g}, fitted on {calibration['validation']:,} validation images",
        f"- Expected calibration error on the test split (15 bins): {calibration['before']:.3f} before, {calibration['after']:.3f} after",
        "- A probability holds for images that are drawn like the training images, with the same shares of the classes.",
        "",
    ]
    lines += ["## Images unlike the training images", ""]
    flagged = novelty["flagged"]
    lines += [
        f"- `unlike_training` is yes where `distance` is above 1. It compares an image with the {novelty['neighbours']} nearest of "
        f"{novelty['references']:,} training images in two ways, each as a multiple of its limit: by the {novelty['features']} (cosine "
        f"distance, limit {novelty['limits']['features']:.3g}), and by brightness, contrast, sharpness and colour (limit "
        f"{novelty['limits']['appearance']:.3g}). The limits come from {novelty['validation']:,} validation images: of images like "
        f"them, at most about {100 * novelty['share']:g} % are flagged.",
        f"- Flagged: {percent(flagged['test'])} of the test images, {percent(flagged['noise'])} of images of pure noise, "
        f"{percent(flagged['plain'])} of images of a single colour. Where the last two are low, the network cannot tell such images "
        "from its own. Images that look like the training images but show something else are often not flagged.",
        "",
    ]
    lines += ["## Intended use and limits", ""]
    lines += [
        "- Intended for images of the same kind, origin and classes as the training images. Each image gets one of the classes above, "
        "also where it shows something else.",
        "- Not for decisions about people, patients or safety without a test on images from the place of use.",
        "- Other cameras, scanners, sites or times may lower the accuracy; measure it on labelled images from there.",
        *(MEDICAL.splitlines() if is_medical(notes) else ()),
        "",
    ]
    lines += licence_lines(_licence(card), card.licence_note)
    lines += ["## Versions", ""]
    lines += [", ".join(f"{name} {version}" for name, version in card.versions.items()), ""]
    return "\n".join(lines)


def _detection(card: ClassifierCard) -> list[str]:
    """The threshold and what it gives on the test split; [] for a classifier without one."""
    row = card.operating_point
    if not row:
        return []
    return [
        f"Threshold for {row['class']}: an image whose probability of {row['class']} is above {row['threshold']:.6g} is reported. It was "
        f"chosen on {row['validation']:,} validation images of other classes, for a specificity of {percent(row['specificity'])}.",
        "",
        f"- Sensitivity: {_interval(row['sensitivity'])} of {row['positives']:,} test images",
        f"- Specificity: {_interval(row['test_specificity'])} of {row['negatives']:,} test images",
        "",
        "The recalls below are without this threshold: each image gets its most probable class.",
        "",
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
