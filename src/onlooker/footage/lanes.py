"""The lane of one camera: from its frames to entries for the writer.

There are three kinds. A live camera's tracks are stored as they end, under a source a day. A recording is stored piece
by piece at checkpoints, so that it goes on there after a stop; a folder's photos are stored one by one.
"""

from __future__ import annotations

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import GalleryError
from onlooker.files import sha256_of
from onlooker.footage.areas import Masks, standing_in
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.ingest import JPEG_QUALITY
from onlooker.footage.keeper import CameraKeeper, CameraState
from onlooker.footage.live import LiveFrame
from onlooker.footage.motion import MotionGate
from onlooker.footage.streams.folder import WatchedFolder
from onlooker.footage.streams.recording import Recording
from onlooker.footage.tracks import QUIET_CHECKPOINT_S, LiveTracks, Track, TrackRules
from onlooker.footage.views import cut
from onlooker.footage.writer import Entry
from onlooker.gallery.records import Sighting, SightingView, SourceKey, SourceUpdate
from onlooker.gallery.store import Gallery
from onlooker.runtime.pictures import encode_jpeg

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera, Configuration
    from onlooker.runtime.encoder import EncoderLike

IDLE_S = 2.2
"""A camera that has given nothing for so long has lost everybody: their tracks are ended, so that they can be found."""
RATE_S = 5.0
"""The rate of frames looked at is that of so many seconds."""
APART_S = 2.0
"""Where the time of arrival and the source's own clock differ by more than this from one frame to the next, the source
was opened anew in between."""
RETRY_S = 5.0
SLOWER = 1.3
"""Following is set up for frames farther apart once they are so many times as far apart as they were to be."""


@dataclass(frozen=True)
class Tools:
    """What all lanes share.

    Attributes:
        gallery: Open for writing.
        encoder: Turns crops into vectors; used by several threads.
        put: Hands an entry to the writer.
        rules: Which people are kept.
    """

    gallery: Gallery
    encoder: EncoderLike
    put: Callable[[Entry], bool]
    rules: TrackRules


class InRegion:
    """A detector that only counts people who stand in a region."""

    def __init__(self, detector: Detector, region: Sequence[tuple[float, float]] | None) -> None:
        """Narrow a detector down to a polygon of shares of width and height; None is everywhere."""
        self._detector, self._region = detector, region

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        found = self._detector.detect(rgb)
        if self._region is None or not len(found):
            return found
        return found.take(standing_in(self._region, found.boxes, rgb.shape[1], rgb.shape[0]))


class Lane(ABC):
    """One camera's way through the pipeline. One thread at a time works on a lane.

    Attributes:
        key: Its table in the configuration.
        name: What the gallery calls it.
        live: Whether late frames are worthless.
        looked: Frames looked at.
        people: Sightings handed to the writer.
        late_s: How old the last frame of a live camera was when it had been looked at.
        fault: A mistake that took the lane out of the turns for a while, in one sentence, or None.
    """

    live = True

    def __init__(self, key: str, camera: Camera, detector: Detector, tools: Tools) -> None:
        """Begin without frames.

        Args:
            key: Its table in the configuration.
            camera: What stands there.
            detector: Finds its people.
            tools: What all lanes share.
        """
        self.key, self.name, self._camera = key, camera.name, camera
        self._detector, self._tools = InRegion(detector, camera.region), tools
        self.looked = self.people = 0
        self.late_s = 0.0
        self.fault: str | None = None
        self._looks: deque[float] = deque()

    @property
    @abstractmethod
    def state(self) -> CameraState:
        """How its camera is doing."""

    @property
    def following(self) -> int:
        """How many people are in sight, or were a moment ago."""
        return 0

    @property
    def rate(self) -> float:
        """Frames a second looked at of late."""
        now_s = time.monotonic()
        recent = [moment for moment in tuple(self._looks) if now_s - moment <= RATE_S]
        return len(recent) / RATE_S

    @abstractmethod
    def start(self) -> None:
        """Begin to read."""

    @abstractmethod
    def halt(self, timeout_s: float) -> bool:
        """Stop reading; say whether the reader has ended within that time."""

    @abstractmethod
    def take(self) -> LiveFrame | None:
        """Take the frame that waits, if any, without waiting for one."""

    @abstractmethod
    def look(self, frame: LiveFrame) -> None:
        """Look for people in a frame, and hand on what is ready to be stored."""

    def due(self) -> bool:
        """Say whether there is something to do though no frame waits; then ``rest`` does it."""
        return False

    @abstractmethod
    def rest(self) -> None:
        """Do what is due without a frame."""

    @abstractmethod
    def finish(self) -> None:
        """Hand on what can be kept at the end; nothing is looked at after it."""

    @abstractmethod
    def recover(self) -> None:
        """Begin anew after a mistake."""

    @property
    def over(self) -> bool:
        """Whether nothing will come of it any more."""
        return False

    def _count(self, frame: LiveFrame) -> None:
        self.looked += 1
        now_s = time.monotonic()
        self._looks.append(now_s)
        while self._looks and now_s - self._looks[0] > RATE_S:
            self._looks.popleft()

    def _put(self, entry: Entry) -> None:
        if self._tools.put(entry):
            self.people += len(entry.sightings)


