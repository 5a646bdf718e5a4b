"""Boxes as arrays: overlap, suppression of doubles, clipping to a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return intersection over union of every box with every other.

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.
        others: float32 (m, 4).

    Returns:
        float32 (n, m), 0..1; 0 where both boxes are empty.
    """
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(lower_right - upper_left, 0, None), axis=2)
    union = area(boxes)[:, None] + area(others)[None, :] - shared
    result: NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def covered(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest part of each box that lies within one other box.

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.

    Returns:
        float32 (n,), 0..1.
    """
    upper_left = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.clip(lower_right - upper_left, 0, None), axis=2)
    np.fill_diagonal(shared, 0)
    own = area(boxes)
    result: NDArray[np.float32] = np.divide(shared.max(axis=1, initial=0), own, out=np.zeros_like(own), where=own > 0)
    return result


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the area of each box (n, 4) as (n,), 0 for one that is turned inside out."""
    result: NDArray[np.float32] = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return result


def nms(boxes: NDArray[np.float32], scores: NDArray[np.float32], limit: float) -> NDArray[np.int64]:
    """Keep the best of boxes that overlap each other (non-maximum suppression).

    Args:
        boxes: float32 (n, 4), x0, y0, x1, y1.
        scores: float32 (n,); of equal scores the earlier box wins.
        limit: A box goes when its IoU with a better one that stays is above this.

    Returns:
        int64 (k,), the indices that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    overlap = iou(boxes, boxes)
    kept: list[int] = []
    for index in order:
        if not kept or overlap[index, kept].max() <= limit:
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def clip(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Cut boxes (n, 4) off at the edges of a picture of ``width`` x ``height`` pixels."""
    edges = np.array([width, height, width, height], dtype=np.float32)
    result: NDArray[np.float32] = np.clip(boxes, 0, edges).astype(np.float32)
    return result
