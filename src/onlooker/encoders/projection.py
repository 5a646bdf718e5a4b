"""Projection heads: from tower features to the shared space."""

from __future__ import annotations

from torch import Tensor, nn

from onlooker.encoders.config import ProjectionConfig


class ResidualProjection(nn.Module):
    """Linear, GELU, linear, dropout, residual, layer norm: the head of the original system.

    Args:
        width: Channels of the tower's features.
        dimension: Width of the shared space.
        dropout: Dropout probability.
    """

    def __init__(self, width: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Linear(width, dimension)
        self.activation = nn.GELU()
        self.linear = nn.Linear(dimension, dimension)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dimension)

    def forward(self, features: Tensor) -> Tensor:
        """Project features, float [n, width], to float [n, dimension]."""
        projected = self.projection(features)
        normed: Tensor = self.norm(projected + self.dropout(self.linear(self.activation(projected))))
        return normed


def projection_head(width: int, config: ProjectionConfig) -> nn.Module:
    """Make the head that a configuration asks for."""
    if config.kind == "linear":
        return nn.Linear(width, config.dimension, bias=False)
    return ResidualProjection(width, config.dimension, config.dropout)
