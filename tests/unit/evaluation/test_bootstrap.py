from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.bootstrap import _weighted_median, intervals
from onlooker.evaluation.metrics import QueryScores


def scores_of(ranks: np.ndarray, gallery: int = 100) -> QueryScores:
    """One right item a query; rank 0 stands for none."""
    scored = ranks > 0
    inverse = np.divide(1.0, ranks, out=np.zeros(len(ranks)), where=scored)
    return QueryScores(ranks.astype(np.int64), inverse, inverse, scored.astype(np.int64), gallery)


def test_same_seed_same_intervals_other_seed_others() -> None:
    scores = scores_of(np.random.default_rng(0).integers(1, 40, 200))
    clusters = np.arange(200)
    one = intervals(scores, clusters, resamples=200, seed=1)
    assert one == intervals(scores, clusters, resamples=200, seed=1)
    assert one != intervals(scores, clusters, resamples=200, seed=2)
    assert set(one) == {"r1", "r5", "r10", "map", "minp", "median_rank", "mean_rank"}


def test_equals_drawing_the_queries_one_by_one() -> None:
    # Clusters of unequal size in no order; the slow way repeats the queries of each drawn cluster.
    random = np.random.default_rng(4)
    ranks, clusters = random.integers(0, 30, 60), random.choice([3, 5, 8, 13, 21, 34, 55], 60)
    scores = scores_of(ranks)
    members = sorted(set(clusters[ranks > 0].tolist()))
    draws = np.random.default_rng(9)
    slow: dict[str, list[float]] = {"r1": [], "r10": [], "map": [], "median_rank": [], "mean_rank": []}
    for _ in range(40):
        drawn = [members[i] for i in draws.integers(len(members), size=len(members))]
        found = np.concatenate([ranks[(clusters == member) & (ranks > 0)] for member in drawn])
        slow["r1"].append(float(np.mean(found <= 1)))
        slow["r10"].append(float(np.mean(found <= 10)))
        slow["map"].append(float(np.mean(1 / found)))
        slow["median_rank"].append(float(np.median(found)))
        slow["mean_rank"].append(float(np.mean(found)))
    fast = intervals(scores, clusters, resamples=40, seed=9)
    for name, values in slow.items():
        assert (fast[name].low, fast[name].high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975]))), name


def test_agrees_with_the_normal_interval_for_many_independent_queries() -> None:
    ranks = np.where(np.random.default_rng(0).random(2000) < 0.3, 1, 20)
    p = float(np.mean(ranks == 1))
    half = 1.96 * np.sqrt(p * (1 - p) / 2000)
    found = intervals(scores_of(ranks), np.arange(2000), resamples=2000)["r1"]
    assert (found.low, found.high) == pytest.approx((p - half, p + half), abs=0.1 * half + 1 / 2000)


def test_texts_of_one_picture_are_drawn_together() -> None:
    # Five texts a picture, all alike: five times the texts are no more knowledge, so the interval must not shrink.
    ranks = np.where(np.random.default_rng(0).random(100) < 0.4, 1, 20)
    alone = intervals(scores_of(ranks), np.arange(100), resamples=500)
    together = intervals(scores_of(np.repeat(ranks, 5)), np.repeat(np.arange(100), 5), resamples=500)
    for name, interval in alone.items():
        assert (together[name].low, together[name].high) == pytest.approx((interval.low, interval.high)), name
    apart = intervals(scores_of(np.repeat(ranks, 5)), np.arange(500), resamples=500)
    assert (apart["r1"].high - apart["r1"].low) < 0.6 * (together["r1"].high - together["r1"].low)


def test_queries_without_a_right_item_change_nothing() -> None:
    ranks = np.random.default_rng(0).integers(1, 30, 50)
    with_none = np.insert(ranks, 10, 0)
    clusters = np.insert(np.arange(50), 10, 77)
    # The drawn numbers name clusters in ascending order, so the cluster that is left out must not shift the others.
    assert intervals(scores_of(with_none), clusters) == intervals(scores_of(ranks), np.arange(50))


def test_intervals_hold_the_value_and_stay_in_range() -> None:
    ranks = np.random.default_rng(5).integers(1, 15, 80)
    found = intervals(scores_of(ranks), np.arange(80))
    assert all(part.low <= part.high for part in found.values())
    assert found["r1"].low <= np.mean(ranks == 1) <= found["r1"].high
    assert found["median_rank"].low <= np.median(ranks) <= found["median_rank"].high
    assert found["mean_rank"].low <= np.mean(ranks) <= found["mean_rank"].high
    assert 0 <= found["map"].low <= found["map"].high <= 1


def test_one_cluster_has_no_interval() -> None:
    assert intervals(scores_of(np.array([1, 2, 3])), np.zeros(3, dtype=int)) == {}
    assert intervals(scores_of(np.array([0, 0])), np.arange(2)) == {}


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=12))
def test_weighted_median_is_the_median_of_the_repeated_values(pairs: list[tuple[int, int]]) -> None:
    pairs = sorted([*pairs, (5, 1)])
    ranks, weights = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    assert _weighted_median(ranks, weights) == np.median(np.repeat(ranks, weights))


@pytest.mark.parametrize(("resamples", "seed"), [(1, 0), (0, 0), (-5, 0), (10, -1)])
def test_bad_settings_are_refused(resamples: int, seed: int) -> None:
    with pytest.raises(ConfigError, match=r"resamples|seed"):
        intervals(scores_of(np.array([1, 2])), np.arange(2), resamples=resamples, seed=seed)


def test_clusters_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 queries need as many clusters, got shape \(3,\)"):
        intervals(scores_of(np.array([1, 2])), np.arange(3))
