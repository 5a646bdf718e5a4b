"""What a source of pictures is, what it gives, and the two clocks of a frame: when it was seen, and its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

CLOCK_JUMP_S = 1.0
"""The wall clock of this machine was set anew where it departs by more than this from the monotonic one. NTP's usual
corrections, half a millisecond a second, change both."""
PRESENTATION_JUMP_S = 5.0
"""A source's own clock has jumped where it went on by this much more than this machine's."""
CREEP = 0.001
"""By how much a second the difference between two clocks may grow before that counts as lateness."""


@dataclass(frozen=True)
class LiveFrame:
    """One frame of a source.

    Attributes:
        rgb: uint8 (h, w, 3), upright, square pixels; the size may change from one frame to the next.
        time: When it was seen, UTC; never goes back within an opening of the source.
        time_s: Seconds of the source's own presentation clock since it was opened, exact to that clock's time base.
        sequence: Number of the frame since the opening, one more for each frame decoded; a gap is frames not given.
        origin: The file it comes from, where the source is a folder or a video; else None.
    """

    rgb: NDArray[np.uint8]
    time: datetime
    time_s: float
    sequence: int
    origin: str | None = None


@runtime_checkable
class Source(Protocol):
    """Anything that gives frames one after another.

    Attributes:
        name: What it is called in messages; holds no secret.
        live: True where a late frame is worthless (a camera), False where every frame counts (a file).
    """

    name: str
    live: bool

    def open(self) -> None:
        """Connect. A source may be opened again after ``close``.

        Raises:
            SourceError: It cannot be reached, refuses the sign-in, or gives nothing that can be decoded.
        """
        ...

    def read(self, timeout_s: float) -> LiveFrame | None:
        """Return the next frame.

        Args:
            timeout_s: How long to wait for it. A source that waits inside the operating system may take longer, but
                never longer than the limit after which it counts as frozen.

        Returns:
            The frame, or None where nothing new has come within that time.

        Raises:
            SourceError: Nothing will come any more without opening it again.
        """
        ...

    def close(self) -> None:
        """Disconnect; does nothing where it is not open."""
        ...


def utc_now() -> datetime:
    """Return the wall clock's time in UTC."""
    return datetime.now(timezone.utc)


class SeenClock:
    """Tells when frames were seen: the wall clock, held by the monotonic one so that it never goes back.

    The wall clock is asked once, at the start; from then on the monotonic clock says how much later it is. Where the
    wall clock turns out to have been set forward, it is followed at once. Where it was set back, following would
    let time go back, so that waits for the next start.
    """

    def __init__(self, wall: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            wall: Gives the time in UTC.
            monotonic: Gives seconds that only ever grow.
        """
        self._wall, self._monotonic = wall, monotonic
        self.restart()

    def restart(self) -> None:
        """Take the wall clock's time as it is now."""
        self._anchor, self._anchored_s = self._wall(), self._monotonic()

    def now(self) -> datetime:
        """Return the time in UTC, never earlier than before since the last start."""
        held = self._held()
        wall = self._wall()
        if (wall - held).total_seconds() > CLOCK_JUMP_S:
            self.restart()
            return max(held, self._anchor)
        return held

    def departs_s(self) -> float:
        """Return by how many seconds the wall clock was set anew since the last start; back is negative, 0 is not."""
        departs = (self._wall() - self._held()).total_seconds()
        return departs if abs(departs) > CLOCK_JUMP_S else 0.0

    def _held(self) -> datetime:
        return self._anchor + timedelta(seconds=self._monotonic() - self._anchored_s)


class PresentationClock:
    """Turns the timestamps of a stream into seconds since it was opened, which never go back.

    Differences of timestamps are kept as fractions, so no rounding adds up however long a camera runs. A camera whose
    clock jumps (many set it when they find a time server) goes on from the last time by what passed here meanwhile.

    How far behind the present a frame is follows from the least difference ever seen between this machine's clock and
    the stream's: that stands for "on time". It may creep by a thousandth, since no quartz is exact: without that, a
    camera slow by 0.01 % would seem nine seconds late after a day.

    Attributes:
        jumps: How often the stream's clock jumped.
        lag_s: How much later than on time the last frame came, in seconds.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self.lag_s = 0.0
        self._begin: Fraction | None = None
        self._last = Fraction(0)
        self._last_monotonic_s: float | None = None
        self._on_time_s = 0.0

    def seconds(self, timestamp: Fraction | None, monotonic_s: float) -> float:
        """Return the time of a frame.

        Args:
            timestamp: Its presentation time in seconds by the stream's clock, or None where it carries none.
            monotonic_s: This machine's monotonic clock when it came.

        Returns:
            Seconds since the first frame, at least those of the frame before.
        """
        passed_s = 0.0 if self._last_monotonic_s is None else max(monotonic_s - self._last_monotonic_s, 0.0)
        expected = self._last + Fraction(passed_s)
        first = self._last_monotonic_s is None
        self._last_monotonic_s = monotonic_s
        if timestamp is None:
            self._last = expected
            return float(expected)
        if self._begin is None:
            self._begin = timestamp - expected
        time = timestamp - self._begin
        difference_s = monotonic_s - float(time)
        jumped = time < self._last or (not first and difference_s < self._on_time_s - PRESENTATION_JUMP_S)
        if jumped:
            self.jumps += 1
            self._begin, time = timestamp - expected, expected
            difference_s = monotonic_s - float(time)
        if first or jumped:
            self._on_time_s = difference_s
        else:
            self._on_time_s = min(self._on_time_s + CREEP * passed_s, difference_s)
        self.lag_s = difference_s - self._on_time_s
        self._last = time
        return float(time)

    def lag_of(self, timestamp: Fraction, monotonic_s: float) -> float:
        """Return how much later than on time something with a timestamp comes, in seconds, without counting it."""
        if self._begin is None:
            return 0.0
        return max(monotonic_s - float(timestamp - self._begin) - self._on_time_s, 0.0)


class Slots:
    """Thins frames to a rate: time is cut into slots, and the first frame of each is wanted.

    Counting slots instead of frames does no harm to a rate that varies or is no whole number.
    """

    def __init__(self, rate: float | None) -> None:
        """Cut time into slots.

        Args:
            rate: Frames a second that are wanted at most, above 0; None wants all.
        """
        self._rate = rate
        self._last = -1

    def wants(self, time_s: float) -> bool:
        """Say whether the frame at a time is the first of its slot; each is asked about once, in order."""
        if self._rate is None:
            return True
        # A little tolerance: 0.6 s times 5 is below 3 in floating point, and belongs to the fourth slot.
        slot = int(time_s * self._rate + 1e-6)
        if slot <= self._last:
            return False
        self._last = slot
        return True
