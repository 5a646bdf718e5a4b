"""How many pedestrians of street scenes the detectors find in photos, and how many boxes they give for each.

    python benchmarks/bench_street.py --data DATA
    python benchmarks/bench_street.py --data DATA --vtest vtest.avi --json street.json

There are no annotated street scenes in DATA, so some are made of what there is; all are the same in every run:

- ``vtest``: the frames of vtest.avi marked by hand for the tests of tracking, people of 60 to 150 px in a yard;
- ``pasted``: one to four crops of ``pedestrians/`` (each with the street around the person) side by side before the
  empty yard of vtest.avi, or before a plain gradient where that file is not given; a crop's box is the crop less its
  margin of 3 % of the height and 4 % of the width;
- ``group``: one to four people of ``street_photos/`` cut out by their masks, some of them half behind each other, put
  into the edges of another street photo; the box is that of the mask;
- ``crowd``: the same with two to five people of about one height, each a sixth to a half behind the next, in light that
  is mostly dimmer;
- ``coco``: people of ``coco_mini_person/`` of at least 150 px who stand (higher than 1.5 times their width) and are
  not marked as a crowd; all other boxes of the scene count as unannotated, so boxes for each are of little meaning.

A person is found when a box of his or her own has an IoU of 0.5 at least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image

from bench_detectors import read_coco
from onlooker.footage.boxes import iou
from onlooker.footage.detection import load_detector
from onlooker.footage.tracks import TrackRules
from onlooker.footage.video import Video
from onlooker.runtime.pictures import read_picture

SEED = 20261124
SCENES = 120
"""Scenes of each made kind."""
MATCH_IOU = 0.5
CROP_MARGINS = (0.04, 0.03)
"""Part of a pedestrian crop's width and height that lies outside the person on each side, judged by eye."""
LEAST_COCO_PX = 150
ANNOTATIONS = Path(__file__).parents[1] / "tests" / "data" / "vtest_people.json"
UPRIGHT = 1.5
MOST_HIDDEN = 0.5
"""Nobody of a made group is hidden more than this."""


@dataclass
class StreetScene:
    """A picture, and the people to be found: float32 (n, 4) x0, y0, x1, y1."""

    kind: str
    rgb: NDArray[np.uint8]
    boxes: NDArray[np.float32]


@dataclass
class Tally:
    """What a detector did with the scenes of one kind."""

    people: int = 0
    found: int = 0
    boxes: int = 0
    overlaps: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure detectors on street scenes.", epilog=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pedestrians/, street_photos/ ...")
    parser.add_argument("--vtest", type=Path, help="vtest.avi of OpenCV's documentation (Debian: opencv-doc)")
    parser.add_argument("--detectors", nargs="+", default=["openimages", "union"], help="detectors to measure")
    parser.add_argument("--threshold", type=float, help="look at all people from this score on [index's own]")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    scenes = list(all_scenes(options.data, options.vtest))
    rows = []
    for name in options.detectors:
        tallies, ms = measure(name, scenes, options.threshold)
        for kind, tally in tallies.items():
            row = {
                "detector": name,
                "kind": kind,
                "people": tally.people,
                "recall": round(tally.found / tally.people, 4),
                "boxes_per_person": round(tally.boxes / tally.people, 3),
                "median_iou": round(float(np.median(tally.overlaps)), 3),
                "ms": round(ms, 1),
            }
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def measure(name: str, scenes: list[StreetScene], threshold: float | None = None) -> tuple[dict[str, Tally], float]:
    """Put every scene to a detector as ``index`` does with photos; return its tallies and its median milliseconds."""
    detector = load_detector(name, threshold=threshold, threads=1, provider="cpu")
    rules = TrackRules() if threshold is None else TrackRules(least_photo_score=threshold)
    tallies: dict[str, Tally] = {}
    times = []
    for scene in scenes:
        started = time.process_time()
        found = detector.detect(scene.rgb)
        times.append((time.process_time() - started) * 1e3)
        heights = found.boxes[:, 3] - found.boxes[:, 1]
        found = found.take((heights >= rules.least_height_px) & (found.scores >= rules.least_photo_score))
        count(tallies.setdefault(scene.kind, Tally()), scene.boxes, found.boxes)
    return tallies, float(np.median(times))


