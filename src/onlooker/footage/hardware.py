"""Decoders of live streams: FFmpeg in this process, FFmpeg with a graphics card, or a GStreamer process beside it.

The GStreamer process is for boards whose video engine only GStreamer reaches: a Jetson's NVDEC has the element
``nvv4l2decoder`` and no FFmpeg decoder. It does nothing but decode. This process signs in at the camera and unpacks the
stream, so the child never sees an address or a password, and what a fault of the camera means is decided in one place.
Packets go to its standard input and raw frames come from its standard output in GStreamer's data protocol, which
carries the presentation time of each in nanoseconds, and the new size where a camera changes its resolution.

Facts of the Jetson pipeline: NVIDIA's samples use ``nvv4l2decoder ! nvvidconv ! video/x-raw``. The pipeline of the name
"gstreamer" is the same with a software decoder; that one is tested, those for boards have not yet run on hardware.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import struct
import subprocess
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from subprocess import PIPE
from typing import IO, TYPE_CHECKING, Protocol, cast

import av
import av.error
import numpy as np

from onlooker.errors import SourceError

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class Decoder(Protocol):
    """Turns the packets of one stream into frames."""

    def decode(self, packet: Packet[VideoStream]) -> Iterable[VideoFrame]:
        """Take one packet and return the frames that are ready, each with its presentation time."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


@dataclass(frozen=True)
class Decoding:
    """One way of decoding.

    Attributes:
        name: What the configuration calls it.
        words: What it is, for help texts.
        device: FFmpeg's name of the device, for decoding by FFmpeg with a graphics card; else None.
        elements: GStreamer's elements from the parsed stream to raw frames in ordinary memory, by codec; empty for
            FFmpeg.
    """

    name: str
    words: str
    device: str | None = None
    elements: tuple[tuple[str, str], ...] = ()

    @property
    def start_s(self) -> float:
        """How long it may take until the first frame, in seconds: a process has to be started."""
        return 10.0 if self.elements else 0.0

    def hwaccel(self) -> HWAccel | None:
        """Return what ``av.open`` needs to decode with a graphics card, or None."""
        if self.device is None:
            return None
        from av.codec.hwaccel import HWAccel

        return HWAccel(self.device, allow_software_fallback=False)

    def missing(self) -> str | None:
        """Return what this machine lacks for it, in a few words, or None where all is there."""
        if self.device is not None:
            from av.codec.hwaccel import hwdevices_available

            there = hwdevices_available()
            return None if self.device in there else f"FFmpeg's {self.device}, this build has {', '.join(there)}"
        if not self.elements:
            return None
        if shutil.which("gst-launch-1.0") is None or shutil.which("gst-inspect-1.0") is None:
            return "gst-launch-1.0 (Debian: gstreamer1.0-tools)"
        wanted = {"gdpdepay", "gdppay"} | {chain.split()[0] for _, chain in self.elements}
        lacking = [
            name
            for name in sorted(wanted)
            if subprocess.run(["gst-inspect-1.0", "--exists", name], check=False, env=_environment()).returncode
        ]
        return f"GStreamer's {', '.join(lacking)}" if lacking else None

    def decoder(self, name: str, stream: VideoStream) -> Decoder:
        """Make the decoder of a stream.

        Args:
            name: What the source is called.
            stream: Its video stream.

        Raises:
            SourceError: This machine cannot decode it so.
        """
        if not self.elements:
            return _FFmpeg(stream)
        codec = stream.codec_context.name
        chain = dict(self.elements).get(codec)
        if chain is None:
            raise SourceError(
                f'{name} sends {codec}, which the decoder {self.name!r} cannot decode; set decoder = "software"',
                "codec",
            )
        return GStreamerDecoder(name, stream, codec, chain)


SOFTWARE = Decoding("software", "FFmpeg on the processor")
_JETSON = "nvv4l2decoder enable-max-performance=1 ! nvvidconv"
DECODINGS = {
    each.name: each
    for each in (
        SOFTWARE,
        Decoding("cuda", "FFmpeg on an NVIDIA graphics card (not a Jetson)", device="cuda"),
        Decoding("qsv", "FFmpeg on an Intel graphics unit", device="qsv"),
        Decoding("jetson", "the video engine of a Jetson", elements=(("h264", _JETSON), ("hevc", _JETSON))),
        Decoding(
            "v4l2",
            "a video engine that Linux knows (Raspberry Pi, Rockchip)",
            elements=(("h264", "v4l2h264dec ! videoconvert"), ("hevc", "v4l2h265dec ! videoconvert")),
        ),
        Decoding(
            "gstreamer",
            "GStreamer on the processor, to try the way the last two go",
            elements=(("h264", "avdec_h264 ! videoconvert"), ("hevc", "avdec_h265 ! videoconvert")),
        ),
    )
}
"""Every way of decoding by its name."""


