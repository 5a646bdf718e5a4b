"""Following people through a video: which detections of consecutive frames are one person.

The association is ByteTrack of ``edgefirst-tracker`` (Apache-2.0): detections it is sure of are matched first, weaker
ones fill gaps. Why this library: docs/footage.md. Before matching, every box is widened on each side (the idea of
C-BIoU, Yang et al., WACV 2023): at a few frames a second the boxes of somebody who walks may no longer overlap, but
their surroundings do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from edgefirst.tracker import ByteTrack
from numpy.typing import NDArray

from onlooker.footage.detections import Detections


@dataclass(frozen=True)
class TrackerOptions:
    """How people are followed; the values were compared on the sample clip and on a crowded scene (docs/footage.md).

    Attributes:
        sure: A track begins with a detection of at least this score; weaker ones only continue one. 0..1.
        overlap: Least IoU of a widened box with where its track is expected, 0..1.
        widen_per_s: Part of its width and height by which a box is widened on each side before matching, for each
            second since the frame before; at least ``WIDEN_LEAST`` and at most ``WIDEN_MOST`` in all.
        agility: How quickly a track follows a change of speed, 0..1 (the weight of a new box in the Kalman filter).
        patience_s: A track ends when its person has not been seen for this many seconds.
    """

    sure: float = 0.6
    overlap: float = 0.2
    widen_per_s: float = 1.5
    agility: float = 0.6
    patience_s: float = 1.0


WIDEN_LEAST, WIDEN_MOST = 0.1, 0.5


class Tracker(Protocol):
    """Gives detections of consecutive frames the number of their track."""

    def update(self, time_s: float, detections: Detections) -> list[int | None]:
        """Take the detections of the next frame.

        Args:
            time_s: Time of the frame; later than the one before.
            detections: What was found in it; may be empty.

        Returns:
            For each detection the number of its track, or None where it belongs to none.
        """
        ...

    def alive(self, time_s: float) -> set[int]:
        """Return the tracks that may still go on at a time, among them those not seen at this very moment."""
        ...


class ByteTracker:
    """Tracks by ByteTrack; numbers are given from 1 in the order in which tracks begin."""

    def __init__(self, options: TrackerOptions | None = None, *, step_s: float = 0.2) -> None:
        """Begin without any track.

        Args:
            options: How to follow; the usual where None.
            step_s: About how many seconds lie between frames; used for the first, which has none before it.
        """
        self._options = options or TrackerOptions()
        self._tracker = ByteTrack(
            high_conf=self._options.sure,
            iou=self._options.overlap,
            update=self._options.agility,
            lifespan_ns=_ns(self._options.patience_s),
        )
        self._numbers: dict[str, int] = {}
        self._begun = 0
        self._last_ns: dict[int, int] = {}
        self._step_s = step_s
        self._frame_s: float | None = None

    def update(self, time_s: float, detections: Detections) -> list[int | None]:
        """Take the detections of the next frame (see ``Tracker``)."""
        since_s = self._step_s if self._frame_s is None else time_s - self._frame_s
        self._frame_s = time_s
        widen = min(max(self._options.widen_per_s * since_s, WIDEN_LEAST), WIDEN_MOST)
        labels = np.zeros(len(detections), dtype=np.uintp)
        infos = self._tracker.update(_widened(detections.boxes, widen), detections.scores, labels, _ns(time_s))
        return [None if info is None else self._seen(info.uuid, _ns(time_s)) for info in infos]

    def alive(self, time_s: float) -> set[int]:
        """Return the tracks that may still go on (see ``Tracker``); one that has ended is forgotten."""
        oldest = _ns(time_s) - _ns(self._options.patience_s)
        self._last_ns = {number: last for number, last in self._last_ns.items() if last >= oldest}
        self._numbers = {uuid: number for uuid, number in self._numbers.items() if number in self._last_ns}
        return set(self._last_ns)

    def _seen(self, uuid: str, time_ns: int) -> int:
        if uuid not in self._numbers:
            self._begun += 1
            self._numbers[uuid] = self._begun
        number = self._numbers[uuid]
        self._last_ns[number] = time_ns
        return number


def _ns(time_s: float) -> int:
    return round(time_s * 1e9)


def _widened(boxes: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    margin = (boxes[:, 2:] - boxes[:, :2]) * np.float32(part)
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


SMOOTH_S = 0.6
"""So long before and after a moment a track's boxes say where the person was at it."""


def smoothed(path: NDArray[np.float64], half_s: float = SMOOTH_S) -> NDArray[np.float64]:
    """Smooth the boxes of a track: a detector's boxes jitter, and grow where two people stand close.

    At each time the middle of the box lies on the straight line fitted to those around it, and its size is their
    median.

    Args:
        path: float64 (n, 5), time in seconds and box x0, y0, x1, y1 of each detection, times rising.
        half_s: How far before and after, in seconds.

    Returns:
        float64 (n, 5).
    """
    times = path[:, 0]
    middles, sizes = (path[:, 1:3] + path[:, 3:]) / 2, path[:, 3:] - path[:, 1:3]
    result: NDArray[np.float64] = path.copy()
    for row, time_s in enumerate(times):
        near = slice(*np.searchsorted(times, (time_s - half_s - 1e-6, time_s + half_s + 1e-6)))
        offsets = times[near] - time_s
        middle = middles[near].mean(axis=0)
        spread = float(((offsets - offsets.mean()) ** 2).sum())
        if spread > 0:
            slope = ((offsets - offsets.mean())[:, None] * middles[near]).sum(axis=0) / spread
            middle = middle - slope * offsets.mean()
        size = np.median(sizes[near], axis=0)
        result[row, 1:3], result[row, 3:] = middle - size / 2, middle + size / 2
    return result
