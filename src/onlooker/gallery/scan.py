"""The exact scan: for each query the k nearest sightings by inner product, optionally among chosen ones.

Vectors stay float16 in memory, as in the file. The scan itself (NumPy in float32 blocks, or FAISS on the float16 codes)
only proposes: every sighting whose approximate score comes within the rounding error of the k-th is scored again in
float64, the same way whatever proposed it, and ties go to the smaller sighting id. So both give the same answer to the
last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import QueryError

if TYPE_CHECKING:
    from onlooker.gallery.filters import Filter
    from onlooker.gallery.store import Gallery

ONE_SHOT_FAISS_ROWS = 400_000
"""From here FAISS wins in a process that scans once; below, importing it and copying the codes into it costs more than
it saves. On an x86 core at 256 dimensions: 300,000 rows NumPy 163 ms, FAISS 167; 500,000 rows 271 and 236."""

RESIDENT_FAISS_ROWS = 5_000
"""From here FAISS wins in a process that goes on scanning: at 5,000 rows 0.24 against 2.7 ms, at 100,000 3.9 and 52."""

FAISS_QUERIES = 8
"""Up to so many queries at a time FAISS wins: it scans once for each, a matrix product only once for all."""

GATHER_FRACTION = 0.05
"""Up to this part of the rows, gathering the chosen ones and scanning those beats scanning all under a bitmap."""

BLOCK_ROWS = 2048
"""Rows turned into float32 at a time: 2 MB at 256 dimensions, which stays in the cache of a core."""

TILE_SCORES = 1 << 24
"""Scores held at a time when there are many queries: 64 MB."""

Found = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Sighting ids and similarities of one query, best first."""


