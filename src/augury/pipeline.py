"""The whole way on one screen: load -> split -> train -> classify -> generate -> score -> prove -> export -> report.

Each stage is a function of the stages before it and of its own settings. It is skipped when neither has changed, and
goes on where it stopped when it was killed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import about, export, generation, metrics, proof, report, training
from augury.augment import policy
from augury.data import load, split
from augury.errors import DataError, RunFolderError
from augury.files import read_json, write_json
from augury.images import SPLITS, LabelledImages, SyntheticImages
from augury.networks import Classifier
from augury.run import FORMAT, Run
from augury.settings import RunSettings
from augury.training import Progress, Synthesizer, checkpoints

STAGES = ("split", "train", "classify", "generate", "score", "prove", "export", "report")


@dataclass(frozen=True)
class Watcher:
    """What a caller is told while a run works: a stage begins (or is taken from before), is so far, has ended."""

    begin: Callable[[str, bool], None] = lambda stage, cached: None
    training: Callable[[Progress], None] = lambda progress: None
    amount: Callable[[str, int, int], None] = lambda what, done, total: None
    end: Callable[[str, str], None] = lambda stage, summary: None


class Session:
    """One run being worked on: the data in memory, the folder, and the stages as methods, in order."""

    def __init__(self, run: Run, data: LabelledImages, settings: RunSettings, source: str, watch: Watcher) -> None:
        self.run, self.data, self.settings, self.source, self.watch = run, data, settings, source, watch
        self.device = training.choose_device(settings.device)
        self.flips = bool(data.notes.get("flips", False)) if settings.prove.flips is None else settings.prove.flips

    @cached_property
    def parts(self) -> dict[str, LabelledImages]:
        """The data by part; raises RunFolderError when the split stage has not run."""
        codes = np.load(self.run / "split.npy", allow_pickle=False)
        return {name: self.data.take(codes == i) for i, name in enumerate(SPLITS)}

    @cached_property
    def synthesizer(self) -> Synthesizer:
        """The trained generator."""
        return Synthesizer.load(self.run / "synthesizer", self.device)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier trained on real train images only."""
        model = Classifier(self.data.shape[0], len(self.data.classes))
        model.load_state_dict(checkpoints.load(self.run / "classifier.safetensors")[0])
        return model.to(self.device, memory_format=torch.channels_last).eval().requires_grad_(False)

    @cached_property
    def synthetic(self) -> SyntheticImages:
        """The images drawn, kept and rejected."""
        return generation.load(self.run / "synthetic", self.data.classes, self.settings.train.condition)

    def inputs(self, stage: str) -> Any:
        """What decides the outcome of `stage`: its own settings and the key of the stage it builds on."""
        s, key = self.settings, self.run.key
        return {
            "split": lambda: [self.data.fingerprint, s.data.validation, s.data.test, s.seed],
            "train": lambda: [key("split"), s.train.model_dump(exclude={"checkpoint_every"}), s.seed, self.device.type, self.flips],
            "classify": lambda: [key("split"), s.seed, self.device.type, self.flips, s.prove.steps, s.prove.batch],
            "generate": lambda: [key("train"), key("classify"), s.generate.model_dump(), s.seed],
            "score": lambda: [key("train"), key("classify"), s.score.model_dump(), s.seed],
            "prove": lambda: [key("generate"), s.prove.model_dump(), s.seed, self.device.type, self.flips],
            "export": lambda: [key("generate")],
            "report": lambda: [key(stage) for stage in ("score", "prove", "export")],
        }[stage]()

    def do(self, stage: str) -> None:
        """Run one stage unless it is done."""
        inputs = self.inputs(stage)
        cached = self.run.is_done(stage, inputs)
        self.watch.begin(stage, cached)
        if not cached:
            with self.run.stage(stage, inputs):
                getattr(self, stage)()
        self.watch.end(stage, "")

    def split(self) -> None:
        """Divide the data; the part of every image is stored."""
        s = self.settings
        codes = split(self.data, validation=s.data.validation, test=s.data.test, seed=s.seed)
        with training.atomic(self.run / "split.npy") as file:
            np.save(file, codes, allow_pickle=False)
        counts = {name: part.counts.tolist() for name, part in self.parts.items()}
        write_json(self.run / "run.json", about.describe(self.run, self.data, s, self.source, counts, self.device.type))

    def train(self) -> None:
        """Settle the plan once, then train to its end."""
        folder, s = self.run / "train", self.settings
        stored, inputs = folder / "plan.json", self.inputs("train")
        kept = read_json(stored) if stored.exists() else {}
        if kept.get("inputs") == inputs:
            plan = training.Plan.from_dict(kept["plan"])
        else:
            plan = training.make_plan(self.parts["train"], s.train, seed=s.seed, device=self.device, flips=self.flips)
            write_json(stored, {"inputs": inputs, "plan": plan.as_dict()})
        synthesizer = training.train_plan(
            plan,
            self.parts["train"],
            folder,
            checkpoint_every=s.train.checkpoint_every,
            on_progress=self.watch.training,
        )
        synthesizer.save(self.run / "synthesizer")
        self.__dict__.pop("synthesizer", None)

    def classify(self) -> None:
        """Teach the filter's classifier: twice the steps of a trial, balanced, classical augmentation, no synthetic images."""
        p = self.settings.prove
        lesson = proof.Lesson(
            steps=2 * p.steps, batch=p.batch, balanced=True, augment=policy("classical", flips=self.flips)
        )
        model = proof.teach(self.parts["train"], lesson, seed=self.settings.seed + 500_009, device=self.device)
        checkpoints.save(self.run / "classifier.safetensors", model.state_dict(), {})
        self.__dict__.pop("classifier", None)

    def generate(self) -> None:
        """Draw what the plan asks for, and filter it."""
        g, train = self.settings.generate, self.parts["train"]
        plan = generation.wanted(train, g.sampling_strategy, self.settings.train.condition)
        evidence = generation.Evidence(
            train, lambda images: proof.probabilities(self.classifier, images), lambda q, r, k: metrics.nearest(q, r, k)
        )
        synthetic = generation.draw(
            self.synthesizer,
            plan,
            seed=self.settings.seed,
            surplus=g.surplus,
            truncation=g.truncation,
            filters=g.filters,
            evidence=evidence,
            on_progress=lambda done, total: self.watch.amount("images", done, total),
        )
        generation.save(synthetic, self.run / "synthetic")
        rows = generation.census(synthetic, train, plan)
        write_json(self.run / "generation.json", {"strategy": str(g.sampling_strategy), "rows": rows})
        self.__dict__.pop("synthetic", None)

    def score(self) -> None:
        """FD and KID of fakes against one half of the train part, beside those of its other half."""
        train, limit = self.parts["train"], self.settings.score.limit
        card = metrics.compare(
            train,
            lambda conditions: self.synthesizer.sample(conditions, seed=self.settings.seed + 1).images,
            extractor(self.settings.score.features, train, self.classifier, self.device),
            limit=limit,
            condition=self.settings.train.condition,
            seed=self.settings.seed,
        )
        write_json(self.run / "scores.json", card.as_dict())

    def prove(self) -> None:
        """The paired trial; each training's result is kept as soon as it is there."""
        file, inputs = self.run / "trial.json", self.inputs("prove")
        stored = read_json(file) if file.exists() else {}
        results: dict[str, Any] = stored["results"] if stored.get("inputs") == inputs else {}
        verdict = proof.prove(
            *(self.parts[name] for name in SPLITS),
            self.synthetic,
            self.settings.prove,
            seed=self.settings.seed,
            device=self.device,
            flips=self.flips,
            results=results,
            on_result=lambda done, total, name: (
                write_json(file, {"inputs": inputs, "results": results}),
                self.watch.amount("trainings", done, total),
            )[1],
        )
        write_json(self.run / "verdict.json", verdict.as_dict())

    def export(self) -> None:
        """The augmented data set as class folders."""
        export.export_folder(self.run / "dataset", self.parts["train"], self.synthetic, force=True)

    def report(self) -> None:
        """The page."""
        report.write(about.facts(self), self.run / "report.html")
