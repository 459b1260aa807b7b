"""What a network is told about the image wanted: the class and any attributes, as one summed embedding."""

from __future__ import annotations

import torch
from torch import nn


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
    """features [N, D], conditions [N, K] -> scores [N]: a linear score plus <features, e(y)> (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, features: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.embedding = ConditionEmbedding(cardinalities, features)
        for table in self.embedding.tables:
            nn.init.normal_(table.weight, std=features**-0.5)  # type: ignore[arg-type]

    def forward(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, D], conditions int64 [N, K] -> scores [N]."""
        scores: torch.Tensor = self.score(features).squeeze(1) + (features * self.embedding(conditions)).sum(1)
        return scores
