"""A detector of the user's own: an ONNX file of one of the known layouts.

The graph is opened, run once on an even picture, and recognised (``layouts.py``); what cannot be recognised is stated
in a file beside it (``sidecar.py``). The letterbox is undone and doubles are suppressed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.errors import ConfigError
from onlooker.footage.boxes import area, clip, nms
from onlooker.footage.decoding import persons
from onlooker.footage.detections import Detections
from onlooker.footage.layouts import Layout, recognise
from onlooker.footage.sidecar import Sidecar, read_sidecar
from onlooker.runtime.providers import choose
from onlooker.runtime.sessions import first_line, runtime_errors, start_session

USUAL_THRESHOLD = 0.4
"""Below this score a person is dropped where neither the user nor the file beside says otherwise."""
USUAL_SIDE = 640
"""Width and height where the graph leaves them open."""
FILLING = 114
"""Grey beside an oblong picture, as the YOLO family is trained with."""
SIZES_INPUT = "orig_target_sizes"
"""Second input of RT-DETR's own export: the size to which boxes are scaled."""
ELEMENTS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
OVERLAP, WITHIN, LEAST_RATIO = 0.6, 0.9, 0.3
"""Doubles (see ``boxes.nms``): two people side by side overlap by up to 0.6."""


class OwnDetector:
    """Finds people with an ONNX file of the user's.

    Attributes:
        layout: What was recognised.
        threshold: Persons below this score are dropped.
    """

    layout: Layout
    threshold: float

    def __init__(
        self, path: Path, *, threshold: float | None = None, provider: str = "auto", threads: int | None = None
    ) -> None:
        """Open the file and recognise its layout.

        Args:
            path: The ONNX file; ``NAME.toml`` beside it is read where it is there.
            threshold: Drop persons below this score, above 0 and at most 1; None takes that of the file beside, and
                without one ``USUAL_THRESHOLD``.
            provider: An ONNX Runtime execution provider, or "auto".
            threads: Threads a detection may use; all cores where None.

        Raises:
            ConfigError: There is no such file, its layout is not known, or the file beside it is wrong.
            BundleError: It is damaged.
            ProviderError: The provider is not there.
        """
        if not path.is_file():
            raise ConfigError(f"there is no detector file {path}; check the path")
        self._path = path
        self._errors = runtime_errors()
        self._notes = read_sidecar(path)
        self._session = start_session(
            path, choose(provider), threads, advice="give an ONNX file of a detector, or export it again"
        ).session
        self.threshold = next(
            value for value in (threshold, self._notes.threshold, USUAL_THRESHOLD) if value is not None
        )
        self._picture = self._picture_input()
        shape = self._picture.shape
        self._last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        self._hw = _size(path, shape[1:3] if self._last else shape[2:], self._notes)
        outputs = [value.name for value in self._session.get_outputs()]
        blank = np.full((*self._hw, 3), FILLING, np.float32)
        trial = dict(zip(outputs, self._run(outputs, blank), strict=True))
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.layout = recognise(path, trial, self._hw, self._notes, metadata)
        self._mean, self._std = (np.array(row, np.float32) for row in (self.layout.mean, self.layout.std))

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Find the people (see ``Detector``)."""
        height, width = rgb.shape[:2]
        square, scale, offset = fit(rgb, self._hw, self.layout.fit)
        if self.layout.colours == "bgr":
            square = square[..., ::-1]
        values = square.astype(np.float32)
        if self._picture.type != "tensor(uint8)":
            values = (values * self.layout.scale - self._mean) / self._std
        arrays = self._run(self.layout.outputs, values)
        boxes, scores = persons(self.layout, arrays, self._hw)
        scores = np.minimum(scores * np.float32(self._notes.score_factor), 1).astype(np.float32)
        wanted = scores >= self.threshold
        inner = (boxes[wanted] - np.array(offset * 2, np.float32)) / np.array(scale * 2, np.float32)
        found = Detections(clip(inner, width, height), scores[wanted])
        # What lies wholly in the filling beside the picture has no extent once it is cut off at the picture's edges.
        found = found.take(area(found.boxes) > 0)
        return found.take(nms(found.boxes, found.scores, OVERLAP, within=WITHIN, least_ratio=LEAST_RATIO))

    def _picture_input(self) -> Any:
        """Return the input that takes the picture; refuse graphs with inputs that cannot be filled."""
        inputs = self._session.get_inputs()
        rest = [value for value in inputs if value.name != SIZES_INPUT]
        shape: list[Any] = rest[0].shape if len(rest) == 1 else []
        if len(shape) != 4 or rest[0].type not in ELEMENTS or (isinstance(shape[0], int) and shape[0] != 1):
            has = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
            raise ConfigError(
                f"{self._path} takes {has}; a detector takes one picture [1, 3, height, width] of float32, float16 or "
                f"uint8, and perhaps {SIZES_INPUT}: export it for single pictures"
            )
        return rest[0]

    def _run(self, outputs: Any, picture: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Run on a picture (h, w, 3) that is scaled already."""
        values = picture[None] if self._last else picture.transpose(2, 0, 1)[None]
        feed: dict[str, NDArray[Any]] = {
            self._picture.name: np.ascontiguousarray(values, dtype=ELEMENTS[self._picture.type])
        }
        if any(value.name == SIZES_INPUT for value in self._session.get_inputs()):
            # Its boxes come in these units: those of the input, as all others do.
            feed[SIZES_INPUT] = np.array([[self._hw[1], self._hw[0]]], np.int64)
        try:
            result: list[NDArray[Any]] = self._session.run(list(outputs), feed)
        except self._errors as error:
            raise ConfigError(
                f"{self._path} fails on a picture of {self._hw[1]} x {self._hw[0]} ({first_line(error)}); "
                f"state its size in {self._path.with_suffix('.toml')}, or export it again"
            ) from error
        return result


