"""The Open Images detector: an SSD MobileNetV2 whose anchors and box codes are turned into boxes here.

Source: the anchor options and the box coder of MediaPipe's object detection for Open Images v4 (Apache-2.0), restated.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlooker.footage.boxes import clip, nms
from onlooker.footage.detections import Detections
from onlooker.footage.shipped import open_detector

SIDE = 300
"""Width and height of the input, in pixels."""
MIDDLE = np.float32(127.5)
"""The value that becomes 0 in the network's range of -1..1; also fills the square beside an oblong picture."""
GRIDS = (19, 10, 5, 3, 2, 1)
"""Cells along a side of the six feature maps: the input divided by 16, 32, 64, 128, 256, 512, rounded up."""
SMALLEST_SCALE, LARGEST_SCALE = 0.2, 0.95
"""Anchor size on the finest and the coarsest map, as a part of the input."""
ASPECTS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
CENTRE_CODE, SIZE_CODE = 10.0, 5.0
"""How many times finer than the anchor's size the codes of centre and of log size are."""
LARGEST_LOG_SIZE = 6.0
"""Keeps exp of a wild code finite; a box of e^6 times its anchor is beyond any picture."""


def make_anchors() -> NDArray[np.float32]:
    """Return the anchors in the order of the network's outputs.

    Returns:
        float32 (1917, 4): centre y, centre x, height, width as parts of the input.
    """
    steps = len(GRIDS) - 1
    scales = [SMALLEST_SCALE + (LARGEST_SCALE - SMALLEST_SCALE) * step / steps for step in range(len(GRIDS))] + [1.0]
    anchors: list[tuple[float, ...]] = []
    for level, cells in enumerate(GRIDS):
        scale = scales[level]
        if level == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [(scale, aspect) for aspect in ASPECTS] + [(math.sqrt(scale * scales[level + 1]), 1.0)]
        sizes = [(size / math.sqrt(aspect), size * math.sqrt(aspect)) for size, aspect in shapes]
        for row in range(cells):
            for column in range(cells):
                centre = ((row + 0.5) / cells, (column + 0.5) / cells)
                anchors.extend((*centre, *size) for size in sizes)
    return np.array(anchors, dtype=np.float32)


SCORE_FACTOR = 1.5
"""Brings the network's low scores (people get 0.3 to 0.6) to the scale of the other detectors; capped at 1."""


class OpenImagesDetector:
    """Finds persons with ``openimages.onnx``."""

    def __init__(
        self, *, threshold: float = 0.45, overlap: float = 0.5, provider: str = "auto", threads: int | None = None
    ) -> None:
        """Open the network.

        Args:
            threshold: Drop persons below this score (after ``SCORE_FACTOR``), 0..1.
            overlap: Of two boxes with more IoU than this the better one stays.
            provider: An ONNX Runtime execution provider, or "auto".
            threads: Threads a detection may use; all cores where None.

        Raises:
            ProviderError: The provider is not there.
        """
        self._session = open_detector("openimages.onnx", provider, threads)
        self._anchors = make_anchors()
        self._threshold = threshold
        self._overlap = overlap

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        height, width = rgb.shape[:2]
        scale = SIDE / max(height, width)
        inner_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = (SIDE - inner_wh[0]) // 2, (SIDE - inner_wh[1]) // 2
        square = np.full((SIDE, SIDE, 3), MIDDLE, dtype=np.float32)
        small = Image.fromarray(rgb).resize(inner_wh, Image.Resampling.BILINEAR, reducing_gap=2.0)
        square[top : top + inner_wh[1], left : left + inner_wh[0]] = np.asarray(small)
        codes, logits = self._session.run(["codes", "logits"], {"picture": square[None] / MIDDLE - 1})
        scores = np.minimum(SCORE_FACTOR / (1 + np.exp(-logits[0])), 1).astype(np.float32)
        wanted = scores >= self._threshold
        boxes = self._decode(codes[0][wanted], self._anchors[wanted]) * SIDE
        boxes = (boxes - [left, top, left, top]) * ([width / inner_wh[0], height / inner_wh[1]] * 2)
        boxes = clip(boxes.astype(np.float32), width, height)
        kept = nms(boxes, scores[wanted], self._overlap)
        return Detections(boxes, scores[wanted]).take(kept)

    @staticmethod
    def _decode(codes: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn codes (n, 4) into x0, y0, x1, y1 as parts of the input."""
        centres = codes[:, :2] / CENTRE_CODE * anchors[:, 2:] + anchors[:, :2]
        sizes = np.exp(np.minimum(codes[:, 2:] / SIZE_CODE, LARGEST_LOG_SIZE)) * anchors[:, 2:]
        corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
        result: NDArray[np.float32] = corners[:, [1, 0, 3, 2]]
        return result
