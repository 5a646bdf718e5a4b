"""From the frames of one camera to finished tracks, and a video in pieces after which nothing needs remembering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.appearance import Place, RejoinOptions, describe, likeness, plausible, vector_of
from onlooker.footage.boxes import covered
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.tracking import ByteTracker, TrackerOptions
from onlooker.footage.video import Frame
from onlooker.footage.views import EDGE, TrackViews, View, choose, cut

if TYPE_CHECKING:
    from onlooker.runtime.encoder import EncoderLike


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
        kept: How many of them are kept, at most.
        longest_s: After this long without a moment at which nobody is there, all tracks are ended and begun anew. It
            bounds what is held in memory and what an interruption loses, and somebody who stays is found again in each
            such stretch.
    """

    least_s: float = 0.5
    least_detections: int = 3
    least_score: float = 0.65
    least_photo_score: float = 0.5
    least_height_px: int = 40
    views: int = 4
    kept: int = 3
    longest_s: float = 300.0


@dataclass(frozen=True, eq=False)
class Track:
    """One person through consecutive frames.

    Attributes:
        start_s: Time of the first detection, in seconds from the start of the video or the opening of the source.
        end_s: Time of the last detection.
        detections: How many there were.
        views: The views worth keeping, the best first, at least one; with vectors where there was an encoder.
        vector: float32 (d,), L2-normalised: the pooled vector of the best views; None without an encoder.
        path: float64 (n, 5), time and box x0, y0, x1, y1 of each detection, as the detector gave it (see
            ``onlooker.footage.tracking.smoothed``).
    """

    start_s: float
    end_s: float
    detections: int
    views: tuple[View, ...]
    vector: NDArray[np.float32] | None = None
    path: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))


@dataclass(frozen=True)
class Checkpoint:
    """All tracks up to here have been given and no person is being followed: reading can go on from here.

    Attributes:
        resume_s: Frames from this time on have not been looked at.
    """

    resume_s: float


QUIET_CHECKPOINT_S = 10.0
"""How often a checkpoint is given while nobody is there."""
SURE_DETECTIONS = 3
"""With so many detections somebody who appeared is compared with those who were lost."""
LEAST_DETECTIONS = 2
"""The same where no more came; a single detection may be of anything."""
STILL = 0.01
"""Somebody stands still who has moved by less than this part of his or her height since the last look. Detectors look
at the same picture in the same way, so boxes of people who stand hardly jitter; whoever walks moves by 0.1 and more in
a fifth of a second."""


class Gate(Protocol):
    """Says whether a frame is worth looking at (see ``onlooker.footage.motion.MotionGate``)."""

    def moved(self, rgb: NDArray[np.uint8], time_s: float) -> bool:
        """Take the next frame and say whether to look for people in it."""
        ...

    def seen(self, time_s: float) -> None:
        """Say that people were found in the frame of a time."""
        ...