def fit(
    rgb: NDArray[np.uint8], hw: tuple[int, int], how: str
) -> tuple[NDArray[np.uint8], tuple[float, float], tuple[float, float]]:
    """Bring a picture to the size of an input.

    Args:
        rgb: uint8 (h, w, 3).
        hw: Height and width wanted.
        how: ``letterbox`` (in the middle), ``corner`` (in the upper left) or ``stretch``.

    Returns:
        uint8 (hw, 3); how many pixels of it are one of the picture, along x and y; and where the picture begins in it,
        x and y: a point p of the picture lies at p * scale + offset.
    """
    height, width = rgb.shape[:2]
    if how == "stretch":
        inner = (hw[1], hw[0])
    else:
        part = min(hw[0] / height, hw[1] / width)
        inner = (max(1, round(width * part)), max(1, round(height * part)))
    # Averaging where it becomes smaller, so that fine patterns do not turn into coarse ones.
    smaller = inner[0] < width
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(rgb), inner, interpolation=interpolation)
    left, top = ((hw[1] - inner[0]) // 2, (hw[0] - inner[1]) // 2) if how == "letterbox" else (0, 0)
    square = np.full((*hw, 3), FILLING, np.uint8)
    square[top : top + inner[1], left : left + inner[0]] = small
    return square, (inner[0] / width, inner[1] / height), (float(left), float(top))


def _size(path: Path, stated: Any, notes: Sidecar) -> tuple[int, int]:
    """Return height and width of the input: the graph's, or where it leaves them open the user's or the usual ones."""
    wanted = (USUAL_SIDE, USUAL_SIDE) if notes.size is None else (notes.size[1], notes.size[0])
    sides = tuple(
        side if isinstance(side, int) and side > 0 else want for side, want in zip(stated, wanted, strict=True)
    )
    if notes.size is not None and sides != wanted:
        raise ConfigError(
            f"{path.with_suffix('.toml')}: size = {list(notes.size)}, but {path} takes pictures of {sides[1]} x "
            f"{sides[0]}; leave the size out"
        )
    return (sides[0], sides[1])
