"""Filling a gallery: every photo and video is looked at once, what is found is stored, an interruption loses little.

A photo is stored as a whole or not at all. A video is stored piece by piece, at the checkpoints of ``find_tracks``;
when it was interrupted, reading goes on at the last one, so the gallery ends up as if nothing had happened. Files are
known by their bytes, not their names, so looking at the same file again adds nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import ConfigError, InputError, PictureError, VideoError
from onlooker.files import sha256_of
from onlooker.footage.appearance import describe
from onlooker.footage.detections import Detector
from onlooker.footage.motion import MotionGate
from onlooker.footage.sightings import people_in, photo_sightings, track_sighting
from onlooker.footage.sources import Sources, photo_time
from onlooker.footage.tracks import Checkpoint, Track, TrackRules, find_tracks
from onlooker.footage.video import Frame, Video
from onlooker.footage.views import View, shrink
from onlooker.gallery.records import Sighting, SourceKey, SourceUpdate
from onlooker.gallery.store import Gallery
from onlooker.runtime.pictures import read_picture

if TYPE_CHECKING:
    from onlooker.runtime.encoder import EncoderLike

READ_AHEAD = 2
"""Photos decoded before they are looked at; one of 100 million pixels takes 300 MB."""
BATCH = 32
"""Crops encoded together."""
EVERY_S = 0.2
"""Seconds between the frames of a video that are looked at, where people are detected."""
EVERY_WHOLE_S = 1.0
"""The same where whole frames are stored."""
LEAST_EVERY_S = 0.01
CHECKPOINT_FRAMES = 32
"""Whole frames stored in one go."""


@dataclass(frozen=True)
class IngestOptions:
    """What to do with the files.

    Attributes:
        camera: The camera they are from, as shown in results and used by filters.
        every_s: Seconds between the frames of a video that are looked at; None takes ``EVERY_S`` with a detector and
            ``EVERY_WHOLE_S`` without.
        start: When a video began, with a time zone; None where it is not known.
        rules: Which people are kept.
    """

    camera: str = "default"
    every_s: float | None = None
    start: datetime | None = None
    rules: TrackRules = field(default_factory=TrackRules)

    def __post_init__(self) -> None:
        if not self.camera.strip():
            raise ConfigError("the name of a camera is empty; give one, or leave it out")
        if self.every_s is not None and not LEAST_EVERY_S <= self.every_s < float("inf"):
            raise ConfigError(f"frames cannot be taken every {self.every_s} s; give {LEAST_EVERY_S} or more")
        if self.start is not None and self.start.tzinfo is None:
            raise ConfigError(f"the start {self.start.isoformat()} has no time zone; give one")


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read, with the reason in one sentence."""

    file: str
    reason: str


