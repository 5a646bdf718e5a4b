from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.footage.boxes import area, clip, covered, iou, nms


def boxes_of(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


coordinate = st.integers(-50, 150)
some_boxes = st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=12).map(
    lambda rows: boxes_of(*rows)
)


def slow_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - wide * high
    return wide * high / union if union > 0 else 0.0


@given(some_boxes, some_boxes)
def test_iou_equals_the_slow_way(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> None:
    found = iou(boxes, others)
    assert found.shape == (len(boxes), len(others))
    expected = [[slow_iou(box, other) for other in others] for box in boxes]
    np.testing.assert_allclose(found, np.array(expected).reshape(found.shape), atol=1e-6)


@given(some_boxes, st.floats(0, 1))
def test_nms_keeps_the_best_and_no_two_that_overlap(boxes: NDArray[np.float32], limit: float) -> None:
    scores = np.linspace(0.1, 0.9, len(boxes), dtype=np.float32)
    kept = nms(boxes, scores, limit)
    overlap = iou(boxes[kept], boxes[kept])
    np.fill_diagonal(overlap, 0)
    assert not (overlap > limit).any()
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    if len(boxes):
        assert kept[0] == len(boxes) - 1


def test_nms_prefers_the_earlier_of_equal_scores() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 10))
    assert list(nms(boxes, np.array([0.5, 0.5], np.float32), 0.5)) == [0]


def test_a_torso_goes_with_its_person_but_somebody_far_away_stays() -> None:
    person, torso, far = (0, 0, 100, 300), (10, 20, 90, 140), (40, 40, 55, 90)
    boxes = boxes_of(person, torso, far)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert list(nms(boxes, scores, 0.5)) == [0, 1, 2]
    assert list(nms(boxes, scores, 0.5, within=0.85, least_ratio=0.3)) == [0, 2]


def test_covered_is_the_part_within_another_box() -> None:
    boxes = boxes_of((0, 0, 10, 10), (5, 0, 15, 10), (50, 50, 60, 60))
    assert covered(boxes) == pytest.approx([0.5, 0.5, 0.0])
    assert covered(boxes_of()).shape == (0,)
    assert covered(boxes[:1]) == pytest.approx([0.0])


def test_boxes_are_cut_at_the_edges_of_the_picture() -> None:
    assert clip(boxes_of((-5, -6, 200, 90)), 100, 80).tolist() == [[0, 0, 100, 80]]
    assert area(boxes_of((10, 10, 5, 20))).tolist() == [0]
