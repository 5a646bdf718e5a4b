"""Cameras that fail, one way after another, against a real RTSP server."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from onlooker.errors import SourceError
from onlooker.footage.hardware import DECODINGS, Decoder, Decoding
from onlooker.footage.keeper import Backoff, CameraKeeper
from onlooker.footage.live import LiveFrame, Source
from onlooker.footage.streams.rtsp import rtsp_source
from tests.unit.footage.rtsp import PASSWORD, REGISTRY, USER, RtspCamera, needs_rtsp, network, rtsp_camera, until

pytestmark = needs_rtsp

SOON = Backoff(first_s=0.1, longest_s=0.4, refused_first_s=2.0, codec_first_s=1.0, steady_s=1.0)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GST_REGISTRY", str(REGISTRY))


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    with rtsp_camera() as camera:
        yield camera


def source(url: str, *, open_s: float = 8.0, stall_s: float = 1.0, **others: object) -> Source:
    return rtsp_source("Gate", lambda: url, open_s=open_s, stall_s=stall_s, **others)


def read(source: Source, count: int) -> list[LiveFrame]:
    source.open()
    try:
        frames: list[LiveFrame] = []
        while len(frames) < count:
            if (frame := source.read(2.0)) is not None:
                frames.append(frame)
        return frames
    finally:
        source.close()


def keeper(url: str, **others: float) -> CameraKeeper:
    return CameraKeeper(source(url, **{"open_s": 3.0, **others}), backoff=SOON)


@pytest.mark.parametrize(
    ("path", "transport"), [("/h264", "tcp"), ("/h264", "udp"), ("/h265", "tcp"), ("/h265", "udp"), ("/vp8", "tcp")]
)
def test_frames_come_with_exact_times(camera: RtspCamera, path: str, transport: str) -> None:
    frames = read(source(camera.url(path), transport=transport), 12)
    assert all(frame.rgb.shape == (240, 320, 3) and frame.rgb.dtype == np.uint8 for frame in frames)
    assert max(frame.rgb.max() for frame in frames) > 200
    # 25 frames a second by a clock of 90 kHz: exactly 40 ms, and no rounding adds up.
    gaps = [b.time_s - a.time_s for a, b in itertools.pairwise(frames) if b.sequence == a.sequence + 1]
    assert np.allclose([gap / 0.04 for gap in gaps], [round(gap / 0.04) for gap in gaps], atol=0.02)
    assert all(a.time <= b.time for a, b in itertools.pairwise(frames))
    assert frames[0].time_s == 0


def test_a_rate_thins_by_time_and_gaps_show(camera: RtspCamera) -> None:
    frames = read(source(camera.url("/h264"), rate=5), 6)
    assert all(0.15 <= b.time_s - a.time_s <= 0.25 for a, b in itertools.pairwise(frames))
    assert all(b.sequence - a.sequence >= 4 for a, b in itertools.pairwise(frames))


class Slow(Decoding):
    """A machine that takes 100 ms for a frame, where one comes every 40."""

    def decoder(self, name: str, stream: VideoStream) -> Decoder:
        inner = super().decoder(name, stream)

        class Sleepy:
            def decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
                time.sleep(0.1)
                return list(inner.decode(packet))

            def close(self) -> None:
                inner.close()

        return Sleepy()


def test_what_cannot_be_decoded_in_time_is_left_out(camera: RtspCamera) -> None:
    slow = source(camera.url("/h264"), decoding=Slow("slow", "slow"), stall_s=3.0)
    slow.open()
    until_s, lags, frames = time.monotonic() + 6, [], []
    while time.monotonic() < until_s:
        if (frame := slow.read(0.5)) is not None:
            lags.append(slow.lag_s)
            frames.append(frame)
    slow.close()
    # Without that it would be 3.6 s late by now.
    assert max(lags) < 2.5
    assert min(lags[len(lags) // 2 :]) < 0.6
    assert frames[-1].time_s > 4
    assert slow.damaged == 0


def test_a_sign_in_with_odd_characters(camera: RtspCamera) -> None:
    place = f"127.0.0.1:{camera.port}/locked"
    assert read(source(f"rtsp://{USER}:{quote(PASSWORD, safe='')}@{place}"), 2)


@pytest.mark.parametrize("user", ["", "eva:wrong@"])
def test_a_refused_sign_in_says_so_without_the_password(camera: RtspCamera, user: str) -> None:
    with pytest.raises(SourceError, match="Gate refuses the sign-in") as caught:
        source(f"rtsp://{user}127.0.0.1:{camera.port}/locked").open()
    assert caught.value.kind == "refused"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/sound", "codec", "no picture that can be decoded"),
        ("/unknown", "codec", "no picture that can be decoded"),
        ("/nothing", "unreachable", "no stream of that address"),
    ],
)
def test_what_cannot_be_shown_is_named(camera: RtspCamera, path: str, kind: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        source(camera.url(path)).open()
    assert caught.value.kind == kind


def test_nobody_there(camera: RtspCamera) -> None:
    with network(camera.port) as free:
        port = free.port
    with pytest.raises(SourceError, match="Gate refuses the connection") as caught:
        source(camera.url("/h264", port)).open()
    assert caught.value.kind == "unreachable"


def test_a_camera_that_never_answers_is_given_up_in_time(camera: RtspCamera) -> None:
    with network(camera.port) as net:
        net.mode = "stalled"
        silent = rtsp_source("Gate", lambda: camera.url("/h264", net.port), open_s=0.7, stall_s=0.5)
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="Gate does not answer") as caught:
            silent.open()
    assert caught.value.kind == "unreachable"
    assert time.monotonic() - began_s < 3


def test_the_gstreamer_pipeline_gives_the_same_frames_at_the_same_times(camera: RtspCamera) -> None:
    assert DECODINGS["gstreamer"].missing() is None
    secret = f"rtsp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{camera.port}/locked"
    beside = source(secret, decoding=DECODINGS["gstreamer"], stall_s=4.0)
    beside.open()
    try:
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        frames = []
        while len(frames) < 12:
            if (frame := beside.read(2.0)) is not None:
                frames.append(frame)
    finally:
        beside.close()
    assert "gst-launch-1.0" in processes
    assert quote(PASSWORD, safe="") not in processes
    assert PASSWORD not in processes
    assert "127.0.0.1" not in "".join(line for line in processes.splitlines() if "gst-launch" in line)
    gaps = [b.time_s - a.time_s for a, b in itertools.pairwise(frames)]
    assert np.allclose([gap / 0.04 for gap in gaps], [round(gap / 0.04) for gap in gaps], atol=0.02)
    assert frames[0].rgb.shape == (240, 320, 3)
    assert max(frame.rgb.max() for frame in frames) > 200


def test_a_decoder_that_this_board_lacks_says_so(camera: RtspCamera) -> None:
    if DECODINGS["jetson"].missing() is None:
        pytest.skip("this is a Jetson")
    elsewhere = source(camera.url("/h264"), decoding=DECODINGS["jetson"])
    elsewhere.open()
    try:
        # The process needs a moment to find out.
        with pytest.raises(SourceError, match="nvv4l2decoder") as caught:
            assert all(elsewhere.read(0.2) is None for _ in range(50))
    finally:
        elsewhere.close()
    assert caught.value.kind == "codec"


def test_frozen_then_back() -> None:
    with rtsp_camera() as camera:
        kept = keeper(camera.url("/h264"))
        kept.start()
        try:
            assert kept.latest(15) is not None
            camera.tell("freeze")
            assert until(lambda: kept.state.last_error_kind == "frozen")
            assert "sends nothing any more" in (kept.state.last_error or "")
            camera.tell("thaw")
            before = kept.state.frames
            assert until(lambda: kept.state.frames > before + 3, 25)
            assert kept.state.reconnects >= 1
        finally:
            assert kept.stop()


def test_slow_is_not_frozen_and_a_new_size_is_followed() -> None:
    with rtsp_camera() as camera:
        kept = keeper(camera.url("/h264"), stall_s=3.0)
        kept.start()
        try:
            assert kept.latest(15) is not None
            camera.tell("rate 2")
            time.sleep(1.5)
            before = kept.state.frames
            assert until(lambda: kept.state.frames >= before + 2)
            camera.tell("thaw")
            camera.tell("size 480 360")
            assert until(lambda: kept.state.size == (480, 360))
            assert any("480 x 360" in note for note in kept.state.notes)
            frame = kept.latest(5)
            assert frame is not None
            assert frame.rgb.shape == (360, 480, 3)
            assert (kept.state.reconnects, kept.state.last_error) == (0, None)
        finally:
            assert kept.stop()


def test_rebooting_ends_the_stream_and_is_survived() -> None:
    with rtsp_camera() as camera:
        kept = keeper(camera.url("/h264"))
        kept.start()
        try:
            assert kept.latest(15) is not None
            camera.kill()
            assert until(lambda: kept.state.status == "waiting")
            assert kept.state.last_error_kind in ("ended", "frozen")
            assert until(lambda: kept.state.last_error_kind == "unreachable")
            before = kept.state.frames
            camera.start()
            assert until(lambda: kept.state.frames > before, 20)
        finally:
            assert kept.stop()


def test_unplugged_stalls_only_itself() -> None:
    # Two servers: one alone would itself wait for the connection that stalls.
    with rtsp_camera() as camera, rtsp_camera() as neighbour, network(camera.port) as net:
        unplugged, other = keeper(camera.url("/h264", net.port)), keeper(neighbour.url("/h264"), stall_s=4.0)
        for kept in (unplugged, other):
            kept.start()
        try:
            assert unplugged.latest(15) is not None
            assert other.latest(15) is not None
            net.mode = "stalled"
            assert until(lambda: unplugged.state.last_error_kind == "frozen")
            before = other.state.frames
            assert until(lambda: other.state.frames > before + 10), other.state
            net.mode = "well"
            before = unplugged.state.frames
            assert until(lambda: unplugged.state.frames > before, 20)
            assert other.state.last_error is None
        finally:
            assert all([unplugged.stop(), other.stop()])


def test_garbage_is_passed_over_counted_and_survived() -> None:
    with rtsp_camera() as camera, network(camera.port) as net:
        kept = keeper(camera.url("/h264", net.port))
        kept.start()
        try:
            assert kept.latest(15) is not None
            net.mode = "garbage"
            assert until(lambda: kept.state.damaged > 5 or kept.state.last_error is not None)
            net.mode = "well"
            before = kept.state.frames
            assert until(lambda: kept.state.frames > before + 12, 25)
        finally:
            assert kept.stop()


def test_a_wrong_password_does_not_hammer(camera: RtspCamera) -> None:
    with network(camera.port) as net:
        kept = keeper(f"rtsp://eva:geheim@127.0.0.1:{net.port}/locked")
        kept.start()
        try:
            assert until(lambda: kept.state.status == "waiting")
            made = net.connections
            time.sleep(0.9)
            assert net.connections == made
        finally:
            assert kept.stop()
    assert kept.state.last_error_kind == "refused"
    assert "geheim" not in repr(kept.state) + repr(kept) + repr(vars(kept))
