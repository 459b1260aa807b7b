"""Reporting checklists of medical studies, filled from a run where it knows the answer: CLAIM and TRIPOD+AI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augury import sentences
from augury.sentences import confidence, points
from augury.verdict import Verdict

AUTHOR = "The author must say."
"""Answer to an item that a run cannot know."""

CLAIM = """1 The work is identified as one of artificial intelligence: technology
2 Structured summary
3 Background, intended use and clinical role
4 Objectives and hypotheses
5 Prospective or retrospective study
6 Study goal
7 Data sources: data
8 Eligibility criteria
9 Preprocessing of the data: preprocessing
10 Selection of subsets of the data: subsets
11 Definitions of data elements
12 De-identification
13 Missing data: missing
14 Definition of the ground truth
15 Rationale for the reference standard
16 Source of the annotations and qualification of the annotators
17 Annotation tools
18 Variability between and within annotators
19 Intended sample size: sample
20 How data were assigned to partitions: partitions
21 Level at which the partitions are disjoint: disjoint
22 Description of the model: model
23 Software: software
24 Initialisation of the parameters: initialisation
25 Training approach: training
26 Selection of the final model: selection
27 Ensembling: ensemble
28 Metrics of performance: metrics
29 Significance and uncertainty: statistics
30 Robustness or sensitivity analysis
31 Explainability
32 External validation: external
33 Flow of participants or cases: flow
34 Demographic and clinical characteristics by partition: flow
35 Performance of the models on all partitions: performance
36 Diagnostic accuracy and its precision: accuracy
37 Failure analysis: failures
38 Limitations: limitations
39 Implications for practice
40 Registration
41 Access to protocol, software, model and data: access
42 Funding"""
"""Mongan, Moy & Kahn 2020, Radiology: Artificial Intelligence 2(2) e200029; item, then the name of the answer."""

TRIPOD = """1 Title
2 Abstract
3 Background: context, target population, health inequalities
4 Objectives
5 Sources and dates of the data: data
6 Participants: setting, eligibility, treatments
7 Data preparation: preprocessing
8 Outcome: definition, assessors, blinding
9 Predictors: preprocessing
10 Sample size: sample
11 Missing data: missing
12 Analytical methods: training
13 Class imbalance: imbalance
14 Fairness: fairness
15 Output of the model: output
16 Differences between training and evaluation data: partitions
17 Ethical approval
18 Open science: funding, interests, protocol, registration, data, code: access
19 Patient and public involvement
20 Participants: flow, characteristics: flow
21 Numbers of participants and outcomes in each analysis: flow
22 Specification of the model: model
23 Performance with intervals, heterogeneity: accuracy
24 Results of updating the model
25 Interpretation, fairness
26 Limitations: limitations
27 Usability in current care: input quality, user interaction, further research: output"""
"""Collins et al. 2024, BMJ 385 e078378, items without their letters."""

LISTS = {"claim": ("CLAIM (2020)", CLAIM), "tripod-ai": ("TRIPOD+AI (2024)", TRIPOD)}
"""Name on the command line -> (title, items)."""

RISKS = ("membership", "C_T", "duplicates", "authenticity")
"""Beginnings of the names of scores about memorisation."""


@dataclass(frozen=True)
class Study:
    """What a run folder knows; each is the content of a JSON file, empty where there is none.

    `metadata` is run.json, `plan` the plan in train/plan.json, `card` classifier/card.json, `scores` scores.json.
    """

    metadata: Mapping[str, Any]
    verdict: Verdict
    plan: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Mapping[str, Any]:
        """The description of the data."""
        return dict(self.metadata["data"])

    @property
    def notes(self) -> Mapping[str, Any]:
        """What reading the data did."""
        return dict(self.data.get("notes", {}))


def checklist(study: Study, names: tuple[str, ...] = tuple(LISTS)) -> str:
    """The checklists of these names as Markdown: risks of the synthetic images first, then a table for each list.

    Raises
    ------
    KeyError
        For a name that is not in LISTS.
    """
    lines = [
        f"# Reporting checklists of {_name(study)}",
        "",
        "Filled from the run folder by Augury. An answer describes what was computed; whether it suffices is for the author to judge. Items "
        f"that a run cannot know say: {AUTHOR}",
        "",
        "## Synthetic images: risks",
        "",
        *(f"- {line}" for line in risks(study)),
        "",
    ]
    for name in names:
        title, items = LISTS[name]
        rows = [_row(item, study) for item in items.splitlines()]
        answered = sum(answer != AUTHOR for _, _, answer, _ in rows)
        lines += [f"## {title}", "", f"{answered} of {len(rows)} items have an answer from the run.", ""]
        lines += ["| item | topic | answer | where |", "|---:|---|---|---|"]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows] + [""]
    return "\n".join(lines)


def _row(item: str, study: Study) -> tuple[str, str, str, str]:
    """(number, topic, answer, where) of a line of a list."""
    number, _, rest = item.partition(" ")
    topic, _, name = rest.rpartition(": ")
    if name not in ANSWERS:
        return number, rest, AUTHOR, ""
    answer, where = ANSWERS[name](study), WHERE.get(name, "report.html")
    return number, topic, answer, where


def risks(study: Study) -> list[str]:
    """What is known about memorisation, membership and leaks; sentences."""
    lines = []
    for score in study.scores.get("scores", ()):
        if str(score["name"]).startswith(RISKS) and not score.get("group") and score.get("value") is not None:
            baseline = score.get("baseline")
            value = f"{score['value']:.3g} ({score['low']:.3g} to {score['high']:.3g})"
            beside = "" if baseline is None else f"; real images not used in training: {baseline:.3g}"
            lines.append(f"{score['name']} over {score['features']}: {value}{beside}")
    for looked in (study.scores.get("copies") or {}).get("looked", ()):
        lines.append(
            f"{looked['copies']:,} of {looked['fakes']:,} generated images are near-copies of a train image ({looked['features']})"
        )
    if not lines:
        lines.append("Memorisation and membership were not measured: run the stage score (augury run).")
    leaks = study.verdict.leaks
    if leaks is not None:
        unseen = ", ".join(leaks["test_not_seen_by"]) or "nothing that is recorded"
        lines.append(
            f"No test image was seen by: {unseen}; {leaks['left_out']} near-duplicates of held-out images were left out"
        )
    return [*lines, "These measures do not exclude other attacks. They are no proof of anonymity."]


def _name(study: Study) -> str:
    source = str(study.metadata.get("source", "the run"))
    return Path(source).name or source


def _counts(study: Study) -> str:
    """Images of each split and class."""
    classes = study.data["classes"]
    parts = [
        f"{part} {sum(counts):,} ({', '.join(f'{name} {n:,}' for name, n in zip(classes, counts, strict=True))})"
        for part, counts in study.data["counts"].items()
    ]
    return "; ".join(parts)


def _technology(study: Study) -> str:
    recipe = study.plan.get("recipe", "another program")
    return f"Deep learning: a classifier, trained without and with images of a generative model ({recipe})."


def _data(study: Study) -> str:
    data = study.data
    return f"{_name(study)}, {data['n']:,} images, fingerprint {data['fingerprint']}. Origin, dates and centres: {AUTHOR.lower()}"


def _preprocessing(study: Study) -> str:
    channels, height, width = study.data["shape"]
    parts = [f"{height} × {width} px, {'grey' if channels == 1 else 'RGB'}"]
    parts += [str(study.notes[name]) for name in ("resizing", "colour") if study.notes.get(name)]
    if tones := study.notes.get("tones"):
        parts.append("values: " + ", ".join(tones) if isinstance(tones, Mapping) else f"values: {tones}")
    return "; ".join(parts) + "."


def _subsets(study: Study) -> str:
    left_out = study.data["n"] - sum(map(sum, study.data["counts"].values()))
    return f"All readable images were used; {left_out:,} were left out as near-duplicates across splits."


def _missing(study: Study) -> str:
    skipped = len(study.notes.get("skipped", ()))
    return f"{skipped:,} unreadable files were left out. No value was imputed. Images that the source lacks: {AUTHOR.lower()}"


def _sample(study: Study) -> str:
    v = study.verdict
    return (
        f"Not fixed by a calculation beforehand. With {v.test_n:,} test images and {len(v.seeds)} seeds, a difference of "
        f"{points(v.detectable).lstrip('+')} points is found with a power of 80 %; about {v.images_needed:,} test images would settle "
        "one of the size found."
    )


def _partitions(study: Study) -> str:
    settings = study.metadata["settings"]["data"]
    has_splits = "split" in study.notes.get("columns", {}) or study.notes.get("split") == "given"
    how = (
        "as the data give them"
        if has_splits and settings["split"] == "given"
        else f"by the splits of the data if they have any, else at random within classes, seed {study.metadata['settings']['seed']}"
    )
    return f"Assigned {how}: {_counts(study)}. Synthetic images are in the train split only."


def _disjoint(study: Study) -> str:
    v = study.verdict
    if v.test_groups is not None:
        return f"Disjoint by group (patient): no group is in two splits; {v.test_groups:,} groups are tested. Intervals resample groups."
    return (
        "Disjoint by image, and by near-duplicate where that was searched for. The data name no groups: whether a patient is in two "
        "partitions, the author must say."
    )


def _model(study: Study) -> str:
    text = sentences.classifier(study.verdict) or "Every arm trains the same classifier."
    blueprint = study.card.get("blueprint")
    return f"{text} " + (f"Stored: {', '.join(f'{k} {v}' for k, v in blueprint.items())}." if blueprint else "")


def _software(study: Study) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in study.metadata["versions"].items())
    machine = study.metadata["machine"]
    return f"{versions}; {machine['processor']}, {machine['cores']} cores, {machine['device']}."


def _initialisation(study: Study) -> str:
    name = str(study.verdict.classifier.get("name", ""))
    start = "pretrained weights" if name.startswith(("finetune", "linear_probe")) else "random weights, seeded"
    return f"Classifier: {start}. Generator: {'from other weights' if study.plan.get('start') else 'as its recipe says; seeded'}."


def _training(study: Study) -> str:
    prove, plan = study.metadata["settings"]["prove"], study.plan
    text = f"Classifiers: {prove['steps']:,} steps of {prove['batch']} images for every arm, {len(study.verdict.seeds)} seeds"
    if chosen := (study.verdict.augmentation or {}).get("chosen"):
        text += f", augmentation {chosen}"
    generator = (
        f" Generator: {plan['recipe']}, {plan['steps']:,} steps of {plan['batch']} images." if plan.get("steps") else ""
    )
    return f"{text}.{generator} Arms: {', '.join(study.verdict.arms)}."


def _selection(study: Study) -> str:
    arm = study.card.get("arm")
    chosen = f"The classifier to take away is {arm['name']}: {arm['why']}." if arm else "No classifier was stored."
    return f"{chosen} {_uses_of_test(study.verdict, str(arm['by']) if arm else '')}"


def _uses_of_test(v: Verdict, chosen_by: str) -> str:
    """What the test split was used for, and how often."""
    looks = len(v.looks)
    text = (
        f"The test split was evaluated at {looks} planned interim looks, whose significance levels are corrected."
        if looks > 1
        else "The test split gave this verdict in one evaluation."
    )
    if v.earlier_seeds:
        text += f" An earlier trial with {v.earlier_seeds} seeds had used it (outcome: {v.earlier_outcome}), which raises the error rate."
    if chosen_by == "verdict":
        text += " It also chose the classifier, whose accuracy is slightly optimistic."
    elif chosen_by:
        text += " It also measured the classifier, and took no part in the choice."
    return text


def _imbalance(study: Study) -> str:
    balancing = "Arms that say so in their name or note show every class equally often; added images fill rare classes."
    calibration = study.card.get("calibration")
    after = f" Probabilities are recalibrated on validation (error {calibration['after']:.3f})." if calibration else ""
    return f"{balancing} Train images by class: {_counts(study).partition(';')[0]}.{after}"


def _fairness(study: Study) -> str:
    v = study.verdict
    by = f"{len(v.cells)} cells of class × attribute" if v.cells else f"{len(v.per_class)} classes"
    return f"Results by {by} are in the report. Other groups of people: {AUTHOR.lower()}"


def _output(study: Study) -> str:
    row = study.card.get("operating_point")
    if not study.card:
        return "Class probabilities."
    threshold = f"; threshold {row['threshold']:.6g} for {row['class']}" if row else "; no threshold"
    return f"Calibrated class probabilities, and whether an image is unlike the training images{threshold}."


def _metrics(study: Study) -> str:
    point = study.verdict.operating_point
    more = " The threshold is chosen on validation and measured on test." if point else ""
    return (
        f"Primary: {study.verdict.metric}.{more} Also: recall by class, macro-F1, AUC, calibration error, Brier score."
    )


def _statistics(study: Study) -> str:
    v = study.verdict
    return (
        f"Paired trainings with {len(v.seeds)} seeds; bootstrap intervals (BCa) over seeds and test images{' by group' if v.test_groups else ''} "
        f"at {confidence(v.level)}; sign-flip test, p = {v.p:.3f}, corrected for the number of arms (Holm); margin {100 * v.margin:g} points."
    )


def _performance(study: Study) -> str:
    v = study.verdict

    def mean(values: list[Any]) -> str:
        return f"{100 * sum(values) / len(values):.1f}"

    rows = [f"{name} {mean(v.values(name))}" for name in v.arms]
    validation = [f"{name} {mean(arm['validation'])}" for name, arm in v.arms.items() if "validation" in arm]
    beside = f" On validation: {', '.join(validation)}." if validation else ""
    return f"{v.metric} on test in %: {', '.join(rows)}.{beside}"


def _accuracy(study: Study) -> str:
    v, row = study.verdict, study.card.get("operating_point")
    taken = ""
    if row:
        (s, s_low, s_high), (c, c_low, c_high) = row["sensitivity"], row["test_specificity"]
        taken = (
            f" Classifier to take away: sensitivity {100 * s:.1f} % ({100 * s_low:.1f} to {100 * s_high:.1f}), specificity {100 * c:.1f} % "
            f"({100 * c_low:.1f} to {100 * c_high:.1f})."
        )
    elif study.card:
        value, low, high = study.card["test"]["balanced_accuracy"]
        taken = (
            f" Classifier to take away: balanced accuracy {100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})."
        )
    return v.sentence + taken


def _failures(study: Study) -> str:
    test = study.card.get("test")
    if not test:
        return AUTHOR
    table = "; ".join(
        f"{name}: {', '.join(map(str, row))}"
        for name, row in zip(study.card["classes"], test["confusion"], strict=True)
    )
    return f"Confusion of the classifier to take away (rows are the truth): {table}. Why: {AUTHOR.lower()}"


def _access(study: Study) -> str:
    return "Classifier, card and the command that repeats the run are in the run folder. Protocol and data: the author must say."


ANSWERS: dict[str, Callable[[Study], str]] = {
    "technology": _technology,
    "data": _data,
    "preprocessing": _preprocessing,
    "subsets": _subsets,
    "missing": _missing,
    "sample": _sample,
    "partitions": _partitions,
    "disjoint": _disjoint,
    "model": _model,
    "software": _software,
    "initialisation": _initialisation,
    "training": _training,
    "selection": _selection,
    "ensemble": lambda study: "None: every result is that of single networks, averaged over seeds.",
    "imbalance": _imbalance,
    "fairness": _fairness,
    "output": _output,
    "metrics": _metrics,
    "statistics": _statistics,
    "external": lambda study: (
        f"None in this run: the test images have the same origin. An external test: {AUTHOR.lower()}"
    ),
    "flow": lambda study: f"{_counts(study)}. Characteristics of the people: {AUTHOR.lower()}",
    "performance": _performance,
    "accuracy": _accuracy,
    "failures": _failures,
    "limitations": lambda study: (
        "One training of one generator on one data set; the interval does not cover retraining it, other sites or devices. "
        f"Clinical limitations: {AUTHOR.lower()}"
    ),
    "access": _access,
}
"""Name of an answer -> the function that reads it from the study."""
WHERE = {
    "data": "run.json", "preprocessing": "run.json", "subsets": "split.npy", "missing": "run.json", "partitions": "run.json, split.npy",
    "software": "run.json", "training": "settings.yaml", "selection": "classifier/README.md", "output": "classifier/README.md",
    "failures": "classifier/card.json", "sample": "verdict.json", "statistics": "verdict.json", "access": "report.html",
    "initialisation": "settings.yaml",
}  # fmt: skip
"""Name of an answer -> the file of the run folder with the details, if that is not the report."""
