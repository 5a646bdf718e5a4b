"""Attention pooling: a few learned queries look over a set of tokens (feature-map cells or words)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """Pool a set of tokens with learned queries, one softmax over the tokens for each query.

    The scores are dot products with a learned key projection, the results are concatenated. (Idea: Set Transformer's
    pooling by attention, Lee et al., 2019, without the feed-forward part.)

    Args:
        width: Channels of a token.
        queries: Number of learned queries.
        inner: Channels of keys and values.
    """

    def __init__(self, width: int, queries: int, inner: int = 128) -> None:
        super().__init__()
        self.keys = nn.Linear(width, inner)
        self.values = nn.Linear(width, inner)
        self.queries = nn.Parameter(torch.randn(queries, inner) * inner**-0.5)
        self.out_width = queries * inner

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool.

        Args:
            tokens: Float [n, t, width].
            mask: Integer or bool [n, t], zero where a token is padding; None takes all.

        Returns:
            Float [n, queries * inner].
        """
        scores = torch.einsum("qd,ntd->nqt", self.queries, self.keys(tokens)) * self.queries.shape[1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, :] == 0, -1e4)
        pooled = torch.einsum("nqt,ntd->nqd", scores.softmax(dim=-1), self.values(tokens))
        return pooled.flatten(1)


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Average the tokens that are not padding.

    Args:
        tokens: Float [n, t, width].
        mask: Integer or bool [n, t], zero where a token is padding.

    Returns:
        Float [n, width].
    """
    weights = mask.to(tokens.dtype)[..., None]
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
