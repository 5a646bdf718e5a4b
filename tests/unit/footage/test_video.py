from __future__ import annotations

import gc
import threading
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import VideoError
from onlooker.footage.video import Video
from tests.unit.footage.painted import BLUE, GREEN, RED, number_of, numbered, write_video


def steady(count: int, fps: Fraction | int) -> list[Fraction]:
    return [Fraction(number) / Fraction(fps) for number in range(count)]


def test_every_frame_at_its_exact_time(tmp_path: Path) -> None:
    ntsc = Fraction(30000, 1001)
    path = write_video(tmp_path / "a.mp4", numbered(60), steady(60, ntsc))
    video = Video(path)
    frames = list(video.frames(0.001))
    assert [number_of(frame.rgb) for frame in frames] == list(range(60))
    np.testing.assert_allclose([frame.time_s for frame in frames], [float(n / ntsc) for n in range(60)], atol=1e-5)
    assert video.duration_s == pytest.approx(float(60 / ntsc), abs=0.05)
    assert video.warnings == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_of_each_slot_the_first_frame_is_given_however_the_frame_rate_varies(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.04, 0.08, 0.12, 0.33, 0.34, 0.35, 0.36, 0.9, 1.04, 1.2, 1.21, 1.35]
    path = write_video(tmp_path / f"a.{suffix}", numbered(len(times)), times)
    frames = list(Video(path).frames(0.1))
    assert [number_of(frame.rgb) for frame in frames] == [0, 3, 4, 8, 9, 10, 12]
    np.testing.assert_allclose(
        [frame.time_s for frame in frames], [times[n] for n in (0, 3, 4, 8, 9, 10, 12)], atol=2e-3
    )


def test_slots_are_not_shifted_by_rounding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(100), steady(100, 10))
    assert [number_of(frame.rgb) for frame in Video(path).frames(0.1)] == list(range(100))
    assert [number_of(frame.rgb) for frame in Video(path).frames(0.3)] == list(range(0, 100, 3))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("ts", "libx264"), ("avi", "mpeg4")]
)
@pytest.mark.parametrize("start_s", [0.2, 1.0, 2.3, 3.9])
def test_going_on_in_the_middle_gives_the_same_frames(tmp_path: Path, suffix: str, codec: str, start_s: float) -> None:
    path = write_video(tmp_path / f"a.{suffix}", numbered(100), steady(100, 25), codec=codec)
    whole = list(Video(path).frames(0.1))
    rest = list(Video(path).frames(0.1, start_s=start_s))
    expected = [frame for frame in whole if frame.time_s >= start_s - 1e-6]
    assert [frame.time_s for frame in rest] == [frame.time_s for frame in expected]
    assert all((a.rgb == b.rgb).all() for a, b in zip(rest, expected, strict=True))


def test_going_on_at_the_end_gives_nothing(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4", numbered(25), steady(25, 25)))
    assert list(video.frames(0.1, start_s=5)) == []
    assert video.warnings == []


def rotate_in_header(path: Path, degrees: int) -> None:
    """Write a rotation into the track header of an MP4, as a phone held upright does."""
    one = 1 << 16
    cos, sin = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = b"".join(value.to_bytes(4, "big", signed=True) for value in (cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 36] = matrix
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("degrees", "corner"), [(90, "top right"), (180, "bottom right"), (270, "bottom left")])
def test_a_turned_camera_gives_upright_frames(tmp_path: Path, degrees: int, corner: str) -> None:
    picture = np.full((48, 96, 3), 128, np.uint8)
    picture[:16, :16] = RED
    path = write_video(tmp_path / "a.mp4", [picture] * 5, steady(5, 25))
    rotate_in_header(path, degrees)
    rgb = next(Video(path).frames(1.0)).rgb
    assert rgb.shape == ((48, 96, 3) if degrees == 180 else (96, 48, 3))
    rows = slice(2, 14) if corner.startswith("top") else slice(-14, -2)
    columns = slice(-14, -2) if corner.endswith("right") else slice(2, 14)
    assert np.abs(rgb[rows, columns].mean(axis=(0, 1)) - RED).max() < 30
    assert rgb.flags.c_contiguous


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", numbered(3), steady(3, 25), aspect=Fraction(2, 1))
    assert next(Video(path).frames(1.0)).rgb.shape == (48, 128, 3)


def test_colours_stay_what_they_are(tmp_path: Path) -> None:
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:, :32], picture[:, 32:64], picture[:, 64:] = RED, GREEN, BLUE
    rgb = next(Video(write_video(tmp_path / "a.mp4", [picture] * 3, steady(3, 25))).frames(1.0)).rgb
    for column, colour in ((16, RED), (48, GREEN), (80, BLUE)):
        assert np.abs(rgb[24, column].astype(int) - colour).max() < 20


def test_a_video_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (250, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mp4", noise, steady(250, 25), container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video = Video(path)
    frames = list(video.frames(0.2))
    assert 10 < len(frames) < 40
    assert any("may be cut short" in warning and "a.mp4" in warning for warning in video.warnings)


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mkv", noise, steady(100, 25), key_every=10)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(bytes(data))
    frames = list(Video(path).frames(0.04))
    assert frames[-1].time_s > 3.5
    assert len(frames) < 100


def test_what_is_no_video_is_refused_with_its_name(tmp_path: Path) -> None:
    text, empty, sound = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.wav"
    text.write_text("not a video")
    empty.write_bytes(b"")
    with wave.open(str(sound), "wb") as handle:
        handle.setnchannels(1)
        handle.setsampwidth(2)
        handle.setframerate(8000)
        handle.writeframes(bytes(16000))
    whole = write_video(tmp_path / "d.mp4", numbered(50), steady(50, 25)).read_bytes()
    headless = tmp_path / "d.mp4"
    headless.write_bytes(whole[: len(whole) // 2])
    for path in (text, empty, headless, tmp_path / "missing.mp4"):
        with pytest.raises(VideoError, match=rf"{path.name} is not a video that can be read"):
            Video(path)
    with pytest.raises(VideoError, match=r"c\.wav holds no video"):
        Video(sound)


def test_a_reader_that_stops_early_ends_the_decoding_thread(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(100), steady(100, 25))
    frames = Video(path).frames(0.04)
    next(frames)
    assert any(thread.name == "decode a.mp4" for thread in threading.enumerate())
    frames.close()
    gc.collect()
    assert not any(thread.name == "decode a.mp4" for thread in threading.enumerate())
