"""The scan against a slow reference, by NumPy and by FAISS, whole and filtered, one view a sighting and several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.errors import QueryError
from onlooker.gallery import scan as scan_module
from onlooker.gallery.scan import VectorScan
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import new_gallery, sighting, update, vectors_gallery

NUMPY, FAISS = 1 << 60, 0
BOTH = pytest.mark.parametrize("faiss_rows", [NUMPY, FAISS], ids=["numpy", "faiss"])


def reference(
    ids: NDArray[Any], vectors: NDArray[Any], query: NDArray[Any], k: int, allowed: set[int] | None
) -> list[tuple[int, float]]:
    """All sightings with the similarity of their best view, sorted by similarity and then by id; the first k."""
    best: dict[int, float] = {}
    for number, vector in zip(ids.tolist(), vectors, strict=True):
        if allowed is None or number in allowed:
            score = float((vector.astype(np.float64) * query.astype(np.float64)).sum())
            best[number] = max(score, best.get(number, -np.inf))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:k]


def random_data(
    seed: int, sightings: int, dimension: int, most_views: int, coarse: bool
) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Random unit vectors; coarse ones have few values, so that many scores are equal."""
    random = np.random.default_rng(seed)
    ids = np.cumsum(random.integers(1, 4, sightings))
    ids = np.repeat(ids, random.integers(1, most_views + 1, sightings)).astype(np.int64)
    vectors = random.integers(-1, 2, (len(ids), dimension)) if coarse else random.normal(size=(len(ids), dimension))
    vectors = vectors.astype(np.float64)
    vectors[(vectors == 0).all(axis=1), 0] = 1
    return ids, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@BOTH
