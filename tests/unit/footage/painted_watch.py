"""``onlooker`` as a program of its own, with a detector for painted people (or a ball) in place of the real ones.

    python -m tests.unit.footage.painted_watch watch --config onlooker.toml --bundle fake

Everything but the detector is what users run. ``SLOW_S`` in the environment makes each detection take so long.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
from numpy.typing import NDArray

import onlooker.footage.detection
from onlooker.cli import main
from onlooker.footage.detections import Detections
from tests.unit.footage.painted import BlockDetector


class BallDetector:
    """Finds the white ball of GStreamer's test picture, 40 px across, and takes it for somebody a little taller."""

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        bright = rgb.min(axis=2) > 128
        columns, rows = np.flatnonzero(bright.any(axis=0)), np.flatnonzero(bright.any(axis=1))
        if len(columns) < 10 or len(rows) < 10:
            return Detections.nothing()
        middle = (columns[0] + columns[-1] + 1) / 2
        box = (middle - 20, rows[0] - 10, middle + 20, rows[-1] + 11)
        return Detections(np.array([box], np.float32), np.array([0.9], np.float32))


class SlowDetector:
    def __init__(self, detector: BlockDetector | BallDetector, slow_s: float) -> None:
        self._detector, self._slow_s = detector, slow_s

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        time.sleep(self._slow_s)
        return self._detector.detect(rgb)


def load_detector(name: str, **_: object) -> SlowDetector:
    detector = BallDetector() if name == "ssdlite" else BlockDetector()
    return SlowDetector(detector, float(os.environ.get("SLOW_S", "0")))


if __name__ == "__main__":
    onlooker.footage.detection.load_detector = load_detector
    sys.exit(main(sys.argv[1:]))