class LiveTracks:
    """Follows the people before one camera, frame by frame, and gives each person's track when it has ended.

    Somebody who was hidden for a moment is one track: a new track near an old one that was just lost goes on with it
    where the vectors of both agree. Without an encoder only places count, and tracks have no vectors. Where nobody
    moves, every other frame is passed over: detection is what takes the time.

    Attributes:
        seen: Whether anybody has been followed at all.
        looked: How many frames the detector has seen.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        every_s: float,
        encoder: EncoderLike | None = None,
        options: TrackerOptions | None = None,
        rules: TrackRules | None = None,
        rejoin: RejoinOptions | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Begin without anybody.

        Args:
            detector: Finds the people in a frame.
            every_s: About how many seconds lie between frames, above 0.
            encoder: Turns crops into vectors.
            options: How to follow; the usual where None, with more patience where frames are far apart.
            rules: Which tracks to keep; the usual where None.
            rejoin: When a new track goes on with a lost one; the usual where None.
            gate: Which frames to look at; all where None.
        """
        self._detector = detector
        self._encoder = encoder
        self._every_s = every_s
        self._rules = rules or TrackRules()
        self._rejoin = rejoin or RejoinOptions(gap_s=max(RejoinOptions.gap_s, 3 * every_s))
        # Places alone are trusted for half a second where vectors can tell who it is afterwards.
        patience_s = TrackerOptions.patience_s if encoder is None else 0.5
        self._options = options or TrackerOptions(patience_s=max(patience_s, 2.5 * every_s))
        self._gate = gate
        self._begin()
        self.seen = False
        self.looked = 0

    def _begin(self) -> None:
        self._tracker = ByteTracker(self._options, step_s=self._every_s)
        self._numbered: dict[int, _Followed] = {}
        self._people: list[_Followed] = []
        self._begun_s: float | None = None
        self._still = self._rested = False

    @property
    def following(self) -> int:
        """How many people are in sight, or were a moment ago."""
        return len(self._numbered)

    @property
    def open(self) -> int:
        """How many tracks have begun and have not been given or dropped yet."""
        return len(self._people)

    def may_pause(self, time_s: float, checked_s: float) -> bool:
        """Say whether a recording may be left at this frame and gone on with at the next: nobody is followed.

        Args:
            time_s: The time of the frame that was fed last.
            checked_s: That of the last such moment; while nobody is seen they lie ``QUIET_CHECKPOINT_S`` apart.
        """
        return not self.open and (self.seen or time_s - checked_s >= QUIET_CHECKPOINT_S)

    def feed(self, rgb: NDArray[np.uint8], time_s: float) -> list[Track]:
        """Take the next frame.

        Args:
            rgb: uint8 (h, w, 3).
            time_s: Its time in seconds, later than that of the frame before.

        Returns:
            The tracks that have ended by then, the earliest first.
        """
        moved = self._gate is None or self._gate.moved(rgb, time_s)
        # While everybody stands still, every other look is enough.
        self._rested = self._still and not self._rested and 2 * self._every_s < self._options.patience_s
        if moved and not self._rested:
            self._look(rgb, time_s)
        if self._begun_s is not None and time_s - self._begun_s >= self._rules.longest_s:
            return self.flush()
        alive = self._tracker.alive(time_s)
        for number in [number for number in self._numbered if number not in alive]:
            self._settle(self._numbered.pop(number))
        following = set(map(id, self._numbered.values()))
        over = [one for one in self._people if id(one) not in following and time_s >= self._ends_s(one, rgb)]
        self._people = [one for one in self._people if all(one is not other for other in over)]
        if not self._people:
            self._begin()
        return self._tracks(over)

    def flush(self) -> list[Track]:
        """End all tracks now, and begin anew.

        Returns:
            Those worth keeping, the earliest first.
        """
        for one in self._numbered.values():
            self._settle(one)
        over = self._people
        self._begin()
        return self._tracks(over)

    def _look(self, rgb: NDArray[np.uint8], time_s: float) -> None:
        self.looked += 1
        found = self._detector.detect(rgb)
        found = found.take(found.boxes[:, 3] - found.boxes[:, 1] >= self._rules.least_height_px)
        if len(found) and self._gate is not None:
            self._gate.seen(time_s)
        seen = self._follow(rgb, time_s, found)
        for one in seen:
            if one.views.detections == SURE_DETECTIONS:
                self._settle(one)
        everybody = len(seen) == len(found) == len(self._people)
        self._still = bool(seen) and everybody and all(one.stands for one in seen)

    def _follow(self, rgb: NDArray[np.uint8], time_s: float, found: Detections) -> list[_Followed]:
        """Give each detection to its track, and return the tracks that were seen."""
        seen = []
        hidden = covered(found.boxes)
        for row, number in enumerate(self._tracker.update(time_s, found)):
            if number is None:
                continue
            one = self._numbered.get(number)
            if one is None:
                one = self._numbered[number] = _Followed(TrackViews(time_s))
                self._people.append(one)
                self.seen = True
                self._begun_s = time_s if self._begun_s is None else self._begun_s
            score = float(found.scores[row])
            view = cut(rgb, found.boxes[row], score, covered=float(hidden[row]), time_s=time_s)
            x0, y0, x1, y1 = map(float, found.boxes[row])
            one.add((time_s, x0, y0, x1, y1), score, view)
            seen.append(one)
        return seen

    def _settle(self, one: _Followed) -> None:
        """Ask once of somebody who appeared whether it is somebody who was lost, and then go on with that track."""
        fresh, one.fresh = one.fresh, False
        first, one.first = one.first[: self._rejoin.views], []
        if not fresh or self._encoder is None or len(first) < LEAST_DETECTIONS:
            return
        best, lost = self._rejoin.likeness, None
        for other in self._people:
            # Who is in sight in this very frame, or was after the other had appeared, is somebody else.
            if other is one or other.path[-1][0] >= one.path[0][0] or not other.views.count:
                continue
            if plausible(other.path, one.path[0], self._rejoin):
                like = likeness(first, other.views.best(self._rules.views), self._encoder)
                if like >= best:
                    best, lost = like, other
        if lost is None:
            return
        lost.go_on(one)
        self._people = [other for other in self._people if other is not one]
        # The tracker may still wait for the lost one under its old number; whoever it gives that to begins anew.
        self._numbered = {
            number: lost if other is one else other for number, other in self._numbered.items() if other is not lost
        }

    def _ends_s(self, one: _Followed, rgb: NDArray[np.uint8]) -> float:
        """Return from when on a track that the tracker has ended cannot go on any more."""
        last = one.path[-1]
        if self._encoder is None:
            return last[0]
        height, width = rgb.shape[:2]
        edges = (last[1] / width, last[2] / height, 1 - last[3] / width, 1 - last[4] / height)
        gap_s = self._rejoin.edge_s if min(edges) <= EDGE else self._rejoin.gap_s
        # Who appears at the last moment needs a few frames to be sure of.
        return last[0] + gap_s + (SURE_DETECTIONS - 1) * self._every_s - 1e-6

    def _tracks(self, over: Iterable[_Followed]) -> list[Track]:
        rules = self._rules
        # Frames far apart cannot give many detections of somebody who walks by.
        least = rules.least_detections if self._every_s <= rules.least_s / 2 else 2
        tracks = []
        for one in over:
            kept = one.views
            long_enough = kept.end_s - kept.start_s >= rules.least_s - 1e-6 and kept.detections >= least
            if long_enough and kept.best_score >= rules.least_score and kept.count:
                tracks.append(self._track(one))
        return tracks

    def _track(self, one: _Followed) -> Track:
        views = one.views.best(self._rules.views)
        vector = None
        if self._encoder is not None:
            describe(views, self._encoder)
            vector = vector_of(views)
        return Track(
            one.views.start_s,
            one.views.end_s,
            one.views.detections,
            tuple(choose(views, self._rules.kept)),
            vector,
            np.array(one.path, np.float64).reshape(-1, 5),
        )


