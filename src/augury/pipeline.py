"""The whole way on one screen: load -> split -> classify -> train -> generate -> score -> prove -> export -> report.

Each stage is a function of the stages before it and of its own settings. It is skipped when neither has changed, and
goes on where it stopped when it was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import exports, generation, metrics, proof, report, scoring, training
from augury.augment import policy
from augury.data import (
    LEFT_OUT,
    apart_from,
    finished,
    load,
    near_duplicates,
    read_unlabelled,
    regrouped,
    split,
    with_unlabelled,
)
from augury.errors import RunFolderError, SettingsError
from augury.files import atomic_path, digest, read_json, read_lines, remove, write_json
from augury.images import SPLITS, Codes, Images, LabelledImages, SyntheticImages
from augury.machine import machine, versions
from augury.metrics import Extractor
from augury.networks import Classifier
from augury.runfolder import FORMAT, Run
from augury.settings import ProveSettings, RunSettings, validated
from augury.training import Progress, Synthesizer, checkpoints
from augury.verdict import FORMAT as VERDICTS

SAMPLE = "the embedded sample (long-tailed Fashion-MNIST, MIT)"

IN_MEMORY = "images given in memory"

NEEDS: dict[str, tuple[str, ...]] = {
    "split": (),
    "classify": ("split",),
    "train": ("classify",),
    "generate": ("train",),
    "score": ("train",),
    "prove": ("generate",),
    "export": ("generate",),
    "report": ("score", "prove", "export"),
}
"""Every stage, in order, and those it builds on."""

LESSON = 600
"""Steps of the classifier that watches over training and filters images."""


@dataclass(frozen=True)
class Watcher:
    """What a caller is told while a run works: a stage begins (or is taken from before), is so far, has ended."""

    begin: Callable[[str, bool], None] = lambda stage, cached: None
    training: Callable[[Progress], None] = lambda progress: None
    amount: Callable[[str, int, int], None] = lambda what, done, total: None
    end: Callable[[str], None] = lambda stage: None
    note: Callable[[str], None] = lambda text: None


class Session:
    """One run being worked on: the data in memory, the folder, and the stages as methods, in order."""

    def __init__(self, run: Run, data: LabelledImages, settings: RunSettings, source: str, watch: Watcher) -> None:
        self.run, self.data, self.settings, self.source, self.watch = run, data, settings, source, watch
        self.device, self.features = training.choose_device(settings.device), run / "features"
        self.flips = bool(data.notes.get("flips", False)) if settings.prove.flips is None else settings.prove.flips

    @cached_property
    def parts(self) -> dict[str, LabelledImages]:
        """The data by part; raises RunFolderError when the split stage has not run."""
        codes = np.load(self.run / "split.npy", allow_pickle=False)
        return {name: self.data.take(codes == i) for i, name in enumerate(SPLITS)}

    @cached_property
    def unlabelled(self) -> Images:
        """All images of the folder without labels, uint8 [N, C, H, W]."""
        d, path = self.settings.data, self.settings.train.unlabelled
        if path is None:
            return np.empty((0, *self.data.shape), np.uint8)
        return read_unlabelled(path, self.data.shape, fit=d.fit, on_bad=d.on_bad)

    @cached_property
    def learnt(self) -> LabelledImages:
        """What the generator is trained on: the train part, and images without labels that are like none held out."""
        train, found = self.parts["train"], self.unlabelled
        if not len(found):
            return train
        keep, left = apart_from(found, {name: self.parts[name].images for name in ("validation", "test")})
        told = {
            "folder": self.settings.train.unlabelled,
            "images": len(found),
            "used": int(keep.sum()),
            "left_out": left,
        }
        write_json(self.run / "train" / "unlabelled.json", told)
        return with_unlabelled(train, np.ascontiguousarray(found[keep])) if keep.any() else train

    def empty_cells(self) -> Codes:
        """Cells int64 [E, K] of class and attributes that the plan asks for and no training image has."""
        train, condition = self.parts["train"], self.settings.train.condition
        cells = training.empty_cells(train, condition)
        if not len(cells):
            return cells
        strategy = self.settings.generate.sampling_strategy
        wanted = generation.amounts(train, "tail" if strategy == "auto" else strategy, condition)
        chosen: Codes = cells[wanted.numbers[tuple(cells.T)] > 0]
        return chosen

    @cached_property
    def synthesizer(self) -> Synthesizer:
        """The trained generator."""
        return Synthesizer.load(self.run / "synthesizer", self.device)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier trained on real train images only."""
        model = Classifier(self.data.shape[0], len(self.data.classes))
        model.load_state_dict(checkpoints.load(self.run / "classifier.safetensors")[0])
        return training.placed(model, self.device).eval().requires_grad_(False)

    @cached_property
    def synthetic(self) -> SyntheticImages:
        """The images drawn, kept and rejected."""
        return generation.load(self.run / "synthetic", self.data.classes, self.settings.train.condition)

    def inputs(self, stage: str) -> Any:
        """What decides the outcome of `stage`: its own settings and the key of the stage it builds on."""
        s, key = self.settings, self.run.key
        stages: dict[str, Callable[[], Any]] = {
            "split": lambda: [
                self.data.fingerprint,
                s.data.validation,
                s.data.test,
                s.data.near_duplicates,
                s.seed,
                self.flips,
            ],
            "classify": lambda: [key("split"), s.seed, self.device.type, self.flips],
            "train": lambda: [
                key("classify"),
                s.train.model_dump(exclude={"checkpoint_every"}),
                s.train.start_from and training.fingerprint(s.train.start_from),
                hashlib.sha256(self.unlabelled.tobytes()).hexdigest(),
                self.empty_cells().tolist(),
                s.seed,
                self.device.type,
                self.flips,
            ],
            "generate": lambda: [key("train"), s.generate.model_dump(), s.seed],
            "score": lambda: [key("train"), s.score.model_dump(), s.prove.steps, s.prove.batch, s.seed],
            "prove": lambda: [key("generate"), s.prove.model_dump(), s.seed, self.device.type, self.flips, VERDICTS],
            "export": lambda: [key("generate"), s.export.model_dump()],
            "report": lambda: [key(stage) for stage in ("score", "prove", "export")],
        }
        return stages[stage]()

    def do(self, stage: str) -> None:
        """Run one stage unless it is done."""
        inputs = self.inputs(stage)
        cached = self.run.is_done(stage, inputs)
        self.watch.begin(stage, cached)
        if not cached:
            with self.run.stage(stage, inputs):
                getattr(self, stage)()
        self.watch.end(stage)

    def until(self, last: str) -> None:
        """Run what `last` needs, and it. Raises SettingsError before anything is done when that cannot be."""
        needed = {last}
        for stage in reversed(NEEDS):
            needed |= set(NEEDS[stage]) if stage in needed else set()
        if self.settings.train.unconditional and "generate" in needed:
            raise SettingsError(
                "the images of an unconditional generator are of no class and cannot fill any; use augury train and augury "
                "generate, or set train.unconditional=false"
            )
        training.settle(self.data, self.settings.train, self.device)
        generation.rules(self.settings.generate.filters)
        exports.writer(self.settings.export.format)
        for stage in (stage for stage in NEEDS if stage in needed):
            self.do(stage)
            if stage == "split":
                write_json(self.run / "run.json", describe(self))

    def split(self) -> None:
        """Divide the data, near-duplicates kept on one side; the part of every image is stored."""
        s, policy = self.settings, self.settings.data.near_duplicates
        near = () if policy == "allow" else near_duplicates(self.data.images, mirrored=self.flips)
        codes = split(
            self.data,
            validation=s.data.validation,
            test=s.data.test,
            seed=s.seed,
            together=near,
            torn="drop" if policy == "drop" else "refuse",
        )
        names = self.data.names or tuple(f"index {i}" for i in range(len(self.data)))
        listed = {
            "policy": policy,
            "mirrored": self.flips,
            "clusters": [[names[i] for i in same] for same in near],
            "indices": [list(same) for same in near],
        }
        write_json(
            self.run / "near_duplicates.json",
            listed | {"left_out": [names[i] for i in np.flatnonzero(codes == LEFT_OUT)]},
        )
        if near:
            left = int((codes == LEFT_OUT).sum())
            self.watch.note(
                f"{sum(map(len, near)):,} images are near-duplicates of another, {len(near):,} pictures in all; each is kept "
                f"in one part{f', and {left:,} were left out' if left else ''}: near_duplicates.json"
            )
        with atomic_path(self.run / "split.npy") as temporary, temporary.open("wb") as file:
            np.save(file, codes, allow_pickle=False)
        self.__dict__.pop("parts", None)

    def classify(self) -> None:
        """Teach the classifier that filters and watches: balanced, classical augmentation, no synthetic images."""
        self.saw("classifier", self.parts["train"])
        checkpoints.save(self.run / "classifier.safetensors", self.taught(0).state_dict(), {})
        self.__dict__.pop("classifier", None)

    def taught(self, member: int) -> Classifier:
        """The classifier of the run (0) or a further one like it, of other weights and batches."""
        lesson = proof.Lesson(steps=LESSON, balanced=True, augment=policy("classical", flips=self.flips))
        seed = self.settings.seed + 500_009 + member
        model: Classifier = proof.teach(self.parts["train"], lesson, seed=seed, device=self.device)
        return model

    def saw(self, place: str, images: LabelledImages, start_from: str | None = None) -> None:
        """Keep that `place` sees these images, and those that what it starts from has seen; the trial checks it."""
        before = [] if start_from is None else proof.seen_by(place, start_from)
        proof.record(self.run / "seen", place, proof.prints(images.images), *before)

    def planned(self) -> training.Plan:
        """The training plan: made once, by measurement where a budget asks for it, and then kept."""
        stored, inputs = self.run / "train" / "plan.json", digest(self.inputs("train"))
        kept = read_json(stored) if stored.exists() else {}
        if kept.get("inputs") == inputs:
            return training.Plan.from_dict(kept["plan"])
        s = self.settings
        plan = training.make_plan(
            self.learnt, s.train, seed=s.seed, device=self.device, flips=self.flips, cells=self.empty_cells()
        )
        write_json(stored, {"inputs": inputs, "plan": plan.as_dict()})
        return plan

    def train(self) -> None:
        """Train as planned, judged on the way by the validation part."""
        folder, s, train, plan = self.run / "train", self.settings, self.parts["train"], self.planned()
        learnt = self.learnt
        self.saw("generator", learnt, s.train.start_from)
        if s.train.unlabelled:
            told = read_json(folder / "unlabelled.json")
            away = ", ".join(f"{n:,} like the {name} part" for name, n in told["left_out"].items())
            self.watch.note(
                f"{told['used']:,} of {told['images']:,} unlabelled images train the generator; left out: {away}"
            )
        held = training.seen(plan, self.parts["validation"])
        judge = metrics.Monitor(
            self.own_features(), training.seen(plan, train), held, held.conditions(plan.condition), seed=s.seed
        )
        synthesizer = training.train_plan(
            plan,
            learnt,
            folder,
            checkpoint_every=s.train.checkpoint_every,
            assess=judge,
            apart=judge.apart,
            on_progress=self.watch.training,
            on_event=self.watch.note,
        )
        synthesizer.save(self.run / "synthesizer")
        self.__dict__.pop("synthesizer", None)

    def amounts(self) -> generation.Amounts:
        """How many images each cell is to get, and why."""
        strategy, held = self.settings.generate.sampling_strategy, self.parts["validation"]
        recognised = None
        if strategy == "auto":
            right = proof.probabilities(self.classifier, held.images).argmax(1) == held.labels
            hits = np.bincount(held.labels[right], minlength=len(held.classes)).astype(np.int64)
            recognised = generation.Recognised(hits, held.counts)
        return generation.amounts(self.parts["train"], strategy, self.settings.train.condition, recognised)

    def evidence(self) -> generation.Evidence:
        """What filters may look at: nothing of the test part."""
        model = self.classifier
        inputs = metrics.from_network(
            "classifier's last layer", model, "", self.device, model.last_inputs, dimension=model.last.in_features
        )
        judge, why = None, "no filter asked for it"
        if any(rule.name == "discriminator" for rule in generation.rules(self.settings.generate.filters)):
            judge, why = training.discriminator(self.run / "train", self.planned(), self.learnt, self.device)
        return generation.Evidence(
            self.parts["train"],
            lambda images: proof.probabilities(model, images),
            lambda q, r, k: metrics.nearest(q, r, k),
            features=self.own_features().extract,
            validation=self.parts["validation"],
            last_inputs=inputs.extract,
            logits=model,
            discriminator=judge,
            condition=self.settings.train.condition,
            why_no_discriminator=why,
        )

    def generate(self) -> None:
        """Draw what the plan asks for, and filter it."""
        g, train, evidence, wanted = self.settings.generate, self.parts["train"], self.evidence(), self.amounts()
        self.saw("filters", evidence.train)
        synthetic = generation.draw(
            self.synthesizer,
            wanted.numbers,
            seed=self.settings.seed,
            surplus=g.surplus,
            truncation=g.truncation,
            filters=g.filters,
            evidence=evidence,
            sampling=g.sampling,
            on_progress=lambda done, total: self.watch.amount("images", done, total),
        )
        if g.soft_labels:
            members = [self.classifier, *(self.taught(i) for i in range(1, g.soft_labels))]
            ensemble = [partial(proof.probabilities, member) for member in members]
            targets = generation.soft_labels(synthetic.images, synthetic.labels, ensemble)
            synthetic = replace(synthetic, targets=targets)
        generation.save(synthetic, self.run / "synthetic")
        rows = generation.census(synthetic, train, wanted.numbers, wanted.why)
        told = {"strategy": str(g.sampling_strategy), "sampling": g.sampling, "rows": rows}
        write_json(self.run / "generation.json", told | {"filters": generation.asked(g.filters, evidence)})
        self.__dict__.pop("synthetic", None)

    def score(self) -> None:
        """The score card, the generator's copies of training images, and their pictures."""
        card, copies = scoring.score(
            self.synthesizer,
            self.parts["train"],
            self.parts["validation"],
            self.classifier,
            self.settings,
            device=self.device,
            folder=self.features,
        )
        with atomic_path(self.run / "copies.npy") as temporary, temporary.open("wb") as file:
            np.save(file, copies.pictures, allow_pickle=False)
        told = {"looked": list(copies.looked), "pairs": list(copies.rows)}
        write_json(self.run / "scores.json", card.as_dict() | {"copies": told})

    def own_features(self) -> Extractor:
        """The run's classifier as a feature extractor."""
        return metrics.of_classifier(self.classifier, self.device)

    def prove(self) -> None:
        """The paired trial; each training's result is kept as soon as it is there, and serves other numbers of seeds."""
        file, s = self.run / "trial.json", self.settings
        about = [self.run.key("generate"), s.seed, self.device.type, self.flips]
        results, keep = kept_results(file, about, s.prove, self.watch)
        train, validation, test = (self.parts[name] for name in SPLITS)
        verdict = proof.prove(
            train,
            validation,
            test,
            self.synthetic,
            s.prove,
            seed=s.seed,
            device=self.device,
            flips=self.flips,
            seen=proof.recorded(self.run / "seen"),
            results=results,
            on_result=keep,
        )
        write_json(self.run / "verdict.json", verdict.as_dict())

    def export(self) -> None:
        """The augmented data set, in the one format that is asked for."""
        name = self.settings.export.format
        target = exports.place(self.run.path, name)
        exports.writer(name)(target, self.parts["train"], self.synthetic, force=True)
        for other in {exports.place(self.run.path, each) for each in exports.EXPORTS} - {target}:
            remove(other)

    def report(self) -> None:
        """The page."""
        neighbours, distances = closest(self.synthetic, self.parts["train"])
        near = self.run.read("near_duplicates")
        facts = report.Facts(
            title=self.run.path.resolve().name,
            source=self.source,
            command=self.command(),
            about=self.run.about,
            verdict=self.run.read("verdict"),
            train=self.parts["train"],
            synthetic=self.synthetic,
            neighbours=neighbours,
            distances=distances,
            log=read_lines(self.run / "train" / "log.jsonl"),
            plan=self.plan(),
            generation=self.run.read("generation"),
            scores=self.run.read("scores")["scores"],
            copies=self.run.read("scores")["copies"],
            copied=np.load(self.run / "copies.npy", allow_pickle=False),
            seconds={stage: facts["seconds"] for stage, facts in self.run.state().items()},
            near=near,
            near_images=[self.data.images[np.array(same[:4])] for same in near["indices"][:8]],
        )
        report.write(facts, self.run / "report.html")

    def plan(self) -> dict[str, Any]:
        """The training plan as the report tells it."""
        plan = read_json(self.run / "train" / "plan.json")["plan"]
        told = {
            k: v
            for k, v in plan.items()
            if k not in ("rule", "start", "unconditional", "cells", "empty_cells") or (k != "rule" and v)
        }
        return told | {"network": plan["rule"]["network"], "chosen_step": self.synthesizer.card.steps}

    def command(self) -> str:
        """The command that gives the same result again, steps instead of a budget."""
        s, plan = self.settings, self.plan()
        given = [] if self.source == SAMPLE else [self.source]
        words = ["augury", "run", *given, "-o", "again", "--seed", str(s.seed), "--device", plan["device"]]
        words += ["--recipe", plan["recipe"], "--steps", str(plan["steps"]), "--precision", plan["precision"]]
        changed = s.model_dump(exclude_defaults=True)
        for room, values in changed.items():
            if isinstance(values, dict):
                hidden = {"recipe", "steps", "budget", "precision", "checkpoint_every"} if room == "train" else set()
                told = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items() if k not in hidden}
                words += [f"--set={room}.{k}={v}" for k, v in told.items()]
        return shlex.join(words)


