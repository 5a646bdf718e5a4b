"""Which sightings a search looks at: cameras, times and sources, turned into SQL."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from onlooker.errors import QueryError
from onlooker.gallery.records import MICROSECOND, to_microseconds

AGO_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGO = re.compile(rf"(\d{{1,6}}(?:\.\d{{1,6}})?)\s*({'|'.join(AGO_UNITS)})")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
CLOCK = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?")

NAMES_SHOWN = 12
"""How many known names an error lists before it says how many more there are."""


def parse_moment(text: str, *, name: str, end: bool = False, now: datetime | None = None) -> datetime:
    """Read a point in time: a date, a date with a time, or how long ago.

    Args:
        text: ``2026-05-17``, ``2026-05-17 14:30``, ``2026-05-17T14:30:05.25+02:00`` (or ``Z``), ``45s``, ``30min``,
            ``2h``, ``3d``, ``1w``. Without a zone it is the local time of this machine.
        name: The option's name, for messages.
        end: Whether a date means its last microsecond rather than its first.
        now: What "ago" counts from; the present where None.

    Returns:
        The time in UTC.

    Raises:
        QueryError: The text is none of these, or names a day or hour that does not exist.
    """
    text = text.strip()
    try:
        if ago := AGO.fullmatch(text):
            span = timedelta(**{AGO_UNITS[ago[2]]: float(ago[1])})
            return (now or datetime.now(timezone.utc)).astimezone(timezone.utc) - span
        if DATE.fullmatch(text):
            day = date.fromisoformat(text) + timedelta(days=int(end))
            # The next midnight less one microsecond, since a day may have 23 or 25 hours.
            return datetime(day.year, day.month, day.day).astimezone(timezone.utc) - int(end) * MICROSECOND
        if clock := CLOCK.fullmatch(text):
            # Python 3.10 reads neither "Z" nor fractions of other than three or six digits.
            text = text.removesuffix("Z") + ("+00:00" if text.endswith("Z") else "")
            if clock[2]:
                text = text.replace(clock[2], clock[2].ljust(7, "0"), 1)
            return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise QueryError(f"{name} {text!r} is not a time that exists ({error}); correct it") from error
    raise QueryError(
        f"{name} {text!r} is not a time; write a date (2026-05-17), a date and time (2026-05-17T14:30) or how long ago "
        "(45s, 30min, 2h, 3d, 1w)"
    )


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a sighting must fulfil; every part that is given must hold.

    Attributes:
        cameras: One of these cameras; any where empty.
        since: Seen at this time or later, with a zone. A sighting without a known time never fits a time.
        until: Seen at this time or earlier, with a zone.
        sources: From one of these files or addresses, by the whole name or by how it ends after a slash; any where
            empty.
    """

    cameras: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise QueryError(
                f"since {self.since.isoformat()} is later than until {self.until.isoformat()}; swap or correct them"
            )

    def __bool__(self) -> bool:
        return bool(self.cameras or self.sources or self.since or self.until)

    def where(self) -> tuple[str, list[str | int]]:
        """Return the condition on the row ``s`` of the table ``sighting``, and the values of its question marks."""
        conditions, values = self._named("s", "s.source_id IN (SELECT id FROM source WHERE {})")
        if self.since is not None:
            conditions.append("s.time_us >= ?")
            values.append(to_microseconds(self.since))
        if self.until is not None:
            conditions.append("s.time_us <= ?")
            values.append(to_microseconds(self.until))
        return " AND ".join(conditions) or "1", values

    def source_where(self) -> tuple[str, list[str | int]]:
        """Return the condition of cameras and sources on the row ``o`` of the table ``source``; times do not count."""
        conditions, values = self._named("o", "({})")
        return " AND ".join(conditions) or "1", values

    def _named(self, row: str, of_sources: str) -> tuple[list[str], list[str | int]]:
        """Return the conditions of cameras and sources on a row, with their values; ``of_sources`` takes the names'."""
        conditions: list[str] = []
        values: list[str | int] = []
        if self.cameras:
            conditions.append(f"{row}.camera_id IN (SELECT id FROM camera WHERE name IN ({_marks(self.cameras)}))")
            values.extend(self.cameras)
        if self.sources:
            conditions.append(of_sources.format(" OR ".join([_SOURCE] * len(self.sources))))
            for source in self.sources:
                values.extend((source, f"/{source}", f"/{source}"))
        return conditions, values

    def check(self, connection: sqlite3.Connection) -> None:
        """Make sure that every camera and source named is known to the gallery.

        Raises:
            QueryError: One is not; the message names those that are.
        """
        known = [name for (name,) in connection.execute("SELECT name FROM camera ORDER BY name")]
        for camera in self.cameras:
            if camera not in known:
                raise QueryError(f"there is no camera {camera!r} in this gallery; it has {listed(known)}")
        for source in self.sources:
            found = connection.execute(
                f"SELECT 1 FROM source WHERE {_SOURCE} LIMIT 1", (source, f"/{source}", f"/{source}")
            ).fetchone()
            if found is None:
                names = [name for (name,) in connection.execute("SELECT name FROM source ORDER BY name")]
                raise QueryError(f"there is no source {source!r} in this gallery; it has {listed(names)}")


_SOURCE = "(name = ? OR substr(name, -length(?)) = ?)"


def listed(names: Sequence[str]) -> str:
    """Join names for a message, the first dozen of them."""
    if not names:
        return "none"
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
