"""Which trials of a study are worth having: none is both better and faster than they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onlooker.errors import DataError
from onlooker.export.timing import EncodeTime, time_images
from onlooker.export.tuning import Study, TrialRecord
from onlooker.export.tuning_trial import Bench, Measured, image_half

SLACK = 0.25
"""Trials that would be on the front were they a quarter faster are measured again with it: their first time may have
been taken at a bad moment."""
MOST_TIMED = 24
"""So many image towers at most are held in memory to be measured side by side."""
FINAL_RUNS = 200
"""Timed runs of each, twice as many as in a trial."""


@dataclass(frozen=True)
class Point:
    """A trial with the time that counts.

    Attributes:
        record: The trial.
        measured: Its figures.
        time: Milliseconds for one crop, measured side by side with the other points.
    """

    record: TrialRecord
    measured: Measured
    time: EncodeTime

    @property
    def quality(self) -> float:
        """Quality in points."""
        return self.measured.quality


@dataclass(frozen=True)
class Front:
    """The outcome of a study.

    Attributes:
        points: On the front, the fastest first.
        timed: All points that were measured side by side, by the number of their trial.
        best: The point of the highest quality.
        fastest: The fastest point whose quality is at most ``within`` below the best.
        within: In points.
    """

    points: list[Point]
    timed: list[Point]
    best: Point
    fastest: Point
    within: float


def undominated(values: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of those values of which no other is better in one objective and as good in the other.

    Args:
        values: Quality (higher is better) and milliseconds (lower is better).

    Returns:
        Places in ``values``, the fastest first; of equal values the first alone.
    """
    order = sorted(range(len(values)), key=lambda place: (values[place][1], -values[place][0], place))
    kept: list[int] = []
    for place in order:
        if not kept or values[place][0] > values[kept[-1]][0]:
            kept.append(place)
    return kept


def near_front(values: Sequence[tuple[float, float]], slack: float = SLACK) -> list[int]:
    """Return the places of values that would be undominated if they alone took that share less time, in order."""
    near = []
    for place, (quality, ms) in enumerate(values):
        faster = ms * (1 - slack)
        if not any(
            (q > quality and t <= faster) or (q >= quality and t < faster)
            for other, (q, t) in enumerate(values)
            if other != place
        ):
            near.append(place)
    return near


def measure_front(
    study: Study,
    bench: Bench,
    within: float,
    *,
    runs: int = FINAL_RUNS,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Front:
    """Measure the times of the front and what is near it again, side by side, and draw the front from those.

    Args:
        study: With at least one complete trial.
        bench: Crops and threads, as in the trials.
        within: Points of quality that ``fastest`` may lie below the best.
        runs: Timed runs of each.
        stop_asked: Looked at between rounds.

    Raises:
        DataError: No trial is complete.
        BundleError: A trial's file is gone.
        KeyboardInterrupt: ``stop_asked`` said yes.
    """
    found = [
        (record, record.measured)
        for record in study.records()
        if record.measured is not None and record.repeats is None
    ]
    if not found:
        raise DataError(f"{study.folder}: no trial is complete, so there is nothing to choose from")
    values = [(measured.quality, measured.image.median_ms) for _, measured in found]
    near = near_front(values)
    if len(near) > MOST_TIMED:
        near = sorted(undominated(values)[:MOST_TIMED])
    halves = [
        image_half(study.trial_folder(record.params), measured, bench.threads)
        for record, measured in (found[place] for place in near)
    ]
    times = time_images(
        halves, bench.crops, threads=bench.threads, runs=runs, seed=study.plan.seed, stop_asked=stop_asked
    )
    return choose([Point(*found[place], time) for place, time in zip(near, times, strict=True)], within)


def choose(timed: Sequence[Point], within: float) -> Front:
    """Draw the front through points that were measured side by side, at least one.

    Times that differ by less than their own spread are one time: among the points allowed for ``fastest``, the best of
    those whose median lies below the upper quartile of the fastest is taken.
    """
    points = [timed[place] for place in undominated([(point.quality, point.time.median_ms) for point in timed])]
    best = points[-1]
    # Sums of percentages: a point that lies exactly on the bound must not fall to the last digit.
    allowed = [point for point in points if point.quality >= best.quality - within - 1e-9]
    as_fast = [point for point in allowed if point.time.median_ms <= allowed[0].time.q3_ms]
    return Front(points, sorted(timed, key=lambda point: point.record.number), best, as_fast[-1], within)
