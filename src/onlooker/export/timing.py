"""How long a bundle takes for one picture: resizing, normalising and the image tower, as a camera's crop goes through.

Times of different moments on a machine that others use too cannot be compared. Two things help. With one thread, what
is measured is processor time, which leaves out the waiting: beside two trainings on two cores one tower took 7.2 ms of
it and 14.9 on the clock, and in runs that nothing interrupted the two agreed within 1 %. And ``time_images`` measures
several bundles side by side: in each round every one of them has its turn, in an order drawn anew.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onlooker.runtime.preprocessing import preprocess
from onlooker.runtime.providers import Choice
from onlooker.runtime.sessions import Tower

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlooker.runtime.encoder import EncoderLike
    from onlooker.runtime.preprocessing import ImageSpec

WARM_UP = 10
"""Runs before the first that counts: ONNX Runtime plans its memory in the first ones."""
BURST = 5
"""Runs of one bundle in a round: as in use, its weights are then in the cache; a run before them is not counted."""


@dataclass(frozen=True)
class EncodeTime:
    """Milliseconds of one picture at a time: processor time with one thread, else the time on the clock.

    Attributes:
        median_ms: Half of the runs were faster.
        q1_ms: A quarter of the runs were faster.
        q3_ms: Three quarters of the runs were faster.
        runs: How many were measured.
        clock_ms: Median of the time on the clock, waiting for a processor included.
    """

    median_ms: float
    q1_ms: float
    q3_ms: float
    runs: int
    clock_ms: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return asdict(self)


def summary(times_ms: Sequence[float], clock_ms: Sequence[float]) -> EncodeTime:
    """Return median and quartiles of measured times, and the median on the clock; at least one of each."""
    q1, median, q3 = np.percentile(times_ms, [25, 50, 75])
    return EncodeTime(float(median), float(q1), float(q3), len(times_ms), float(np.median(clock_ms)))


class ImageHalf:
    """The image half of a bundle, for which no text tower need be kept on disk or in memory.

    Args:
        file: Its ONNX file.
        spec: Its preprocessing.
        dimension: Length of its vectors.
        threads: Threads of one run, at least 1.

    Raises:
        BundleError: The file is missing or damaged.
    """

    def __init__(self, file: Path, spec: ImageSpec, dimension: int, threads: int) -> None:
        self._spec = spec
        self._tower = Tower(file, ("pixels",), dimension, Choice("CPUExecutionProvider"), threads)

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode one crop, uint8 (h, w, 3), to float32 (1, dimension)."""
        return self._tower.run({"pixels": preprocess([crop], self._spec)})


def time_images(
    halves: Sequence[ImageHalf],
    crops: Sequence[NDArray[np.uint8]],
    *,
    threads: int,
    runs: int = 100,
    seed: int = 0,
    stop_asked: Callable[[], bool] = lambda: False,
) -> list[EncodeTime]:
    """Measure what image halves take for one crop, side by side.

    Args:
        halves: What is compared.
        crops: uint8 (h, w, 3) each, of the sizes that are met in use; at least one, taken in turn by each.
        threads: Threads of the halves.
        runs: At least so many measured runs of each.
        seed: Of the order within the rounds.
        stop_asked: Looked at before each round.

    Returns:
        The times, in the order of ``halves``.

    Raises:
        KeyboardInterrupt: ``stop_asked`` said yes.
    """
    return _side_by_side(halves, crops, threads, runs, seed, stop_asked)


def time_texts(encoder: EncoderLike, texts: Sequence[str], *, threads: int, runs: int = 50) -> EncodeTime:
    """Measure what an encoder of so many threads takes for one text, tokenising included, ``texts`` in turn."""
    (found,) = _side_by_side([lambda text: encoder.encode_texts([text], 1)], texts, threads, runs, 0, lambda: False)
    return found


def _side_by_side(
    tasks: Sequence[Callable[[Any], Any]],
    inputs: Sequence[Any],
    threads: int,
    runs: int,
    seed: int,
    stop_asked: Callable[[], bool],
) -> list[EncodeTime]:
    for task in tasks:
        for number in range(WARM_UP):
            task(inputs[number % len(inputs)])
    # Of the process, not of the thread: a tokenizer may hand its work to a thread of its own. Of several threads the
    # processor times add up, and the clock alone says how long an answer takes.
    measure = time.process_time if threads == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in tasks]
    clocks: list[list[float]] = [[] for _ in tasks]
    rng = np.random.default_rng(seed)
    for round_ in range(-(-runs // BURST)):
        if stop_asked():
            raise KeyboardInterrupt
        for place in rng.permutation(len(tasks)):
            task = tasks[place]
            task(inputs[round_ % len(inputs)])
            for number in range(BURST):
                # The same crops for all: resizing takes as long as the crop is large.
                given = inputs[(round_ * BURST + number) % len(inputs)]
                start, clock = measure(), time.perf_counter()
                task(given)
                times[place].append(1000 * (measure() - start))
                clocks[place].append(1000 * (time.perf_counter() - clock))
    return [summary(of_one, clock) for of_one, clock in zip(times, clocks, strict=True)]


def machine(threads: int) -> dict[str, Any]:
    """Return what a time depends on: processor, cores, threads, versions, and how busy the machine is just now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "onnxruntime": version("onnxruntime"),
        "load_average_1m": None if load is None else round(load, 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