class LiveLane(Lane):
    """A camera that is watched as it is."""

    def __init__(
        self, key: str, camera: Camera, detector: Detector, tools: Tools, keeper: CameraKeeper, zone: tzinfo | None
    ) -> None:
        """Begin without frames.

        Args:
            key: Its table in the configuration.
            camera: What stands there.
            detector: Finds its people.
            tools: What all lanes share.
            keeper: Its keeper, not started yet.
            zone: The time zone of its days; None is this machine's.
        """
        super().__init__(key, camera, detector, tools)
        self._keeper, self._zone = keeper, zone
        self._every_s = 1 / camera.frame_rate
        self._gate = MotionGate()
        self._last: LiveFrame | None = None
        self._apart_s = self._every_s
        self._begin()

    def _begin(self) -> None:
        self._every_now_s = max(self._every_s, self._apart_s)
        self._tracks = LiveTracks(
            self._detector,
            every_s=self._every_now_s,
            encoder=self._tools.encoder,
            rules=self._tools.rules,
            gate=self._gate,
        )
        self._looked_s = time.monotonic()

    @property
    def state(self) -> CameraState:
        """How its camera is doing."""
        return self._keeper.state

    @property
    def following(self) -> int:
        """How many people are in sight, or were a moment ago."""
        return self._tracks.following

    def start(self) -> None:
        """Begin to read."""
        self._keeper.start()

    def halt(self, timeout_s: float) -> bool:
        """Stop reading; say whether the reader has ended within that time."""
        return self._keeper.stop(timeout_s)

    def take(self) -> LiveFrame | None:
        """Take the newest frame, if there is one that has not been taken."""
        return self._keeper.latest(0)

    def look(self, frame: LiveFrame) -> None:
        """Look for people in a frame, and hand on the tracks that have ended."""
        if self._last is not None and self._departs(self._last, frame):
            self.rest()
            self._last = None
        if self._last is None:
            self._base = frame.time - timedelta(seconds=frame.time_s)
        elif frame.time_s <= self._last.time_s:
            # Two frames of one time: the second cannot be followed.
            return
        else:
            self._keep_time(frame, self._last)
        ended = self._tracks.feed(frame.rgb, frame.time_s)
        # The picture itself is not needed any more.
        self._last = replace(frame, rgb=frame.rgb[:0])
        self._shape = frame.rgb.shape
        self._looked_s = time.monotonic()
        self._count(frame)
        self._store(ended)
        if not self._tracks.open and not 1 / SLOWER < self._every_now_s / max(self._every_s, self._apart_s) < SLOWER:
            # This machine does not keep up with the rate that was asked for, or does again.
            self._begin()
        self.late_s = max((datetime.now(timezone.utc) - frame.time).total_seconds(), 0.0)

    def due(self) -> bool:
        """Say whether the camera has been silent for so long that whoever was there counts as gone."""
        return bool(self._tracks.open) and time.monotonic() - self._looked_s > max(IDLE_S, 3 * self._every_now_s)

    def rest(self) -> None:
        """End all tracks."""
        self._store(self._tracks.flush())

    def finish(self) -> None:
        """End and hand on all tracks."""
        self.rest()

    def recover(self) -> None:
        """Begin anew after a mistake; who was being followed is lost."""
        self._gate, self._last = MotionGate(), None
        self._begin()

    def _departs(self, last: LiveFrame, frame: LiveFrame) -> bool:
        """Say whether a frame does not belong with the one before: another opening of the source, another size."""
        passed_s = frame.time_s - last.time_s
        seen_s = (frame.time - last.time).total_seconds()
        anew = frame.sequence <= last.sequence or passed_s < 0 or abs(seen_s - passed_s) > APART_S
        return anew or frame.rgb.shape != self._shape

    def _keep_time(self, frame: LiveFrame, last: LiveFrame) -> None:
        """Learn when the source's clock was at 0: frames come late, never early, so the earliest answer is right."""
        base = frame.time - timedelta(seconds=frame.time_s)
        if base < self._base or base - self._base > timedelta(seconds=APART_S):
            self._base = base
        apart_s = min(frame.time_s - last.time_s, 1.0)
        self._apart_s += 0.1 * (apart_s - self._apart_s)

    def _store(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            source, midnight = self._day(self._base + timedelta(seconds=track.start_s))
            offset_s = (self._base - midnight).total_seconds()
            self._put(
                Entry(
                    source=source,
                    sightings=(sighting_of(track, source, self._base, offset_s),),
                    endless=True,
                    left=self._base + timedelta(seconds=track.end_s),
                )
            )

    def _day(self, moment: datetime) -> tuple[SourceUpdate, datetime]:
        """Return the source of a moment's day, and when that day began."""
        day = moment.astimezone(self._zone).date()
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(timezone.utc)
        return SourceUpdate(
            key=day_key(self.name, day.isoformat()), name=f"{self.name}/{day}", complete=False
        ), midnight


class RecordingLane(Lane):
    """A video file: every frame counts, and after a stop it goes on at its last checkpoint.

    It is known by its bytes, as for ``onlooker index``: what either has read, the other does not read again.
    """

    live = False

    def __init__(
        self, key: str, camera: Camera, detector: Detector, tools: Tools, configuration: Configuration
    ) -> None:
        """Begin without frames.

        Args:
            key: Its table in the configuration.
            camera: What stands there.
            detector: Finds its people.
            tools: What all lanes share.
            configuration: Where it is from.
        """
        super().__init__(key, camera, detector, tools)
        self._path = Path(camera.address.reveal())
        self._hours = configuration.hours_of(camera)
        self._every_s = 1 / camera.frame_rate
        self._keeper: CameraKeeper | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._prepare, name=f"prepare {camera.name}", daemon=True)
        self._waits: str | None = None
        self._complete = False
        self._pending: list[Sighting] = []
        self._last_s: float | None = None
        self._checked_s = 0.0
        self._begin()

    def _begin(self) -> None:
        self._tracks = LiveTracks(
            self._detector,
            every_s=self._every_s,
            encoder=self._tools.encoder,
            rules=self._tools.rules,
            gate=MotionGate(),
        )

    @property
    def state(self) -> CameraState:
        """How its reading is going."""
        if self._complete:
            frames = 0 if self._keeper is None else self._keeper.state.frames
            return CameraState("ended", frames=frames)
        if self._keeper is None:
            return CameraState("new" if self._waits is None else "waiting", last_error=self._waits)
        return self._keeper.state

    @property
    def following(self) -> int:
        """How many people are in sight, or were a moment ago."""
        return self._tracks.following

    @property
    def over(self) -> bool:
        """Whether it has been read to its end."""
        return self._complete

    def start(self) -> None:
        """Find out where to go on, and begin to read; in a thread, since a large file takes a while to be known."""
        self._thread.start()

    def halt(self, timeout_s: float) -> bool:
        """Stop reading; say whether the reader has ended within that time."""
        self._stop.set()
        return self._keeper is None or self._keeper.stop(timeout_s)

    def take(self) -> LiveFrame | None:
        """Take the next frame, if one is ready."""
        return None if self._keeper is None or self._complete else self._keeper.latest(0)

    def look(self, frame: LiveFrame) -> None:
        """Look for people in a frame; at a checkpoint hand on what was found up to there."""
        if self._last_s is not None and frame.time_s <= self._last_s:
            # The file was opened anew after something was wrong with it.
            return
        self._last_s = frame.time_s
        self._base = frame.time - timedelta(seconds=frame.time_s)
        self._keep(self._tracks.feed(frame.rgb, frame.time_s))
        self._count(frame)
        quiet = frame.time_s - self._checked_s >= QUIET_CHECKPOINT_S
        if not self._tracks.open and (self._tracks.seen or quiet):
            self._checked_s = frame.time_s
            # Frames belong to slots: the next one to look at is the first of the slot after this frame's.
            self._commit((int(frame.time_s / self._every_s + 1e-6) + 1) * self._every_s)
            self._begin()

    def due(self) -> bool:
        """Say whether it has come to its end."""
        return self._keeper is not None and not self._complete and self._keeper.state.status == "ended"

    def rest(self) -> None:
        """Hand on what is left at the end of the file, unless a frame still waits."""
        assert self._keeper is not None
        frame = self._keeper.latest(0)
        if frame is not None:
            self.look(frame)
            return
        self._keep(self._tracks.flush())
        self._commit(None)
        self._complete = True

    def finish(self) -> None:
        """Leave it at its last checkpoint: what came after it is found again when it is gone on with."""

    def recover(self) -> None:
        """Go on after a mistake, without who was being followed."""
        self._begin()

    def _keep(self, tracks: Sequence[Track]) -> None:
        update = SourceUpdate(key=self._key, name=str(self._path), complete=False)
        self._pending += [sighting_of(track, update, self._base, 0.0) for track in tracks]

    def _commit(self, resume_s: float | None) -> None:
        update = SourceUpdate(key=self._key, name=str(self._path), complete=resume_s is None, resume_s=resume_s)
        ordered = sorted(self._pending, key=lambda sighting: (sighting.first_s or 0.0, sighting.box))
        self._pending = []
        self._put(Entry(source=update, sightings=tuple(ordered)))

    def _prepare(self) -> None:
        while not self._stop.is_set():
            try:
                self._key = SourceKey(sha256_of(self._path), self.name)
                state = self._tools.gallery.source_state(self._key)
                if state is not None and state.complete:
                    self._complete = True
                    return
                start_s = 0.0 if state is None else self._tools.gallery.rewind(self._key)
            except OSError as error:
                self._waits = f"{self.name}: {self._path} cannot be read ({error.strerror}); correct its address"
            except GalleryError as error:
                self._waits = str(error)
            else:
                self._checked_s = start_s
                source = Recording(self.name, self._path, rate=self._camera.frame_rate, start_s=start_s)
                self._keeper = CameraKeeper(source, masks=Masks(self._camera.masks), hours=self._hours)
                if not self._stop.is_set():
                    self._keeper.start()
                return
            self._stop.wait(RETRY_S)


