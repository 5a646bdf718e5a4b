from __future__ import annotations

import gzip
import sqlite3
import time
from pathlib import Path

import pytest

from onlooker.errors import GalleryError
from onlooker.gallery import schema
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import new_gallery, sighting, update

MADE_S = 1795529112
"""When the gallery of format 1 was written."""


def m003_mood(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE sighting ADD COLUMN mood TEXT")


def m003_broken(connection: sqlite3.Connection) -> None:
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
        steps = steps_of(gallery)
        assert gallery.info.schema_version == 2
    assert [name for name, _ in steps] == ["m001_sightings", "m002_views"]
    assert all(abs(applied_us / 1e6 - time.time()) < 60 for _, applied_us in steps)


def test_an_older_gallery_is_brought_up_to_date_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, m003_mood))
    with pytest.raises(GalleryError, match="older format"):
        Gallery.open(path, read_only=True)
    for _ in range(2):
        with Gallery.open(path) as gallery:
            assert [name for name, _ in steps_of(gallery)] == ["m001_sightings", "m002_views", "m003_mood"]
            assert gallery.info.schema_version == 3
            assert gallery.count() == 1
    with Gallery.open(path, read_only=True) as gallery, gallery.reading() as connection:
        assert connection.execute("SELECT mood FROM sighting").fetchall() == [(None,)]


def test_a_new_gallery_sees_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, m003_mood))
    with new_gallery(tmp_path / "new.db") as gallery:
        assert len(steps_of(gallery)) == 3
        assert gallery.info.schema_version == 3


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", (*schema.STEPS, m003_broken))
        with pytest.raises(GalleryError, match="nowhere"):
            Gallery.open(path)
    with Gallery.open(path) as gallery, gallery.reading() as connection:
        assert gallery.info.schema_version == 2
        assert "mood" not in [row[1] for row in connection.execute("PRAGMA table_info(sighting)")]


def test_a_gallery_of_format_1_is_brought_up_to_date_in_place(tmp_path: Path) -> None:
    # Written by the code of format 1: two tracks of an unfinished video, one of them with two vectors, and a photo
    # from a camera whose clock was far ahead.
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "format1.db.gz").read_bytes()))
    with pytest.raises(GalleryError, match="older format"):
        Gallery.open(path, read_only=True)
    with Gallery.open(path) as gallery, gallery.reading() as connection:
        assert gallery.info.schema_version == len(schema.STEPS)
        assert [seen.id for seen in gallery.sightings([1, 2, 3])] == [1, 2, 3]
        assert gallery.crop(2) == b"second" * 9
        assert gallery.views(1) == []
        assert len(gallery.vectors()[0]) == 4
        ages = connection.execute("SELECT aged_us, time_us, bytes FROM sighting ORDER BY id").fetchall()
        assert ages[0][0] == ages[0][1]
        assert ages[1][1] is None
        assert all(abs(aged_us / 1e6 - MADE_S) < 60 for aged_us, _, _ in ages[1:])
        assert [size for _, _, size in ages] == [100 + 16, 54 + 32, 150 + 16]
        assert connection.execute("SELECT name, bytes FROM camera ORDER BY name").fetchall() == [
            ("door", 202),
            ("yard", 166),
        ]
    with Gallery.open(path) as gallery:
        source = update(1, "door", name="a.mp4", complete=False, resume_s=12.0)
        gallery.commit(source, [sighting(source, crop=b"12345678")])
        gallery.remove([1])
        with gallery.reading() as connection:
            assert connection.execute("SELECT bytes FROM camera WHERE name = 'door'").fetchone() == (86 + 8 + 16,)
