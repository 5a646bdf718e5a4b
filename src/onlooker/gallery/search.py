"""Searching a gallery: query vectors in, matches out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import QueryError
from onlooker.gallery.filters import Filter
from onlooker.gallery.records import StoredSighting
from onlooker.gallery.scan import ONE_SHOT_FAISS_ROWS, VectorScan
from onlooker.gallery.store import Gallery
from onlooker.gallery.vectors import read_ids

NOBODY_CONFIDENCE = 0.5
"""Below this confidence a match is more likely somebody else than the person described."""


class Calibration(Protocol):
    """Turns the similarities of one query into probabilities."""

    def __call__(self, query: NDArray[np.float32], similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each similarity (m,) to the query (d,) the probability (m,), 0 to 1, that it is who was meant."""


@dataclass(frozen=True)
class Match:
    """One sighting found.

    Attributes:
        rank: 1 for the best.
        similarity: Cosine of the query and the sighting's nearest view, -1 to 1.
        confidence: Probability 0 to 1 that this is who was meant; None while the bundle carries no calibration.
        sighting: What was found.
    """

    rank: int
    similarity: float
    confidence: float | None
    sighting: StoredSighting


def search(
    gallery: Gallery,
    vectors: NDArray[np.float32],
    top: int = 10,
    kept: Filter | None = None,
    *,
    scan: VectorScan | None = None,
    calibration: Calibration | None = None,
) -> list[list[Match]]:
    """Find the sightings nearest to each query among those that pass a filter.

    The filter is applied before the scan, so a narrow one costs nothing in completeness. Without ``scan`` only the
    vectors that pass are read from the file; with it they are chosen in memory, after catching up with the gallery.

    Args:
        gallery: The open gallery.
        vectors: float32 (q, d), L2-normalised.
        top: How many matches at most for each query, from 1.
        kept: Which sightings may match; all where None.
        scan: Vectors of the whole gallery held in memory by a process that searches again and again.
        calibration: Of the bundle the vectors are from, if it has one.

    Returns:
        The matches of each query, best first, each sighting at most once; none where no sighting passes the filter.

    Raises:
        QueryError: An empty gallery, an unknown camera or source, ``top`` below 1, or vectors that do not fit.
    """
    kept = kept or Filter()
    with gallery.reading() as connection:
        if connection.execute("SELECT 1 FROM sighting LIMIT 1").fetchone() is None:
            raise QueryError(
                f"the gallery {gallery.path} holds no sightings; fill it with "
                f"`onlooker index PATH --gallery {gallery.path}`"
            )
        kept.check(connection)
        if scan is None:
            found = VectorScan.load(gallery, kept, faiss_rows=ONE_SHOT_FAISS_ROWS).top(vectors, top)
        else:
            scan.refresh(gallery)
            found = scan.top(vectors, top, read_ids(connection, kept) if kept else None)
        answers = []
        for query, (ids, similarities) in zip(vectors, found, strict=True):
            confidences: Sequence[float | None] = [None] * len(ids)
            if calibration is not None and len(ids):
                confidences = calibration(query, similarities).tolist()
            sightings = gallery.sightings(ids.tolist())
            answers.append(
                [
                    Match(rank, similarity, confidence, sighting)
                    for rank, (similarity, confidence, sighting) in enumerate(
                        zip(similarities.tolist(), confidences, sightings, strict=True), start=1
                    )
                ]
            )
    return answers


def is_nobody(matches: Sequence[Match]) -> bool:
    """Say whether nobody fits: there is no match, or none whose confidence reaches ``NOBODY_CONFIDENCE``."""
    return all(match.confidence is not None and match.confidence < NOBODY_CONFIDENCE for match in matches)
