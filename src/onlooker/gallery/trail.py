"""The trail of a sighting: where else, and when, the same person may have been seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onlooker.errors import QueryError
from onlooker.gallery.filters import Filter
from onlooker.gallery.likeness import Likeness
from onlooker.gallery.records import StoredSighting
from onlooker.gallery.scan import ONE_SHOT_FAISS_ROWS, VectorScan
from onlooker.gallery.search import Match
from onlooker.gallery.store import Gallery
from onlooker.gallery.vectors import read_ids, read_views
from onlooker.runtime.calibration import DEPTH

TOP = 20
"""Suggestions given at most: what somebody will look through."""

TOGETHER_S = 0.5
"""Two tracks of one recording that overlap for longer show two people; a tracker may lose and find one within this."""


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Where else the person of a sighting may have been seen.

    Attributes:
        start: The sighting asked about.
        stops: Suggestions in the order of time; ``rank`` says how alike each is, 1 for the most. Those without a known
            time come last, by camera, source and place in the recording.
        searched: How many sightings were looked at.
        together: How many were left out because they were in the same picture at the same time.
    """

    start: StoredSighting
    stops: tuple[Match, ...]
    searched: int
    together: int


def trail(
    gallery: Gallery,
    sighting_id: int,
    *,
    likeness: Likeness | None = None,
    kept: Filter | None = None,
    top: int = TOP,
    scan: VectorScan | None = None,
) -> Trail:
    """Suggest where else the person of a sighting was seen: other cameras, other times.

    Nobody is at two places at once: whoever is in the same photo, or in the same recording at the same time, is
    somebody else and left out. Where the bundle has a likeness, sightings that speak against being the same person are
    left out as well, however few remain.

    Args:
        gallery: The open gallery.
        sighting_id: The sighting.
        likeness: Of the bundle that the gallery was made with; without it nothing has a confidence.
        kept: Where and when to look; everywhere where None.
        top: How many suggestions at most, from 1.
        scan: Vectors of the whole gallery held in memory by a process that asks again and again.

    Returns:
        The suggestions with similarities and confidences (0 to 1, or None).

    Raises:
        QueryError: No such sighting, an unknown camera or source, or ``top`` below 1.
    """
    if top < 1:
        raise QueryError(f"top {top} asks for nothing; give 1 or more")
    kept = kept or Filter()
    with gallery.reading() as connection:
        start = gallery.sighting(sighting_id)
        kept.check(connection)
        elsewhere = _together(connection, sighting_id, start)
        if scan is None:
            scan = VectorScan.load(gallery, kept, faiss_rows=ONE_SHOT_FAISS_ROWS)
            ids = np.unique(scan.ids)
        else:
            scan.refresh(gallery)
            ids = read_ids(connection, kept)
        allowed = ids[~np.isin(ids, [sighting_id, *elsewhere])]
        own = read_views(connection, sighting_id, gallery.info.dimension).astype(np.float32)
        # Several vectors of one sighting are one person: their mean, of unit length.
        query = own.mean(axis=0)
        query /= max(float(np.linalg.norm(query)), 1e-6)
        ((found, similarities),) = scan.top(query[None], max(top, DEPTH), allowed)
        confidences: Sequence[float | None] = [None] * len(found)
        if likeness is not None and len(found):
            vectors = scan.nearest_views(query, found)
            judged, _ = likeness.judge(query, similarities, vectors, len(allowed))
            confidences = judged.tolist()
            speaks_for = likeness.evidence(query, similarities, vectors) > 0
            # Not the best alone: the levels of the pictures may change the order a little.
            found, similarities = found[speaks_for], similarities[speaks_for]
            confidences = [one for one, kept_one in zip(confidences, speaks_for, strict=True) if kept_one]
        matches = [
            Match(rank, similarity, confidence, seen)
            for rank, (similarity, confidence, seen) in enumerate(
                zip(
                    similarities[:top].tolist(), confidences[:top], gallery.sightings(found[:top].tolist()), strict=True
                ),
                start=1,
            )
        ]
    return Trail(
        start=start,
        stops=tuple(sorted(matches, key=_when)),
        searched=len(allowed),
        together=int(np.isin(ids, elsewhere).sum()),
    )


def _together(connection: sqlite3.Connection, sighting_id: int, start: StoredSighting) -> list[int]:
    """Return the other sightings of the same source at the same time."""
    found = connection.execute(
        """
        SELECT o.id, coalesce(o.start_s, o.time_s), coalesce(o.end_s, o.time_s)
        FROM sighting s JOIN sighting o ON o.source_id = s.source_id AND o.id <> s.id WHERE s.id = ?
        """,
        (sighting_id,),
    ).fetchall()
    if start.time_s is None:
        return [other for other, *_ in found]
    begin = start.time_s if start.start_s is None else start.start_s
    end = start.time_s if start.end_s is None else start.end_s
    return [
        other
        for other, other_begin, other_end in found
        if other_begin is not None and min(end, other_end) - max(begin, other_begin) > TOGETHER_S
    ]


def _when(match: Match) -> tuple[bool, float, str, str, float, int]:
    seen = match.sighting
    return (
        seen.time is None,
        0.0 if seen.time is None else seen.time.timestamp(),
        seen.camera,
        seen.source,
        seen.time_s or 0.0,
        seen.id,
    )
