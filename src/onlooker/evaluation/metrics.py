"""Retrieval metrics as pure functions of numpy arrays, computed in blocks of rows.

What is counted, for one query with P right items in the gallery:

* The *rank* of the i-th best right item is i plus the number of wrong items whose similarity is at least as high (less
  ``margin``). A tie is therefore settled **against the system**: a wrong item with equal similarity comes first.
  Which of two right items comes first changes nothing.
* R@k: 1 if the best right item has a rank of at most k.
* AP: the mean of i / rank over all right items, over the full ranking; mAP is its mean over the queries.
* INP: P / rank of the hardest right item; mINP is its mean (Ye et al., "Deep Learning for Person Re-identification: A
  Survey and Outlook", 2021).
* Queries without a right item are left out of every mean and counted in ``without_positive``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import DataError

Relevant = NDArray[np.bool_] | Sequence[NDArray[np.integer[Any]]]
"""Which gallery items are right for each query: bool (q, g), or q arrays of gallery indexes."""

TIE_MARGIN = 1e-6
"""Cosines of float32 vectors that differ by less are equal: the same two vectors give another last digit in another
place of a matrix product, and a collapsed model must not gain from that."""

BLOCK_ELEMENTS = 1 << 22
"""Similarities looked at together: two copies of such a block are the memory that the metrics need."""


@dataclass(frozen=True)
class QueryScores:
    """The scores of each query; arrays of length q. A query without a right item has 0 in all of them.

    Attributes:
        first_rank: int64, the rank of the best right item, from 1.
        average_precision: float64, 0..1.
        inverse_penalty: float64, 0..1, the number of right items / the rank of the hardest.
        positives: int64, the number of right items.
        gallery: The number of gallery items that were ranked.
    """

    first_rank: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    inverse_penalty: NDArray[np.float64]
    positives: NDArray[np.int64]
    gallery: int

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Return bool (q,): the queries that have a right item."""
        return self.positives > 0

    def __len__(self) -> int:
        return len(self.first_rank)


