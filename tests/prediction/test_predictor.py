"""A stored classifier gives the same answers, and refuses files that are not its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import augury
from augury.errors import RunFolderError, SettingsError
from augury.files import read_json, write_json
from augury.networks import Classifier
from augury.prediction import Predictor, onnx_installed
from augury.prediction.card import CARD, MODEL, README, WEIGHTS
from augury.prediction.novelty import appearance
from tests.helpers.classifier_data import small_classifier, squares
from tests.helpers.tiny_data import random_layers

NEW = squares(30, 9)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small_classifier()


@pytest.fixture(scope="module")
def stored(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("run") / "classifier"
    predictor.save(folder)
    return folder


@pytest.fixture
def copy(stored: Path, tmp_path: Path) -> Path:
    """A copy of the stored classifier, to be damaged."""
    return Path(shutil.copytree(stored, tmp_path / "classifier"))


def test_it_classifies_and_gives_the_same_numbers_after_reloading(predictor: Predictor, stored: Path) -> None:
    before, after = predictor.predict(NEW), augury.classifier(stored.parent).predict(NEW.images)
    assert (before.labels == NEW.labels).mean() > 0.75 and before.truth is not None
    assert (before.probabilities == after.probabilities).all() and (before.distance == after.distance).all()
    assert before.probabilities.dtype == np.float64 and np.allclose(before.probabilities.sum(1), 1)
    assert after.predicted[0] == before.classes[before.labels[0]]
    assert (after.confidence == after.probabilities.max(1)).all()
    assert augury.classifier(stored).card == augury.classifier(stored.parent).card


def test_one_image_and_many_give_the_same_probabilities(predictor: Predictor) -> None:
    batch, single = predictor.predict(NEW), predictor.predict(NEW.images[7:8])
    assert np.allclose(batch.probabilities[7], single.probabilities[0], atol=1e-6)
    assert len(predictor.predict(np.concatenate([NEW.images] * 5))) == 150, "more than one batch"


def test_the_test_accuracy_of_the_card_is_that_of_the_probabilities(predictor: Predictor) -> None:
    test = squares(60, 2)
    is_right = predictor.predict(test).labels == test.labels
    recalls = [is_right[test.labels == label].mean() for label in range(3)]
    value, low, high = predictor.card.test["balanced_accuracy"]
    assert value == pytest.approx(np.mean(recalls)) and low <= value <= high
    assert predictor.card.test["accuracy"][0] == pytest.approx(is_right.mean())
    assert [row["recall"] for row in predictor.card.test["per_class"]] == pytest.approx(recalls)
    assert predictor.card.test["worst"]["recall"] == pytest.approx(min(recalls))
    assert np.sum(predictor.card.test["confusion"]) == 60


def test_noise_and_plain_images_are_flagged_and_images_of_the_same_kind_are_not(predictor: Predictor) -> None:
    random = np.random.default_rng(4)
    noise = random.integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
    assert predictor.predict(noise).unlike.mean() > 0.9
    assert predictor.predict(squares(200, 11)).unlike.mean() < 0.1
    flagged = predictor.card.novelty["flagged"]
    assert flagged["noise"] > 0.9 and flagged["plain"] > 0.9 and flagged["test"] < 0.1
    same_kind = predictor.predict(squares(60, 1))
    assert same_kind.unlike.sum() <= 1, "the threshold flags 1 % of the validation images"


def test_the_distance_is_the_cosine_distance_to_the_fifth_neighbour(predictor: Predictor) -> None:
    network: Any = predictor.deployed.network

    def features(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(network.last_inputs(torch.from_numpy(images).float() / 127.5 - 1).double().numpy())

    train, new = features(squares(90, 0).images), features(NEW.images)
    similar = (new @ train.T) / np.linalg.norm(new, axis=1)[:, None] / np.linalg.norm(train, axis=1)[None]
    expected = 1 - np.sort(similar, axis=1)[:, -5]
    unit = torch.from_numpy(new / np.linalg.norm(new, axis=1, keepdims=True)).float()
    cosine, distance = predictor.deployed.novelty.distances(unit, torch.from_numpy(NEW.images))
    assert np.allclose(cosine, expected, atol=2e-3), "references are stored in half precision"
    limits = predictor.card.novelty["limits"]
    greater = np.maximum(cosine.numpy() / limits["features"], distance.numpy() / limits["appearance"])
    assert np.allclose(predictor.predict(NEW).distance, greater, atol=1e-4)


def test_the_appearance_is_measured_in_pixels() -> None:
    ramp = np.tile(np.arange(0, 240, 20, dtype=np.uint8), (12, 1))[None, None]
    mean, spread, across, down, *_ = appearance(torch.from_numpy(ramp))[0].double().numpy()
    assert mean == pytest.approx(ramp.mean() / 255) and np.exp(spread) == pytest.approx(
        ramp.std() / 255 + 1e-3, rel=1e-3
    )
    assert np.exp(across) == pytest.approx(20 / 255 + 1e-3, rel=1e-3) and np.exp(down) == pytest.approx(1e-3, rel=1e-3)
    coloured = torch.from_numpy(np.repeat(ramp, 3, 1))
    assert appearance(coloured).shape == (1, 14) and appearance(coloured)[0, -1] == pytest.approx(np.log(1e-3))


@pytest.mark.parametrize("classifier", ["resnet", "linear_probe:pixels", "layers"])
def test_every_kind_of_network_is_stored_and_rebuilt(classifier: str, tmp_path: Path) -> None:
    chosen = random_layers((1, 12, 12)) if classifier == "layers" else classifier
    stored_classifier = small_classifier(chosen, steps=20)
    stored_classifier.save(tmp_path / "c")
    reloaded = Predictor.load(tmp_path / "c")
    assert (reloaded.predict(NEW).probabilities == stored_classifier.predict(NEW).probabilities).all()
    assert stored_classifier.card.novelty["features"] == "inputs of the last layer"


class Own(nn.Module):
    """A user's network, of which Augury knows no last layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.all = nn.Sequential(nn.Flatten(), nn.Linear(channels * 144, 16), nn.ReLU(), nn.Linear(16, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.all(images)
        return logits


