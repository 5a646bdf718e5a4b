"""What goes into a gallery and what comes out: sightings, and how far each source has been read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import GalleryError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the upright picture or frame."""


def to_microseconds(time: datetime) -> int:
    """Return a time as whole microseconds since 1970 UTC, without a detour through floating point.

    Args:
        time: A time with a zone.

    Returns:
        Microseconds; negative before 1970.

    Raises:
        GalleryError: The time has no zone, so that its instant is not known.
    """
    if time.tzinfo is None:
        raise GalleryError(f"the time {time.isoformat()} has no time zone; give it one, such as UTC")
    return (time - EPOCH) // MICROSECOND


def from_microseconds(time_us: int) -> datetime:
    """Return the UTC time of whole microseconds since 1970."""
    return EPOCH + time_us * MICROSECOND


MOST_VIEWS = 3
"""Views of one sighting that a gallery keeps; more add bytes and hardly a new side of the person."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SightingView:
    """One of the few looks at a person that are kept of a track.

    Attributes:
        time_s: Seconds from the start of the video; None for a photo.
        box: x, y, width, height of the crop in pixels of the upright picture or frame.
        crop: The crop as JPEG bytes.
        vector: float32 (d,), of this crop alone; not zero.
    """

    time_s: float | None
    box: Box
    crop: bytes
    vector: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One person seen once: a track of a video, or one person of a photo.

    Attributes:
        camera: The camera's name, that of the source it comes from.
        source: The file or address it was seen in, as ``SourceUpdate.name``.
        time: When the crop was taken, with a time zone; None where nobody knows.
        time_s: Seconds from the start of the video to the crop; None for a photo.
        end_s: Seconds from the start of the video to the end of the track; None for a photo.
        box: x, y, width, height of the crop in pixels of the upright picture or frame.
        crop: The crop as JPEG bytes.
        vector: float32 (d,), or (m, d) for several views of the track, which count as one sighting; not zero.
        score: The detector's confidence, 0 to 1.
        track: The track's number within its source; None for a photo.
        start_s: Seconds from the start of the video to the start of the track; ``time_s`` where None.
        views: The kept looks at the person, at most ``MOST_VIEWS``, the best first: it has the box and the crop of the
            sighting itself, which are stored once. Empty where only ``crop`` is kept. The scan looks at ``vector``
            alone.
    """

    camera: str
    source: str
    time: datetime | None
    time_s: float | None
    end_s: float | None
    box: Box
    crop: bytes
    vector: NDArray[np.float32]
    score: float
    track: int | None = None
    start_s: float | None = None
    views: tuple[SightingView, ...] = ()

    def __post_init__(self) -> None:
        if self.box[2] < 1 or self.box[3] < 1:
            raise GalleryError(f"the box {self.box} of a sighting in {self.source} is empty; give x, y, width, height")
        if not self.crop:
            raise GalleryError(f"a sighting in {self.source} has no crop; give the JPEG bytes")
        start_s = self.first_s
        seconds = [value for value in (start_s, self.time_s, self.end_s) if value is not None]
        if any(not math.isfinite(value) for value in seconds) or sorted(seconds) != seconds:
            raise GalleryError(
                f"a sighting in {self.source} has start, time and end {start_s}, {self.time_s}, {self.end_s} s; "
                "give finite seconds in this order"
            )
        self._check_views()

    def _check_views(self) -> None:
        if len(self.views) > MOST_VIEWS:
            raise GalleryError(
                f"a sighting in {self.source} has {len(self.views)} views; give the best {MOST_VIEWS} at most"
            )
        for view in self.views:
            if view.box[2] < 1 or view.box[3] < 1 or not view.crop:
                raise GalleryError(f"a view of a sighting in {self.source} has no crop or the empty box {view.box}")
            if view.time_s is not None and not math.isfinite(view.time_s):
                raise GalleryError(
                    f"a view of a sighting in {self.source} has the time {view.time_s} s; give a finite one"
                )
        if self.views and (self.views[0].crop, self.views[0].box) != (self.crop, self.box):
            raise GalleryError(
                f"the first view of a sighting in {self.source} is another than its own crop; put the best view first "
                "and take crop and box from it"
            )

    @property
    def first_s(self) -> float | None:
        """Seconds from the start of the video to the first frame of the track."""
        return self.time_s if self.start_s is None else self.start_s


