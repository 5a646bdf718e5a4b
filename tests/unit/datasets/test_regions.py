from __future__ import annotations

import numpy as np

from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import RECOLOURED
from onlooker.datasets.regions import SEGMENT_OF, SEGMENTS, segment_shares
from onlooker.encoders import config


def test_every_label_that_is_named_is_a_label_and_has_one_segment() -> None:
    named = [label for labels in SEGMENTS.values() for label in labels]
    assert len(named) == len(set(named))
    assert set(named) <= set(LABELS)
    assert set(SEGMENT_OF) == set(named)


def test_the_segmentation_head_has_the_same_segments_in_the_same_order() -> None:
    assert tuple(SEGMENTS) == config.SEGMENTS


def test_every_garment_that_can_be_painted_lies_in_a_region() -> None:
    in_regions = {segment for segments in config.REGION_SEGMENTS.values() for segment in segments}
    assert all(SEGMENT_OF[garment] in in_regions for garment in RECOLOURED)


def test_shares_are_areas() -> None:
    mask = np.zeros((40, 20), np.uint8)
    mask[:20, :10] = LABELS.index("coat")
    mask[30:] = LABELS.index("boots")
    shares = segment_shares(mask, 2, 2)
    names = [*SEGMENTS]
    assert shares.shape == (len(SEGMENTS), 2, 2)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(shares[names.index("upper")], [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(shares[names.index("feet")], [[0, 0], [0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(shares[names.index("background")], [[0, 1], [0.5, 0.5]], atol=1e-6)


def test_a_mask_smaller_than_the_grid_is_spread() -> None:
    shares = segment_shares(np.full((1, 1), LABELS.index("dress"), np.uint8), 3, 2)
    np.testing.assert_allclose(shares[[*SEGMENTS].index("whole")], 1)
