"""Live sources that PyAV reads: packets in, frames out, with limits on how long anything may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.errors import ConfigError, SourceError
from onlooker.footage.hardware import SOFTWARE, Decoding
from onlooker.footage.live import LiveFrame, PresentationClock, SeenClock, Slots
from onlooker.runtime.pictures import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from onlooker.footage.hardware import Decoder

UNTIMED = 10
"""So many frames without a presentation time are left out at the beginning; a stream that has none is timed here."""
FEW = 3
"""Fewer packets than this since the last usable frame are no stream of garbage but a stream that has dried up."""
LATE_S = 1.0
"""A live stream this far behind leaves out all but key frames until it has caught up to a quarter of it."""

Opener = Callable[["HWAccel | None"], "InputContainer"]


class PacketSource:
    """A live source that PyAV demultiplexes; RTSP and USB cameras are this with different ways of opening.

    Damaged packets and frames are passed over and counted. Where decoding does not keep up, whole groups of frames are
    left out, so that what is given is never more than a second or two old.

    Attributes:
        name: What it is called in messages.
        live: True.
        damaged: Packets and frames passed over since it was opened.
        lag_s: How far the last frame was behind the present when it was given.
        jumps: How often the camera's own clock jumped since it was opened.
    """

    live = True

    def __init__(
        self,
        name: str,
        opener: Opener,
        *,
        rate: float | None = None,
        stall_s: float = 5.0,
        decoding: Decoding = SOFTWARE,
        seen: SeenClock | None = None,
    ) -> None:
        """Describe the source; nothing is opened yet.

        Args:
            name: What it is called in messages; no secret.
            opener: Opens the container with its time-outs; raises SourceError or PyAV's errors.
            rate: Frames a second to give at most; None gives all.
            stall_s: Without a usable frame for so long it counts as frozen, or as garbage where packets still come.
            decoding: Makes the decoder of a stream.
            seen: Tells when a frame was seen.
        """
        self.name = name
        self.damaged = 0
        self.lag_s = 0.0
        self._opener, self._rate, self._stall_s, self._decoding = opener, rate, stall_s, decoding
        self._seen = seen or SeenClock()
        self._container: InputContainer | None = None
        self._decoder: Decoder | None = None
        self._frames: Iterator[VideoFrame | None] = iter(())
        self._clock = PresentationClock()

    @property
    def jumps(self) -> int:
        """How often the camera's own clock jumped since it was opened."""
        return self._clock.jumps

    def open(self) -> None:
        """Connect (see ``Source``)."""
        self.close()
        error = None
        try:
            self._container = self._opener(self._decoding.hwaccel())
        except ConfigError:
            # A password that cannot be read, which says itself what is wrong.
            raise
        except (av.error.FFmpegError, OSError, ValueError) as failure:
            # Raised outside of the handler: PyAV's error quotes the address with the password in it, and must not
            # hang on ours as its context.
            error = failed(self.name, failure, opening=True)
        if error is not None or self._container is None:
            raise error or SourceError(f"{self.name} cannot be opened")
        self._start(self._container)

    def _start(self, container: InputContainer) -> None:
        try:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                kinds = ", ".join(sorted({each.type for each in container.streams})) or "nothing"
                raise SourceError(
                    f"{self.name} sends no picture that can be decoded, only {kinds}; set the camera's stream to H.264 "
                    "or H.265",
                    "codec",
                )
            self._decoder = self._decoding.decoder(self.name, stream)
        except SourceError:
            self.close()
            raise
        self.damaged, self.lag_s, self._sequence = 0, 0.0, -1
        self._good_s, self._packets = time.monotonic() + self._decoding.start_s, 0
        self._clock, self._slots = PresentationClock(), Slots(self._rate)
        self._reformatter, self._aspect = VideoReformatter(), stream.sample_aspect_ratio or Fraction(1)
        self._late = False
        self._seen.restart()
        self._frames = self._decoded(container, stream, self._decoder)

    def read(self, timeout_s: float) -> LiveFrame | None:
        """Return the next frame (see ``Source``)."""
        until_s = time.monotonic() + timeout_s
        error = None
        try:
            for frame in self._frames:
                now_s = time.monotonic()
                given = None if frame is None else self._given(frame, now_s)
                if given is not None:
                    return given
                if now_s - self._good_s > self._stall_s:
                    if self._packets < FEW:
                        # What was left of a packet when its end did not come.
                        raise SourceError(f"{self.name} sends nothing any more", "frozen")
                    raise SourceError(
                        f"nothing that {self.name} sends can be decoded for {self._stall_s:g} s; restart the camera or "
                        "look after its network",
                        "garbage",
                    )
                if now_s >= until_s:
                    return None
        except (av.error.FFmpegError, OSError, ValueError, EOFError) as failure:
            error = failed(self.name, failure, opening=False)
        if error is None:
            # A server that dies ends its stream as if it were complete.
            error = SourceError(f"{self.name} has ended its stream", "ended")
        raise error

    def close(self) -> None:
        """Disconnect (see ``Source``)."""
        self._frames = iter(())
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _decoded(self, container: InputContainer, stream: VideoStream, decoder: Decoder) -> Iterator[VideoFrame | None]:
        """Yield frames as they are decoded, and None after each packet, so that the caller can look at the clock."""
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            self._packets += 1
            if self._passed_over(packet, stream):
                yield None
                continue
            try:
                yield from decoder.decode(packet)
            except av.error.FFmpegError:
                self.damaged += 1
            yield None

    def _passed_over(self, packet: Packet[VideoStream], stream: VideoStream) -> bool:
        """While late, leave out what comes until a key frame is on time; one frame a second is given all the same."""
        if not self._late:
            return False
        if not packet.is_keyframe:
            return True
        now_s = time.monotonic()
        if packet.pts is not None and stream.time_base is not None:
            self._late = self._clock.lag_of(packet.pts * stream.time_base, now_s) > LATE_S / 4
        return self._late and now_s - self._good_s < 1.0

    def _given(self, frame: VideoFrame, now_s: float) -> LiveFrame | None:
        self._sequence += 1
        if frame.is_corrupt:
            self.damaged += 1
            return None
        if frame.width * frame.height > MAX_PIXELS or not frame.width or not frame.height:
            raise SourceError(
                f"{self.name} sends frames of {frame.width} x {frame.height} pixels, more than {MAX_PIXELS:,} in all",
                "garbage",
            )
        timestamp = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        if timestamp is None and self._sequence < UNTIMED:
            # FFmpeg knows no time of the very first frame of some streams, and a guess would shift all others.
            return None
        time_s = self._clock.seconds(timestamp, now_s)
        self.lag_s = self._clock.lag_s
        self._late = self._late or self.lag_s > LATE_S
        self._good_s, self._packets = now_s, 0
        if not self._slots.wants(time_s):
            return None
        return LiveFrame(self._upright(frame), self._seen.now(), time_s, self._sequence)

    def _upright(self, frame: VideoFrame) -> NDArray[np.uint8]:
        width = max(1, round(frame.width * self._aspect))
        rgb = self._reformatter.reformat(frame, width=width, height=frame.height, format="rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)), dtype=np.uint8)


def failed(name: str, failure: BaseException, *, opening: bool) -> SourceError:
    """Turn an error of PyAV into one without secrets.

    Args:
        name: What the source is called.
        failure: The error; its text may quote the address with its sign-in and is not used.
        opening: Whether it came while opening.

    Returns:
        The error to raise, outside of the handler that caught ``failure``.
    """
    if isinstance(failure, SourceError):
        return failure
    other = ("unreachable" if opening else "ended", _system_words(failure))
    kind, text = next(((kind, text) for kind, types, text in _FAILURES if isinstance(failure, types)), other)
    if kind == "silent":
        if opening:
            return SourceError(f"{name} does not answer; look after its power, its network and its address")
        return SourceError(f"{name} sends nothing any more", "frozen")
    if kind == "ended" and opening:
        kind = "unreachable"
    return SourceError(f"{name} {text}", kind)


def _system_words(failure: BaseException) -> str:
    words = getattr(failure, "strerror", None) or type(failure).__name__
    return f"cannot be read ({words})"


_FAILURES: tuple[tuple[str, tuple[type[BaseException], ...], str], ...] = (
    (
        "refused",
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        "refuses the sign-in; correct its user and password",
    ),
    ("unreachable", (av.error.HTTPNotFoundError,), "has no stream of that address; correct the path in it"),
    (
        "unreachable",
        (av.error.HTTPClientError, av.error.HTTPServerError),
        "answers with an error of its own; restart the camera or correct its address",
    ),
    ("silent", (av.error.ExitError, av.error.TimeoutError), ""),
    (
        "unreachable",
        (av.error.ConnectionRefusedError,),
        "refuses the connection; it may be starting up, or the port is wrong",
    ),
    ("unreachable", (av.error.PermissionError,), "may not be opened; add this user to the group 'video'"),
    ("unreachable", (av.error.FileNotFoundError,), "is not there; plug it in or correct its address"),
    ("garbage", (av.error.InvalidDataError,), "sends something that is no video stream"),
    (
        "codec",
        (av.error.DecoderNotFoundError, av.error.PatchWelcomeError),
        "sends a codec that cannot be decoded; set the camera's stream to H.264 or H.265",
    ),
    ("ended", (av.error.EOFError, EOFError), "has ended its stream"),
)
