"""The swap test: is a text nearer to its photograph than to the twin whose two garment colours are exchanged?

Chance is 50 %. A model that knows the words of a text but not what they belong to does no better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.crops import CropDataset
from onlooker.datasets.manifest import Manifest
from onlooker.datasets.samples import cut
from onlooker.datasets.twins import twins_of
from onlooker.evaluation.bootstrap import interval_of_mean
from onlooker.runtime.encoder import EncoderLike
from onlooker.runtime.preprocessing import ImageSpec

FULL_SIZE = ImageSpec(
    height=384, width=192, resize="stretch", interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)
"""Twins are painted in the photographs' own resolution; this only satisfies the dataset, whose resizing is not used."""


@dataclass(frozen=True)
class SwapTest:
    """How twins are told apart.

    Attributes:
        pairs: Pairs of twins; each gives two choices in each direction.
        text_to_image: Share of texts that are nearer to their own picture than to the twin's, 0 to 1.
        image_to_text: Share of pictures that are nearer to their own text than to the twin's.
        low: Lower end of the 95 % interval of ``text_to_image`` (bootstrap over pairs).
        high: Upper end.
    """

    pairs: int
    text_to_image: float
    image_to_text: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


def measure_twins(
    encoder: EncoderLike,
    manifest: Manifest,
    *,
    seed: int = 0,
    bootstrap: int = 1000,
    advance: Callable[[float], None] = lambda steps: None,
) -> SwapTest:
    """Make twins of a manifest's photographs and let an encoder tell them apart.

    Half of the pairs are the photograph itself and its twin with the two garments' own colours exchanged; in the other
    half both are painted (see ``onlooker.datasets.twins.make_twins``). Texts are the written ones where they name both
    garments with plain colours, else made from the garments.

    Args:
        encoder: What encodes pictures and texts.
        manifest: Records with masks and garment colours (for instance ``Manifest.load(path).split("val")``).
        seed: Chooses garments, colours and texts.
        bootstrap: Draws for the interval.
        advance: Called with how many pairs have been encoded since the last call.

    Raises:
        DataError: No record can have twins.
    """
    pairs = twins_of(CropDataset(manifest, FULL_SIZE, masks=True), seed)
    similarity = np.empty((len(pairs), 2, 2), np.float64)
    for number, twins in enumerate(pairs):
        samples = (twins.first, twins.second)
        pictures = [np.ascontiguousarray(cut(sample, sample.box).rgb) for sample in samples]
        images = encoder.encode_images(pictures)
        texts = encoder.encode_texts([sample.texts[0] for sample in samples])
        similarity[number] = texts @ images.T
        advance(1)
    by_text, by_image = _right(similarity), _right(similarity.transpose(0, 2, 1))
    low, high = interval_of_mean(by_text, bootstrap, seed)
    return SwapTest(len(pairs), float(by_text.mean()), float(by_image.mean()), low, high)


def _right(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each pair the share of its two rows whose own column is the nearer, float64 (k,)."""
    own = np.diagonal(similarity, axis1=1, axis2=2)
    other = np.diagonal(similarity[:, :, ::-1], axis1=1, axis2=2)
    right: NDArray[np.float64] = (own > other).mean(axis=1)
    return right


def to_text(swap: SwapTest) -> str:
    """Return the result in a few lines for people."""
    return (
        f"Swap test: {swap.pairs} photographs and their twins with two garment colours exchanged (chance: 50 %)\n"
        f"  text to image {100 * swap.text_to_image:.1f} % "
        f"(95 % interval {100 * swap.low:.1f}-{100 * swap.high:.1f}), "
        f"image to text {100 * swap.image_to_text:.1f} %"
    )
