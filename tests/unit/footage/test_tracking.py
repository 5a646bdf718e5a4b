from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.footage.detections import Detections
from onlooker.footage.tracking import ByteTracker, TrackerOptions, smoothed

Box = tuple[float, float, float, float]


def found(*boxes: Box, scores: Sequence[float] | None = None) -> Detections:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.array(scores if scores is not None else [0.9] * len(boxes), np.float32))


def walker(x: float, y: float = 50.0) -> Box:
    return (x, y, x + 40, y + 120)


def test_somebody_who_walks_is_one_track() -> None:
    tracker = ByteTracker()
    numbers = [tracker.update(step * 0.2, found(walker(10 + 30 * step)))[0] for step in range(20)]
    assert set(numbers) == {1}


def test_two_who_cross_keep_their_numbers_in_the_order_of_the_boxes() -> None:
    tracker = ByteTracker()
    first = tracker.update(0.0, found(walker(0), walker(400, 200)))
    assert first == [1, 2]
    for step in range(1, 21):
        boxes = walker(20 * step), walker(400 - 20 * step, 200)
        # The detector may give them in any order.
        numbers = tracker.update(step * 0.1, found(*(boxes if step % 2 else boxes[::-1])))
        assert numbers == ([1, 2] if step % 2 else [2, 1])


def test_weak_detections_continue_a_track_but_begin_none() -> None:
    tracker = ByteTracker()
    assert tracker.update(0.0, found(walker(10), scores=[0.5])) == [None]
    assert tracker.alive(0.0) == set()
    assert tracker.update(0.2, found(walker(10), scores=[0.7])) == [1]
    assert tracker.update(0.4, found(walker(12), scores=[0.5])) == [1]


def test_a_track_outlives_a_short_gap_and_no_long_one() -> None:
    tracker = ByteTracker(TrackerOptions(patience_s=1.0))
    assert tracker.update(0.0, found(walker(10))) == [1]
    assert tracker.update(0.2, found(walker(10))) == [1]
    for step in range(2, 6):
        assert tracker.update(step * 0.2, found()) == []
        assert tracker.alive(step * 0.2) == {1}
    assert tracker.update(1.2, found(walker(10))) == [1]
    for step in range(7, 14):
        tracker.update(step * 0.2, found())
    assert tracker.alive(2.6) == set()
    assert tracker.update(2.8, found(walker(10))) == [2]


@pytest.mark.parametrize("every_s", [0.04, 0.1, 0.2, 0.4])
def test_a_brisk_walk_is_followed_at_any_usual_rate(every_s: float) -> None:
    # 1.5 m/s past a camera that sees somebody of 1.7 m as 120 px tall.
    speed = 1.5 / 1.7 * 120
    tracker = ByteTracker(step_s=every_s)
    numbers = {tracker.update(step * every_s, found(walker(speed * step * every_s)))[0] for step in range(30)}
    assert numbers == {1}


def test_two_runs_do_the_same() -> None:
    random = np.random.default_rng(5)
    frames = [random.uniform(0, 300, (random.integers(0, 8), 2)) for _ in range(60)]
    runs = []
    for _ in range(2):
        tracker = ByteTracker()
        runs.append(
            [tracker.update(0.1 * n, found(*(walker(x, y) for x, y in places))) for n, places in enumerate(frames)]
        )
    assert runs[0] == runs[1]


@given(
    st.lists(st.floats(0.05, 1.0), min_size=1, max_size=30), st.floats(-80, 80), st.floats(-40, 40), st.floats(5, 200)
)
def test_smoothing_leaves_an_even_walk_as_it_is(steps: list[float], along: float, down: float, size: float) -> None:
    times = np.cumsum(steps)
    corner = np.stack([200 + along * times, 200 + down * times], axis=1)
    path = np.concatenate([times[:, None], corner, corner + size], axis=1)
    np.testing.assert_allclose(smoothed(path), path, atol=1e-6)


def test_smoothing_evens_out_a_box_that_jumps() -> None:
    path = np.array([(0.2 * step, 10 * step, 50, 10 * step + 40, 170) for step in range(9)], np.float64)
    noisy = path.copy()
    noisy[4, 3] += 60
    moved = np.abs(smoothed(noisy) - path)[:, 1:]
    assert moved[4].max() < 15
    assert noisy[4, 3] == path[4, 3] + 60, "what it was given is left alone"
    assert smoothed(path[:1]).tolist() == path[:1].tolist()
    assert smoothed(np.zeros((0, 5))).shape == (0, 5)
