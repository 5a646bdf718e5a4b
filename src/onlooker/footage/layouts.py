"""Which layout a user's own detector has: recognised from its graph, what it says of itself, and a trial run.

Shapes in a graph may be names instead of numbers, so the outputs of one run on an even picture are looked at.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from onlooker.errors import ConfigError
from onlooker.footage.sidecar import FORMATS, Sidecar

Outputs = Mapping[str, NDArray[Any]]
PERSON_NAMES = {"person", "people", "pedestrian", "human", "rider"}
"""Names of classes that are people, in lower case."""
STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Strides of the feature maps of the YOLO family; the second is that of the large "p6" ones."""
COCO_PERSON = {80: 0, 91: 1, 92: 1}
"""Where COCO's person is, by the number of classes: 91 and 92 count as COCO's own ids do, which begin at 1."""
COCO_COLUMNS = 84
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN_MEAN, PLAIN_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Layout:
    """How a picture goes into a detector and how its outputs are read.

    Attributes:
        format: One of ``FORMATS``.
        outputs: Names of the outputs in the order in which the decoder takes them.
        people: Indices of the classes that are people.
        classes: How many classes there are; 0 where the outputs hold class numbers.
        softmax: Whether the last class stands for nothing and a softmax tells them apart, as in the original DETR.
        fit, colours, scale, mean, std: See ``Sidecar``.
    """

    format: str
    outputs: tuple[str, ...]
    people: tuple[int, ...]
    classes: int
    softmax: bool
    fit: str
    colours: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def recognise(path: Path, outputs: Outputs, hw: tuple[int, int], notes: Sidecar, metadata: Mapping[str, str]) -> Layout:
    """Say which layout a detector has.

    Args:
        path: The file, for messages; ``config.json`` and ``preprocessor_config.json`` of the Hugging Face layout are
            looked for beside it.
        outputs: What a trial run gave, by name, in the order of the graph.
        hw: Height and width of the input.
        notes: What the user said; it counts more than what is recognised.
        metadata: The file's own properties.

    Returns:
        The layout.

    Raises:
        ConfigError: Nothing fits, or it is not known which class is a person.
    """
    form, names = _format(path, outputs, hw, notes)
    labels = _labels(path, metadata)
    classes = _classes(form, [outputs[name] for name in names], labels)
    people = _people(path, notes, labels, classes)
    usual_mean, usual_std, fit, colours, scale = PLAIN_MEAN, PLAIN_STD, "letterbox", "rgb", 1 / 255
    if form == "yolox":
        fit, colours, scale = "corner", "bgr", 1.0
    elif form == "rt-detr":
        fit = "stretch"
    elif form in ("detr", "rf-detr"):
        fit = "stretch"
        # RT-DETR and D-FINE count 80 classes and take plain pixels; all relatives with COCO's ids take ImageNet's.
        if form == "rf-detr" or classes != 80:
            usual_mean, usual_std = IMAGENET_MEAN, IMAGENET_STD
        usual_mean, usual_std = _preprocessor(path, (usual_mean, usual_std))
    return Layout(
        format=form,
        outputs=names,
        people=people,
        classes=classes,
        softmax=form == "detr" and classes == (len(labels) + 1 if labels else 92),
        fit=notes.fit or fit,
        colours=notes.colours or colours,
        scale=notes.scale if notes.scale is not None else scale,
        mean=notes.mean or usual_mean,
        std=notes.std or usual_std,
    )


