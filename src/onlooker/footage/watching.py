"""Watching many cameras in one process: threads with bounded queues between them.

    camera ─ keeper ─► newest frame ─┐
    camera ─ keeper ─► newest frame ─┼─► workers, in turns ─► tracks ─► entries ─► writer ─► gallery
    recording ─ keeper ─► 4 frames ──┘        └ encoder, shared

Each camera has a keeper in a thread of its own, so that none stalls another, and holds one frame: what this machine
cannot bear is dropped there, evenly since cameras take turns, and counted. A worker looks at one frame of one camera at
a time. The writer is alone with the gallery; while it cannot write, workers rest.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from onlooker.errors import ConfigError, GalleryError, OnlookerError
from onlooker.footage.detections import Detector
from onlooker.footage.keeper import CameraKeeper
from onlooker.footage.lane_files import FolderLane, RecordingLane
from onlooker.footage.lane_live import LiveLane
from onlooker.footage.lanes import Lane, Tools
from onlooker.footage.live import LiveFrame, utc_now
from onlooker.footage.microbatch import SharedEncoder
from onlooker.footage.status import UP, CameraStatus, Snapshot
from onlooker.footage.streams.making import make_keeper
from onlooker.footage.tracks import TrackRules
from onlooker.footage.writer import KEPT_FREE, Stored, Writer
from onlooker.gallery.retention import LONGEST_DAYS, Limit, enforce
from onlooker.gallery.store import Gallery

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera, Configuration
    from onlooker.runtime.encoder import EncoderLike

POLL_S = 0.01
"""How long a worker waits before it asks the cameras again; a hundredth of a processor core at most."""
PATIENCE_S = 1.0
"""Recordings and folders have their turn when no live camera waits, or after waiting so long."""
FAULT_S = 30.0
"""A camera in whose turn Onlooker made a mistake is left out for so long."""
CLOCK_DAYS = 1.0
"""Where this machine's clock was set forward by more than this while watching, nothing is deleted for its age."""


@dataclass(frozen=True)
class WatchOptions:
    """How to watch.

    Attributes:
        workers: Threads that look at frames; None takes half of this machine's cores.
        kept_free: Bytes that must stay free on the gallery's disk; below, looking pauses.
        retention_s: Seconds between two looks for sightings that were kept long enough.
        rules: Which people are kept.
    """

    workers: int | None = None
    kept_free: int = KEPT_FREE
    retention_s: float = 60.0
    rules: TrackRules = field(default_factory=TrackRules)