class _FFmpeg:
    """FFmpeg, in this process."""

    def __init__(self, stream: VideoStream) -> None:
        # Threads by slices: threads by frames would hold back as many frames as there are threads.
        stream.thread_type = "SLICE"

    def decode(self, packet: Packet[VideoStream]) -> Iterable[VideoFrame]:
        return packet.decode()

    def close(self) -> None:
        pass


HEADER = struct.Struct(">BBBxHIQQQQHQ6xHH")
"""Version, flags, type, length; time, duration, offset and its end; flags, decoding time; two checksums (not used)."""
BUFFER, CAPS = 1, 2
STREAM_START, SEGMENT = 64 + 10254, 64 + 17934
"""Kinds of what is sent: frames, their form, and the events that begin a stream."""
START_TEXT = (
    "GstEventStreamStart, stream-id=(string)camera, flags=(GstStreamFlags)GST_STREAM_FLAG_NONE, group-id=(uint)1;"
)
SEGMENT_TEXT = (
    'GstEventSegment, segment=(GstSegment)"segment, flags=(GstSegmentFlags)GST_SEGMENT_FLAG_NONE, rate=(double)1, '
    "applied-rate=(double)1, format=(GstFormat)time, base=(guint64)0, offset=(guint64)0, start=(guint64)0, "
    "stop=(guint64)18446744073709551615, time=(guint64)0, position=(guint64)0, "
    'duration=(guint64)18446744073709551615;";'
)
NO_TIME = (1 << 64) - 1
MAX_FRAME_BYTES = 150_000_000
HANG_S = 5.0
"""A decoder that takes no data for so long hangs."""
READY_S = 0.03
"""How long to wait for the frame of a packet before it is given together with the next one's."""
PARSERS = {"h264": ("h264parse", "video/x-h264"), "hevc": ("h265parse", "video/x-h265")}


def pipeline(codec: str, chain: str) -> list[str]:
    """Return the command of the decoding process: data protocol in, data protocol with I420 frames out."""
    parser, _ = PARSERS[codec]
    words = f"fdsrc fd=0 ! gdpdepay ! {parser} ! {chain} ! video/x-raw,format=I420 ! gdppay ! fdsink fd=1 sync=false"
    return ["gst-launch-1.0", "--quiet", *words.split()]


