from __future__ import annotations

import numpy as np

from onlooker.footage.areas import Masks, standing_in


def test_masks_cover_what_they_name_in_every_size_and_leave_the_rest() -> None:
    masks = Masks([[(0.5, 0), (1, 0), (1, 1), (0.5, 1)], [(0.4, 0), (0.8, 0), (0.8, 0.5), (0.4, 0.5)]])
    for height, width in ((480, 640), (48, 64), (1, 2)):
        rgb = np.full((height, width, 3), 200, np.uint8)
        painted = masks.paint(rgb)
        assert painted[:, width // 2 + (width > 2) :].max(initial=0) == 0
        assert rgb.min() == 200
        if width > 2:
            assert painted[height * 3 // 5 :, : width // 2 - 2].min() == 200
            # Where two overlap it stays painted.
            assert painted[: height // 2 - 1, width * 6 // 10].max() == 0


def test_without_masks_the_picture_is_passed_on() -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    assert Masks(()).paint(rgb) is rgb


def test_people_count_by_their_feet() -> None:
    boxes = np.array([[10, 0, 20, 40], [10, 0, 20, 90], [0, 60, 4, 100], [90, 0, 100, 100]], np.float32)
    region = [(0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0)]
    assert standing_in(region, boxes, 100, 100).tolist() == [False, True, True, False]
    assert standing_in(None, boxes, 100, 100).all()
    assert standing_in(region, boxes[:0], 100, 100).shape == (0,)