@dataclass(frozen=True, kw_only=True)
class StoredSighting:
    """A sighting as the gallery lists it: without its crop and vectors, with its id (see ``Sighting``).

    Attributes:
        id: The sighting's number in its gallery; later ones are larger, and none is ever used twice.
    """

    id: int
    camera: str
    source: str
    time: datetime | None
    time_s: float | None
    start_s: float | None
    end_s: float | None
    box: Box
    score: float
    track: int | None


@dataclass(frozen=True)
class SourceKey:
    """What makes two files the same source: equal bytes from the same camera, whatever their names.

    Attributes:
        sha256: Hex SHA-256 of the file.
        camera: The camera's name.
    """

    sha256: str
    camera: str


@dataclass(frozen=True, kw_only=True)
class SourceUpdate:
    """How far a source has been read, written together with the sightings found up to there.

    Attributes:
        key: Which source.
        name: Its path or address, as shown in results; the last one given before it is complete.
        complete: Whether all of it has been read.
        resume_s: Seconds from the start of a video up to which all ended tracks are stored; None for a photo.
    """

    key: SourceKey
    name: str
    complete: bool
    resume_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """A source as the gallery knows it (see ``SourceUpdate``).

    Attributes:
        sightings: How many sightings of it are stored.
    """

    key: SourceKey
    name: str
    complete: bool
    resume_s: float | None
    sightings: int


@dataclass(frozen=True)
class CameraCount:
    """A camera with what the gallery holds of it.

    Attributes:
        name: The camera's name.
        sources: Photos, videos and streams read.
        sightings: Sightings stored.
        first: Time of the earliest sighting whose time is known; None where none is.
        last: Time of the latest.
    """

    name: str
    sources: int
    sightings: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, kw_only=True)
class GalleryInfo:
    """The facts a gallery was made with.

    Attributes:
        schema_version: Number of schema steps applied.
        encoder_id: The bundle's id; vectors of another bundle cannot be compared with these.
        bundle_name: The bundle's name, for people.
        dimension: Length of a vector.
        created: When the gallery was made, UTC.
        onlooker_version: The version that made it.
    """

    schema_version: int
    encoder_id: str
    bundle_name: str
    dimension: int
    created: datetime
    onlooker_version: str


@dataclass(frozen=True)
class Changes:
    """What happened to a gallery between two states.

    Attributes:
        sequence: The state after these changes; give it to the next ``changes_since``.
        ids: int64 (m,), the sighting of each new vector, ascending.
        vectors: float16 (m, d), the new vectors.
        removed: int64 (r,), sightings that are gone.
    """

    sequence: int
    ids: NDArray[np.int64]
    vectors: NDArray[np.float16]
    removed: NDArray[np.int64]


def encode_vectors(vector: NDArray[Any], dimension: int, source: str) -> list[bytes]:
    """Turn the vectors of one sighting into blobs: L2-normalised, little-endian float16.

    Args:
        vector: (d,) or (m, d), finite, not zero.
        dimension: The gallery's d.
        source: The source, for messages.

    Returns:
        One blob of 2 d bytes a vector.

    Raises:
        GalleryError: Wrong shape, a value that is not finite, or a vector of length zero.
    """
    rows = np.atleast_2d(np.asarray(vector, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != dimension:
        raise GalleryError(
            f"a vector of shape {np.shape(vector)} from {source} does not fit a gallery of dimension {dimension}; "
            f"give ({dimension},) or (views, {dimension})"
        )
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise GalleryError(f"a vector from {source} is zero or not finite; check the bundle and the crop")
    return [row.tobytes() for row in (rows / norms).astype("<f2")]


def decode_vectors(blobs: list[bytes], dimension: int) -> NDArray[np.float16]:
    """Turn blobs into one contiguous float16 array (m, d); the reverse of ``encode_vectors``."""
    flat = np.frombuffer(b"".join(blobs), dtype="<f2")
    return flat.reshape(len(blobs), dimension).astype(np.float16, copy=False)
