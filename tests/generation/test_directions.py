"""Directions of the latent space against independent solvers and against axes that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from augury.errors import DataError, RunFolderError, SettingsError
from augury.files import read_json, write_json
from augury.generation import Directions, edit, find_directions, label_effects, principal_components, sefa
from augury.networks import build
from augury.training import Card, LatentImages, LatentSpace, Synthesizer
from tests.helpers.linear_generator import SIZE, axes, linear_synthesizer

NUMBERS = np.random.default_rng(0)
SMALL = {"width": 8, "widest": 16}
SHAPE = (1, 16, 12)


def untrained(network: str, **settings: object) -> Synthesizer:
    torch.manual_seed(1)
    generator = build(network, {**SMALL, **settings} if network != "mlp" else {"hidden": 16}, SHAPE, (2, 3))[0]
    if network == "stylegan":
        with torch.no_grad():
            for layer in generator.layers:
                layer.strength.fill_(0.3)  # of the noise per pixel
    card = Card(network, {}, SHAPE, ("a", "b"), ("pose",), (("l", "m", "r"),), "x", network, 0, 1, 1, "fp32")
    return Synthesizer(card, generator)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_sefa_finds_the_right_singular_vectors() -> None:
    weights = NUMBERS.standard_normal((40, 12)).astype(np.float32)
    vectors, shares = sefa(weights, 5)
    _, values, right = np.linalg.svd(weights.astype(np.float64))
    for vector, expected in zip(vectors, right, strict=False):
        assert abs(cosine(vector, expected)) == pytest.approx(1, abs=1e-5)
        assert vector[np.abs(vector).argmax()] > 0
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:5], rtol=1e-6)


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        ("dcgan", lambda g: g.first.weight[:, : g.latent]),
        ("r3gan", lambda g: g.first.weight[:, : g.latent]),
        ("mlp", lambda g: g.layers[0].weight[:, : g.latent]),
        ("autoencoder", lambda g: g.decode.first.weight[:, : g.latent]),
    ],
)
def test_sefa_of_a_generator_factorises_the_layer_that_the_noise_enters(network: str, weights) -> None:
    synthesizer = untrained(network)
    directions = find_directions(synthesizer, methods=["sefa"], number=3)
    right = np.linalg.svd(weights(synthesizer.generator).detach().numpy().astype(np.float64))[2]
    for direction, expected in zip(directions.entries, right, strict=False):
        assert abs(cosine(direction.vector, expected)) == pytest.approx(1, abs=1e-4) and direction.layers == ()
        assert direction.scale == pytest.approx(1, abs=0.1)  # the noise is standard normal


def test_sefa_of_stylegan_stacks_the_style_weights_of_its_layers() -> None:
    synthesizer = untrained("stylegan", latent=16)
    directions = find_directions(synthesizer, methods=["sefa"], number=4, layers="coarse")
    at = directions["sefa0"].layers
    styles = [synthesizer.generator.layers[i].conv.style for i in at]
    stacked = np.concatenate([(s.weight * s.scale).detach().numpy() for s in styles]).astype(np.float64)
    assert at == (0, 1) and stacked.shape[1] == 16
    for direction, expected in zip(directions.entries, np.linalg.svd(stacked)[2], strict=False):
        assert abs(cosine(direction.vector, expected)) == pytest.approx(1, abs=1e-4)


def test_principal_components_are_those_of_scikit_learn() -> None:
    latents = (NUMBERS.standard_normal((300, 7)) @ NUMBERS.standard_normal((7, 7))).astype(np.float32)
    vectors, shares = principal_components(latents, 4)
    expected = PCA(4, svd_solver="full").fit(latents.astype(np.float64))
    for vector, component in zip(vectors, expected.components_, strict=True):
        assert abs(cosine(vector, component)) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(shares, expected.explained_variance_ratio_, rtol=1e-4)


def test_principal_components_of_w_are_those_within_conditions() -> None:
    synthesizer = linear_synthesizer()
    directions = find_directions(synthesizer, methods=["pca"], number=SIZE)
    spread = synthesizer.generator.spread.detach().numpy().astype(np.float64)
    left, values, _ = np.linalg.svd(spread)  # the covariance of w within a condition is spread · spreadᵀ
    for i in range(2):
        assert abs(cosine(directions[f"pca{i}"].vector, left[:, i])) > 0.99
        assert directions[f"pca{i}"].scale == pytest.approx(values[i], rel=0.05)
        assert directions[f"pca{i}"].share == pytest.approx(values[i] ** 2 / (values**2).sum(), rel=0.05)


def test_a_known_axis_of_an_attribute_is_found() -> None:
    synthesizer, (of_class, of_pose) = linear_synthesizer(), axes()
    directions = find_directions(synthesizer, methods=["labels"])
    assert [d.name for d in directions.entries] == ["label", "pose"] and not directions.skipped
    assert cosine(directions["pose"].vector, of_pose) > 0.99  # from left to right
    assert cosine(directions["label"].vector, of_class) > 0.99
    assert directions["pose"].values == ("left", "right") and directions["pose"].source == "condition"
    assert directions["pose"].gap * directions["pose"].scale == pytest.approx(3, abs=0.1)  # from -1.5 to 1.5
    several = find_directions(linear_synthesizer(poses=("l", "m", "r")), methods=["labels"])
    assert [d.name for d in several.entries] == ["label", "pose.l", "pose.r"]
    assert cosine(several["pose.l"].vector, -of_pose) > 0.99
    assert "more than chance" in several.skipped["pose.m"]  # it lies in the middle of the others


def test_labels_that_occur_together_are_separated() -> None:
    a, b = np.eye(8)[0], (np.eye(8)[0] + np.eye(8)[1]) / 2**0.5  # axes at 45 degrees
    first = NUMBERS.integers(0, 2, 4000)
    second = np.where(NUMBERS.random(4000) < 0.8, first, 1 - first)
    latents = 3 * first[:, None] * a + 3 * second[:, None] * b + NUMBERS.standard_normal((4000, 8))
    effects = label_effects(latents.astype(np.float32), np.stack([first, second], axis=1), (2, 2))
    assert abs(effects[0].vectors[1] @ b) < 0.05 and abs(effects[1].vectors[1] @ a) < 0.05
    right_angled = pytest.approx(0.5**0.5, abs=0.05)  # the part of an axis that is orthogonal to the other
    assert (effects[0].vectors[1] @ a, effects[1].vectors[1] @ b) == (right_angled, right_angled)
    assert effects[0].reasons == ("", "")


def test_effects_that_are_chance_or_cannot_be_separated_are_refused() -> None:
    latents = NUMBERS.standard_normal((2000, 8)).astype(np.float32)
    label = NUMBERS.integers(0, 2, (2000, 1))
    assert "chance" in label_effects(latents, label, (2,))[0].reasons[1]
    shifted = (latents + 3 * label * np.eye(8)[2]).astype(np.float32)
    both = label_effects(shifted, np.concatenate([label, label], axis=1), (2, 2))
    assert all("cannot be separated" in effect.reasons[1] for effect in both)
    assert label_effects(shifted, label, (3,))[0].reasons[2] == "its value does not occur, or no other does"


def test_a_labeller_and_labelled_latents_name_other_attributes() -> None:
    synthesizer = linear_synthesizer()
    columns = [("smile", ("no", "yes"))]
    matrix = synthesizer.generator.matrix.detach().numpy()
    axis = np.linalg.pinv(matrix.astype(np.float64))[3]  # the fourth number of w, seen in the image

    def labeller(images: np.ndarray) -> np.ndarray:
        floats = images.reshape(len(images), -1) / 127.5 - 1
        return (floats @ axis > 0).astype(np.int64)[:, None]

    latents, _ = LatentSpace(synthesizer).sampled(4096, 0)
    directions = find_directions(synthesizer, methods=["labels"], labeller=(labeller, columns))
    expected = latents[latents[:, 3] > 0].mean(0) - latents[latents[:, 3] <= 0].mean(0)
    assert directions["smile"].source == "classifier" and cosine(directions["smile"].vector, expected) > 0.98
    labels = (latents[:, 3] > 0).astype(np.int64)[:, None]
    real = find_directions(synthesizer, methods=["labels"], labelled=(latents, labels, columns))
    assert real["smile"].source == "images" and cosine(real["smile"].vector, expected) > 0.999


def test_an_edit_begins_with_the_image_drawn_and_follows_the_direction() -> None:
    synthesizer = untrained("stylegan", latent=16)
    directions = find_directions(synthesizer, methods=["pca", "labels"], number=3)
    labels = [[0, 0], [1, 2], [1, 0]]
    drawn = synthesizer.sample(labels, seed=4, start=30).images
    edited = edit(synthesizer, directions, {"pca0": 2.5}, labels, frames=4, seed=4, start=30)
    assert edited.shape == (3, 4, *SHAPE)
    np.testing.assert_array_equal(edited[:, 0], drawn)
    swept = edit(synthesizer, directions, {"pca0": (-2.5, 2.5)}, labels, frames=3, seed=4, start=30)
    np.testing.assert_array_equal(swept[:, 1], drawn)
    np.testing.assert_array_equal(swept[:, 2], edited[:, 3])
    linear = linear_synthesizer(gain=0.5)
    directions = find_directions(linear)
    image = edit(linear, directions, {"pose": 1, "pca1": -1}, [[0, 0]], frames=2)[0].astype(float)
    moved = directions["pose"].vector * directions["pose"].scale - directions["pca1"].vector * directions["pca1"].scale
    expected = 127.5 * linear.generator.matrix.detach().numpy() @ moved
    np.testing.assert_allclose((image[1] - image[0]).ravel(), expected, atol=1.01)  # rounded to bytes


def test_an_edit_of_some_layers_leaves_the_others() -> None:
    synthesizer = linear_synthesizer(gain=0.5)  # the image is the mean over two layers
    directions = find_directions(synthesizer, methods=["sefa"], number=1, layers=[1])
    half = edit(synthesizer, directions, {"sefa0": 4}, [[0, 1]], frames=2)[0].astype(float)
    whole = Directions(directions.space, directions.synthesizer, (replace(directions["sefa0"], layers=()),), {})
    full = edit(synthesizer, whole, {"sefa0": 4}, [[0, 1]], frames=2)[0].astype(float)
    np.testing.assert_allclose(2 * (half[1] - half[0]), full[1] - full[0], atol=2.01)


def test_directions_are_stored_and_read_again(tmp_path: Path) -> None:
    synthesizer = linear_synthesizer(poses=("l", "m", "r"))
    directions = find_directions(synthesizer)
    directions.save(tmp_path / "d")
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["directions.json", "directions.safetensors"]
    again = Directions.load(tmp_path / "d", synthesizer)
    assert again.rows() == directions.rows() and again.skipped == directions.skipped and len(again) == len(directions)
    for a, b in zip(again.entries, directions.entries, strict=True):
        np.testing.assert_array_equal(a.vector, b.vector)
    with pytest.raises(RunFolderError, match=r"directions of the generator .* find them again"):
        Directions.load(tmp_path / "d", linear_synthesizer(seed=1))
    stored = read_json(tmp_path / "d" / "directions.json")
    write_json(tmp_path / "d" / "directions.json", stored | {"format": 0})
    with pytest.raises(RunFolderError, match="of format 0, not 1"):
        Directions.load(tmp_path / "d", synthesizer)
    write_json(tmp_path / "d" / "directions.json", stored | {"directions": [{"name": "x"}]})
    with pytest.raises(RunFolderError, match="damaged"):
        Directions.load(tmp_path / "d", synthesizer)


def test_names_are_resolved_with_their_sign_and_unknown_ones_are_refused() -> None:
    directions = find_directions(linear_synthesizer())
    assert directions.resolve("pose.right")[1] == 1 and directions.resolve("pose.left")[1] == -1
    several = find_directions(linear_synthesizer(poses=("l", "m", "r")))
    for chosen, name, rule in (
        (directions, "pos", "did you mean 'pose'"),
        (directions, "pose.lft", "did you mean 'pose.left'"),
        (directions, "smile", "There are: sefa0, .*pca0, .*label, pose"),
        (several, "pose", "it has several values; name one of pose.l, pose.r"),
        (several, "pose.m", "do not change with it"),
    ):
        with pytest.raises(SettingsError, match=rule):
            chosen.resolve(name)


@pytest.mark.parametrize(
    ("network", "method", "rule"),
    [
        ("dcgan", "pca", r"principal components need a space .* z of recipe dcgan is Gaussian"),
        ("r3gan", "labels", r"directions of labels need a space .* train with recipe stylegan"),
        ("autoencoder", "pca", r"found from images, as drawn codes are standard normal noise"),
        ("flow", "sefa", r"needs a layer that is linear in the noise"),
        ("stylegan", "ganspace", "there is no method 'ganspace'; choose among: sefa, pca, labels"),
    ],
)
def test_methods_that_do_not_apply_are_refused_with_a_remedy(network: str, method: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        find_directions(untrained(network), methods=[method])


def test_without_methods_those_that_apply_are_used_and_the_others_explained() -> None:
    directions = find_directions(untrained("dcgan"), number=2)
    assert [d.name for d in directions.entries] == ["sefa0", "sefa1"] and directions.space == "z"
    assert set(directions.skipped) == {"pca", "labels"}
    with pytest.raises(SettingsError, match="no direction can be found"):
        find_directions(untrained("flow"))


def test_the_codes_of_a_plain_autoencoder_have_components_without_images() -> None:
    synthesizer = untrained("autoencoder", latent=5)
    decoder = synthesizer.generator
    with torch.no_grad():
        decoder.covariance.copy_(torch.diag(torch.tensor([4.0, 0.1, 0.1, 9.0, 0.1])))
        decoder.means[1, 2] = 3
    directions = find_directions(synthesizer, number=2)
    assert (
        directions.space == "code"
        and abs(directions["pca0"].vector[3]) > 0.99
        and abs(directions["pca1"].vector[0]) > 0.99
    )
    assert directions["pca0"].scale == pytest.approx(3, rel=0.05)
    assert directions["label"].vector[2] > 0.99
    assert all("chance" in directions.skipped[f"pose.{value}"] for value in "lmr")  # the codes do not depend on it
    drawn = synthesizer.sample([[0, 1]], seed=2).images
    np.testing.assert_array_equal(edit(synthesizer, directions, {"pca0": 1}, [[0, 1]], frames=2, seed=2)[:, 0], drawn)


def test_a_translator_has_no_latent_space() -> None:
    generator = build("translator", {"width": 4, "blocks": 1}, SHAPE, (2, 3))[0]
    card = Card("translator", {}, SHAPE, ("a", "b"), ("pose",), (("l", "m", "r"),), "x", "translator", 0, 1, 1, "fp32")
    with pytest.raises(SettingsError, match="a translator, which has no latent space; train a generator"):
        find_directions(Synthesizer(card, generator))


def test_wrong_requests_are_refused_in_words() -> None:
    synthesizer = linear_synthesizer()
    directions = find_directions(synthesizer)
    other = find_directions(linear_synthesizer(seed=3))
    points = LatentSpace(synthesizer).drawn(np.array([[0, 0]]), np.array([0]), 0)
    assert isinstance(points, LatentImages) and len(points) == 1
    for call, error, rule in (
        (lambda: edit(synthesizer, directions, {}, points), SettingsError, "nothing to edit"),
        (lambda: edit(synthesizer, directions, {"pose": 21}, points), SettingsError, "must lie from -20 to 20"),
        (
            lambda: edit(synthesizer, directions, {"pose": float("nan")}, points),
            SettingsError,
            "must lie from -20 to 20",
        ),
        (lambda: edit(synthesizer, directions, {"pose": 1}, points, frames=1), SettingsError, "at least 2"),
        (lambda: edit(synthesizer, other, {"pose": 1}, points), SettingsError, "find them again"),
        (lambda: edit(synthesizer, directions, {"pose": 1}, ["c"]), DataError, "it has: a, b"),
        (
            lambda: find_directions(synthesizer, number=SIZE + 1),
            SettingsError,
            f"latent space has {SIZE}; give 1 to {SIZE}",
        ),
        (lambda: find_directions(synthesizer, layers="rough"), SettingsError, "choose coarse"),
    ):
        with pytest.raises(error, match=rule):
            call()
