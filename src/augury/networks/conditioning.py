"""What a network is told about the image wanted: the class and any attributes, as one summed embedding."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ConditionEmbedding(nn.Module):
    """conditions int64 [N, K] -> float [N, D]: one table per column, the rows added up.

    Instead of codes, float [N, V] gives the share of each of all V values (see `shares`): halfway between two classes.
    Summing lets a combination that was never seen (class 3 in pose 1) be asked for: each part was learnt elsewhere.
    `strength` is how much the condition weighs; a training that conditions late raises it from 0 to 1. It multiplies the
    sum. With `normal` the sum is scaled to mean square 1, and `strength` leads to it from that of the mean condition: a
    normalised vector of zeros would say less than nothing to what is multiplied by it.
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
        told = torch.stack(rows).sum(0)
        if not self.normal:
            return told * self.strength
        usual = torch.stack([table.weight.mean(0) for table in self.tables]).sum(0)  # type: ignore[operator]
        return torch.lerp(unit(usual[None]).expand_as(told), unit(told), self.strength)


def unit(x: torch.Tensor) -> torch.Tensor:
    """[N, D] scaled to mean square 1."""
    scaled: torch.Tensor = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    return scaled


def shares(conditions: torch.Tensor, cardinalities: tuple[int, ...]) -> torch.Tensor:
    """conditions int64 [N, K] -> float [N, V], V the sum of the cardinalities: 1 at each column's value. Means of such
    rows are conditions in between."""
    columns = [F.one_hot(conditions[:, i], n) for i, n in enumerate(cardinalities)]
    return torch.cat(columns, dim=1).float()


class ProjectionHead(nn.Module):
    """features [N, P, D], conditions [N, K] -> scores [N, P]: a linear score plus <features, e(y)> (Miyato & Koyama 2018,
    eq. 3)."""

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
    """Scores that do not know the condition, beside a classifier of each of its columns (Odena, Olah & Shlens 2017)."""

    def __init__(self, features: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.classes = nn.ModuleList(nn.Linear(features, n) for n in cardinalities)

    def forward(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions (not read) -> scores [N, P]."""
        scores: torch.Tensor = self.score(features).squeeze(2)
        return scores

    def auxiliary_loss(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions int64 [N, K] -> their mean cross-entropy."""
        wanted = conditions[:, None].expand(-1, features.shape[1], -1)
        each = [
            F.cross_entropy(layer(features).flatten(0, 1).float(), wanted[..., i].flatten())
            for i, layer in enumerate(self.classes)
        ]
        return torch.stack(each).mean()