class FolderLane(Lane):
    """A folder that fills with photos; each is stored as a whole, and then done with for good."""

    live = False

    def __init__(self, key: str, camera: Camera, detector: Detector, tools: Tools, keeper: CameraKeeper) -> None:
        """Begin without photos.

        Args:
            key: Its table in the configuration.
            camera: What stands there.
            detector: Finds its people.
            tools: What all lanes share.
            keeper: Its keeper, not started yet, with a watched folder as its source.
        """
        super().__init__(key, camera, detector, tools)
        self._keeper = keeper

    @property
    def state(self) -> CameraState:
        """How the folder is doing."""
        return self._keeper.state

    def start(self) -> None:
        """Begin to watch the folder."""
        self._keeper.start()

    def halt(self, timeout_s: float) -> bool:
        """Stop watching; say whether that has ended within that time."""
        return self._keeper.stop(timeout_s)

    def take(self) -> LiveFrame | None:
        """Take the next photo, if one is ready."""
        return self._keeper.latest(0)

    def look(self, frame: LiveFrame) -> None:
        """Look for people in a photo and hand them on."""
        assert frame.origin is not None
        origin = frame.origin
        self._count(frame)
        try:
            key = SourceKey(sha256_of(Path(origin)), self.name)
        except OSError:
            # Taken away meanwhile.
            return
        known = self._tools.gallery.source_state(key)
        if known is not None and known.complete:
            self._acknowledge(origin)
            return
        source = SourceUpdate(key=key, name=origin, complete=True)
        self._put(
            Entry(
                source=source,
                sightings=tuple(self._people(frame, source)),
                tracks=False,
                done=lambda: self._acknowledge(origin),
            )
        )

    def rest(self) -> None:
        """Nothing is ever due without a photo."""

    def finish(self) -> None:
        """Nothing is left: photos that were not looked at are given again."""

    def recover(self) -> None:
        """The photo is left out until watching is started anew."""

    def _people(self, frame: LiveFrame, source: SourceUpdate) -> list[Sighting]:
        rules = self._tools.rules
        found = self._detector.detect(frame.rgb)
        tall = found.boxes[:, 3] - found.boxes[:, 1] >= rules.least_height_px
        found = found.take(tall & (found.scores >= rules.least_photo_score))
        cuts = [cut(frame.rgb, box, float(score)) for box, score in zip(found.boxes, found.scores, strict=True)]
        views = [view for view in cuts if view is not None]
        if not views:
            return []
        vectors = self._tools.encoder.encode_images([view.crop for view in views], len(views))
        return [
            Sighting(
                camera=source.key.camera,
                source=source.name,
                time=frame.time,
                time_s=None,
                end_s=None,
                box=view.box,
                crop=encode_jpeg(view.crop, JPEG_QUALITY),
                vector=vector,
                score=view.score,
            )
            for view, vector in zip(views, vectors, strict=True)
        ]

    def _acknowledge(self, origin: str) -> None:
        source = self._keeper.source
        assert isinstance(source, WatchedFolder)
        # The gallery knows the photo; without its memory the folder only gives it once more after a restart.
        with suppress(OSError):
            source.acknowledge(origin)


