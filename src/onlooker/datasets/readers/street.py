"""The street photographs (Clothing Co-Parsing with written descriptions) and the pedestrian crops in the same form.

street_photos/photos/0001.jpg   captions.jsonl {"file", "caption", "query"}   garments.json   masks/0001.mat
pedestrians/crops/*.jpg         captions.jsonl
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from onlooker.datasets.grouping import RecordGroups
from onlooker.datasets.reading import Reading, ReadOptions, find_file, read_json, read_json_lines, take
from onlooker.errors import DataError

STREET_PHOTOS = 1798
PEDESTRIANS = 145
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
    reading = _start(root, {"images": STREET_PHOTOS, "captions": STREET_PHOTOS, "phrases": STREET_PHOTOS})
    garments = _read_garments(root / "garments.json")
    if garments:
        reading.files.append(root / "garments.json")
    groups = RecordGroups()
    for name, caption, phrase in _rows(reading.files[0]):
        mask = f"masks/{Path(name).stem}.mat"
        about = garments.get(name)
        groups.add(
            name,
            f"photos/{name}",
            captions=[caption],
            phrases=[phrase],
            box=None if about is None else _box_px(root / "photos" / name, about),
            mask=mask if (root / mask).is_file() else None,
            garments=None if about is None else _colours(about),
        )
    groups.finish(reading)
    unknown = [name for name in garments if name not in groups]
    if unknown:
        reading.notes.append(f"garments.json names {len(unknown):,} photos without a caption, such as {unknown[0]}")
    return reading


def read_pedestrians(root: Path, options: ReadOptions) -> Reading:
    """Read the pedestrian crops; all of them are validation data, since they are there to choose and measure with.

    Args:
        root: The folder with ``captions.jsonl`` and ``crops/``.
        options: Not used.

    Raises:
        DataError: If the annotation file is missing or broken.
    """
    reading = _start(root, {"images": PEDESTRIANS, "captions": PEDESTRIANS, "phrases": PEDESTRIANS})
    groups = RecordGroups()
    for name, caption, phrase in _rows(reading.files[0]):
        groups.add(name, f"crops/{name}", captions=[caption], phrases=[phrase], split="val")
    groups.finish(reading)
    return reading


def _start(root: Path, published: dict[str, int]) -> Reading:
    return Reading(files=[find_file(root, ["captions.jsonl"], "caption file")], published=published)


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    for where, row in read_json_lines(path):
        yield take(row, "file", str, where), take(row, "caption", str, where), take(row, "query", str, where)


def _read_garments(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return for each photo where its entry stands, and the entry."""
    if not path.is_file():
        return {}
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a list of photos is wanted, got {type(rows).__name__}")
    found = {}
    for number, row in enumerate(rows):
        where = f"{path}, entry {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: an object is wanted, got {type(row).__name__}")
        found[take(row, "file", str, where)] = (where, row)
    return found


def _colours(about: tuple[str, dict[str, Any]]) -> dict[str, list[str]]:
    where, row = about
    if "garments" not in row:
        return {str(garment): [] for garment in take(row, "tags", list, where)}
    colours: dict[str, list[str]] = {}
    for garment, value in take(row, "garments", dict, where).items():
        here = f"{where}, garment {garment!r}"
        if not isinstance(value, dict):
            raise DataError(f"{here}: an object is wanted, got {type(value).__name__}")
        shares = take(value, "colors", list, here)
        if not all(isinstance(share, list) and len(share) == 2 and isinstance(share[0], str) for share in shares):
            raise DataError(f"{here}: the key 'colors' must hold pairs of a name and a share, got {shares}")
        colours[garment] = [name for name, _ in shares]
    return colours


def _box_px(photo: Path, about: tuple[str, dict[str, Any]]) -> Box | None:
    """Return (x, y, w, h) in pixels from corners given as shares of the photo's width and height."""
    where, row = about
    if "person_bbox_xyxy_norm" not in row:
        return None
    corners = take(row, "person_bbox_xyxy_norm", list, where)
    if len(corners) != 4 or not all(isinstance(value, int | float) for value in corners):
        raise DataError(f"{where}: the key 'person_bbox_xyxy_norm' must hold four numbers, got {corners}")
    left, top, right, bottom = corners
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise DataError(f"{where}: the box {corners} must lie within 0..1, left before right, top before bottom")
    try:
        # Only the header is read here; these photos have no orientation mark.
        with Image.open(photo) as header:
            width, height = header.size
    except (OSError, ValueError):
        # The check of the pictures names this photo; without its size there is no box in pixels.
        return None
    x, y, w, h = left * width, top * height, (right - left) * width, (bottom - top) * height
    return round(x, 2), round(y, 2), round(w, 2), round(h, 2)
