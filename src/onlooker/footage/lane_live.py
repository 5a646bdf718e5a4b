"""The lane of a live camera: tracks are stored as they end, under a source a day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

from onlooker.footage.detections import Detector
from onlooker.footage.keeper import CameraKeeper
from onlooker.footage.lanes import KeptLane, Tools, day_key
from onlooker.footage.live import LiveFrame
from onlooker.footage.motion import MotionGate
from onlooker.footage.sightings import track_sighting
from onlooker.footage.tracks import LiveTracks, Track
from onlooker.footage.writer import Entry
from onlooker.gallery.records import SourceUpdate

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera

IDLE_S = 2.2
"""A camera that has given nothing for so long has lost everybody: their tracks are ended, so that they can be found."""
APART_S = 2.0
"""Where the time of arrival and the source's own clock differ by more than this from one frame to the next, the source
was opened anew in between."""
SLOWER = 1.3
"""Following is set up for frames farther apart once they are so many times as far apart as they were to be."""


class LiveLane(KeptLane):
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
        super().__init__(key, camera, detector, tools, keeper)
        self._zone = zone
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
    def following(self) -> int:
        """How many people are in sight, or were a moment ago."""
        return self._tracks.following

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
                    sightings=(
                        track_sighting(track, camera=self.name, source=source.name, base=self._base, offset_s=offset_s),
                    ),
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
