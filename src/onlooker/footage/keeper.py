"""Keeping one camera alive: opening, reading, and opening again whatever happens, in a thread of its own."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from onlooker.errors import ConfigError, SourceError
from onlooker.footage.areas import Masks
from onlooker.footage.hours import Hours
from onlooker.footage.live import LiveFrame, SeenClock, Source, utc_now

Status = Literal["new", "connecting", "running", "waiting", "off", "ended", "stopped", "failed"]

READ_S = 0.5
"""How long one reading may wait before the keeper looks at the clock and at its orders."""
RATE_S = 5.0
"""The frame rate is that of so many seconds."""
QUEUED = 4
"""Frames held of a source of which every one counts; then reading waits."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a source is opened again: longer after each failure, up to a limit, by lot.

    The lot (half to whole) keeps cameras behind one switch from coming back all in the same moment. A refused sign-in
    waits longer from the start: cameras lock out who tries too often, and a wrong password does not mend itself.

    Attributes:
        first_s: Seconds after the first failure; doubled after each further one.
        longest_s: At most.
        refused_first_s: The same after a refused sign-in.
        refused_longest_s: At most, after a refused sign-in.
        codec_first_s: The same after something that cannot be decoded.
        codec_longest_s: At most, after something that cannot be decoded.
        steady_s: A source that ran for so long has recovered; its next failure is a first one.
    """

    first_s: float = 1.0
    longest_s: float = 30.0
    refused_first_s: float = 30.0
    refused_longest_s: float = 600.0
    codec_first_s: float = 10.0
    codec_longest_s: float = 300.0
    steady_s: float = 10.0

    def wait_s(self, kind: str, failures: int, lot: float) -> float:
        """Return how long to wait.

        Args:
            kind: ``kind`` of the last error.
            failures: Failures of that kind one after another, from 1.
            lot: A random number, 0..1.
        """
        first, longest = {
            "refused": (self.refused_first_s, self.refused_longest_s),
            "codec": (self.codec_first_s, self.codec_longest_s),
        }.get(kind, (self.first_s, self.longest_s))
        # The exponent is held: a camera that was away for weeks would overflow it.
        return min(longest, first * 2.0 ** min(failures - 1, 30)) * (0.5 + 0.5 * lot)


@dataclass(frozen=True)
class CameraState:
    """How a camera is doing.

    Attributes:
        status: "new", "connecting", "running", "waiting" (before it is opened again), "off" (outside its hours),
            "ended" (a file that is read), "stopped", or "failed" (a mistake in Onlooker ended its thread).
        frames: Frames it has given since the start.
        dropped: Of these, frames that were replaced by a later one before anybody took them.
        reconnects: How often it was opened again with success.
        damaged: Packets or pictures that could not be decoded.
        last_error: What was wrong last, or None; stays after it is mended.
        last_error_kind: ``kind`` of that error.
        last_frame_time: When its last frame was seen, UTC.
        fps: Frames a second over the last five seconds.
        lag_s: How far behind the present its last frame was.
        size: Width and height of its last frame.
        notes: What else happened, the newest last: changed sizes, clocks that were set.
    """

    status: Status
    frames: int = 0
    dropped: int = 0
    reconnects: int = 0
    damaged: int = 0
    last_error: str | None = None
    last_error_kind: str | None = None
    last_frame_time: datetime | None = None
    fps: float = 0.0
    lag_s: float = 0.0
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


class CameraKeeper:
    """Keeps one source open and its newest frame at hand.

    Whatever the source does, no error leaves the keeper: it shows in ``state``, and the source is opened again. Each
    keeper has its own thread, so a camera that hangs holds up nobody else. Of a live source only the newest frame is
    kept; of a source of which every frame counts a few are, and reading waits for them to be taken.
    """

    def __init__(
        self,
        source: Source,
        *,
        masks: Masks | None = None,
        hours: Hours | None = None,
        backoff: Backoff | None = None,
        wall: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        lots: Callable[[], float] = random.random,
    ) -> None:
        """Take charge of a source; nothing happens before ``start``.

        Args:
            source: The source; nobody else may read it.
            masks: Painted over every frame before it is given.
            hours: When the source is open; None is always.
            backoff: How long to wait after failures.
            wall: Gives the time in UTC.
            monotonic: Gives seconds that only grow.
            lots: Gives random numbers, 0..1.
        """
        self.source = source
        self._masks, self._hours, self._backoff = masks or Masks(()), hours, backoff or Backoff()
        self._wall, self._monotonic, self._lots = wall, monotonic, lots
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._status: Status = "new"
        self._waiting: deque[LiveFrame] = deque()
        self._frames = self._dropped = self._openings = self._damaged_before = 0
        self._last_error: SourceError | None = None
        self._last_frame_time: datetime | None = None
        self._size: tuple[int, int] | None = None
        self._arrivals: deque[float] = deque()
        self._notes: deque[str] = deque(maxlen=20)

    def __repr__(self) -> str:
        return f"CameraKeeper({self.source.name!r}, {self._status})"

    @property
    def state(self) -> CameraState:
        """How the camera is doing now."""
        with self._changed:
            now_s = self._monotonic()
            while self._arrivals and now_s - self._arrivals[0] > RATE_S:
                self._arrivals.popleft()
            count = len(self._arrivals)
            span_s = max(now_s - self._arrivals[0], 1e-3) if count > 1 else RATE_S
            return CameraState(
                status=self._status,
                frames=self._frames,
                dropped=self._dropped,
                reconnects=max(self._openings - 1, 0),
                damaged=self._damaged_before + self._damaged(),
                last_error=None if self._last_error is None else str(self._last_error),
                last_error_kind=None if self._last_error is None else self._last_error.kind,
                last_frame_time=self._last_frame_time,
                fps=count / span_s,
                lag_s=float(getattr(self.source, "lag_s", 0.0)),
                size=self._size,
                notes=tuple(self._notes),
            )

    def start(self) -> None:
        """Begin; does nothing while it runs."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=f"camera {self.source.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End; frames that wait to be taken stay.

        Args:
            timeout_s: How long to wait for the thread; a camera that hangs in the operating system may need its limit.

        Returns:
            Whether the thread has ended.
        """
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def latest(self, timeout_s: float) -> LiveFrame | None:
        """Take the newest frame of a live source, or the next of another; each is given once.

        Args:
            timeout_s: How long to wait for one.

        Returns:
            The frame, or None where there is none within that time, or none to come.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._waiting:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or self._status in ("ended", "stopped", "failed"):
                    return None
                self._changed.wait(left_s)
            frame = self._waiting.popleft()
            self._changed.notify_all()
            return frame

    def _run(self) -> None:
        status: Status = "failed"
        try:
            status = self._keep()
        finally:
            # A mistake of ours goes on to the hook for threads, but must not pass for a camera that runs.
            self.source.close()
            self._become(status)

    def _keep(self) -> Status:
        failures, last_kind = 0, ""
        while not self._stop.is_set():
            if not self._is_open():
                self._become("off")
                self._stop.wait(READ_S)
                continue
            opened_s = self._monotonic()
            error = self._attempt()
            if error is None:
                continue
            if error.kind == "ended" and not self.source.live:
                return "ended"
            steady = self._arrivals_since(opened_s) and self._monotonic() - opened_s >= self._backoff.steady_s
            failures = 1 if steady or error.kind != last_kind else failures + 1
            last_kind = error.kind
            with self._changed:
                self._last_error = error
            self._become("waiting")
            self._stop.wait(self._backoff.wait_s(error.kind, failures, self._lots()))
        return "stopped"

    def _attempt(self) -> SourceError | None:
        """Open the source and read it until something is wrong; None where it is only to be opened again."""
        self._become("connecting")
        self._opened_frames = self._frames
        try:
            self.source.open()
            with self._changed:
                self._openings += 1
            self._become("running")
            self._read()
        except SourceError as error:
            return error.with_traceback(None)
        except ConfigError as error:
            # A password that cannot be read from its file, which may be there the next time.
            return SourceError(str(error), "refused")
        except (OSError, ValueError, MemoryError) as error:
            # Not quoted, since it may hold an address.
            return SourceError(f"{self.source.name} cannot be read ({type(error).__name__})", "garbage")
        finally:
            with self._changed:
                self._damaged_before += self._damaged()
            self.source.close()
        return None

    def _read(self) -> None:
        clock = SeenClock(self._wall, self._monotonic)
        while not self._stop.is_set() and self._is_open():
            if departs_s := clock.departs_s():
                direction = "forward" if departs_s > 0 else "back"
                self._note(f"the clock of this machine was set {direction} by {abs(departs_s):.1f} s")
                if departs_s < 0:
                    # Times must not go back within an opening.
                    return
                clock.restart()
            frame = self.source.read(READ_S)
            if frame is not None:
                self._give(frame)

    def _give(self, frame: LiveFrame) -> None:
        frame = replace(frame, rgb=self._masks.paint(frame.rgb))
        height, width = frame.rgb.shape[:2]
        with self._changed:
            if self._size not in (None, (width, height)) and frame.origin is None:
                self._note(f"the picture is now {width} x {height}")
            self._size = (width, height)
            if self.source.live:
                self._dropped += len(self._waiting)
                self._waiting.clear()
            else:
                while len(self._waiting) >= QUEUED and not self._stop.is_set():
                    self._changed.wait()
            self._waiting.append(frame)
            self._frames += 1
            self._arrivals.append(self._monotonic())
            if len(self._arrivals) > 1000:
                self._arrivals.popleft()
            self._last_frame_time = frame.time
            self._changed.notify_all()

    def _arrivals_since(self, _: float) -> bool:
        return self._frames > self._opened_frames

    def _is_open(self) -> bool:
        return self._hours is None or self._hours.hold(self._wall())

    def _damaged(self) -> int:
        return int(getattr(self.source, "damaged", 0))

    def _note(self, text: str) -> None:
        self._notes.append(f"{self._wall():%Y-%m-%d %H:%M:%S} UTC: {text}")

    def _become(self, status: Status) -> None:
        with self._changed:
            self._status = status
            if status != "running":
                self._arrivals.clear()
            self._changed.notify_all()
