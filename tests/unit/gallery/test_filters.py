from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from onlooker.errors import QueryError
from onlooker.gallery.filters import Filter, listed, parse_moment
from onlooker.gallery.store import Gallery
from onlooker.gallery.vectors import read_ids
from tests.unit.gallery.makers import people_gallery

NOW = datetime(2026, 5, 17, 12, tzinfo=timezone.utc)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hours ahead of UTC in summer, one in winter."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-05-17", "2026-05-16T22:00:00"),
        ("2026-05-17 14:30", "2026-05-17T12:30:00"),
        ("2026-05-17T14:30", "2026-05-17T12:30:00"),
        ("2026-01-17T14:30", "2026-01-17T13:30:00"),
        ("2026-05-17T14:30:05", "2026-05-17T12:30:05"),
        ("2026-05-17T14:30:05.25", "2026-05-17T12:30:05.250000"),
        ("2026-05-17T14:30:05.123456Z", "2026-05-17T14:30:05.123456"),
        ("2026-05-17T14:30Z", "2026-05-17T14:30:00"),
        ("2026-05-17T14:30:05-05:30", "2026-05-17T20:00:05"),
        (" 2026-05-17 ", "2026-05-16T22:00:00"),
        ("45s", "2026-05-17T11:59:15"),
        ("30min", "2026-05-17T11:30:00"),
        ("2h", "2026-05-17T10:00:00"),
        ("1.5 h", "2026-05-17T10:30:00"),
        ("3d", "2026-05-14T12:00:00"),
        ("1w", "2026-05-10T12:00:00"),
        ("0s", "2026-05-17T12:00:00"),
    ],
)
def test_moments(text: str, wanted: str, berlin: None) -> None:
    assert parse_moment(text, name="--since", now=NOW) == datetime.fromisoformat(wanted + "+00:00")


def test_the_end_of_a_date_is_its_last_microsecond(berlin: None) -> None:
    end = parse_moment("2026-05-17", name="--until", end=True)
    assert end == datetime(2026, 5, 17, 21, 59, 59, 999_999, timezone.utc)
    # The day the clocks go back has 25 hours.
    day = parse_moment("2026-10-25", name="--until", end=True) - parse_moment("2026-10-25", name="--since")
    assert day == timedelta(hours=25) - timedelta(microseconds=1)


def test_a_time_of_day_is_meant_as_it_stands(berlin: None) -> None:
    assert parse_moment("2026-05-17T14:30Z", name="--until", end=True).minute == 30


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026",
        "2026-5-17",
        "17.05.2026",
        "14:30",
        "2m",
        "3 months",
        "-2h",
        "2h30min",
        "1e3s",
        "2026-05-17T14",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(QueryError, match=r"--since '.*' is not a time; write a date"):
        parse_moment(text, name="--since")


@pytest.mark.parametrize("text", ["2026-02-30", "2026-05-17T25:00", "0000-01-01", "999999w", "9999-12-31"])
def test_moments_that_do_not_exist(text: str) -> None:
    with pytest.raises(QueryError, match="is not a time that exists"):
        parse_moment(text, name="--until", end=True)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(people_gallery(tmp_path / "people.db"), read_only=True) as gallery:
        yield gallery


def at(hour: int, microsecond: int = 0) -> datetime:
    return datetime(2026, 5, 17, hour, 0, 0, microsecond, timezone.utc)


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(cameras=("entrance",)), [1, 2]),
        (Filter(cameras=("entrance", "car park")), [1, 2, 3, 4]),
        (Filter(since=at(9)), [2, 3]),
        (Filter(since=at(9, 1)), [3]),
        (Filter(until=at(9)), [1, 2]),
        (Filter(since=at(9), until=at(9)), [2]),
        (Filter(since=at(10, 250_001)), []),
        (Filter(until=at(10, 250_000), cameras=("car park",)), [3]),
        (Filter(sources=("footage/3.mp4",)), [4]),
        (Filter(sources=("3.mp4", "0.jpg")), [1, 4]),
        (Filter(sources=("photos/0.jpg",), cameras=("car park",)), []),
    ],
)
def test_what_passes(gallery: Gallery, kept: Filter, wanted: list[int]) -> None:
    with gallery.reading() as connection:
        kept.check(connection)
        assert read_ids(connection, kept).tolist() == wanted
    ids, vectors, _ = gallery.vectors(kept)
    assert ids.tolist() == wanted
    assert len(vectors) == len(wanted)
    assert bool(kept) == (kept != Filter())


def test_unknown_cameras_are_named_with_the_known(gallery: Gallery) -> None:
    with gallery.reading() as connection, pytest.raises(QueryError) as caught:
        Filter(cameras=("entrance", "roof")).check(connection)
    assert str(caught.value) == "there is no camera 'roof' in this gallery; it has car park, entrance"


@pytest.mark.parametrize("source", ["9.jpg", "mp4", "%", "tos/0.jpg", "_.jpg"])
def test_unknown_sources_are_refused(gallery: Gallery, source: str) -> None:
    with gallery.reading() as connection, pytest.raises(QueryError, match="there is no source"):
        Filter(sources=(source,)).check(connection)


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(QueryError, match="later than until"):
        Filter(since=at(9), until=at(8))


def test_long_lists_of_names_are_cut() -> None:
    assert listed([]) == "none"
    assert listed([str(number) for number in range(14)]).endswith("10, 11 and 2 more")
