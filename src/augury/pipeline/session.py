"""The state of a run in progress: its data in memory, its run folder, and the results of earlier stages."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
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
from augury.networks import Classifier, PretrainedPipeline
from augury.pipeline import domains, stored_networks
from augury.pipeline.inputs import Callbacks, by_split, image_files
from augury.pipeline.judge_images import at_judge_size
from augury.pipeline.run_folder import Run
from augury.pipeline.stage_inputs import INPUTS
from augury.randomness import derived_seed
from augury.settings import ExportSettings, RunSettings, TrainSettings
from augury.training import Synthesizer, checkpoints
from augury.training.recipes import PRETRAINED

SURE = 0.95
"""Minimal probability at which an unlabelled image gets a pseudo-label (Sohn et al. 2020, section 3.2)."""
CLASSIFIER_STEPS = 600
"""Training steps of the classifier that monitors training and filters images."""


class Session:
    """The state of a run in progress. Each stage in stages.py is a function that takes a Session."""

    def __init__(
        self, run: Run, data: LabelledImages, settings: RunSettings, source: str, callbacks: Callbacks
    ) -> None:
        self.run, self.source, self.callbacks = run, source, callbacks
        self.settings = domains.settings_for_target(settings)
        self.time: dict[str, Any] | None = run.metadata.get("time") if (run / "run.json").exists() else None
        if settings.data.target is not None:
            domains.refuse_domain_attribute(data)
            data = domains.in_domain(data, "source")
        self.data = data
        self.device, self.features = training.choose_device(settings.device), run / "features"
        self.flips = data.flips(settings.prove.flips)

    @cached_property
    def splits(self) -> dict[str, LabelledImages]:
        """The data by split; raises RunFolderError when the split stage has not run."""
        codes = self.run.split
        splits = by_split(self.data, codes, self.run.read("near_duplicates")["indices"])
        return splits if self.target is None else domains.target_splits(splits, self.target)

    @cached_property
    def own_size(self) -> proof.Splits | None:
        """The splits in the size that the classifiers of the trial see; None where it is that of the generator."""
        path = Path(self.source) if Path(self.source).exists() else None
        images = self.data if self.target is not None else at_judge_size(path, self.data, self.settings, self.callbacks)
        if images is self.data:
            return None
        codes = self.run.split
        splits = by_split(images, codes, self.run.read("near_duplicates")["indices"])
        return proof.Splits(splits["train"], splits["validation"], splits["test"])

    @cached_property
    def target(self) -> TargetImages | None:
        """The images of the target domain; None for a run without one."""
        data = self.settings.data
        if data.target is None:
            return None
        return read_target(
            data.target,
            self.data,
            fit=data.fit,
            on_bad=data.on_bad,
            mirrored=self.flips,
            seed=self.settings.seed,
            follow_links=data.follow_links,
            transparency=data.transparency,
        )

    @cached_property
    def target_labels(self) -> domains.TargetLabels:
        """Pseudo-labels of the target images; raises RunFolderError when the classify stage has not run."""
        proportions = self.run.read("target")["class_mix"]
        return domains.TargetLabels(np.load(self.run / "target.npy", allow_pickle=False), np.asarray(proportions))

    def originals(self, images: LabelledImages, settings: ExportSettings) -> list[Path] | None:
        """The original file of each image where `settings.originals` includes them, else None.

        Raises SettingsError when the images have no files of their own, as those of an archive.
        """
        if settings.originals == "none":
            return None
        path = Path(self.source) if Path(self.source).exists() else None
        files = image_files(path, images, self.settings)
        if not files:
            raise SettingsError(
                f"export.originals={settings.originals} includes the files of the images, but not every image of {self.source} "
                f"is a file of its own (format: {self.data.notes.get('format', 'arrays')}); give a folder or table of image files, or "
                "use none"
            )
        return files

    @property
    def source_name(self) -> str:
        """The name of the data without the folder that they lie in."""
        return Path(self.source).name if Path(self.source).exists() else self.source

    @property
    def foreseen(self) -> LabelledImages:
        """Stand-in for the generator's training images, available before any stage has run."""
        return self.data if self.target is None else domains.stand_in(self.data, self.target.images)

    @cached_property
    def unlabelled(self) -> Images:
        """All images of the unlabelled folder, uint8 [N, C, H, W]."""
        data, path = self.settings.data, self.settings.train.unlabelled
        if path is None:
            return np.empty((0, *self.data.shape), np.uint8)
        return read_unlabelled(
            path,
            self.data.shape,
            fit=data.fit,
            on_bad=data.on_bad,
            follow_links=data.follow_links,
            transparency=data.transparency,
            on_note=self.callbacks.note,
        )

    @property
    def beside(self) -> Images:
        """The unlabelled images that are no near-duplicates of held-out images, uint8 [N, C, H, W]."""
        return self._apart[0]

    @property
    def left_out(self) -> dict[str, int]:
        """Split -> number of unlabelled images that resemble its images and are not used."""
        return self._apart[1]

    @cached_property
    def _apart(self) -> tuple[Images, dict[str, int]]:
        unlabelled = self.unlabelled
        if not len(unlabelled):
            return unlabelled, {}
        held_out = {name: self.splits[name].images for name in ("validation", "test")}
        used, left_out = apart_from(unlabelled, held_out, self.splits["train"].images, mirrored=self.flips)
        return np.ascontiguousarray(unlabelled[used]), left_out

    @cached_property
    def generator_images(self) -> LabelledImages:
        """The generator's training images.

        They are the train split, with the unlabelled images (`beside`) or the pseudo-labelled target images, if any.
        """
        if self.target is not None:
            return domains.with_target(self.splits["train"], self.target.images, self.target_labels.labels)
        return with_unlabelled(self.splits["train"], self.beside) if len(self.beside) else self.splits["train"]

    def pseudo_labelled(self) -> dict[str, SyntheticImages]:
        """The images of the arms "pseudo_labels" and "fixmatch", by source name.

        They are the unlabelled images (`beside`). Accepted are those to whose class the run's classifier gives a probability
        of at least SURE. The result is empty if there are none.
        """
        if not len(self.beside):
            return {}
        labels, confident = generation.pseudo_labels(
            self.beside, lambda images: proof.probabilities(self.classifier, images), SURE
        )
        indices = np.flatnonzero(confident)
        self.callbacks.note(
            f"the classifier is sure of {len(indices):,} of {len(confident):,} unlabelled images (arm pseudo_labels)"
        )
        images = SyntheticImages(
            self.beside,
            labels[:, None],
            (),
            self.data.classes,
            self.settings.seed,
            np.arange(len(labels)),
            "real, unlabelled",
            reasons=tuple("" if sure else "not confident" for sure in confident),
        )
        return {proof.UNLABELLED: images} if len(indices) else {}

    @cached_property
    def others(self) -> dict[str, SyntheticImages]:
        """Accepted synthetic images of other runs (`prove.others`), by source name.

        Raises SettingsError if no arm trains on that source. Raises RunFolderError for a run with other classes or another
        image size.
        """
        by_source = {}
        for name, path in self.settings.prove.others.items():
            with_images = (arm.source for arm in proof.ARMS.values() if arm.shows)
            sources = [source for source in dict.fromkeys(with_images) if source != "gan"]
            if name not in sources:
                raise SettingsError(
                    f"prove.others: no arm shows images called '{name}'; there are: {', '.join(sources)}"
                )
            run = Run(path)
            data_info = run.metadata["data"]
            if data_info["classes"] != list(self.data.classes) or data_info["shape"] != list(self.data.shape):
                raise RunFolderError(
                    f"{path}: a run with other classes or image sizes; give one of the same data, created with: augury run "
                    f"DATA -o {path} --recipe {name}"
                )
            condition = tuple(run.settings["train"]["condition"])
            images = generation.load(run / "synthetic", self.data.classes, condition)
            by_source[name] = images.take(images.accepted)
        return by_source

    def drawn_by_others(self) -> dict[str, str]:
        """Digests of the images of `others`; they change when those images change."""
        return {
            name: digest([proof.image_hashes(x.images).tolist(), *([] if x.targets is None else x.targets.tolist())])
            for name, x in self.others.items()
        }

    @property
    def trained(self) -> bool:
        """Whether a generator with these data and settings exists."""
        return "classify" in self.run.state() and self.run.is_done("train", self.inputs("train"))

    @cached_property
    def synthesizer(self) -> Synthesizer:
        """The trained generator. Images of a pretrained pipeline are stored as they are drawn, since each takes long."""
        synthesizer = Synthesizer.load(self.run / "synthesizer", self.device)
        if isinstance(synthesizer.generator, PretrainedPipeline):
            synthesizer.generator.store = self.run / "drawn"
        return synthesizer

    @property
    def layers(self) -> training.PretrainedBackbone | str:
        """The pretrained layers of the discriminator, or the reason why there are none."""
        return training.layers(self.run / "train", self.planned(), self.data.shape)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier trained on real train images only."""
        model = Classifier(self.data.shape[0], len(self.data.classes))
        model.load_state_dict(checkpoints.load(self.run / "classifier.safetensors")[0])
        return training.placed(model, self.device).eval().requires_grad_(False)

    @cached_property
    def target_judge(self) -> torch.nn.Module:
        """A classifier for the target domain, trained independently of the translator; it evaluates translations."""
        assert self.target is not None, "this run has no other domain"
        return domains.target_classifier(
            self.splits["train"], self.target.images, domains.JUDGE, seed=derived_seed(self.settings.seed, "target judge"),
            flips=self.flips, device=self.device,
        )  # fmt: skip

    @property
    def translates(self) -> bool:
        """Whether this run trains a translator."""
        return training.translates(self.planned().rule)

    @cached_property
    def column_classifiers(self) -> list[list[Classifier]]:
        """Classifiers that evaluate translations: a list for the class and one for each attribute of the condition.

        They are trained once and then stored in the folder `judges`.
        """
        train, condition = self.generator_images, self.settings.train.condition
        files, table = self.run / "judges", cells(train, condition)
        columns = [[name, list(values)] for name, values in table.columns]
        split = self.run.key("split" if self.target is None else "classify")
        key = digest([split, columns, self.settings.seed, self.device.type, self.flips, proof.MEMBERS])
        if not stored_networks.current(files, key):
            self.record_seen("judges", train)
        return stored_networks.column_classifiers(
            files, key, train, condition, table, seed=self.settings.seed, device=self.device, flips=self.flips
        )

    @cached_property
    def identity(self) -> generation.Identity | str:
        """The score that says whether a translation is still recognised as its source's group, or why there is none.

        Its networks are trained once and then stored in the folder `identity`.
        """
        train, condition, files = self.splits["train"], self.settings.train.condition, self.run / "identity"
        reason = generation.why_no_identity(train, condition, self.changed_columns, self.settings.seed)
        if reason:
            return reason
        key = digest([self.run.key("split"), list(condition), self.settings.seed, self.device.type, self.flips])
        if not stored_networks.current(files, key):
            self.record_seen("identity", train)
        return stored_networks.identity(
            files, key, train, condition, seed=self.settings.seed, device=self.device, flips=self.flips
        )

    @property
    def changed_columns(self) -> range:
        """The columns that translations change: the class (0) where the recipe changes it, and the attributes."""
        return range(0 if self.planned().rule.class_moves else 1, 1 + len(self.settings.train.condition))

    def exported(self) -> SyntheticImages:
        """All generated images. Accepted near-duplicates of a test image become rejected, as in the trial."""
        images = self.synthetic
        done = (self.run / "verdict.json").exists() and self.run.is_done("prove", self.inputs("prove"))
        leaks = self.run.verdict.leaks if done else None  # reuse the trial's search, because a new one is slow
        if self.settings.prove.near_duplicates == "allow" or (leaks is not None and not leaks["left_out"]):
            return images
        accepted = np.flatnonzero(images.accepted)
        train, test = self.splits["train"].images, self.splits["test"]
        near = accepted[proof.like_held(images.images[accepted], test, "drop", others=train, mirrored=self.flips)]
        if len(near):
            self.callbacks.note(
                f"{len(near):,} synthetic images are near-duplicates of a test image and are not exported"
            )
        reasons = np.array(images.reasons or ("",) * len(images), object)
        reasons[near] = "like a test image"
        return replace(images, reasons=tuple(reasons.tolist()))

    @cached_property
    def synthetic(self) -> SyntheticImages:
        """All generated images, accepted and rejected."""
        return generation.load(self.run / "synthetic", self.data.classes, self.settings.train.condition)

    def store(self, synthetic: SyntheticImages, train: LabelledImages | None = None) -> None:
        """Write the synthetic images; decisions by hand on the same images stay. `train` are the sources of translations."""
        lost = generation.save(synthetic, self.run / "synthetic", train)
        if lost:
            self.callbacks.note(
                f"{lost:,} decisions by hand were on images that are not drawn any more; they are dropped"
            )
        self.forget("synthetic")

    @property
    def reviewed(self) -> list[str]:
        """A digest of the decisions by hand on the synthetic images, an input of trial and export; [] without decisions."""
        if not (self.run / "synthetic" / "manifest.jsonl").exists():
            return []
        by_hand = generation.decisions(generation.read_rows(self.run / "synthetic"))
        return [digest(sorted(by_hand.items()))] if by_hand else []

    def drawn(self) -> dict[str, Any]:
        """The contents of generation.json, with the images counted again where some were decided by hand."""
        facts = self.run.read("generation")
        if not self.reviewed:
            return facts
        images, facts = self.synthetic, facts | {"rows": generation.recounted(facts["rows"], self.synthetic)}
        return facts | (
            {"plan": generation.tallied(facts["plan"], images, self.splits["train"])} if "plan" in facts else {}
        )

    def inputs(self, stage: str) -> Any:
        """The inputs of a stage: its settings and the key of the stage that it depends on.

        A stage is skipped while its inputs are unchanged.
        """
        return INPUTS[stage](self)

    def forget(self, *names: str) -> None:
        """Clear cached properties after a stage has written new files; the next access reads the files again."""
        for name in names:
            self.__dict__.pop(name, None)

    @property
    def initial_weights(self) -> str | None:
        """The digest of the initial weights (`--start-from`); None for random initialisation.

        If the other run has been deleted, the digest comes from this run's stored plan. Raises RunFolderError if that has
        none either. Raises SettingsError if the weights lie in this run's own folder.
        """
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
            previous = read_json(stored)["plan"]["start"] if stored.exists() else None
            if previous is None or previous[0] != start:
                raise
            return str(previous[1])

    @property
    def pipeline_digest(self) -> str | None:
        """The digest of the pretrained pipeline; None for a recipe that trains.

        If its folder has been deleted, the digest comes from the stored plan, so that finished stages stay finished. Raises
        WeightsError for another folder that cannot be used.
        """
        train, stored = self.settings.train, self.run / "train" / "plan.json"
        if train.recipe not in PRETRAINED:
            return None
        folder = train.overrides.get("pipeline")
        if folder and not Path(folder).exists() and stored.exists():
            previous = read_json(stored)["plan"]["rule"]["settings"]
            if previous.get("pipeline") == folder:
                return str(previous["digest"])
        return training.pipeline_digest(folder)

    def fitted(self, member: int) -> Classifier:
        """Train the classifier of the run (`member` 0), or a further one with other initial weights and batches."""
        config = proof.TrainConfig(steps=CLASSIFIER_STEPS, balanced=True, augment=policy("classical", flips=self.flips))
        seed = derived_seed(self.settings.seed, "classifier of the run", member)
        model: Classifier = proof.fit(self.splits["train"], config, seed=seed, device=self.device)
        return model

    def record_seen(self, component: str, images: LabelledImages, start_from: str | None = None) -> None:
        """Record which images `component` (generator, filter, …) has seen. The trial checks that no test image is among them.

        The record contains `images` and the validation split, which selects the model. With `start_from` it also contains
        the images that the initial weights have seen. If these are unknown, as those of a pretrained
        pipeline are, the name of the record says so.
        """
        inherited = {} if start_from is None else proof.seen_by(component, start_from)
        validation = proof.image_hashes(self.splits["validation"].images)
        name = component if start_from is None or component in inherited else component + proof.START_UNKNOWN
        proof.record(self.run / "seen", name, proof.image_hashes(images.images), validation, *inherited.values())
        for stale in {component, component + proof.START_UNKNOWN} - {name}:
            (self.run / "seen" / f"{stale}.npy").unlink(missing_ok=True)

    @cached_property
    def contest(self) -> dict[str, Any] | None:
        """The stored contest of recipes, if one chose the recipe of this run: the recipe, the rest of the time and the rows."""
        file = self.run / "train" / "contest.json"
        if not self.settings.train.contested or not file.exists():
            return None
        stored = read_json(file)
        return stored if stored["inputs"] == digest(self.inputs("train")) else None

    @property
    def train_settings(self) -> TrainSettings:
        """The training settings, with the recipe and the time that a contest has decided."""
        train, contest = self.settings.train, self.contest
        decided = {} if contest is None else {name: contest[name] for name in ("recipe", "budget")}
        return train.model_copy(update=decided)

    def planned(self) -> training.Plan:
        """The training plan, with every setting resolved. It is created once and then stored.

        With a time budget, the number of steps comes from measuring the speed of training. Changed inputs give a new plan
        and delete the old checkpoints.
        """
        stored, inputs = self.run / "train" / "plan.json", digest(self.inputs("train"))
        previous = read_json(stored) if stored.exists() else {}
        settings = self.settings
        if previous.get("inputs") == inputs:
            plan = training.Plan.from_dict(previous["plan"])
            return plan if plan.start is None else replace(plan, start=(str(settings.train.start_from), plan.start[1]))
        plan = training.make_plan(
            self.generator_images, self.train_settings, seed=settings.seed, device=self.device, flips=self.flips
        )
        for file in (self.run / "train").glob("checkpoint-*.safetensors"):  # from another plan or other images
            file.unlink()
        write_json(stored, {"inputs": inputs, "plan": plan.as_dict()})
        return plan

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters of the run: those set, or the default ones of translations."""
        names, groups = self.settings.generate.filters, self.splits["train"].groups is not None
        return generation.filters_for_translations(names, groups=groups) if self.translates else names

    def own_features(self) -> Extractor:
        """The run's classifier as a feature extractor."""
        return metrics.of_classifier(self.classifier, self.device)
