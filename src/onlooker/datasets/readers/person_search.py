"""The three text-based person search datasets: CUHK-PEDES, ICFG-PEDES and RSTPReid.

Each is a folder ``imgs/`` and a JSON list with an object per picture: id (the person), captions, a file path and mostly
a split.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from onlooker.datasets.grouping import RecordGroups, parse_split
from onlooker.datasets.manifest import Split
from onlooker.datasets.reading import Reading, ReadOptions, find_file, read_json, take
from onlooker.errors import DataError

CUHK_PUBLISHED = {
    "images": 40_206,
    "people": 13_003,
    "train images": 34_054,
    "train people": 11_003,
    "val images": 3_078,
    "val people": 1_000,
    "test images": 3_074,
    "test people": 1_000,
}
ICFG_PUBLISHED = {
    "images": 54_522,
    "captions": 54_522,
    "people": 4_102,
    "train images": 34_674,
    "train people": 3_102,
    "test images": 19_848,
    "test people": 1_000,
}
RSTP_PUBLISHED = {
    "images": 20_505,
    "captions": 41_010,
    "people": 4_101,
    "train images": 18_505,
    "train people": 3_701,
    "val images": 1_000,
    "val people": 200,
    "test images": 1_000,
    "test people": 200,
}

_SPLIT_IN_NAME = re.compile(r"(?:^|_)(train|val|test)(?:_|$)")


def read_cuhk(root: Path, options: ReadOptions) -> Reading:
    """Read CUHK-PEDES.

    Taken is the first of: ``reid_raw.json`` (with splits), ``caption_all.json`` (the original release's name, without),
    all ``*_new.json``, all of ``caption_train.json``, ``caption_val.json`` and ``caption_test.json``; the last two
    kinds get a split by their name where their rows have none.

    Args:
        root: The folder with the JSON file and ``imgs/``.
        options: Not used.

    Raises:
        DataError: If an annotation file is missing or broken.
    """
    parts = sorted(root.glob("*_new.json")) or [
        path for split in ("train", "val", "test") if (path := root / f"caption_{split}.json").is_file()
    ]
    whole = [path for name in ("reid_raw.json", "caption_all.json") if (path := root / name).is_file()]
    files = whole[:1] or parts
    if not files:
        find_file(root, ["reid_raw.json", "caption_all.json", "*_new.json", "caption_val.json"], "annotation file")
    reading = _read(root, files, "file_path")
    splits = {record.split for record in reading.records}
    if splits == {None}:
        reading.published = {name: count for name, count in CUHK_PUBLISHED.items() if " " not in name}
        reading.notes.append(
            f"{files[0].name} has no splits; use reid_raw.json, or --val to make a validation split by person"
        )
    elif whole:
        reading.published = CUHK_PUBLISHED
    else:
        # Of a dump in parts, only the parts that are there can be held against the published counts.
        reading.published = {
            name: count for name, count in CUHK_PUBLISHED.items() if name.split(" ")[0] in splits and " " in name
        }
    return reading


def read_icfg(root: Path, options: ReadOptions) -> Reading:
    """Read ICFG-PEDES, which has no validation split; ``--val`` takes people out of the training split for one.

    Args:
        root: The folder with ``ICFG-PEDES.json`` and ``imgs/``.
        options: Not used.

    Raises:
        DataError: If the annotation file is missing or broken.
    """
    reading = _read(root, [find_file(root, ["ICFG-PEDES.json", "ICFG_PEDES.json"], "annotation file")], "file_path")
    reading.published = ICFG_PUBLISHED
    if all(record.split != "val" for record in reading.records):
        reading.notes.append("ICFG-PEDES has no validation split; choose with --val, never on test")
    return reading


def read_rstp(root: Path, options: ReadOptions) -> Reading:
    """Read RSTPReid, whose picture key is ``img_path``.

    Args:
        root: The folder with ``data_captions.json`` and ``imgs/``.
        options: Not used.

    Raises:
        DataError: If the annotation file is missing or broken.
    """
    reading = _read(root, [find_file(root, ["data_captions.json"], "annotation file")], "img_path")
    reading.published = RSTP_PUBLISHED
    return reading


def _read(root: Path, files: list[Path], path_key: str) -> Reading:
    reading = Reading(files=list(files))
    groups = RecordGroups()
    only_tokens = 0
    for path in files:
        rows = read_json(path)
        if not isinstance(rows, list):
            raise DataError(f"{path}: a list of pictures is wanted, got {type(rows).__name__}")
        named = _SPLIT_IN_NAME.search(path.stem)
        default: Split | None = parse_split(named[1], str(path)) if named else None
        for number, row in enumerate(rows):
            where = f"{path}, entry {number}"
            if not isinstance(row, dict):
                raise DataError(f"{where}: an object is wanted, got {type(row).__name__}")
            captions = _captions(row, where)
            only_tokens += len(captions) < len(row.get("processed_tokens") or [])
            name = take(row, path_key, str, where)
            split = parse_split(take(row, "split", str, where), where) if "split" in row else default
            person = str(take(row, "id", (int, str), where))
            groups.add(name, f"imgs/{name}", captions=captions, person_id=person, split=split)
    groups.finish(reading)
    if only_tokens:
        reading.notes.append(
            f"{only_tokens:,} rows have fewer captions than token lists; "
            "tokens have lost case and punctuation and were not used"
        )
    return reading


def _captions(row: dict[str, Any], where: str) -> list[str]:
    key = "captions" if "captions" in row else "caption" if "caption" in row else "captions"
    value = take(row, key, (list, str), where)
    captions = [value] if isinstance(value, str) else value
    for caption in captions:
        if not isinstance(caption, str):
            raise DataError(f"{where}: the key {key!r} must hold texts, got {type(caption).__name__}")
    return list(captions)
