"""Anybody's own pictures: ``captions.jsonl`` or ``captions.csv`` beside a folder of pictures.

A row names a picture (``file``) and may hold ``caption`` or ``captions`` or ``text``, ``query`` or ``phrase`` or
``phrases``, ``person_id``, ``split``, ``box`` ([x, y, width, height] in pixels), ``mask`` and ``garments`` (an object).
Rows of one picture (and one box) are joined, so a table may have one row per caption.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onlooker.datasets.grouping import RecordGroups, parse_split
from onlooker.datasets.reading import Reading, ReadOptions, find_file, read_csv, read_json_lines, read_lines
from onlooker.errors import DataError

FILE_KEYS = ("file", "image", "file_name", "filename", "image_name", "file_path", "img_path")
CAPTION_KEYS = ("caption", "captions", "text", "texts", "comment")
PHRASE_KEYS = ("query", "queries", "phrase", "phrases")
OTHER_KEYS = ("person_id", "split", "box", "mask", "garments")
PICTURE_FOLDERS = ("", "images", "Images", "photos", "crops", "imgs", "pictures")
_DELIMITERS = (",", "\t", ";", "|")


def read_generic(root: Path, options: ReadOptions) -> Reading:
    """Read a table of captions beside pictures.

    Args:
        root: The folder with ``captions.jsonl``, ``captions.csv`` or ``captions.tsv``; pictures are looked for in it
            and in images/, photos/, crops/, imgs/ and pictures/.
        options: Not used.

    Raises:
        DataError: If the table is missing or broken, with line and key.
    """
    path = find_file(root, ["captions.jsonl", "captions.csv", "captions.tsv"], "table of captions")
    reading = Reading(files=[path])
    groups = RecordGroups()
    ignored: set[str] = set()
    folder: str | None = None
    for where, row in read_json_lines(path) if path.suffix == ".jsonl" else _table(path):
        name = _file(row, where)
        if folder is None:
            folder = _folder_of(root, name)
        ignored |= row.keys() - {*FILE_KEYS, *CAPTION_KEYS, *PHRASE_KEYS, *OTHER_KEYS}
        box = _box(row.get("box"), where)
        key = name if box is None else f"{name}:{','.join(f'{value:g}' for value in box)}"
        groups.add(
            key,
            f"{folder}/{name}" if folder else name,
            captions=_texts(row, CAPTION_KEYS, where),
            phrases=_texts(row, PHRASE_KEYS, where),
            person_id=_text(row, "person_id", where),
            split=parse_split(_text(row, "split", where), where),
            box=box,
            mask=_text(row, "mask", where),
            garments=_garments(row.get("garments"), where),
        )
    groups.finish(reading)
    if ignored:
        reading.notes.append(f"these keys mean nothing here and were ignored: {', '.join(sorted(ignored))}")
    return reading


def _table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    header = next((line for _, line in read_lines(path)), "")
    delimiter = max(_DELIMITERS, key=header.count)
    rows = read_csv(path, delimiter)
    columns = [column.strip() for column in next(rows, ("", []))[1]]
    if not set(columns) & set(FILE_KEYS):
        raise DataError(f"{path}, line 1: no column names the picture; name one of the columns {', '.join(FILE_KEYS)}")
    for where, fields in rows:
        if len(fields) != len(columns):
            raise DataError(
                f"{where}: {len(columns)} fields are wanted, got {len(fields)}; quote texts that hold {delimiter!r}"
            )
        # An empty cell says nothing, in contrast to an empty text in JSON.
        yield where, {column: value for column, value in zip(columns, fields, strict=True) if value.strip()}


def _file(row: dict[str, Any], where: str) -> str:
    value = next((row[key] for key in FILE_KEYS if key in row), None)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: the key 'file' must name the picture, got {value!r}")
    name = value.strip().replace("\\", "/").removeprefix("./")
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(f"{where}: {value!r} must be a path inside the dataset's folder")
    return name


def _folder_of(root: Path, name: str) -> str:
    """Return the folder in which the first picture lies; later ones are looked for there too."""
    return next((folder for folder in PICTURE_FOLDERS if (root / folder / name).is_file()), "")


def _texts(row: dict[str, Any], keys: tuple[str, ...], where: str) -> list[str]:
    texts: list[str] = []
    for key in keys:
        value = row.get(key)
        if value is None:
            continue
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):
                raise DataError(f"{where}: the key {key!r} must hold text, got {type(text).__name__}")
            texts.append(text)
    return texts


def _text(row: dict[str, Any], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}: the key {key!r} must hold text or a whole number, got {type(value).__name__}")
    return str(value)


def _box(value: Any, where: str) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = json.loads(
                value if value.lstrip().startswith("[") else f"[{','.join(value.replace(',', ' ').split())}]"
            )
        except json.JSONDecodeError:
            value = [value]
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) != 4 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise DataError(f"{where}: the key 'box' must hold [x, y, width, height] in pixels, got {value!r}")
    x, y, w, h = (float(number) for number in numbers)
    if not (w > 0 and h > 0):
        raise DataError(f"{where}: the box {value!r} has no area; it is [x, y, width, height]")
    return x, y, w, h


def _garments(value: Any, where: str) -> dict[str, list[str]]:
    if value is None:
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: the key 'garments' is no JSON object ({error.msg})") from error
    good = isinstance(value, dict) and all(
        isinstance(colours, list) and all(isinstance(colour, str) for colour in colours) for colours in value.values()
    )
    if not good:
        raise DataError(f"{where}: the key 'garments' must map each garment to a list of colour names, got {value!r}")
    return dict(value)
