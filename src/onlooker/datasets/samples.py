"""The sample: one person's picture and texts on the way through augmentation, and how it is cut from a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.manifest import Record

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sample:
    """One crop with some surroundings, and its texts.

    Attributes:
        rgb: uint8 (h, w, 3).
        box: The person within ``rgb`` as (x, y, width, height) in its pixels.
        texts: The captions or phrases that were chosen.
        mask: uint8 (h, w), garment label per pixel, or None.
        garments: As in the record.
    """

    rgb: NDArray[np.uint8]
    box: Box
    texts: tuple[str, ...] = ()
    mask: NDArray[np.uint8] | None = None
    garments: dict[str, list[str]] = field(default_factory=dict)


Augment = Callable[[Sample, np.random.Generator], Sample]
"""Changes a sample at random; all its chance comes from the generator."""


def whole_box(rgb: NDArray[np.uint8]) -> Box:
    """Return the box of the whole picture."""
    return 0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0])


def cut(sample: Sample, box: Box) -> Sample:
    """Cut a box out of a sample's picture and mask; what lies outside the picture is left away.

    Args:
        sample: The sample.
        box: (x, y, width, height) in its pixels; rounded outwards by less than one pixel, at least one pixel remains.

    Returns:
        The part, with the person's box moved along.
    """
    height, width = sample.rgb.shape[:2]
    left = min(max(int(np.floor(box[0] + 1e-6)), 0), width - 1)
    top = min(max(int(np.floor(box[1] + 1e-6)), 0), height - 1)
    right = min(max(int(np.ceil(box[0] + box[2] - 1e-6)), left + 1), width)
    bottom = min(max(int(np.ceil(box[1] + box[3] - 1e-6)), top + 1), height)
    return Sample(
        sample.rgb[top:bottom, left:right],
        (sample.box[0] - left, sample.box[1] - top, sample.box[2], sample.box[3]),
        sample.texts,
        None if sample.mask is None else sample.mask[top:bottom, left:right],
        sample.garments,
    )


def grow(box: Box, margin: float) -> Box:
    """Return the box with ``margin`` times its width and height added on each side."""
    x, y, w, h = box
    return x - margin * w, y - margin * h, w * (1 + 2 * margin), h * (1 + 2 * margin)


def shrink(sample: Sample, scale: float) -> Sample:
    """Return the sample with its picture scaled down (the mask by nearest neighbour).

    Args:
        sample: The sample.
        scale: Above 0; 1 and more leaves the sample as it is.
    """
    if scale >= 1:
        return sample
    height, width = sample.rgb.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    x, y, w, h = sample.box
    across, down = size[0] / width, size[1] / height
    return Sample(
        cv2.resize(sample.rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False),
        (x * across, y * down, w * across, h * down),
        sample.texts,
        fit_mask(sample.mask, (size[1], size[0])),
        sample.garments,
    )


def fit_mask(mask: NDArray[np.uint8] | None, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Bring a mask to a picture's (height, width) by nearest neighbour, since labels have no values in between."""
    if mask is None or mask.shape == shape:
        return mask
    return cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)


def sample_of(record: Record, rgb: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> Sample:
    """Return the sample of a record from its decoded picture and mask (of any size)."""
    box = record.box if record.box is not None else whole_box(rgb)
    return Sample(rgb, box, (), fit_mask(mask, (rgb.shape[0], rgb.shape[1])), record.garments)