@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sightings=st.integers(0, 300),
    dimension=st.sampled_from([1, 3, 8, 64]),
    most_views=st.integers(1, 3),
    coarse=st.booleans(),
    k=st.sampled_from([1, 2, 10, 50, 1000]),
    share=st.sampled_from([None, 0.0, 0.01, 0.3, 1.0]),
)
def test_equal_to_the_reference(
    faiss_rows: int,
    seed: int,
    sightings: int,
    dimension: int,
    most_views: int,
    coarse: bool,
    k: int,
    share: float | None,
) -> None:
    ids, vectors = random_data(seed, sightings, dimension, most_views, coarse)
    random = np.random.default_rng(seed + 1)
    queries = random.normal(size=(2, dimension)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    if coarse and len(ids):
        queries[1] = vectors[0]
    allowed = None
    if share is not None:
        # Some ids that are not there, since a filter may know more than an old scan.
        candidates = np.unique(np.r_[ids, ids + 1])
        allowed = candidates[random.random(len(candidates)) < share].astype(np.int64)
    scan = VectorScan(ids, vectors, faiss_rows=faiss_rows)
    assert len(scan) == len(set(ids.tolist()))
    for query, (found, scores) in zip(queries, scan.top(queries, k, allowed), strict=True):
        wanted = reference(ids, vectors, query, k, None if allowed is None else set(allowed.tolist()))
        assert list(zip(found.tolist(), scores.tolist(), strict=True)) == wanted


@BOTH
def test_ties_go_to_the_smaller_id(faiss_rows: int) -> None:
    ids = np.arange(1, 2001)
    vectors = np.tile(np.array([0.6, 0.8], np.float16), (2000, 1))
    ((found, _),) = VectorScan(ids, vectors, faiss_rows=faiss_rows).top(np.array([[0.6, 0.8]], np.float32), 5)
    assert found.tolist() == [1, 2, 3, 4, 5]


@BOTH
def test_negative_similarities_are_ranked_too(faiss_rows: int) -> None:
    vectors = np.array([[-1, 0], [-0.6, -0.8], [-0.8, 0.6]], np.float16)
    ((found, scores),) = VectorScan(np.array([1, 2, 3]), vectors, faiss_rows=faiss_rows).top(
        np.array([[1, 0]], np.float32), 3
    )
    assert found.tolist() == [2, 3, 1]
    assert (scores < 0).all()


def test_a_filter_is_applied_before_the_scan() -> None:
    """Ten of ten are found where the hundred nearest of all hold none of them."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(5000, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    query = np.ones((1, 16), np.float32) / 4
    scores = vectors.astype(np.float64) @ query[0]
    allowed = np.sort(np.argsort(scores)[:10]) + 1
    for faiss_rows in (NUMPY, FAISS):
        ((found, _),) = VectorScan(np.arange(1, 5001), vectors, faiss_rows=faiss_rows).top(query, 10, allowed)
        assert sorted(found.tolist()) == allowed.tolist()


def test_many_queries_are_scanned_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors = random_data(5, 100, 8, 2, False)
    queries = np.random.default_rng(6).normal(size=(37, 8)).astype(np.float32)
    scan = VectorScan(ids, vectors, faiss_rows=NUMPY)
    whole = scan.top(queries, 4)
    monkeypatch.setattr(scan_module, "TILE_SCORES", 500)
    monkeypatch.setattr(scan_module, "BLOCK_ROWS", 7)
    for (found, scores), (found_tiled, scores_tiled) in zip(whole, scan.top(queries, 4), strict=True):
        assert found.tolist() == found_tiled.tolist()
        assert scores.tolist() == scores_tiled.tolist()


@pytest.mark.parametrize(
    ("queries", "k", "match"),
    [
        (np.ones((1, 3), np.float32), 1, r"shape \(1, 3\).*dimension 2"),
        (np.ones(2, np.float32), 1, r"shape \(2,\)"),
        (np.array([[np.nan, 1]], np.float32), 1, "not finite"),
        (np.ones((1, 2), np.float32), 0, "top 0"),
        (np.ones((1, 2), np.float32), -1, "top -1"),
    ],
)
def test_queries_that_cannot_be_answered(queries: NDArray[np.float32], k: int, match: str) -> None:
    scan = VectorScan(np.array([1]), np.array([[0, 1]], np.float16))
    with pytest.raises(QueryError, match=match):
        scan.top(queries, k)


def test_ids_and_vectors_must_fit() -> None:
    with pytest.raises(ValueError, match=r"got \(2,\) and \(1, 3\)"):
        VectorScan(np.array([1, 2]), np.ones((1, 3), np.float16))


@BOTH
def test_a_scan_follows_its_gallery(tmp_path: Path, faiss_rows: int) -> None:
    random = np.random.default_rng(3)
    query = random.normal(size=(1, 8)).astype(np.float32)
    with new_gallery(tmp_path / "people.db") as gallery:
        scan = VectorScan.load(gallery, faiss_rows=faiss_rows)
        assert scan.top(query, 5)[0][0].tolist() == []
        assert not scan.refresh(gallery)
        for number in range(12):
            source = update(number)
            vectors = random.normal(size=(random.integers(1, 6), random.integers(1, 4), 8))
            ids = gallery.commit(source, [sighting(source, vector) for vector in vectors])
            if number % 3 == 1:
                gallery.remove([ids[0], *scan.ids[:2].tolist()])
            assert scan.refresh(gallery)
            assert not scan.refresh(gallery)
            fresh = VectorScan.load(gallery, faiss_rows=NUMPY)
            assert scan.ids.tolist() == fresh.ids.tolist()
            assert (scan.vectors == fresh.vectors).all()
            assert scan.sequence == fresh.sequence
            for allowed in (None, scan.ids[::2]):
                ((found, scores),) = scan.top(query, 5, allowed)
                ((found_fresh, scores_fresh),) = fresh.top(query, 5, allowed)
                assert found.tolist() == found_fresh.tolist()
                assert scores.tolist() == scores_fresh.tolist()
        gallery.remove(scan.ids.tolist())
        assert scan.refresh(gallery)
        assert len(scan) == 0
        assert scan.top(query, 5)[0][0].tolist() == []


def test_a_scan_in_a_reader_sees_another_connections_commit(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    with vectors_gallery(path, [np.eye(8)[0]]) as writer, Gallery.open(path, read_only=True) as reader:
        scan = VectorScan.load(reader)
        source = update(1)
        writer.commit(source, [sighting(source, np.eye(8)[1])])
        assert scan.refresh(reader)
        assert scan.top(np.eye(8, dtype=np.float32)[1:2], 1)[0][0].tolist() == [2]


@BOTH
def test_scores_closer_than_float32_can_tell_are_ranked_truly(faiss_rows: int) -> None:
    random = np.random.default_rng(11)
    # The same parts in another order: scores are equal but for what the order of summing does to the last digits,
    # and for one small part, whose share is smaller than a float32 of the whole can show.
    parts = random.uniform(-0.2, 0.2, 64).astype(np.float16)
    query = np.full((1, 64), 0.1234567, np.float32)
    query[0, 63] = 2e-8
    vectors = np.stack([np.append(random.permutation(parts[:63]), value) for value in random.uniform(-0.2, 0.2, 3000)])
    vectors = vectors.astype(np.float16)
    ids = np.arange(1, 3001)
    scan = VectorScan(ids, vectors, faiss_rows=faiss_rows)
    for k in (1, 5, 20, 200):
        ((found, scores),) = scan.top(query, k)
        assert list(zip(found.tolist(), scores.tolist(), strict=True)) == reference(ids, vectors, query[0], k, None)


@BOTH
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), most_views=st.integers(1, 3))
def test_the_view_a_sighting_was_found_by(faiss_rows: int, seed: int, most_views: int) -> None:
    ids, vectors = random_data(seed, 60, 8, most_views, coarse=False)
    scan = VectorScan(ids, vectors, faiss_rows=faiss_rows)
    query = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    ((found, similarities),) = scan.top(query[None], 20)
    views = scan.nearest_views(query, found)
    assert views.dtype == np.float32
    np.testing.assert_allclose(views @ query, similarities, atol=1e-4)
    assert scan.nearest_views(query, found[:0]).shape == (0, 8)
