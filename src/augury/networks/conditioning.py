"""Conditioning: the class and any attributes of the requested image, as one summed embedding."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ConditionEmbedding(nn.Module):
    """Conditions int64 [N, K] -> float [N, D]: one table per column, the rows added up.

    Instead of codes, float [N, V] gives the share of each of all V values (see `shares`), such as halfway between two
    classes. The sum allows an unseen combination (class 3 in pose 1), because each component was learnt elsewhere.

    `strength` is the weight of the condition; late conditioning raises it from 0 to 1. Without `normal` it multiplies
    the sum. With `normal` the sum is scaled to mean square 1, and `strength` interpolates to it from that of the mean
    condition. A normalised vector of zeros would make everything that it multiplies zero.
    """

    strength: torch.Tensor

    def __init__(self, cardinalities: tuple[int, ...], dimension: int, normal: bool = False) -> None:
        super().__init__()
        self.normal = normal
        self.tables = nn.ModuleList(nn.Embedding(n, dimension) for n in cardinalities)
        self.register_buffer("strength", torch.ones(()))

    def forward(self, conditions: torch.Tensor) -> torch.Tensor:
        """conditions int64 [N, K], or shares float [N, V] -> [N, D]."""
        if conditions.is_floating_point():
            parts = torch.split(conditions, [len(table.weight) for table in self.tables], dim=1)  # type: ignore[arg-type]
            rows = [part @ table.weight for part, table in zip(parts, self.tables, strict=True)]  # type: ignore[operator]
        else:
            rows = [table(conditions[:, i]) for i, table in enumerate(self.tables)]
        embedded = torch.stack(rows).sum(0)
        if not self.normal:
            return embedded * self.strength
        usual = torch.stack([table.weight.mean(0) for table in self.tables]).sum(0)  # type: ignore[operator]
        return torch.lerp(unit(usual[None]).expand_as(embedded), unit(embedded), self.strength)


def unit(x: torch.Tensor) -> torch.Tensor:
    """[N, D] scaled to mean square 1."""
    scaled: torch.Tensor = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    return scaled


def shares(conditions: torch.Tensor, cardinalities: tuple[int, ...]) -> torch.Tensor:
    """Conditions as shares: 1 at the value of each column. Means of such rows are intermediate conditions.

    Parameters
    ----------
    conditions : Tensor
        int64 [N, K].
    cardinalities : tuple of int
        Number of values of each column.

    Returns
    -------
    Tensor
        Float [N, V], with V the sum of the cardinalities.
    """
    columns = [F.one_hot(conditions[:, i], n) for i, n in enumerate(cardinalities)]
    return torch.cat(columns, dim=1).float()


class ProjectionHead(nn.Module):
    """Features [N, P, D], conditions [N, K] -> scores [N, P]: a linear score plus <features, e(y)>.

    Miyato & Koyama 2018, eq. 3.
    """

    def __init__(self, features: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.embedding = ConditionEmbedding(cardinalities, features)
        for table in self.embedding.tables:
            nn.init.normal_(table.weight, std=features**-0.5)  # type: ignore[arg-type]

    def forward(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions int64 [N, K] -> scores [N, P]."""
        scores: torch.Tensor = self.score(features).squeeze(2) + (features * self.embedding(conditions)[:, None]).sum(2)
        return scores


class AuxiliaryHead(nn.Module):
    """Scores that do not depend on the condition, next to a classifier for each of its columns (Odena, Olah & Shlens
    2017).
    """

    def __init__(self, features: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.classes = nn.ModuleList(nn.Linear(features, n) for n in cardinalities)

    def forward(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions (not read) -> scores [N, P]."""
        scores: torch.Tensor = self.score(features).squeeze(2)
        return scores

    def auxiliary_loss(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Features [N, P, D], conditions int64 [N, K] -> the mean cross-entropy of the classifiers."""
        targets = conditions[:, None].expand(-1, features.shape[1], -1)
        each = [
            F.cross_entropy(layer(features).flatten(0, 1).float(), targets[..., i].flatten())
            for i, layer in enumerate(self.classes)
        ]
        return torch.stack(each).mean()
