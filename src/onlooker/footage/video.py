"""Reading video files with PyAV: frames at their exact times, upright, in square pixels, a few of them a second."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.errors import VideoError
from onlooker.runtime.pictures import MAX_PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

READ_AHEAD = 4
"""Frames decoded before they are asked for; at 3840 x 2160 each takes 25 MB."""
EARLY_END_S = 2.0
"""A video that ends this much before its own header says is taken to be cut short."""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        time_s: Seconds from the start of the video (its first timestamp), exact to the file's time base.
        rgb: uint8 (h, w, 3), upright, with square pixels.
    """

    time_s: float
    rgb: NDArray[np.uint8]


class Video:
    """A video file that can be read.

    Attributes:
        path: The file.
        duration_s: How long it says it is, in seconds; None where it does not say.
        warnings: What was wrong while reading, one sentence each; complete when ``frames`` has ended.
    """

    def __init__(self, path: Path) -> None:
        """Check that a file holds a video.

        Args:
            path: The file.

        Raises:
            VideoError: The file cannot be opened, or holds no video.
        """
        self.path = path
        self.warnings: list[str] = []
        with self._open() as (container, stream):
            self.duration_s = _duration(container, stream)

    def frames(self, every_s: float, *, start_s: float = 0.0) -> Iterator[Frame]:
        """Read frames at regular times.

        Time is cut into slots of ``every_s`` seconds, counted from the start of the video; of each slot the first frame
        is given. So it does not depend on ``start_s`` which frames are given, and a varying frame rate does no harm.
        Decoding runs in a thread of its own, a few frames ahead. Damaged parts are passed over and noted in
        ``warnings``.

        Args:
            every_s: Length of a slot in seconds, above 0.
            start_s: Give only frames at or after this time.

        Yields:
            Frames in the order of their times.

        Raises:
            VideoError: Not a single frame can be decoded, or frames are too large.
        """
        ahead: queue.Queue[Frame | BaseException | None] = queue.Queue(READ_AHEAD)
        stop = threading.Event()

        def put(item: Frame | BaseException | None) -> bool:
            while not stop.is_set():
                try:
                    ahead.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return True
            return False

        def decode() -> None:
            try:
                for frame in self._decode(every_s, start_s):
                    if not put(frame):
                        return
                put(None)
            except BaseException as error:
                # Whatever it is belongs to the thread that reads, which raises it again.
                put(error)

        thread = threading.Thread(target=decode, name=f"decode {self.path.name}", daemon=True)
        thread.start()
        try:
            while (item := ahead.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def _decode(self, every_s: float, start_s: float) -> Iterator[Frame]:
        with self._open() as (container, stream):
            begin = _begin(stream)
            if start_s == 0 or _seek(container, stream, begin, start_s):
                yield from self._sample(container, stream, begin, every_s, start_s)
                return
        # The index is missing or points past the wanted frame: read from the beginning instead.
        with self._open() as (container, stream):
            yield from self._sample(container, stream, begin, every_s, start_s)

    def _sample(
        self, container: InputContainer, stream: VideoStream, begin: Fraction, every_s: float, start_s: float
    ) -> Iterator[Frame]:
        time_base = _time_base(stream)
        last_slot, last_s = -1, None
        for frame in self._decoded(container, stream):
            if frame.pts is None:
                continue
            exact = frame.pts * time_base - begin
            last_s = time_s = float(exact)
            # A little tolerance, since 0.3 / 0.1 is below 3 and a time of 0.3 s belongs to the fourth slot.
            slot = math.floor(time_s / every_s + 1e-6)
            if slot <= last_slot or time_s < start_s - 1e-6:
                continue
            last_slot = slot
            yield Frame(time_s, self._upright(frame, stream.sample_aspect_ratio))
        if last_s is None and start_s == 0:
            raise VideoError(f"not a single frame of {self.path} can be decoded; replace it with a complete file")
        if self.duration_s is not None and (last_s or start_s) < self.duration_s - EARLY_END_S:
            self.warnings.append(
                f"{self.path} ends after {last_s or start_s:.1f} of {self.duration_s:.1f} s; it may be cut short"
            )

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Decode until the end or until nothing more can be read; damaged packets are counted and passed over."""
        damaged = 0
        try:
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except av.error.FFmpegError:
                    damaged += 1
        except (av.error.FFmpegError, EOFError) as error:
            self.warnings.append(f"{self.path} cannot be read to its end ({_reason(error)})")
        if damaged:
            self.warnings.append(f"{self.path} has {damaged} damaged packet{'s' if damaged > 1 else ''}, passed over")

    def _upright(self, frame: VideoFrame, aspect: Fraction | None) -> NDArray[np.uint8]:
        """Convert to RGB, stretch pixels that are not square, undo the rotation of the camera."""
        if frame.width * frame.height > MAX_PIXELS:
            raise VideoError(
                f"{self.path} has frames of {frame.width} x {frame.height} pixels, more than {MAX_PIXELS:,} in all"
            )
        width = max(1, round(frame.width * (aspect or 1)))
        rgb = frame.to_ndarray(format="rgb24", width=width, height=frame.height)
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)), dtype=np.uint8)

    @contextmanager
    def _open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        try:
            container = av.open(str(self.path))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"{self.path} is not a video that can be read ({_reason(error)})") from error
        with container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or _is_cover(stream):
                raise VideoError(f"{self.path} holds no video; give a video file")
            stream.thread_type = "AUTO"
            yield container, stream


def _seek(container: InputContainer, stream: VideoStream, begin: Fraction, start_s: float) -> bool:
    """Go to the last key frame before ``start_s``; say whether decoding from there will meet ``start_s``."""
    time_base = _time_base(stream)
    target = math.floor((Fraction(start_s) + begin) / time_base)
    try:
        container.seek(target, stream=stream, backward=True)
        first = next(container.decode(stream), None)
        if first is None or first.pts is None or first.pts > target:
            return False
        container.seek(target, stream=stream, backward=True)
    except (av.error.FFmpegError, EOFError):
        return False
    return True


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, av.time_base)


def _begin(stream: VideoStream) -> Fraction:
    """Return the timestamp of the first frame in seconds; some containers do not begin at 0."""
    return (stream.start_time or 0) * _time_base(stream)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / av.time_base
    return None


def _is_cover(stream: VideoStream) -> bool:
    """Say whether the only "video" is a picture attached to a sound file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
