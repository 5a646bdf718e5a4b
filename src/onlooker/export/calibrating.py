"""The background of a bundle, drawn from the training split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onlooker.datasets.manifest import Manifest
from onlooker.evaluation.encoding import encode
from onlooker.runtime.background import Background
from onlooker.runtime.encoder import EncoderLike

BACKGROUND_SIZE = 512
"""Pictures, and texts, in a background: half a megabyte of a bundle at 256 dimensions."""


def background_of(encoder: EncoderLike, training: Manifest, *, size: int | None = None, seed: int = 0) -> Background:
    """Encode some pictures and texts of the training split, chosen by chance.

    Args:
        encoder: The bundle that gets the background.
        training: The training split.
        size: How many pictures, and how many texts, at most; None takes ``BACKGROUND_SIZE``.
        seed: Of the choice.

    Returns:
        The vectors.

    Raises:
        DataError: The split has no texts, or none of its pictures can be read.
    """
    size = BACKGROUND_SIZE if size is None else size
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(training))[:size])
    encoded = encode(encoder, replace(training, records=[training.records[place] for place in chosen]), texts="all")
    texts = np.sort(rng.permutation(len(encoded.texts))[:size])
    return Background(encoded.picture_vectors, encoded.text_vectors[texts])
