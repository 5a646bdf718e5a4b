"""Times: medians of what was run, the same inputs for all, everybody's turn in each round."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.export.timing import BURST, WARM_UP, ImageHalf, machine, summary, time_images, time_texts
from onlooker.runtime.encoder import Encoder
from onlooker.runtime.fake import FakeEncoder


class Clocked:
    """Stands in for an image half: takes a stated time and remembers its inputs."""

    def __init__(self, ms: float, log: list[Any]) -> None:
        self.ms, self.log = ms, log

    def __call__(self, crop: Any) -> np.ndarray:
        self.log.append((self, crop))
        time.sleep(self.ms / 1000)
        return np.zeros((1, 4), np.float32)


def test_times_are_of_the_runs_and_each_has_its_turn() -> None:
    log: list[Any] = []
    slow, fast = Clocked(3, log), Clocked(0, log)
    found = time_images([slow, fast], [0, 1, 2], threads=2, runs=12)  # type: ignore[list-item, arg-type]
    assert [each.runs for each in found] == [15, 15]
    assert found[0].q1_ms >= 3
    assert found[0].q1_ms <= found[0].median_ms <= found[0].q3_ms
    measured = log[2 * WARM_UP :]
    rounds = [measured[start : start + 2 * (BURST + 1)] for start in range(0, len(measured), 2 * (BURST + 1))]
    assert len(rounds) == 3
    for each in rounds:
        halves = [who for who, _ in each]
        assert {halves[0], halves[-1]} == {slow, fast}
        assert halves[: BURST + 1].count(halves[0]) == BURST + 1
    # All were given the same crops, in the same order.
    assert [crop for who, crop in measured if who is slow] == [crop for who, crop in measured if who is fast]
    assert {crop for _, crop in measured} == {0, 1, 2}


def test_the_order_of_turns_is_drawn_anew() -> None:
    log: list[Any] = []
    halves = [Clocked(0, log) for _ in range(3)]
    time_images(halves, [0], threads=1, runs=100)  # type: ignore[arg-type]
    turns = [halves.index(who) for who, _ in log[3 * WARM_UP :: BURST + 1]]
    assert len({tuple(turns[start : start + 3]) for start in range(0, 60, 3)}) > 2


def test_a_stop_is_heard_between_rounds() -> None:
    answers = iter([False, True])
    log: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        time_images([Clocked(0, log)], [0], threads=1, stop_asked=lambda: next(answers))  # type: ignore[list-item, arg-type]
    assert len(log) == WARM_UP + BURST + 1


def test_summary_is_median_and_quartiles() -> None:
    found = summary([5.0, 1.0, 2.0, 3.0, 4.0], [7.0, 9.0, 8.0, 8.0, 30.0])
    assert found.to_dict() == {"median_ms": 3, "q1_ms": 2, "q3_ms": 4, "runs": 5, "clock_ms": 8}


@pytest.mark.parametrize("threads", [1, 2])
def test_waiting_counts_with_several_threads_alone(threads: int) -> None:
    (found,) = time_images([Clocked(5, [])], [0], threads=threads, runs=10)  # type: ignore[list-item, arg-type]
    assert found.clock_ms >= 5
    # A sleeper takes next to no processor time.
    assert (found.median_ms >= 5) == (threads == 2)


@pytest.mark.train
def test_the_half_of_a_bundle_gives_the_vectors_of_the_whole(tmp_path: Path) -> None:
    from tests.tiny_bundle import write_tiny_bundle

    bundle = write_tiny_bundle(tmp_path / "bundle")
    crop = np.random.default_rng(0).integers(0, 256, (80, 30, 3), dtype=np.uint8)
    half = ImageHalf(bundle.image_path, bundle.spec, bundle.dimension, threads=1)
    np.testing.assert_array_equal(half(crop), Encoder.open(bundle, threads=1).encode_images([crop]))
    (found,) = time_images([half], [crop], threads=1, runs=10)
    assert found.median_ms > 0


def test_texts_are_timed() -> None:
    found = time_texts(FakeEncoder(), ["red shirt", "blue jeans"], threads=1, runs=10)
    assert found.runs == 10
    assert found.median_ms > 0


def test_the_machine_says_what_times_depend_on() -> None:
    found = machine(2)
    assert found["threads"] == 2
    assert found["processor"]
    assert found["cores"] >= 1
