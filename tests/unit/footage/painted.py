"""Painted footage: videos that a test can predict to the frame, and a detector for the people painted into them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from onlooker.footage.detections import Detections

BACKGROUND = 128
RED, BLUE, GREEN, BLACK, WHITE = (200, 30, 30), (40, 70, 190), (40, 140, 50), (20, 20, 20), (240, 240, 240)
WIDTH, HEIGHT = 192, 108


@dataclass(frozen=True)
class Painted:
    """Somebody who crosses the scene in one lane; appears and goes at once."""

    start_s: float
    end_s: float
    upper: tuple[int, int, int]
    lower: tuple[int, int, int]
    x_px: int = 20
    speed_px_s: float = 8.0


def scene(people: Sequence[Painted], time_s: float) -> NDArray[np.uint8]:
    """Paint who is there at a time."""
    picture = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    for person in people:
        if person.start_s <= time_s <= person.end_s:
            x = round(person.x_px + person.speed_px_s * (time_s - person.start_s))
            picture[20:60, x : x + 24] = person.upper
            picture[60:100, x : x + 24] = person.lower
    return picture


class BlockDetector:
    """Finds whatever is not background, column run by column run."""

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Return a box for each run of columns in which something is painted."""
        painted = np.abs(rgb.astype(int) - BACKGROUND).max(axis=2) > 40
        columns = np.flatnonzero(painted.sum(axis=0) > 20)
        boxes = []
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1):
            if len(run) > 8:
                rows = np.flatnonzero(painted[:, run].any(axis=1))
                boxes.append((run[0], rows[0], run[-1] + 1, rows[-1] + 1))
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32))


def write_video(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    times_s: Sequence[Fraction | float],
    *,
    codec: str = "libx264",
    time_base: Fraction = Fraction(1, 90000),
    aspect: Fraction | None = None,
    key_every: int = 25,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures that are shown at given times."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        options = {"threads": "1", "crf": "10", "preset": "ultrafast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = key_every
        stream.codec_context.time_base = time_base if codec == "libx264" else Fraction(1, 25)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for picture, time_s in zip(pictures, times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if not stream.codec_context.is_open:
                stream.width, stream.height = frame.width, frame.height
            base = stream.codec_context.time_base
            frame.time_base, frame.pts = base, round(Fraction(time_s) / base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_scene(path: Path, people: Sequence[Painted], seconds: float, fps: int = 10) -> Path:
    """Encode a scene of some length."""
    times = [Fraction(number, fps) for number in range(round(seconds * fps))]
    return write_video(path, (scene(people, float(time)) for time in times), times)


def numbered(count: int) -> list[NDArray[np.uint8]]:
    """Return up to 100 pictures that carry their number: tens as brightness of the left half, ones of the right."""
    pictures = []
    for number in range(count):
        picture = np.full((48, 64, 3), 20 + 20 * (number % 10), np.uint8)
        picture[:, :32] = 20 + 20 * (number // 10)
        pictures.append(picture)
    return pictures


def number_of(rgb: NDArray[np.uint8]) -> int:
    """Read the number back."""
    tens, ones = (round((float(half.mean()) - 20) / 20) for half in (rgb[4:-4, 4:28], rgb[4:-4, 36:-4]))
    return tens * 10 + ones


def start_script(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a module of the tests as a program of its own."""
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=root)
