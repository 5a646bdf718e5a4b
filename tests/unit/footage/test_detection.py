from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.errors import ConfigError, ProviderError
from onlooker.footage.boxes import iou
from onlooker.footage.detection import DEFAULT_THRESHOLDS, UnionDetector, load_detector
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.openimages import GRIDS, make_anchors
from onlooker.runtime.pictures import read_picture
from onlooker.samples import CLIP, PEOPLE, PHOTOS

PEOPLE_IN = {
    "000000234748.jpg": (273, 130, 417, 384),
    "000000442450.jpg": (299, 142, 409, 336),
    "000000183709.jpg": (78, 212, 316, 634),
    "000000397133.jpg": (389, 70, 498, 348),
    "000000433998.jpg": (316, 189, 388, 344),
    "000000165518.jpg": (248, 174, 423, 461),
}
"""COCO's own box of one person in each of some sample photos, x0, y0, x1, y1 in whole pixels."""


@pytest.fixture(scope="module")
def detector_of() -> Callable[[str], Detector]:
    opened: dict[str, Detector] = {}

    def get(name: str) -> Detector:
        if name not in opened:
            opened[name] = load_detector(name, threads=1)
        return opened[name]

    return get


@pytest.mark.parametrize("name", DEFAULT_THRESHOLDS)
def test_people_in_photos_are_found(detector_of: Callable[[str], Detector], name: str) -> None:
    found = 0
    for file, person in PEOPLE_IN.items():
        rgb = read_picture(PHOTOS / file)
        detections = detector_of(name).detect(rgb)
        assert detections.boxes.dtype == detections.scores.dtype == np.float32
        assert (detections.scores >= DEFAULT_THRESHOLDS[name]).all()
        assert list(detections.scores) == sorted(detections.scores, reverse=True)
        height, width = rgb.shape[:2]
        assert (detections.boxes >= 0).all()
        assert (detections.boxes <= [width, height, width, height]).all()
        found += bool((iou(np.array([person], np.float32), detections.boxes) > 0.5).any())
    assert found >= (len(PEOPLE_IN) if name == "union" else len(PEOPLE_IN) - 1)


