"""GANOverSampler: imbalanced-learn's own checks, images and tables, pipelines with cross-validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("imblearn")

from imblearn.pipeline import Pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import FunctionTransformer

from augury.errors import DataError, SettingsError, TrainingError
from augury.sklearn import GANOverSampler

QUICK = {"steps": 3, "random_state": 0, "device": "cpu"}


def not_for_dense_data(estimator: GANOverSampler) -> dict[str, str]:
    """Checks that run where pandas is installed, although the tags of the estimator say that it refuses sparse data."""
    return {"check_samplers_pandas_sparse": "images are dense"}


@parametrize_with_checks([GANOverSampler(**QUICK)], expected_failed_checks=not_for_dense_data)
def test_imbalanced_learns_own_checks(estimator, check, request) -> None:
    check(estimator)


def pictures(shape: tuple[int, ...], dtype: str = "uint8", high: float = 255, low: float = 0) -> npt.NDArray:
    values = np.random.default_rng(0).integers(0, 256, (24, *shape)) / 255 * (high - low) + low
    return (np.rint(values) if np.dtype(dtype).kind in "iu" else values).astype(dtype)


LABELS = np.array(["rare"] * 6 + ["usual"] * 12 + ["other"] * 6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11), (8, 10, 3), (8, 8, 1), (8, 9)])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("float32", 0, 1),
        ("float64", -1, 1),
        ("int64", 0, 255),
        ("float32", 0, 255),
        ("int16", -9, 900),
    ],
)
def test_images_keep_layout_dtype_and_range(shape: tuple[int, ...], dtype: str, low: float, high: float) -> None:
    X = pictures(shape, dtype, high, low)
    resampled, y = GANOverSampler(recipe="gan", **QUICK).fit_resample(X, LABELS)
    assert resampled.shape == (36, *shape) and resampled.dtype == X.dtype and np.array_equal(resampled[:24], X)
    assert y.tolist() == [*LABELS, *["other"] * 6, *["rare"] * 6] and y.dtype == LABELS.dtype
    assert X.min() <= resampled.min() and resampled.max() <= X.max() and resampled[24:].std() > 0


def test_values_come_back_as_they_were_drawn() -> None:
    """One uint8 data set given in five ways is learned alike: the synthetic images are the same images."""
    X = pictures((3, 8, 8))
    first = GANOverSampler(recipe="gan", **QUICK).fit_resample(X, LABELS)[0]
    ranges = (X / 255, X.astype(np.float32), X / 255 * 2 - 1, X.transpose(0, 2, 3, 1))
    backs = (lambda z: z * 255, lambda z: z, lambda z: (z + 1) / 2 * 255, lambda z: z.transpose(0, 3, 1, 2))
    for labels, back in zip(ranges, backs, strict=True):
        resampled_labels = GANOverSampler(recipe="gan", **QUICK).fit_resample(labels, LABELS)[0]
        np.testing.assert_allclose(back(resampled_labels), first, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "levels"),
    [
        ("bool", 1),
        ("uint8", 1),
        ("int64", 1),
        ("float64", 1),
        ("uint8", 16),
        ("float64", 16),
        ("int32", 4095),
        ("uint8", 60),
    ],
)
def test_values_of_any_scale_keep_their_levels(dtype: str, levels: int) -> None:
    """bool, 0 and 1, scikit-learn's digits of 0 to 16, 12 bits, dark bytes: the range that was given and whole numbers."""
    X = np.random.default_rng(0).integers(0, levels + 1, (24, 8, 8)).astype(dtype)
    X[0, 0, :2] = 0, levels
    resampled, _ = GANOverSampler(recipe="gan", **QUICK).fit_resample(X, LABELS)
    new = resampled[24:]
    assert resampled.dtype == X.dtype and set(np.unique(new)) <= set(range(levels + 1)) and new.std() > 0
    grey = np.rint(X / X.max() * 255).astype(np.uint8)  # the same images, stretched to 8 bits
    same = GANOverSampler(recipe="gan", **QUICK).fit_resample(grey, LABELS)[0][24:]
    expected = same >= 127.5 if levels == 1 else np.rint(same / 255 * X.max())
    assert np.array_equal(new, expected.astype(dtype))


@pytest.mark.parametrize("low", [10, -30])
def test_no_value_leaves_the_range_of_x(low: int) -> None:
    X = np.random.default_rng(0).integers(low, 200, (24, 8, 8)).astype(np.int16)
    resampled = GANOverSampler(recipe="gan", **QUICK).fit_resample(X, LABELS)[0]
    assert X.min() <= resampled.min() and resampled.max() <= X.max()
    floats = X.astype(np.float64) / 256 + 0.25
    resampled = GANOverSampler(recipe="gan", **QUICK).fit_resample(floats, LABELS)[0]
    assert floats.min() <= resampled.min() and resampled.max() <= floats.max()


