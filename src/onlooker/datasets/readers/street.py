"""The street photographs (Clothing Co-Parsing with written descriptions) and the pedestrian crops in the same form.

street_photos/photos/0001.jpg   captions.jsonl {"file", "caption", "query"}   garments.json   masks/0001.mat
pedestrians/crops/*.jpg         captions.jsonl
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from onlooker.datasets.manifest import Record
from onlooker.datasets.reading import Reading, ReadOptions, find_file, read_json, read_json_lines, take
from onlooker.errors import DataError

_STREET_PHOTOS = 1798
_PEDESTRIANS = 145
Box = tuple[float, float, float, float]


def read_street(root: Path, options: ReadOptions) -> Reading:
    """Read the street photographs: caption and phrase per photo, garments, person box and mask where there is one.

    The split is left open: the publisher made none.

    Args:
        root: The folder with ``captions.jsonl`` and ``photos/``.
        options: Not used.

    Raises:
        DataError: If an annotation file is missing or broken.
    """
    reading = _read_captions(root, "photos")
    reading.published = {"images": _STREET_PHOTOS, "captions": _STREET_PHOTOS, "phrases": _STREET_PHOTOS}
    garments = _read_garments(root / "garments.json")
    if garments:
        reading.files.append(root / "garments.json")
    unknown = sorted(set(garments) - {record.id for record in reading.records})
    if unknown:
        reading.notes.append(f"garments.json names {len(unknown)} photos without a caption, the first is {unknown[0]}")
    reading.records = [_with_garments(root, record, garments.get(record.id, {})) for record in reading.records]
    return reading


def read_pedestrians(root: Path, options: ReadOptions) -> Reading:
    """Read the pedestrian crops; all of them are validation data, since they are there to choose and measure with.

    Args:
        root: The folder with ``captions.jsonl`` and ``crops/``.
        options: Not used.

    Raises:
        DataError: If the annotation file is missing or broken.
    """
    reading = _read_captions(root, "crops")
    reading.published = {"images": _PEDESTRIANS, "captions": _PEDESTRIANS, "phrases": _PEDESTRIANS}
    reading.records = [record.model_copy(update={"split": "val"}) for record in reading.records]
    return reading


def _read_captions(root: Path, folder: str) -> Reading:
    path = find_file(root, ["captions.jsonl"], "caption file")
    reading = Reading(files=[path])
    for where, row in read_json_lines(path):
        name = take(row, "file", str, where)
        captions = reading.clean_captions([take(row, "caption", str, where)])
        phrases = reading.clean_phrases([take(row, "query", str, where)])
        reading.records.append(Record(id=name, file=f"{folder}/{name}", captions=captions, phrases=phrases))
    return reading


def _read_garments(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a list of photos is wanted, got {type(rows).__name__}")
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        where = f"{path}, entry {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: an object is wanted, got {type(row).__name__}")
        found[take(row, "file", str, where)] = {"where": where, **row}
    return found


def _with_garments(root: Path, record: Record, row: dict[str, Any]) -> Record:
    mask = f"masks/{Path(record.id).stem}.mat"
    changes: dict[str, Any] = {"mask": mask if (root / mask).is_file() else None}
    where = row.get("where", "")
    if "garments" in row:
        changes["garments"] = {
            garment: [str(colour) for colour, _ in take(about, "colors", list, f"{where}, garment {garment!r}")]
            for garment, about in take(row, "garments", dict, where).items()
        }
    elif "tags" in row:
        changes["garments"] = {str(garment): [] for garment in take(row, "tags", list, where)}
    if "person_bbox_xyxy_norm" in row:
        changes["box"] = _box_px(root / record.file, take(row, "person_bbox_xyxy_norm", list, where), where)
    return record.model_copy(update=changes)


def _box_px(photo: Path, corners: list[float], where: str) -> Box | None:
    """Return (x, y, w, h) in pixels from corners given as shares of the photo's width and height."""
    if len(corners) != 4 or not all(isinstance(value, int | float) for value in corners):
        raise DataError(f"{where}: the key 'person_bbox_xyxy_norm' must hold four numbers, got {corners}")
    left, top, right, bottom = corners
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise DataError(f"{where}: the box {corners} must lie within 0..1, left before right, top before bottom")
    try:
        # Only the header is read here.
        with Image.open(photo) as header:
            width, height = header.size
    except (OSError, ValueError):
        # The picture check names unreadable photos; a box in pixels cannot be told without them.
        return None
    x, y, w, h = left * width, top * height, (right - left) * width, (bottom - top) * height
    return round(x, 2), round(y, 2), round(w, 2), round(h, 2)
