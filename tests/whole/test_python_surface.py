"""Objects of Augury are accepted where arrays are, and show themselves in one line and in a notebook."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import augury
from augury import data, generation, metrics, proof
from augury.augment import AugmentedDataset, BalancedSampler, augmented, rotate
from augury.data import TargetImages
from augury.errors import DataError, RunFolderError
from augury.images import Attribute, LabelledImages, SyntheticImages, as_images, as_labelled
from augury.metrics import Score, ScoreCard
from augury.networks import Classifier, build_generator
from augury.pipeline import evaluation
from augury.pipeline.run_folder import Run
from augury.training import Card, Synthesizer

HOSTILE = "<script>alert(1)</script>"
NUMBERS = np.random.default_rng(5)
PIXELS = NUMBERS.integers(0, 256, (48, 1, 16, 16), dtype=np.uint8)
TRAIN = LabelledImages(PIXELS[:24], np.arange(24) % 3, ("a", "b", HOSTILE), fingerprint="train")
HELD_OUT = replace(TRAIN, images=NUMBERS.integers(0, 256, TRAIN.images.shape, dtype=np.uint8))
REASONS = ("", "", "", "rejected") * 6
FAKE = SyntheticImages(
    PIXELS[24:], np.arange(24)[:, None] % 3, (), TRAIN.classes, 7, np.arange(24), "0123456789abcdef", reasons=REASONS
)
ACCEPTED = FAKE.take(FAKE.accepted)
MODEL = Classifier(1, 3).eval()
EXTRACTOR = metrics.pixels((1, 16, 16))

SAME: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "augmented": (lambda x: augmented(x, "classical", seed=3), None),
    "rotate": (lambda x: rotate(x, degrees=90), None),
    "find_near_duplicates": (data.find_near_duplicates, None),
    "copied": (lambda x: data.copied(x, TRAIN), None),
    "copied (held)": (lambda x: data.copied(TRAIN, x, x), None),
    "shared": (lambda x: data.shared([x, x]), None),
    "apart_from": (lambda x: data.apart_from(x, {"test": x}, x), None),
    "with_unlabelled": (lambda x: data.with_unlabelled(TRAIN, x), None),
    "draw_contact_sheet": (lambda x: data.draw_contact_sheet({"row": x}), None),
    "extractor": (EXTRACTOR, None),
    "evaluate": (lambda x: augury.evaluate(PIXELS, x, train=PIXELS[:24], held_out=PIXELS[24:]), ACCEPTED),
    "evaluate (real)": (lambda x: augury.evaluate(x, PIXELS, baseline=PIXELS), ACCEPTED),
    "image_hashes": (proof.image_hashes, None),
    "like_held": (lambda x: proof.like_held(x, HELD_OUT, "drop", others=TRAIN), None),
    "probabilities": (lambda x: proof.probabilities(MODEL, x), None),
    "pseudo_labels": (lambda x: generation.pseudo_labels(x, lambda y: proof.probabilities(MODEL, y), 0.1), None),
    "soft_labels": (
        lambda x: generation.soft_labels(x, np.arange(len(x)) % 3, [lambda y: proof.probabilities(MODEL, y)]),
        None,
    ),
}
"""Name -> (call, the images that the call uses of FAKE when not all)."""


def as_plain(value: Any) -> Any:
    """A result as bytes, numbers and text that can be compared."""
    if isinstance(value, LabelledImages):
        return value.images.tobytes()
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, np.ndarray | Image.Image):
        return np.asarray(value).tobytes()
    if isinstance(value, ScoreCard):
        return value.as_dict()
    return [as_plain(item) for item in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("name", SAME)
def test_sets_give_the_result_of_their_arrays(name: str) -> None:
    call, used = SAME[name]
    arrays = name in ("augmented", "rotate")  # arrays of these have channels last; tensors have not
    of_train = call(torch.from_numpy(TRAIN.images) if arrays else TRAIN.images)
    assert as_plain(call(TRAIN)) == as_plain(of_train)
    fake = ACCEPTED.images if arrays else (FAKE if used is None else used).images
    assert as_plain(call(FAKE)) == as_plain(call(torch.from_numpy(fake) if arrays else fake))


def test_scores_by_class_match_classes_by_name() -> None:
    permuted = LabelledImages(FAKE.images, (FAKE.labels + 1) % 3, (HOSTILE, "a", "b"))
    card = augury.evaluate(TRAIN, permuted, scores=["precision", "spread"], baseline=None)
    explicit = augury.evaluate(
        TRAIN.images, FAKE.images, scores=["precision", "spread"], baseline=None,
        real_labels=TRAIN.labels, fake_labels=FAKE.labels, classes=TRAIN.classes,
    )  # fmt: skip
    assert card == explicit and {score.group for score in card.scores} > {""}
    other = replace(permuted, classes=("x", "a", "y"))
    assert {score.group for score in augury.evaluate(TRAIN, other, scores=["precision"]).scores} == {""}


def test_the_verb_evaluate_takes_sets_too() -> None:
    scores = evaluation.judge(TRAIN, FAKE, ["pixels"], scores=["precision"], baseline=None)
    expected = augury.evaluate(TRAIN, FAKE, scores=["precision"], baseline=None)
    assert [s.value for s in scores.card.scores] == [s.value for s in expected.scores]
    assert scores.sets["synthetic"]["images"] == len(ACCEPTED)


def test_changed_sets_keep_labels_but_not_the_fingerprint() -> None:
    changed = rotate(TRAIN, degrees=90)
    assert (changed.labels == TRAIN.labels).all() and changed.fingerprint != TRAIN.fingerprint
    assert (changed.images[3, 0] == np.rot90(TRAIN.images[3, 0])).all()
    assert (rotate(FAKE, degrees=90).labels == ACCEPTED.labels).all()


def test_training_and_samplers_take_accepted_synthetic_images() -> None:
    assert (as_labelled(FAKE).images == ACCEPTED.images).all() and as_labelled(TRAIN) is TRAIN
    samples = AugmentedDataset(FAKE, "none", seed=0)
    image, label = samples[2]
    assert len(samples) == 18 and label == ACCEPTED.labels[2] and (image.numpy() == ACCEPTED.images[2]).all()
    assert len(list(BalancedSampler(FAKE, seed=0))) == 18
    assert (proof.joined(TRAIN, FAKE).images[24:] == ACCEPTED.images).all()
    config = proof.TrainConfig(steps=2, batch=6)
    of_set, of_labelled = (
        proof.fit(x, config, seed=0, device=torch.device("cpu")) for x in (FAKE, as_labelled(ACCEPTED))
    )
    assert all(torch.equal(a, b) for a, b in zip(of_set.parameters(), of_labelled.parameters(), strict=True))


def test_an_export_names_the_images_of_another_generator(tmp_path: Path) -> None:
    other = LabelledImages(FAKE.images, FAKE.labels, TRAIN.classes, names=tuple(f"theirs/{i}.png" for i in range(24)))
    assert augury.export(tmp_path / "set", TRAIN, other)["synthetic"] == 24
    rows = [json.loads(line) for line in (tmp_path / "set" / "manifest.jsonl").read_text().splitlines()]
    sources = [row["source"] for row in rows if row["origin"] == "synthetic"]
    assert sources == list(other.names)


@pytest.mark.parametrize("invalid", [PIXELS[0], PIXELS.astype(np.float32), [1, 2], torch.zeros(2, 1, 8, 8), "photos/"])
def test_what_is_no_set_of_images_is_refused(invalid: Any) -> None:
    with pytest.raises(
        DataError, match=rf"this is a {type(invalid).__name__}.*convert it, or read files with augury.load"
    ):
        as_images(invalid)
    with pytest.raises(DataError, match=r"augury\.data\.from_arrays"):
        as_labelled(invalid)


def synthesizer() -> Synthesizer:
    card = Card(
        "mlp", {"hidden": 8}, (1, 16, 16), TRAIN.classes, (), (), "", "gan", seed=0, steps=1, batch=8, precision="fp32"
    )
    return Synthesizer(card, build_generator("mlp", {"hidden": 8}, (1, 16, 16), (3,)))


SCORE = Score("KID-pixels", 0.1, 0.05, 0.2, 24, "lower", "pixels", "none", baseline=0.01)
DATA_SETS: dict[str, tuple[Any, str]] = {
    "labelled": (
        replace(
            TRAIN, split=np.arange(24, dtype=np.int8) % 3, attributes={"pose": Attribute(TRAIN.labels, ("l", "r", "c"))}
        ),
        "LabelledImages(24 images, 1×16×16, 3 classes, attributes pose, 8 train, 8 validation, 8 test)",
    ),
    "synthetic": (
        FAKE,
        "SyntheticImages(24 images, 1×16×16, 18 accepted, 3 classes, seed 7, synthesizer 0123456789abcdef)",
    ),
    "target": (TargetImages(PIXELS, TRAIN), "TargetImages(48 images, 1×16×16, 24 labelled test images)"),
    "score": (SCORE, "Score(KID-pixels 0.1 [0.05, 0.2], real images 0.01, n=24, lower is better)"),
    "card": (ScoreCard((SCORE,)), "ScoreCard(KID-pixels 0.1)"),
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_an_object_shows_itself_in_one_line(name: str) -> None:
    value, text = DATA_SETS[name]
    assert repr(value) == text


@pytest.mark.parametrize(
    "value",
    [TRAIN, FAKE, FAKE.take(~FAKE.accepted), synthesizer(), ScoreCard((SCORE,))],
    ids=lambda value: type(value).__name__,
)
def test_a_panel_is_small_escaped_and_loads_nothing(value: Any) -> None:
    html = value._repr_html_()
    assert len(html) < 40_000 and "<script" not in html
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', html) == [] and "http" not in html
    if not isinstance(value, ScoreCard):
        assert "&lt;script&gt;" in html and html.count('src="data:image/png') == 1


def test_the_strip_shows_images_of_every_class() -> None:
    encoded = re.search(r"base64,([^\"]+)", TRAIN._repr_html_())
    assert encoded is not None
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[1]))))
    tiles = [strip[:, 18 * k : 18 * k + 16, 0] for k in range(12)]
    positions = [int(np.flatnonzero((TRAIN.images[:, 0] == tile).all((1, 2)))[0]) for tile in tiles]
    assert len(set(positions)) == 12 and np.bincount(TRAIN.labels[positions]).tolist() == [4, 4, 4]


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of which only the split exists."""
    images = NUMBERS.integers(0, 256, (60, 1, 16, 16), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("runs") / "started"
    return augury.run(LabelledImages(images, np.arange(60) % 2, ("cat", HOSTILE)), folder, until="split")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("synthesizer", "augury train -o"),
        ("synthetic", "augury run -o"),
        ("scores", "augury run -o"),
        ("verdict", "augury run -o"),
        ("dataset", "augury run -o"),
        ("report", "augury run -o"),
    ],
)
def test_a_stage_that_has_not_run_names_its_command(unfinished: Run, tmp_path: Path, name: str, command: str) -> None:
    with pytest.raises(RunFolderError, match=rf"no [a-z ]+ yet; continue the run with: {command} {unfinished.path}"):
        getattr(unfinished, name)
    with pytest.raises(RunFolderError, match="not a run folder"):
        getattr(Run(tmp_path), name)


def test_a_run_shows_what_it_has(unfinished: Run, tmp_path: Path) -> None:
    assert repr(unfinished) == f"Run({str(unfinished.path)!r}, 60 images, 1×16×16, 2 classes, 1 stage done)"
    assert unfinished.split.shape == (60,) and set(unfinished.split.tolist()) == {0, 1, 2}
    html = unfinished._repr_html_()
    assert "&lt;script&gt;" in html and "<script" not in html and "validation" in html
    assert repr(Run(tmp_path)) == f"Run({str(tmp_path)!r})" and Path(unfinished) == unfinished.path
