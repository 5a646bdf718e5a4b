"""Which garment label belongs to which region of a person, and masks as shares of regions in a coarse grid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.masks import LABELS
from onlooker.datasets.words import words_of

SEGMENTS: dict[str, tuple[str, ...]] = {
    "background": (),
    "skin": ("skin",),
    "head": words_of("hair hat glasses sunglasses earrings"),
    "upper": words_of(
        "blazer blouse bodysuit bra cape cardigan coat hoodie jacket jumper necklace scarf shirt suit sweater "
        "sweatshirt t-shirt tie top vest"
    ),
    "lower": words_of("belt intimate jeans leggings panties pants shorts skirt stockings tights"),
    "whole": words_of("dress romper swimwear"),
    "feet": words_of("boots clogs flats heels loafers pumps sandals shoes sneakers socks wedges"),
    "carried": words_of("accessories bag purse wallet"),
}
"""The segments that are told apart, by name, with their labels. Dresses are a segment of their own: they belong to what
is worn above the waist and below. Rings, watches, bracelets and gloves are too small: background."""

SEGMENT_OF: dict[str, str] = {label: name for name, labels in SEGMENTS.items() for label in labels}
"""The segment of a garment label; labels that are background are left out."""

_TABLE = np.array([[*SEGMENTS].index(SEGMENT_OF.get(label, "background")) for label in LABELS], dtype=np.uint8)


def segment_shares(mask: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float32]:
    """Return how much of each cell of a grid each segment covers.

    Args:
        mask: uint8 (h, w), garment labels.
        rows: Of the grid.
        columns: Of the grid.

    Returns:
        float32 (segments, rows, columns), 0 to 1, adding up to 1 over the segments, in the order of ``SEGMENTS``.
    """
    segments = _TABLE[mask]
    shares = [
        cv2.resize((segments == number).astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        for number in range(len(SEGMENTS))
    ]
    stacked: NDArray[np.float32] = np.stack(shares).astype(np.float32)
    shared: NDArray[np.float32] = stacked / np.maximum(stacked.sum(axis=0, keepdims=True), 1e-6)
    return shared
