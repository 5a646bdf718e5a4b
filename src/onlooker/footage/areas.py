"""Polygons on a camera's picture: privacy masks, and the region where people count."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = Sequence[tuple[float, float]]
"""Corners x, y as shares of the picture's width and height, 0..1; at least three."""


class Masks:
    """Parts of a picture that nobody may see."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        """Keep the polygons; they fit pictures of every size."""
        self._polygons = [tuple(polygon) for polygon in polygons]

    def paint(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture with the parts painted black; the same one where there are none.

        Args:
            rgb: uint8 (h, w, 3).
        """
        if not self._polygons:
            return rgb
        painted: NDArray[np.uint8] = rgb.copy()
        # One by one: polygons that overlap would cancel each other out in one call. Borders are painted too.
        for corners in self._polygons:
            cv2.fillPoly(painted, [_pixels(corners, rgb.shape[1], rgb.shape[0])], (0, 0, 0))
        return painted


def standing_in(region: Polygon | None, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.bool_]:
    """Say which people stand in a region: those whose middle of the lower edge lies in it.

    Args:
        region: The polygon, or None for the whole picture.
        boxes: float32 (n, 4), x0, y0, x1, y1 in pixels.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.

    Returns:
        bool (n,).
    """
    if region is None:
        return np.ones(len(boxes), bool)
    corners = np.array([(x * width, y * height) for x, y in region], np.float32)
    # Somebody cut off by the lower edge stands on it, and that is still inside a region that reaches it.
    feet = [((float(x0) + float(x1)) / 2, float(y1)) for x0, _, x1, y1 in boxes]
    return np.array([cv2.pointPolygonTest(corners, foot, False) >= 0 for foot in feet], bool)


def _pixels(corners: Polygon, width: int, height: int) -> NDArray[np.int32]:
    corners_px = [(round(x * (width - 1)), round(y * (height - 1))) for x, y in corners]
    return np.array(corners_px, np.int32)
