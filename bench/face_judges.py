"""Classifiers of real CMU faces that say what a generated face shows, and picture sheets of the same person in several poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from augury import proof
from augury.augment import policy
from augury.data import draw_contact_sheet
from augury.data.decoding.label_encoding import Attribute
from augury.images import Codes, Images, LabelledImages
from augury.networks import Classifier
from augury.randomness import derived_seed, rng
from augury.training import Synthesizer, checkpoints

JUDGED = {"pose": 1, "expression": 4, "eyes": 1, "person": 1}
"""What is judged, and how many times as long its networks train; expressions differ least."""
Right = Mapping[str, npt.NDArray[np.bool_]]
"""Column -> which images show what was requested, bool [N]."""


def columns(faces: LabelledImages, label: str) -> dict[str, Attribute]:
    """Pose, expression, eyes and person of each face; `label` is the class of the data."""
    assert faces.groups is not None, "the groups of these data are people"
    names = tuple(f"person {number}" for number in range(int(faces.groups.max()) + 1))
    every = {
        **faces.attributes,
        label: Attribute(faces.labels, faces.classes),
        "person": Attribute(faces.groups, names),
    }
    return {name: every[name] for name in JUDGED}


@dataclass(frozen=True)
class Judges:
    """Two networks for each of JUDGED, trained on real images of all people and in all combinations.

    Each network trains on one half of the images, in which every person shows every pose and expression once. A generated image
    is judged by the mean of both, a real one by the network that did not train on it. The weights are stored in `folder`.
    """

    faces: LabelledImages
    label: str
    folder: Path
    steps: int = 300

    @cached_property
    def truth(self) -> dict[str, Attribute]:
        """What each real image shows."""
        return columns(self.faces, self.label)

    @cached_property
    def halves(self) -> Codes:
        """0 or 1 for each image: of every person and pose, the faces with open eyes are in one half, those with sunglasses in the
        other one. So every expression is in both."""
        pose, eyes, person = (self.truth[name].codes for name in ("pose", "eyes", "person"))
        coins = rng(0, "halves").integers(0, 2, (int(person.max()) + 1, int(pose.max()) + 1))
        half: Codes = (eyes + coins[person, pose]) % 2
        return half

    @cached_property
    def networks(self) -> dict[str, list[Classifier]]:
        """The networks of each column, one for each half."""
        return {name: [self._network(name, half) for half in range(2)] for name in JUDGED}

    def _network(self, name: str, half: int) -> Classifier:
        file, column = self.folder / f"{name}-{half}.safetensors", self.truth[name]
        if file.exists():
            network = Classifier(self.faces.shape[0], len(column.values))
            network.load_state_dict(checkpoints.load(file)[0])
            return network.eval().requires_grad_(False)
        rows = np.flatnonzero(self.halves == half)
        part = LabelledImages(self.faces.images[rows], column.codes[rows], column.values, fingerprint=f"half {half}")
        config = proof.TrainConfig(
            steps=JUDGED[name] * self.steps, balanced=True, augment=policy("classical", flips=False)
        )
        seed = derived_seed(0, "judge", name, half)
        trained: Classifier = proof.fit(part, config, seed=seed, device=torch.device("cpu"))
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoints.save(file, trained.state_dict(), {})
        return trained

    def right(self, images: Images, requested: Mapping[str, Codes], apart: Codes | None = None) -> Right:
        """Which images show what was requested: column -> codes int64 [N]. With `apart`, rows int64 [N] of real images, each
        image is judged by the network that did not train on this row."""
        named = {}
        for name, codes in requested.items():
            p = np.stack([proof.probabilities(network, images) for network in self.networks[name]])
            chosen = p.mean(0) if apart is None else p[1 - self.halves[apart], np.arange(len(images))]
            named[name] = chosen.argmax(1) == codes
        return named

    def right_of_real(self, rows: Codes, names: Sequence[str] = tuple(JUDGED)) -> Right:
        """The same for these real images: the most that generated images can be expected to reach."""
        truth = {name: self.truth[name].codes[rows] for name in names}
        return self.right(self.faces.images[rows], truth, apart=rows)


def shares(right: Right) -> dict[str, str]:
    """The share of each column in percent, and of images where all are right."""
    every = np.logical_and.reduce(list(right.values()))
    return {name: f"{100 * named.mean():.0f} %" for name, named in right.items()} | {
        "all": f"{100 * every.mean():.0f} %"
    }


@dataclass(frozen=True)
class Turns:
    """Real images of people, their translations into another pose, and the real images of the same people in that pose.

    `sources`, `counterparts` and `strangers` are rows of the real images. A counterpart shows the same person, expression and
    eyes in the pose of the translation; a stranger is another person with the same expression and eyes in that pose.
    """

    sources: Codes
    counterparts: Codes
    strangers: Codes
    images: Images

    def take(self, chosen: npt.NDArray[np.bool_]) -> Turns:
        """Those of `chosen`, bool [N]."""
        return Turns(self.sources[chosen], self.counterparts[chosen], self.strangers[chosen], self.images[chosen])


def turn(translator: Synthesizer, faces: LabelledImages, label: str, people: Codes) -> Turns:
    """Turn every straight image of these people into each other pose that exists as a real image."""
    shown = columns(faces, label)
    codes = {name: column.codes for name, column in shown.items()}
    straight, random = shown["pose"].values.index("straight"), rng(0, "strangers")
    alike = np.stack([codes[name] for name in ("expression", "eyes")], axis=1)
    sources, counterparts, strangers = [], [], []
    for row in np.flatnonzero((codes["pose"] == straight) & np.isin(codes["person"], people)):
        same = (alike == alike[row]).all(1)
        own = codes["person"] == codes["person"][row]
        for pose in range(len(shown["pose"].values)):
            there = same & (codes["pose"] == pose)
            if pose != straight and (there & own).any():
                sources.append(row)
                counterparts.append(int(np.flatnonzero(there & own)[0]))
                strangers.append(int(random.choice(np.flatnonzero(there & ~own))))
    at, reached = np.array(sources, np.int64), np.array(counterparts, np.int64)
    changes = np.concatenate(
        [translator.changes_of({"pose": shown["pose"].values[pose]}) for pose in codes["pose"][reached]]
    )
    images = translator.translate(faces.images[at], changes, indices=np.arange(len(at)))
    return Turns(at, reached, np.array(strangers, np.int64), images)


def distance(first: Images, second: Images) -> float:
    """Mean absolute difference of two sets of images in grey levels of 255."""
    return float(np.abs(first.astype(np.float64) - second).mean())


def turned_rows(who: str, turns: Turns, judges: Judges) -> list[dict[str, Any]]:
    """Table rows: translations, their sources as they are, other people in that pose, and the real images."""
    real, reached = judges.faces.images, turns.counterparts
    requested = {name: judges.truth[name].codes[reached] for name in JUDGED}
    rows = []
    for what, images, apart in (
        ("turned by the translator", turns.images, reached),
        ("the source as it is", real[turns.sources], turns.sources),
        ("another person in that pose", real[turns.strangers], turns.strangers),
        ("real images in that pose", real[reached], reached),
    ):
        right = shares(judges.right(images, requested, apart))
        rows.append(
            {"people": who, "images": what, "n": len(images)}
            | right
            | {"distance": f"{distance(images, real[reached]):.1f}"}
        )
    return rows


def turned_sheet(
    turns: Turns,
    faces: LabelledImages,
    label: str,
    people: Mapping[int, str],
    wearing: Sequence[str] = ("open", "sunglasses"),
) -> Image.Image:
    """For each of these people (number -> note) two rows: a source and its translations, and the real images in the same poses."""
    shown = columns(faces, label)
    pose, eyes, person = (shown[name] for name in ("pose", "eyes", "person"))
    turned_poses = [code for code, name in enumerate(pose.values) if name != "straight"]
    rows: dict[str, Images] = {}
    for worn, (number, note) in product(wearing, people.items()):
        alike = (person.codes == number) & (eyes.codes == eyes.values.index(worn))
        for source in np.unique(turns.sources[alike[turns.sources]]):
            of_source = turns.sources == source
            at = [np.flatnonzero(of_source & (pose.codes[turns.counterparts] == code)) for code in turned_poses]
            if all(len(each) for each in at):
                chosen, first = np.concatenate(at), faces.images[[source]]
                rows[f"person {number}, {worn}, translated{note}"] = np.concatenate([first, turns.images[chosen]])
                rows[f"person {number}, {worn}, real"] = np.concatenate(
                    [first, faces.images[turns.counterparts[chosen]]]
                )
                break
    return draw_contact_sheet(rows, ["straight", *(pose.values[code] for code in turned_poses)], least=96, most=128)
