"""Losses between a batch of pictures and a batch of texts that know which belong together.

Each takes unit vectors and a bool matrix of the pairs that match; several texts of one picture, or several pictures of
one person, are all positives (plain InfoNCE would push them apart).
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as functional
from torch import Tensor

SDM_TEMPERATURE = 0.02
"""Temperature of similarity distribution matching in IRRA (Jiang and Ye, CVPR 2023)."""
SIGMOID_BIAS = -10.0
"""Bias of the sigmoid loss, where SigLIP (Zhai et al., ICCV 2023) starts its own: most pairs are negatives."""


class Loss(Protocol):
    """A loss of a batch."""

    def __call__(self, images: Tensor, texts: Tensor, matches: Tensor, temperature: Tensor) -> Tensor:
        """Return a scalar.

        Args:
            images: Float [n, d], L2-normalised.
            texts: Float [m, d], L2-normalised.
            matches: Bool [n, m]; every row and column has at least one True.
            temperature: Scalar softmax temperature.
        """
        ...


def matches_of(image_persons: Tensor, text_persons: Tensor) -> Tensor:
    """Return the bool matrix [n, m] of equal person numbers (int64 [n] and [m])."""
    return image_persons[:, None] == text_persons[None, :]


def contrastive(
    images: Tensor, texts: Tensor, matches: Tensor, temperature: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Symmetric cross-entropy over cosine similarity (Radford et al., 2021) with equal shares for all positives.

    With one positive a row this is CLIP's loss exactly.

    Args:
        images: See ``Loss``.
        texts: See ``Loss``.
        matches: See ``Loss``.
        temperature: See ``Loss``.
        label_smoothing: Share of the target that is spread over all pairs.
    """
    logits = images @ texts.T / temperature
    targets = matches.to(logits.dtype)
    return 0.5 * (
        _cross_entropy(logits, targets, label_smoothing) + _cross_entropy(logits.T, targets.T, label_smoothing)
    )


def _cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    shares = targets / targets.sum(dim=1, keepdim=True)
    if label_smoothing:
        shares = (1 - label_smoothing) * shares + label_smoothing / logits.shape[1]
    return -(shares * logits.log_softmax(dim=1)).sum(dim=1).mean()


def similarity_distribution_matching(images: Tensor, texts: Tensor, matches: Tensor, temperature: Tensor) -> Tensor:
    """KL divergence from the softmax of similarities to the normalised matches, both ways (SDM of IRRA, 2023).

    Its temperature is fixed (0.02); the learned one is not used.

    Args:
        images: See ``Loss``.
        texts: See ``Loss``.
        matches: See ``Loss``.
        temperature: Ignored.
    """
    del temperature
    logits = images @ texts.T / SDM_TEMPERATURE
    targets = matches.to(logits.dtype)
    return _divergence(logits, targets) + _divergence(logits.T, targets.T)


def _divergence(logits: Tensor, targets: Tensor) -> Tensor:
    shares = targets / targets.sum(dim=1, keepdim=True)
    predicted = logits.log_softmax(dim=1)
    return (predicted.exp() * (predicted - (shares + 1e-8).log())).sum(dim=1).mean()


def sigmoid_pairwise(images: Tensor, texts: Tensor, matches: Tensor, temperature: Tensor) -> Tensor:
    """Each pair on its own: is it a match or not (SigLIP, Zhai et al., 2023), summed over texts, averaged over images.

    Args:
        images: See ``Loss``.
        texts: See ``Loss``.
        matches: See ``Loss``.
        temperature: See ``Loss``.
    """
    logits = images @ texts.T / temperature + SIGMOID_BIAS
    signs = matches.to(logits.dtype) * 2 - 1
    return -functional.logsigmoid(signs * logits).sum(dim=1).mean()


def make_loss(kind: str, *, label_smoothing: float = 0.0) -> Loss:
    """Return the loss of a recipe's name: 'contrastive', 'sdm' or 'sigmoid'."""
    if kind == "contrastive":

        def smoothed(images: Tensor, texts: Tensor, matches: Tensor, temperature: Tensor) -> Tensor:
            return contrastive(images, texts, matches, temperature, label_smoothing=label_smoothing)

        return smoothed
    return {"sdm": similarity_distribution_matching, "sigmoid": sigmoid_pairwise}[kind]
