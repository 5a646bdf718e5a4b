"""Finding people in a picture: what a detector is, what it gives, and which ones there are.

``openimages`` alone is the fastest, ``ssdlite`` finds small people better, ``union`` asks both and finds the most
(measured in docs/footage.md). Scores are on each detector's own scale; a detector drops what is below its threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import ConfigError
from onlooker.footage.boxes import nms

DETECTORS_FOLDER = Path(__file__).parent / "detectors"


@dataclass(frozen=True)
class Detections:
    """The people found in one picture, best first.

    Attributes:
        boxes: float32 (n, 4), x0, y0, x1, y1 in pixels, inside the picture.
        scores: float32 (n,), 0..1.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,):
            raise ValueError(
                f"boxes (n, 4) and scores (n,) are wanted, got {self.boxes.shape} and {self.scores.shape}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, kept: NDArray[np.int64] | NDArray[np.bool_]) -> Detections:
        """Return the detections at some indices, or where a mask is true."""
        return Detections(self.boxes[kept], self.scores[kept])

    @classmethod
    def nothing(cls) -> Detections:
        """Return no detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class Detector(Protocol):
    """Anything that finds people in a picture."""

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people.

        Args:
            rgb: uint8 (h, w, 3).

        Returns:
            What was found, best first.
        """
        ...


class UnionDetector:
    """Several detectors as one: all boxes, scores brought to one scale, doubles suppressed."""

    def __init__(self, parts: list[tuple[Detector, float]], *, threshold: float, overlap: float = 0.5) -> None:
        """Join detectors.

        Args:
            parts: Each detector with the factor for its scores; the product is capped at 1.
            threshold: Boxes below this score, after the factor, are dropped.
            overlap: Of two boxes with more IoU than this the better one stays.
        """
        self._parts = parts
        self._threshold = threshold
        self._overlap = overlap

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        found = [(part.detect(rgb), factor) for part, factor in self._parts]
        boxes = np.concatenate([detections.boxes for detections, _ in found])
        scores = np.concatenate([np.minimum(detections.scores * factor, 1) for detections, factor in found])
        wanted = scores >= self._threshold
        boxes, scores = boxes[wanted], scores[wanted].astype(np.float32)
        kept = nms(boxes, scores, self._overlap)
        return Detections(boxes[kept], scores[kept])


DETECTOR_NAMES = ("union", "openimages", "ssdlite")
"""What ``load_detector`` knows."""
DEFAULT_DETECTOR = "union"

UNION_THRESHOLD = 0.5
OPENIMAGES_THRESHOLD = 0.3
SSDLITE_THRESHOLD = 0.3
OPENIMAGES_FACTOR = 1.5
"""What brings the low scores of the Open Images detector (people get 0.3 to 0.6) to SSDLite's scale."""


def load_detector(
    name: str = DEFAULT_DETECTOR, *, threshold: float | None = None, provider: str = "auto", threads: int | None = None
) -> Detector:
    """Open a detector by name.

    Args:
        name: One of ``DETECTOR_NAMES``.
        threshold: Drop people below this score, 0..1; the detector's usual one where None.
        provider: An ONNX Runtime execution provider, or "auto".
        threads: Threads a detection may use; all cores where None.

    Returns:
        The detector.

    Raises:
        ConfigError: No such detector, or a threshold outside 0..1.
        ProviderError: The provider is not there.
    """
    # The classes open sessions, which import ONNX Runtime; the names and the threshold check need none of it.
    from onlooker.footage.openimages import OpenImagesDetector
    from onlooker.footage.ssdlite import SSDLiteDetector

    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"a detector's threshold is between 0 and 1, got {threshold}")
    options = {"provider": provider, "threads": threads}
    if name == "openimages":
        return OpenImagesDetector(threshold=OPENIMAGES_THRESHOLD if threshold is None else threshold, **options)
    if name == "ssdlite":
        return SSDLiteDetector(threshold=SSDLITE_THRESHOLD if threshold is None else threshold, **options)
    if name == "union":
        least = UNION_THRESHOLD if threshold is None else threshold
        return UnionDetector(
            [
                (SSDLiteDetector(threshold=least, **options), 1.0),
                (OpenImagesDetector(threshold=least / OPENIMAGES_FACTOR, **options), OPENIMAGES_FACTOR),
            ],
            threshold=least,
        )
    raise ConfigError(f"there is no detector {name!r}; choose {', '.join(DETECTOR_NAMES)}")
