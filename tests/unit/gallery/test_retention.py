from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.errors import ConfigError
from onlooker.gallery.forgetting import Removed
from onlooker.gallery.retention import BATCH, Limit, enforce
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import DIMENSION, new_gallery, sighting, update

NOW = datetime(2026, 5, 17, 12, tzinfo=timezone.utc)
VECTOR_BYTES = 2 * DIMENSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def fill(gallery: Gallery, camera: str, ages_days: list[float], *, size: int = 100, number: int = 0) -> list[int]:
    source = update(number, camera, name=f"{camera}.mp4")
    times = [NOW - timedelta(days=age) for age in ages_days]
    return gallery.commit(source, [sighting(source, time=time, crop=b"\xaa" * size) for time in times])


def left(gallery: Gallery) -> set[int]:
    return set(gallery.vectors()[0].tolist())


def test_days(path: Path) -> None:
    with new_gallery(path) as gallery:
        door = fill(gallery, "door", [40, 31, 29, 0])
        yard = fill(gallery, "yard", [400, 8, 6], number=1)
        removed = enforce(gallery, {"door": Limit(days=30), "yard": Limit(days=7), "roof": Limit(days=1)}, NOW)
        assert removed == Removed(sightings=4, bytes=4 * (100 + VECTOR_BYTES))
        assert left(gallery) == {*door[2:], yard[2]}
        assert enforce(gallery, {"door": Limit(days=30)}, NOW) == Removed()
        assert enforce(gallery, {"door": Limit(days=30)}, NOW + timedelta(days=1, hours=1)).sightings == 1


def test_a_camera_without_a_limit_is_left_alone(path: Path) -> None:
    with new_gallery(path) as gallery:
        ids = fill(gallery, "door", [4000])
        assert enforce(gallery, {"door": Limit(), "yard": Limit(days=1)}, NOW) == Removed()
        assert left(gallery) == set(ids)


def test_gigabytes_take_the_oldest_and_no_more_than_needed(path: Path) -> None:
    with new_gallery(path) as gallery:
        ids = fill(gallery, "door", [1, 9, 3, 7], size=1000)
        others = fill(gallery, "yard", [99], size=5000, number=1)
        each = 1000 + VECTOR_BYTES
        removed = enforce(gallery, {"door": Limit(gigabytes=2 * each / 1e9)}, NOW)
        assert removed == Removed(sightings=2, bytes=2 * each)
        assert left(gallery) == {ids[0], ids[2], *others}
        assert enforce(gallery, {"door": Limit(gigabytes=(2 * each - 1) / 1e9)}, NOW).sightings == 1
        assert enforce(gallery, {"door": Limit(gigabytes=0)}, NOW).sightings == 1


@given(
    ages=st.lists(st.floats(0, 100), max_size=20),
    sizes=st.lists(st.integers(1, 500), min_size=20, max_size=20),
    days=st.none() | st.floats(0.1, 100),
    room=st.none() | st.integers(0, 6000),
)
@settings(max_examples=15)
def test_what_stays_is_the_longest_run_of_the_newest_within_the_limits(
    tmp_path_factory: pytest.TempPathFactory, ages: list[float], sizes: list[int], days: float | None, room: int | None
) -> None:
    path = tmp_path_factory.mktemp("gallery") / "people.db"
    with new_gallery(path) as gallery:
        source = update()
        seen = [
            sighting(source, time=NOW - timedelta(days=age), crop=b"x" * size)
            for age, size in zip(ages, sizes, strict=False)
        ]
        ids = gallery.commit(source, seen)
        # Twice, since a batch ends before a sighting that may stay.
        enforce(gallery, {"door": Limit(days=days, gigabytes=None if room is None else room / 1e9)}, NOW)
        stay = left(gallery)
        order = sorted(zip(seen, ids, strict=True), key=lambda item: (item[0].time, item[1]))
        wanted = list(order)
        while wanted and (
            (days is not None and NOW - wanted[0][0].time > timedelta(days=days))
            or (room is not None and sum(len(one.crop) + VECTOR_BYTES for one, _ in wanted) > room)
        ):
            wanted.pop(0)
        assert stay == {number for _, number in wanted}


