from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import GalleryError
from onlooker.gallery import scrubbing, upkeep
from onlooker.gallery.retention import Limit, enforce
from onlooker.gallery.scrubbing import wiped
from onlooker.gallery.store import Gallery
from onlooker.gallery.upkeep import scrub, scrub_is_due
from tests.unit.gallery.makers import new_gallery, sighting, update

PAGE = 8192
MARK = b"left behind in unused space"


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [row for name in sorted(tables) for row in connection.execute(f"SELECT * FROM {name}")]


def page_header(page: bytes, start: int) -> tuple[int, int]:
    """Where the unused space of a page of rows begins and ends."""
    length = scrubbing.TREE_PAGES[page[start]]
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    return start + length + 2 * cells, int.from_bytes(page[start + 5 : start + 7], "big")


def dirty(path: Path) -> int:
    """Write a mark into the unused space of every page that has room; return how many have."""
    data = bytearray(path.read_bytes())
    count = 0
    for number in range(1, len(data) // PAGE + 1):
        page = bytes(data[(number - 1) * PAGE : number * PAGE])
        start = scrubbing.HEADER if number == 1 else 0
        if page[start] not in scrubbing.TREE_PAGES or scrubbing._is_pointer_map(number, PAGE):
            continue
        begin, end = page_header(page, start)
        if end - begin >= len(MARK):
            # In the middle, where the next row and its pointer do not reach.
            place = (number - 1) * PAGE + (begin + end - len(MARK)) // 2
            data[place : place + len(MARK)] = MARK
            count += 1
    path.write_bytes(data)
    return count


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    random = np.random.default_rng(1)
    with new_gallery(path) as gallery:
        for number in range(6):
            source = update(number, f"camera {number}", name=f"/footage/{number}.mp4")
            crops = [random.bytes(int(size)) for size in random.integers(50, 12_000, 12)]
            ids = gallery.commit(source, [sighting(source, crop=crop) for crop in crops])
            gallery.remove(ids[::3])
    return path


def test_unused_space_is_wiped_and_nothing_else(path: Path) -> None:
    before = rows_of(path)
    assert dirty(path) > 20
    assert rows_of(path) == before
    with Gallery.open(path) as gallery:
        assert scrub(gallery)
    assert MARK not in path.read_bytes()
    after = rows_of(path)
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    # Only the row that says when it was done.
    assert len(changed) == 1


def test_it_is_done_in_stretches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dirty(path)
    monkeypatch.setattr(upkeep, "SCRUB_PAGES", 7)
    with Gallery.open(path) as gallery:
        assert scrub(gallery)
    assert MARK not in path.read_bytes()


def test_another_writer_who_remembers_old_pages_does_not_bring_them_back(path: Path) -> None:
    dirty(path)
    with Gallery.open(path) as writer:
        # Reads, and so remembers, pages of all tables; then writes them.
        for number in range(6):
            writer.cameras()
            assert writer.source_state(update(number, f"camera {number}").key) is not None
        writer.sightings(writer.vectors()[0].tolist())
        with Gallery.open(path) as gallery:
            assert scrub(gallery)
        source = update(9, "camera 9")
        writer.commit(source, [sighting(source)])
        writer.remove([2])
    assert MARK not in path.read_bytes()


def test_a_writer_between_two_stretches_does_not_bring_them_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dirty(path)
    monkeypatch.setattr(upkeep, "SCRUB_PAGES", 40)
    with Gallery.open(path) as writer, Gallery.open(path) as gallery:
        erase, calls, written = gallery.erase_log, [], []

        def write_then_erase(wait_s: float = 0.0) -> bool:
            calls.append(wait_s)
            if len(calls) > 1:
                source = update(20 + len(written), "camera 2", name=f"late {len(written)}.mp4")
                written.extend(writer.commit(source, [sighting(source)]))
            done = erase(wait_s)
            # The log is empty now, so that nothing but the scrub's own commit tells that what is read here gets old.
            writer.sightings(writer.vectors()[0].tolist())
            writer.cameras()
            assert writer.source_state(update(1, "camera 1").key) is not None
            return done

        monkeypatch.setattr(gallery, "erase_log", write_then_erase)
        assert scrub(gallery)
        assert written
        assert writer.count() == 48 + len(written)
    assert MARK not in path.read_bytes()
    rows_of(path)


def test_somebody_who_reads_puts_it_off(path: Path) -> None:
    with Gallery.open(path) as gallery, Gallery.open(path, read_only=True) as reader:
        with reader.reading() as connection:
            connection.execute("SELECT count(*) FROM sighting").fetchone()
            gallery.remove([5])
            assert not scrub(gallery)
        assert scrub(gallery)


def test_a_file_that_cannot_be_wiped_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with Gallery.open(path) as gallery, pytest.raises(GalleryError, match=r"unused space .* cannot be wiped"):
        scrub(gallery)


def test_pages_that_make_no_sense_are_left_alone() -> None:
    random = np.random.default_rng(0)
    for number in (1, 2, 3):
        for _ in range(300):
            page = random.bytes(PAGE)
            clean = wiped(page, number, PAGE)
            assert len(clean) == PAGE
            assert clean == page or page[scrubbing.HEADER if number == 1 else 0] in scrubbing.TREE_PAGES
    assert wiped(bytes(PAGE), 5, PAGE) == bytes(PAGE)


def test_retention_has_it_done_once_a_day(path: Path) -> None:
    now = datetime.now(timezone.utc)
    limits = {"camera 1": Limit(days=1), "camera 2": Limit(days=2)}
    dirty(path)
    with Gallery.open(path) as gallery:
        assert scrub_is_due(gallery, now)
        enforce(gallery, limits, now)
        assert MARK not in path.read_bytes()
        assert not scrub_is_due(gallery, now)
        # Nothing was deleted since, however long ago that was.
        assert not scrub_is_due(gallery, now + timedelta(days=400))
        assert enforce(gallery, limits, now + timedelta(hours=25)).sightings > 0
        assert not scrub_is_due(gallery, now + timedelta(hours=25, minutes=1))
