"""From the outputs of the known layouts of detectors to boxes, scores and classes.

Every function returns boxes float32 (n, 4) as x0, y0, x1, y1, and float32 (n, classes) scores 0..1, or the scores (n,)
and classes (n,) where the network has chosen already; ``persons`` makes one of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.layouts import COCO_COLUMNS, STRIDES, Layout, cells

Floats = NDArray[np.float32]
LARGEST_LOG = 20.0
"""Keeps exp of a wild code finite."""
RAW_CENTRES = 16.0
"""Centres of YOLOX before decoding are parts of a cell, after it pixels: in the median far below and far above this."""


def persons(layout: Layout, arrays: Sequence[NDArray[Any]], hw: tuple[int, int]) -> tuple[Floats, Floats]:
    """Read the people out of a detector's outputs.

    Args:
        layout: Its layout.
        arrays: The outputs, in the order of ``layout.outputs``.
        hw: Height and width of the input in pixels.

    Returns:
        float32 (n, 4), x0, y0, x1, y1 in pixels of the input, and float32 (n,) scores: of those boxes whose best class
        is a person, in no order, with doubles.
    """
    values = [np.asarray(array) for array in arrays]
    if layout.format == "rt-detr":
        labels, places, certain = (value[0] for value in values)
        return _chosen(places, certain, labels, layout.people)
    if layout.format == "yolo-end2end":
        rows = values[0][0]
        return _chosen(rows[:, :4], rows[:, 4], rows[:, 5], layout.people)
    if layout.format == "yolov7-end2end":
        rows = values[0]
        return _chosen(rows[:, 1:5], rows[:, 6], rows[:, 5], layout.people)
    if layout.format in ("detr", "rf-detr"):
        logits, boxes = (value[0].astype(np.float32) for value in values)
        scales = np.array([hw[1], hw[0]] * 2, np.float32)
        return _best(corners(boxes) * scales, _softmax(logits) if layout.softmax else _sigmoid(logits), layout.people)
    rows = values[0][0].astype(np.float32)
    if layout.format == "yolov8":
        rows = rows if rows.shape[1] == COCO_COLUMNS else rows.T
        return _best(corners(rows[:, :4]), rows[:, 4 : 4 + layout.classes], layout.people)
    boxes = rows[:, :4]
    if layout.format == "yolox" and np.median(np.abs(boxes[:, :2])) < RAW_CENTRES:
        boxes = from_cells(boxes, hw)
    return _best(corners(boxes), rows[:, 4:5] * rows[:, 5 : 5 + layout.classes], layout.people)


def from_cells(codes: Floats, hw: tuple[int, int]) -> Floats:
    """Turn codes of YOLOX, relative to the cells of its feature maps, into centre and size.

    Args:
        codes: float32 (n, 4): offset from the cell's upper left corner in cells, log of the size in cells.
        hw: Height and width of the input in pixels.

    Returns:
        float32 (n, 4): centre x, centre y, width, height in pixels.
    """
    strides = next(some for some in STRIDES if cells(hw, some) == len(codes))
    origins, sizes = [], []
    for stride in strides:
        y, x = np.mgrid[: -(-hw[0] // stride), : -(-hw[1] // stride)]
        origins.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        sizes.append(np.full((x.size, 1), stride))
    origin, size = np.concatenate(origins), np.concatenate(sizes)
    centre = (codes[:, :2] + origin) * size
    extent = np.exp(np.minimum(codes[:, 2:], LARGEST_LOG)) * size
    return np.concatenate([centre, extent], axis=1).astype(np.float32)


def corners(boxes: Floats) -> Floats:
    """Turn centre x, centre y, width, height (n, 4) into x0, y0, x1, y1."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _best(boxes: Floats, scores: Floats, people: Sequence[int]) -> tuple[Floats, Floats]:
    """Keep boxes whose best class is a person."""
    best = scores.argmax(axis=1)
    return _chosen(boxes, scores[np.arange(len(scores)), best], best, people)


def _chosen(
    boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any], people: Sequence[int]
) -> tuple[Floats, Floats]:
    kept = np.isin(np.rint(classes).astype(np.int64), people)
    kept &= np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    return boxes[kept].astype(np.float32), scores[kept].astype(np.float32)


def _sigmoid(logits: Floats) -> Floats:
    result: Floats = (1 / (1 + np.exp(-np.clip(logits, -60, 60)))).astype(np.float32)
    return result


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
