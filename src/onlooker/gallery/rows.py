"""The rows of a gallery: the SQL that the store runs inside its transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from onlooker.errors import QueryError
from onlooker.gallery.records import (
    CameraCount,
    Sighting,
    SightingView,
    SourceKey,
    SourceUpdate,
    StoredSighting,
    decode_vectors,
    from_microseconds,
    to_microseconds,
)

SELECT_SIGHTING = """
    SELECT s.id, c.name, o.name, s.time_us, s.time_s, s.start_s, s.end_s, s.x, s.y, s.width, s.height, s.score, s.track
    FROM sighting s JOIN source o ON o.id = s.source_id JOIN camera c ON c.id = s.camera_id
    WHERE s.id = ?
"""

SELECT_SOURCE = """
    SELECT o.id, o.name, o.complete, o.resume_s FROM source o JOIN camera c ON c.id = o.camera_id
    WHERE o.sha256 = ? AND c.name = ?
"""


def camera_id(connection: sqlite3.Connection, name: str) -> int:
    """Return the row id of a camera, made where it is new."""
    connection.execute("INSERT INTO camera (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    return int(connection.execute("SELECT id FROM camera WHERE name = ?", (name,)).fetchone()[0])


def find_source(connection: sqlite3.Connection, key: SourceKey) -> tuple[int, str, bool, float | None] | None:
    """Return row id, name, complete and resume_s of a source, or None where it was never begun."""
    row = connection.execute(SELECT_SOURCE, (key.sha256, key.camera)).fetchone()
    return None if row is None else (row[0], row[1], bool(row[2]), row[3])


def update_source(connection: sqlite3.Connection, camera: int, source: SourceUpdate) -> int | None:
    """Write a source's state and return its row id, or None where it was complete and stays so."""
    row = connection.execute(
        """
        INSERT INTO source (sha256, camera_id, name, complete, resume_s, updated_us) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (sha256, camera_id) DO UPDATE
        SET name = excluded.name, complete = excluded.complete, resume_s = excluded.resume_s,
            updated_us = excluded.updated_us
        WHERE complete = 0
        RETURNING id
        """,
        (source.key.sha256, camera, source.name, source.complete, source.resume_s, time.time_ns() // 1000),
    ).fetchone()
    return None if row is None else int(row[0])


def next_change(connection: sqlite3.Connection) -> int:
    """Count the change sequence on and return its new value."""
    return int(connection.execute("UPDATE meta SET change = change + 1 RETURNING change").fetchone()[0])


def insert(
    connection: sqlite3.Connection,
    source: int,
    camera: int,
    change: int,
    sighting: Sighting,
    vectors: Sequence[bytes],
    views: Sequence[bytes] = (),
) -> int:
    """Write one sighting with its crops, its vector blobs and those of its views, and return its id."""
    now_us = time.time_ns() // 1000
    time_us = None if sighting.time is None else to_microseconds(sighting.time)
    # A camera whose clock was ahead must not keep people longer than the others do.
    aged_us = now_us if time_us is None else min(time_us, now_us)
    pictures = [sighting.crop, *(view.crop for view in sighting.views[1:])]
    size = sum(len(blob) for blob in (*pictures, *vectors, *views))
    x, y, width, height = sighting.box
    (sighting_id,) = connection.execute(
        """
        INSERT INTO sighting (source_id, camera_id, time_us, time_s, start_s, end_s, x, y, width, height, score, track,
                              change, aged_us, bytes)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
        """,
        (
            *(source, camera, time_us, sighting.time_s, sighting.first_s, sighting.end_s),
            *(x, y, width, height, sighting.score, sighting.track, change, aged_us, size),
        ),
    ).fetchone()
    connection.execute("INSERT INTO crop (sighting_id, jpeg) VALUES (?, ?)", (sighting_id, sighting.crop))
    connection.executemany(
        "INSERT INTO vector (sighting_id, value) VALUES (?, ?)", [(sighting_id, blob) for blob in vectors]
    )
    connection.executemany(
        "INSERT INTO view (sighting_id, time_s, x, y, width, height, value, jpeg) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (sighting_id, view.time_s, *view.box, blob, view.crop if number else None)
            for number, (view, blob) in enumerate(zip(sighting.views, views, strict=True))
        ],
    )
    return int(sighting_id)


