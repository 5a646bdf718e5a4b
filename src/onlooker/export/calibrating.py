"""What a bundle's confidences come from: a background drawn from the training split, a fit on the validation split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onlooker.datasets.manifest import Manifest
from onlooker.evaluation.calibration import FALSE_DISMISSALS, Split
from onlooker.evaluation.encoding import encode
from onlooker.evaluation.reliability import Reliability, cross_fit
from onlooker.runtime.background import Background
from onlooker.runtime.encoder import EncoderLike
from onlooker.runtime.info import CalibrationPart

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


def calibrate(
    encoder: EncoderLike, background: Background, temperature: float, manifest: Manifest, *, seed: int = 0
) -> tuple[CalibrationPart, Reliability]:
    """Fit the confidences of a bundle.

    Args:
        encoder: The bundle.
        background: Its background.
        temperature: Of its model.
        manifest: The validation split; descriptions and phrases alike are searched for.
        seed: Of folds and galleries.

    Returns:
        The calibration for ``model.json``, and how far it can be trusted.

    Raises:
        DataError: The split has too few people.
    """
    encoded = encode(encoder, manifest, texts="all")
    calibration, reliability = cross_fit(Split(encoded, background, temperature, seed=seed), background, seed=seed)
    splits = sorted({record.split or "none" for record in manifest.records})
    data = {"dataset": manifest.dataset, "split": "+".join(splits), "texts": "all", "seed": seed}
    part = CalibrationPart.model_validate(
        {
            **calibration.to_dict(),
            "false_dismissals": FALSE_DISMISSALS,
            "data": data,
            "measured": reliability.to_dict(),
        }
    )
    return part, reliability
