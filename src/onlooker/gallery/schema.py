"""The tables of a gallery file, made by named steps that are run once each and recorded with a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

APPLICATION_ID = 0x4F4E4C4B
"""The four letters ONLK in the SQLite header: what tells a gallery from any other SQLite file."""

Step = Callable[[sqlite3.Connection], None]


def m001_sightings(connection: sqlite3.Connection) -> None:
    """Make the tables of the first format.

    Crops and vectors have tables of their own, so that listing sightings does not read pictures, and a scan reads
    nothing but vectors. ``sighting.camera_id`` repeats the source's camera, so that one index serves "this camera in
    this hour". ``AUTOINCREMENT`` keeps a deleted id from coming back with another person's picture.
    """
    for statement in (
        """
        CREATE TABLE meta (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            schema_version INTEGER NOT NULL,
            encoder_id TEXT NOT NULL,
            bundle_name TEXT NOT NULL,
            dimension INTEGER NOT NULL CHECK (dimension > 0),
            created_us INTEGER NOT NULL,
            onlooker_version TEXT NOT NULL,
            change INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE TABLE camera (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
        """
        CREATE TABLE source (
            id INTEGER PRIMARY KEY,
            sha256 TEXT NOT NULL,
            camera_id INTEGER NOT NULL REFERENCES camera (id),
            name TEXT NOT NULL,
            complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
            resume_s REAL,
            updated_us INTEGER NOT NULL,
            UNIQUE (sha256, camera_id)
        ) STRICT
        """,
        """
        CREATE TABLE sighting (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            source_id INTEGER NOT NULL REFERENCES source (id),
            camera_id INTEGER NOT NULL REFERENCES camera (id),
            time_us INTEGER,
            time_s REAL,
            start_s REAL,
            end_s REAL,
            x INTEGER NOT NULL,
            y INTEGER NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            score REAL NOT NULL,
            track INTEGER,
            change INTEGER NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE crop (
            sighting_id INTEGER PRIMARY KEY REFERENCES sighting (id) ON DELETE CASCADE,
            jpeg BLOB NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE vector (
            id INTEGER PRIMARY KEY,
            sighting_id INTEGER NOT NULL REFERENCES sighting (id) ON DELETE CASCADE,
            value BLOB NOT NULL
        ) STRICT
        """,
        "CREATE TABLE removed (sighting_id INTEGER PRIMARY KEY, change INTEGER NOT NULL) STRICT",
        "CREATE INDEX sighting_by_camera ON sighting (camera_id, time_us)",
        "CREATE INDEX sighting_by_time ON sighting (time_us)",
        "CREATE INDEX sighting_by_source ON sighting (source_id)",
        "CREATE INDEX sighting_by_change ON sighting (change)",
        "CREATE INDEX source_by_name ON source (name)",
        "CREATE INDEX vector_by_sighting ON vector (sighting_id)",
        "CREATE INDEX removed_by_change ON removed (change)",
    ):
        connection.execute(statement)


def m002_views(connection: sqlite3.Connection) -> None:
    """Add the further views of a sighting, and what deletion by age, by size and by wish needs to know.

    The best view of a sighting has no picture of its own in ``view``: it is the one in ``crop``. ``aged_us`` is the
    time that a sighting's age counts from, for those that nobody knows the time of as well. Triggers keep
    ``camera.bytes`` equal to the sum of ``sighting.bytes``, so that nobody has to add up a million rows to see whether
    a camera is over its limit. Of a recording that is not read to its end, nothing at or before ``barrier_s`` is
    looked at again: somebody was seen there who is to be forgotten. ``meta`` knows up to which deletion,
    and when, the unused space of the file was last wiped.
    """
    for statement in (
        "ALTER TABLE meta ADD COLUMN scrubbed_change INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE meta ADD COLUMN scrubbed_us INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE view (
            id INTEGER PRIMARY KEY,
            sighting_id INTEGER NOT NULL REFERENCES sighting (id) ON DELETE CASCADE,
            time_s REAL,
            x INTEGER NOT NULL,
            y INTEGER NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            value BLOB NOT NULL,
            jpeg BLOB
        ) STRICT
        """,
        "CREATE INDEX view_by_sighting ON view (sighting_id)",
        "ALTER TABLE source ADD COLUMN barrier_s REAL",
        "ALTER TABLE sighting ADD COLUMN aged_us INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE sighting ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE camera ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
        """
        UPDATE sighting SET
            aged_us = min(
                coalesce(time_us, (SELECT updated_us FROM source WHERE source.id = source_id)),
                (SELECT updated_us FROM source WHERE source.id = source_id)
            ),
            bytes = (SELECT length(jpeg) FROM crop WHERE crop.sighting_id = sighting.id)
                + (SELECT sum(length(value)) FROM vector WHERE vector.sighting_id = sighting.id)
        """,
        """
        UPDATE camera SET bytes = (SELECT coalesce(sum(s.bytes), 0) FROM sighting s WHERE s.camera_id = camera.id)
        """,
        "CREATE INDEX sighting_by_age ON sighting (camera_id, aged_us)",
        """
        CREATE TRIGGER sighting_added AFTER INSERT ON sighting BEGIN
            UPDATE camera SET bytes = bytes + NEW.bytes WHERE id = NEW.camera_id;
        END
        """,
        """
        CREATE TRIGGER sighting_deleted AFTER DELETE ON sighting BEGIN
            UPDATE camera SET bytes = bytes - OLD.bytes WHERE id = OLD.camera_id;
        END
        """,
    ):
        connection.execute(statement)


STEPS: tuple[Step, ...] = (m001_sightings, m002_views)
"""Every step, in order; a step that has been in a release is never changed, only followed."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many steps a file has seen, from its header."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection) -> None:
    """Run the steps that a file has not seen, in the transaction that is open."""
    connection.execute("CREATE TABLE IF NOT EXISTS step (name TEXT PRIMARY KEY, applied_us INTEGER NOT NULL) STRICT")
    for step in STEPS[version_of(connection) :]:
        step(connection)
        connection.execute("INSERT INTO step VALUES (?, ?)", (step.__name__, time.time_ns() // 1000))
    # Pragmas take no parameters; the value is an int of ours.
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    connection.execute("UPDATE meta SET schema_version = ?", (len(STEPS),))
