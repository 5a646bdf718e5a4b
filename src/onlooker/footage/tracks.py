"""From the frames of a video to finished tracks, in pieces after which nothing needs to be remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from onlooker.footage.boxes import covered
from onlooker.footage.detections import Detector
from onlooker.footage.tracking import ByteTracker, Tracker, TrackerOptions
from onlooker.footage.video import Frame
from onlooker.footage.views import TrackViews, View, cut


@dataclass(frozen=True)
class TrackRules:
    """Which tracks are people worth keeping, and how much of each is kept.

    Attributes:
        least_s: Shorter tracks (first to last detection) are dropped: a detector's mistakes seldom last, and of a
            person who is seen for less there is no good view.
        least_detections: So are tracks with fewer detections.
        least_score: So are tracks whose best detection scores less.
        least_photo_score: A person in a photo, where no track can confirm him or her, is dropped below this score.
        least_height_px: Smaller persons are not looked at: there is nothing to recognise in them.
        views: How many views of a track are encoded, at most.
        longest_s: After this long without a moment at which nobody is there, all tracks are ended and begun anew. It
            bounds what is held in memory and what an interruption loses, and somebody who stays is found again in each
            such stretch.
    """

    least_s: float = 0.5
    least_detections: int = 3
    least_score: float = 0.65
    least_photo_score: float = 0.55
    least_height_px: int = 40
    views: int = 4
    longest_s: float = 300.0


@dataclass(frozen=True)
class Track:
    """One person through consecutive frames.

    Attributes:
        start_s: Time of the first detection, in seconds from the start of the video.
        end_s: Time of the last detection.
        detections: How many there were.
        views: The best views, best first, at least one.
    """

    start_s: float
    end_s: float
    detections: int
    views: tuple[View, ...]


@dataclass(frozen=True)
class Checkpoint:
    """All tracks up to here have been given and no person is being followed: reading can go on from here.

    Attributes:
        resume_s: Frames from this time on have not been looked at.
    """

    resume_s: float


QUIET_CHECKPOINT_S = 10.0
"""How often a checkpoint is given while nobody is there."""


@dataclass
class _Stretch:
    """The tracks since the last checkpoint."""

    tracker: Tracker
    begun_s: float | None = None
    views: dict[int, TrackViews] = field(default_factory=dict)


def find_tracks(
    frames: Iterable[Frame],
    detector: Detector,
    *,
    every_s: float,
    options: TrackerOptions | None = None,
    rules: TrackRules | None = None,
    on_frame: Callable[[float], None] | None = None,
) -> Iterator[Track | Checkpoint]:
    """Detect and follow people.

    At each checkpoint the tracker is replaced by a new one. So what is found after a checkpoint does not depend on what
    was before it, and a run that begins there (at the frames from ``resume_s`` on) finds exactly the same.

    Args:
        frames: The frames, sampled every ``every_s`` seconds.
        detector: Finds the people in each.
        every_s: Seconds between frames, above 0.
        options: How to follow; the usual where None, with more patience where frames are far apart.
        rules: Which tracks to keep; the usual where None.
        on_frame: Called with the time of each frame when it has been looked at.

    Yields:
        Tracks when they have ended, and checkpoints: whenever the last person has gone, every ``QUIET_CHECKPOINT_S``
        while nobody is there, and after ``rules.longest_s`` of people without a gap.
    """
    rules = rules or TrackRules()
    options = options or TrackerOptions(patience_s=max(TrackerOptions.patience_s, 2.5 * every_s))
    stretch = _Stretch(ByteTracker(options, step_s=every_s))
    checked_s = 0.0
    for frame in frames:
        found = detector.detect(frame.rgb)
        found = found.take(found.boxes[:, 3] - found.boxes[:, 1] >= rules.least_height_px)
        if len(found) and stretch.begun_s is None:
            stretch.begun_s = frame.time_s
        hidden = covered(found.boxes)
        for row, number in enumerate(stretch.tracker.update(frame.time_s, found)):
            if number is not None:
                score = float(found.scores[row])
                view = cut(frame.rgb, found.boxes[row], score, covered=float(hidden[row]), time_s=frame.time_s)
                stretch.views.setdefault(number, TrackViews(frame.time_s)).add(frame.time_s, score, view)
        alive = stretch.tracker.alive(frame.time_s)
        full = stretch.begun_s is not None and frame.time_s - stretch.begun_s >= rules.longest_s
        yield from _ended(stretch, set() if full else alive, rules, every_s)
        if full or not alive:
            if full or stretch.begun_s is not None or frame.time_s - checked_s >= QUIET_CHECKPOINT_S:
                checked_s = frame.time_s
                yield Checkpoint(_next_slot(frame.time_s, every_s))
            stretch = _Stretch(ByteTracker(options, step_s=every_s))
        if on_frame is not None:
            on_frame(frame.time_s)
    yield from _ended(stretch, set(), rules, every_s)


def _ended(stretch: _Stretch, alive: set[int], rules: TrackRules, every_s: float) -> Iterator[Track]:
    """Take the tracks that are no longer alive out of a stretch and give those worth keeping, the earliest first."""
    for number in [number for number in stretch.views if number not in alive]:
        track = stretch.views.pop(number)
        # Frames far apart cannot give many detections of somebody who walks by.
        least = rules.least_detections if every_s <= rules.least_s / 2 else 2
        views = track.best(rules.views)
        long_enough = track.end_s - track.start_s >= rules.least_s - 1e-6 and track.detections >= least
        if long_enough and track.best_score >= rules.least_score and views:
            yield Track(track.start_s, track.end_s, track.detections, tuple(views))


def _next_slot(time_s: float, every_s: float) -> float:
    """Return the beginning of the slot after the one a frame is in (see ``Video.frames``)."""
    return (int(time_s / every_s + 1e-6) + 1) * every_s
