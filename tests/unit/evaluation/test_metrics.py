from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onlooker.errors import DataError
from onlooker.evaluation import metrics
from onlooker.evaluation.metrics import best_matches, recall_at, retrieval, score_queries, score_vectors, summarise
from tests.unit.evaluation.reference import ranking, reference


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A similarity matrix of few different values, negative ones too, so that ties abound; any relevance."""
    queries, gallery = draw(st.integers(1, 7)), draw(st.integers(1, 25))
    steps = hnp.arrays(np.int64, (queries, gallery), elements=st.integers(-6, 6))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    similarity = draw(steps).astype(dtype) / 8
    relevant = draw(hnp.arrays(np.bool_, (queries, gallery)))
    relevant[draw(st.integers(0, queries - 1)), draw(st.integers(0, gallery - 1))] = True
    return similarity, relevant


@given(problems(), st.sampled_from([0.0, 0.125, 0.2]), st.integers(1, 60))
@settings(deadline=None)
def test_equals_the_slow_reference_in_blocks_of_any_size(
    problem: tuple[np.ndarray, np.ndarray], margin: float, block: int
) -> None:
    similarity, relevant = problem
    before = metrics.BLOCK_ELEMENTS
    metrics.BLOCK_ELEMENTS = block
    try:
        found = retrieval(similarity, relevant, margin=margin).to_dict()
    finally:
        metrics.BLOCK_ELEMENTS = before
    assert found == pytest.approx(reference(similarity, relevant, margin))


@given(problems())
@settings(deadline=None)
def test_lists_of_indexes_mean_the_same_as_a_matrix(problem: tuple[np.ndarray, np.ndarray]) -> None:
    similarity, relevant = problem
    assert retrieval(similarity, [np.flatnonzero(row)[::-1] for row in relevant]) == retrieval(similarity, relevant)


@given(problems(), st.sampled_from([0.0, 0.125]), st.integers(1, 30))
@settings(deadline=None)
def test_best_matches_come_in_the_order_that_is_counted(
    problem: tuple[np.ndarray, np.ndarray], margin: float, top: int
) -> None:
    similarity, relevant = problem
    scores = score_queries(similarity, relevant, margin=margin)
    for query, row in enumerate(similarity):
        right = np.flatnonzero(relevant[query])
        best = best_matches(row, right, top, margin=margin)
        assert len(best) == min(top, len(row)) == len(set(best.tolist()))
        marks = relevant[query][best]
        expected = ranking(row.tolist(), set(right.tolist()), margin)[:top]
        assert marks.tolist() == [item in right for item in expected]
        assert [row[item] for item in best] == [row[item] for item in expected]
        if marks.any():
            assert int(np.argmax(marks)) + 1 == scores.first_rank[query]


@given(problems())
@settings(deadline=None)
def test_metrics_do_not_see_the_order_of_the_gallery(problem: tuple[np.ndarray, np.ndarray]) -> None:
    similarity, relevant = problem
    assert retrieval(similarity[:, ::-1], relevant[:, ::-1]) == retrieval(similarity, relevant)


def test_by_hand_one_right_item_each() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [-0.3, -0.2, -0.9], [0.5, 0.6, 0.4]])
    found = retrieval(similarity, np.eye(3, dtype=bool))
    # Ranks 1, 1, 3: the second query's best is negative and still first.
    assert (found.r1, found.r5, found.r10) == pytest.approx((2 / 3, 1.0, 1.0))
    assert found.map == found.minp == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert (found.median_rank, found.mean_rank) == pytest.approx((1.0, 5 / 3))


def test_by_hand_several_right_items() -> None:
    # Order: wrong, right, wrong, right, right -> places 2, 4, 5.
    found = retrieval(np.array([[-0.1, -0.2, -0.3, -0.4, -0.5]]), np.array([[False, True, False, True, True]]))
    assert found.map == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)
    assert found.minp == pytest.approx(3 / 5)
    assert (found.r1, found.r5, found.median_rank) == (0.0, 1.0, 2.0)


def test_r5_and_r10_by_hand() -> None:
    similarity = -np.arange(12.0)[None, :].repeat(4, axis=0)
    found = retrieval(similarity, [np.array([4]), np.array([5]), np.array([9]), np.array([10])])
    assert (found.r1, found.r5, found.r10) == (0.0, 0.25, 0.75)
    assert (found.median_rank, found.mean_rank) == (8.0, 8.0)


def test_a_tie_goes_against_the_system() -> None:
    found = retrieval(np.zeros((1, 4)), np.array([[True, False, False, False]]))
    assert (found.r1, found.median_rank) == (0.0, 4.0)


def test_ties_among_right_items_change_nothing() -> None:
    found = retrieval(np.array([[0.5, 0.5, 0.1]]), np.array([[True, True, False]]))
    assert (found.r1, found.map, found.minp) == (1.0, 1.0, 1.0)


def test_a_collapsed_model_scores_worst_through_vectors_too() -> None:
    # A matrix product gives equal columns another last digit here and there; without the margin some texts would win.
    vector = np.random.default_rng(0).standard_normal(251).astype(np.float32)
    vector /= np.linalg.norm(vector)
    same = np.tile(vector, (67, 1))
    found = summarise(score_vectors(same, same, np.eye(67, dtype=bool)))
    assert (found.r1, found.median_rank, found.map) == (0.0, 67.0, pytest.approx(1 / 67))


def test_the_margin_reaches_no_further() -> None:
    similarity = np.array([[0.5, 0.4]])
    relevant = np.array([[True, False]])
    assert retrieval(similarity, relevant, margin=0.05).r1 == 1.0
    assert retrieval(similarity, relevant, margin=0.15).r1 == 0.0


def test_queries_without_a_right_item_are_counted_and_left_out() -> None:
    similarity = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.3]])
    relevant = np.array([[True, False], [False, False], [False, True]])
    found = retrieval(similarity, relevant)
    assert (found.queries, found.without_positive, found.r1, found.map, found.mean_rank) == (3, 1, 1.0, 1.0, 1.0)
    scores = score_queries(similarity, relevant)
    assert scores.scored.tolist() == [True, False, True]
    assert (scores.first_rank[1], scores.average_precision[1], scores.inverse_penalty[1]) == (0, 0, 0)
    assert recall_at(scores, 1) == 1.0


def test_no_query_with_a_right_item_is_refused_only_when_averaged() -> None:
    scores = score_queries(np.zeros((2, 3)), np.zeros((2, 3), dtype=bool))
    with pytest.raises(DataError, match="none of the 2 queries has a right item"):
        summarise(scores)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float16, np.float32, np.float64])
def test_real_numbers_of_any_kind_are_ranked(dtype: Any) -> None:
    similarity = np.array([[-3, 2, 1], [5, -120, 5]]).astype(dtype)
    found = retrieval(similarity, [np.array([2]), np.array([0])])
    assert (found.r1, found.median_rank) == (0.0, 2.0)


def test_vectors_and_their_matrix_give_the_same() -> None:
    random = np.random.default_rng(3)
    queries, gallery = random.standard_normal((40, 16)), random.standard_normal((30, 16))
    relevant = random.random((40, 30)) < 0.1
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    assert summarise(score_vectors(queries, gallery, relevant)) == retrieval(queries @ gallery.T, relevant)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_cannot_be_ranked_is_refused_with_its_place(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "BLOCK_ELEMENTS", 3)
    similarity = np.zeros((4, 3))
    similarity[2, 1] = bad
    with pytest.raises(DataError, match=r"similarity of query 2 and gallery item 1 is -?(nan|inf)"):
        retrieval(similarity, np.ones((4, 3), dtype=bool))


@pytest.mark.parametrize(
    ("similarity", "relevant", "message"),
    [
        (np.zeros(3), np.ones(3, dtype=bool), r"shape \(queries, gallery\), got \(3,\)"),
        (np.zeros((0, 3)), np.ones((0, 3), dtype=bool), "nothing to rank: 0 queries"),
        (np.zeros((3, 0)), np.ones((3, 0), dtype=bool), "nothing to rank: 3 queries, 0 gallery items"),
        (np.zeros((2, 3)), np.ones((3, 2), dtype=bool), r"must be bool \(2, 3\), got bool \(3, 2\)"),
        (np.zeros((2, 3)), np.ones((2, 3)), r"must be bool \(2, 3\), got float64"),
        (np.zeros((2, 3)), [np.array([0])], "2 queries need as many lists of right items, got 1"),
        (np.zeros((1, 3)), [np.array([3])], "query 0 names a right item outside the gallery of 3"),
        (np.zeros((1, 3)), [np.array([-1])], "query 0 names a right item outside"),
        (np.zeros((1, 3)), [np.array([1, 1])], "query 0 names a right item twice"),
        (np.zeros((1, 3)), [np.array([0.5])], "must be a list of indexes, got float64"),
        (np.zeros((1, 3)), [np.array([True, False, True])], "must be a list of indexes, got bool"),
        (np.zeros((1, 3)), [np.array([[1]])], r"must be a list of indexes, got int64 \(1, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(similarity: np.ndarray, relevant: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        retrieval(similarity, relevant)


@pytest.mark.parametrize("margin", [-0.1, np.nan, np.inf])
def test_a_margin_out_of_range_is_refused(margin: float) -> None:
    with pytest.raises(DataError, match="tie margin"):
        retrieval(np.zeros((1, 1)), np.ones((1, 1), dtype=bool), margin=margin)


def test_vectors_of_two_dimensions_are_refused() -> None:
    with pytest.raises(DataError, match=r"got \(2, 3\) and \(2, 4\)"):
        score_vectors(np.zeros((2, 3)), np.zeros((2, 4)), np.ones((2, 2), dtype=bool))


def test_memory_stays_at_a_few_blocks() -> None:
    random = np.random.default_rng(0)
    queries = random.standard_normal((4000, 8)).astype(np.float32)
    gallery = random.standard_normal((4000, 8)).astype(np.float32)
    right = [np.array([i]) for i in range(4000)]
    tracemalloc.start()
    score_vectors(queries, gallery, right)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block = metrics.BLOCK_ELEMENTS * 4
    assert block < 4000 * 4000 * 4, "the matrix must be larger than a block for this to say anything"
    assert peak < 4 * block
