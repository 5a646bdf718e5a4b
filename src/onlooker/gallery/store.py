"""The gallery file: sightings, crops, vectors and how far each source has been read, always changed together.

One writer and any number of readers, in any number of processes, may have the same file open.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from onlooker import __version__
from onlooker.errors import GalleryError, QueryError
from onlooker.gallery import rows
from onlooker.gallery.connection import (
    BUSY_TIMEOUT_S,
    connect_for_reading,
    connect_for_writing,
    plain_errors,
    transaction,
)
from onlooker.gallery.filters import Filter
from onlooker.gallery.records import (
    CameraCount,
    Changes,
    GalleryInfo,
    Sighting,
    SightingView,
    SourceKey,
    SourceState,
    SourceUpdate,
    StoredSighting,
    encode_vectors,
    from_microseconds,
)
from onlooker.gallery.vectors import read_change, read_changes, read_vectors

LOG_PATIENCE_MS = 250
"""How long one attempt to cut the log waits for readers; writers wait as long."""

LOG_RETRY_S = 0.25
"""Pause between two attempts, in which writers get their turn."""


class Gallery:
    """An open gallery; use ``Gallery.open`` in a ``with`` block.

    Several threads may share one object: each call runs alone.

    Attributes:
        path: The file.
        info: What the gallery was made with.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, info: GalleryInfo) -> None:
        self.path = path
        self.info = info
        self._connection = connection
        self._lock = threading.RLock()
        # Whoever wrote before may have been killed before the log was cut.
        self._log_is_clean = False

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        encoder_id: str | None = None,
        dimension: int | None = None,
        bundle_name: str | None = None,
        create: bool = False,
        read_only: bool = False,
    ) -> Gallery:
        """Open a gallery file, or make a new one.

        Args:
            path: The file.
            encoder_id: The id of the bundle whose vectors go in or are compared; None where no vector is used.
            dimension: The length of that bundle's vectors.
            bundle_name: That bundle's name, for messages; the start of its id where None.
            create: Make the file where it is missing, which needs ``encoder_id`` and ``dimension``.
            read_only: Open for reading only; works beside a writer.

        Returns:
            The open gallery; also a context manager.

        Raises:
            GalleryError: The file is missing, no gallery, damaged, not accessible, of a newer format, or made with
                another bundle.
        """
        path = Path(path)
        if create and not path.exists() and (encoder_id is None or dimension is None):
            raise GalleryError(f"the new gallery {path} needs a bundle; give encoder_id and dimension")
        connection = connect_for_reading(path) if read_only else connect_for_writing(path, create=create)
        try:
            with plain_errors(path):
                if create and not read_only:
                    _write_info(connection, path, encoder_id, dimension, bundle_name)
                info = _read_info(connection, path)
            _check_bundle(path, info, encoder_id, dimension, bundle_name)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, info)

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; SQLite folds its log into it when the last process does so."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for several reads that see one and the same state of the gallery."""
        with self._lock, plain_errors(self.path):
            nested = self._connection.in_transaction
            if not nested:
                self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if not nested:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def exclusively(self) -> Iterator[sqlite3.Connection]:
        """Give the connection without a transaction, kept from other threads, for what SQLite does outside of one."""
        with self._lock, plain_errors(self.path):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for changes that are all kept, or none of them."""
        with self._lock, plain_errors(self.path), transaction(self._connection):
            yield self._connection

    @contextmanager
    def deleting(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for a deletion, after which the log is to be erased."""
        with self.writing() as connection:
            self._log_is_clean = False
            yield connection

    # Sources: what has been read, and how far

    def source_state(self, key: SourceKey) -> SourceState | None:
        """Return how far a source has been read, or None where it was never begun."""
        with self.reading() as connection:
            found = rows.find_source(connection, key)
            if found is None:
                return None
            source_id, name, complete, resume_s = found
            (count,) = connection.execute("SELECT count(*) FROM sighting WHERE source_id = ?", (source_id,)).fetchone()
        return SourceState(key=key, name=name, complete=complete, resume_s=resume_s, sightings=count)

    def commit(self, source: SourceUpdate, sightings: Sequence[Sighting]) -> list[int]:
        """Store sightings and how far their source has been read, in one transaction; safe on disk on return.

        A source that is already complete stays as it is, so the same file twice adds nothing even when two processes
        index it at once.

        Args:
            source: The source and its new state.
            sightings: New sightings of that source; vectors (d,) or (m, d), which are L2-normalised here, as are those
                of their views.

        Returns:
            The ids of the new sightings, ascending; empty where the source was complete before.

        Raises:
            GalleryError: A sighting of another camera or source, a vector that does not fit, or a file that cannot be
                written.
        """
        dimension = self.info.dimension
        blobs = [encode_vectors(sighting.vector, dimension, sighting.source) for sighting in sightings]
        views = [
            [encode_vectors(view.vector, dimension, sighting.source)[0] for view in sighting.views]
            for sighting in sightings
        ]
        for sighting in sightings:
            if (sighting.camera, sighting.source) != (source.key.camera, source.name):
                raise GalleryError(
                    f"a sighting of camera {sighting.camera}, source {sighting.source} cannot be stored under "
                    f"camera {source.key.camera}, source {source.name}; commit each source on its own"
                )
        with self.writing() as connection:
            camera = rows.camera_id(connection, source.key.camera)
            source_id = rows.update_source(connection, camera, source)
            if source_id is None or not sightings:
                return []
            change = rows.next_change(connection)
            return [
                rows.insert(connection, source_id, camera, change, sighting, vectors, looks)
                for sighting, vectors, looks in zip(sightings, blobs, views, strict=True)
            ]

    def rewind(self, key: SourceKey) -> float:
        """Prepare an interrupted video for going on: drop what would be found again, and say where to start reading.

        The start r is the largest time at or before ``resume_s`` that no stored track crosses: a track that ends at or
        after r would be cut in two there, so it is deleted and r moves back to its start, until nothing moves any more.
        It does not move back behind the end of a sighting that was deleted on purpose: who was to be forgotten would be
        found again. Tracks that cross such a barrier stay as they are.

        Args:
            key: The source.

        Returns:
            Seconds from the start of the video from which to read; 0.0 where nothing is known of the source.

        Raises:
            GalleryError: The source is complete, so there is nothing to go on with.
        """
        with self.deleting() as connection:
            found = rows.find_source(connection, key)
            if found is None:
                return 0.0
            source_id, name, complete, resume_s = found
            if complete:
                raise GalleryError(f"the source {name} has been read to its end; there is nothing to resume")
            start_s = rows.fix_point(connection, source_id, resume_s or 0.0)
            barrier_s = rows.barrier_of(connection, source_id)
            if barrier_s is None or barrier_s <= start_s:
                found_again = rows.ending_from(connection, source_id, start_s)
            else:
                start_s = barrier_s
                found_again = rows.beginning_from(connection, source_id, start_s)
            rows.delete(connection, found_again)
            connection.execute("UPDATE source SET resume_s = ? WHERE id = ?", (start_s, source_id))
        self.erase_log()
        return start_s

    def remove(self, ids: Sequence[int]) -> int:
        """Delete sightings with their crops and vectors, so that their bytes are gone from the file.

        Args:
            ids: Sightings; unknown ones are passed over.

        Returns:
            How many were deleted.
        """
        with self.deleting() as connection:
            rows.bar(connection, ids)
            removed = rows.delete(connection, ids)
        self.erase_log()
        return removed

    @property
    def log_is_clean(self) -> bool:
        """Whether the log has been cut since this object last deleted anything."""
        return self._log_is_clean

    def erase_log(self, wait_s: float = 0.0) -> bool:
        """Fold the log into the file and cut it to nothing, since old pages in it still hold what was deleted.

        Somebody who is in the middle of reading needs the log as it is. Waiting for that in one go would keep writers
        out all the while, so it is tried again and again, each time for a moment.

        Args:
            wait_s: How long to go on trying; once where 0.

        Returns:
            Whether the log is empty now; otherwise a later deletion does it, or whoever closes the gallery last.
        """
        deadline = time.monotonic() + wait_s
        while not self._cut_log():
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOG_RETRY_S)
        return True

    def _cut_log(self) -> bool:
        with self._lock, plain_errors(self.path):
            connection = self._connection
            connection.execute(f"PRAGMA busy_timeout = {LOG_PATIENCE_MS}")
            try:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
            self._log_is_clean = not busy
        return not busy

    # Vectors, for the scan

    def vectors(self, kept: Filter | None = None) -> tuple[NDArray[np.int64], NDArray[np.float16], int]:
        """Read the vectors of all sightings, or of those that pass a filter.

        Args:
            kept: Which sightings; all where None.

        Returns:
            The sighting of each vector, int64 (m,) ascending; the vectors, float16 (m, d); the state they are of, a
            change sequence.
        """
        with self.reading() as connection:
            ids, vectors = read_vectors(connection, self.info.dimension, kept or Filter())
            return ids, vectors, read_change(connection)

    def changes_since(self, sequence: int) -> Changes:
        """Return what happened since a state of the gallery, for a reader that keeps vectors in memory.

        Args:
            sequence: The state the reader has, from ``vectors`` or from the last changes; 0 is the empty gallery.

        Returns:
            New vectors and removed sightings; a sighting that came and went in between is only among the removed.
        """
        with self.reading() as connection:
            return read_changes(connection, self.info.dimension, sequence)

    # What is there

    def count(self) -> int:
        """Return the number of sightings."""
        with self.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM sighting").fetchone()[0])

    def cameras(self) -> list[CameraCount]:
        """Return every camera by name, with counts and the span of known times."""
        with self.reading() as connection:
            return rows.read_cameras(connection)

    def sighting(self, sighting_id: int) -> StoredSighting:
        """Return one sighting.

        Raises:
            QueryError: No such sighting.
        """
        return self.sightings([sighting_id])[0]

    def sightings(self, ids: Sequence[int]) -> list[StoredSighting]:
        """Return sightings in the order asked for.

        Raises:
            QueryError: One of them is not there; a reader may have been overtaken by a deletion.
        """
        with self.reading() as connection:
            return [rows.read_sighting(connection, sighting_id) for sighting_id in ids]

    def crop(self, sighting_id: int) -> bytes:
        """Return the JPEG bytes of a sighting's crop.

        Raises:
            QueryError: No such sighting.
        """
        with self.reading() as connection:
            row = connection.execute("SELECT jpeg FROM crop WHERE sighting_id = ?", (sighting_id,)).fetchone()
        if row is None:
            raise QueryError(f"there is no sighting {sighting_id} in {self.path}; search again")
        return bytes(row[0])

    def views(self, sighting_id: int) -> list[SightingView]:
        """Return the kept views of a sighting, the best first; none where only its crop is kept.

        Raises:
            QueryError: No such sighting.
        """
        with self.reading() as connection:
            rows.read_sighting(connection, sighting_id)
            return rows.read_sighting_views(connection, sighting_id, self.info.dimension)


