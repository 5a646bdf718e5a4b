"""How many people the shipped detectors find, how often they are wrong, and what that takes.

    python benchmarks/bench_detectors.py --data DATA
    python benchmarks/bench_detectors.py --data DATA --files before/ after/ --json detectors.json

DATA holds ``coco_mini_person/`` (COCO's own layout) and ``video/one-by-one-person-detection.mp4`` with
``one-by-one_people.json`` (first and last frame in which each person is visible). With several folders of files every
picture goes to each of them in turn, so that a busy machine troubles all of them alike.

Times are processor time of one thread, since wall time on a shared machine says little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from onlooker.footage import shipped
from onlooker.footage.boxes import iou
from onlooker.footage.detection import DEFAULT_THRESHOLDS, load_detector
from onlooker.footage.detections import Detector
from onlooker.footage.video import Video
from onlooker.runtime.pictures import read_picture

ROWS = tuple(reversed(DEFAULT_THRESHOLDS.items()))
"""Detector and threshold."""
LEAST_HEIGHT = 96
"""Only people of at least this height, in pixels, have to be found; a smaller one is not a false box either."""
MATCH_IOU = 0.5
NOBODY_IOU = 0.1
"""A box that has less than this in common with every person, of any size, is on nobody."""
OPENINGS = 15


@dataclass
class Scene:
    """A picture and its people: float32 (n, 4) x0, y0, x1, y1, and whether each is a crowd."""

    rgb: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    crowd: NDArray[np.bool_]


@dataclass
class Figures:
    """What one detector did."""

    files: str
    detector: str
    threshold: float
    people: int = 0
    found: int = 0
    on_nobody: int = 0
    unmatched: int = 0
    frames_with_people: int = 0
    frames_found: int = 0
    frames_empty: int = 0
    frames_left_empty: int = 0
    times_ms: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the person detectors.", epilog=__doc__.split("\n\n", 2)[1])
    parser.add_argument("--data", type=Path, required=True, help="folder with coco_mini_person/ and video/")
    parser.add_argument(
        "--files", type=Path, nargs="+", default=[shipped.DETECTORS_FOLDER], help="folders of detectors to compare"
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    scenes = read_coco(options.data / "coco_mini_person")
    frames = read_video(options.data / "video")
    where = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"ONNX Runtime {onnxruntime.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{where}; {len(scenes)} pictures, {len(frames)} frames")
    rows = [row for name, threshold in ROWS for row in measure(options.files, name, threshold, scenes, frames)]
    for row in rows:
        print(
            f"{row.files:<28} {row.detector:<11} {row.threshold:<5} recall {row.found}/{row.people}  "
            f"FP {row.on_nobody} ({row.unmatched})  clip found {row.frames_found}/{row.frames_with_people}  "
            f"empty {row.frames_left_empty}/{row.frames_empty}  {statistics.median(row.times_ms):.0f} ms"
        )
    opening = time_opening(options.files)
    for name, times in opening.items():
        size = Path(name).stat().st_size / 1e6
        print(f"{name}  {size:.2f} MB, opens in {statistics.median(times):.0f} [{min(times):.0f}..{max(times):.0f}] ms")
    if options.json:
        report = {"machine": where, "detectors": [asdict(row) for row in rows], "opening_ms": opening}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def read_coco(folder: Path) -> list[Scene]:
    """Read the pictures of both splits with the boxes of their people."""
    scenes = []
    for split in ("train2017", "val2017"):
        facts = json.loads((folder / "annotations" / f"instances_{split}.json").read_text(encoding="utf-8"))
        for image in facts["images"]:
            people = [row for row in facts["annotations"] if row["image_id"] == image["id"] and row["category_id"] == 1]
            boxes = np.array([row["bbox"] for row in people], np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            crowd = np.array([row["iscrowd"] for row in people], bool)
            scenes.append(Scene(read_picture(folder / split / image["file_name"]), boxes, crowd))
    return scenes


def read_video(folder: Path) -> list[tuple[NDArray[np.uint8], bool]]:
    """Read one frame a second, and whether somebody is in it."""
    facts = json.loads((folder / "one-by-one_people.json").read_text(encoding="utf-8"))
    ranges = [person["frames"] for person in facts["people"]]
    frames = []
    for frame in Video(folder / facts["video"]).frames(1.0):
        number = round(frame.time_s * facts["fps"])
        frames.append((frame.rgb, any(first <= number <= last for first, last in ranges)))
    return frames


def measure(
    folders: list[Path], name: str, threshold: float, scenes: list[Scene], frames: list[tuple[NDArray[np.uint8], bool]]
) -> list[Figures]:
    """Put every picture and frame to the detector made of each folder's files."""
    rows = [Figures(str(folder), name, threshold) for folder in folders]
    detectors = [open_from(folder, name, threshold) for folder in folders]
    pairs = list(zip(rows, detectors, strict=True))
    for scene in scenes:
        for row, detector in pairs:
            count_scene(row, detect(row, detector, scene.rgb), scene)
    for rgb, somebody in frames:
        for row, detector in pairs:
            any_found = len(detect(row, detector, rgb)) > 0
            row.frames_with_people += somebody
            row.frames_found += somebody and any_found
            row.frames_empty += not somebody
            row.frames_left_empty += not somebody and not any_found
    return rows


def open_from(folder: Path, name: str, threshold: float) -> Detector:
    """Open a detector with the files of a folder in place of the shipped ones."""
    usual = shipped.DETECTORS_FOLDER
    shipped.DETECTORS_FOLDER = folder
    try:
        return load_detector(name, threshold=threshold, threads=1, provider="cpu")
    finally:
        shipped.DETECTORS_FOLDER = usual


def detect(row: Figures, detector: Detector, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the boxes found, and note the time that took."""
    started = time.process_time()
    boxes = detector.detect(rgb).boxes
    row.times_ms.append((time.process_time() - started) * 1e3)
    return boxes


def count_scene(row: Figures, found: NDArray[np.float32], scene: Scene) -> None:
    """Give each person, the tallest first, the best box that is left, and count what was found and what was not."""
    overlaps = iou(scene.boxes, found)
    heights = scene.boxes[:, 3] - scene.boxes[:, 1]
    free = np.ones(len(found), bool)
    for person in np.argsort(-heights):
        if scene.crowd[person]:
            continue
        candidates = np.where(free, overlaps[person], 0)
        best = int(candidates.argmax()) if len(found) else -1
        matched = best >= 0 and candidates[best] >= MATCH_IOU
        if matched:
            free[best] = False
        if heights[person] >= LEAST_HEIGHT:
            row.people += 1
            row.found += bool(matched)
    row.unmatched += int(free.sum())
    row.on_nobody += int((free & (overlaps.max(axis=0, initial=0) < NOBODY_IOU)).sum())


def time_opening(folders: list[Path]) -> dict[str, list[float]]:
    """Return the ms of processor time that opening each file takes, by its path."""
    paths = [str(folder / file) for file in ("openimages.onnx", "ssdlite.onnx") for folder in folders]
    times: dict[str, Any] = {path: [] for path in paths}
    for turn in range(OPENINGS + 1):
        for path in paths:
            started = time.process_time()
            shipped.start_session(Path(path), shipped.choose("cpu"), 1, advice="give folders that hold both files")
            if turn:
                times[path].append((time.process_time() - started) * 1e3)
    return times


if __name__ == "__main__":
    main()
