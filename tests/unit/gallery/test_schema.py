from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from onlooker.errors import GalleryError
from onlooker.gallery import schema
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import new_gallery, sighting, update


def m002_mood(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE sighting ADD COLUMN mood TEXT")


def m002_broken(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE sighting ADD COLUMN mood TEXT")
    connection.execute("ALTER TABLE nowhere ADD COLUMN mood TEXT")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    source = update()
    with new_gallery(path) as gallery:
        gallery.commit(source, [sighting(source)])
    return path


def steps_of(gallery: Gallery) -> list[tuple[str, int]]:
    with gallery.reading() as connection:
        return connection.execute("SELECT name, applied_us FROM step ORDER BY name").fetchall()


def test_steps_are_named_by_number_in_order() -> None:
    for number, step in enumerate(schema.STEPS, start=1):
        assert step.__name__.startswith(f"m{number:03d}_")
        assert step.__doc__


def test_each_step_is_recorded_with_its_time(path: Path) -> None:
    with Gallery.open(path, read_only=True) as gallery:
        ((name, applied_us),) = steps_of(gallery)
        assert gallery.info.schema_version == 1
    assert name == "m001_sightings"
    assert abs(applied_us / 1e6 - time.time()) < 60


def test_an_older_gallery_is_brought_up_to_date_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, m002_mood))
    with pytest.raises(GalleryError, match="older format"):
        Gallery.open(path, read_only=True)
    for _ in range(2):
        with Gallery.open(path) as gallery:
            assert [name for name, _ in steps_of(gallery)] == ["m001_sightings", "m002_mood"]
            assert gallery.info.schema_version == 2
            assert gallery.count() == 1
    with Gallery.open(path, read_only=True) as gallery, gallery.reading() as connection:
        assert connection.execute("SELECT mood FROM sighting").fetchall() == [(None,)]


def test_a_new_gallery_sees_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, m002_mood))
    with new_gallery(tmp_path / "new.db") as gallery:
        assert len(steps_of(gallery)) == 2
        assert gallery.info.schema_version == 2


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", (*schema.STEPS, m002_broken))
        with pytest.raises(GalleryError, match="nowhere"):
            Gallery.open(path)
    with Gallery.open(path) as gallery, gallery.reading() as connection:
        assert gallery.info.schema_version == 1
        assert "mood" not in [row[1] for row in connection.execute("PRAGMA table_info(sighting)")]