def count(tally: Tally, people: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    """Pair people with boxes, the pairs of most overlap first, each of both once."""
    overlaps = iou(people, found)
    tally.people += len(people)
    tally.boxes += len(found)
    for index in np.argsort(-overlaps, axis=None, kind="stable"):
        person, box = np.unravel_index(index, overlaps.shape)
        if overlaps[person, box] < MATCH_IOU:
            break
        tally.found += 1
        tally.overlaps.append(float(overlaps[person, box]))
        overlaps[person, :] = 0
        overlaps[:, box] = 0


def all_scenes(data: Path, vtest: Path | None) -> Iterator[StreetScene]:
    """Make or read the scenes of every kind for which the data is there."""
    if vtest is not None:
        yield from annotated(vtest)
    yield from pasted(data / "pedestrians", vtest)
    yield from groups(data / "street_photos")
    yield from groups(data / "street_photos", tight=True)
    for scene in read_coco(data / "coco_mini_person"):
        sizes = scene.boxes[:, 2:] - scene.boxes[:, :2]
        wanted = (sizes[:, 1] >= LEAST_COCO_PX) & (sizes[:, 1] > UPRIGHT * sizes[:, 0]) & ~scene.crowd
        if wanted.any():
            yield StreetScene("coco", scene.rgb, scene.boxes[wanted])


def annotated(vtest: Path) -> Iterator[StreetScene]:
    """Take the frames of vtest.avi whose people were marked by hand."""
    facts = json.loads(ANNOTATIONS.read_text(encoding="utf-8"))
    marked = {row["frame"]: [person[1:5] for person in row["people"]] for row in facts["frames"]}
    for frame in Video(vtest).frames(1 / facts["fps"]):
        people = marked.get(round(frame.time_s * facts["fps"]))
        if people is not None:
            yield StreetScene("vtest", frame.rgb, np.array(people, np.float32).reshape(-1, 4))


def pasted(folder: Path, vtest: Path | None) -> Iterator[StreetScene]:
    """Put crops of pedestrians side by side before a street."""
    rng = np.random.default_rng(SEED)
    files = sorted((folder / "crops").iterdir())
    yard = None if vtest is None else empty_yard(vtest)
    for _ in range(SCENES):
        width, height = int(rng.integers(420, 560)), int(rng.integers(340, 520))
        scene = background(rng, yard, width, height)
        boxes = []
        left = int(rng.integers(0, 30))
        for file in rng.choice(len(files), int(rng.integers(1, 5)), replace=False):
            crop = Image.open(files[file]).convert("RGB")
            tall = int(rng.integers(200, min(350, height - 10)))
            crop = crop.resize((max(1, round(crop.width * tall / crop.height)), tall), Image.Resampling.LANCZOS)
            if left + crop.width > width:
                break
            top = int(rng.integers(max(0, height - tall - 40), height - tall + 1))
            scene[top : top + tall, left : left + crop.width] = np.asarray(crop)
            inset = [crop.width * CROP_MARGINS[0], tall * CROP_MARGINS[1]]
            boxes.append((left + inset[0], top + inset[1], left + crop.width - inset[0], top + tall - inset[1]))
            left += crop.width + int(rng.integers(0, 60))
        yield StreetScene("pasted", scene, np.array(boxes, np.float32).reshape(-1, 4))


def empty_yard(vtest: Path) -> NDArray[np.uint8]:
    """Return the median of vtest.avi's frames, in which nobody is left."""
    frames = [frame.rgb for frame in Video(vtest).frames(2.0)]
    return np.median(frames, axis=0).astype(np.uint8)


def background(rng: np.random.Generator, yard: NDArray[np.uint8] | None, width: int, height: int) -> NDArray[np.uint8]:
    """Cut a window out of the yard, or make a gradient."""
    if yard is None:
        upper, lower = rng.integers(60, 200, 3), rng.integers(60, 200, 3)
        part = np.linspace(0, 1, height)[:, None, None]
        return np.broadcast_to(upper * (1 - part) + lower * part, (height, width, 3)).astype(np.uint8).copy()
    top, left = (int(rng.integers(0, size - cut + 1)) for size, cut in zip(yard.shape, (height, width), strict=False))
    return yard[top : top + height, left : left + width].copy()


def groups(folder: Path, *, tight: bool = False) -> Iterator[StreetScene]:
    """Cut people out by their masks and put them into other photos, some (``tight``: all) partly behind each other."""
    rng = np.random.default_rng(SEED + 1 + tight)
    # Some masks hold no person at all.
    masks = [file for file in sorted((folder / "masks").iterdir()) if scipy.io.loadmat(file)["groundtruth"].any()]
    for _ in range(SCENES):
        width, height = int(rng.integers(420, 560)), int(rng.integers(340, 520))
        scene = edges_of(rng, folder, masks, width, height)
        owner = np.full((height, width), -1)
        boxes: list[tuple[float, ...]] = []
        areas: list[int] = []
        left = int(rng.integers(0, width // 4))
        usual = int(rng.integers(200, min(310, height * 0.85)))
        for number in range(int(rng.integers(2, 6) if tight else rng.integers(1, 5))):
            wanted = round(usual * rng.uniform(0.88, 1.12)) if tight else int(rng.integers(200, min(350, height)))
            rgb, mask = cut_out(folder, masks[int(rng.integers(len(masks)))], wanted)
            tall, wide = mask.shape
            if left + wide > width:
                break
            top = int(rng.integers(max(0, height - tall - 40), height - tall + 1))
            window = (slice(top, top + tall), slice(left, left + wide))
            scene[window] = np.where(mask[..., None], rgb, scene[window])
            owner[window] = np.where(mask, number, owner[window])
            boxes.append((left, top, left + wide, top + tall))
            areas.append(int(mask.sum()))
            # From 35 % into the person before to 60 px beside; in a crowd from 15 % to 55 % into.
            step = rng.uniform(-0.55 * wide, -0.15 * wide) if tight else rng.integers(-round(0.35 * wide), 60)
            left = max(left + wide + int(step), 0)
        seen = [n for n, full in enumerate(areas) if (owner == n).sum() >= (1 - MOST_HIDDEN) * full]
        if seen:
            light = float(rng.uniform(0.5, 1.1)) if tight else 1.0
            scene = np.clip(scene * light, 0, 255).astype(np.uint8)
            yield StreetScene("crowd" if tight else "group", scene, np.array([boxes[n] for n in seen], np.float32))


def edges_of(rng: np.random.Generator, folder: Path, masks: list[Path], width: int, height: int) -> NDArray[np.uint8]:
    """Stretch what lies left of the person in a photo to a whole scene."""
    file = masks[int(rng.integers(len(masks)))]
    rgb = read_picture(folder / "photos" / f"{file.stem}.jpg")
    first = int(np.flatnonzero(read_mask(file, rgb.shape[:2]).any(axis=0))[0])
    strip = rgb[:, : max(first - 4, 8)]
    return np.asarray(Image.fromarray(strip).resize((width, height), Image.Resampling.BICUBIC)).copy()


def cut_out(folder: Path, file: Path, tall: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a person of a street photo, ``tall`` pixels high: the pixels, and which of them are the person's."""
    rgb = read_picture(folder / "photos" / f"{file.stem}.jpg")
    mask = read_mask(file, rgb.shape[:2])
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    wh = (max(1, round((columns[-1] + 1 - columns[0]) * tall / (rows[-1] + 1 - rows[0]))), tall)
    small = Image.fromarray(mask[window]).resize(wh, Image.Resampling.NEAREST)
    return np.asarray(Image.fromarray(rgb[window]).resize(wh, Image.Resampling.LANCZOS)), np.asarray(small)


def read_mask(file: Path, hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of a photo of height and width ``hw`` belong to its person."""
    labels = scipy.io.loadmat(file)["groundtruth"]
    found: NDArray[np.bool_] = np.asarray(
        Image.fromarray((labels > 0).astype(np.uint8)).resize((hw[1], hw[0]), Image.Resampling.NEAREST)
    ).astype(bool)
    return found


if __name__ == "__main__":
    main()
