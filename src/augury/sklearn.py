"""The imbalanced-learn interface: an over-sampler for labelled images and tables that samples from a generator."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from augury.data.decoding.pixel_range import chosen_range, to_bytes
from augury.durations import seconds
from augury.errors import DataError, MissingExtraError
from augury.images import Images, LabelledImages
from augury.settings import TrainSettings
from augury.training import Synthesizer, TableSynthesizer, train, train_table
from augury.training.recipes import RECIPES
from augury.validation import validated

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_target_type
    from sklearn.utils import check_random_state
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn_compat.utils.validation import validate_data
except ImportError as error:
    raise MissingExtraError(
        f"augury.sklearn needs imbalanced-learn ({error}); install it with: pip install 'augury[sklearn]'"
    ) from error


class GANOverSampler(BaseOverSampler):  # type: ignore[misc]
    """Over-sampling by a generative model trained on the given data, for images and for tables.

    Images are [N, C, H, W], [N, H, W, C] or [N, H, W], C 1 or 3, at least 8 pixels a side; a last axis of 1 or 3 counts
    as channels. Real images are returned unchanged; synthetic ones follow in the same layout, size and dtype.
    Internally images have 8 bits. Values that use more than half of 0 to 255 (whole numbers) or of 0 to 1 are scaled from
    there. Any others are scaled from their minimum to their maximum. Synthetic values are scaled back, never leave the
    range of X, and are whole numbers where X holds only those. bool becomes True from one half on.

    Tables are numeric [N, D]. Fully connected networks are trained on standardised columns, without quantisation.
    Synthetic values stay in the range of each column, and are integers where all values of the column are.

    Images are not filtered: `augury run` does that and measures whether they help. For tables, `cross_val_score` of a
    pipeline measures it.

    Parameters
    ----------
    recipe : str
        "auto" or one of augury's; for tables only its training method is used.
    sampling_strategy, random_state
        As in imbalanced-learn. With a given `random_state` and `steps` the result is the same on the same device.
    steps : int, optional
            Training steps. Without `steps` and `budget`: 1000 for tables and the recipe's own number for images, which
        takes minutes.
    budget : float or str, optional
        Training time in seconds, or as "5m".
    overrides : dict, optional
        Changes to the recipe's settings.
    device : str
        "auto", "cpu", "cuda" or "mps".

    Attributes
    ----------
    synthesizer_ : Synthesizer or TableSynthesizer
        The trained generator, which draws more.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        "recipe": [StrOptions({"auto", *RECIPES} - {"translator"})],
        "random_state": ["random_state"],
        "steps": [Interval(Integral, 1, None, closed="left"), None],
        "budget": [str, Interval(Real, 0, None, closed="neither"), None],
        "overrides": [dict, None],
        "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
    }

    synthesizer_: Synthesizer | TableSynthesizer

    def __init__(
        self,
        *,
        recipe: str = "auto",
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        steps: int | None = None,
        budget: str | float | None = None,
        overrides: dict[str, Any] | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.recipe = recipe
        self.random_state = random_state
        self.steps = steps
        self.budget = budget
        self.overrides = overrides
        self.device = device

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = None) -> tuple[Any, Any, bool]:
        y, binarised = check_target_type(y, indicate_one_vs_all=True)
        X, y = validate_data(self, X=X, y=y, reset=True, allow_nd=True)
        return X, y, binarised

    def _fit_resample(self, X: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        classes, codes = np.unique(y, return_inverse=True)
        codes = codes.reshape(-1).astype(np.int64)
        quotas = [np.full(number, np.flatnonzero(classes == c)[0]) for c, number in self.sampling_strategy_.items()]
        requested = np.concatenate(quotas).astype(np.int64) if quotas else np.empty(0, np.int64)
        if not len(requested):
            return X.copy(), y.copy()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        drawn = self._rows(X, codes, requested, seed) if X.ndim == 2 else self._images(X, codes, requested, seed)
        return np.concatenate([X, drawn]), np.concatenate([y, classes[requested]])

    def _rows(
        self, X: npt.NDArray[Any], codes: npt.NDArray[np.int64], requested: npt.NDArray[np.int64], seed: int
    ) -> npt.NDArray[Any]:
        """Synthetic rows [n, D] of the `requested` classes, in X's dtype."""
        self.synthesizer_ = train_table(
            X,
            codes,
            recipe=self.recipe,
            overrides=self.overrides,
            steps=self.steps,
            budget=None if self.budget is None else float(seconds(self.budget)),
            seed=seed,
            device=self.device,
        )
        return self.synthesizer_.sample(requested, seed=seed).astype(X.dtype)

    def _images(
        self, X: npt.NDArray[Any], codes: npt.NDArray[np.int64], requested: npt.NDArray[np.int64], seed: int
    ) -> npt.NDArray[Any]:
        """Synthetic images [n, ...] of the `requested` classes, in X's layout and dtype."""
        low, high = float(X.min()), float(X.max())
        whole = X.dtype.kind in "iub" or bool((np.rint(X) == X).all())
        limits = chosen_range(low, high, whole)
        pixels = X if X.dtype == np.uint8 and limits == (0, 255) else to_bytes(X.astype(np.float64), limits)
        names = tuple(str(c) for c in range(int(codes.max()) + 1))
        data = LabelledImages(_planar(pixels), codes, names)
        settings = {
            "recipe": self.recipe,
            "steps": self.steps,
            "budget": self.budget,
            "overrides": self.overrides or {},
        }
        self.synthesizer_ = train(data, settings=validated(TrainSettings, settings), seed=seed, device=self.device)
        drawn = self.synthesizer_.sample(requested, seed=seed).images
        laid = drawn[:, 0] if X.ndim == 3 else drawn.transpose(0, 2, 3, 1) if _last(X) else drawn
        values = np.clip(laid / 255 * (limits[1] - limits[0]) + limits[0], low, high)
        return np.ascontiguousarray((np.rint(values) if whole else values).astype(X.dtype))

    def _more_tags(self) -> dict[str, Any]:
        return {"X_types": ["2darray", "3darray", "dataframe"]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = False
        tags.non_deterministic = self.random_state is None
        return tags


def _last(X: npt.NDArray[Any]) -> bool:
    """Whether channels come last."""
    return X.ndim == 4 and X.shape[3] in (1, 3)


def _planar(images: Images) -> Images:
    """uint8 of any layout -> [N, C, H, W]. Raises DataError for other shapes."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4 or not (_last(images) or images.shape[1] in (1, 3)):
        raise DataError(
            f"X has shape {list(images.shape)}; give a table [N, D], or images [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 "
            "channels"
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if _last(images) else images
