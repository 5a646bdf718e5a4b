"""Retention: how long a camera's sightings are kept, and how much room they may take; the oldest go first.

Meant to be called again and again while cameras are watched: what is over the limit goes in small transactions, between
which readers and ingest get their turn, and where nothing is over it the check costs a few reads of an index. Once a
day, where anything was deleted, the whole file is read to wipe what SQLite left in unused space
(``onlooker.gallery.upkeep``).
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from onlooker.errors import ConfigError
from onlooker.gallery import rows
from onlooker.gallery.forgetting import Removed
from onlooker.gallery.records import to_microseconds
from onlooker.gallery.store import Gallery
from onlooker.gallery.upkeep import give_back, scrub, scrub_is_due

GIGABYTE = 1_000_000_000
"""Bytes, as disks are sold."""

BATCH = 64
"""Sightings deleted in one transaction: about a megabyte, which a disk writes in some milliseconds."""

PAUSE_S = 0.005
"""Between two transactions: SQLite queues nobody, so without a pause the same writer would win again and again."""

LONGEST_DAYS = 36_500.0
"""A longer time is meant as a mistake or as forever, which is None."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What is kept of one camera; both where both are given.

    Attributes:
        days: Older sightings go, more than 0; None for no limit. A sighting is as old as its time says, or since it was
            stored where nobody knows its time or the time lay ahead then.
        gigabytes: While the camera's crops and vectors take more, its oldest sightings go, at least 0; None for no
            limit.
    """

    days: float | None = None
    gigabytes: float | None = None

    def __post_init__(self) -> None:
        if self.days is not None and not 0 < self.days <= LONGEST_DAYS:
            raise ConfigError(f"sightings cannot be kept for {self.days} days; give more than 0, or leave it away")
        if self.gigabytes is not None and not 0 <= self.gigabytes < math.inf:
            raise ConfigError(f"sightings cannot take {self.gigabytes} gigabytes; give 0 or more, or leave it away")


def enforce(gallery: Gallery, limits: Mapping[str, Limit], now: datetime) -> Removed:
    """Delete what is over the limits, the oldest first, so that its bytes are gone from the file.

    Args:
        gallery: Open for writing.
        limits: Camera name to limit; a camera that is not named or not there is left alone.
        now: What age counts to, with a time zone.

    Returns:
        What was deleted. ``erased`` is False where somebody is reading, so that the log still holds it: the next call
        erases it.

    Raises:
        GalleryError: The file cannot be written; what was deleted until then stays deleted.
    """
    removed = size = 0
    for camera, limit in limits.items():
        while True:
            count, freed = _step(gallery, camera, limit, now)
            removed += count
            size += freed
            if count < BATCH:
                break
            time.sleep(PAUSE_S)
    erased = gallery.log_is_clean or gallery.erase_log()
    # Only now: on a disk that is nearly full the log has room for little at a time.
    if erased and removed and give_back(gallery):
        erased = gallery.erase_log()
    if erased and scrub_is_due(gallery, now):
        erased = scrub(gallery)
    return Removed(sightings=removed, bytes=size, erased=erased)


def _step(gallery: Gallery, camera: str, limit: Limit, now: datetime) -> tuple[int, int]:
    """Delete at most ``BATCH`` sightings of a camera in one transaction; return how many and their bytes."""
    now_us = to_microseconds(now)
    with gallery.reading() as connection:
        found = connection.execute("SELECT id FROM camera WHERE name = ?", (camera,)).fetchone()
        # Looking does not wait for another's write; only what is to go does.
        if found is None or not _over(connection, found[0], limit, now_us):
            return 0, 0
    with gallery.deleting() as connection:
        going = _over(connection, found[0], limit, now_us)
        rows.delete(connection, [sighting for sighting, _ in going])
    return len(going), sum(size for _, size in going)


def _over(connection: sqlite3.Connection, camera: int, limit: Limit, now_us: int) -> list[tuple[int, int]]:
    """Return id and bytes of the oldest sightings of a camera that are over its limit, ``BATCH`` at most."""
    (used,) = connection.execute("SELECT bytes FROM camera WHERE id = ?", (camera,)).fetchone()
    oldest = connection.execute(
        "SELECT id, bytes, aged_us FROM sighting WHERE camera_id = ? ORDER BY aged_us, id LIMIT ?", (camera, BATCH)
    ).fetchall()
    cut_us = None if limit.days is None else now_us - timedelta(days=limit.days) // timedelta(microseconds=1)
    room = math.inf if limit.gigabytes is None else limit.gigabytes * GIGABYTE
    going = []
    for sighting, size, aged_us in oldest:
        if not ((cut_us is not None and aged_us < cut_us) or used > room):
            break
        going.append((sighting, size))
        used -= size
    return going
