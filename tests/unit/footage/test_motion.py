"""The gate before the detector: it saves work on an empty scene and loses nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.footage.detection import load_detector
from onlooker.footage.motion import MotionGate, MotionOptions
from onlooker.footage.video import Video
from onlooker.samples import CLIP, PEOPLE

STEP_S = 0.2
RGB = NDArray[np.uint8]
Light = Callable[[float], float]


def steady(time_s: float) -> float:
    return 1.0


def scene(
    seconds: float,
    *,
    hw: tuple[int, int] = (240, 426),
    tall: int = 80,
    from_s: float = 1e9,
    speed: float = 60.0,
    contrast: float = 40.0,
    noise: float = 2.0,
    light: Light = steady,
) -> Iterator[tuple[float, RGB, bool]]:
    """Give time, frame and whether somebody is in it: a rectangle walks from the left from ``from_s`` on."""
    rng = np.random.default_rng(3)
    height, width = hw
    ground = np.linspace(70, 170, width)[None] + 20 * np.sin(np.arange(height) / 17)[:, None]
    # One noise picture, shifted, stands for many: drawing a new one for each frame takes most of the time.
    grain = rng.normal(0, noise, (height, width)).astype(np.float32)
    ground = ground.astype(np.float32)
    for number in range(round(seconds / STEP_S)):
        time_s = number * STEP_S
        picture = ground.copy()
        left = round((time_s - from_s) * speed) - tall // 3
        there = time_s >= from_s and left < width
        if there:
            picture[height // 2 : height // 2 + tall, max(left, 0) : max(left + tall // 3, 0)] += contrast
        shifted = np.roll(grain, tuple(rng.integers(0, 300, 2)), axis=(0, 1))
        grey = np.clip(picture * np.float32(light(time_s)) + shifted, 0, 255).astype(np.uint8)
        yield time_s, np.repeat(grey[..., None], 3, axis=2), there


def looks_at(frames: Iterator[tuple[float, RGB, bool]]) -> list[tuple[float, bool, bool]]:
    """Return time, whether it was looked at and whether somebody is there, for each frame."""
    gate = MotionGate()
    return [(time_s, gate.moved(rgb, time_s), there) for time_s, rgb, there in frames]


def test_an_empty_scene_is_seldom_looked_at() -> None:
    looks = looks_at(scene(28, light=lambda time_s: 1 + 0.2 * np.sin(time_s / 6)))
    later = [looked for time_s, looked, _ in looks if time_s > 3]
    assert 0.05 < np.mean(later) < 0.12


@pytest.mark.parametrize(
    "walker",
    [
        {},
        {"speed": 8.0, "tall": 60},
        {"contrast": 8.0},
        {"contrast": -8.0, "noise": 4.0, "tall": 110},
        {"hw": (1080, 1920), "tall": 40, "contrast": 25.0, "speed": 25.0},
    ],
    ids=["usual", "slow", "low contrast", "noise", "far and small"],
)
def test_nobody_who_walks_is_lost(walker: dict[str, float]) -> None:
    looks = looks_at(scene(9, from_s=4.0, **walker))  # type: ignore[arg-type]
    closed = [looked for time_s, looked, _ in looks if 2 < time_s < 4]
    assert np.mean(closed) < 0.25
    assert next(time_s for time_s, looked, there in looks if there and looked) < 5.5
    after = [looked for time_s, looked, there in looks if there and time_s > 5.5]
    assert len(after) > 15
    assert np.mean(after) > 0.98


@pytest.mark.parametrize("now", [0.4, 1.6])
def test_light_switched_off_or_on_does_not_blind_it(now: float) -> None:
    def light(time_s: float) -> float:
        return now if time_s >= 10 else 1.0

    looks = looks_at(scene(24, light=light, from_s=19.0, contrast=25.0))
    assert looks[50][1]
    quiet = [looked for time_s, looked, _ in looks if 13 < time_s < 19]
    assert np.mean(quiet) < 0.2
    walking = [looked for time_s, looked, there in looks if there and time_s > 20]
    assert np.mean(walking) > 0.98


def test_a_camera_that_is_turned_is_looked_at_and_then_settles() -> None:
    gate = MotionGate()
    frames = [rgb for _, rgb, _ in scene(20)]
    frames = frames[:50] + [255 - rgb for rgb in frames[50:]]
    looks = [gate.moved(rgb, number * STEP_S) for number, rgb in enumerate(frames)]
    assert looks[50]
    assert np.mean(looks[65:]) < 0.15


def test_who_stands_still_is_looked_at_for_as_long_as_seen() -> None:
    gate = MotionGate()
    rgb = np.full((90, 160, 3), 80, np.uint8)
    for number in range(100):
        time_s = number * STEP_S
        assert gate.moved(rgb, time_s)
        gate.seen(time_s)
    assert not all(gate.moved(rgb, 20 + number * STEP_S) for number in range(20))


def test_another_size_or_a_clock_put_back_begin_anew() -> None:
    gate = MotionGate()
    rgb = np.full((90, 160, 3), 80, np.uint8)
    closed = [gate.moved(rgb, number * STEP_S) for number in range(10)]
    assert not closed[-1]
    assert gate.moved(rgb[:80], 2.0)
    assert [gate.moved(rgb[:80], 2.0 + number * STEP_S) for number in range(1, 10)][-1] is False
    assert gate.moved(rgb[:80], 0.0)


@given(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=60), st.floats(0.5, 5.0))
def test_no_gap_is_longer_than_it_may_be(steps: list[float], longest_s: float) -> None:
    gate = MotionGate(MotionOptions(longest_s=longest_s))
    rgb = np.full((9, 16, 3), 80, np.uint8)
    time_s = last_s = 0.0
    for step in steps:
        before_s, time_s = time_s, time_s + step
        if gate.moved(rgb, time_s):
            last_s = time_s
        else:
            assert time_s - last_s < longest_s
        assert time_s > before_s


@pytest.mark.slow
def test_everybody_whom_the_detector_finds_in_the_clip_is_found_behind_the_gate() -> None:
    # The gate alone, without its patience after a movement and without hearing of people.
    gates = MotionGate(), MotionGate(MotionOptions(hold_s=0, longest_s=60))
    detector = load_detector("openimages", threads=1, provider="cpu")
    people = json.loads(PEOPLE.read_text())["people"]
    without = [0] * len(people)
    behind = [[0] * len(people) for _ in gates]
    for frame in Video(CLIP).frames(0.8):
        looks = [gate.moved(frame.rgb, frame.time_s) for gate in gates]
        for number, person in enumerate(people):
            if person["seconds"][0] <= frame.time_s <= person["seconds"][1] and len(detector.detect(frame.rgb)):
                without[number] += 1
                for row, looked in zip(behind, looks, strict=True):
                    row[number] += looked
    assert min(without) >= 5
    assert behind == [without, without]
