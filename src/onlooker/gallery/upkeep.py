"""What keeps a gallery file clean and small after deletions: wiping unused space, giving free pages back."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta

from onlooker.errors import GalleryError
from onlooker.gallery import scrubbing
from onlooker.gallery.connection import connect_for_writing, plain_errors, transaction
from onlooker.gallery.records import MICROSECOND, to_microseconds
from onlooker.gallery.store import Gallery

INCREMENTAL = 2
"""SQLite's number for files that can give free pages back piece by piece."""

GIVE_BACK_PAGES = 512
"""Pages given back in one transaction: 4 MB."""

KEPT_FREE = 0.1
"""Part of the file that may be free pages."""

SCRUB_PAGES = 4096
"""Pages wiped while writers wait: 32 MB, some tenths of a second on an edge computer."""

SCRUB_MISSES = 50
"""So often a writer may come in between before a scrub gives up."""

SCRUB_EVERY = timedelta(days=1)
"""How often retention lets the whole file be read to wipe it."""


def scrub(gallery: Gallery, wait_s: float = 0.0) -> bool:
    """Wipe the copies of rows that SQLite has left in unused space, all through the file, and erase the log.

    Reads the whole file once. Readers go on; writers wait for one stretch of ``SCRUB_PAGES`` at a time.

    Args:
        gallery: Open for writing.
        wait_s: How long to go on trying while somebody is reading; once where 0.

    Returns:
        Whether it was done to the end.

    Raises:
        GalleryError: The file cannot be written, or the process that wipes it cannot be run.
    """
    path = gallery.path
    deadline = time.monotonic() + wait_s
    # Over a connection of its own, whose commits tell all others that the pages they remember may be old: one of them
    # written again would bring back what was wiped.
    with closing(connect_for_writing(path, create=False)) as connection, plain_errors(path):
        (change,) = connection.execute("SELECT change FROM meta").fetchone()
        first, missed = 1, 0
        while first <= int(connection.execute("PRAGMA page_count").fetchone()[0]):
            if missed > SCRUB_MISSES or not gallery.erase_log(max(0.0, deadline - time.monotonic())):
                return False
            with transaction(connection):
                if _log_bytes(gallery):
                    # Somebody has written in between.
                    missed += 1
                    continue
                if not scrubbing.scrub(path, first, SCRUB_PAGES):
                    raise GalleryError(
                        f"the unused space of {path} cannot be wiped; check the permissions of the file and that "
                        f"{sys.executable} can be run"
                    )
                # A value that changes, since SQLite writes nothing where a row stays the same; negative, since it is
                # not done yet.
                connection.execute("UPDATE meta SET scrubbed_us = ?", (-time.time_ns() // 1000,))
            first += SCRUB_PAGES
        with transaction(connection):
            connection.execute("UPDATE meta SET scrubbed_change = ?, scrubbed_us = ?", (change, time.time_ns() // 1000))
    return gallery.erase_log(max(0.0, deadline - time.monotonic()))


def scrub_is_due(gallery: Gallery, now: datetime) -> bool:
    """Say whether something was deleted since the last scrub, and that was ``SCRUB_EVERY`` ago or longer."""
    with gallery.reading() as connection:
        done, scrubbed_us = connection.execute("SELECT scrubbed_change, scrubbed_us FROM meta").fetchone()
        if abs(to_microseconds(now) - scrubbed_us) < SCRUB_EVERY // MICROSECOND:
            return False
        found = connection.execute("SELECT 1 FROM removed WHERE change > ? LIMIT 1", (done,)).fetchone()
    return found is not None


def give_back(gallery: Gallery) -> int:
    """Give free pages at the end of the file back to the disk, a few megabytes at a time.

    A tenth of the file stays free for what comes next: retention would otherwise shrink the file and ingest let it grow
    again all the time. A file of the first format cannot shrink; its free pages are used again. The log is to be erased
    afterwards.

    Args:
        gallery: Open for writing.

    Returns:
        How many bytes the file has become smaller by.
    """
    given = 0
    with gallery.exclusively() as connection:
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != INCREMENTAL:
            return 0
        page, pages, free = _pages(connection)
        while (step := min(GIVE_BACK_PAGES, free - int(pages * KEPT_FREE))) > 0:
            # As a script, since a single statement would stop after the first page.
            connection.executescript(f"PRAGMA incremental_vacuum({step})")
            before = pages
            _, pages, free = _pages(connection)
            if pages >= before:
                break
            given += (before - pages) * page
    return given


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the size of a page in bytes, the number of pages and how many of them are free."""
    page, pages, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page, pages, free


def _log_bytes(gallery: Gallery) -> int:
    log = gallery.path.with_name(gallery.path.name + "-wal")
    return log.stat().st_size if log.exists() else 0
