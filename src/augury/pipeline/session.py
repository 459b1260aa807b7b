"""What a run being worked on has at hand: the data in memory, the folder, and what earlier stages left there."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import generation, metrics, proof, training
from augury.augment import policy
from augury.data import TargetImages, apart_from, read_target, read_unlabelled, with_unlabelled
from augury.data.cells import cells
from augury.errors import RunFolderError, SettingsError
from augury.files import digest, read_json, write_json
from augury.images import Images, LabelledImages, SyntheticImages
from augury.metrics import Extractor
from augury.networks import Classifier
from augury.pipeline import domains
from augury.pipeline.environment import machine, versions
from augury.pipeline.inputs import SAMPLE, Callbacks, about_data, changes, parted
from augury.pipeline.run_folder import FORMAT, Run
from augury.pipeline.stage_inputs import INPUTS
from augury.settings import RunSettings
from augury.training import Synthesizer, checkpoints

SURE = 0.95
"""The probability from which an unlabelled image is taken for its most probable class (Sohn et al. 2020, section 3.2)."""
CLASSIFIER_STEPS = 600
"""Steps of the classifier that watches over training and filters images."""


class Session:
    """One run being worked on; the stages of pipeline.py are functions of it."""

    def __init__(
        self, run: Run, data: LabelledImages, settings: RunSettings, source: str, callbacks: Callbacks
    ) -> None:
        self.run, self.source, self.callbacks = run, source, callbacks
        self.settings = domains.settings_for_target(settings)
        if settings.data.target is not None:
            domains.refuse_domain_attribute(data)
            data = domains.in_domain(data, "source")
        self.data = data
        self.device, self.features = training.choose_device(settings.device), run / "features"
        self.flips = data.flips(settings.prove.flips)

    @cached_property
    def parts(self) -> dict[str, LabelledImages]:
        """The data by part; raises RunFolderError when the split stage has not run."""
        codes = np.load(self.run / "split.npy", allow_pickle=False)
        parts = parted(self.data, codes, self.run.read("near_duplicates")["indices"])
        return parts if self.target is None else domains.target_parts(parts, self.target)

    @cached_property
    def target(self) -> TargetImages | None:
        """The images of the other domain; None for a run without."""
        d = self.settings.data
        if d.target is None:
            return None
        return read_target(
            d.target, self.data, fit=d.fit, on_bad=d.on_bad, mirrored=self.flips, seed=self.settings.seed
        )

    @cached_property
    def target_labels(self) -> domains.TargetLabels:
        """Pseudo-labels of the target images; raises RunFolderError when the classify stage has not run."""
        mix = self.run.read("target")["class_mix"]
        return domains.TargetLabels(np.load(self.run / "target.npy", allow_pickle=False), np.asarray(mix))

    @property
    def foreseen(self) -> LabelledImages:
        """What the generator will be trained on, as far as it is known before anything has run."""
        return self.data if self.target is None else domains.stand_in(self.data, self.target.images)

    @cached_property
    def unlabelled(self) -> Images:
        """All images of the folder without labels, uint8 [N, C, H, W]."""
        d, path = self.settings.data, self.settings.train.unlabelled
        if path is None:
            return np.empty((0, *self.data.shape), np.uint8)
        return read_unlabelled(path, self.data.shape, fit=d.fit, on_bad=d.on_bad)

    @cached_property
    def beside(self) -> Images:
        """Those images without labels that are like none held out, uint8 [N, C, H, W]; how many is stored."""
        unlabelled = self.unlabelled
        if not len(unlabelled):
            return unlabelled
        held = {name: self.parts[name].images for name in ("validation", "test")}
        keep, left = apart_from(unlabelled, held, self.parts["train"].images, mirrored=self.flips)
        summary = {
            "folder": self.settings.train.unlabelled,
            "images": len(unlabelled),
            "used": int(keep.sum()),
            "left_out": left,
        }
        write_json(self.run / "train" / "unlabelled.json", summary)
        return np.ascontiguousarray(unlabelled[keep])

    @cached_property
    def learnt(self) -> LabelledImages:
        """What the generator is trained on: the train part, and `beside`, or the target images under their pseudo-labels."""
        if self.target is not None:
            return domains.with_target(self.parts["train"], self.target.images, self.target_labels.labels)
        return with_unlabelled(self.parts["train"], self.beside) if len(self.beside) else self.parts["train"]

    def pseudo_labelled(self) -> dict[str, SyntheticImages]:
        """What the trial's arm "pseudo_labels" shows: `beside` under the classes that the run's classifier is sure of, where
        there are any."""
        if not len(self.beside):
            return {}
        labels, sure = generation.pseudo_labels(
            self.beside, lambda images: proof.probabilities(self.classifier, images), SURE
        )
        at = np.flatnonzero(sure)
        self.callbacks.note(
            f"the classifier is sure of {len(at):,} of {len(sure):,} unlabelled images (arm pseudo_labels)"
        )
        shown = SyntheticImages(
            self.beside[at], labels[at, None], (), self.data.classes, self.settings.seed, at, "real, unlabelled"
        )
        return {proof.UNLABELLED: shown} if len(at) else {}

    @cached_property
    def others(self) -> dict[str, SyntheticImages]:
        """Kept synthetic images of other runs by the name of their arm. Raises SettingsError for an arm that shows none,
        RunFolderError for a run of other classes or another size of image."""
        by_arm = {}
        for name, path in self.settings.prove.others.items():
            shown = (arm.source for arm in proof.ARMS.values() if arm.shows)
            sources = [source for source in dict.fromkeys(shown) if source != "gan"]
            if name not in sources:
                raise SettingsError(
                    f"prove.others: no arm shows images called '{name}'; there are: {', '.join(sources)}"
                )
            run = Run(path)
            facts = run.about["data"]
            if facts["classes"] != list(self.data.classes) or facts["shape"] != list(self.data.shape):
                raise RunFolderError(
                    f"{path}: a run with other classes or image sizes; give one of the same data, created with: augury run "
                    f"DATA -o {path} --recipe {name}"
                )
            condition = tuple(run.settings["train"]["condition"])
            images = generation.load(run / "synthetic", self.data.classes, condition)
            by_arm[name] = images.take(images.kept)
        return by_arm

    def drawn_by_others(self) -> dict[str, str]:
        """What tells other images from those that `others` gave before."""
        return {
            name: digest([proof.image_hashes(x.images).tolist(), *([] if x.targets is None else x.targets.tolist())])
            for name, x in self.others.items()
        }

    @property
    def trained(self) -> bool:
        """Whether there is a generator of these data and settings."""
        return "classify" in self.run.state() and self.run.is_done("train", self.inputs("train"))

    @cached_property
    def synthesizer(self) -> Synthesizer:
        """The trained generator."""
        return Synthesizer.load(self.run / "synthesizer", self.device)

    @property
    def layers(self) -> training.PretrainedBackbone | str:
        """Those of the trained discriminator, or why there are none."""
        return training.layers(self.run / "train", self.planned(), self.data.shape)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier trained on real train images only."""
        model = Classifier(self.data.shape[0], len(self.data.classes))
        model.load_state_dict(checkpoints.load(self.run / "classifier.safetensors")[0])
        return training.placed(model, self.device).eval().requires_grad_(False)

    @cached_property
    def target_judge(self) -> torch.nn.Module:
        """A classifier of target images that the translator's training knows nothing of."""
        assert self.target is not None, "this run has no other domain"
        return domains.target_classifier(
            self.parts["train"], self.target.images, domains.JUDGE, seed=self.settings.seed + 900_007, flips=self.flips,
            device=self.device,
        )  # fmt: skip

    @property
    def translates(self) -> bool:
        """Whether this run trains a translator."""
        return training.translates(self.planned().rule)

    @cached_property
    def column_classifiers(self) -> list[list[Classifier]]:
        """For each column of the condition the classifiers that judge translations; trained once, then stored."""
        train, condition = self.learnt, self.settings.train.condition
        table, files = cells(train, condition), self.run / "judges"
        names = [[f"{column}-{member}" for member in range(proof.MEMBERS)] for column in range(1 + len(condition))]
        columns = [[name, list(values)] for name, values in table.columns]
        key = digest(
            [
                self.run.key("split" if self.target is None else "classify"),
                columns,
                self.settings.seed,
                self.device.type,
                self.flips,
                proof.MEMBERS,
            ]
        )
        if not (files / "done").exists() or read_json(files / "done")["key"] != key:
            self.saw("judges", train)
            classifiers = proof.column_classifiers(
                train, condition, table, seed=self.settings.seed, device=self.device, flips=self.flips
            )
            for name, model in zip(chain(*names), chain(*classifiers), strict=True):
                checkpoints.save(files / f"{name}.safetensors", model.state_dict(), {})
            write_json(files / "done", {"key": key})
        loaded: list[list[Classifier]] = []
        for column, (_, values) in zip(names, table.columns, strict=True):
            loaded.append([])
            for name in column:
                model = Classifier(self.data.shape[0], len(values))
                model.load_state_dict(checkpoints.load(files / f"{name}.safetensors")[0])
                loaded[-1].append(training.placed(model, self.device).eval().requires_grad_(False))
        return loaded

    def exported(self) -> SyntheticImages:
        """The images drawn, of the kept ones those rejected that the trial leaves out as well: they are like a test image."""
        images = self.synthetic
        done = (self.run / "verdict.json").exists() and self.run.is_done("prove", self.inputs("prove"))
        looked = self.run.verdict.leaks if done else None  # at the same images, which takes its time
        if self.settings.prove.near_duplicates == "allow" or (looked is not None and not looked["left_out"]):
            return images
        at = np.flatnonzero(images.kept)
        train, test = self.parts["train"].images, self.parts["test"]
        near = at[proof.like_held(images.images[at], test, "drop", others=train, mirrored=self.flips)]
        if len(near):
            self.callbacks.note(
                f"{len(near):,} synthetic images are near-duplicates of a test image and are not exported"
            )
        reasons = np.array(images.reasons or ("",) * len(images), object)
        reasons[near] = "like a test image"
        return replace(images, reasons=tuple(reasons.tolist()))

    @cached_property
    def synthetic(self) -> SyntheticImages:
        """The images drawn, kept and rejected."""
        return generation.load(self.run / "synthetic", self.data.classes, self.settings.train.condition)

    def inputs(self, stage: str) -> Any:
        """What decides the outcome of a stage: its own settings and the key of the stage it builds on."""
        return INPUTS[stage](self)

    def forget(self, *names: str) -> None:
        """Drop values that were computed before a stage wrote new files; they are read again when they are needed."""
        for name in names:
            self.__dict__.pop(name, None)

    @property
    def begun_with(self) -> str | None:
        """The digest of the weights to start from; that of the stored plan where the training that gave them is gone. Raises
        RunFolderError where there is none, SettingsError for the run itself."""
        start, stored = self.settings.train.start_from, self.run / "train" / "plan.json"
        if start is None:
            return None
        if Path(start).resolve().is_relative_to(self.run.path.resolve()):
            raise SettingsError(
                f"--start-from {start} lies in the folder of this run, so training would change what it starts from; give "
                "another -o"
            )
        try:
            return training.fingerprint(start)
        except RunFolderError:
            before = read_json(stored)["plan"]["start"] if stored.exists() else None
            if before is None or before[0] != start:
                raise
            return str(before[1])

    def fitted(self, member: int) -> Classifier:
        """The classifier of the run (0) or a further one like it, of other weights and batches."""
        config = proof.TrainConfig(steps=CLASSIFIER_STEPS, balanced=True, augment=policy("classical", flips=self.flips))
        seed = self.settings.seed + 500_009 + member
        model: Classifier = proof.fit(self.parts["train"], config, seed=seed, device=self.device)
        return model

    def saw(self, component: str, images: LabelledImages, start_from: str | None = None) -> None:
        """Keep that `place` sees these images, those of the validation part, which it is chosen or stopped by, and those that
        what it starts from has seen, or that nothing tells of that; the trial checks it."""
        before = {} if start_from is None else proof.seen_by(component, start_from)
        chosen = proof.image_hashes(self.parts["validation"].images)
        name = component if start_from is None or component in before else component + proof.UNTOLD
        proof.record(self.run / "seen", name, proof.image_hashes(images.images), chosen, *before.values())
        for stale in {component, component + proof.UNTOLD} - {name}:
            (self.run / "seen" / f"{stale}.npy").unlink(missing_ok=True)

    def planned(self) -> training.Plan:
        """The training plan: made once, by measurement where a budget asks for it, and then kept."""
        stored, inputs = self.run / "train" / "plan.json", digest(self.inputs("train"))
        previous = read_json(stored) if stored.exists() else {}
        s = self.settings
        if previous.get("inputs") == inputs:
            plan = training.Plan.from_dict(previous["plan"])
            return plan if plan.start is None else replace(plan, start=(str(s.train.start_from), plan.start[1]))
        plan = training.make_plan(self.learnt, s.train, seed=s.seed, device=self.device, flips=self.flips)
        for file in (self.run / "train").glob("checkpoint-*.safetensors"):  # of another plan, or of other images
            file.unlink()
        write_json(stored, {"inputs": inputs, "plan": plan.as_dict()})
        return plan

    def amounts(self) -> generation.Amounts:
        """How many images each cell is to get, and why."""
        strategy, held = self.settings.generate.sampling_strategy, self.parts["validation"]
        recognised = None
        if strategy == "auto":
            right = proof.probabilities(self.classifier, held.images).argmax(1) == held.labels
            hits = np.bincount(held.labels[right], minlength=len(held.classes)).astype(np.int64)
            recognised = generation.Recognised(hits, held.counts)
        return generation.amounts(self.parts["train"], strategy, self.settings.train.condition, recognised)

    def filter_context(self) -> generation.FilterContext:
        """What filters may look at: nothing of the test part."""
        model = self.classifier
        inputs = metrics.from_network(
            "classifier's last layer", model, "", self.device, model.last_inputs, dimension=model.last.in_features
        )
        judges = self.column_classifiers if self.translates else []
        judge, why = None, "no filter asked for it"
        if any(rule.name == "discriminator" for rule in generation.rules(self.settings.generate.filters)):
            judge, why = training.discriminator(self.run / "train", self.planned(), self.learnt, self.device)
        return generation.FilterContext(
            self.parts["train"],
            _mean_probabilities(judges[0] if judges else [model]),
            lambda q, r, k: metrics.nearest(q, r, k),
            features=self.own_features().extract,
            validation=self.parts["validation"],
            last_inputs=inputs.extract,
            logits=model,
            discriminator=judge,
            condition=self.settings.train.condition,
            why_no_discriminator=why,
            attribute_probabilities=tuple(map(_mean_probabilities, judges[1:])),
        )

    def own_features(self) -> Extractor:
        """The run's classifier as a feature extractor."""
        return metrics.of_classifier(self.classifier, self.device)

    def plan(self) -> dict[str, Any]:
        """The training plan as the report tells it."""
        plan = read_json(self.run / "train" / "plan.json")["plan"]
        summary = {k: v for k, v in plan.items() if k not in ("rule", "start", "unconditional") or (k != "rule" and v)}
        return summary | {"network": plan["rule"]["network"], "chosen_step": self.synthesizer.card.steps}

    def command(self, settings: RunSettings | None = None, *more: str) -> str:
        """The command that gives the same result again, steps instead of a budget; of other `settings` and with `more` words
        for the run of which this one is a part."""
        s, plan = settings or self.settings, self.plan()
        source = [] if self.source == SAMPLE else [self.source]
        words = ["augury", "run", *source, "-o", "again", *more, "--seed", str(s.seed), "--device", plan["device"]]
        words += ["--recipe", plan["recipe"], "--steps", str(plan["steps"]), "--precision", plan["precision"]]
        return shlex.join(words + changes(s))

    def describe(self) -> dict[str, Any]:
        """run.json: format, versions, machine, settings and what the data are."""
        used = versions()
        return {
            "format": FORMAT,
            "version": used["augury"],
            "source": self.source,
            "settings": self.settings.model_dump(mode="json"),
            "versions": used,
            "machine": {**machine(), "device": self.device.type, "threads": torch.get_num_threads()},
            "data": about_data(self.data, self.parts),
        }


def _mean_probabilities(models: Sequence[Classifier]) -> Callable[[Images], Any]:
    """Images uint8 [N, C, H, W] -> the mean of the models' class probabilities, float64 [N, K]."""
    return lambda images: np.mean([proof.probabilities(model, images) for model in models], axis=0)
