"""COCO captions and instances.

``annotations/captions_<part>.json``, ``annotations/instances_<part>.json`` and the pictures in the folder ``<part>/``.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from onlooker.datasets.grouping import RecordGroups, parse_split
from onlooker.datasets.manifest import Split
from onlooker.datasets.reading import Reading, ReadOptions, read_json, take
from onlooker.errors import DataError

PUBLISHED_IMAGES = {"train2017": 118_287, "val2017": 5_000, "train2014": 82_783, "val2014": 40_504}
"""Pictures per part of the whole dataset; a smaller part is a selection and no problem."""

Box = tuple[float, float, float, float]


def read_coco(root: Path, options: ReadOptions) -> Reading:
    """Read COCO, one record per picture with its captions, or one per person box.

    A COCO caption speaks of the whole scene. With ``options.people`` a box therefore carries the picture's captions
    only where it is the one person annotated in it; the others have no text and serve as a gallery.

    Args:
        root: The folder with ``annotations/``.
        options: ``people`` and ``min_height``.

    Raises:
        DataError: If an annotation file is missing or broken, or refers to a picture that it does not list.
    """
    folder = root / "annotations"
    captions = {path.stem.partition("_")[2]: path for path in sorted(folder.glob("captions_*.json"))}
    instances = {path.stem.partition("_")[2]: path for path in sorted(folder.glob("instances_*.json"))}
    if not captions:
        raise DataError(f"{folder} has no captions_*.json; give the folder that holds annotations/ and the pictures")
    reading = Reading()
    groups = RecordGroups()
    for part, path in captions.items():
        split = parse_split(part.rstrip("0123456789"), str(path))
        content = _read(path)
        images = _images(content, path)
        texts = _captions(content, images, path)
        reading.files.append(path)
        whole = PUBLISHED_IMAGES.get(part)
        if whole is not None and len(images) != whole:
            reading.notes.append(f"{path.name} lists {len(images):,} of the {whole:,} pictures of {part}")
        if options.people:
            if part not in instances:
                raise DataError(f"--people needs {folder / f'instances_{part}.json'}, which is not there")
            reading.files.append(instances[part])
            _add_people(groups, part, split, images, texts, instances[part], options, reading)
        else:
            for image, name in images.items():
                groups.add(f"{part}/{name}", f"{part}/{name}", captions=texts[image], split=split)
    groups.finish(reading)
    if options.people:
        without = sum(not record.captions for record in reading.records)
        reading.notes.append(
            f"{without:,} person boxes carry no caption: their picture shows several people, "
            "and its captions fit none of them alone"
        )
    return reading


def _add_people(
    groups: RecordGroups,
    part: str,
    split: Split | None,
    images: dict[int, str],
    texts: dict[int, list[str]],
    path: Path,
    options: ReadOptions,
    reading: Reading,
) -> None:
    boxes = _person_boxes(_read(path), images, path)
    total = small = 0
    for image, people in boxes.items():
        total += len(people)
        single = len(people) == 1
        for number, box, crowd in people:
            if crowd or box[3] < options.min_height:
                small += 1
                continue
            name = f"{part}/{images[image]}"
            groups.add(f"{name}:{number}", name, captions=texts[image] if single else [], split=split, box=box)
    reading.notes.append(
        f"{path.name}: {total:,} person boxes, {small:,} of them left out as crowds or "
        f"less than {options.min_height} px high"
    )


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: an object with images and annotations is wanted, got {type(content).__name__}")
    return content


def _rows(content: dict[str, Any], key: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, row in enumerate(take(content, key, list, str(path))):
        where = f"{path}, {key}[{number}]"
        if not isinstance(row, dict):
            raise DataError(f"{where}: an object is wanted, got {type(row).__name__}")
        rows.append((where, row))
    return rows


def _images(content: dict[str, Any], path: Path) -> dict[int, str]:
    return {
        take(row, "id", int, where): take(row, "file_name", str, where) for where, row in _rows(content, "images", path)
    }


def _image_of(row: dict[str, Any], images: dict[int, str], where: str) -> int:
    image: int = take(row, "image_id", int, where)
    if image not in images:
        raise DataError(f"{where}: image_id {image} is not among the file's images")
    return image


def _captions(content: dict[str, Any], images: dict[int, str], path: Path) -> dict[int, list[str]]:
    texts: dict[int, list[str]] = defaultdict(list)
    for where, row in _rows(content, "annotations", path):
        texts[_image_of(row, images, where)].append(take(row, "caption", str, where))
    return texts


def _person_boxes(
    content: dict[str, Any], images: dict[int, str], path: Path
) -> dict[int, list[tuple[int, Box, bool]]]:
    categories = {
        take(row, "name", str, where): take(row, "id", int, where) for where, row in _rows(content, "categories", path)
    }
    if "person" not in categories:
        raise DataError(f"{path}: no category is named 'person'; it has {', '.join(categories) or 'none'}")
    boxes: dict[int, list[tuple[int, Box, bool]]] = defaultdict(list)
    for where, row in _rows(content, "annotations", path):
        if take(row, "category_id", int, where) != categories["person"]:
            continue
        values = take(row, "bbox", list, where)
        if len(values) != 4 or not all(isinstance(value, int | float) for value in values):
            raise DataError(f"{where}: the key 'bbox' must hold four numbers, got {values}")
        x, y, w, h = values
        if w <= 0 or h <= 0:
            continue
        boxes[_image_of(row, images, where)].append(
            (take(row, "id", int, where), (x, y, w, h), bool(row.get("iscrowd")))
        )
    return boxes