@dataclass(eq=False)
class _Followed:
    """Somebody who is followed, or was until just now.

    Attributes:
        views: What is remembered of the looks.
        path: Time and box of each detection.
        first: The views of the first detections, until it is settled who this is.
        fresh: Whether that is not settled yet.
    """

    views: TrackViews
    path: list[Place] = field(default_factory=list)
    first: list[View] = field(default_factory=list)
    fresh: bool = True

    def add(self, place: Place, score: float, view: View | None) -> None:
        """Take the next detection."""
        self.path.append(place)
        self.views.add(place[0], score, view)
        if self.fresh and view is not None:
            self.first.append(view)

    @property
    def stands(self) -> bool:
        """Whether he or she has been seen often enough, and has not moved since the last time."""
        if len(self.path) <= SURE_DETECTIONS:
            return False
        before, now = np.array(self.path[-2][1:]), np.array(self.path[-1][1:])
        return bool(np.abs(now - before).max() < STILL * (now[3] - now[1]))

    def go_on(self, later: _Followed) -> None:
        """Go on as somebody who appeared later."""
        self.path += later.path
        self.views.go_on(later.views)


def find_tracks(
    frames: Iterable[Frame],
    detector: Detector,
    *,
    every_s: float,
    encoder: EncoderLike | None = None,
    options: TrackerOptions | None = None,
    rules: TrackRules | None = None,
    gate: Callable[[], Gate] | None = None,
    on_frame: Callable[[float], None] | None = None,
) -> Iterator[Track | Checkpoint]:
    """Detect and follow people in a recording.

    At each checkpoint everything begins anew. So what is found after a checkpoint does not depend on what was before
    it, and a run that begins there (at the frames from ``resume_s`` on) finds exactly the same.

    Args:
        frames: The frames, sampled every ``every_s`` seconds.
        detector: Finds the people in each.
        every_s: Seconds between frames, above 0.
        encoder: Turns crops into vectors (see ``LiveTracks``).
        options: How to follow; the usual where None, with more patience where frames are far apart.
        rules: Which tracks to keep; the usual where None.
        gate: Makes what says which frames to look at; all where None.
        on_frame: Called with the time of each frame when it has been looked at.

    Yields:
        Tracks when they have ended, and checkpoints: whenever the last person has gone, every ``QUIET_CHECKPOINT_S``
        while nobody is there, and after ``rules.longest_s`` of people without a gap.
    """

    def begin() -> LiveTracks:
        return LiveTracks(
            detector,
            every_s=every_s,
            encoder=encoder,
            options=options,
            rules=rules,
            gate=None if gate is None else gate(),
        )

    live = begin()
    checked_s = 0.0
    for frame in frames:
        yield from live.feed(frame.rgb, frame.time_s)
        if live.may_pause(frame.time_s, checked_s):
            checked_s = frame.time_s
            yield Checkpoint(next_slot(frame.time_s, every_s))
            live = begin()
        if on_frame is not None:
            on_frame(frame.time_s)
    yield from live.flush()


def next_slot(time_s: float, every_s: float) -> float:
    """Return the beginning of the slot after the one a frame is in (see ``Video.frames``)."""
    return (int(time_s / every_s + 1e-6) + 1) * every_s