def cells(hw: tuple[int, int], strides: Sequence[int]) -> int:
    """Return how many cells the feature maps of some strides have together."""
    return sum(-(-hw[0] // stride) * -(-hw[1] // stride) for stride in strides)


def _format(path: Path, outputs: Outputs, hw: tuple[int, int], notes: Sidecar) -> tuple[str, tuple[str, ...]]:
    """Return the format and the outputs it needs."""
    shapes = {name: value.shape for name, value in outputs.items()}
    fitting = {form: names for form in FORMATS if (names := _fits(form, shapes, hw))}
    if notes.format is not None:
        # Said by the user: whatever has the right number of outputs will do, as the sizes may be unusual.
        found = fitting.get(notes.format) or _fits(notes.format, shapes, None)
        if found:
            return notes.format, found
        raise ConfigError(
            f"{path} gives {_listed(shapes)}, which is not the layout {notes.format} that {path.with_suffix('.toml')} "
            "states; leave the format out or state another"
        )
    if fitting:
        return next(iter(fitting.items()))
    raise ConfigError(
        f"{path} gives {_listed(shapes)} for a picture of {hw[1]} x {hw[0]}, which is no layout of a detector that is "
        f"known; state one of {', '.join(FORMATS)} as format in {path.with_suffix('.toml')}, or export it anew "
        "(see docs/footage.md, Your own detector)"
    )


def _fits(form: str, shapes: Mapping[str, tuple[int, ...]], hw: tuple[int, int] | None) -> tuple[str, ...] | None:
    """Return the outputs that a format needs, or None; without ``hw`` the number of rows does not matter."""
    if form == "rt-detr":
        return ("labels", "boxes", "scores") if {"labels", "boxes", "scores"} <= set(shapes) else None
    if form in ("detr", "rf-detr"):
        names = ("logits", "pred_boxes") if form == "detr" else ("labels", "dets")
        if not set(names) <= set(shapes):
            return None
        logits, boxes = (shapes[name] for name in names)
        return names if len(logits) == len(boxes) == 3 and boxes[2] == 4 and logits[1] == boxes[1] else None
    # Further outputs, such as the masks of a segmenting network, come after the first and are not looked at.
    name, shape = next(iter(shapes.items()))
    if form == "yolov7-end2end":
        return (name,) if len(shape) == 2 and shape[1] == 7 else None
    if len(shape) != 3 or shape[0] != 1:
        return None
    if form == "yolo-end2end":
        return (name,) if shape[2] == 6 and (hw is None or not _is_grid(shape[1], hw)) else None
    if form == "yolov8":
        # Some exports turn it round; 84 columns are COCO's 80 classes without the objectness that the others have.
        turned = shape[2] == COCO_COLUMNS and (hw is None or _is_grid(shape[1], hw, 1))
        return (name,) if turned or (shape[1] > 4 and (hw is None or _is_grid(shape[2], hw, 1))) else None
    return (name,) if shape[2] > 5 and (hw is None or _is_grid(shape[1], hw, 1 if form == "yolox" else 3)) else None


def _is_grid(rows: int, hw: tuple[int, int], anchors: int | None = None) -> bool:
    """Return whether a number of rows is that of all cells, with so many anchors each (None: any)."""
    per_cell = (1, 3) if anchors is None else (anchors,)
    return any(rows == times * cells(hw, strides) for times in per_cell for strides in STRIDES)


def _classes(form: str, arrays: Sequence[NDArray[Any]], labels: Mapping[int, str]) -> int:
    """Return how many classes the outputs tell apart; 0 where they hold class numbers."""
    first = arrays[0].shape
    if form in ("rt-detr", "yolo-end2end", "yolov7-end2end"):
        return 0
    if form in ("detr", "rf-detr"):
        return int(first[2])
    turned = first[2] == COCO_COLUMNS
    room = int((first[2] if turned else first[1]) - 4 if form == "yolov8" else first[2] - 5)
    # Networks that also give key points or masks have further columns after those of the classes.
    return len(labels) if 0 < len(labels) < room else room


def _labels(path: Path, metadata: Mapping[str, str]) -> dict[int, str]:
    """Return the names of the classes that the file, or the configuration beside it, states; empty where neither does.

    Ultralytics writes ``names`` as a Python dictionary into the file's properties, others as JSON.
    """
    text = metadata.get("names", "")
    if text:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            try:
                value = json.loads(text)
            except ValueError:
                value = None
        if isinstance(value, (list, tuple)):
            value = dict(enumerate(value))
        if isinstance(value, dict) and all(str(key).isdecimal() for key in value):
            return {int(key): str(name) for key, name in value.items()}
    stated = _beside(path, "config.json").get("id2label")
    if isinstance(stated, dict) and all(str(key).isdecimal() for key in stated):
        return {int(key): str(name) for key, name in stated.items()}
    return {}


def _people(path: Path, notes: Sidecar, labels: Mapping[int, str], classes: int) -> tuple[int, ...]:
    """Return the classes that are people."""
    beside = path.with_suffix(".toml")
    if notes.person is not None:
        people = notes.person if isinstance(notes.person, tuple) else (notes.person,)
        if classes and any(index >= classes for index in people):
            raise ConfigError(
                f"{beside}: person = {max(people)}, but {path} tells {classes} classes apart, 0 to {classes - 1}"
            )
        return people
    named = tuple(index for index, name in sorted(labels.items()) if name.strip().lower() in PERSON_NAMES)
    if named:
        return named
    if labels:
        some = ", ".join(list(labels.values())[:5])
        raise ConfigError(
            f"{path} names {len(labels)} classes ({some} ...), none of which is a person; "
            f"state person = INDEX in {beside}"
        )
    if classes in (0, 1):
        # Where only class numbers are given: with COCO's classes, and with one class alone, people are number 0.
        return (0,)
    if classes in COCO_PERSON:
        return (COCO_PERSON[classes],)
    raise ConfigError(f"{path} tells {classes} classes apart and does not name them; state person = INDEX in {beside}")


def _preprocessor(path: Path, usual: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return mean and standard deviation as the Hugging Face preprocessor's file beside states them."""
    stated = _beside(path, "preprocessor_config.json")
    if not stated:
        return usual
    if stated.get("do_normalize") is False:
        return PLAIN_MEAN, PLAIN_STD
    if not {"image_mean", "image_std"} <= set(stated) or "do_normalize" not in stated:
        return usual
    return tuple(map(float, stated["image_mean"])), tuple(map(float, stated["image_std"]))


def _beside(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON object beside a file (in ``onnx/`` also one folder up); empty where there is none."""
    folders = [path.parent, *([path.parent.parent] if path.parent.name == "onnx" else [])]
    for folder in folders:
        if (folder / name).is_file():
            try:
                value = json.loads((folder / name).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ConfigError(f"{folder / name} cannot be read ({error}); correct it or take it away") from error
            return value if isinstance(value, dict) else {}
    return {}


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