class GStreamerDecoder:
    """A GStreamer process that decodes one stream."""

    def __init__(self, name: str, stream: VideoStream, codec: str, chain: str) -> None:
        """Start the process.

        Args:
            name: What the source is called.
            stream: Its stream; H.264 or H.265 with start codes, as RTSP brings it.
            codec: "h264" or "hevc".
            chain: GStreamer elements from the parsed stream to raw frames.

        Raises:
            SourceError: The process cannot be started.
        """
        self._name = name
        self._time_base = stream.time_base or Fraction(1, av.time_base)
        self._parameters = bytes(stream.codec_context.extradata or b"")
        self._times: OrderedDict[int, int] = OrderedDict()
        self._ready: deque[VideoFrame] = deque(maxlen=32)
        self._arrived = threading.Condition()
        self._words: deque[str] = deque(maxlen=5)
        self._failure: str | None = None
        try:
            self._process = subprocess.Popen(
                pipeline(codec, chain), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment()
            )
        except OSError as error:
            raise SourceError(
                f'{name}: gst-launch-1.0 cannot be started ({error.strerror}); install it or set decoder = "software"',
                "codec",
            ) from error
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._input, self._output, self._errors = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", streams)
        os.set_blocking(self._input.fileno(), False)
        self._threads = [
            threading.Thread(target=self._receive, name=f"frames of {name}", daemon=True),
            threading.Thread(target=self._listen, name=f"words of {name}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        caps = f"{PARSERS[codec][1]}, stream-format=(string)byte-stream, alignment=(string)au"
        for kind, text in ((STREAM_START, START_TEXT), (CAPS, caps), (SEGMENT, SEGMENT_TEXT)):
            self._send(text.encode() + b"\0", kind)

    def decode(self, packet: Packet[VideoStream]) -> Iterable[VideoFrame]:
        """Send one packet and return the frames that are ready (see ``Decoder``)."""
        data = bytes(packet)
        if self._parameters[:3] in (b"\0\0\1", b"\0\0\0"):
            # The camera may have described its stream only in the answer to DESCRIBE.
            data = self._parameters + data
        self._parameters = b""
        nanoseconds = NO_TIME
        if packet.pts is not None:
            # Counted from a day on, since the protocol has no times below 0.
            nanoseconds = round(packet.pts * self._time_base * 1_000_000_000) + 86_400_000_000_000
            self._times[nanoseconds] = packet.pts
            while len(self._times) > 512:
                self._times.popitem(last=False)
        self._send(data, BUFFER, nanoseconds)
        with self._arrived:
            if not self._ready and self._failure is None:
                self._arrived.wait(READY_S)
            frames = list(self._ready)
            self._ready.clear()
        if self._failure is not None and not frames:
            raise self._ended(self._failure)
        return frames

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._input.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        self._output.close()
        self._errors.close()

    def _send(self, payload: bytes, kind: int, nanoseconds: int = 0) -> None:
        head = HEADER.pack(1, 0, 0, kind, len(payload), nanoseconds, NO_TIME, NO_TIME, NO_TIME, 0, NO_TIME, 0, 0)
        rest = memoryview(head + payload)
        until_s = time.monotonic() + HANG_S
        while rest:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([], [self._input], [], left_s)[1]:
                raise SourceError(f"{self._name}: the decoder process hangs", "codec")
            try:
                rest = rest[os.write(self._input.fileno(), rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._ended("the decoder process has ended") from None

    def _ended(self, failure: str) -> SourceError:
        # Its own words arrive a moment after its pipes have broken.
        self._threads[1].join(0.5)
        words = " ".join(word for word in self._words if word)
        return SourceError(f"{self._name}: {failure}{': ' if words else ''}{words}", "codec")

    def _listen(self) -> None:
        for line in self._errors:
            self._words.append(line.decode("utf-8", "replace").strip()[:300])

    def _receive(self) -> None:
        shape: _Shape | None = None
        failure = "the decoder process has ended"
        while (head := _exactly(self._output, HEADER.size)) is not None:
            _, _, _, kind, length, nanoseconds, *_ = HEADER.unpack(head)
            if length > MAX_FRAME_BYTES or (payload := _exactly(self._output, length)) is None:
                break
            if kind == CAPS:
                shape = _Shape.from_caps(payload.decode("utf-8", "replace"))
            elif kind == BUFFER:
                frame = None if shape is None else shape.frame(payload)
                if frame is None:
                    failure = "the decoder process sends frames of an unknown form"
                    break
                pts = self._times.get(nanoseconds)
                if pts is not None:
                    frame.pts, frame.time_base = pts, self._time_base
                with self._arrived:
                    self._ready.append(frame)
                    self._arrived.notify()
        with self._arrived:
            self._failure = failure
            self._arrived.notify()


def _exactly(stream: IO[bytes], length: int) -> bytes | None:
    data = stream.read(length)
    return data if len(data) == length else None


def _environment() -> dict[str, str]:
    """Return the variables a child needs; ours may hold passwords."""
    kept = re.compile(r"PATH|HOME|LANG|LC_\w+|TMPDIR|LD_LIBRARY_PATH|DISPLAY|XDG_\w+|GST_\w+|CUDA_\w+|NVIDIA_\w+")
    return {name: value for name, value in os.environ.items() if kept.fullmatch(name)}


@dataclass(frozen=True)
class _Shape:
    """The form of the raw frames: planes of I420 with GStreamer's usual padding of lines to four bytes."""

    width: int
    height: int
    colorimetry: str

    @classmethod
    def from_caps(cls, caps: str) -> _Shape | None:
        found = dict(re.findall(r"(\w[\w-]*)=\(\w+\)\"?([^,;\"\0]+)", caps))
        if found.get("format") != "I420" or not {"width", "height"} <= found.keys():
            return None
        return cls(int(found["width"]), int(found["height"]), found.get("colorimetry", ""))

    def frame(self, data: bytes) -> VideoFrame | None:
        width, height = self.width, self.height
        even = height + height % 2
        luma, chroma = _up4(width), _up4((width + 1) // 2)
        if len(data) < luma * even + chroma * even or width % 2 or height % 2:
            return None
        flat = np.frombuffer(data, np.uint8)
        rows = flat[: luma * height].reshape(height, luma)[:, :width]
        quarter = chroma * (height // 2)
        planes = [
            flat[start : start + quarter].reshape(height // 2, chroma)[:, : width // 2]
            for start in (luma * even, luma * even + quarter)
        ]
        joined = np.concatenate([rows.reshape(-1), *(np.ascontiguousarray(plane).reshape(-1) for plane in planes)])
        frame = av.VideoFrame.from_ndarray(joined.reshape(height * 3 // 2, width), format="yuv420p")
        # FFmpeg's numbers: 1 is BT.709, 5 BT.601; range 2 is full.
        frame.colorspace = 1 if "709" in self.colorimetry or self.colorimetry.split(":")[1:2] == ["3"] else 5
        frame.color_range = 2 if self.colorimetry.startswith("1:") else 1
        return frame


def _up4(number: int) -> int:
    return -(-number // 4) * 4