def read_sighting_views(connection: sqlite3.Connection, sighting_id: int, dimension: int) -> list[SightingView]:
    """Return the views of a sighting, the best first; none where only its crop is kept."""
    found = connection.execute(
        """
        SELECT v.time_s, v.x, v.y, v.width, v.height, coalesce(v.jpeg, c.jpeg), v.value
        FROM view v JOIN crop c ON c.sighting_id = v.sighting_id WHERE v.sighting_id = ? ORDER BY v.id
        """,
        (sighting_id,),
    ).fetchall()
    return [
        SightingView(
            time_s=time_s,
            box=(x, y, width, height),
            crop=bytes(jpeg),
            vector=decode_vectors([value], dimension)[0].astype(np.float32),
        )
        for time_s, x, y, width, height, jpeg, value in found
    ]


def delete(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Delete sightings, note that they are gone, and return how many there were."""
    if not ids:
        return 0
    change = next_change(connection)
    removed = 0
    for sighting_id in ids:
        if connection.execute("DELETE FROM sighting WHERE id = ?", (sighting_id,)).rowcount:
            connection.execute("INSERT INTO removed (sighting_id, change) VALUES (?, ?)", (sighting_id, change))
            removed += 1
    return removed


def bar(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """See to it that recordings not yet read to their end are not gone on with where sightings were seen."""
    for sighting_id in ids:
        connection.execute(
            """
            UPDATE source SET barrier_s = max(coalesce(barrier_s, 0), coalesce(s.end_s, s.time_s, 0))
            FROM sighting s WHERE s.id = ? AND source.id = s.source_id AND source.complete = 0
            """,
            (sighting_id,),
        )


def fix_point(connection: sqlite3.Connection, source: int, resume_s: float) -> float:
    """Return the largest time at or before ``resume_s``, in seconds, that no stored track of a source crosses."""
    start_s = resume_s
    while True:
        (earliest_s,) = connection.execute(
            "SELECT min(coalesce(start_s, 0)) FROM sighting WHERE source_id = ? AND coalesce(end_s, time_s, 0) >= ?",
            (source, start_s),
        ).fetchone()
        if earliest_s is None or earliest_s >= start_s:
            return start_s
        start_s = float(earliest_s)


def barrier_of(connection: sqlite3.Connection, source: int) -> float | None:
    """Return the time at or before which a recording must not be looked at again; None where there is none."""
    (barrier_s,) = connection.execute("SELECT barrier_s FROM source WHERE id = ?", (source,)).fetchone()
    return None if barrier_s is None else float(barrier_s)


def beginning_from(connection: sqlite3.Connection, source: int, start_s: float) -> list[int]:
    """Return the sightings of a source whose track begins at or after a time."""
    found = connection.execute(
        "SELECT id FROM sighting WHERE source_id = ? AND coalesce(start_s, 0) >= ?", (source, start_s)
    ).fetchall()
    return [sighting_id for (sighting_id,) in found]


def ending_from(connection: sqlite3.Connection, source: int, start_s: float) -> list[int]:
    """Return the sightings of a source whose track ends at or after a time; those of a photo count as 0 s."""
    found = connection.execute(
        "SELECT id FROM sighting WHERE source_id = ? AND coalesce(end_s, time_s, 0) >= ?", (source, start_s)
    ).fetchall()
    return [sighting_id for (sighting_id,) in found]


def read_sighting(connection: sqlite3.Connection, sighting_id: int) -> StoredSighting:
    """Return one sighting.

    Raises:
        QueryError: No such sighting.
    """
    row = connection.execute(SELECT_SIGHTING, (sighting_id,)).fetchone()
    if row is None:
        raise QueryError(f"there is no sighting {sighting_id} in this gallery; it may have been deleted, search again")
    _, camera, source, time_us, time_s, start_s, end_s, x, y, width, height, score, track = row
    return StoredSighting(
        id=sighting_id,
        camera=camera,
        source=source,
        time=_time(time_us),
        time_s=time_s,
        start_s=start_s,
        end_s=end_s,
        box=(x, y, width, height),
        score=score,
        track=track,
    )


def read_cameras(connection: sqlite3.Connection) -> list[CameraCount]:
    """Return every camera by name, with counts and the span of known times."""
    found: list[tuple[Any, ...]] = connection.execute(
        """
        SELECT c.name, (SELECT count(*) FROM source o WHERE o.camera_id = c.id), count(s.id),
               min(s.time_us), max(s.time_us)
        FROM camera c LEFT JOIN sighting s ON s.camera_id = c.id GROUP BY c.id ORDER BY c.name
        """
    ).fetchall()
    return [CameraCount(name, sources, count, _time(first), _time(last)) for name, sources, count, first, last in found]


def _time(time_us: int | None) -> datetime | None:
    return None if time_us is None else from_microseconds(time_us)
