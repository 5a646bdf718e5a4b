"""Filling in the person's box where a dataset states none, by a detector that the caller brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.manifest import Manifest
from onlooker.errors import PictureError
from onlooker.runtime.pictures import read_picture

FindPeople = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Takes a picture, RGB uint8 (h, w, 3); returns people's boxes, float32 (n, 4), x0 y0 x1 y1 in pixels."""


def fill_boxes(
    manifest: Manifest, find_people: FindPeople, advance: Callable[[float], None] = lambda steps: None
) -> tuple[Manifest, int]:
    """Give each record without a box that of the largest person in its picture.

    A model that will be asked about detectors' crops must be trained and measured on such crops. Records that have a
    box keep it; a picture in which nobody is found stays whole.

    Args:
        manifest: The records.
        find_people: The detector.
        advance: Called with 1 after each record.

    Returns:
        The manifest with the boxes, and how many were filled in.
    """
    records, filled = [], 0
    for record in manifest.records:
        advance(1)
        if record.box is None:
            try:
                boxes = find_people(read_picture(manifest.path(record)))
            except PictureError:
                boxes = np.zeros((0, 4), np.float32)
            if len(boxes):
                sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
                left, top, right, bottom = (round(float(edge), 2) for edge in boxes[int(sizes.argmax())])
                record = record.model_copy(update={"box": (left, top, right - left, bottom - top)})
                filled += 1
        records.append(record)
    return replace(manifest, records=records), filled
