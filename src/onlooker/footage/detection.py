"""Finding people in a picture: which detectors there are.

``openimages`` alone is the fastest, ``ssdlite`` finds small people better, ``union`` asks both and finds the most
(measured in docs/footage.md). The scores of all of them are on one scale; each drops what is below its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onlooker.config import Settings
from onlooker.errors import ConfigError
from onlooker.footage.boxes import nms
from onlooker.footage.detections import Detections, Detector


class UnionDetector:
    """Several detectors as one: all boxes, doubles suppressed."""

    def __init__(
        self, parts: Sequence[Detector], *, overlap: float = 0.5, within: float = 0.85, least_ratio: float = 0.3
    ) -> None:
        """Join detectors whose scores are on one scale.

        Args:
            parts: The detectors.
            overlap: Of two boxes with more IoU than this the better one stays.
            within: The same where this part of the smaller one lies within the larger, and
            least_ratio: its area is at least this part of the larger one's.
        """
        self._parts = tuple(parts)
        self._overlap, self._within, self._least_ratio = overlap, within, least_ratio

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        found = [part.detect(rgb) for part in self._parts]
        boxes = np.concatenate([detections.boxes for detections in found])
        scores = np.concatenate([detections.scores for detections in found])
        kept = nms(boxes, scores, self._overlap, within=self._within, least_ratio=self._least_ratio)
        return Detections(boxes, scores).take(kept)


DEFAULT_THRESHOLDS = {"union": 0.5, "openimages": 0.45, "ssdlite": 0.3}
"""The detectors that ``load_detector`` knows, the default first, and the score below which each drops a person."""
DEFAULT_DETECTOR = "union"


def load_detector(
    name: str = DEFAULT_DETECTOR,
    *,
    threshold: float | None = None,
    provider: str | None = None,
    threads: int | None = None,
) -> Detector:
    """Open a detector by name.

    Args:
        name: One of ``DEFAULT_THRESHOLDS``.
        threshold: Drop people below this score, above 0 and at most 1; the detector's usual one where None.
        provider: An ONNX Runtime execution provider or "auto"; None takes the environment's ``ONLOOKER_PROVIDER``.
        threads: Threads of one detection; None takes ``ONLOOKER_THREADS``, and without that ONNX Runtime chooses.

    Returns:
        The detector.

    Raises:
        ConfigError: No such detector, or a threshold outside its range.
        ProviderError: The provider is not there.
    """
    # The classes open sessions, which import ONNX Runtime; checking what was asked for needs none of it.
    from onlooker.footage.openimages import OpenImagesDetector
    from onlooker.footage.ssdlite import SSDLiteDetector

    if name not in DEFAULT_THRESHOLDS:
        raise ConfigError(f"there is no detector {name!r}; choose one of: {', '.join(DEFAULT_THRESHOLDS)}")
    if threshold is None:
        threshold = DEFAULT_THRESHOLDS[name]
    if not 0 < threshold <= 1:
        raise ConfigError(f"a detector's threshold is above 0 and at most 1, got {threshold}")
    settings = Settings.from_environment()
    provider = provider or settings.provider
    threads = settings.threads if threads is None else threads
    parts: list[Detector] = []
    if name in ("ssdlite", "union"):
        parts.append(SSDLiteDetector(threshold=threshold, provider=provider, threads=threads))
    if name in ("openimages", "union"):
        parts.append(OpenImagesDetector(threshold=threshold, provider=provider, threads=threads))
    return parts[0] if len(parts) == 1 else UnionDetector(parts)
