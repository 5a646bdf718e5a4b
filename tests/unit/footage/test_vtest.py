"""People followed through real surveillance footage, several at a time, against 60 frames annotated by eye."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from edgefirst.tracker import ByteTrack
from numpy.typing import NDArray

from onlooker.evaluation.tracks import measure_tracks, read_annotation
from onlooker.footage.detection import load_detector
from onlooker.footage.detections import Detections
from onlooker.footage.tracking import smoothed
from onlooker.footage.tracks import LiveTracks
from onlooker.footage.video import Frame, Video
from onlooker.runtime.encoder import open_encoder

VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
ANNOTATION = Path(__file__).resolve().parents[2] / "data" / "vtest_people.json"
EVERY_S = 0.2


def test_the_annotation_is_whole() -> None:
    frames = read_annotation(ANNOTATION)
    assert len(frames) == 60
    assert sum(len(frame.people) for frame in frames) == 379
    assert {person for frame in frames for person in frame.people} == set(range(1, 11))
    for frame in frames:
        for x0, y0, x1, y1 in frame.people.values():
            assert 0 <= x0 < x1 <= 768
            assert 0 <= y0 < y1 <= 576


class Remembered:
    def __init__(self, found: list[Detections]) -> None:
        self._found = iter(found)

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        return next(self._found)


@pytest.mark.slow
@pytest.mark.skipif(not VIDEO.is_file(), reason="vtest.avi is not installed (Debian package opencv-doc)")
def test_people_are_followed_better_than_by_the_librarys_defaults() -> None:
    annotated = read_annotation(ANNOTATION)
    last_s = annotated[-1].time_s + 3
    frames: list[Frame] = list(takewhile(lambda frame: frame.time_s <= last_s, Video(VIDEO).frames(EVERY_S)))
    detector = load_detector()
    found = [detector.detect(frame.rgb) for frame in frames]
    live = LiveTracks(Remembered(found), every_s=EVERY_S, encoder=open_encoder())
    tracks = [track for frame in frames for track in live.feed(frame.rgb, frame.time_s)] + live.flush()
    own = measure_tracks(annotated, [smoothed(track.path) for track in tracks])
    plain = measure_tracks(annotated, library_paths(frames, found))
    assert own.coverage >= 0.8
    assert own.coverage > plain.coverage
    assert own.switches < 0.5 * plain.switches
    assert own.fragments < 0.5 * plain.fragments


def library_paths(frames: list[Frame], found: list[Detections]) -> list[NDArray[np.float64]]:
    """All tracks of the library as it comes, short ones too, which can only help its coverage."""
    tracker, places = ByteTrack(), dict[str, list[tuple[float, ...]]]()
    for frame, detections in zip(frames, found, strict=True):
        labels = np.zeros(len(detections), np.uintp)
        infos = tracker.update(detections.boxes, detections.scores, labels, round(frame.time_s * 1e9))
        for box, info in zip(detections.boxes, infos, strict=True):
            if info is not None:
                places.setdefault(info.uuid, []).append((frame.time_s, *map(float, box)))
    return [np.array(rows) for rows in places.values()]
