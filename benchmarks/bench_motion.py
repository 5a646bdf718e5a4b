"""What the motion gate passes over, whom that loses, and what it saves.

    python benchmarks/bench_motion.py VIDEO [VIDEO ...] [--every 0.2] [--detector union] [--json motion.json]

Every frame goes to the detector; what the gate would have passed over is counted. A person is lost in a frame that is
passed over although the detector finds somebody in it; ``people`` are the tracks that come out with and without it.
Times are processor time of one thread. Energy is that of the whole package (RAPL), where the machine lets it be read.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.detection import DEFAULT_THRESHOLDS, load_detector
from onlooker.footage.detections import Detections
from onlooker.footage.motion import MotionGate
from onlooker.footage.tracks import Track, find_tracks
from onlooker.footage.video import Frame, Video

RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


@dataclass
class Figures:
    """What came out of one video."""

    video: str
    frames: int
    passed_over: int
    frames_with_people: int
    lost_frames: int
    tracks: int
    tracks_behind_gate: int
    gate_ms: float
    detector_ms: float
    joules: float | None


class Remembered:
    """Gives what was found in each frame already."""

    def __init__(self, path: Path, found: list[Detections], every_s: float) -> None:
        self._path, self._found, self._every_s = path, found, every_s
        self._now = Detections.nothing()

    def frames(self) -> Iterator[Frame]:
        """Read the frames again; the one given last is that which is asked for."""
        for frame, found in zip(Video(self._path).frames(self._every_s), self._found, strict=True):
            self._now = found
            yield frame

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Return what was found in the frame given last."""
        return self._now


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the motion gate.", epilog=__doc__)
    parser.add_argument("videos", type=Path, nargs="+", help="videos to look at")
    parser.add_argument("--every", type=float, default=0.2, help="seconds between frames [0.2]")
    parser.add_argument("--detector", default="union", choices=DEFAULT_THRESHOLDS, help="[union]")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    rows = [measure(video, options.detector, options.every) for video in options.videos]
    for row in rows:
        energy = "energy cannot be read here" if row.joules is None else f"{row.joules:.0f} J"
        print(
            f"{row.video}: {row.passed_over} of {row.frames} frames passed over, {row.lost_frames} of "
            f"{row.frames_with_people} with people lost; tracks {row.tracks}, behind the gate "
            f"{row.tracks_behind_gate}; gate {row.gate_ms:.2f} ms, detector {row.detector_ms:.1f} ms a frame; {energy}"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def measure(path: Path, name: str, every_s: float) -> Figures:
    """Put every frame of a video to the detector and to the gate."""
    detector = load_detector(name, threads=1, provider="cpu")
    gate = MotionGate()
    found: list[Detections] = []
    behind: list[Detections] = []
    gate_ms, detector_ms = [], []
    before = energy_j()
    for frame in Video(path).frames(every_s):
        started = time.process_time()
        looked = gate.moved(frame.rgb, frame.time_s)
        gated = time.process_time()
        detections = detector.detect(frame.rgb)
        gate_ms.append((gated - started) * 1e3)
        detector_ms.append((time.process_time() - gated) * 1e3)
        if looked and len(detections):
            gate.seen(frame.time_s)
        found.append(detections)
        behind.append(detections if looked else Detections.nothing())
    after = energy_j()
    people = [bool(len(one)) for one in found]
    return Figures(
        video=path.name,
        frames=len(found),
        passed_over=len(found) - len([1 for one in zip(found, behind, strict=True) if one[0] is one[1]]),
        frames_with_people=sum(people),
        lost_frames=sum(len(one) > len(other) for one, other in zip(found, behind, strict=True)),
        tracks=count_tracks(path, found, every_s),
        tracks_behind_gate=count_tracks(path, behind, every_s),
        gate_ms=float(np.median(gate_ms)),
        detector_ms=float(np.median(detector_ms)),
        joules=None if before is None or after is None or after < before else after - before,
    )


def count_tracks(path: Path, found: list[Detections], every_s: float) -> int:
    """Follow people through what was found in the frames of a video."""
    remembered = Remembered(path, found, every_s)
    return sum(isinstance(item, Track) for item in find_tracks(remembered.frames(), remembered, every_s=every_s))


def energy_j() -> float | None:
    """Return the counter of joules of the processor's package; None where there is none, or it may not be read."""
    try:
        return int(RAPL.read_text(encoding="ascii")) / 1e6
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    main()