def run(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    *,
    settings: RunSettings | None = None,
    seed: int | None = None,
    until: str = "report",
    watch: Watcher | None = None,
) -> Run:
    """Do every stage up to `until` in `folder`, skipping those that are done, and return the Run.

    `data` is a path (folder of class folders, .npz), LabelledImages, or None: the data the folder was made from, or the
    embedded sample for a new folder. Without `settings` those stored in the folder hold. `seed` overrides the settings'.
    Raises the errors of augury.errors; whatever had finished is kept, and the same call goes on.
    """
    with opened(data, folder, settings=settings, seed=seed, watch=watch) as session:
        session.until(until)
    return session.run


@contextmanager
def opened(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    *,
    settings: RunSettings | None = None,
    seed: int | None = None,
    watch: Watcher | None = None,
) -> Iterator[Session]:
    """The session of a run folder, held for this process; arguments as for `run`."""
    place, watch = Run(folder), watch or Watcher()
    with place.held():
        chosen = settings or validated(RunSettings, place.settings)
        if seed is not None:
            chosen = chosen.model_copy(update={"seed": seed})
        images, source = _read(data, place, chosen, watch)
        yield Session(place, images, chosen, source, watch)


def _read(
    data: LabelledImages | str | os.PathLike[str] | None, place: Run, settings: RunSettings, watch: Watcher
) -> tuple[LabelledImages, str]:
    """The images and the name of their source. Raises RunFolderError when the folder holds something else."""
    stored = None
    if (place / "run.json").exists():
        stored = place.about["source"]
    elif any(p.name not in (".lock", ".holder") for p in place.path.iterdir()):
        raise RunFolderError(f"{place.path}: not empty and not a run folder; choose another folder with -o")
    if isinstance(data, LabelledImages):
        source = IN_MEMORY
    elif data is not None:
        source = str(Path(data).resolve())
    else:
        source = stored or SAMPLE
        watch.note(f"No path given: using {source}.")
    if stored not in (None, source):
        raise RunFolderError(f"{place.path}: this is a run of {stored}, not of {source}; choose another folder with -o")
    if isinstance(data, LabelledImages):
        named = data if data.fingerprint else finished(data)
        return regrouped(named, settings.data.group, settings.data.split), source
    if source == IN_MEMORY:
        raise RunFolderError(
            f"{place.path}: this run was made from images in memory; go on in Python, with augury.run(data, {str(place.path)!r})"
        )
    return load(None if source == SAMPLE else Path(source), **settings.data.reading()), source


