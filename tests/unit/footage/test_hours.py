from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import ConfigError
from onlooker.footage.hours import DAYS, parse_hours

UTC = timezone.utc
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "day", "clock", "holds"),
    [
        ("mon-fri 08:00-18:00", 0, (8, 0), True),
        ("mon-fri 08:00-18:00", 0, (7, 59), False),
        ("mon-fri 08:00-18:00", 4, (17, 59), True),
        ("mon-fri 08:00-18:00", 4, (18, 0), False),
        ("mon-fri 08:00-18:00", 5, (12, 0), False),
        ("mon-fri 08:00-18:00, sat 9:00-13:00", 5, (12, 0), True),
        ("fri 22:00-06:00", 5, (5, 59), True),
        ("fri 22:00-06:00", 5, (22, 0), False),
        ("sun 22:00-06:00", 0, (3, 0), True),
        ("Daily 00:00-24:00", 3, (23, 59), True),
        ("tue+thu 10:00-11:00", 3, (10, 30), True),
        ("sat-mon 10:00-11:00", 6, (10, 30), True),
        ("sat-mon 10:00-11:00", 2, (10, 30), False),
    ],
)
def test_spans(text: str, day: int, clock: tuple[int, int], holds: bool) -> None:
    time = MONDAY + timedelta(days=day, hours=clock[0], minutes=clock[1])
    assert parse_hours(text, UTC).hold(time) is holds


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440), st.integers(0, 7 * 1440 - 1))
def test_a_span_is_the_minutes_it_says(first: int, last: int, start: int, length: int, minute: int) -> None:
    end = (start + length) % 1440
    if start == end:
        return
    text = f"{DAYS[first]}-{DAYS[last]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    days = [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    spans = [(day * 1440 + start, day * 1440 + start + (end - start) % 1440) for day in days]
    expected = any(begin <= minute + week < stop for begin, stop in spans for week in (0, 7 * 1440))
    assert parse_hours(text, UTC).hold(MONDAY + timedelta(minutes=minute)) == expected


def test_hours_are_those_of_their_zone_in_summer_and_winter() -> None:
    hours = parse_hours("daily 08:00-09:00", ZoneInfo("Europe/Berlin"))
    assert hours.hold(datetime(2026, 11, 24, 7, 30, tzinfo=UTC))
    assert hours.hold(datetime(2026, 7, 24, 6, 30, tzinfo=UTC))
    assert not hours.hold(datetime(2026, 7, 24, 7, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "mon-fry 08:00-18:00",
        "mon 8-18",
        "mon 08:00-08:00",
        "mon 25:00-26:00",
        "mon 08:60-09:00",
        "mon 24:00-06:00",
    ],
)
def test_what_cannot_be_read_is_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="hours"):
        parse_hours(text)
