"""The one writer of a gallery that is being filled: takes sightings from many cameras, commits them, waits for disks.

What cannot be written is kept and tried again: a disk that is full or cannot be written raises an alert, on which
looking at cameras pauses; when there is room, everything goes on by itself.
"""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from onlooker.errors import GalleryError
from onlooker.footage.live import utc_now
from onlooker.gallery.records import Sighting, SourceUpdate
from onlooker.gallery.store import Gallery

QUEUED = 64
"""Entries that may wait to be written; then whoever brings one waits."""
RETRY_S = 1.0
"""Seconds between attempts to write, and between looks at the disk."""
KEPT_FREE = 100_000_000
"""Bytes left free on the disk, so that searches, the log of the database and the state file still have room."""

Kind = Literal["full", "read-only", "gallery"]


@dataclass(frozen=True)
class Alert:
    """Why nothing can be stored at the moment.

    Attributes:
        kind: "full" (the disk), "read-only" (the disk or the file), or "gallery" (something else is wrong with it).
        message: In one sentence, what and what to do.
        since: Since when.
    """

    kind: Kind
    message: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is to be written in one transaction.

    Attributes:
        source: The source and its new state.
        sightings: Without the number of their track.
        tracks: Whether they are tracks, which get numbers, or people of a photo.
        endless: Whether the source is a camera, whose track numbers must not come back even after people were
            forgotten; those of a recording follow from the recording.
        left: When the last of them was last seen; None where that is long ago by nature.
        done: Called once it is safe on disk.
    """

    source: SourceUpdate
    sightings: tuple[Sighting, ...]
    tracks: bool = True
    endless: bool = False
    left: datetime | None = None
    done: Callable[[], None] | None = None


@dataclass(frozen=True)
class Stored:
    """A sighting that is safe on disk.

    Attributes:
        id: Its number in the gallery.
        sighting: The sighting, with the number of its track.
        delay_s: Seconds from when its person was last seen to now; None where that means nothing.
    """

    id: int
    sighting: Sighting
    delay_s: float | None


class Writer:
    """Commits entries in the order they come, in a thread of its own.

    Attributes:
        alert: Why nothing can be stored now; None where all is well.
        stored: Sightings stored.
        refused: Sightings that the gallery did not accept.
        last_error: What was wrong last; stays.
    """

    def __init__(
        self, gallery: Gallery, *, kept_free: int = KEPT_FREE, on_stored: Callable[[Stored], None] | None = None
    ) -> None:
        """Take charge of writing; nothing happens before ``start``.

        Args:
            gallery: Open for writing.
            kept_free: Bytes that must stay free on its disk.
            on_stored: Called in the writer's thread with each sighting that has become safe.
        """
        self._gallery, self._kept_free = gallery, kept_free
        self._on_stored = on_stored or (lambda stored: None)
        self.alert: Alert | None = None
        self.stored = self.refused = 0
        self.last_error: str | None = None
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._stopping = self._abandoned = False
        self._until_s = math.inf
        self._lost = 0
        # Whether SQLite itself has failed; then only a write that works clears the alert.
        self._failed = False
        self._numbers: dict[str, tuple[str, int]] = {}
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    @property
    def pending(self) -> int:
        """Entries that wait to be written."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; the disk is looked at before it returns."""
        self.look()
        self._thread.start()

    def put(self, entry: Entry) -> bool:
        """Hand over an entry; waits while too many wait already.

        Returns:
            Whether it was taken; False once the writer has given up at the end.
        """
        with self._changed:
            while len(self._waiting) >= QUEUED and not self._abandoned and time.monotonic() < self._until_s:
                self._changed.wait(RETRY_S)
            if self._abandoned or len(self._waiting) >= QUEUED:
                self._lost += len(entry.sightings)
                return False
            self._waiting.append(entry)
            self._changed.notify_all()
            return True

    def hurry(self, until_s: float) -> None:
        """Let nobody who brings an entry wait beyond a time of the monotonic clock: the end has come."""
        with self._changed:
            self._until_s = until_s
            self._changed.notify_all()

    def stop(self, timeout_s: float = 10.0) -> int:
        """Write what waits, and end.

        Args:
            timeout_s: How long to go on trying while it cannot be written.

        Returns:
            How many sightings could not be written.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
        # What is being committed at this moment is let finish: it may well succeed.
        self._thread.join(RETRY_S)
        return self._lost + sum(len(entry.sightings) for entry in tuple(self._waiting))

    def look(self) -> bool:
        """Look at the disk, raise or clear the alert, and say whether there is room to write."""
        kind = self._lack()
        if kind is not None:
            self._raise(kind, _words(kind, self._gallery))
        elif not self._failed:
            self.alert = None
        return kind is None

    def _lack(self) -> Kind | None:
        folder = self._gallery.path.parent
        try:
            if os.statvfs(self._gallery.path).f_flag & os.ST_RDONLY:
                return "read-only"
            free = shutil.disk_usage(folder).free
        except OSError:
            return "gallery"
        # A little more is asked for to go on than to pause, so that it does not go back and forth.
        wanted = self._kept_free if self.alert is None else self._kept_free * 1.1
        return "full" if free < wanted else None

    def _raise(self, kind: Kind, message: str) -> None:
        if self.alert is None or self.alert.kind != kind:
            self.alert = Alert(kind, message, utc_now())
        self.last_error = message

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._stopping:
                    self._changed.wait(RETRY_S)
                entry = self._waiting[0] if self._waiting else None
                if (entry is None and self._stopping) or self._abandoned:
                    return
            room = self.look()
            if entry is None:
                if self._failed:
                    self._probe()
                continue
            if room and self._commit(entry):
                with self._changed:
                    self._waiting.popleft()
                    self._changed.notify_all()
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._abandoned, RETRY_S)

    def _commit(self, entry: Entry) -> bool:
        """Write an entry; say whether it is done with."""
        try:
            sightings = self._numbered(entry)
            ids = self._gallery.commit(entry.source, sightings)
        except GalleryError as error:
            if self._cannot_write(error):
                return False
            # Written again it would be refused again.
            self.refused += len(entry.sightings)
            self.last_error = str(error)
            return True
        self._well()
        now = utc_now()
        delay_s = None if entry.left is None else max((now - entry.left).total_seconds(), 0.0)
        if entry.tracks and sightings:
            self._numbers[entry.source.key.camera] = (entry.source.key.sha256, (sightings[-1].track or 0) + 1)
        self.stored += len(ids)
        for number, sighting in zip(ids, sightings[: len(ids)], strict=True):
            self._on_stored(Stored(number, sighting, delay_s))
        if entry.done is not None:
            entry.done()
        return True

    def _cannot_write(self, error: GalleryError) -> bool:
        """Raise the alert where the database, not the entry, is what is wrong."""
        if not isinstance(error.__cause__, sqlite3.Error):
            return False
        text = str(error.__cause__)
        kind: Kind = "full" if "full" in text else "read-only" if "readonly" in text else "gallery"
        self._failed = True
        self._raise(kind, str(error))
        return True

    def _well(self) -> None:
        self._failed, self.alert = False, None

    def _probe(self) -> None:
        """Find out whether the gallery can be written again though nothing waits."""
        try:
            with self._gallery.writing() as connection:
                connection.execute("UPDATE meta SET change = change")
        except GalleryError as error:
            self._cannot_write(error)
            return
        self._well()

    def _numbered(self, entry: Entry) -> list[Sighting]:
        if not entry.tracks or not entry.sightings:
            return list(entry.sightings)
        key = entry.source.key
        known, first = self._numbers.get(key.camera, ("", 0))
        if known != key.sha256:
            first = _first_number(self._gallery, key.sha256, key.camera, endless=entry.endless)
        return [replace(sighting, track=number) for number, sighting in enumerate(entry.sightings, first)]


def _first_number(gallery: Gallery, sha256: str, camera: str, *, endless: bool) -> int:
    """Return the first number for a track of a source that this process has not written to yet."""
    with gallery.reading() as connection:
        (source, highest) = connection.execute(
            """
            SELECT o.id, (SELECT max(track) FROM sighting s WHERE s.source_id = o.id)
            FROM source o JOIN camera c ON c.id = o.camera_id WHERE o.sha256 = ? AND c.name = ?
            """,
            (sha256, camera),
        ).fetchone() or (None, None)
        if source is None:
            return 1
        if not endless:
            return (highest or 0) + 1
        # The one with the highest number may have been forgotten. Every track has an id, and ids never come back, so
        # above the highest id ever given no number was ever used.
        (given,) = connection.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'sighting'"
        ).fetchone()
    return int(max(highest or 0, given)) + 1


def _words(kind: Kind, gallery: Gallery) -> str:
    match kind:
        case "full":
            return (
                f"the disk of {gallery.path} is as good as full; make room: looking at cameras pauses until there is, "
                "searches go on"
            )
        case "read-only":
            return f"the disk of {gallery.path} can only be read; mount it for writing again"
        case _:
            return f"the gallery {gallery.path} is not there any more; bring it back"
