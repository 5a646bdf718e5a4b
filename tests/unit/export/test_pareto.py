"""The front: what it keeps, checked against the definition, and which points are chosen from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the training extra")

from onlooker.export.pareto import Point, choose, near_front, undominated
from onlooker.export.timing import EncodeTime
from onlooker.export.tuning import TrialRecord
from tests.unit.export.tuned import measured

pytestmark = pytest.mark.train

values = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), min_size=1, max_size=14)


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] >= other[0] and one[1] <= other[1] and one != other


@given(values)
def test_the_front_is_what_nothing_dominates(found: list[tuple[float, float]]) -> None:
    kept = undominated(found)
    assert {found[place] for place in kept} == {
        value for value in found if not any(dominates(other, value) for other in found)
    }
    assert len({found[place] for place in kept}) == len(kept)
    assert [found[place][1] for place in kept] == sorted(found[place][1] for place in kept)


@given(values, st.sampled_from([0.0, 0.25, 0.5]))
def test_near_the_front_is_the_front_and_what_a_better_time_would_put_there(
    found: list[tuple[float, float]], slack: float
) -> None:
    near = set(near_front(found, slack))
    assert set(undominated(found)) <= near
    for place, (quality, ms) in enumerate(found):
        others = [other for number, other in enumerate(found) if number != place]
        moved = (quality, ms * (1 - slack))
        assert (place in near) == (not any(dominates(other, moved) for other in others))


def point(number: int, quality: float, ms: float, spread: float = 0.0) -> Point:
    record = TrialRecord(number, "complete", {}, measured(quality, ms), "", None, False)
    return Point(record, measured(quality, ms), EncodeTime(ms, ms - spread, ms + spread, 9, ms))


def test_best_and_fastest_within() -> None:
    timed = [point(3, 150, 9), point(1, 147, 6), point(0, 146.9, 4), point(2, 140, 10)]
    front = choose(timed, 3)
    assert [each.record.number for each in front.points] == [0, 1, 3]
    assert [each.record.number for each in front.timed] == [0, 1, 2, 3]
    assert (front.best.record.number, front.fastest.record.number) == (3, 1)
    assert choose(timed, 3.1).fastest.record.number == 0
    assert choose(timed, 0).fastest.record.number == 3


def test_times_that_differ_by_less_than_their_spread_are_one_time() -> None:
    timed = [point(0, 149, 5.0, 0.2), point(1, 149.5, 5.1, 0.2), point(2, 150, 7.0, 0.2)]
    assert choose(timed, 3).fastest.record.number == 1


def test_one_point_is_both() -> None:
    front = choose([point(4, 10, 2)], 3)
    assert front.best is front.fastest is front.points[0]