def closest(synthetic: SyntheticImages, train: LabelledImages, pairs: int = 12, k: int = 3) -> tuple[Codes, Any]:
    """The kept synthetic images closest to a training image: (rows int64 [M, 1 + k], RMS distances [M, k])."""
    kept, k = np.flatnonzero(synthetic.kept), min(k, len(train))
    if not len(kept):
        return np.empty((0, 1 + k), np.int64), np.empty((0, k))
    fake, real = (np.asarray(x, np.float32).reshape(len(x), -1) for x in (synthetic.images[kept], train.images))
    found, distances = metrics.nearest(fake, real, k)
    order = np.argsort(distances[:, 0], kind="stable")[:pairs]
    rows = np.concatenate([kept[order, None], found[order]], axis=1).astype(np.int64)
    return rows, distances[order] * real.shape[1] ** -0.5


def kept_results(
    file: Path, about: list[Any], prove: ProveSettings, watch: Watcher
) -> tuple[dict[str, Any], Callable[[int, int, str], None]]:
    """The results of trainings that `file` holds for the same inputs, and what to call after each further one, so that a
    stopped trial goes on. More seeds, arms or ratios, and another margin, are answered by the same trainings."""
    lasting = prove.model_dump(exclude={"seeds", "max_seeds", "margin", "arms", "ratios"})
    inputs = digest([*about, lasting, VERDICTS])
    stored = read_json(file) if file.exists() else {}
    results: dict[str, Any] = stored["results"] if stored.get("inputs") == inputs else {}

    def keep(done: int, total: int, name: str) -> None:
        write_json(file, {"inputs": inputs, "results": results})
        watch.amount("trainings", done, total)

    return results, keep


def describe(session: Session) -> dict[str, Any]:
    """run.json: format, versions, machine, settings and what the data are."""
    data = session.data
    counts = {name: part.counts.tolist() for name, part in session.parts.items()}
    facts = {"n": len(data), "shape": list(data.shape), "classes": list(data.classes), "counts": counts}
    used = versions()
    return {
        "format": FORMAT,
        "version": used["augury"],
        "source": session.source,
        "settings": session.settings.model_dump(mode="json"),
        "versions": used,
        "machine": {**machine(), "device": session.device.type, "threads": torch.get_num_threads()},
        "data": {**facts, "fingerprint": data.fingerprint, "notes": dict(data.notes)},
    }
