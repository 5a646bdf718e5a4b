"""Forgetting people: sightings chosen by number, track, camera, time or source are deleted, and their bytes with them.

All that is chosen goes in one transaction, so that a kill in the middle leaves either everything or nothing of it. Its
old pages are still in the log then, until the log has been folded into the file and cut, which somebody who is reading
at that moment holds up; ``Removed.erased`` says whether it could be done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from onlooker.errors import QueryError
from onlooker.gallery import rows
from onlooker.gallery.filters import Filter, listed
from onlooker.gallery.records import from_microseconds
from onlooker.gallery.store import Gallery
from onlooker.gallery.upkeep import give_back, scrub

WAIT_S = 20.0
"""How long to go on trying to cut the log while somebody is reading."""

NAMES_SHOWN = 8
"""Sources named in a ``Selected``; more are only counted."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which sightings are to be forgotten; every part that is given must hold.

    Attributes:
        sightings: These; any where empty.
        track: Of the track with this number within its source; needs a source.
        kept: Of these cameras, times and sources.
    """

    sightings: tuple[int, ...] = ()
    track: int | None = None
    kept: Filter = field(default_factory=Filter)

    def __post_init__(self) -> None:
        if not (self.sightings or self.kept):
            raise QueryError("nothing says who is to be forgotten; name sightings, a camera, a source or a time")
        if self.track is not None and len(self.kept.sources) != 1:
            raise QueryError("the number of a track counts within its recording; name one source as well")

    @property
    def whole(self) -> bool:
        """Whether whole cameras or sources are meant, so that their names are to be forgotten as well."""
        timed = self.kept.since is not None or self.kept.until is not None
        return not self.sightings and self.track is None and not timed

    def where(self) -> tuple[str, list[str | int]]:
        """Return the condition on the row ``s`` of the table ``sighting``, and the values of its question marks."""
        condition, values = self.kept.where()
        if self.track is not None:
            condition, values = f"{condition} AND s.track = ?", [*values, self.track]
        if self.sightings:
            # Numbers of ours; as question marks there could be more of them than SQLite takes.
            condition += f" AND s.id IN ({', '.join(str(int(number)) for number in self.sightings)})"
        return condition, values


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What a selection names, before anything is deleted.

    Attributes:
        ids: The sightings, ascending.
        bytes: Of their crops and vectors.
        first: Time of the earliest whose time is known; None where none is.
        last: Time of the latest.
        cameras: Names of the cameras they are of.
        sources: Names of the first few sources they are of, and of those that go as a whole.
        source_count: How many sources they are of.
        dropped_sources: How many sources go as a whole.
        dropped_cameras: How many cameras go as a whole.
    """

    ids: tuple[int, ...]
    bytes: int
    first: datetime | None
    last: datetime | None
    cameras: tuple[str, ...]
    sources: tuple[str, ...]
    source_count: int
    dropped_sources: int
    dropped_cameras: int

    def __bool__(self) -> bool:
        return bool(self.ids or self.dropped_sources or self.dropped_cameras)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was deleted.

    Attributes:
        sightings: How many.
        bytes: Of their crops and vectors.
        sources: Sources whose row went as well.
        cameras: Cameras whose row went as well.
        erased: Whether their bytes are gone from the log too; False while somebody is reading.
    """

    sightings: int = 0
    bytes: int = 0
    sources: int = 0
    cameras: int = 0
    erased: bool = True


@dataclass(frozen=True)
class _Rows:
    """Row ids of what a selection names."""

    sightings: list[int]
    sources: list[int]
    cameras: list[int]


def select(gallery: Gallery, what: Selection) -> Selected:
    """Look up what would be forgotten; deletes nothing.

    Args:
        gallery: The open gallery.
        what: Which sightings.

    Raises:
        QueryError: A camera or source is not known, or a sighting never was; one that was deleted before is passed
            over.
    """
    with gallery.reading() as connection:
        _check(connection, what)
        found = _find(connection, what)
        condition, values = what.where()
        size, first, last = connection.execute(
            f"SELECT coalesce(sum(s.bytes), 0), min(s.time_us), max(s.time_us) FROM sighting s WHERE {condition}",
            values,
        ).fetchone()
        cameras = _names(connection, "camera", "camera_id", what, found.cameras)
        sources = _names(connection, "source", "source_id", what, found.sources)
    return Selected(
        ids=tuple(found.sightings),
        bytes=size,
        first=None if first is None else from_microseconds(first),
        last=None if last is None else from_microseconds(last),
        cameras=tuple(cameras),
        sources=tuple(sources[:NAMES_SHOWN]),
        source_count=len(sources),
        dropped_sources=len(found.sources),
        dropped_cameras=len(found.cameras),
    )


def forget(
    gallery: Gallery, what: Selection, *, wait_s: float = WAIT_S, on_wait: Callable[[], None] | None = None
) -> Removed:
    """Delete sightings with their crops, vectors and views so that their bytes are gone from the file and its log.

    Of a camera or source that is named as a whole (no time, track or number beside it) the row with its name goes as
    well; ``onlooker index`` then knows nothing of such a file and would read it again. Of all others the row stays and
    says that they have been read, so that nobody comes back; a recording that is not read to its end is gone on with
    behind the last moment at which somebody was seen who is forgotten now.

    Args:
        gallery: Open for writing.
        what: Which sightings.
        wait_s: How long to go on trying to erase the log while somebody is reading.
        on_wait: Called once where that is not done at once.

    Returns:
        What was deleted, and whether its bytes are gone from the log too; where not, ``finish`` tries again.

    Raises:
        QueryError: As ``select``.
        GalleryError: The file cannot be written; nothing is deleted then.
    """
    with gallery.deleting() as connection:
        _check(connection, what)
        found = _find(connection, what)
        condition, values = what.where()
        (size,) = connection.execute(
            f"SELECT coalesce(sum(s.bytes), 0) FROM sighting s WHERE {condition}", values
        ).fetchone()
        rows.bar(connection, found.sightings)
        count = rows.delete(connection, found.sightings)
        for table, ids in (("source", found.sources), ("camera", found.cameras)):
            connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in ids])
    give_back(gallery)
    erased = finish(gallery, wait_s=wait_s, on_wait=on_wait)
    return Removed(sightings=count, bytes=size, sources=len(found.sources), cameras=len(found.cameras), erased=erased)


def finish(gallery: Gallery, *, wait_s: float = WAIT_S, on_wait: Callable[[], None] | None = None) -> bool:
    """Erase from the log what was deleted earlier, and say whether it could be done; see ``forget``."""
    if scrub(gallery):
        return True
    if on_wait is not None:
        on_wait()
    return scrub(gallery, wait_s)


def _check(connection: sqlite3.Connection, what: Selection) -> None:
    what.kept.check(connection)
    never = [
        number
        for number in what.sightings
        if connection.execute(
            "SELECT 1 FROM sighting WHERE id = ? UNION ALL SELECT 1 FROM removed WHERE sighting_id = ?",
            (number, number),
        ).fetchone()
        is None
    ]
    if never:
        raise QueryError(
            f"there never was a sighting {listed([str(number) for number in never])} in this gallery; "
            "take numbers that a search has shown"
        )


def _find(connection: sqlite3.Connection, what: Selection) -> _Rows:
    condition, values = what.where()
    sightings = _ids(connection, f"SELECT s.id FROM sighting s WHERE {condition} ORDER BY s.id", values)
    if not what.whole:
        return _Rows(sightings, [], [])
    parts, names = what.kept.source_where()
    sources = _ids(connection, f"SELECT o.id FROM source o WHERE {parts} ORDER BY o.id", names)
    # A camera without a source says nothing but its name.
    cameras = [
        camera
        for camera in _ids(connection, "SELECT id FROM camera ORDER BY id", [])
        if (own := _ids(connection, "SELECT id FROM source WHERE camera_id = ?", [camera])) and set(own) <= set(sources)
    ]
    if what.kept.cameras and not what.kept.sources:
        marks = ", ".join("?" * len(what.kept.cameras))
        named = _ids(connection, f"SELECT id FROM camera WHERE name IN ({marks})", list(what.kept.cameras))
        cameras = sorted({*cameras, *named})
    return _Rows(sightings, sources, cameras)


def _ids(connection: sqlite3.Connection, statement: str, values: Sequence[str | int]) -> list[int]:
    return [number for (number,) in connection.execute(statement, values)]


def _names(
    connection: sqlite3.Connection, table: str, column: str, what: Selection, dropped: Sequence[int]
) -> list[str]:
    condition, values = what.where()
    seen = _ids(connection, f"SELECT DISTINCT s.{column} FROM sighting s WHERE {condition}", values)
    found = [
        connection.execute(f"SELECT name FROM {table} WHERE id = ?", (number,)).fetchone()[0]
        for number in sorted({*seen, *dropped})
    ]
    return sorted(dict.fromkeys(found))
