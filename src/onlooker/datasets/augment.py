"""Varying training pictures the way cameras and detectors do, without touching what descriptions name: colour names.

Here are the recipe's switches, and the steps that move, cut and cover; light and lenses are in ``degrade``,
backgrounds and obstacles in ``scenes``. A mask stays on its picture through every step, with label 0 wherever the
person is covered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from onlooker.datasets.degrade import (
    add_noise,
    blur,
    blur_motion,
    cast,
    change_tone,
    compress,
    darken,
    lose_resolution,
    overexpose,
)
from onlooker.datasets.recolour import recolour
from onlooker.datasets.samples import Box, Sample, cut, grow
from onlooker.datasets.scenes import draw_obstacle, replace_background
from onlooker.datasets.words import mirror_text

_TILT_DEGREES = 7.0
_TILT_SHEAR = 0.08
_TILT_ROOM = 0.12
"""Share of the crop kept on each side while it is turned, so that its corners show what was there."""


class Augmentation(BaseModel):
    """The kinds of variation and their strengths; part of every training recipe. 0 turns a kind off.

    All chance comes from the generator given to ``apply`` and never depends on pixel values: two samples of one size
    that differ in colours alone, with generators in the same state, are cut, moved and covered alike.

    Attributes:
        box_jitter: Each edge of the person's box moves in or out by up to this share of its width or height, as a
            detector's would.
        loose: Probability of leaving surroundings around the person, up to ``loose_margin`` on every side, as in whole
            photographs and careless boxes.
        loose_margin: Largest share of the box's width and height left on each side then.
        aspect: Natural logarithm of the largest factor by which either the width or the height of the crop is
            lengthened: after resizing, the person is narrower or shorter.
        upper: Probability of cutting to the upper 40 to 70 % of the box.
        lower: The same for the lower part; the two exclude each other.
        tilt: Probability of turning the camera by up to 7 degrees and shearing by up to 0.08.
        flip: Probability of mirroring; "left" and "right" change places in the texts.
        background: Probability of another background, where there is a mask: a drawn street or room, or the
            photograph's own surroundings, moved and blurred.
        occlude: Probability of an obstacle: from below, from one side, or a post.
        night: Probability of a night picture: a third to three quarters of the light, one lamp, noise.
        overexpose: Probability of too much light. Never together with night.
        motion_blur: Probability of blur along a line, 2 to 10 % of the width long.
        low_resolution: Probability of shrinking to ``low_resolution_least`` to 80 % and enlarging again, like a person
            far away.
        blur: Probability of a slight blur (sigma 0.4 to 1.4 px).
        brightness: Natural logarithm of the largest factor.
        contrast: The same, around the picture's mean lightness.
        gamma: The same, of the exponent.
        saturation: The same, of the distance from grey.
        cast: Probability of a colour cast, too slight to rename a colour.
        noise: Probability of sensor noise with a deviation of 2 to 9 of 255.
        jpeg: Probability of JPEG compression at quality 25 to 75.
        erase: Probability of covering 2 to 12 % of the picture with its mean colour, like an obstacle.
        recolour: Probability of painting one garment, where there is a mask; the texts are then written anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box_jitter: float = Field(0.08, ge=0, le=0.5, description="Largest shift of each box edge, as a share of its side.")
    loose: float = Field(0.0, ge=0, le=1, description="Probability of leaving surroundings around the person.")
    loose_margin: float = Field(0.5, ge=0, le=1, description="Largest share of the box left on each side then.")
    aspect: float = Field(0.0, ge=0, le=1, description="Log of the largest stretch of one side of the crop.")
    upper: float = Field(0.0, ge=0, le=1, description="Probability of cutting to the upper body.")
    lower: float = Field(0.0, ge=0, le=1, description="Probability of cutting to the lower body.")
    tilt: float = Field(0.0, ge=0, le=1, description="Probability of a slightly turned and sheared camera.")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring picture and text.")
    background: float = Field(
        0.0, ge=0, le=1, description="Probability of another background, by the mask (needs SciPy)."
    )
    occlude: float = Field(0.0, ge=0, le=1, description="Probability of an obstacle before the person.")
    night: float = Field(0.0, ge=0, le=1, description="Probability of a dark, noisy picture.")
    overexpose: float = Field(0.0, ge=0, le=1, description="Probability of too much light.")
    motion_blur: float = Field(0.0, ge=0, le=1, description="Probability of blur along a line.")
    low_resolution: float = Field(0.15, ge=0, le=1, description="Probability of losing resolution.")
    low_resolution_least: float = Field(0.35, ge=0.05, le=0.8, description="Smallest scale then; the largest is 0.8.")
    blur: float = Field(0.1, ge=0, le=1, description="Probability of a slight blur.")
    brightness: float = Field(0.25, ge=0, le=1, description="Log of the largest brightness factor.")
    contrast: float = Field(0.2, ge=0, le=1, description="Log of the largest contrast factor.")
    gamma: float = Field(0.2, ge=0, le=1, description="Log of the largest gamma exponent.")
    saturation: float = Field(0.15, ge=0, le=1, description="Log of the largest saturation factor.")
    cast: float = Field(0.0, ge=0, le=1, description="Probability of a slight colour cast.")
    noise: float = Field(0.0, ge=0, le=1, description="Probability of sensor noise.")
    jpeg: float = Field(0.15, ge=0, le=1, description="Probability of JPEG compression.")
    erase: float = Field(0.15, ge=0, le=1, description="Probability of covering a rectangle.")
    recolour: float = Field(
        0.0, ge=0, le=1, description="Probability of painting one garment by its mask (needs SciPy)."
    )

    @model_validator(mode="after")
    def _check(self) -> Augmentation:
        for one, other in (("upper", "lower"), ("night", "overexpose")):
            total = getattr(self, one) + getattr(self, other)
            if total > 1:
                raise ValueError(f"{one} and {other} exclude each other, so they add up to at most 1, got {total:g}")
        return self

    def needs(self) -> dict[str, Any]:
        """Return the arguments that ``CropDataset`` needs for this augmentation: ``margin`` and ``masks``."""
        margins = [self.box_jitter, (float(np.exp(self.aspect)) - 1) / 2]
        if self.loose:
            margins.append(self.loose_margin)
        if self.tilt:
            margins.append(_TILT_ROOM)
        return {"margin": max(margins), "masks": self.recolour > 0 or self.background > 0}

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Vary one sample.

        Args:
            sample: The person's box within some surroundings (``margin``), its texts, and a mask if there is one.
            rng: All chance comes from it: the same generator state gives the same result.

        Returns:
            A new sample whose picture is the varied crop, with its mask (if any) in the same shape; the given one is
            not changed.
        """
        if rng.random() < self.recolour:
            sample = recolour(sample, _child(rng))
        sample = self._frame(sample, rng)
        if _happens(self.background, rng):
            sample = replace_background(sample, _child(rng))
        if _happens(self.occlude, rng):
            rgb, covered = draw_obstacle(sample.rgb, _child(rng))
            sample = _covered(replace(sample, rgb=rgb), covered)
        sample = replace(sample, rgb=self._expose(sample.rgb, rng))
        if rng.random() < self.erase:
            rows, columns = choose_rectangle(sample.rgb.shape[0], sample.rgb.shape[1], rng)
            sample = erase(sample, rows, columns)
        return sample

    def _frame(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Choose the box and cut it out, turned and mirrored or not."""
        box = jitter_box(sample.box, self.box_jitter, rng)
        if self.loose and rng.random() < self.loose:
            box = grow(box, float(rng.uniform(0, self.loose_margin)))
        if self.aspect:
            box = stretch_box(box, float(rng.uniform(-self.aspect, self.aspect)))
        if self.upper or self.lower:
            part, share = rng.random(), float(rng.uniform(0.4, 0.7))
            x, y, w, h = box
            if part < self.upper:
                box = (x, y, w, h * share)
            elif part < self.upper + self.lower:
                box = (x, y + h * (1 - share), w, h * share)
        if _happens(self.tilt, rng):
            degrees = float(rng.uniform(-_TILT_DEGREES, _TILT_DEGREES))
            sample, box = tilt(sample, box, degrees, float(rng.uniform(-_TILT_SHEAR, _TILT_SHEAR)))
        sample = cut(sample, box)
        return mirror(sample) if rng.random() < self.flip else sample

    def _expose(self, rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Take the picture, in the order in which light, lens, sensor and software change it."""
        if self.night or self.overexpose:
            light = rng.random()
            if light < self.night:
                rgb = darken(rgb, rng)
            elif light < self.night + self.overexpose:
                rgb = overexpose(rgb, rng)
        if _happens(self.motion_blur, rng):
            length, degrees = rgb.shape[1] * float(rng.uniform(0.02, 0.1)), float(rng.normal(0, 25))
            rgb = blur_motion(rgb, length, degrees)
        if rng.random() < self.low_resolution:
            rgb = lose_resolution(rgb, float(rng.uniform(self.low_resolution_least, 0.8)))
        if rng.random() < self.blur:
            rgb = blur(rgb, float(rng.uniform(0.4, 1.4)))
        rgb = change_tone(
            rgb,
            brightness=_factor(self.brightness, rng),
            contrast=_factor(self.contrast, rng),
            gamma=_factor(self.gamma, rng),
            saturation=_factor(self.saturation, rng),
        )
        if _happens(self.cast, rng):
            rgb = cast(rgb, float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)))
        if _happens(self.noise, rng):
            rgb = add_noise(rgb, float(rng.uniform(2, 9)), rng)
        if rng.random() < self.jpeg:
            rgb = compress(rgb, int(rng.integers(25, 76)))
        return rgb


def _happens(probability: float, rng: np.random.Generator) -> bool:
    """Decide, without using up chance for what is off: recipes that do not name a kind stay what they were."""
    return probability > 0 and rng.random() < probability


def _child(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator for a step that draws more or less by the sample: what follows must not depend on it."""
    return np.random.default_rng(int(rng.integers(2**62)))


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


def stretch_box(box: Box, stretch: float) -> Box:
    """Lengthen one side of a box around its middle.

    Args:
        box: (x, y, width, height).
        stretch: Natural logarithm of the factor; of the width where it is positive, of the height where negative.
    """
    x, y, w, h = box
    more = (float(np.exp(abs(stretch))) - 1) / 2
    if stretch >= 0:
        return x - more * w, y, w * (1 + 2 * more), h
    return x, y - more * h, w, h * (1 + 2 * more)


def tilt(sample: Sample, box: Box, degrees: float, shear: float) -> tuple[Sample, Box]:
    """Turn and shear a sample around the middle of a box, as seen by a camera that hangs askew.

    Args:
        sample: The sample.
        box: What will be cut out, (x, y, width, height) in its pixels.
        degrees: Angle; positive turns the person clockwise.
        shear: Shift to the right per pixel downwards.

    Returns:
        The turned sample, with the person's box around the turned one, and the place of ``box`` in it. Corners that
        were never photographed are filled with the mirrored edge; the mask goes the same way.
    """
    wide = cut(sample, grow(box, _TILT_ROOM))
    across, down = wide.box[0] - sample.box[0], wide.box[1] - sample.box[1]
    x, y, w, h = box[0] + across, box[1] + down, box[2], box[3]
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1.0, shear], [0.0, 1.0]])
    # Positions in boxes count from the corner of the first pixel, warpAffine's from its middle.
    middle = np.array([x + w / 2, y + h / 2])
    offset = middle - matrix @ middle
    pixels = np.column_stack([matrix, offset + matrix @ np.array([0.5, 0.5]) - 0.5])
    size = wide.rgb.shape[1], wide.rgb.shape[0]
    rgb = cv2.warpAffine(wide.rgb, pixels, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    mask = wide.mask
    if mask is not None:
        turned = cv2.warpAffine(mask, pixels, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        mask = turned.astype(np.uint8, copy=False)
    px, py, pw, ph = wide.box
    corners = np.array([[px, py], [px + pw, py], [px, py + ph], [px + pw, py + ph]]) @ matrix.T + offset
    low, high = corners.min(axis=0), corners.max(axis=0)
    person = float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
    return replace(wide, rgb=rgb.astype(np.uint8, copy=False), box=person, mask=mask), (x, y, w, h)


def mirror(sample: Sample) -> Sample:
    """Mirror picture, mask and box, and swap the sides in the texts."""
    x, y, w, h = sample.box
    return replace(
        sample,
        rgb=cv2.flip(sample.rgb, 1).astype(np.uint8, copy=False),
        box=(sample.rgb.shape[1] - x - w, y, w, h),
        texts=tuple(mirror_text(text) for text in sample.texts),
        mask=None if sample.mask is None else cv2.flip(sample.mask, 1).astype(np.uint8, copy=False),
    )


def choose_rectangle(height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Choose the rows and columns of a rectangle of 2 to 12 % of the area."""
    share = float(rng.uniform(0.02, 0.12))
    aspect = float(np.exp(rng.uniform(-0.7, 0.7)))
    tall = min(height, max(1, round(height * np.sqrt(share * aspect))))
    wide = min(width, max(1, round(width * np.sqrt(share / aspect))))
    top = int(rng.integers(height - tall + 1))
    left = int(rng.integers(width - wide + 1))
    return slice(top, top + tall), slice(left, left + wide)


def erase(sample: Sample, rows: slice, columns: slice) -> Sample:
    """Cover rows and columns with the picture's mean colour."""
    rgb = sample.rgb.copy()
    rgb[rows, columns] = [round(value) for value in cv2.mean(sample.rgb)[:3]]
    covered = np.zeros(rgb.shape[:2], dtype=np.bool_)
    covered[rows, columns] = True
    return _covered(replace(sample, rgb=rgb), covered)


def _covered(sample: Sample, covered: NDArray[np.bool_]) -> Sample:
    """Take what is covered out of the mask."""
    return sample if sample.mask is None else replace(sample, mask=np.where(covered, 0, sample.mask).astype(np.uint8))
