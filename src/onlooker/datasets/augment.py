"""Varying training pictures the way cameras and detectors do, without touching what descriptions name: colour names.

No step changes a hue. Everything works on uint8 RGB with a NumPy generator and costs a millisecond or two a picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from onlooker.datasets.recolour import recolour
from onlooker.datasets.samples import Box, Sample, cut, grow
from onlooker.datasets.words import mirror_text
from onlooker.runtime.pictures import decode_picture, encode_jpeg


class Augmentation(BaseModel):
    """The kinds of variation and their strengths; part of every training recipe. 0 turns a kind off.

    Attributes:
        box_jitter: Each edge of the person's box moves in or out by up to this share of its width or height, as a
            detector's would.
        loose: Probability of leaving surroundings around the person, up to ``loose_margin`` on every side, as in whole
            photographs and careless boxes.
        loose_margin: Largest share of the box's width and height left on each side then.
        flip: Probability of mirroring; "left" and "right" change places in the texts.
        brightness: Natural logarithm of the largest factor.
        contrast: The same, around the picture's mean lightness.
        gamma: The same, of the exponent.
        saturation: The same, of the distance from grey.
        blur: Probability of a slight blur (sigma 0.4 to 1.4 px).
        low_resolution: Probability of shrinking to 35 to 80 % and enlarging again, like a person far away.
        jpeg: Probability of JPEG compression at quality 25 to 75.
        erase: Probability of covering 2 to 12 % of the picture with its mean colour, like an obstacle.
        recolour: Probability of painting one garment, where there is a mask; the texts are then written anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box_jitter: float = Field(0.08, ge=0, le=0.5, description="Largest shift of each box edge, as a share of its side.")
    loose: float = Field(0.0, ge=0, le=1, description="Probability of leaving surroundings around the person.")
    loose_margin: float = Field(0.5, ge=0, le=1, description="Largest share of the box left on each side then.")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring picture and text.")
    brightness: float = Field(0.25, ge=0, le=1, description="Log of the largest brightness factor.")
    contrast: float = Field(0.2, ge=0, le=1, description="Log of the largest contrast factor.")
    gamma: float = Field(0.2, ge=0, le=1, description="Log of the largest gamma exponent.")
    saturation: float = Field(0.15, ge=0, le=1, description="Log of the largest saturation factor.")
    blur: float = Field(0.1, ge=0, le=1, description="Probability of a slight blur.")
    low_resolution: float = Field(0.15, ge=0, le=1, description="Probability of losing resolution.")
    jpeg: float = Field(0.15, ge=0, le=1, description="Probability of JPEG compression.")
    erase: float = Field(0.15, ge=0, le=1, description="Probability of covering a rectangle.")
    recolour: float = Field(
        0.0, ge=0, le=1, description="Probability of painting one garment by its mask (needs SciPy)."
    )

    def needs(self) -> dict[str, Any]:
        """Return the arguments that ``CropDataset`` needs for this augmentation: ``margin`` and ``masks``."""
        margin = max(self.box_jitter, self.loose_margin) if self.loose else self.box_jitter
        return {"margin": margin, "masks": self.recolour > 0}

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Vary one sample.

        Args:
            sample: The person's box within some surroundings (``margin``), its texts, and a mask if there is one.
            rng: All chance comes from it: the same generator state gives the same result.

        Returns:
            A new sample whose picture is the varied crop; the given one is not changed.
        """
        if rng.random() < self.recolour:
            sample = recolour(sample, rng)
        box = jitter_box(sample.box, self.box_jitter, rng)
        if self.loose and rng.random() < self.loose:
            box = grow(box, float(rng.uniform(0, self.loose_margin)))
        sample = cut(sample, box)
        if rng.random() < self.flip:
            sample = mirror(sample)
        rgb = sample.rgb
        if rng.random() < self.low_resolution:
            rgb = lose_resolution(rgb, float(rng.uniform(0.35, 0.8)))
        if rng.random() < self.blur:
            rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 1.4))).astype(np.uint8, copy=False)
        rgb = change_tone(
            rgb,
            brightness=_factor(self.brightness, rng),
            contrast=_factor(self.contrast, rng),
            gamma=_factor(self.gamma, rng),
            saturation=_factor(self.saturation, rng),
        )
        if rng.random() < self.jpeg:
            rgb = compress(rgb, int(rng.integers(25, 76)))
        if rng.random() < self.erase:
            rgb = erase(rgb, rng)
        return replace(sample, rgb=rgb)


def _factor(strength: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(-strength, strength)))


def jitter_box(box: Box, strength: float, rng: np.random.Generator) -> Box:
    """Move each edge of a box independently.

    Args:
        box: (x, y, width, height).
        strength: Largest shift as a share of width or height, 0..0.5 (at 0.5 opposite edges could meet).
        rng: The source of chance.

    Returns:
        The box, at least 10 % of its size in each direction.
    """
    x, y, w, h = box
    left, top, right, bottom = rng.uniform(-strength, strength, 4)
    width = max(1 - left + right, 0.1) * w
    height = max(1 - top + bottom, 0.1) * h
    return x + left * w, y + top * h, width, height


def mirror(sample: Sample) -> Sample:
    """Mirror picture, mask and box, and swap the sides in the texts."""
    x, y, w, h = sample.box
    return replace(
        sample,
        rgb=np.ascontiguousarray(sample.rgb[:, ::-1]),
        box=(sample.rgb.shape[1] - x - w, y, w, h),
        texts=tuple(mirror_text(text) for text in sample.texts),
        mask=None if sample.mask is None else np.ascontiguousarray(sample.mask[:, ::-1]),
    )


def change_tone(
    rgb: NDArray[np.uint8],
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    gamma: float = 1.0,
    saturation: float = 1.0,
) -> NDArray[np.uint8]:
    """Change lightness and saturation, never hue: a pixel's channels are scaled alike, and none is clipped alone.

    Args:
        rgb: uint8 (h, w, 3).
        brightness: Factor on the lightness.
        contrast: Factor on the distance from the mean lightness.
        gamma: Exponent on the lightness in 0..1.
        saturation: Factor on the distance from grey; a pixel that would leave 0..255 moves as far as it can.

    Returns:
        uint8 (h, w, 3).
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    levels = np.arange(256, dtype=np.float32)
    curve = 255 * (levels / 255) ** gamma * brightness
    mean = float(cv2.LUT(grey, curve.astype(np.float32)).mean())
    curve = np.clip(mean + (curve - mean) * contrast, 0, 255)
    gain = cv2.LUT(grey, (curve / np.maximum(levels, 1)).astype(np.float32))
    red, green, blue = cv2.split(rgb)
    high = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    gain = np.minimum(gain, 255 / np.maximum(high, 1))
    light = grey * gain
    spread: NDArray[np.float32] | float = 1.0
    if saturation != 1:
        low = cv2.min(cv2.min(red, green), blue).astype(np.float32)
        up = (255 - light) / np.maximum(high * gain - light, 1e-3)
        down = light / np.maximum(light - low * gain, 1e-3)
        spread = np.minimum(saturation, np.minimum(up, down))
    factor, offset = gain * spread, light * (1 - spread) + 0.5
    varied = cv2.merge([red * factor + offset, green * factor + offset, blue * factor + offset])
    out: NDArray[np.uint8] = np.clip(varied, 0, 255).astype(np.uint8)
    return out


def lose_resolution(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Shrink a picture by ``scale`` (0..1) and enlarge it again."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def compress(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Pass a picture through JPEG at ``quality`` (1..95)."""
    return decode_picture(encode_jpeg(rgb, quality), "a training picture")


def erase(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cover one rectangle of 2 to 12 % of the area with the picture's mean colour."""
    height, width = rgb.shape[:2]
    share = float(rng.uniform(0.02, 0.12))
    aspect = float(np.exp(rng.uniform(-0.7, 0.7)))
    tall = min(height, max(1, round(height * np.sqrt(share * aspect))))
    wide = min(width, max(1, round(width * np.sqrt(share / aspect))))
    top = int(rng.integers(height - tall + 1))
    left = int(rng.integers(width - wide + 1))
    covered: NDArray[np.uint8] = rgb.copy()
    covered[top : top + tall, left : left + wide] = [round(value) for value in cv2.mean(rgb)[:3]]
    return covered
