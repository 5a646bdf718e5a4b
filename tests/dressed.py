"""People with garment masks, painted for tests of twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import PALETTE
from onlooker.runtime.pictures import encode_jpeg


def dressed_people(folder: Path) -> Manifest:
    """Three people in a coat and pants of plain colours, with garment masks."""
    scipy_io = pytest.importorskip("scipy.io", reason="needs the training extra")
    records = []
    for number, (coat, pants) in enumerate((("red", "yellow"), ("blue", "white"), ("green", "black"))):
        rgb = np.full((96, 48, 3), 150, np.uint8)
        mask = np.zeros((96, 48), np.uint8)
        for rows, label, colour in ((slice(0, 48), "coat", coat), (slice(48, 96), "pants", pants)):
            rgb[rows], mask[rows] = PALETTE[colour], LABELS.index(label)
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(rgb, 95))
        scipy_io.savemat(folder / f"{number}.mat", {"groundtruth": mask})
        records.append(
            Record(
                id=str(number),
                file=f"{number}.jpg",
                mask=f"{number}.mat",
                captions=[f"{coat} shirt, {pants} jeans"],
                garments={"coat": [coat], "pants": [pants]},
                split="val",
            )
        )
    return Manifest("dressed", folder, "free", records)
