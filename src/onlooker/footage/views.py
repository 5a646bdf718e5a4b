"""The best views of a person: how good a crop is, and which few of a track are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlooker.gallery.records import Box

MARGIN = 0.04
"""Part of a box's width and height that is added on each side: detectors cut off feet and hair."""
LARGEST_SIDE = 512
"""Crops are made smaller to at most this height and width in pixels: towers see less than that, and a gallery of a
million crops has to fit on a disk."""
GOOD_HEIGHT_PX = 200
GOOD_SHARPNESS = 1000.0
GOOD_CONTRAST = 180.0
"""A person of this height in the frame, of this sharpness (see ``sharpness``) and with this many grey levels between
dark and light parts loses nothing. More does not count as better: what is far sharper is a fence before the person."""
SIZE_LOSS, BLUR_LOSS, DARK_LOSS = 0.052, 0.0115, 0.04
"""What a view loses for the square of the logarithm of how far it falls short of each."""
GLARE_LOSS = 0.65
"""What it loses for the square of the part of its pixels that are burnt out."""
COVER_LOSS = 0.85
"""What it loses for the square of the part that lies within somebody else's box."""
CUT_LOSS = {"above or below": 0.2, "aside": 0.1}
"""What each edge of the picture costs at which the person leaves it."""
BURNT_OUT = 250
LEAST_NOVELTY = 0.02
"""Vectors nearer to each other than this differ by noise alone."""
EDGE = 0.004
"""A box this near to an edge of the picture, as a part of its width or height, touches it."""


@dataclass(eq=False)
class View:
    """One crop of a person.

    Attributes:
        time_s: Seconds from the start of the video; 0 for a photo.
        box: x, y, width, height in pixels of the upright picture, as cut out.
        crop: uint8 (h, w, 3), at most ``LARGEST_SIDE`` a side.
        score: The detector's, 0..1.
        quality: How good a view it is, 0..1.
        vector: float32 (d,), L2-normalised, once it has been asked for.
    """

    time_s: float
    box: Box
    crop: NDArray[np.uint8]
    score: float
    quality: float
    vector: NDArray[np.float32] | None = None


def cut(
    rgb: NDArray[np.uint8], xyxy: NDArray[np.float32], score: float, *, covered: float = 0.0, time_s: float = 0.0
) -> View | None:
    """Cut a person out of a picture and judge the view.

    Args:
        rgb: uint8 (h, w, 3).
        xyxy: float32 (4,), the detector's box in pixels.
        score: The detector's score, 0..1.
        covered: Part of the box that lies within another person's, 0..1 (see ``onlooker.footage.boxes.covered``).
        time_s: Time of the frame.

    Returns:
        The view, or None where the box covers no pixel of the picture.
    """
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in xyxy)
    aside, above = (x1 - x0) * MARGIN, (y1 - y0) * MARGIN
    left, top = max(0, round(x0 - aside)), max(0, round(y0 - above))
    right, bottom = min(width, round(x1 + aside)), min(height, round(y1 + above))
    if right <= left or bottom <= top:
        return None
    crop = shrink(rgb[top:bottom, left:right])
    near = (x0 <= EDGE * width, y0 <= EDGE * height, x1 >= (1 - EDGE) * width, y1 >= (1 - EDGE) * height)
    whole = (1 - CUT_LOSS["aside"]) ** sum(near[::2]) * (1 - CUT_LOSS["above or below"]) ** sum(near[1::2])
    quality = looks(crop, bottom - top) * whole * (1 - COVER_LOSS * covered**2) * (1 + score) / 2
    return View(time_s, (left, top, right - left, bottom - top), crop, score, quality)


def looks(crop: NDArray[np.uint8], height_px: int) -> float:
    """Return how much of a person's look a crop keeps, going by size, sharpness and exposure.

    It estimates the cosine between the vector of the crop and that of a flawless one; the losses were measured on crops
    degraded on purpose (docs/footage.md).

    Args:
        crop: uint8 (h, w, 3).
        height_px: Height of the person in the frame, above 0.

    Returns:
        0..1.
    """
    grey = _grey(crop)
    dark, light = np.percentile(grey, (5, 95))
    contrast = max(float(light - dark), 1.0)
    # Little light makes every edge weak, which is no blur.
    sharp = max(_variance(grey) * (GOOD_CONTRAST / contrast) ** 2, 1e-3)
    glare = float((grey >= BURNT_OUT).mean())
    losses = (
        SIZE_LOSS * _short(height_px, GOOD_HEIGHT_PX) ** 2,
        BLUR_LOSS * _short(sharp, GOOD_SHARPNESS) ** 2,
        DARK_LOSS * _short(contrast, GOOD_CONTRAST) ** 2,
        GLARE_LOSS * glare**2,
    )
    return float(np.prod([max(1 - loss, 0.0) for loss in losses]))


def _short(value: float, good: float) -> float:
    """Return the logarithm of how many times too little a value is, 0 where it is enough."""
    return max(float(np.log(good / value)), 0.0)