@dataclass
class IngestReport:
    """What was done.

    Attributes:
        photos: Photos looked at now.
        videos: Videos looked at (or looked at to their end) now.
        known: Files that the gallery already held.
        sightings: Sightings added.
        skipped: Files that could not be read.
        warnings: Other things the user should know, one sentence each.
    """

    photos: int = 0
    videos: int = 0
    known: int = 0
    sightings: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Number of files that were read now or before."""
        return self.photos + self.videos + self.known


Advance = Callable[[float], None]


class Ingest:
    """One run over photos and videos."""

    def __init__(
        self, gallery: Gallery, encoder: EncoderLike, detector: Detector | None, options: IngestOptions | None = None
    ) -> None:
        """Prepare a run.

        Args:
            gallery: Open for writing, made with the encoder's bundle.
            encoder: Turns crops into vectors.
            detector: Finds the people; None stores whole pictures and frames.
            options: What to do; the usual where None.
        """
        self._gallery = gallery
        self._encoder = encoder
        self._detector = detector
        self._options = options or IngestOptions()
        usual = EVERY_S if detector else EVERY_WHOLE_S
        self._every_s = usual if self._options.every_s is None else self._options.every_s
        self.report = IngestReport()

    def steps(self, sources: Sources) -> float:
        """Return about how many photos and frames there are to look at, for a progress bar."""
        total = float(len(sources.photos))
        for path in sources.videos:
            try:
                total += (Video(path).duration_s or 0.0) / self._every_s
            except VideoError:
                # It is named when its turn comes.
                continue
        return total

    def run(self, sources: Sources, advance: Advance = lambda steps: None) -> IngestReport:
        """Look at every file; may be interrupted at any moment and run again.

        Args:
            sources: The files.
            advance: Called with the number of photos and frames done since the last call.

        Returns:
            The report, also kept as ``report``.

        Raises:
            GalleryError: The gallery cannot be written.
            BundleError: The bundle is damaged.
        """
        self._photos(sources.photos, advance)
        for path in sources.videos:
            try:
                self._video(path, advance)
            except (VideoError, InputUnreadable) as error:
                self.report.skipped.append(Skipped(str(path), str(error)))
        return self.report

    # Photos

    def _photos(self, paths: Sequence[Path], advance: Advance) -> None:
        pending: list[_Photo] = []
        waiting: set[SourceKey] = set()
        for path, photo in self._read_ahead(paths):
            if isinstance(photo, InputError):
                self.report.skipped.append(Skipped(str(path), str(photo)))
            elif photo is None or photo.key in waiting:
                self.report.known += 1
            else:
                photo.views = self._people(photo.rgb)
                photo.rgb = np.zeros((0, 0, 3), np.uint8)
                pending.append(photo)
                waiting.add(photo.key)
                if sum(max(1, len(photo.views)) for photo in pending) >= BATCH:
                    self._store_photos(pending)
                    pending = []
            advance(1)
        self._store_photos(pending)

    def _read_ahead(self, paths: Sequence[Path]) -> Iterator[tuple[Path, _Photo | InputError | None]]:
        """Read photos in a thread of its own, a few ahead; give None for one the gallery already holds."""
        with ThreadPoolExecutor(1, "read photos") as reader:
            futures = deque((path, reader.submit(self._read_photo, path)) for path in paths[:READ_AHEAD])
            rest = iter(paths[READ_AHEAD:])
            while futures:
                path, future = futures.popleft()
                photo = future.result()
                following = next(rest, None)
                if following is not None:
                    futures.append((following, reader.submit(self._read_photo, following)))
                yield path, photo

    def _read_photo(self, path: Path) -> _Photo | InputError | None:
        try:
            key = SourceKey(_digest(path), self._options.camera)
            state = self._gallery.source_state(key)
            if state is not None and state.complete:
                return None
            return _Photo(path, key, read_picture(path), photo_time(path))
        except (PictureError, InputUnreadable) as error:
            return error

    def _people(self, rgb: NDArray[np.uint8]) -> list[View]:
        """Return a view of each person in a picture, or of the whole picture where nobody is looked for."""
        if self._detector is None:
            return [_whole(rgb, 0.0)]
        return people_in(rgb, self._detector, self._options.rules)

    def _store_photos(self, photos: Sequence[_Photo]) -> None:
        vectors = self._encoder.encode_images([view.crop for photo in photos for view in photo.views], BATCH)
        done = 0
        for photo in photos:
            own = vectors[done : done + len(photo.views)]
            done += len(photo.views)
            sightings = photo_sightings(
                photo.views, own, camera=self._options.camera, source=str(photo.path), time=photo.time
            )
            update = SourceUpdate(key=photo.key, name=str(photo.path), complete=True)
            self.report.sightings += len(self._gallery.commit(update, sightings))
            self.report.photos += 1

    # Videos

    def _video(self, path: Path, advance: Advance) -> None:
        key = SourceKey(_digest(path), self._options.camera)
        state = self._gallery.source_state(key)
        video = Video(path)
        if state is not None and state.complete:
            self.report.known += 1
            advance((video.duration_s or 0.0) / self._every_s)
            return
        start_s = 0.0 if state is None else self._gallery.rewind(key)
        state = self._gallery.source_state(key)
        stored = 0 if state is None else state.sightings
        advance(start_s / self._every_s)
        pending: list[Sighting] = []
        frames = video.frames(self._every_s, start_s=start_s)
        for item in self._items(frames, advance):
            if isinstance(item, Track):
                # As a sighting it is JPEG bytes; the crops themselves are let go.
                pending.append(
                    track_sighting(
                        item,
                        camera=self._options.camera,
                        source=str(path),
                        base=self._options.start,
                        with_views=self._detector is not None,
                    )
                )
                continue
            stored += self._store_tracks(path, key, pending, stored, resume_s=item.resume_s)
            pending = []
        self._store_tracks(path, key, pending, stored, resume_s=None)
        self.report.videos += 1
        self.report.warnings += video.warnings

    def _items(self, frames: Iterator[Frame], advance: Advance) -> Iterator[Track | Checkpoint]:
        if self._detector is None:
            yield from _whole_frames(frames, self._encoder, advance)
            return
        yield from find_tracks(
            frames,
            self._detector,
            every_s=self._every_s,
            encoder=self._encoder,
            rules=self._options.rules,
            gate=MotionGate,
            on_frame=lambda time_s: advance(1),
        )

    def _store_tracks(
        self, path: Path, key: SourceKey, sightings: Sequence[Sighting], stored: int, *, resume_s: float | None
    ) -> int:
        """Store sightings, and that all before ``resume_s`` (None: all there is) has been looked at."""
        ordered = sorted(sightings, key=lambda sighting: (sighting.first_s, sighting.box))
        if self._detector:
            ordered = [replace(sighting, track=number) for number, sighting in enumerate(ordered, stored + 1)]
        update = SourceUpdate(key=key, name=str(path), complete=resume_s is None, resume_s=resume_s)
        added = len(self._gallery.commit(update, ordered))
        self.report.sightings += added
        return added


@dataclass
class _Photo:
    path: Path
    key: SourceKey
    rgb: NDArray[np.uint8]
    time: datetime | None
    views: list[View] = field(default_factory=list)


class InputUnreadable(InputError):
    """A file's bytes cannot be read at all."""


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be read ({error.strerror or error}); check its rights") from error


def _whole(rgb: NDArray[np.uint8], time_s: float) -> View:
    height, width = rgb.shape[:2]
    return View(time_s, (0, 0, width, height), shrink(rgb), 1.0, 1.0)


def _whole_frames(frames: Iterator[Frame], encoder: EncoderLike, advance: Advance) -> Iterator[Track | Checkpoint]:
    """Give each frame as a track of its own, with a checkpoint before every ``CHECKPOINT_FRAMES``-th."""
    waiting: list[View] = []
    for number, frame in enumerate(frames):
        if number and number % CHECKPOINT_FRAMES == 0:
            yield from _described(waiting, encoder)
            waiting = []
            yield Checkpoint(frame.time_s)
        waiting.append(_whole(frame.rgb, frame.time_s))
        advance(1)
    yield from _described(waiting, encoder)


def _described(views: Sequence[View], encoder: EncoderLike) -> Iterator[Track]:
    describe(views, encoder)
    for view in views:
        yield Track(view.time_s, view.time_s, 1, (view,), view.vector)