def test_a_users_network_is_loaded_with_its_builder_only(tmp_path: Path) -> None:
    classifier = small_classifier(Own, steps=20)
    classifier.save(tmp_path)
    assert classifier.card.blueprint["builder"].endswith(":Own") and classifier.card.novelty["features"] == "logits"
    with pytest.raises(SettingsError, match=r"which only that code can build.*build=FUNCTION"):
        augury.classifier(tmp_path)
    reloaded = augury.classifier(tmp_path, build=Own)
    assert (reloaded.predict(NEW).probabilities == classifier.predict(NEW).probabilities).all()
    with pytest.raises(RunFolderError, match="weights are of another network"):
        augury.classifier(tmp_path, build=Classifier)


def changed_card(folder: Path, **values: Any) -> None:
    write_json(folder / CARD, read_json(folder / CARD) | values)


def reweighted(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Other weights with their right checksum."""
    import hashlib

    save_file(tensors, folder / WEIGHTS)
    changed_card(folder, weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    tensors = load_file(copy / WEIGHTS)
    name = "network.last.weight"
    reweighted(copy, tensors | {name: tensors[name][:, :-1].contiguous()})
    with pytest.raises(
        RunFolderError, match=r"last.weight is \[3, 1023\], but the network of the card needs \[3, 1024\]"
    ):
        Predictor.load(copy)
    reweighted(copy, {key: value for key, value in tensors.items() if key != name})
    with pytest.raises(RunFolderError, match=r"1 missing, 0 too many; first: last\.weight"):
        Predictor.load(copy)
    reweighted(copy, tensors | {name: torch.full_like(tensors[name], float("nan"))})
    with pytest.raises(RunFolderError, match="NaN"):
        Predictor.load(copy)
    reweighted(copy, {key: value for key, value in tensors.items() if key != "novelty.looks"})
    with pytest.raises(RunFolderError, match="no references"):
        Predictor.load(copy)


def test_changed_damaged_and_pickled_weights_are_refused(copy: Path) -> None:
    content = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(content[:-4] + bytes(4))
    with pytest.raises(RunFolderError, match="its SHA-256 is not that of the card"):
        Predictor.load(copy)
    (copy / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFolderError, match="damaged"):
        Predictor.load(copy)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch " + str(copy / "owned"),)

    torch.save({"network.last.weight": Evil()}, copy / WEIGHTS)
    with pytest.raises(RunFolderError, match=r"this is a pickle .* so it is refused"):
        Predictor.load(copy)
    assert not (copy / "owned").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 99}, "a card of format 99, but this version of Augury reads format 2"),
        ({"shape": [1, 12]}, "do not describe a classifier"),
        ({"temperature": -1.0}, "do not describe a classifier"),
        ({"classes": ["left", "right"]}, "has 2 classes, but the weights are of another number"),
        ({"blueprint": {"kind": "magic"}}, "unknown kind 'magic'"),
        ({"blueprint": {"kind": "network", "name": "vgg"}}, "cannot be built"),
    ],
)
def test_changed_cards_are_refused(copy: Path, values: dict[str, Any], message: str) -> None:
    changed_card(copy, **values)
    with pytest.raises(RunFolderError, match=message):
        Predictor.load(copy)


def test_incomplete_and_unreadable_cards_are_refused(copy: Path) -> None:
    card = read_json(copy / CARD)
    write_json(copy / CARD, {name: value for name, value in card.items() if name != "novelty"})
    with pytest.raises(RunFolderError, match="novelty missing"):
        Predictor.load(copy)
    write_json(copy / CARD, {"network": "dcgan"})
    with pytest.raises(RunFolderError, match="this is no card of a classifier"):
        Predictor.load(copy)
    (copy / CARD).write_text("{", encoding="utf-8")
    with pytest.raises(RunFolderError, match="cannot be read as JSON"):
        Predictor.load(copy)
    with pytest.raises(RunFolderError, match="no classifier is stored here; give a run folder"):
        Predictor.load(copy.parent / "nowhere")


def test_the_page_beside_it_names_what_a_reader_must_know(stored: Path, predictor: Predictor) -> None:
    page, card = (stored / README).read_text(encoding="utf-8"), predictor.card
    for words in (
        "augury predict RUN", "## Accuracy", "60 test images", f"Worst class: {card.test['worst']['class']}", "left, right, both",
        f"Temperature {card.temperature:.3g}", "unlike_training", "licence and consent", "Intended use", "best",
    ):  # fmt: skip
        assert words in page, words
    assert json.loads((stored / CARD).read_text(encoding="utf-8"))["classes"] == ["left", "right", "both"]
    if not onnx_installed():
        assert "pip install 'augury[onnx]'" in page and not (stored / MODEL).exists()


@pytest.mark.slow
@pytest.mark.skipif(not onnx_installed(), reason="the extra onnx is not installed")
def test_onnx_gives_the_same_probabilities_and_distances(predictor: Predictor, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    for number, classifier in enumerate((predictor, small_classifier("linear_probe:pixels", channels=3, steps=10))):
        path = tmp_path / f"{number}.onnx"
        classifier.export_onnx(path)
        session = runtime.InferenceSession(path)
        for n in (1, 5, 70):
            images = squares(n, 7, channels=classifier.card.shape[0]).images
            probabilities, distance = session.run(None, {"images": images})
            expected = classifier.predict(images)
            assert np.abs(probabilities - expected.probabilities).max() < 1e-4
            assert np.abs(distance - expected.distance).max() < 1e-4


def test_without_the_extra_the_error_names_the_command(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augury.prediction.onnx.PACKAGES", ("no_such_package",))
    with pytest.raises(augury.errors.MissingExtraError, match=r"pip install 'augury\[onnx\]'"):
        predictor.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
