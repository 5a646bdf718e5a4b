"""From a picture to the numbers an image tower takes: the one preprocessing for training and serving.

Training, evaluation, export and the runtime all call ``preprocess`` (or its two halves) with the same ``ImageSpec``,
so a model never meets a picture prepared in another way than it learned from. Resizing is Pillow's, which averages
when it makes smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from numpy.typing import NDArray

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
"""Mean of the ImageNet pictures, per channel, in 0..1."""
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
"""Standard deviation of the ImageNet pictures, per channel, in 0..1."""


class ImageSpec(BaseModel):
    """How a picture becomes the input of an image tower; written into every bundle.

    Attributes:
        height: Height of the input in pixels, 1..4096.
        width: Width of the input in pixels, 1..4096.
        resize: ``stretch`` ignores the aspect ratio; ``letterbox`` keeps it and fills the rest with the mean colour;
            ``crop`` keeps it and cuts the middle out (what CLIP does).
        interpolation: The filter that resizes.
        mean: Mean per channel (red, green, blue) in 0..1.
        std: Standard deviation per channel in 0..1, above 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    @field_validator("mean")
    @classmethod
    def _mean_in_range(cls, value: Triple) -> Triple:
        if not all(0 <= part <= 1 for part in value):
            raise ValueError(f"mean is per channel in 0..1, got {value}")
        return value

    @field_validator("std")
    @classmethod
    def _std_in_range(cls, value: Triple) -> Triple:
        if not all(0 < part <= 1 for part in value):
            raise ValueError(f"std is per channel above 0 and at most 1, got {value}")
        return value


def resize(rgb: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Bring one picture to the size of the tower's input.

    Args:
        rgb: A picture, uint8 (h, w, 3), h and w at least 1, of any aspect ratio.
        spec: The size and the way to reach it.

    Returns:
        uint8 (spec.height, spec.width, 3).

    Raises:
        ValueError: ``rgb`` is not uint8 (h, w, 3) with at least one pixel.
    """
    from PIL import Image

    check_rgb(rgb)
    height, width = rgb.shape[:2]
    if (height, width) == (spec.height, spec.width):
        return rgb
    picture = Image.fromarray(rgb)
    how = Image.Resampling.BILINEAR if spec.interpolation == "bilinear" else Image.Resampling.BICUBIC
    if spec.resize == "stretch":
        return np.asarray(picture.resize((spec.width, spec.height), how))
    if spec.resize == "crop":
        box = _crop_box(height, width, spec)
        return np.asarray(picture.resize((spec.width, spec.height), how, box=box))
    scale = min(spec.height / height, spec.width / width)
    inner_h = min(spec.height, max(1, round(height * scale)))
    inner_w = min(spec.width, max(1, round(width * scale)))
    canvas = np.empty((spec.height, spec.width, 3), dtype=np.uint8)
    canvas[:] = [round(part * 255) for part in spec.mean]
    top, left = (spec.height - inner_h) // 2, (spec.width - inner_w) // 2
    canvas[top : top + inner_h, left : left + inner_w] = np.asarray(picture.resize((inner_w, inner_h), how))
    return canvas


def _crop_box(height: int, width: int, spec: ImageSpec) -> tuple[float, float, float, float]:
    """Return the part of the source (left, top, right, bottom) that "resize, then cut the middle out" keeps.

    Cutting in the coordinates of the source gives the same pixels and never builds the resized whole, which for a
    picture of 1 x 100,000 pixels would be larger than memory.
    """
    scale = max(spec.height / height, spec.width / width)
    scaled_h = max(spec.height, int(height * scale))
    scaled_w = max(spec.width, int(width * scale))
    top, left = (scaled_h - spec.height) // 2, (scaled_w - spec.width) // 2
    step_y, step_x = height / scaled_h, width / scaled_w
    return (
        left * step_x,
        top * step_y,
        min(width, (left + spec.width) * step_x),
        min(height, (top + spec.height) * step_y),
    )


def normalise(batch: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Turn resized pictures into a tower's input: channels first, centred and scaled.

    Args:
        batch: uint8 (n, spec.height, spec.width, 3), red, green, blue.
        spec: Gives mean and standard deviation.

    Returns:
        float32 (n, 3, spec.height, spec.width): ``(value / 255 - mean) / std``.

    Raises:
        ValueError: The array has another shape or type.
    """
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (spec.height, spec.width, 3):
        wanted = f"uint8 (n, {spec.height}, {spec.width}, 3)"
        raise ValueError(f"pictures to normalise are {wanted}, got {batch.dtype} {batch.shape}")
    pixels = np.empty((len(batch), 3, spec.height, spec.width), dtype=np.float32)
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        np.multiply(batch[..., channel], np.float32(1 / (255 * std)), out=pixels[:, channel], dtype=np.float32)
        pixels[:, channel] -= np.float32(mean / std)
    return pixels


def preprocess(pictures: Sequence[NDArray[np.uint8]], spec: ImageSpec) -> NDArray[np.float32]:
    """Resize and normalise pictures of any sizes.

    Args:
        pictures: uint8 (h, w, 3) each.
        spec: What the tower wants.

    Returns:
        float32 (n, 3, spec.height, spec.width).

    Raises:
        ValueError: A picture is not uint8 (h, w, 3) with at least one pixel.
    """
    batch = np.empty((len(pictures), spec.height, spec.width, 3), dtype=np.uint8)
    for row, picture in enumerate(pictures):
        batch[row] = resize(picture, spec)
    return normalise(batch, spec)


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Raise ValueError unless ``rgb`` is a picture: uint8 (h, w, 3) with at least one pixel."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"a picture is uint8 (h, w, 3) with at least one pixel, got {rgb.dtype} {rgb.shape}")
