"""Boxes as arrays: overlap, suppression of doubles, clipping to a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def intersections(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the area that every box shares with every other.

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.
        others: float32 (m, 4).

    Returns:
        float32 (n, m), square pixels.
    """
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    result: NDArray[np.float32] = np.prod(np.clip(lower_right - upper_left, 0, None), axis=2)
    return result


def iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return intersection over union of every box with every other.

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.
        others: float32 (m, 4).

    Returns:
        float32 (n, m), 0..1; 0 where both boxes are empty.
    """
    shared = intersections(boxes, others)
    return _part(shared, area(boxes)[:, None] + area(others)[None, :] - shared)


def covered(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest part of each box that lies within one other box.

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.

    Returns:
        float32 (n,), 0..1.
    """
    shared = intersections(boxes, boxes)
    np.fill_diagonal(shared, 0)
    return _part(shared.max(axis=1, initial=0), area(boxes))


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the area of each box (n, 4) as (n,), 0 for one that is turned inside out."""
    result: NDArray[np.float32] = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return result


def nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    limit: float,
    *,
    within: float = 1.0,
    least_ratio: float = 0.0,
) -> NDArray[np.int64]:
    """Keep the best of boxes that overlap each other (non-maximum suppression).

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.
        scores: float32 (n,); of equal scores the earlier box wins.
        limit: A box goes when its IoU with a better one that stays is above this.
        within: It also goes when more than this part of the smaller of the two lies within the larger: a torso found
            beside its whole person has little IoU with it.
        least_ratio: But not when the smaller has less than this part of the larger one's area: somebody far away, in
            front of or behind somebody near.

    Returns:
        int64 (k,), the indices that stay, best first.
    """
    areas = area(boxes)
    smaller = np.minimum(areas[:, None], areas[None, :])
    nested = _part(intersections(boxes, boxes), smaller) > within
    nested &= _part(smaller, np.maximum(areas[:, None], areas[None, :])) >= least_ratio
    double = (iou(boxes, boxes) > limit) | nested
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not double[index, kept].any():
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def clip(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Cut boxes (n, 4) off at the edges of a picture of ``width`` x ``height`` pixels."""
    edges = np.array([width, height, width, height], dtype=np.float32)
    result: NDArray[np.float32] = np.clip(boxes, 0, edges).astype(np.float32)
    return result


def _part(share: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide, giving 0 where the whole is 0."""
    result: NDArray[np.float32] = np.divide(share, whole, out=np.zeros_like(share), where=whole > 0)
    return result
