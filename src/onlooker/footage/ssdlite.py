"""The SSDLite detector: one graph that resizes, finds persons and suppresses doubles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlooker.footage.boxes import clip
from onlooker.footage.detections import Detections
from onlooker.footage.shipped import open_detector

LARGEST_SIDE = 1280
"""Larger pictures are made smaller first: the graph turns the whole picture into floats before it resizes to 300 x 300,
which would take 12 bytes a pixel."""


class SSDLiteDetector:
    """Finds persons with ``ssdlite.onnx``."""

    def __init__(self, *, threshold: float = 0.3, provider: str = "auto", threads: int | None = None) -> None:
        """Open the network.

        Args:
            threshold: Drop persons below this score, 0..1.
            provider: An ONNX Runtime execution provider, or "auto".
            threads: Threads a detection may use; all cores where None.

        Raises:
            ProviderError: The provider is not there.
        """
        self._session = open_detector("ssdlite.onnx", provider, threads)
        self._threshold = threshold

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        height, width = rgb.shape[:2]
        if max(height, width) > LARGEST_SIDE:
            scale = LARGEST_SIDE / max(height, width)
            wh = (max(1, round(width * scale)), max(1, round(height * scale)))
            rgb = np.asarray(Image.fromarray(rgb).resize(wh, Image.Resampling.BILINEAR, reducing_gap=2.0))
        boxes, scores = self._session.run(["boxes", "scores"], {"picture": np.ascontiguousarray(rgb)[None]})
        wanted = scores[0] >= self._threshold
        xyxy = boxes[0][wanted][:, [1, 0, 3, 2]] * np.array([width, height] * 2, dtype=np.float32)
        found = Detections(clip(xyxy, width, height), scores[0][wanted].astype(np.float32))
        return found.take(np.argsort(-found.scores, kind="stable"))
