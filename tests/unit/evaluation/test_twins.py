from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import PALETTE
from onlooker.errors import DataError
from onlooker.evaluation.twins import measure_twins
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.pictures import encode_jpeg


class Bag(FakeEncoder):
    """Sees which colours there are, but not where."""

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        both = [np.concatenate([picture, picture[::-1]], axis=0) for picture in pictures]
        return super().encode_images(both, batch_size)


@pytest.fixture
def people(tmp_path: Path) -> Manifest:
    scipy_io = pytest.importorskip("scipy.io", reason="needs the training extra")
    records = []
    for number, (coat, pants) in enumerate((("red", "yellow"), ("blue", "white"), ("green", "black"))):
        rgb = np.full((96, 48, 3), 150, np.uint8)
        mask = np.zeros((96, 48), np.uint8)
        for rows, label, colour in ((slice(0, 48), "coat", coat), (slice(48, 96), "pants", pants)):
            rgb[rows], mask[rows] = PALETTE[colour], LABELS.index(label)
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(rgb, 95))
        scipy_io.savemat(tmp_path / f"{number}.mat", {"groundtruth": mask})
        records.append(
            Record(
                id=str(number),
                file=f"{number}.jpg",
                mask=f"{number}.mat",
                captions=[f"{coat} shirt, {pants} jeans"],
                garments={"coat": [coat], "pants": [pants]},
            )
        )
    return Manifest("dressed", tmp_path, "free", records)


def test_the_same_seed_gives_the_same_test_and_figures_fit_together(people: Manifest) -> None:
    steps: list[float] = []
    one = measure_twins(FakeEncoder(), people, seed=3, advance=steps.append)
    assert one == measure_twins(FakeEncoder(), people, seed=3)
    assert one.pairs == len(steps) == 3
    assert 0 <= one.low <= one.text_to_image <= one.high <= 1
    assert one.to_dict()["pairs"] == 3


def test_who_sees_no_places_cannot_tell_twins_apart(people: Manifest) -> None:
    assert measure_twins(Bag(), people, seed=3).text_to_image <= 0.5


def test_nobody_to_make_twins_of(tmp_path: Path) -> None:
    bare = Manifest("bare", tmp_path, "free", [Record(id="0", file="0.jpg", captions=["a coat"])])
    with pytest.raises(DataError, match="nobody to make twins of"):
        measure_twins(FakeEncoder(), bare)