@dataclass(frozen=True)
class Metrics:
    """Means over the queries that have a right item.

    Attributes:
        r1: Fraction (0..1) of queries with a right item first.
        r5: The same, among the first five.
        r10: The same, among the first ten.
        map: Mean average precision, 0..1.
        minp: Mean inverse negative penalty, 0..1.
        median_rank: Median of the rank of the best right item, from 1.
        mean_rank: Mean of that rank.
        queries: All queries, those without a right item included.
        without_positive: Queries without a right item, in none of the means.
        gallery: Items that were ranked.
    """

    r1: float
    r5: float
    r10: float
    map: float
    minp: float
    median_rank: float
    mean_rank: float
    queries: int
    without_positive: int
    gallery: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the fields as a dictionary for JSON."""
        return asdict(self)


def retrieval(similarity: NDArray[Any], relevant: Relevant, *, margin: float = 0.0) -> Metrics:
    """Return the metrics of a similarity matrix.

    Args:
        similarity: (q, g) real numbers of any range, higher means more alike; every one finite.
        relevant: bool (q, g), or q arrays of indexes into the gallery.
        margin: A wrong item counts as tied up to this much below a right one; at least 0.

    Returns:
        The means over the queries that have a right item.

    Raises:
        DataError: If a similarity is NaN or infinite, the shapes do not fit, or no query has a right item.
    """
    return summarise(score_queries(similarity, relevant, margin=margin))


def figures_of(similarity: NDArray[Any], relevant: Relevant) -> dict[str, float]:
    """Return ``retrieval`` by name: the scorer that a training is given."""
    return retrieval(similarity, relevant).to_dict()


def score_queries(similarity: NDArray[Any], relevant: Relevant, *, margin: float = 0.0) -> QueryScores:
    """Return the scores of each query; arguments and errors as ``retrieval``, but no query needs a right item."""
    similarity = np.asarray(similarity)
    if similarity.ndim != 2:
        raise DataError(f"similarities must have shape (queries, gallery), got {similarity.shape}")
    blocks = (_as_float(similarity[rows]) for rows in _blocks(*similarity.shape))
    return _score(blocks, similarity.shape[0], similarity.shape[1], relevant, margin)


def score_vectors(
    queries: NDArray[np.floating[Any]],
    gallery: NDArray[np.floating[Any]],
    relevant: Relevant,
    *,
    margin: float = TIE_MARGIN,
) -> QueryScores:
    """Return the scores of each query by the dot product, without ever holding the whole (q, g) matrix.

    Args:
        queries: (q, d) float, L2-normalised.
        gallery: (g, d) float, L2-normalised.
        relevant: bool (q, g), or q arrays of indexes into the gallery.
        margin: See ``retrieval``.

    Raises:
        DataError: As ``retrieval``, and if the two sides have different dimensions.
    """
    _check_vectors(queries, gallery)
    blocks = (_as_float(queries[rows] @ gallery.T) for rows in _blocks(len(queries), len(gallery)))
    return _score(blocks, len(queries), len(gallery), relevant, margin)


def summarise(scores: QueryScores) -> Metrics:
    """Return the means over the queries that have a right item.

    Raises:
        DataError: If no query has one.
    """
    scored = scores.scored
    if not scored.any():
        raise DataError(
            f"none of the {len(scores)} queries has a right item in the gallery, so there is nothing to measure"
        )
    ranks = scores.first_rank[scored]
    return Metrics(
        r1=recall_at(scores, 1),
        r5=recall_at(scores, 5),
        r10=recall_at(scores, 10),
        map=float(scores.average_precision[scored].mean()),
        minp=float(scores.inverse_penalty[scored].mean()),
        median_rank=float(np.median(ranks)),
        mean_rank=float(ranks.mean()),
        queries=len(scores),
        without_positive=int(np.count_nonzero(~scored)),
        gallery=scores.gallery,
    )


def recall_at(scores: QueryScores, k: int) -> float:
    """Return the fraction (0..1) of the scored queries whose best right item has a rank of at most ``k``."""
    return float(np.mean(scores.first_rank[scores.scored] <= k))


def best_matches(
    similarity: NDArray[Any], positives: NDArray[np.integer[Any]], top: int, *, margin: float = 0.0
) -> NDArray[np.int64]:
    """Return the first ``top`` gallery indexes of one query, in the order that the ranks are counted in.

    Args:
        similarity: (g,) finite real numbers.
        positives: Indexes of the right items; where they tie with wrong ones, the wrong ones come first.
        top: How many, at least 1.
        margin: See ``retrieval``.

    Returns:
        int64 (min(top, g),).
    """
    keys = _as_float(np.asarray(similarity)) + margin
    right = np.zeros(len(keys), dtype=bool)
    right[positives] = True
    keys[right] = _as_float(np.asarray(similarity))[right]
    top = min(top, len(keys))
    # Everything down to the last place, all its ties included, and only that is sorted.
    candidates = np.flatnonzero(keys >= np.partition(keys, len(keys) - top)[len(keys) - top])
    order = np.lexsort((candidates, right[candidates], -keys[candidates]))
    return candidates[order[:top]].astype(np.int64)


def index_lists(relevant: Relevant, queries: int, gallery: int) -> list[NDArray[np.int64]]:
    """Return ``relevant`` as one array of gallery indexes per query, checked.

    Args:
        relevant: bool (q, g), or q arrays of indexes.
        queries: q.
        gallery: g.

    Raises:
        DataError: If there are not q rows, the matrix is not boolean, or an index is out of range or stands twice.
    """
    if isinstance(relevant, np.ndarray) and relevant.dtype != object:
        if relevant.dtype != np.bool_ or relevant.shape != (queries, gallery):
            raise DataError(
                f"the relevance matrix must be bool {(queries, gallery)}, got {relevant.dtype} {relevant.shape}"
            )
        return [np.flatnonzero(row) for row in relevant]
    if len(relevant) != queries:
        raise DataError(f"{queries} queries need as many lists of right items, got {len(relevant)}")
    # The lists of one person's texts are one and the same array: each is checked once. Keeping the array in the
    # dictionary keeps its id from being reused.
    checked: dict[int, tuple[Any, NDArray[np.int64]]] = {}
    lists = []
    for query, items in enumerate(relevant):
        if id(items) not in checked:
            checked[id(items)] = (items, _index_list(items, query, gallery))
        lists.append(checked[id(items)][1])
    return lists


def _index_list(items: Any, query: int, gallery: int) -> NDArray[np.int64]:
    array = np.asarray(items)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"the right items of query {query} must be a list of indexes, got {array.dtype} {array.shape}")
    if array.min() < 0 or array.max() >= gallery:
        raise DataError(f"query {query} names a right item outside the gallery of {gallery}")
    if len(np.unique(array)) != len(array):
        raise DataError(f"query {query} names a right item twice")
    return array.astype(np.int64)


def _score(
    blocks: Iterator[NDArray[Any]], queries: int, gallery: int, relevant: Relevant, margin: float
) -> QueryScores:
    if queries == 0 or gallery == 0:
        raise DataError(f"nothing to rank: {queries} queries, {gallery} gallery items")
    if not 0.0 <= margin < np.inf:
        raise DataError(f"the tie margin must be a finite number of at least 0, got {margin}")
    lists = index_lists(relevant, queries, gallery)
    first_rank = np.zeros(queries, dtype=np.int64)
    average_precision = np.zeros(queries)
    inverse_penalty = np.zeros(queries)
    positives = np.array([len(items) for items in lists], dtype=np.int64)
    query = 0
    for block in blocks:
        if not np.isfinite(block).all():
            row, column = np.argwhere(~np.isfinite(block))[0]
            raise DataError(
                f"the similarity of query {query + row} and gallery item {column} is {block[row, column]}; "
                "only finite numbers can be ranked"
            )
        wrong = block + margin
        for row in range(len(block)):
            wrong[row, lists[query + row]] = -np.inf
        wrong.sort(axis=1)
        for row in range(len(block)):
            items = lists[query + row]
            if len(items) == 0:
                continue
            right = np.sort(block[row, items])[::-1]
            places = np.arange(1, len(items) + 1)
            ranks = places + (gallery - np.searchsorted(wrong[row], right, side="left"))
            first_rank[query + row] = ranks[0]
            average_precision[query + row] = np.mean(places / ranks)
            inverse_penalty[query + row] = len(items) / ranks[-1]
        query += len(block)
    return QueryScores(first_rank, average_precision, inverse_penalty, positives, gallery)


def _blocks(queries: int, gallery: int) -> Iterator[slice]:
    step = max(1, BLOCK_ELEMENTS // max(1, gallery))
    for start in range(0, queries, step):
        yield slice(start, start + step)


def _as_float(block: NDArray[Any]) -> NDArray[Any]:
    """Return float32 and float64 as they are and any other real numbers as float64, where equal stays equal."""
    return block if block.dtype in (np.float32, np.float64) else block.astype(np.float64)


def _check_vectors(queries: NDArray[Any], gallery: NDArray[Any]) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise DataError(
            f"query and gallery vectors must have shapes (q, d) and (g, d), got {queries.shape} and {gallery.shape}"
        )