class Watch:
    """All cameras of a configuration at work, from ``start`` to ``stop``."""

    def __init__(
        self,
        configuration: Configuration,
        gallery: Gallery,
        encoder: EncoderLike,
        detector: Callable[[str], Detector],
        *,
        options: WatchOptions | None = None,
        keeper: Callable[[Camera, Configuration], CameraKeeper] = make_keeper,
        on_stored: Callable[[Stored], None] | None = None,
    ) -> None:
        """Prepare; no camera is opened yet.

        Args:
            configuration: The cameras; those that are not enabled are left out.
            gallery: Open for writing, made with the encoder's bundle.
            encoder: Turns crops into vectors.
            detector: Opens a detector by its name; called once for each name.
            options: How to watch; the usual where None.
            keeper: Makes the keeper of a live camera or folder.
            on_stored: Called with each sighting when it is safe on disk.

        Raises:
            ConfigError: There is no camera to watch.
        """
        self._configuration, self._gallery = configuration, gallery
        self._options = options or WatchOptions()
        self._on_stored = on_stored or (lambda stored: None)
        self._writer = Writer(gallery, kept_free=self._options.kept_free, on_stored=self._note_stored)
        tools = Tools(gallery, SharedEncoder(encoder), self._writer.put, self._options.rules)
        enabled = {key: camera for key, camera in configuration.cameras.items() if camera.enabled}
        if not enabled:
            raise ConfigError("there is no camera to watch; add one to the configuration, or enable one")
        opened = {name: detector(name) for name in dict.fromkeys(camera.detector for camera in enabled.values())}

        def lane(key: str, camera: Camera) -> Lane:
            finder = opened[camera.detector]
            match camera.address.kind:
                case "video":
                    return RecordingLane(key, camera, finder, tools, configuration)
                case "folder":
                    return FolderLane(key, camera, finder, tools, keeper(camera, configuration))
                case _:
                    zone = configuration.zone_of(camera)
                    return LiveLane(key, camera, finder, tools, keeper(camera, configuration), zone)

        self._lanes = [lane(key, camera) for key, camera in enabled.items()]
        self._turns = _Turns(self._lanes)
        cores = os.cpu_count() or 1
        count = self._options.workers or max(1, min(cores // 2, len(self._lanes)))
        self._workers = [_Worker(self._turns, self._writer) for _ in range(count)]
        self._stop = threading.Event()
        self._status = "running"
        self._started = self._begun = utc_now()
        self._begun_s = time.monotonic()
        self._delay_s: float | None = None
        self._longest_delay_s: float | None = None
        self._restarts = self._expired = 0
        self._retention_error: str | None = None
        self._retention = threading.Thread(target=self._retain, name="retention", daemon=True)

    @property
    def over(self) -> bool:
        """Whether all sources are files that have been read to their end, and all of it is stored."""
        return all(lane.over for lane in self._lanes) and not self._writer.pending

    def start(self) -> None:
        """Open the cameras and begin."""
        self._started = utc_now()
        self._writer.start()
        for lane in self._lanes:
            lane.start()
        for worker in self._workers:
            worker.start()
        self._retention.start()

    def check(self) -> None:
        """Begin threads anew that ended by a mistake of ours; call it every second or so."""
        for place, worker in enumerate(self._workers):
            if not worker.alive and self._status == "running":
                self._restarts += 1
                self._workers[place] = _Worker(self._turns, self._writer)
                self._workers[place].start()
        if not self._writer.alive and self._status == "running":
            # Without it nothing is stored; a supervisor starts the process anew.
            raise OnlookerError("the thread that writes the gallery has ended; the reason stands above")

    def stop(self, timeout_s: float = 20.0) -> int:
        """Stop reading, end all tracks, and store them.

        Args:
            timeout_s: How long that may take at most, about.

        Returns:
            How many sightings could not be stored, since the gallery could not be written.
        """
        self._status = "stopping"
        end_s = time.monotonic() + timeout_s
        self._stop.set()
        self._writer.hurry(end_s)
        for lane in self._lanes:
            lane.halt(0)
        for worker in self._workers:
            worker.stop(max(end_s - time.monotonic(), 0.1))
        for lane, busy in self._turns.close():
            # A worker that hangs has its lane; the people in it cannot be saved without it.
            if not busy:
                lane.finish()
        lost = self._writer.stop(max(end_s - time.monotonic(), 1.0))
        for lane in self._lanes:
            lane.halt(max(end_s - time.monotonic(), 0.1))
        self._retention.join(max(end_s - time.monotonic(), 0.1))
        self._status = "stopped"
        return lost

    def snapshot(self) -> Snapshot:
        """Return how everything is doing now."""
        alert = self._writer.alert
        status = "paused" if alert is not None and self._status == "running" else self._status
        now = utc_now()
        return Snapshot(
            status=status,
            time=now.isoformat(timespec="milliseconds"),
            started=self._started.isoformat(timespec="milliseconds"),
            pid=os.getpid(),
            gallery=str(self._gallery.path),
            alert=None if alert is None else alert.message,
            alert_kind=None if alert is None else alert.kind,
            pending=self._writer.pending,
            sightings=self._writer.stored,
            refused=self._writer.refused,
            delay_s=self._delay_s,
            longest_delay_s=self._longest_delay_s,
            hung_s=round(max(worker.busy_s for worker in self._workers), 1),
            restarts=self._restarts,
            expired=self._expired,
            last_error=self._writer.last_error or self._retention_error,
            cameras=tuple(self._camera(lane, now) for lane in self._lanes),
        )

    def _camera(self, lane: Lane, now: datetime) -> CameraStatus:
        state = lane.state
        silent_s = None
        if state.status not in UP or (lane.live and state.status == "running"):
            # A folder waits for photos, that is no silence.
            since = max(state.last_frame_time or self._started, self._started)
            silent_s = round(max((now - since).total_seconds(), 0.0), 1)
        last = state.last_frame_time
        return CameraStatus(
            key=lane.key,
            name=lane.name,
            status=state.status if lane.fault is None else "fault",
            rate=round(lane.rate, 2),
            lag_s=round(lane.late_s, 3) if lane.live else 0.0,
            frames=state.frames,
            looked=lane.looked,
            dropped=state.dropped,
            damaged=state.damaged,
            reconnects=state.reconnects,
            following=lane.following,
            people=lane.people,
            last_error=lane.fault or state.last_error,
            last_frame=None if last is None else last.isoformat(timespec="milliseconds"),
            silent_s=silent_s,
        )

    def _note_stored(self, stored: Stored) -> None:
        if stored.delay_s is not None:
            self._delay_s = round(stored.delay_s, 3)
            self._longest_delay_s = max(self._longest_delay_s or 0.0, self._delay_s)
        self._on_stored(stored)

    # Retention

    def _retain(self) -> None:
        limits = limits_of(self._configuration)
        wait_s = min(5.0, self._options.retention_s)
        while not self._stop.wait(wait_s):
            wait_s = self._options.retention_s
            now = utc_now()
            ahead_s = (now - self._begun).total_seconds() - (time.monotonic() - self._begun_s)
            if ahead_s > CLOCK_DAYS * 86_400:
                self._retention_error = (
                    f"the clock of this machine was set forward by {ahead_s / 86_400:.0f} days, so nothing is deleted "
                    "for its age; set it right, or start onlooker watch anew if it is right"
                )
                continue
            try:
                # Over a connection of its own: wiping a large file takes long, and commits need not wait for that.
                with Gallery.open(self._gallery.path) as gallery:
                    self._expired += enforce(gallery, limits, now).sightings
                self._retention_error = None
            except GalleryError as error:
                self._retention_error = str(error)


def limits_of(configuration: Configuration) -> dict[str, Limit]:
    """Return how long the sightings of each camera are kept, of those that are not enabled too."""
    limits = {}
    for camera in configuration.cameras.values():
        kept = configuration.retention_of(camera)
        days = kept.days if kept.days <= LONGEST_DAYS else None
        limits[camera.name] = Limit(days=days, gigabytes=kept.gigabytes if math.isfinite(kept.gigabytes) else None)
    return limits


@contextmanager
def only_watch(gallery: Path) -> Iterator[None]:
    """Hold a gallery's watch while the block runs: two at once would store everybody twice.

    Raises:
        ConfigError: Another process watches into this gallery.
    """
    import fcntl

    path = gallery.with_name(gallery.name + ".watch.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be made ({error.strerror}); the folder of the gallery must be writable"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another onlooker watch fills {gallery}; stop it first, or name another gallery"
            ) from None
        yield


class _Turns:
    """Whose turn it is: cameras one after the other, none twice before all that wait, one worker at a camera."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = list(lanes)
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        self._closed = False
        self._next = {True: 0, False: 0}
        self._resting: dict[int, float] = {}
        self._patient_since_s = time.monotonic()

    def begin(self) -> tuple[Lane, LiveFrame | None] | None:
        """Give a lane that has something to do, with its frame if that is it; ``end`` it afterwards."""
        with self._lock:
            if self._closed:
                return None
            now_s = time.monotonic()
            first = now_s - self._patient_since_s < PATIENCE_S
            for live in (first, not first):
                found = self._of(live, now_s)
                if found is not None:
                    if not live:
                        self._patient_since_s = now_s
                    self._busy.add(id(found[0]))
                    return found
            return None

    def _of(self, live: bool, now_s: float) -> tuple[Lane, LiveFrame | None] | None:
        count = len(self._lanes)
        for step in range(count):
            place = (self._next[live] + step) % count
            lane = self._lanes[place]
            if lane.live is not live or id(lane) in self._busy or self._resting.get(id(lane), 0.0) > now_s:
                continue
            lane.fault = None
            frame = lane.take()
            if frame is not None or lane.due():
                self._next[live] = (place + 1) % count
                return lane, frame
        return None

    def end(self, lane: Lane, fault: str | None = None) -> None:
        """Give a lane back; after a mistake it rests for a while."""
        with self._lock:
            self._busy.discard(id(lane))
            if fault is not None:
                lane.fault = fault
                self._resting[id(lane)] = time.monotonic() + FAULT_S

    def close(self) -> list[tuple[Lane, bool]]:
        """Give no more turns; return all lanes and whether somebody is still at each."""
        with self._lock:
            self._closed = True
            return [(lane, id(lane) in self._busy) for lane in self._lanes]


class _Worker:
    """A thread that looks at frames."""

    def __init__(self, turns: _Turns, writer: Writer) -> None:
        self._turns, self._writer = turns, writer
        self._stop = threading.Event()
        self._since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def busy_s(self) -> float:
        """How long it has been at one frame, in seconds; waiting for a disk does not count."""
        since_s = self._since_s
        return 0.0 if since_s is None or self._writer.alert is not None else time.monotonic() - since_s

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._writer.alert is not None:
                self._stop.wait(10 * POLL_S)
                continue
            turn = self._turns.begin()
            if turn is None:
                self._stop.wait(POLL_S)
                continue
            self._since_s = time.monotonic()
            try:
                self._look(*turn)
            finally:
                self._since_s = None

    def _look(self, lane: Lane, frame: LiveFrame | None) -> None:
        fault: str | None = "a mistake in Onlooker"
        try:
            if frame is None:
                lane.rest()
            else:
                lane.look(frame)
            fault = None
        except OnlookerError as error:
            fault = str(error)
        finally:
            # Any other error goes on to the hook for threads and ends this worker; the camera must not end with it.
            if fault is not None:
                if kind := sys.exc_info()[0]:
                    fault = (
                        f"{lane.name}: a mistake in Onlooker ({kind.__name__}); it is tried again in {FAULT_S:.0f} s"
                    )
                lane.recover()
            self._turns.end(lane, fault)
