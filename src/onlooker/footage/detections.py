"""What a detector is, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
            raise ValueError(f"boxes (n, 4) and scores (n,) are wanted, got {self.boxes.shape} and {self.scores.shape}")

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
