"""Opening hours of a camera, such as "mon-fri 08:00-18:00, sat 09:00-13:00"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo

from onlooker.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EXAMPLE = 'for example "mon-fri 08:00-18:00, sat 09:00-13:00" or "daily 22:00-06:00"'


@dataclass(frozen=True)
class _Span:
    """Days of the week (0 is Monday) and minutes of the day; an end at or before the start lies on the next day."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True)
class Hours:
    """When a camera is looked at.

    Attributes:
        text: As it was written.
        zone: The time zone it is meant in; None is this machine's.
    """

    text: str
    zone: tzinfo | None
    _spans: tuple[_Span, ...]

    def hold(self, time: datetime) -> bool:
        """Say whether a time, with its zone, lies within them."""
        local = time.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return any(span.holds(local.weekday(), minute) for span in self._spans)


def parse_hours(text: str, zone: tzinfo | None = None) -> Hours:
    """Read hours: spans with commas between them, each ``DAYS HH:MM-HH:MM``.

    ``DAYS`` is a day (``mon``), a range (``mon-fri``, ``sat-mon``), several with ``+`` (``tue+thu``) or ``daily``.
    A span that ends at or before its start runs into the next day; ``24:00`` is the end of the day.

    Args:
        text: What is written.
        zone: The time zone it is meant in; None is this machine's.

    Raises:
        ConfigError: It cannot be read; the message shows the span that is wrong.
    """
    return Hours(text, zone, tuple(_span(part.strip().lower()) for part in text.split(",")))


def _span(text: str) -> _Span:
    found = re.fullmatch(r"([a-z+-]+)\s+(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", text)
    if found is None:
        raise ConfigError(f"hours {text!r} cannot be read; write {_EXAMPLE}")
    start, end = _minute(found[2], found[3], text), _minute(found[4], found[5], text)
    if start == 24 * 60 or start == end:
        raise ConfigError(f"hours {text!r} begin where they end; write {_EXAMPLE}")
    return _Span(_days(found[1], text), start, end)


def _minute(hour: str, minute: str, text: str) -> int:
    total = int(hour) * 60 + int(minute)
    if total > 24 * 60 or int(minute) > 59:
        raise ConfigError(f"hours {text!r} have a time that no clock shows; write {_EXAMPLE}")
    return total


def _days(words: str, text: str) -> frozenset[int]:
    if words == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for word in words.split("+"):
        first, dash, last = word.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ConfigError(f"hours {text!r} have a day that is not one of {', '.join(DAYS)} or daily")
        begin = DAYS.index(first)
        days.update((begin + step) % 7 for step in range((DAYS.index(last or first) - begin) % 7 + 1))
    return frozenset(days)