def _write_info(
    connection: sqlite3.Connection,
    path: Path,
    encoder_id: str | None,
    dimension: int | None,
    bundle_name: str | None,
) -> None:
    """Fill ``meta`` of a new gallery; leave an existing one as it is."""
    with transaction(connection):
        if connection.execute("SELECT count(*) FROM meta").fetchone()[0]:
            return
        if encoder_id is None or dimension is None:
            raise GalleryError(f"the new gallery {path} needs a bundle; give encoder_id and dimension")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(
            """
            INSERT INTO meta (only_row, schema_version, encoder_id, bundle_name, dimension, created_us,
                              onlooker_version, change)
            VALUES (1, ?, ?, ?, ?, ?, ?, 0)
            """,
            (version, encoder_id, bundle_name or encoder_id[:12], dimension, time.time_ns() // 1000, __version__),
        )


def _read_info(connection: sqlite3.Connection, path: Path) -> GalleryInfo:
    row = connection.execute(
        "SELECT schema_version, encoder_id, bundle_name, dimension, created_us, onlooker_version FROM meta"
    ).fetchone()
    if row is None:
        raise GalleryError(f"the gallery {path} was never filled; index files into it first")
    return GalleryInfo(
        schema_version=row[0],
        encoder_id=row[1],
        bundle_name=row[2],
        dimension=row[3],
        created=from_microseconds(row[4]),
        onlooker_version=row[5],
    )


def _check_bundle(
    path: Path, info: GalleryInfo, encoder_id: str | None, dimension: int | None, bundle_name: str | None
) -> None:
    if encoder_id is not None and encoder_id != info.encoder_id:
        raise GalleryError(
            f"the gallery {path} was made with the bundle {info.bundle_name} ({info.encoder_id[:12]}), not with "
            f"{bundle_name or 'the bundle'} ({encoder_id[:12]}); choose that bundle with --bundle, or index the files "
            "again into a new gallery"
        )
    if dimension is not None and dimension != info.dimension:
        raise GalleryError(
            f"the gallery {path} holds vectors of dimension {info.dimension}, not {dimension}; use the bundle "
            f"{info.bundle_name} it was made with"
        )