def test_a_sighting_without_a_time_is_as_old_as_its_place_in_the_gallery(path: Path) -> None:
    with new_gallery(path) as gallery:
        source = update()
        gallery.commit(source, [sighting(source)])
        now = datetime.now(timezone.utc)
        assert enforce(gallery, {"door": Limit(days=1)}, now + timedelta(hours=23)).sightings == 0
        assert enforce(gallery, {"door": Limit(days=1)}, now + timedelta(hours=25)).sightings == 1


def test_a_camera_whose_clock_was_ahead_keeps_nobody_longer(path: Path) -> None:
    with new_gallery(path) as gallery:
        source = update()
        now = datetime.now(timezone.utc)
        gallery.commit(source, [sighting(source, time=now + timedelta(days=3650))])
        assert enforce(gallery, {"door": Limit(days=1)}, now + timedelta(hours=25)).sightings == 1


def test_many_go_in_small_transactions_between_which_others_write(path: Path) -> None:
    with new_gallery(path) as gallery, Gallery.open(path, read_only=True) as reader:
        fill(gallery, "door", [2.0] * (3 * BATCH + 5))
        _, _, before = reader.vectors()
        removed = enforce(gallery, {"door": Limit(days=1)}, NOW)
        assert removed.sightings == 3 * BATCH + 5
        changes = reader.changes_since(before)
        assert len(changes.removed) == removed.sightings
        # Each transaction counts the change sequence on by one.
        assert changes.sequence == before + 4


def test_the_bytes_are_gone_and_the_file_does_not_grow_for_ever(path: Path) -> None:
    random = np.random.default_rng(0)
    sizes = []
    with new_gallery(path) as gallery:
        for number in range(8):
            source = update(number, "door", name=f"{number}.mp4")
            crops = [random.bytes(30_000) for _ in range(30)]
            gallery.commit(
                source, [sighting(source, time=NOW - timedelta(days=8 - number), crop=crop) for crop in crops]
            )
            removed = enforce(gallery, {"door": Limit(gigabytes=0.002)}, NOW)
            assert removed.erased
            sizes.append(path.stat().st_size)
            if number == 0:
                first = crops
        data = path.read_bytes() + path.with_name("people.db-wal").read_bytes()
        assert not any(crop[start : start + 32] in data for crop in first for start in (0, 15_000, 29_900))
        assert max(sizes[3:]) < 1.4 * 2_000_000
        with gallery.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_reader_delays_the_erasing_until_the_next_call(path: Path) -> None:
    limits = {"door": Limit(days=1)}
    with new_gallery(path) as gallery:
        source = update()
        gallery.commit(source, [sighting(source, time=NOW - timedelta(days=2), crop=b"to be forgotten" * 99)])
        with Gallery.open(path, read_only=True) as reader, reader.reading() as connection:
            connection.execute("SELECT count(*) FROM sighting").fetchone()
            assert enforce(gallery, limits, NOW) == Removed(sightings=1, bytes=99 * 15 + VECTOR_BYTES, erased=False)
            assert enforce(gallery, limits, NOW) == Removed(erased=False)
        assert enforce(gallery, limits, NOW) == Removed(erased=True)
        files = (path, path.with_name("people.db-wal"), path.with_name("people.db-shm"))
        assert not any(b"to be forgotten" in file.read_bytes() for file in files)


@pytest.mark.parametrize(
    "bad", [{"days": 0}, {"days": -1}, {"days": float("nan")}, {"gigabytes": -1}, {"gigabytes": float("inf")}]
)
def test_limits_that_mean_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="give"):
        Limit(**bad)