@pytest.mark.parametrize("name", DEFAULT_THRESHOLDS)
def test_nobody_is_found_in_an_even_picture(detector_of: Callable[[str], Detector], name: str) -> None:
    assert len(detector_of(name).detect(np.full((120, 200, 3), 90, np.uint8))) == 0


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (700, 3), (1500, 2200)])
def test_odd_sizes_are_no_trouble(detector_of: Callable[[str], Detector], shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    detections = detector_of("union").detect(noise)
    assert detections.boxes.shape == (len(detections), 4)


def test_a_picture_that_is_not_contiguous_gives_the_same(detector_of: Callable[[str], Detector]) -> None:
    rgb = read_picture(PHOTOS / "000000234748.jpg")
    turned = np.ascontiguousarray(rgb[:, ::-1])[:, ::-1]
    for name in DEFAULT_THRESHOLDS:
        np.testing.assert_array_equal(detector_of(name).detect(rgb).boxes, detector_of(name).detect(turned).boxes)


def test_a_large_picture_gives_the_same_people_in_its_own_pixels(detector_of: Callable[[str], Detector]) -> None:
    rgb = read_picture(PHOTOS / "000000234748.jpg")
    large = np.repeat(np.repeat(rgb, 4, axis=0), 4, axis=1)
    for name in DEFAULT_THRESHOLDS:
        small, big = detector_of(name).detect(rgb), detector_of(name).detect(large)
        assert iou(small.boxes[:1] * 4, big.boxes[:1])[0, 0] > 0.85


def test_a_higher_threshold_finds_fewer() -> None:
    rgb = read_picture(PHOTOS / "000000174375.jpg")
    low, high = (len(load_detector("openimages", threshold=limit, threads=1).detect(rgb)) for limit in (0.3, 0.8))
    assert low > high


def test_anchors_are_those_of_the_network() -> None:
    anchors = make_anchors()
    assert anchors.shape == (1917, 4)
    assert (anchors[:, :2] > 0).all()
    assert (anchors[:, :2] < 1).all()
    # The coarsest map has one cell in the middle: five aspects of the largest scale, and one between it and the whole.
    np.testing.assert_allclose(anchors[-6:, :2], 0.5)
    np.testing.assert_allclose(anchors[-6, 2:], 0.95)
    np.testing.assert_allclose(anchors[-1, 2:], np.sqrt(0.95), rtol=1e-6)
    assert sum(cells * cells for cells in GRIDS) * 6 - GRIDS[0] ** 2 * 3 == 1917


class Fixed:
    """Finds always the same."""

    def __init__(self, boxes: list[tuple[float, ...]], scores: list[float]) -> None:
        self.detections = Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        return self.detections


def test_a_union_keeps_what_either_finds_and_the_better_of_doubles() -> None:
    first = Fixed([(0, 0, 10, 20), (50, 0, 60, 20)], [0.6, 0.9])
    second = Fixed([(1, 0, 10, 20), (80, 0, 90, 20)], [0.8, 0.5])
    found = UnionDetector([first, second]).detect(np.zeros((30, 100, 3), np.uint8))
    # Boxes of different detectors that mean one person become their mean.
    assert found.boxes[:, 0].tolist() == [50, 0.5, 80]
    assert found.scores == pytest.approx([0.9, 0.8, 0.5])
    weighted = UnionDetector([first, second], weights=(1, 3)).detect(np.zeros((30, 100, 3), np.uint8))
    assert weighted.boxes[:, 0].tolist() == [50, 0.75, 80]


def test_boxes_of_one_detector_are_never_averaged_and_nor_are_those_that_share_little() -> None:
    first = Fixed([(0, 0, 10, 20), (2, 0, 12, 20)], [0.9, 0.6])
    second = Fixed([(6, 0, 16, 20)], [0.5])
    found = UnionDetector([first, second], overlap=0.7).detect(np.zeros((30, 100, 3), np.uint8))
    assert found.boxes[:, 0].tolist() == [0, 2, 6]
    nobody = Fixed([], [])
    assert len(UnionDetector([nobody, nobody]).detect(np.zeros((30, 100, 3), np.uint8))) == 0


def test_what_cannot_be_a_detector_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="no detector 'yolo'; choose one of: union, openimages, ssdlite, or give an ONNX file"
    ):
        load_detector("yolo")
    for threshold in (0.0, -1.0, 1.5):
        with pytest.raises(ConfigError, match="threshold is above 0 and at most 1"):
            load_detector("union", threshold=threshold)
    with pytest.raises(ProviderError, match=r"not in this build|not known"):
        load_detector("openimages", provider="xpu")


def test_detections_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"boxes \(n, 4\) and scores \(n,\) are wanted, got \(1, 4\) and \(2,\)"):
        Detections(np.zeros((1, 4), np.float32), np.zeros(2, np.float32))
    assert len(Detections.nothing()) == 0


def test_the_files_say_where_they_are_from() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from onlooker.footage.shipped import DETECTORS_FOLDER

    notice = (DETECTORS_FOLDER / "NOTICE").read_text()
    for name in ("openimages", "ssdlite"):
        session = onnxruntime.InferenceSession(
            str(DETECTORS_FOLDER / f"{name}.onnx"), providers=["CPUExecutionProvider"]
        )
        properties = session.get_modelmeta().custom_metadata_map
        assert properties["licence"] in {"MIT", "Apache-2.0"}
        assert properties["package_sha256"] in notice


def test_the_list_of_people_fits_the_clip() -> None:
    facts = json.loads(PEOPLE.read_text())
    assert CLIP.is_file()
    assert len(facts["people"]) == 6
    ranges = [tuple(person["seconds"]) for person in facts["people"]]
    assert all(end < start for (_, end), (start, _) in pairwise(ranges))
