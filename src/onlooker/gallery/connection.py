"""Opening the SQLite file of a gallery: pragmas, checks of what it is, and errors in plain words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from onlooker.errors import GalleryError
from onlooker.gallery import schema

BUSY_TIMEOUT_S = 30.0
"""How long one process waits for another's write; a commit takes milliseconds, folding in a large log seconds."""

PAGE_BYTES = 8192
"""Holds fifteen 256-d vectors, so that a scan reads 6 % more than the vectors alone."""


@contextmanager
def plain_errors(path: Path, *, reading: bool = False) -> Iterator[None]:
    """Turn SQLite's errors inside the block into a ``GalleryError`` that names the file and what to do.

    Told apart by SQLite's own words, since Python 3.10 gives no error codes.

    Args:
        path: The file.
        reading: Whether the block opens it for reading only.
    """
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            advice = f"has been locked by another process for {BUSY_TIMEOUT_S:.0f} s; try again when that one is done"
        elif reading and ("readonly" in text or "unable to open" in text):
            advice = (
                "cannot be opened for reading; check the permissions of the file, and of its folder, which you must be "
                "allowed to write too, since SQLite keeps its log there (or copy the file elsewhere)"
            )
        elif "readonly" in text or "read-only" in text:
            advice = "cannot be written; give write permission to the file and its folder, or open it for reading"
        elif "unable to open" in text:
            advice = "cannot be opened; check the permissions of the file and of its folder, where SQLite keeps its log"
        elif "full" in text:
            advice = "cannot grow, since the disk is full; make room and start again: what was stored is safe"
        elif "not a database" in text:
            advice = "is not a gallery; give a file made by `onlooker index`"
        elif "malformed" in text:
            advice = "is damaged; restore it from a copy, or index the files again into a new gallery"
        else:
            advice = f"cannot be used ({text})"
        raise GalleryError(f"the gallery {path} {advice}") from error


def _open_file(path: Path, mode: str) -> sqlite3.Connection:
    location = f"file:{quote(os.path.abspath(path))}?mode={mode}"
    if mode == "ro" and os.statvfs(path).f_flag & os.ST_RDONLY and not path.with_name(path.name + "-wal").exists():
        # On a medium mounted read-only nobody can write, and SQLite can make no lock files: read it as it lies.
        location += "&immutable=1"
    # One connection may serve several threads of a process; ``Gallery`` lets one of them in at a time.
    connection = sqlite3.connect(
        location, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
        raise GalleryError(f"{path} is not a gallery; give a file made by `onlooker index`")
    known, found = len(schema.STEPS), schema.version_of(connection)
    if found > known:
        raise GalleryError(
            f"the gallery {path} has format {found} and this Onlooker knows up to {known}; update Onlooker to use it"
        )


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Open an existing gallery so that nothing can be written; a writer may have it open at the same time.

    Args:
        path: The file.

    Returns:
        A connection in autocommit mode.

    Raises:
        GalleryError: No such file, no gallery, damaged, not readable, or of another format.
    """
    if not path.is_file():
        raise GalleryError(f"there is no gallery {path}; make it with `onlooker index PATH --gallery {path}`")
    with plain_errors(path, reading=True):
        connection = _open_file(path, "ro")
        try:
            _check_kind(connection, path)
            if schema.version_of(connection) < len(schema.STEPS):
                raise GalleryError(
                    f"the gallery {path} has an older format; run `onlooker index --gallery {path}` on any file, "
                    "which brings it up to date"
                )
        except BaseException:
            connection.close()
            raise
    return connection


def connect_for_writing(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a gallery for writing and bring its tables up to date; make a missing file where ``create`` is set.

    Args:
        path: The file; its folder is made with it.
        create: Whether a missing or empty file becomes a new gallery.

    Returns:
        A connection in autocommit mode. A new gallery has its tables but no row in ``meta`` yet.

    Raises:
        GalleryError: As ``connect_for_reading``, or the file cannot be written.
    """
    if path.is_dir():
        raise GalleryError(f"{path} is a folder; give the name of a gallery file, such as {path / 'people.db'}")
    if not create and not path.is_file():
        raise GalleryError(f"there is no gallery {path}; make it with `onlooker index PATH --gallery {path}`")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GalleryError(f"the folder {path.parent} cannot be made ({error.strerror}); give another place") from error
    with plain_errors(path):
        connection = _open_file(path, "rwc" if create else "rw")
        try:
            new = create and _is_empty(connection)
            if not new:
                _check_kind(connection, path)
            else:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                # Only now can a file be made one that gives free pages back without being written anew.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit that returned survives a power cut. secure_delete: deleted people leave no bytes behind.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            _upgrade(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    if schema.version_of(connection) == len(schema.STEPS):
        # Proves that the file can be written before anybody spends an hour on what is to go into it.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        return
    with transaction(connection):
        # Looked at again under the write lock: two processes may have found the same new file.
        if not _is_empty(connection):
            _check_kind(connection, path)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        schema.upgrade(connection)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction: all of it is kept, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