def shrink(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy of a picture, made smaller so that no side is above ``LARGEST_SIDE``."""
    height, width = rgb.shape[:2]
    scale = LARGEST_SIDE / max(height, width)
    if scale >= 1:
        return np.array(rgb, order="C")
    wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(np.ascontiguousarray(rgb)).resize(wh, Image.Resampling.BOX))


def sharpness(rgb: NDArray[np.uint8], height_px: int = 128) -> float:
    """Return how sharp a crop is: the variance of its Laplacian at a fixed height.

    The height is fixed so that a small crop made large does not look blurred beside a large one.

    Args:
        rgb: uint8 (h, w, 3).
        height_px: The height at which it is measured.

    Returns:
        0 for an even area, some hundreds for a blurred person, 1000 to 2500 for a sharp one.
    """
    return _variance(_grey(rgb, height_px))


def _grey(rgb: NDArray[np.uint8], height_px: int = 128) -> NDArray[np.float32]:
    """Return a crop in grey at a fixed height, float32 (height_px, w), 0..255."""
    width_px = max(3, round(rgb.shape[1] * height_px / rgb.shape[0]))
    grey = Image.fromarray(np.ascontiguousarray(rgb)).convert("L").resize((width_px, height_px), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32)


def _variance(grey: NDArray[np.float32]) -> float:
    """Return the variance of the Laplacian."""
    middle = grey[1:-1, 1:-1]
    neighbours = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.var(neighbours - 4 * middle))


@dataclass
class TrackViews:
    """What is remembered of a track while it goes on: a bounded number of views, spread over its time.

    Time is cut into slots, and each slot keeps its best view. When there are too many slots, neighbours are joined, so
    that a track of any length holds at most ``MOST_SLOTS`` crops.

    Attributes:
        start_s: Time of its first detection.
        end_s: Time of its last detection.
        detections: How many there were.
        best_score: The highest score of the detector.
    """

    MOST_SLOTS = 8

    start_s: float
    end_s: float = 0.0
    detections: int = 0
    best_score: float = 0.0
    _slot_s: float = 0.5
    _slots: dict[int, View] = field(default_factory=dict)

    def add(self, time_s: float, score: float, view: View | None) -> None:
        """Take the next detection, with its crop where there is one."""
        self.end_s = time_s
        self.detections += 1
        self.best_score = max(self.best_score, score)
        if view is None:
            return
        self._keep(int((time_s - self.start_s) / self._slot_s), view)
        while len(self._slots) > self.MOST_SLOTS:
            self._slot_s *= 2
            slots, self._slots = self._slots, {}
            for slot, kept in slots.items():
                self._keep(slot // 2, kept)

    def _keep(self, slot: int, view: View) -> None:
        other = self._slots.get(slot)
        if other is None or view.quality > other.quality:
            self._slots[slot] = view

    @property
    def count(self) -> int:
        """How many views are remembered."""
        return len(self._slots)

    def go_on(self, later: TrackViews) -> None:
        """Take what is remembered of somebody who turned out to be the same person, seen later."""
        detections, end_s, score = self.detections + later.detections, later.end_s, later.best_score
        for view in sorted(later._slots.values(), key=lambda view: view.time_s):
            self.add(view.time_s, view.score, view)
        self.detections, self.end_s, self.best_score = detections, end_s, max(self.best_score, score)

    def best(self, count: int) -> list[View]:
        """Return the best views, at most one of each slot.

        Args:
            count: How many at most.

        Returns:
            Views, best first; none where no detection had a crop.
        """
        return sorted(self._slots.values(), key=lambda view: (-view.quality, view.time_s))[:count]


def choose(views: Sequence[View], count: int) -> list[View]:
    """Choose the views that show most of a person: the best, then what is good and looks unlike those chosen before.

    Args:
        views: Views, the best first; without vectors the best are chosen.
        count: How many at most.

    Returns:
        The chosen ones, the best first.
    """
    chosen, rest = list(views[:1]), list(views[1:])
    while rest and len(chosen) < count:
        following = max(rest, key=lambda view: view.quality * _novelty(view, chosen))
        chosen.append(following)
        rest.remove(following)
    return chosen


def _novelty(view: View, chosen: Sequence[View]) -> float:
    """Return how far a view's vector is from the nearest of those chosen, at least ``LEAST_NOVELTY``; 1 without."""
    alike = [float(view.vector @ other.vector) for other in chosen if view.vector is not None is not other.vector]
    return max(1 - max(alike), LEAST_NOVELTY) if alike else 1.0


def pool(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one vector for several views of a person: the mean of the unit vectors, of unit length again.

    Args:
        vectors: float32 (n, d), L2-normalised, n at least 1.

    Returns:
        float32 (d,), L2-normalised; the first vector where they cancel each other out.
    """
    mean = vectors.astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(mean))
    result: NDArray[np.float32] = (mean / length).astype(np.float32) if length > 1e-6 else vectors[0]
    return result