def test_the_recipe_strategy_and_seed_count() -> None:
    X = pictures((1, 8, 8))
    sampler = GANOverSampler(recipe="dcgan", sampling_strategy={"rare": 9}, overrides={"width": 8}, **QUICK)
    resampled, y = sampler.fit_resample(X, LABELS)
    assert (y == "rare").sum() == 9 and len(resampled) == 27 and sampler.synthesizer_.card.recipe == "dcgan"
    assert np.array_equal(resampled, clone(sampler).fit_resample(X, LABELS)[0])
    assert not np.array_equal(resampled, clone(sampler).set_params(random_state=1).fit_resample(X, LABELS)[0])
    level = np.repeat(["a", "b"], 12)
    assert len(GANOverSampler(**QUICK).fit_resample(X, level)[0]) == 24


def test_tables_are_learned() -> None:
    """Three columns of two classes: means, spread, a correlation, whole numbers and a constant come back."""
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 60])
    first = random.normal(np.where(y, 50, 20), 4)
    X = np.stack([first, first * 0.01 + random.normal(0, 0.02, 360), random.poisson(3, 360), np.full(360, 7)], axis=1)
    sampler = GANOverSampler(steps=600, random_state=0, device="cpu")
    resampled, target = sampler.fit_resample(X, y)
    new, old = resampled[360:], X[y == 1]
    assert len(new) == 240 and (target[360:] == 1).all()
    assert abs(new[:, 0].mean() - 50) < 2.5 and 0.5 < new[:, 0].std() / old[:, 0].std() < 1.6
    assert np.corrcoef(new[:, 0], new[:, 1])[0, 1] > 0.5
    assert (new[:, 2] == np.rint(new[:, 2])).all() and new[:, 2].std() > 0.5 and (new[:, 3] == 7).all()
    assert (new >= X.min(axis=0)).all() and (new <= X.max(axis=0)).all()
    assert len(np.unique(new[:, 0])) > 200  # not 256 levels


@pytest.mark.parametrize("recipe", ["gan", "rpgan", "wgan", "wgan_gp", "stylegan", "r3gan", "dcgan"])
def test_every_adversarial_recipe_trains_on_tables(recipe: str) -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    resampled, _ = GANOverSampler(recipe=recipe, overrides={"hidden": 16}, **QUICK).fit_resample(X, [0] * 30 + [1] * 10)
    assert resampled.shape == (60, 3) and np.isfinite(resampled).all()


def test_in_a_pipeline_with_cross_validation() -> None:
    X, y = pictures((1, 8, 8)), np.repeat([0, 1], [16, 8])
    flat = FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255)
    steps = [("gan", GANOverSampler(**QUICK)), ("flat", flat), ("classifier", LogisticRegression())]
    assert cross_val_score(Pipeline(steps), X, y, cv=3).shape == (3,)
    tables = Pipeline([("gan", GANOverSampler(**QUICK)), ("classifier", LogisticRegression())])
    assert np.isfinite(cross_val_score(tables, X.reshape(24, -1)[:, :5] / 255, y, cv=3)).all()


def test_a_budget_is_a_time() -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 3)), [0] * 30 + [1] * 10
    sampler = GANOverSampler(budget="1s", random_state=0, device="cpu", overrides={"hidden": 16})
    sampler.fit_resample(X, y)
    assert sampler.synthesizer_.steps > 3


def test_mistakes_are_reported() -> None:
    y = [0] * 16 + [1] * 8
    with pytest.raises(DataError, match=r"X has shape \[24, 8, 8, 5\]; give a table"):
        GANOverSampler(**QUICK).fit_resample(np.zeros((24, 8, 8, 5)), y)
    with pytest.raises(SettingsError, match="recipe vae generates images only; for a table use gan"):
        GANOverSampler(recipe="vae", **QUICK).fit_resample(np.zeros((24, 4)), y)
    with pytest.raises(ValueError, match="'recipe' parameter"):
        GANOverSampler(recipe="magic").fit_resample(np.zeros((24, 4)), y)
    with pytest.raises(SettingsError, match="tables have no pixels"):
        GANOverSampler(overrides={"augment": "ada", "augment_p": 0.5}, **QUICK).fit_resample(np.zeros((24, 4)), y)
    with pytest.raises(SettingsError, match="give one of them"):
        GANOverSampler(budget="1s", **QUICK).fit_resample(np.zeros((24, 8, 8), np.uint8), y)
    with pytest.raises(SettingsError, match="give one of them"):
        GANOverSampler(budget="1s", **QUICK).fit_resample(np.zeros((24, 4)), y)
    with pytest.raises(TrainingError, match="no longer finite"):
        GANOverSampler(recipe="gan", overrides={"generator_lr": 1e30}, **QUICK).fit_resample(
            np.random.default_rng(0).normal(size=(24, 4)), y
        )
    with pytest.raises(ValueError, match="NaN"):
        GANOverSampler(**QUICK).fit_resample(np.full((24, 4), np.nan), y)
