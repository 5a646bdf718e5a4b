"""How well people are followed: coverage, identity switches and fragments on footage annotated by hand.

    python benchmarks/bench_tracking.py --video /usr/share/doc/opencv-doc/examples/data/vtest.avi

The video comes with Debian's package opencv-doc; its annotation is tests/data/vtest_people.json. Four ways are
compared on the same detections: the library with its own defaults, the same with smoothed boxes, Onlooker without
vectors, and Onlooker as it is. Short and weak tracks are dropped by the same rules in all four.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from edgefirst.tracker import ByteTrack
from numpy.typing import NDArray

from onlooker.evaluation.tracks import AnnotatedFrame, TrackFigures, measure_tracks, read_annotation
from onlooker.footage.detection import DEFAULT_DETECTOR, load_detector
from onlooker.footage.detections import Detections
from onlooker.footage.tracking import smoothed
from onlooker.footage.tracks import LiveTracks, TrackRules
from onlooker.footage.video import Frame, Video
from onlooker.runtime.encoder import EncoderLike, open_encoder

ANNOTATION = Path(__file__).resolve().parents[1] / "tests" / "data" / "vtest_people.json"


class Remembered:
    """Gives what a detector found before, frame after frame, so that all ways see the same."""

    def __init__(self, found: Iterable[Detections]) -> None:
        self._found = iter(found)

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Return the next detections, whatever the picture."""
        return next(self._found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--annotation", type=Path, default=ANNOTATION)
    parser.add_argument("--detector", default=DEFAULT_DETECTOR)
    parser.add_argument("--every", type=float, default=0.2, metavar="SECONDS")
    parser.add_argument("--iou", type=float, default=0.5, help="overlap from which a track is on a person")
    parser.add_argument("--bundle", type=Path, help="the shipped one where left out")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    annotated = read_annotation(options.annotation)
    frames = list(Video(options.video).frames(options.every))
    found = detections_of(frames, options.detector)
    encoder = open_encoder(options.bundle, threads=1)
    own = library_paths(frames, found)
    ways = {
        "library's defaults": own,
        "the same, boxes smoothed": [smoothed(path) for path in own],
        "Onlooker without vectors": [smoothed(path) for path in onlooker_paths(frames, found, options.every, None)],
    }
    begun = time.process_time()
    paths = onlooker_paths(frames, found, options.every, encoder)
    seconds = time.process_time() - begun
    ways["Onlooker, boxes as found"] = paths
    ways["Onlooker"] = [smoothed(path) for path in paths]
    print(f"{len(annotated)} annotated frames, load {os.getloadavg()[0]:.1f}; IoU {options.iou}")
    rows = {name: row(annotated, way, options.iou) for name, way in ways.items()}
    for name, figures in rows.items():
        print(
            f"{name:<26} tracks {figures['tracks']:>3}  coverage {figures['coverage']:.3f}  switches "
            f"{figures['switches']:>2}  fragments a person {figures['fragments']:.2f}  on two people "
            f"{figures['mixed']}  on nobody {figures['idle']}"
        )
    print(f"following and encoding, without detecting: {seconds:.1f} s of processor time for {len(frames)} frames")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def detections_of(frames: Sequence[Frame], name: str) -> list[Detections]:
    """Detect people in every frame."""
    detector = load_detector(name, threads=1)
    return [detector.detect(frame.rgb) for frame in frames]


def library_paths(frames: Sequence[Frame], found: Sequence[Detections]) -> list[NDArray[np.float64]]:
    """Follow people with the library's own defaults; drop tracks by the rules that Onlooker drops them by."""
    tracker, rules = ByteTrack(), TrackRules()
    places: dict[str, list[tuple[float, ...]]] = {}
    for frame, detections in zip(frames, found, strict=True):
        tall = detections.take(detections.boxes[:, 3] - detections.boxes[:, 1] >= rules.least_height_px)
        labels = np.zeros(len(tall), np.uintp)
        infos = tracker.update(tall.boxes, tall.scores, labels, round(frame.time_s * 1e9))
        for box, score, info in zip(tall.boxes, tall.scores, infos, strict=True):
            if info is not None:
                places.setdefault(info.uuid, []).append((frame.time_s, *map(float, box), float(score)))
    kept = []
    for path in (np.array(rows) for rows in places.values()):
        long_enough = path[-1, 0] - path[0, 0] >= rules.least_s - 1e-6 and len(path) >= rules.least_detections
        if long_enough and path[:, 5].max() >= rules.least_score:
            kept.append(path[:, :5])
    return kept


def onlooker_paths(
    frames: Sequence[Frame], found: Sequence[Detections], every_s: float, encoder: EncoderLike | None
) -> list[NDArray[np.float64]]:
    """Follow people as ``onlooker index`` does."""
    live = LiveTracks(Remembered(found), every_s=every_s, encoder=encoder)
    tracks = [track for frame in frames for track in live.feed(frame.rgb, frame.time_s)]
    return [track.path for track in [*tracks, *live.flush()]]


def row(annotated: Sequence[AnnotatedFrame], paths: Sequence[NDArray[np.float64]], least_iou: float) -> dict[str, Any]:
    """Return the figures of one way."""
    figures: TrackFigures = measure_tracks(annotated, paths, least_iou=least_iou)
    return {
        "tracks": len(paths),
        "coverage": figures.coverage,
        "switches": figures.switches,
        "fragments": figures.fragments,
        "mixed": figures.mixed,
        "idle": figures.idle,
    }


if __name__ == "__main__":
    main()