class VectorScan:
    """The vectors of a gallery in memory, ready to be scanned; not safe for several threads at once.

    Attributes:
        ids: int64 (m,), the sighting of each row, ascending; a sighting with several views has several rows.
        sequence: The state of the gallery the rows are from.
    """

    def __init__(
        self,
        ids: NDArray[np.int64],
        vectors: NDArray[np.float16],
        *,
        sequence: int = 0,
        faiss_rows: int = RESIDENT_FAISS_ROWS,
    ) -> None:
        """Take vectors.

        Args:
            ids: int64 (m,), ascending.
            vectors: float16 (m, d), L2-normalised.
            sequence: The state of the gallery they are from.
            faiss_rows: From how many rows on FAISS does the scanning.
        """
        if ids.shape != vectors.shape[:1] or vectors.ndim != 2:
            raise ValueError(f"wanted ids (m,) and vectors (m, d), got {ids.shape} and {vectors.shape}")
        self.ids = ids
        self.sequence = sequence
        self._vectors = vectors
        self._faiss_rows = faiss_rows
        self._index: Any = None
        self._starts, self._views = _groups(ids)

    @classmethod
    def load(cls, gallery: Gallery, kept: Filter | None = None, *, faiss_rows: int = RESIDENT_FAISS_ROWS) -> VectorScan:
        """Read the vectors of a gallery, of all sightings or of those that pass a filter.

        Args:
            gallery: An open gallery.
            kept: Which sightings; a scan that is to be refreshed needs all of them.
            faiss_rows: From how many rows on FAISS does the scanning.
        """
        ids, vectors, sequence = gallery.vectors(kept)
        return cls(ids, vectors, sequence=sequence, faiss_rows=faiss_rows)

    def __len__(self) -> int:
        """Return the number of sightings."""
        return len(self._starts)

    @property
    def vectors(self) -> NDArray[np.float16]:
        """The vectors, float16 (m, d); a view on FAISS's own memory once it has them, so that there is one copy."""
        return self._vectors

    def refresh(self, gallery: Gallery) -> bool:
        """Take over what was added to and removed from the gallery since; cheap when nothing was.

        Returns:
            Whether anything changed.
        """
        changes = gallery.changes_since(self.sequence)
        if changes.sequence == self.sequence:
            return False
        keep = ~np.isin(self.ids, changes.removed)
        ids = self.ids[keep]
        fresh = changes.ids > (ids[-1] if len(ids) else 0)
        self.ids = np.concatenate([ids, changes.ids[fresh]])
        if self._index is None:
            self._vectors = np.concatenate([self._vectors[keep], changes.vectors[fresh]])
        else:
            self._refresh_faiss(keep, changes.vectors[fresh])
        self._starts, self._views = _groups(self.ids)
        self.sequence = changes.sequence
        return True

    def top(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None = None) -> list[Found]:
        """Find the nearest sightings of each query.

        Args:
            queries: float32 (q, d), L2-normalised.
            k: How many sightings at most, from 1.
            allowed: int64, ascending: only these sightings; all where None.

        Returns:
            For each query the ids, int64, and the similarities, float64 (for unit vectors -1 to 1), at most k of each,
            best first, equal ones by id. The similarity of a sighting is that of its nearest view.

        Raises:
            QueryError: k below 1, or queries of another dimension or with values that are not finite.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        dimension = self._vectors.shape[1]
        if queries.ndim != 2 or queries.shape[1] != dimension:
            raise QueryError(f"query vectors of shape {queries.shape} do not fit vectors of dimension {dimension}")
        if not np.isfinite(queries).all():
            raise QueryError("a query vector is not finite; check the bundle")
        if k < 1:
            raise QueryError(f"top {k} asks for nothing; give 1 or more")
        rows = None if allowed is None else self._rows_of(allowed)
        if rows is not None and len(rows) <= GATHER_FRACTION * len(self.ids):
            return _scan_numpy(self._vectors[rows], self.ids[rows], queries, k)
        if len(self.ids) >= max(1, self._faiss_rows) and len(queries) <= FAISS_QUERIES:
            return self._scan_faiss(queries, k, rows)
        if rows is not None:
            return _scan_numpy(self._vectors[rows], self.ids[rows], queries, k)
        return _scan_numpy(self._vectors, self.ids, queries, k)

    def nearest_views(self, query: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vector that each of some sightings was found by.

        Args:
            query: float32 (d,), what was searched for.
            ids: int64 (m,), sightings of this scan in any order.

        Returns:
            float32 (m, d), of each sighting the view nearest to the query.
        """
        first = np.searchsorted(self.ids, ids, side="left")
        if self._views > 1:
            last = np.searchsorted(self.ids, ids, side="right")
            first = np.array(
                [
                    begin + int((self._vectors[begin:end].astype(np.float32) @ query).argmax())
                    for begin, end in zip(first.tolist(), last.tolist(), strict=True)
                ],
                dtype=np.intp,
            )
        views: NDArray[np.float32] = self._vectors[first].astype(np.float32)
        return views

    def _rows_of(self, allowed: NDArray[np.int64]) -> NDArray[np.intp]:
        first = np.searchsorted(self.ids, allowed, side="left")
        if self._views == 1:
            inside = first < len(self.ids)
            first, allowed = first[inside], allowed[inside]
            hits: NDArray[np.intp] = first[self.ids[first] == allowed]
            return hits
        counts = np.searchsorted(self.ids, allowed, side="right") - first
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows: NDArray[np.intp] = np.repeat(first, counts) + offsets
        return rows

    def _scan_faiss(self, queries: NDArray[np.float32], k: int, rows: NDArray[np.intp] | None) -> list[Found]:
        faiss = _faiss()

        if self._index is None:
            dimension = self._vectors.shape[1]
            self._index = faiss.IndexScalarQuantizer(
                dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            self._index.add_sa_codes(self._vectors.view(np.uint8))
            self._view_codes()
        parameters = None
        if rows is not None:
            mask = np.zeros(len(self.ids), dtype=bool)
            mask[rows] = True
            bits = np.packbits(mask, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        available = len(self.ids) if rows is None else len(rows)
        return [self._faiss_one(query, k, available, parameters) for query in queries]

    def _faiss_one(self, query: NDArray[np.float32], k: int, available: int, parameters: Any) -> Found:
        # k times the most views a sighting has holds k sightings; a few more save a second scan where scores lie close.
        wanted = k * self._views + 16
        while True:
            wanted = min(wanted, available)
            scores, labels = self._index.search(query[None], wanted, params=parameters)
            rows, proposed = labels[0], scores[0].astype(np.float64)
            _, first = np.unique(self.ids[rows], return_index=True)
            # Rows come best first, so the first row of each sighting holds its score.
            best = proposed[np.sort(first)]
            if wanted == available or proposed[-1] < best[min(k, len(best)) - 1] - _slack(query):
                return _settle(self._vectors[rows], self.ids[rows], query, k)
            wanted *= 4

    def _refresh_faiss(self, keep: NDArray[np.bool_], fresh: NDArray[np.float16]) -> None:
        faiss = _faiss()

        # The view must go first: adding may move the memory it looks at.
        self._vectors = fresh
        if not keep.all():
            gone = np.flatnonzero(~keep).astype(np.int64)
            self._index.remove_ids(faiss.IDSelectorBatch(gone))
        if len(fresh):
            self._index.add_sa_codes(np.ascontiguousarray(fresh).view(np.uint8))
        self._view_codes()

    def _view_codes(self) -> None:
        faiss = _faiss()

        rows, dimension = self._index.ntotal, self._index.d
        codes = faiss.rev_swig_ptr(self._index.codes.data(), rows * dimension * 2)
        self._vectors = codes.view(np.float16).reshape(rows, dimension)


def _faiss() -> Any:
    """Import FAISS where it is first needed: it costs a search over a small gallery more than it saves."""
    import faiss

    return faiss


def _groups(ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], int]:
    """Return the first row of each sighting, and the largest number of rows one has (1 where there are none)."""
    if not len(ids):
        return np.zeros(0, np.intp), 1
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    return starts, int(np.diff(np.r_[starts, len(ids)]).max())


def _slack(query: NDArray[np.float32]) -> float:
    """Return how far off two float32 scores may be together: twice d roundings of 2^-24, for unit vectors."""
    return 2.02 * len(query) * 2.0**-24 * float(np.linalg.norm(query))


def _settle(vectors: NDArray[np.float16], ids: NDArray[np.int64], query: NDArray[np.float32], k: int) -> Found:
    """Score a few rows in float64, keep each sighting's best, and return the k best sightings in the final order."""
    # Summed along each row, unlike a matrix product, so that equal vectors get equal scores wherever they stand.
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    order = np.lexsort((ids, -scores))
    _, first = np.unique(ids[order], return_index=True)
    order = order[np.sort(first)[:k]]
    return ids[order], scores[order]


def _scan_numpy(
    vectors: NDArray[np.float16], ids: NDArray[np.int64], queries: NDArray[np.float32], k: int
) -> list[Found]:
    rows = len(ids)
    if not rows:
        return [(np.zeros(0, np.int64), np.zeros(0)) for _ in queries]
    starts, views = _groups(ids)
    found: list[Found] = []
    tile = max(1, TILE_SCORES // rows)
    for begin in range(0, len(queries), tile):
        part = queries[begin : begin + tile]
        scores = np.empty((len(part), rows), dtype=np.float32)
        for row in range(0, rows, BLOCK_ROWS):
            block = vectors[row : row + BLOCK_ROWS].astype(np.float32)
            np.matmul(part, block.T, out=scores[:, row : row + BLOCK_ROWS])
        for query, line in zip(part, scores, strict=True):
            best = line if views == 1 else np.maximum.reduceat(line, starts)
            at = max(len(best) - k, 0)
            limit = float(np.partition(best, at)[at]) - _slack(query)
            near = np.flatnonzero(line >= limit)
            found.append(_settle(vectors[near], ids[near], query, k))
    return found
