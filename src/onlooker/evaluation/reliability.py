"""How far confidences can be trusted: calibration error, the reliability diagram, and the nobody test.

A confidence of 70 % should be right seven times in ten. The expected calibration error (Guo et al., "On Calibration of
Modern Neural Networks", 2017) is the mean distance from that over bins of confidence, weighted by what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import MissingExtraError
from onlooker.evaluation.calibration import FALSE_DISMISSALS, FOLDS, LEAST_SIZE, TRIALS, Split, Trials, fit
from onlooker.evaluation.encoding import Encoded
from onlooker.evaluation.plots import new_figure
from onlooker.files import replacing, write_json
from onlooker.runtime.background import Background
from onlooker.runtime.calibration import Calibration

SIZES = (6, 20, 50, 100, 300)
"""Sizes of galleries for which the nobody test is reported, as far as the split has so many pictures."""
BINS = 10
TRIALS_A_SIZE = 4_000
"""Trials of each size in the nobody test, about."""


@dataclass(frozen=True)
class Bin:
    """Matches of about one confidence: how many, their mean confidence, and the share that is right."""

    count: int
    confidence: float
    right: float


@dataclass(frozen=True)
class NobodyTest:
    """The nobody test in galleries of one size.

    Attributes:
        size: Pictures in the gallery, the person meant among them; where taken out, one person's fewer.
        trials: Searches for people who are there, and as many for people taken out.
        first: Share of the people there who are ranked first.
        dismissed: Share of the people there for whom the verdict is that nobody fits.
        dismissed_first: The same among those who are ranked first.
        right: Share of the people taken out for whom the verdict is that nobody fits.
        right_at_rate: The same with a threshold for galleries of this size at which exactly ``FALSE_DISMISSALS`` of the
            people there are dismissed.
        right_at_rate_first: The same, at ``FALSE_DISMISSALS`` of the people there who are ranked first.
    """

    size: int
    trials: int
    first: float
    dismissed: float
    dismissed_first: float
    right: float
    right_at_rate: float
    right_at_rate_first: float


@dataclass(frozen=True)
class Reliability:
    """How far the confidences of a calibration can be trusted.

    Attributes:
        people: People searched for.
        texts: Their texts.
        pictures: Pictures in the largest gallery.
        trials: Searches.
        crossfitted: Every person was judged by a calibration that was fitted without them.
        top1_count: Expected calibration error of the best match, over bins that hold as many matches each.
        top1_width: The same over bins of equal width.
        top10_count: Of all of the first ten matches, equal counts.
        top10_width: Of all of the first ten matches, equal widths.
        brier: Mean squared error of the best match's confidence.
        bins: The reliability diagram of the best match, equal counts.
        nobody: The nobody test by size of gallery.
    """

    people: int
    texts: int
    pictures: int
    trials: int
    crossfitted: bool
    top1_count: float
    top1_width: float
    top10_count: float
    top10_width: float
    brier: float
    bins: tuple[Bin, ...]
    nobody: tuple[NobodyTest, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, shares with four decimals."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def even_bins(confidences: NDArray[np.float64], right: NDArray[np.bool_], *, counts: bool) -> tuple[Bin, ...]:
    """Sort matches into ten bins by confidence.

    Args:
        confidences: float64 (n,), 0 to 1.
        right: bool (n,).
        counts: Bins that hold as many each (as near as can be); otherwise bins 0.1 wide, empty ones left out.

    Returns:
        The bins, least confident first.
    """
    if counts:
        parts = [part for part in np.array_split(np.argsort(confidences, kind="stable"), BINS) if len(part)]
    else:
        place = np.minimum((confidences * BINS).astype(np.int64), BINS - 1)
        parts = [np.flatnonzero(place == number) for number in np.unique(place)]
    return tuple(Bin(len(part), float(confidences[part].mean()), float(right[part].mean())) for part in parts)


def calibration_error(confidences: NDArray[np.float64], right: NDArray[np.bool_], *, counts: bool) -> float:
    """Return the expected calibration error, 0 to 1, over the bins of ``even_bins``."""
    bins = even_bins(confidences, right, counts=counts)
    return sum(part.count * abs(part.confidence - part.right) for part in bins) / len(confidences)


def cross_fit(split: Split, background: Background, *, seed: int = 0) -> tuple[Calibration, Reliability]:
    """Fit a calibration on all people of a split, and measure it on people each left out of a fit of their own.

    The people are dealt into ``FOLDS`` parts. For each part a calibration is fitted on the others, in galleries without
    the part's people, and applied to texts of the part's people in galleries of everybody.

    Args:
        split: What to fit on.
        background: What the calibration is applied with.
        seed: Of folds and galleries.

    Returns:
        The calibration fitted on everybody, and how far its kind can be trusted.
    """
    rng = np.random.default_rng(seed)
    folds = np.array_split(rng.permutation(split.people), FOLDS)
    pairs = []
    for fold in folds:
        others = np.setdiff1d(split.people, fold)
        among = np.setdiff1d(np.unique(split.picture_person), fold)
        pairs.append((fold, fit(draw(split, others, among, rng), split, background)))
    return fit(draw(split, split.people, None, rng), split, background), _measure(split, pairs, rng, crossfitted=True)


def measure(split: Split, calibration: Calibration, *, seed: int = 0) -> Reliability:
    """Measure a calibration, such as a bundle's own, on a split.

    Args:
        split: What to measure on; its levels are of the calibration's background.
        calibration: What to measure.
        seed: Of the galleries.
    """
    return _measure(split, [(split.people, calibration)], np.random.default_rng(seed), crossfitted=False)


def measure_encoded(
    encoded: Encoded, calibration: Calibration, *, fitted_here: bool = False, seed: int = 0
) -> Reliability:
    """Measure a calibration on vectors of its own encoder.

    Args:
        encoded: The vectors of a split.
        calibration: Of the encoder's bundle.
        fitted_here: It was fitted on this split. Its own figures would flatter it, so its kind is measured instead: see
            ``cross_fit``.
        seed: Of the galleries, and of the folds.

    Raises:
        DataError: The split has too few people.
    """
    split = Split(encoded, calibration.background, calibration.temperature, seed=seed)
    if fitted_here:
        return cross_fit(split, calibration.background, seed=seed)[1]
    return measure(split, calibration, seed=seed)


def draw(
    split: Split, searched: NDArray[np.int64], among: NDArray[np.int64] | None, rng: np.random.Generator
) -> Trials:
    """Draw the trials of a fit: galleries from ``LEAST_SIZE`` pictures to all, evenly by the logarithm of the size."""
    everybody = np.unique(split.picture_person) if among is None else among
    repeats = max(1, min(10, round(TRIALS / 2 / len(split.texts))))
    return split.trials(searched, everybody, log_even, repeats, rng)


def log_even(rng: np.random.Generator, most: int) -> int:
    """Draw a size from ``LEAST_SIZE`` to ``most``, evenly by its logarithm."""
    return int(np.exp(rng.uniform(np.log(min(LEAST_SIZE, most)), np.log(most + 1 - 1e-9))))


Pairs = Sequence[tuple[NDArray[np.int64], Calibration]]
"""People, and the calibration that judges them."""


def _measure(split: Split, pairs: Pairs, rng: np.random.Generator, *, crossfitted: bool) -> Reliability:
    repeats = max(1, min(10, round(TRIALS / 2 / len(split.texts))))
    trials, confidences, _ = _judged(split, pairs, log_even, repeats, rng)
    best = trials.best
    top, right = confidences[best], trials.right[best]
    tests = []
    for size in SIZES:
        if size <= len(split.pictures):
            tests.append(_nobody_test(split, pairs, size, rng))
    return Reliability(
        people=len(split.people),
        texts=len(split.texts),
        pictures=len(split.pictures),
        trials=len(trials.present),
        crossfitted=crossfitted,
        top1_count=calibration_error(top, right, counts=True),
        top1_width=calibration_error(top, right, counts=False),
        top10_count=calibration_error(confidences[trials.shown], trials.right[trials.shown], counts=True),
        top10_width=calibration_error(confidences[trials.shown], trials.right[trials.shown], counts=False),
        brier=float(((top - right) ** 2).mean()),
        bins=even_bins(top, right, counts=True),
        nobody=tuple(tests),
    )


def _nobody_test(split: Split, pairs: Pairs, size: int, rng: np.random.Generator) -> NobodyTest:
    repeats = max(1, min(10, round(TRIALS_A_SIZE / 2 / len(split.texts))))
    trials, _, margins = _judged(split, pairs, lambda rng, most: size, repeats, rng)
    there = trials.present
    first = there & trials.right[trials.best]
    # Below 0 the verdict is that nobody fits. What is left over is how far the threshold could be moved.
    dismissed = margins <= 0

    def right_at(people: NDArray[np.bool_]) -> float:
        return float((margins[~there] <= np.quantile(margins[people], FALSE_DISMISSALS)).mean())

    return NobodyTest(
        size=size,
        trials=int(there.sum()),
        first=float(first.sum() / there.sum()),
        dismissed=float(dismissed[there].mean()),
        dismissed_first=float(dismissed[first].mean()) if first.any() else 0.0,
        right=float(dismissed[~there].mean()),
        right_at_rate=right_at(there),
        right_at_rate_first=right_at(first) if first.any() else 0.0,
    )


def _judged(
    split: Split,
    pairs: Pairs,
    sizes: Callable[[np.random.Generator, int], int],
    repeats: int,
    rng: np.random.Generator,
) -> tuple[Trials, NDArray[np.float64], NDArray[np.float64]]:
    """Draw trials of each group of people and let its calibration judge them.

    Returns:
        The trials, the confidence of each match, and by how far each trial's log odds for somebody pass the threshold.
    """
    everybody = np.unique(split.picture_person)
    parts: list[Trials] = []
    confidences: list[NDArray[np.float64]] = []
    margins: list[NDArray[np.float64]] = []
    for people, calibration in pairs:
        trials = split.trials(people, everybody, sizes, repeats, rng)
        parts.append(trials)
        confidences += [calibration.confidences(part) for part in np.split(trials.evidence, trials.best[1:])]
        odds = trials.evidence[trials.best] @ np.array(calibration.somebody[1:]) + calibration.somebody[0]
        margins.append(odds - np.array([calibration.limit(int(size)) for size in trials.size]))
    return Trials.joined(parts), np.concatenate(confidences), np.concatenate(margins)


def save_reliability(reliability: Reliability, folder: Path) -> list[Path]:
    """Write ``confidence.json`` and, where matplotlib is installed, ``reliability.png``.

    Returns:
        What was written.
    """
    written = [folder / "confidence.json"]
    write_json(written[0], reliability.to_dict())
    with suppress(MissingExtraError):
        save_diagram(reliability, folder / "reliability.png")
        written.append(folder / "reliability.png")
    return written


def save_diagram(reliability: Reliability, path: Path) -> None:
    """Draw the reliability diagram: how often matches of each confidence are right.

    Args:
        reliability: What was measured.
        path: The PNG file.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    figure = new_figure("the reliability diagram", (5.2, 4.8))
    axes = figure.add_subplot()
    confidence = [100 * part.confidence for part in reliability.bins]
    right = [100 * part.right for part in reliability.bins]
    spread = [196 * np.sqrt(part.right * (1 - part.right) / part.count) for part in reliability.bins]
    axes.plot([0, 100], [0, 100], color="#9aa3ad", linestyle="--", linewidth=1, label="as it should be")
    axes.errorbar(
        confidence, right, yerr=spread, color="#2563a8", marker="o", markersize=5, capsize=3, label="best match"
    )
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="right, %", aspect="equal")
    people = "people that were not fitted" if reliability.crossfitted else "the bundle's own calibration"
    axes.set_title(
        f"{reliability.trials:,} searches, {people}\n"
        f"expected calibration error {reliability.top1_count:.3f} (equal counts)",
        fontsize=10,
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def to_text(reliability: Reliability) -> str:
    """Return what was measured as aligned text for people."""
    rate = f"{FALSE_DISMISSALS:.0%}"
    kind = "each person judged by a fit without them" if reliability.crossfitted else "judged by the bundle's own"
    lines = [
        f"Confidence: {reliability.trials:,} searches with {reliability.texts:,} texts for {reliability.people:,} "
        f"people in galleries up to {reliability.pictures:,}, half of them without the person; {kind}",
        f"  expected calibration error, best match     {reliability.top1_count:.3f} (equal counts)  "
        f"{reliability.top1_width:.3f} (equal widths)",
        f"  expected calibration error, first ten      {reliability.top10_count:.3f} (equal counts)  "
        f"{reliability.top10_width:.3f} (equal widths)",
        f"  Brier score, best match                    {reliability.brier:.3f}",
        "",
        f"Nobody test: verdict 'nobody' for people taken out (right) and for people there (dismissed, wanted {rate})",
        "                  person there                       person taken out: right",
        f"  gallery   first   dismissed   of first     as shipped   at {rate}   at {rate} of first",
    ]
    for test in reliability.nobody:
        lines.append(
            f"  {test.size:>7,}  {test.first:>5.0%}   {test.dismissed:>9.1%}   {test.dismissed_first:>8.1%}   "
            f"  {test.right:>10.1%}   {test.right_at_rate:>6.1%}   {test.right_at_rate_first:>15.1%}"
        )
    return "\n".join(lines)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
