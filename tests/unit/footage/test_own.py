"""Detectors of the user's own: every known layout gives the boxes that its outputs hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.errors import BundleError, ConfigError
from onlooker.footage.detection import load_detector
from onlooker.footage.detections import Detections
from onlooker.footage.own import OwnDetector, fit
from tests.unit.footage.graphs import save_graph

pytestmark = pytest.mark.train

H, W = 64, 96
"""Height and width of the input of most of these graphs: not square, so that exchanged axes are seen."""
CELLS = 8 * 12 + 4 * 6 + 2 * 3
FRAME = np.full((128, 96, 3), 200, np.uint8)
"""Taller than the input: letterboxed to 48 x 64 with 24 pixels at each side, half the size."""
PERSON, OTHER = (10.0, 20.0, 50.0, 110.0), (60.0, 30.0, 90.0, 120.0)
"""Two people in pixels of the frame."""
Floats = NDArray[Any]


def letterboxed(box: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array([box[0] / 2 + 24, box[1] / 2, box[2] / 2 + 24, box[3] / 2], np.float32)


def stretched(box: tuple[float, ...]) -> NDArray[np.float32]:
    """Return a box as parts of the picture: stretching keeps those."""
    return np.array(box, np.float32) / np.float32([96, 128, 96, 128])


def centred(box: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def rows_of(width: int, count: int, wanted: dict[int, dict[int, float]], boxes: dict[int, Floats]) -> Floats:
    """Return float32 (1, count, width), zero but for boxes in the first four columns and scores in others."""
    rows = np.zeros((1, count, width), np.float32)
    for row, box in boxes.items():
        rows[0, row, :4] = box
    for row, scores in wanted.items():
        for column, score in scores.items():
            rows[0, row, column] = score
    return rows


def found_by(path: Path, rgb: NDArray[np.uint8] = FRAME, **options: Any) -> Detections:
    return load_detector(str(path), threads=1, provider="cpu", **options).detect(rgb)


def assert_both(found: Detections, scores: tuple[float, float] = (0.9, 0.6), within: float = 0.05) -> None:
    assert found.boxes.dtype == found.scores.dtype == np.float32
    np.testing.assert_allclose(found.boxes, [PERSON, OTHER], atol=within)
    assert found.scores == pytest.approx(scores, abs=1e-3)


TWO = {3: centred(letterboxed(PERSON)), 40: centred(letterboxed(OTHER)), 60: centred(letterboxed(PERSON)) + 1}
"""Two people, and one of them once more."""
DOG = {80: centred(letterboxed((5.0, 5.0, 30.0, 60.0)))}


@pytest.mark.parametrize("turned", [False, True])
def test_yolov8_and_its_kin(tmp_path: Path, turned: bool) -> None:
    # A dog that is a person to a lesser degree is a dog.
    scores = {3: {4: 0.9}, 40: {4: 0.6, 20: 0.5}, 60: {4: 0.8}, 80: {20: 0.95, 4: 0.5}, 90: {4: 0.2}}
    rows = rows_of(84, CELLS, scores, {**TWO, **DOG})
    path = save_graph(tmp_path / "v8.onnx", {"output0": rows if turned else rows.transpose(0, 2, 1).copy()})
    detector = OwnDetector(path, provider="cpu", threads=1)
    assert (detector.layout.format, detector.layout.people, detector.layout.fit) == ("yolov8", (0,), "letterbox")
    assert_both(detector.detect(FRAME))


def test_names_in_the_file_say_which_classes_are_people(tmp_path: Path) -> None:
    scores = {3: {6: 0.9}, 40: {7: 0.6}, 80: {4: 0.95}}
    rows = rows_of(8, CELLS, scores, {**TWO, **DOG}).transpose(0, 2, 1).copy()
    names = {"names": "{0: 'dog', 1: 'car', 2: 'pedestrian', 3: 'People'}", "task": "detect"}
    path = save_graph(tmp_path / "vis.onnx", {"output0": rows}, metadata=names)
    assert_both(found_by(path))
    nobody = save_graph(tmp_path / "no.onnx", {"output0": rows}, metadata={"names": '["dog", "car", "cat", "bus"]'})
    with pytest.raises(ConfigError, match=r"no\.onnx names 4 classes \(dog, car, cat, bus \.\.\.\).*person = INDEX"):
        found_by(nobody)


def test_key_points_after_the_classes_are_passed_over(tmp_path: Path) -> None:
    rows = rows_of(56, CELLS, {3: {4: 0.9, 30: 80.0}, 40: {4: 0.6}}, TWO).transpose(0, 2, 1).copy()
    path = save_graph(tmp_path / "pose.onnx", {"output0": rows}, metadata={"names": "{0: 'person'}", "task": "pose"})
    assert_both(found_by(path))


def test_yolov5_has_three_anchors_a_cell_and_an_objectness(tmp_path: Path) -> None:
    scores = {3: {4: 0.9, 5: 1.0}, 40: {4: 0.75, 5: 0.8, 9: 0.3}, 60: {4: 0.9, 5: 0.9}, 80: {4: 0.9, 21: 0.9}}
    path = save_graph(tmp_path / "v5.onnx", {"output": rows_of(85, 3 * CELLS, scores, {**TWO, **DOG})})
    assert OwnDetector(path, provider="cpu").layout.format == "yolov5"
    assert_both(found_by(path))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_end_to_end_rows_are_corners_score_and_class(tmp_path: Path, dtype: type) -> None:
    boxes = {0: letterboxed(PERSON), 1: letterboxed((5.0, 5.0, 30.0, 60.0)), 2: letterboxed(OTHER)}
    scores = {0: {4: 0.9}, 1: {4: 0.8, 5: 16.0}, 2: {4: 0.6}}
    rows = rows_of(6, 300, scores, boxes).astype(dtype)
    path = save_graph(tmp_path / "v10.onnx", {"output0": rows}, kind=1 if dtype is np.float32 else 10)
    assert_both(found_by(path))


def test_yolov7_with_suppression_gives_seven_columns(tmp_path: Path) -> None:
    boxes = [letterboxed(PERSON), letterboxed(OTHER), letterboxed((5.0, 5.0, 30.0, 60.0))]
    tails = [(0, 0.9), (0, 0.6), (16, 0.8)]
    rows = np.array([(0, *box, *tail) for box, tail in zip(boxes, tails, strict=True)], np.float32)
    assert_both(found_by(save_graph(tmp_path / "v7.onnx", {"output": rows})))


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox_in_cells_and_in_pixels(tmp_path: Path, decoded: bool) -> None:
    corner = [np.array(box, np.float32) / 2 for box in (PERSON, OTHER)]
    boxes = rows_of(85, CELLS, {}, {})
    # Cell (row 2, column 4) of the finest map, and cell (1, 1) of the coarsest.
    places = [(2 * 12 + 4, (4, 2), 8), (96 + 24 + 3 + 1, (1, 1), 32)]
    for (row, cell, stride), box, score in zip(places, corner, (0.9, 0.6), strict=True):
        centre = centred(box)
        code = np.concatenate([centre[:2] / stride - cell, np.log(centre[2:] / stride)])
        boxes[0, row, :4] = centre if decoded else code
        boxes[0, row, 4:6] = (score, 1.0)
    if decoded:
        boxes[0, boxes[0, :, 4] == 0, :4] = (48, 32, 20, 20)
    path = save_graph(tmp_path / "yolox_s.onnx", {"output": boxes})
    detector = OwnDetector(path, provider="cpu")
    assert (detector.layout.format, detector.layout.fit, detector.layout.colours) == ("yolox", "corner", "bgr")
    assert_both(detector.detect(FRAME))


def detr_outputs(classes: int, person: int, dog: int) -> tuple[Floats, Floats]:
    logits = np.full((1, 20, classes), -9.0, np.float32)
    boxes = np.full((1, 20, 4), 0.5, np.float32)
    for row, (box, index, score) in enumerate([(PERSON, person, 0.9), (OTHER, person, 0.6), (OTHER, dog, 0.8)]):
        boxes[0, row] = centred(stretched(box))
        logits[0, row, index] = np.log(score / (1 - score))
    return logits, boxes


def test_detr_in_the_hugging_face_layout(tmp_path: Path) -> None:
    logits, boxes = detr_outputs(80, 0, 16)
    shape = ("batch", 3, "height", "width")
    path = save_graph(
        tmp_path / "rt.onnx", {"logits": logits, "pred_boxes": boxes}, picture="pixel_values", shape=shape
    )
    detector = OwnDetector(path, provider="cpu")
    assert (detector.layout.fit, detector.layout.mean) == ("stretch", (0.0, 0.0, 0.0))
    assert_both(detector.detect(FRAME))


def test_files_beside_a_hugging_face_export_are_read(tmp_path: Path) -> None:
    logits, boxes = detr_outputs(3, 2, 1)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog", "2": "person"}}')
    (tmp_path / "preprocessor_config.json").write_text(
        '{"do_normalize": true, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}'
    )
    path = save_graph(tmp_path / "onnx" / "model.onnx", {"logits": logits, "pred_boxes": boxes}, picture="pixel_values")
    detector = OwnDetector(path, provider="cpu")
    assert (detector.layout.mean, detector.layout.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert_both(detector.detect(FRAME))
    (tmp_path / "config.json").write_text("no JSON")
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        OwnDetector(path, provider="cpu")


def test_the_original_detr_has_a_class_for_nothing(tmp_path: Path) -> None:
    logits, boxes = detr_outputs(92, 1, 18)
    logits[0, 1, 91] = 9.0
    path = save_graph(tmp_path / "detr.onnx", {"logits": logits, "pred_boxes": boxes}, picture="pixel_values")
    found = found_by(path)
    np.testing.assert_allclose(found.boxes, [PERSON], atol=0.05)


def test_rf_detr_as_it_exports_itself(tmp_path: Path) -> None:
    logits, boxes = detr_outputs(91, 1, 18)
    path = save_graph(tmp_path / "rf.onnx", {"dets": boxes, "labels": logits}, picture="input")
    detector = OwnDetector(path, provider="cpu")
    assert (detector.layout.format, detector.layout.mean) == ("rf-detr", (0.485, 0.456, 0.406))
    assert_both(detector.detect(FRAME))


def test_rt_detr_as_it_exports_itself(tmp_path: Path) -> None:
    outputs = {
        "labels": np.array([[0, 0, 16]], np.int64),
        "boxes": np.stack([stretched(PERSON), stretched(OTHER), stretched(OTHER)])[None],
        "scores": np.array([[0.9, 0.6, 0.8]], np.float32),
    }
    path = save_graph(tmp_path / "rt.onnx", outputs, sizes=True)
    assert OwnDetector(path, provider="cpu").layout.format == "rt-detr"
    assert_both(found_by(path))


@pytest.mark.parametrize(
    ("notes", "weights", "factor"),
    [
        ("", (1, 0, 0), 200 / 255),
        ('colours = "bgr"', (1, 0, 0), 100 / 255),
        ("scale = 0.005", (0, 1, 0), 0.75),
        ("mean = [0, 0, 0.1]\nstd = [1, 1, 0.5]", (0, 0, 1), (100 / 255 - 0.1) * 2),
    ],
)
def test_pixels_become_what_the_network_is_used_to(
    tmp_path: Path, notes: str, weights: tuple[float, ...], factor: float
) -> None:
    frame = np.empty((H, W, 3), np.uint8)
    frame[:] = (200, 150, 100)
    rows = rows_of(84, CELLS, {3: {4: 1.0}}, {3: np.float32([40, 32, 20, 40])}).transpose(0, 2, 1).copy()
    path = save_graph(tmp_path / "own.onnx", {"output0": rows}, times=("output0", np.float32(weights)))
    path.with_suffix(".toml").write_text(f'{notes}\nformat = "yolov8"\nthreshold = 0.05\n')
    assert found_by(path, frame).scores == pytest.approx([factor], abs=1e-4)


def test_pixels_of_one_byte_are_given_as_they_are(tmp_path: Path) -> None:
    box = np.float32([40, 32, 20, 40]) / 200
    rows = rows_of(84, CELLS, {3: {4: 0.004}}, {3: box}).transpose(0, 2, 1).copy()
    weights = ("output0", np.float32([1, 0, 0]))
    path = save_graph(tmp_path / "u8.onnx", {"output0": rows}, kind=2, times=weights)
    found = found_by(path, np.full((H, W, 3), 200, np.uint8))
    assert found.scores == pytest.approx([0.8], abs=1e-4)
    np.testing.assert_allclose(found.boxes, [(30, 12, 50, 52)], atol=0.01)


def test_channels_may_come_last(tmp_path: Path) -> None:
    scores = {3: {4: 0.9}, 40: {4: 0.6}}
    rows = rows_of(84, CELLS, scores, TWO).transpose(0, 2, 1).copy()
    assert_both(found_by(save_graph(tmp_path / "nhwc.onnx", {"output0": rows}, shape=(1, H, W, 3))))


def test_the_file_beside_says_what_cannot_be_seen(tmp_path: Path) -> None:
    scores = {3: {6: 0.45}, 40: {6: 0.3}, 60: {6: 0.02}, 80: {4: 0.4}}
    rows = rows_of(7, CELLS, scores, {**TWO, **DOG}).transpose(0, 2, 1).copy()
    path = save_graph(tmp_path / "own.onnx", {"output0": rows}, shape=(1, 3, "h", "w"))
    path.with_suffix(".toml").write_text("size = [96, 64]\n")
    with pytest.raises(ConfigError, match=r"own\.onnx tells 3 classes apart and does not name them; state person"):
        found_by(path)
    path.with_suffix(".toml").write_text("size = [96, 64]\nperson = 2\nscore_factor = 2.0\nthreshold = 0.5\n")
    assert_both(found_by(path))
    assert len(found_by(path, threshold=0.7)) == 1
    path.with_suffix(".toml").write_text("size = [96, 64]\nperson = [0, 2]\nthreshold = 0.25\n")
    assert len(found_by(path)) == 3


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ("person = 80", r"own\.toml: person = 80, but .*own\.onnx tells 80 classes apart, 0 to 79"),
        ("persons = 0", r"own\.toml: there is no key 'persons'; known are: format, person, size"),
        ('format = "yolov99"', r"own\.toml: format = 'yolov99' does not do"),
        ("threshold = 1.5", r"own\.toml: threshold = 1\.5 does not do"),
        ("std = [0.2, 0.2, 0.0]", r"own\.toml: std = \[0\.2, 0\.2, 0\.0\] does not do"),
        ("size = [640, 640]", r"own\.toml: size = \[640, 640\], but .* takes pictures of 96 x 64; leave the size out"),
        ("person = ", r"own\.toml is not TOML"),
        (
            'format = "rt-detr"',
            r"gives output0 \[1, 84, 126\], which is not the layout rt-detr that .* states",
        ),
    ],
)
def test_a_wrong_file_beside_is_named(tmp_path: Path, notes: str, message: str) -> None:
    path = save_graph(tmp_path / "own.onnx", {"output0": np.zeros((1, 84, CELLS), np.float32)})
    path.with_suffix(".toml").write_text(notes)
    with pytest.raises(ConfigError, match=message):
        found_by(path)


def test_what_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no detector file .*missing\.onnx"):
        load_detector(str(tmp_path / "missing.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"bad\.onnx cannot be loaded .*give an ONNX file of a detector"):
        load_detector(str(tmp_path / "bad.onnx"), provider="cpu")
    classifier = save_graph(tmp_path / "classes.onnx", {"scores": np.zeros((1, 1000), np.float32)})
    with pytest.raises(ConfigError, match=r"gives scores \[1, 1000\] for a picture of 96 x 64, which is no layout"):
        found_by(classifier)
    batch = save_graph(tmp_path / "batch.onnx", {"output0": np.zeros((1, 84, CELLS), np.float32)}, shape=(8, 3, H, W))
    with pytest.raises(ConfigError, match=r"takes images tensor\(float\) \[8, 3, 64, 96\]; a detector takes one"):
        found_by(batch)


def test_numbers_that_are_none_are_dropped(tmp_path: Path) -> None:
    rows = rows_of(6, 300, {0: {4: 0.9}, 1: {4: np.nan}, 2: {4: 0.9}}, {0: letterboxed(PERSON), 2: np.full(4, np.inf)})
    found = found_by(save_graph(tmp_path / "nan.onnx", {"output0": rows}))
    np.testing.assert_allclose(found.boxes, [PERSON], atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (700, 3), (64, 96), (1080, 1920)])
@pytest.mark.parametrize("how", ["letterbox", "corner", "stretch"])
def test_a_fitted_picture_lies_where_it_says(shape: tuple[int, int], how: str) -> None:
    white = np.full((*shape, 3), 255, np.uint8)
    square, scale, offset = fit(white, (H, W), how)
    assert square.shape == (H, W, 3)
    lit = np.argwhere(square[..., 0] == 255)
    upper, lower = lit.min(axis=0), lit.max(axis=0) + 1
    assert (upper == [offset[1], offset[0]]).all()
    np.testing.assert_allclose(lower - upper, [shape[0] * scale[1], shape[1] * scale[0]], atol=1e-6)
    assert how == "stretch" or max((lower - upper) / [H, W]) == 1
