"""What a network is told about the image wanted: the class and any attributes, as one summed embedding."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ConditionEmbedding(nn.Module):
    """conditions int64 [N, K] -> float [N, D]: one table per column, the rows added up.

    Summing lets a combination that was never seen (class 3 in pose 1) be asked for: each part was learnt elsewhere.
    `strength` multiplies the sum; a training that conditions late raises it from 0 to 1.
    """

    strength: torch.Tensor

    def __init__(self, cardinalities: tuple[int, ...], dimension: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, dimension) for n in cardinalities)
        self.register_buffer("strength", torch.ones(()))

    def forward(self, conditions: torch.Tensor) -> torch.Tensor:
        """conditions int64 [N, K] -> [N, D]."""
        return torch.stack([table(conditions[:, i]) for i, table in enumerate(self.tables)]).sum(0) * self.strength


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

    def surprise(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions int64 [N, K] -> their mean cross-entropy."""
        wanted = conditions[:, None].expand(-1, features.shape[1], -1)
        each = [
            F.cross_entropy(layer(features).flatten(0, 1).float(), wanted[..., i].flatten())
            for i, layer in enumerate(self.classes)
        ]
        return torch.stack(each).mean()
