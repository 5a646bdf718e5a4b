from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.datasets.manifest import Record
from onlooker.datasets.samples import Sample, cut, fit_mask, grow, sample_of, shrink


def a_sample() -> Sample:
    rows, columns = np.mgrid[0:40, 0:20]
    rgb = np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)
    return Sample(rgb, (5, 10, 8, 20), ("a",), mask=rows.astype(np.uint8))


def test_cutting_moves_box_and_mask_along() -> None:
    part = cut(a_sample(), (4, 8, 12, 24))
    assert part.rgb.shape == (24, 12, 3)
    assert tuple(part.rgb[0, 0]) == (8, 4, 0)
    assert part.box == (1, 2, 8, 20)
    assert part.mask is not None
    assert part.mask[0, 0] == 8
    assert part.texts == ("a",)


@given(*(st.floats(-100, 100, allow_nan=False) for _ in range(2)), *(st.floats(0.01, 200) for _ in range(2)))
def test_a_cut_is_never_empty_nor_outside(x: float, y: float, w: float, h: float) -> None:
    part = cut(a_sample(), (x, y, w, h))
    height, width = part.rgb.shape[:2]
    assert 1 <= height <= 40
    assert 1 <= width <= 20
    assert part.mask is not None
    assert part.mask.shape == (height, width)


def test_whole_number_boxes_are_cut_exactly() -> None:
    assert cut(a_sample(), (5, 10, 8, 20)).rgb.shape == (20, 8, 3)


def test_growing() -> None:
    assert grow((10, 20, 10, 20), 0.1) == (9, 18, 12, 24)


def test_shrinking_keeps_labels_and_proportions() -> None:
    sample = a_sample()
    half = shrink(sample, 0.5)
    assert half.rgb.shape == (20, 10, 3)
    assert half.box == (2.5, 5, 4, 10)
    assert half.mask is not None
    assert set(half.mask.ravel()) <= set(range(40))
    assert shrink(sample, 1.5) is sample


def test_masks_are_fitted_by_nearest_neighbour() -> None:
    mask = np.array([[0, 40], [7, 40]], dtype=np.uint8)
    fitted = fit_mask(mask, (6, 8))
    assert fitted is not None
    assert fitted.shape == (6, 8)
    assert set(fitted.ravel()) == {0, 7, 40}
    assert fit_mask(None, (2, 2)) is None


@pytest.mark.parametrize(("box", "expected"), [(None, (0, 0, 20, 40)), ((1, 2, 3, 4), (1, 2, 3, 4))])
def test_a_record_without_a_box_is_its_whole_picture(
    box: tuple[float, float, float, float] | None, expected: tuple[float, float, float, float]
) -> None:
    record = Record(id="a", file="a.jpg", box=box, garments={"coat": ["red"]})
    sample = sample_of(record, a_sample().rgb, np.zeros((80, 40), np.uint8))
    assert sample.box == expected
    assert sample.garments == {"coat": ["red"]}
    assert sample.mask is not None
    assert sample.mask.shape == (40, 20)
