"""Nearest neighbours with weighted votes; needs scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import NearestNeighbors


class WeightedNeighbours(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The `n_neighbors` nearest rows vote with their weights (Cover & Hart 1967).

    scikit-learn's own classifier accepts no weights of rows. Repeated rows would be their own neighbours.
    """

    def __init__(self, n_neighbors: int = 5) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> WeightedNeighbours:
        """Store rows [N, D], their classes [N] and weights [N] (None: equal weights)."""
        self.classes_, self.codes_ = np.unique(y, return_inverse=True)
        self.weights_ = np.ones(len(self.codes_)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        self.index_ = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(self.codes_))).fit(x)
        return self

    def predict_proba(self, x: Any) -> Any:
        """Share of the votes of each class, float64 [M, K]."""
        near = self.index_.kneighbors(x, return_distance=False)
        votes = np.zeros((len(near), len(self.classes_)))
        np.add.at(votes, (np.arange(len(near))[:, None], self.codes_[near]), self.weights_[near])
        return votes / votes.sum(1, keepdims=True)

    def predict(self, x: Any) -> Any:
        """The class with most votes, [M]."""
        return self.classes_[self.predict_proba(x).argmax(1)]
