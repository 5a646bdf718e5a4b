"""The lanes of files: a recording piece by piece, up to checkpoints; a folder photo by photo."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from onlooker.errors import GalleryError
from onlooker.files import sha256_of
from onlooker.footage.areas import Masks
from onlooker.footage.detections import Detector
from onlooker.footage.keeper import CameraKeeper, CameraState
from onlooker.footage.lanes import KeptLane, Lane, Tools
from onlooker.footage.live import LiveFrame
from onlooker.footage.motion import MotionGate
from onlooker.footage.sightings import people_in, photo_sightings, track_sighting
from onlooker.footage.streams.folder import WatchedFolder
from onlooker.footage.streams.recording import Recording
from onlooker.footage.tracks import LiveTracks, Track, next_slot
from onlooker.footage.writer import Entry
from onlooker.gallery.records import Sighting, SourceKey, SourceUpdate

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera, Configuration

RETRY_S = 5.0


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
        if self._tracks.may_pause(frame.time_s, self._checked_s):
            self._checked_s = frame.time_s
            self._commit(next_slot(frame.time_s, self._every_s))
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
        self._pending += [
            track_sighting(track, camera=self.name, source=str(self._path), base=self._base) for track in tracks
        ]

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


class FolderLane(KeptLane):
    """A folder that fills with photos; each is stored as a whole, and then done with for good."""

    live = False

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
        views = people_in(frame.rgb, self._detector, self._tools.rules)
        if not views:
            return []
        vectors = self._tools.encoder.encode_images([view.crop for view in views], len(views))
        return photo_sightings(views, vectors, camera=self.name, source=source.name, time=frame.time)

    def _acknowledge(self, origin: str) -> None:
        source = self._keeper.source
        assert isinstance(source, WatchedFolder)
        # The gallery knows the photo; without its memory the folder only gives it once more after a restart.
        with suppress(OSError):
            source.acknowledge(origin)
