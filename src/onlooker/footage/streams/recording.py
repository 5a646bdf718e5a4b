"""A video file as a source: every frame counts, and its end is the end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from onlooker.errors import SourceError, VideoError
from onlooker.footage.live import LiveFrame
from onlooker.footage.video import Frame, Video


class Recording:
    """A video file.

    Attributes:
        name: What it is called in messages.
        live: False.
        warnings: What was wrong while reading, one sentence each.
    """

    live = False

    def __init__(
        self, name: str, path: Path, *, rate: float | None = None, started: datetime | None = None, start_s: float = 0.0
    ) -> None:
        """Describe the source.

        Args:
            name: What it is called in messages.
            path: The file.
            rate: Frames a second to give at most, above 0; None gives all.
            started: When its first frame was taken; where None, that its last one was taken when the file was last
                written is taken for granted.
            start_s: Give only frames at or after this time.
        """
        self.name = name
        self.warnings: list[str] = []
        self._path, self._started, self._start_s = path, started, start_s
        # Shorter than the distance of any two frames: each has a slot of its own.
        self._every_s = 1e-4 if rate is None else 1 / rate
        self._frames: Iterator[Frame] | None = None

    def open(self) -> None:
        """Open the file from its beginning (see ``Source``)."""
        self.close()
        try:
            video = Video(self._path)
        except VideoError as error:
            kind = "codec" if self._path.exists() else "unreachable"
            raise SourceError(f"{self.name}: {error}", kind) from error
        self.warnings = video.warnings
        self._begin = self._started or self._guess(video)
        self._sequence = -1
        self._frames = video.frames(self._every_s, start_s=self._start_s)

    def _guess(self, video: Video) -> datetime:
        written = datetime.fromtimestamp(self._path.stat().st_mtime, timezone.utc)
        return written - timedelta(seconds=video.duration_s or 0.0)

    def read(self, timeout_s: float) -> LiveFrame | None:
        """Return the next frame (see ``Source``); the disk is not waited for."""
        if self._frames is None:
            raise SourceError(f"{self.name} is not open", "ended")
        try:
            frame = next(self._frames, None)
        except VideoError as error:
            raise SourceError(f"{self.name}: {error}", "codec") from error
        if frame is None:
            raise SourceError(f"{self.name}: {self._path} is at its end", "ended")
        self._sequence += 1
        time = self._begin + timedelta(seconds=frame.time_s)
        return LiveFrame(frame.rgb, time, frame.time_s, self._sequence, str(self._path))

    def close(self) -> None:
        """Close the file (see ``Source``)."""
        if isinstance(self._frames, Generator):
            # Ends its decoding thread too.
            self._frames.close()
        self._frames = None
