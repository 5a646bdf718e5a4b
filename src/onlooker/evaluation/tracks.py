"""How well people were followed: coverage, identity switches and fragments against frames annotated by hand.

The counting is that of CLEAR MOT (Bernardin and Stiefelhagen, 2008): in each annotated frame every person is given at
most one track and every track at most one person; whom a track had in the frame before it keeps while their boxes still
fit, the rest is given out by overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import DataError

LONGEST_GAP_S = 3.0
"""Between two detections of a track further apart than this, it is nowhere."""


@dataclass(frozen=True)
class AnnotatedFrame:
    """The people of one frame.

    Attributes:
        time_s: Time of the frame in seconds from the start of the video.
        people: Box x0, y0, x1, y1 in pixels of each person, by the person's number.
    """

    time_s: float
    people: Mapping[int, tuple[float, float, float, float]]


@dataclass
class PersonFigures:
    """What became of one annotated person.

    Attributes:
        seen: In how many annotated frames the person is.
        covered: In how many of them a track was on the person.
        tracks: The tracks that were, in the order of their first time.
        switches: How often another track was on the person than the last time.
    """

    seen: int = 0
    covered: int = 0
    tracks: list[int] = field(default_factory=list)
    switches: int = 0


@dataclass(frozen=True)
class TrackFigures:
    """How well people were followed.

    Attributes:
        people: Figures of each person, by number.
        mixed: Tracks that were on more than one person.
        idle: Tracks that reach into the annotated time and were on nobody.
    """

    people: Mapping[int, PersonFigures]
    mixed: int
    idle: int

    @property
    def coverage(self) -> float:
        """Part of the annotated boxes that a track was on, 0..1; nan where there are none."""
        seen = sum(person.seen for person in self.people.values())
        return sum(person.covered for person in self.people.values()) / seen if seen else float("nan")

    @property
    def switches(self) -> int:
        """Identity switches of all people."""
        return sum(person.switches for person in self.people.values())

    @property
    def fragments(self) -> float:
        """Mean number of tracks on a person, of those who had one; 1 is best, nan where nobody had one."""
        counts = [len(person.tracks) for person in self.people.values() if person.tracks]
        return sum(counts) / len(counts) if counts else float("nan")


def read_annotation(path: Path) -> list[AnnotatedFrame]:
    """Read frames annotated by hand.

    Args:
        path: JSON with ``fps`` and ``frames``, each with ``frame`` (its number from 0) and ``people``: rows of person,
            x0, y0, x1, y1.

    Returns:
        The frames in the order of their times.

    Raises:
        DataError: The file cannot be read or has not this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fps = float(content["fps"])
        frames = [
            AnnotatedFrame(
                row["frame"] / fps, {int(person): (x0, y0, x1, y1) for person, x0, y0, x1, y1 in row["people"]}
            )
            for row in content["frames"]
        ]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise DataError(
            f"{path} is no annotation of people ({error}); give fps and frames with rows of person, x0, y0, x1, y1"
        ) from error
    return sorted(frames, key=lambda frame: frame.time_s)


def measure_tracks(
    frames: Sequence[AnnotatedFrame], paths: Sequence[NDArray[np.float64]], *, least_iou: float = 0.5
) -> TrackFigures:
    """Compare tracks with people annotated by hand.

    Args:
        frames: The annotated frames in the order of their times.
        paths: Of each track float64 (n, 5): time in seconds and box x0, y0, x1, y1 of each detection, times rising.
            Between two detections at most ``LONGEST_GAP_S`` apart the box is taken to move evenly.
        least_iou: A track is on a person from this overlap on, above 0 and at most 1.

    Returns:
        The figures; every annotated person is among them.
    """
    people: dict[int, PersonFigures] = {}
    owners: dict[int, set[int]] = {}
    last: dict[int, int] = {}
    current: dict[int, int] = {}
    for frame in frames:
        boxes = {number: box for number, path in enumerate(paths) if (box := box_at(path, frame.time_s)) is not None}
        current = _assigned(frame.people, boxes, current, least_iou)
        for person in frame.people:
            figures = people.setdefault(person, PersonFigures())
            figures.seen += 1
            track = current.get(person)
            if track is None:
                continue
            figures.covered += 1
            figures.switches += last.get(person, track) != track
            last[person] = track
            if track not in figures.tracks:
                figures.tracks.append(track)
            owners.setdefault(track, set()).add(person)
    span = (frames[0].time_s, frames[-1].time_s) if frames else (0.0, 0.0)
    idle = sum(
        1
        for number, path in enumerate(paths)
        if number not in owners and len(path) and path[0, 0] <= span[1] and path[-1, 0] >= span[0]
    )
    return TrackFigures(people, sum(len(own) > 1 for own in owners.values()), idle)


def box_at(path: NDArray[np.float64], time_s: float) -> NDArray[np.float64] | None:
    """Return where a track (n, 5) is at a time as (4,), or None where it has not begun, has ended or has a gap."""
    place = int(np.searchsorted(path[:, 0], time_s - 1e-6))
    if place == len(path):
        return None
    later: NDArray[np.float64] = path[place]
    if abs(later[0] - time_s) <= 1e-6:
        return later[1:]
    if place == 0 or later[0] - path[place - 1, 0] > LONGEST_GAP_S:
        return None
    earlier = path[place - 1]
    part = (time_s - earlier[0]) / (later[0] - earlier[0])
    between: NDArray[np.float64] = earlier[1:] + part * (later[1:] - earlier[1:])
    return between


def _assigned(
    people: Mapping[int, tuple[float, float, float, float]],
    tracks: Mapping[int, NDArray[np.float64]],
    before: Mapping[int, int],
    least_iou: float,
) -> dict[int, int]:
    """Give people tracks: first whom they had, then by overlap, the largest first."""
    overlaps = {
        (person, track): overlap
        for person, box in people.items()
        for track, other in tracks.items()
        if (overlap := _iou(np.asarray(box, np.float64), other)) >= least_iou
    }
    ordered = sorted(overlaps, key=lambda pair: (before.get(pair[0]) != pair[1], -overlaps[pair], pair))
    given: dict[int, int] = {}
    for person, track in ordered:
        if person not in given and track not in given.values():
            given[person] = track
    return given


def _iou(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    wh = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = float(np.prod(np.clip(wh, 0, None)))
    whole = float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / whole if whole > 0 else 0.0
