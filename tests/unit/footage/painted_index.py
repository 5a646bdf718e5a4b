"""Index a painted video as a program of its own, slowly enough to be killed in the middle: VIDEO GALLERY."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.detections import Detections
from onlooker.footage.ingest import Ingest
from onlooker.footage.sources import find_sources
from onlooker.gallery.store import Gallery
from onlooker.runtime.fake import FakeEncoder
from tests.unit.footage.painted import BlockDetector


class SlowDetector(BlockDetector):
    """Takes a while, as real ones do."""

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        time.sleep(0.004)
        return super().detect(rgb)


def main() -> None:
    encoder = FakeEncoder()
    with Gallery.open(sys.argv[2], encoder_id=encoder.bundle_id, dimension=encoder.dimension, create=True) as gallery:
        Ingest(gallery, encoder, SlowDetector()).run(find_sources([Path(sys.argv[1])]))


if __name__ == "__main__":
    main()
