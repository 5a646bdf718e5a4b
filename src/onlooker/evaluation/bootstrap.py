"""How far a metric would move with other queries of the same kind: percentile bootstrap intervals over clusters.

The five captions of one picture are hard or easy together, and so are the pictures of one person. Drawing texts one by
one would take them for independent and give intervals that are too narrow; so whole clusters are drawn with
replacement, and every query of a drawn cluster comes along. The gallery stays as it is: the interval says nothing of
a larger or smaller one, nor of another training run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.metrics import QueryScores

LEVEL = 0.95
"""The probability that an interval is made for."""


@dataclass(frozen=True)
class Interval:
    """The range between two percentiles of a resampled metric, in the metric's own unit."""

    low: float
    high: float


def intervals(
    scores: QueryScores, clusters: NDArray[np.integer[Any]], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Return the 95 % interval of each metric.

    Args:
        scores: Of q queries; those without a right item are left out.
        clusters: int (q,), the cluster of each query.
        resamples: How many times the clusters are drawn, at least 2.
        seed: Of the draws, at least 0; the same seed gives the same intervals.

    Returns:
        An interval for each of r1, r5, r10, map, minp, median_rank, mean_rank; no interval at all where fewer than two
        clusters have a scored query, since nothing varies then.

    Raises:
        ConfigError: If ``resamples`` is below 2 or ``seed`` below 0.
        DataError: If there is not one cluster per query.
    """
    if resamples < 2:
        raise ConfigError(f"a bootstrap needs at least 2 resamples, got {resamples}")
    if seed < 0:
        raise ConfigError(f"the seed must be at least 0, got {seed}")
    if clusters.shape != (len(scores),):
        raise DataError(f"{len(scores)} queries need as many clusters, got shape {clusters.shape}")
    scored = scores.scored
    members, cluster = np.unique(clusters[scored], return_inverse=True)
    if len(members) < 2:
        return {}
    # Sorted by rank once, so that the weighted median of each draw is one search in a running sum.
    order = np.argsort(scores.first_rank[scored], kind="stable")
    cluster = cluster[order]
    ranks = scores.first_rank[scored][order]
    columns = {
        "r1": (ranks <= 1).astype(np.float64),
        "r5": (ranks <= 5).astype(np.float64),
        "r10": (ranks <= 10).astype(np.float64),
        "map": scores.average_precision[scored][order],
        "minp": scores.inverse_penalty[scored][order],
        "mean_rank": ranks.astype(np.float64),
    }
    values = np.stack(list(columns.values()), axis=1)
    means = np.empty((resamples, len(columns)))
    medians = np.empty(resamples)
    random = np.random.default_rng(seed)
    for draw in range(resamples):
        drawn = np.bincount(random.integers(len(members), size=len(members)), minlength=len(members))
        weights = drawn[cluster]
        means[draw] = weights @ values / weights.sum()
        medians[draw] = _weighted_median(ranks, weights)
    resampled = dict(zip(columns, means.T, strict=True)) | {"median_rank": medians}
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return {name: Interval(*map(float, np.quantile(column, tails))) for name, column in resampled.items()}


def _weighted_median(ascending: NDArray[np.int64], weights: NDArray[np.int64]) -> float:
    """Return the median of ``ascending`` with each value repeated ``weights`` times."""
    running = np.cumsum(weights)
    count = int(running[-1])
    middle = np.searchsorted(running, [(count - 1) // 2, count // 2], side="right")
    return float(ascending[middle].mean())


def interval_of_mean(values: NDArray[np.float64], resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a mean over independent items.

    Args:
        values: float64 (k,), one for each item, at least one.
        resamples: How many times the items are drawn, at least 2.
        seed: Of the draws.
    """
    random = np.random.default_rng(seed)
    means = values[random.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
