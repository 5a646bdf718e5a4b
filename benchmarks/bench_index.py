"""How fast ``onlooker index`` reads the one-by-one video, stage by stage, and whether it finds the right people.

    python benchmarks/bench_index.py --data DATA
    python benchmarks/bench_index.py --data DATA --threads 2 --json index.json

DATA holds ``video/one-by-one-person-detection.mp4`` and ``video/one-by-one_people.json``. Wall time is what the run
takes on this machine as it is, processor time what it takes of all cores; on a busy machine only the latter says much.
Each stage is timed in the thread that follows people, and counted with the processor time of the whole process
meanwhile: decoding, which runs in a thread of its own beside them, is measured by itself as well.
``one_by_one_queries.json`` holds two descriptions a person; counted is how often the first match is a sighting of the
person meant.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.detection import DEFAULT_DETECTOR, load_detector
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.ingest import EVERY_S, Ingest
from onlooker.footage.motion import MotionGate
from onlooker.footage.sources import find_sources
from onlooker.footage.video import Video
from onlooker.gallery.records import Sighting, SourceUpdate
from onlooker.gallery.search import search
from onlooker.gallery.store import Gallery
from onlooker.runtime.encoder import EncoderLike, bundle_name_of, open_encoder

QUERIES = Path(__file__).with_name("one_by_one_queries.json")
CLIP = "one-by-one-person-detection.mp4"


@dataclass
class Stages:
    """Calls of each stage, wall seconds, and processor seconds of the process (the stages run one after another)."""

    calls: dict[str, int] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count what happens inside as a stage."""
        begun, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s[name] = self.wall_s.get(name, 0.0) + time.perf_counter() - begun
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - cpu
            self.calls[name] = self.calls.get(name, 0) + 1


class TimedDetector:
    """A detector that notes how long it takes."""

    def __init__(self, detector: Detector, stages: Stages) -> None:
        self._detector, self._stages = detector, stages

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people."""
        with self._stages.timed("detect"):
            return self._detector.detect(rgb)


class TimedEncoder:
    """An encoder that notes how long it takes."""

    def __init__(self, encoder: EncoderLike, stages: Stages) -> None:
        self._encoder, self._stages = encoder, stages
        self.bundle_id, self.dimension = encoder.bundle_id, encoder.dimension
        self.crops = 0

    def encode_images(self, pictures: Any, batch_size: int = 32) -> NDArray[np.float32]:
        """Encode pictures."""
        self.crops += len(pictures)
        with self._stages.timed("encode"):
            return self._encoder.encode_images(pictures, batch_size)

    def encode_texts(self, texts: Any, batch_size: int = 32) -> NDArray[np.float32]:
        """Encode texts."""
        return self._encoder.encode_texts(texts, batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", default=DEFAULT_DETECTOR)
    parser.add_argument("--threads", type=int, help="threads of one inference; ONNX Runtime chooses where left out")
    parser.add_argument("--bundle", type=Path, help="the shipped one where left out")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    clip = options.data / "video" / CLIP
    people = json.loads((options.data / "video" / "one-by-one_people.json").read_text(encoding="utf-8"))
    stages = Stages()
    detector = TimedDetector(load_detector(options.detector, threads=options.threads), stages)
    encoder = TimedEncoder(open_encoder(options.bundle, threads=options.threads), stages)
    with tempfile.TemporaryDirectory() as folder, measured(stages):
        path = Path(folder) / "g.db"
        name = bundle_name_of(open_encoder(options.bundle))
        with Gallery.open(
            path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, bundle_name=name, create=True
        ) as gallery:
            wall, cpu = time.perf_counter(), time.process_time()
            report = Ingest(gallery, encoder, detector).run(find_sources([clip]))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            seen = people_of(gallery, report.sightings, people)
            right = [
                (query["text"], query["person"] in seen[match.sighting.id])
                for query in json.loads(QUERIES.read_text(encoding="utf-8"))["queries"]
                for match in search(gallery, encoder.encode_texts([query["text"]]), 1)[0][:1]
            ]
    duration = Video(clip).duration_s or 0.0
    decode = cpu_of(lambda: [None for _ in Video(clip).frames(EVERY_S)])
    found = {person["id"]: sum(person["id"] in ids for ids in seen.values()) for person in people["people"]}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {duration:.1f} s of video")
    print(f"whole: {wall:.1f} s wall ({duration / wall:.1f}x real time), {cpu:.1f} s of processor time", end=" ")
    print(f"({duration / cpu:.1f}x on one core)")
    for stage in ("gate", "detect", "encode", "store"):
        print(
            f"  {stage:<7} {stages.calls[stage]:>5} calls  {stages.wall_s[stage]:6.2f} s wall  "
            f"{stages.cpu_s[stage]:6.2f} s of processor time"
        )
    rest = cpu - sum(stages.cpu_s.values())
    print(f"  the rest (following, cutting out, decoding between stages) {rest:.2f} s of processor time")
    print(f"  decoding alone, with its threads: {decode:.2f} s of processor time; {encoder.crops} crops encoded")
    print(f"sightings {report.sightings}; of each person {found}; of nobody {sum(not ids for ids in seen.values())}")
    print(f"first match right: {sum(hit for _, hit in right)} of {len(right)}")
    for text, hit in right:
        print(f"  {'right' if hit else 'WRONG'}  {text}")
    if options.json:
        figures = {
            "duration_s": duration,
            "wall_s": wall,
            "processor_s": cpu,
            "decode_s": decode,
            "stages_wall_s": stages.wall_s,
            "stages_processor_s": stages.cpu_s,
            "calls": stages.calls,
            "crops": encoder.crops,
            "sightings_of": found,
            "right": sum(hit for _, hit in right),
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


@contextmanager
def measured(stages: Stages) -> Iterator[None]:
    """Time the motion gate and the store too, where they are called."""
    moved, commit = MotionGate.moved, Gallery.commit

    def timed_moved(self: MotionGate, rgb: NDArray[np.uint8], time_s: float) -> bool:
        with stages.timed("gate"):
            return moved(self, rgb, time_s)

    def timed_commit(self: Gallery, source: SourceUpdate, sightings: list[Sighting]) -> list[int]:
        with stages.timed("store"):
            return commit(self, source, sightings)

    MotionGate.moved, Gallery.commit = timed_moved, timed_commit  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        MotionGate.moved, Gallery.commit = moved, commit  # type: ignore[method-assign]


def people_of(gallery: Gallery, count: int, people: dict[str, Any]) -> dict[int, set[int]]:
    """Return for each sighting who is in the picture while it lasts, for most of that time."""
    result = {}
    for number in range(1, count + 1):
        sighting = gallery.sighting(number)
        begin, end = (sighting.start_s or 0.0) * people["fps"], (sighting.end_s or 0.0) * people["fps"]
        result[number] = {
            person["id"]
            for person in people["people"]
            if min(end, person["frames"][1]) - max(begin, person["frames"][0]) > 0.5 * (end - begin)
        }
    return result


def cpu_of(work: Callable[[], object]) -> float:
    """Return the processor seconds that something takes, in all its threads."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
