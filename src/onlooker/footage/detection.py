"""Finding people in a picture: which detectors there are.

``openimages`` alone is the fastest, ``ssdlite`` finds small people better, ``union`` asks both and finds the most
(measured in docs/footage.md); the path of an ONNX file opens a detector of the user's own. The
scores of the shipped ones are on one scale; each drops what is below its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.config import Settings
from onlooker.errors import ConfigError
from onlooker.footage.boxes import iou, nms
from onlooker.footage.detections import Detections, Detector


class UnionDetector:
    """Several detectors as one: all boxes, those of one person averaged, doubles suppressed."""

    def __init__(
        self,
        parts: Sequence[Detector],
        *,
        weights: Sequence[float] | None = None,
        overlap: float = 0.5,
        within: float = 0.85,
        least_ratio: float = 0.3,
    ) -> None:
        """Join detectors whose scores are on one scale.

        Args:
            parts: The detectors.
            weights: What the box of each counts, above 0, where two mean the same person; all alike where None.
            overlap: Two boxes of different detectors with at least this IoU, each the other's best, mean one person
                and become their mean; of two boxes with more IoU than this the better one stays.
            within: The same where this part of the smaller one lies within the larger, and
            least_ratio: its area is at least this part of the larger one's.
        """
        self._parts = tuple(parts)
        self._weights = (1.0,) * len(self._parts) if weights is None else tuple(weights)
        self._overlap, self._within, self._least_ratio = overlap, within, least_ratio

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        found = [part.detect(rgb) for part in self._parts]
        boxes = np.concatenate([detections.boxes for detections in found])
        scores = np.concatenate([detections.scores for detections in found])
        owners = np.repeat(np.arange(len(found)), [len(detections) for detections in found])
        boxes = self._averaged(boxes, owners)
        kept = nms(boxes, scores, self._overlap, within=self._within, least_ratio=self._least_ratio)
        return Detections(boxes, scores).take(kept)

    def _averaged(self, boxes: NDArray[np.float32], owners: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give two boxes of different detectors that mean one person their common mean, which fits better than either.

        Source: the idea of weighted box fusion (Solovyev, Wang and Gabruseva, 2021), for pairs only.
        """
        if len(boxes) < 2:
            return boxes
        overlaps = np.where(owners[:, None] == owners[None, :], 0, iou(boxes, boxes))
        best = overlaps.argmax(axis=1)
        rows = np.arange(len(boxes))
        paired = (best[best] == rows) & (overlaps[rows, best] >= self._overlap)
        own = np.array(self._weights, np.float32)[owners][:, None]
        means = (own * boxes + own[best] * boxes[best]) / (own + own[best])
        result: NDArray[np.float32] = np.where(paired[:, None], means, boxes).astype(np.float32)
        return result


UNION_WEIGHTS = (2.0, 3.0)
"""What the boxes of SSDLite and of Open Images count: those of Open Images are a little tighter."""
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
        name: One of ``DEFAULT_THRESHOLDS``, or the path of an ONNX file of the user's own (see ``own.py``).
        threshold: Drop people below this score, above 0 and at most 1; the detector's usual one where None.
        provider: An ONNX Runtime execution provider or "auto"; None takes the environment's ``ONLOOKER_PROVIDER``.
        threads: Threads of one detection; None takes ``ONLOOKER_THREADS``, and without that ONNX Runtime chooses.

    Returns:
        The detector.

    Raises:
        ConfigError: No such detector, a threshold outside its range, or a file whose layout is not known.
        BundleError: The file is damaged.
        ProviderError: The provider is not there.
    """
    # The classes open sessions, which import ONNX Runtime; checking what was asked for needs none of it.
    from onlooker.footage.openimages import OpenImagesDetector
    from onlooker.footage.ssdlite import SSDLiteDetector

    own = name.lower().endswith(".onnx")
    if name not in DEFAULT_THRESHOLDS and not own:
        raise ConfigError(
            f"there is no detector {name!r}; choose one of: {', '.join(DEFAULT_THRESHOLDS)}, or give an ONNX file"
        )
    if threshold is None and not own:
        threshold = DEFAULT_THRESHOLDS[name]
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"a detector's threshold is above 0 and at most 1, got {threshold}")
    settings = Settings.from_environment()
    provider = provider or settings.provider
    threads = settings.threads if threads is None else threads
    if own or threshold is None:
        from onlooker.footage.own import OwnDetector

        return OwnDetector(Path(name), threshold=threshold, provider=provider, threads=threads)
    parts: list[Detector] = []
    if name in ("ssdlite", "union"):
        parts.append(SSDLiteDetector(threshold=threshold, provider=provider, threads=threads))
    if name in ("openimages", "union"):
        parts.append(OpenImagesDetector(threshold=threshold, provider=provider, threads=threads))
    return parts[0] if len(parts) == 1 else UnionDetector(parts, weights=UNION_WEIGHTS)
