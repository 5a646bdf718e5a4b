from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.footage.live import PresentationClock, SeenClock, Slots

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class Clocks:
    """A wall clock that somebody sets, and a monotonic one that nobody can."""

    def __init__(self) -> None:
        self.passed_s, self.set_by_s = 0.0, 0.0

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.passed_s + self.set_by_s)

    def monotonic(self) -> float:
        return 500.0 + self.passed_s


def test_seen_follows_the_wall_clock_where_nothing_jumps() -> None:
    clocks = Clocks()
    seen = SeenClock(clocks.wall, clocks.monotonic)
    clocks.passed_s = 60
    assert seen.now() == NOON + timedelta(seconds=60)
    assert seen.departs_s() == 0


def test_a_clock_set_forward_is_followed_at_once() -> None:
    clocks = Clocks()
    seen = SeenClock(clocks.wall, clocks.monotonic)
    clocks.passed_s, clocks.set_by_s = 10, 3600
    assert seen.departs_s() == 3600
    assert seen.now() == NOON + timedelta(seconds=3610)
    assert seen.departs_s() == 0


def test_a_clock_set_back_waits_for_the_next_start() -> None:
    clocks = Clocks()
    seen = SeenClock(clocks.wall, clocks.monotonic)
    clocks.passed_s, clocks.set_by_s = 10, -3600
    assert seen.now() == NOON + timedelta(seconds=10)
    assert seen.departs_s() == -3600
    seen.restart()
    assert seen.now() == NOON + timedelta(seconds=10 - 3600)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(-1e5, 1e5)), max_size=30))
def test_seen_never_goes_back_whatever_the_wall_clock_does(steps: list[tuple[float, float]]) -> None:
    clocks = Clocks()
    seen = SeenClock(clocks.wall, clocks.monotonic)
    times = [seen.now()]
    for passed_s, set_by_s in steps:
        clocks.passed_s += passed_s
        clocks.set_by_s = set_by_s
        times.append(seen.now())
    assert all(a <= b for a, b in itertools.pairwise(times))


def test_presentation_times_are_exact_after_a_week() -> None:
    clock, number = PresentationClock(), 7 * 86400 * 30
    step = Fraction(1001, 30000)
    clock.seconds(Fraction(5), 0.0)
    # Frames in between change nothing: differences are those of the timestamps, not sums.
    assert clock.seconds(Fraction(5) + step, float(step)) == float(step)
    for part in range(1, 1001):
        time = step * (number * part // 1000)
        assert clock.seconds(Fraction(5) + time, float(time)) == float(time)
    assert clock.jumps == 0


@pytest.mark.parametrize("jump", [-1, -3600, 6, 3600])
def test_a_camera_that_sets_its_clock_goes_on_from_the_last_time(jump: int) -> None:
    clock = PresentationClock()
    for number in range(10):
        clock.seconds(Fraction(number, 10), number / 10)
    assert clock.seconds(Fraction(10, 10) + jump, 1.0) == pytest.approx(1.0)
    assert clock.seconds(Fraction(11, 10) + jump, 1.1) == pytest.approx(1.1)
    assert clock.jumps == 1


def test_a_pause_of_this_machine_is_lateness_and_no_jump() -> None:
    clock = PresentationClock()
    for number in range(20):
        clock.seconds(Fraction(number, 10), number / 10)
    # Ten seconds asleep; then what has piled up comes all at once.
    times = [clock.seconds(Fraction(number, 10), 12.0 + number / 1000) for number in range(20, 140)]
    assert times == [number / 10 for number in range(20, 140)]
    assert clock.jumps == 0
    assert clock.lag_s < 0.2


def test_lag_is_measured_against_the_best_seen_and_forgives_a_slow_quartz() -> None:
    clock = PresentationClock()
    for second in range(0, 86_400, 60):
        # 100 ppm slow: 8.6 s a day.
        clock.seconds(Fraction(second), second * 1.0001)
    assert clock.lag_s < 0.1
    assert clock.lag_of(Fraction(86_340), 86_340 * 1.0001 + 2) == pytest.approx(2, abs=0.1)


def test_frames_without_timestamps_are_timed_here() -> None:
    clock = PresentationClock()
    assert [clock.seconds(None, at_s) for at_s in (100.0, 100.5, 102.0)] == [0.0, 0.5, 2.0]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.one_of(st.none(), st.fractions(-100, 100)), st.floats(0, 10)), max_size=30))
def test_presentation_never_goes_back(steps: list[tuple[Fraction | None, float]]) -> None:
    clock, at_s, times = PresentationClock(), 0.0, [0.0]
    for timestamp, passed_s in steps:
        at_s += passed_s
        times.append(clock.seconds(timestamp, at_s))
    assert all(a <= b for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 7])
def test_of_each_slot_the_first_frame_is_wanted(fps: Fraction | int) -> None:
    slots = Slots(5)
    wanted = [float(number / Fraction(fps)) for number in range(200) if slots.wants(float(number / Fraction(fps)))]
    assert len({int(time * 5 + 1e-6) for time in wanted}) == len(wanted)
    assert all(b - a < 0.2 + float(1 / Fraction(fps)) + 1e-6 for a, b in itertools.pairwise(wanted))


def test_without_a_rate_all_are_wanted() -> None:
    assert all(Slots(None).wants(time_s) for time_s in (0, 0, 0.1))
