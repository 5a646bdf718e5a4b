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
        inner: Width inside the head where it differs from ``dimension``; one matrix then follows.
    """

    def __init__(self, width: int, dimension: int, dropout: float, inner: int | None = None) -> None:
        super().__init__()
        inside = inner or dimension
        self.projection = nn.Linear(width, inside)
        self.activation = nn.GELU()
        self.linear = nn.Linear(inside, inside)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(inside)
        self.out = nn.Linear(inside, dimension, bias=False) if inner is not None else None

    def forward(self, features: Tensor) -> Tensor:
        """Project features, float [n, width], to float [n, dimension]."""
        projected = self.projection(features)
        normed: Tensor = self.norm(projected + self.dropout(self.linear(self.activation(projected))))
        if self.out is None:
            return normed
        brought: Tensor = self.out(normed)
        return brought


def projection_head(width: int, config: ProjectionConfig) -> nn.Module:
    """Make the head that a configuration asks for."""
    if config.kind == "linear":
        return nn.Linear(width, config.dimension, bias=False)
    return ResidualProjection(width, config.dimension, config.dropout, config.inner)


def start_alike(one: nn.Module, other: nn.Module) -> None:
    """Give both heads' last matrices the same orthonormal rows, so that what agreed before them agrees after."""
    if not isinstance(one, ResidualProjection) or not isinstance(other, ResidualProjection):
        return
    if one.out is not None and other.out is not None:
        nn.init.orthogonal_(one.out.weight)
        other.out.load_state_dict(one.out.state_dict())
