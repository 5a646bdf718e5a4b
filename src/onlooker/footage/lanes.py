"""The lane of one camera: from its frames to entries for the writer.

There are three kinds. A live camera's tracks are stored as they end, under a source a day. A recording is stored piece
by piece at checkpoints, so that it goes on there after a stop; a folder's photos are stored one by one.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.areas import standing_in
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.keeper import CameraKeeper, CameraState
from onlooker.footage.live import LiveFrame
from onlooker.footage.tracks import TrackRules
from onlooker.footage.writer import Entry
from onlooker.gallery.records import SourceKey
from onlooker.gallery.store import Gallery

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera
    from onlooker.runtime.encoder import EncoderLike

RATE_S = 5.0
"""The rate of frames looked at is that of so many seconds."""


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


class KeptLane(Lane):
    """A lane whose camera, or folder, a keeper looks after."""

    def __init__(self, key: str, camera: Camera, detector: Detector, tools: Tools, keeper: CameraKeeper) -> None:
        """Begin without frames.

        Args:
            key: Its table in the configuration.
            camera: What stands there.
            detector: Finds its people.
            tools: What all lanes share.
            keeper: Its keeper, not started yet.
        """
        super().__init__(key, camera, detector, tools)
        self._keeper = keeper

    @property
    def state(self) -> CameraState:
        """How its camera is doing."""
        return self._keeper.state

    def start(self) -> None:
        """Begin to read."""
        self._keeper.start()

    def halt(self, timeout_s: float) -> bool:
        """Stop reading; say whether the reader has ended within that time."""
        return self._keeper.stop(timeout_s)

    def take(self) -> LiveFrame | None:
        """Take the frame that waits, if there is one that has not been taken."""
        return self._keeper.latest(0)


def day_key(camera: str, day: str) -> SourceKey:
    """Return the key of what a live camera showed on a day: it has no bytes to be known by, so its name and day are.

    Args:
        camera: The camera's name.
        day: YYYY-MM-DD.
    """
    return SourceKey(hashlib.sha256(f"onlooker live\n{camera}\n{day}".encode()).hexdigest(), camera)
