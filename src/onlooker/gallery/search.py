"""Searching a gallery: query vectors in, matches out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from onlooker.runtime.calibration import DEPTH, Nobody


class Judge(Protocol):
    """Turns what was found for one query into probabilities; a bundle's is ``onlooker.runtime.calibration``."""

    def judge(
        self,
        query: NDArray[np.float32],
        similarities: NDArray[np.float64],
        vectors: NDArray[np.float32],
        searched: int,
    ) -> tuple[NDArray[np.float64], Nobody]:
        """Return for each match the probability (m,), 0 to 1, that it is who was meant, and whether nobody is.

        Args:
            query: float32 (d,).
            similarities: float64 (m,), best first, of ``DEPTH`` matches at least or of all sightings there are.
            vectors: float32 (m, d), of the matches.
            searched: How many sightings were searched, filters applied.
        """


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


class Matches(list[Match]):
    """The matches of one query, best first.

    Attributes:
        nobody: Whether nobody among the sightings searched fits.
        mended: Words of the query that were read as others, typing errors: (as typed, as read).
    """

    def __init__(
        self, matches: Iterable[Match] = (), nobody: Nobody | None = None, *, mended: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Take matches.

        Args:
            matches: Best first.
            nobody: What the calibration says; None where there is none: then nobody fits only where nothing matches.
            mended: Words of the query that were read as others.
        """
        super().__init__(matches)
        self.nobody = nobody or Nobody(None, None, verdict=not self)
        self.mended = tuple(mended)

    def first(self, top: int) -> Matches:
        """Return the best of them, with the same verdict on all."""
        return Matches(self[:top], self.nobody, mended=self.mended)


def search(
    gallery: Gallery,
    vectors: NDArray[np.float32],
    top: int = 10,
    kept: Filter | None = None,
    *,
    scan: VectorScan | None = None,
    calibration: Judge | Sequence[Judge | None] | None = None,
) -> list[Matches]:
    """Find the sightings nearest to each query among those that pass a filter.

    The filter is applied before the scan, so a narrow one costs nothing in completeness. Without ``scan`` only the
    vectors that pass are read from the file; with it they are chosen in memory, after catching up with the gallery.

    Args:
        gallery: The open gallery.
        vectors: float32 (q, d), L2-normalised.
        top: How many matches at most for each query, from 1.
        kept: Which sightings may match; all where None.
        scan: Vectors of the whole gallery held in memory by a process that searches again and again.
        calibration: Of the bundle the vectors are from, if it has one, and of their kind: descriptions
            (``onlooker.runtime.calibration``) or pictures (``onlooker.gallery.likeness``). One for all queries, or one,
            or None, for each.

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
        # How sure a match is depends on the others, those not asked for included.
        judges: Sequence[Judge | None]
        judges = calibration if isinstance(calibration, Sequence) else [calibration] * len(vectors)
        depth = max(top, DEPTH) if any(judge is not None for judge in judges) else top
        allowed = None
        if scan is None:
            scan = VectorScan.load(gallery, kept, faiss_rows=ONE_SHOT_FAISS_ROWS)
        else:
            scan.refresh(gallery)
            allowed = read_ids(connection, kept) if kept else None
        searched = len(scan) if allowed is None else len(allowed)
        answers = []
        found = scan.top(vectors, depth, allowed)
        for query, judge, (ids, similarities) in zip(vectors, judges, found, strict=True):
            confidences: Sequence[float | None] = [None] * len(ids)
            nobody = None
            if judge is not None and len(ids):
                judged, nobody = judge.judge(query, similarities, scan.nearest_views(query, ids), searched)
                confidences = judged.tolist()
            sightings = gallery.sightings(ids[:top].tolist())
            shown = zip(similarities[:top].tolist(), confidences[:top], sightings, strict=True)
            matches = (
                Match(rank, similarity, confidence, sighting)
                for rank, (similarity, confidence, sighting) in enumerate(shown, start=1)
            )
            answers.append(Matches(matches, nobody))
    return answers


def nobody_of(matches: Sequence[Match]) -> Nobody:
    """Return whether nobody fits; of matches without a verdict of their own, whether there are none."""
    return matches.nobody if isinstance(matches, Matches) else Matches(matches).nobody


def mended_of(matches: Sequence[Match]) -> tuple[tuple[str, str], ...]:
    """Return the words of the query that were read as others, as far as is known."""
    return matches.mended if isinstance(matches, Matches) else ()


def is_nobody(matches: Sequence[Match]) -> bool:
    """Say whether nobody fits, as far as can be told; see ``nobody_of``."""
    return nobody_of(matches).verdict