def day_key(camera: str, day: str) -> SourceKey:
    """Return the key of what a live camera showed on a day: it has no bytes to be known by, so its name and day are.

    Args:
        camera: The camera's name.
        day: YYYY-MM-DD.
    """
    return SourceKey(hashlib.sha256(f"onlooker live\n{camera}\n{day}".encode()).hexdigest(), camera)


def sighting_of(track: Track, source: SourceUpdate, base: datetime, offset_s: float) -> Sighting:
    """Make of a track what is stored of it, still without a number.

    Args:
        track: With vectors.
        source: Where it goes.
        base: When the clock of the track was at 0.
        offset_s: What is added to the track's times to make them seconds of the source.
    """
    assert track.vector is not None
    views = tuple(
        SightingView(
            time_s=view.time_s + offset_s,
            box=view.box,
            crop=encode_jpeg(view.crop, JPEG_QUALITY),
            vector=track.vector if view.vector is None else view.vector,
        )
        for view in track.views
    )
    best = track.views[0]
    return Sighting(
        camera=source.key.camera,
        source=source.name,
        time=base + timedelta(seconds=best.time_s),
        time_s=best.time_s + offset_s,
        start_s=track.start_s + offset_s,
        end_s=track.end_s + offset_s,
        box=best.box,
        crop=views[0].crop,
        vector=track.vector,
        score=best.score,
        views=views,
    )
