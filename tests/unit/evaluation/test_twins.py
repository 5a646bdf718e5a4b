from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.datasets.manifest import Manifest, Record
from onlooker.errors import DataError
from onlooker.evaluation.twins import measure_twins
from onlooker.runtime.fake import FakeEncoder
from tests.dressed import dressed_people


class Bag(FakeEncoder):
    """Sees which colours there are, but not where."""

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        both = [np.concatenate([picture, picture[::-1]], axis=0) for picture in pictures]
        return super().encode_images(both, batch_size)


@pytest.fixture
def people(tmp_path: Path) -> Manifest:
    return dressed_people(tmp_path)


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
