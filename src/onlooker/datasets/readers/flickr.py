"""Flickr30k and Flickr8k in their three forms: token file, Kaggle CSV, Karpathy JSON.

- Token file: ``results_20130124.token`` or ``Flickr8k.token.txt`` (also packed as ``.gz``), ``name.jpg#0<tab>caption``.
- Kaggle: ``results.csv`` (Flickr30k, ``image_name| comment_number| comment``) or ``captions.txt`` (Flickr8k, CSV with
  the header ``image,caption``).
- Karpathy: ``dataset_flickr30k.json`` or ``dataset_flickr8k.json``, which holds the splits too.

Splits come from lists beside the captions, or from Karpathy's file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from onlooker.datasets.grouping import RecordGroups, parse_split
from onlooker.datasets.manifest import Split
from onlooker.datasets.reading import (
    Reading,
    ReadOptions,
    find_file,
    find_folder,
    read_csv,
    read_json,
    read_lines,
    take,
)
from onlooker.errors import DataError

_NUMBERED = re.compile(r"^(?P<name>.+)#(?P<number>\d+)$")
# One row of the Kaggle file, "2199200615.jpg| 4   A dog runs across the grass .", lacks its second separator.
_LOST_SEPARATOR = re.compile(r"^\s*(?P<number>\d+)\s+(?P<caption>.*)$")

FLICKR30K_IMAGES = 31_783
FLICKR30K_IN_SPLITS = {"train images": 29_000, "val images": 1_014, "test images": 1_000}
FLICKR8K_IMAGES = 8_091
FLICKR8K_IN_SPLITS = {"train images": 6_000, "val images": 1_000, "test images": 1_000}
_CAPTIONS_EACH = 5


@dataclass(frozen=True)
class _Layout:
    """Where one of the two datasets keeps its parts."""

    captions: tuple[str, ...]
    pictures: tuple[str, ...]
    lists: dict[Split, tuple[str, ...]]


_FLICKR30K = _Layout(
    captions=(
        "dataset_flickr30k.json",
        "results_20130124.token",
        "results_20130124.token.gz",
        "results.token",
        "results.csv",
    ),
    pictures=("flickr30k-images", "flickr30k_images/flickr30k_images", "flickr30k_images", "Images", "images"),
    lists={"train": ("train.txt",), "val": ("val.txt",), "test": ("test.txt",)},
)
_FLICKR8K = _Layout(
    captions=("Flickr8k.token.txt", "Flickr8k.token.txt.gz", "captions.txt", "dataset_flickr8k.json"),
    pictures=("Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images"),
    lists={
        "train": ("Flickr_8k.trainImages.txt",),
        "val": ("Flickr_8k.devImages.txt",),
        "test": ("Flickr_8k.testImages.txt",),
    },
)
_TEXT_FOLDERS = ("", "Flickr8k_text/", "annotations/", "flickr30k_images/")


def read_flickr30k(root: Path, options: ReadOptions) -> Reading:
    """Read Flickr30k.

    Args:
        root: The folder with the caption file, the pictures' folder and, for the token file and the CSV, the lists
            train.txt, val.txt and test.txt.
        options: Not used.

    Raises:
        DataError: If an annotation file is missing or broken.
    """
    reading = _read(root, _FLICKR30K)
    in_splits = all(record.split for record in reading.records)
    # The token file has 769 pictures more than the three lists (and Karpathy's file) name.
    images = sum(FLICKR30K_IN_SPLITS.values()) if in_splits else FLICKR30K_IMAGES
    reading.published = {"images": images, "captions": images * _CAPTIONS_EACH}
    if any(record.split for record in reading.records):
        reading.published |= FLICKR30K_IN_SPLITS
    return reading


def read_flickr8k(root: Path, options: ReadOptions) -> Reading:
    """Read Flickr8k.

    Args:
        root: The folder with the caption file, the pictures' folder and the official lists, Flickr_8k.trainImages.txt
            and so on.
        options: Not used.

    Raises:
        DataError: If an annotation file is missing or broken.
    """
    reading = _read(root, _FLICKR8K)
    # The original token file has five captions for 2258277193_586949ec62.jpg.1, a picture that does not exist.
    original = reading.files[0].name.startswith("Flickr8k.token")
    images = FLICKR8K_IMAGES + original
    if reading.files[0].suffix == ".json":
        images = sum(FLICKR8K_IN_SPLITS.values())
    reading.published = {"images": images, "captions": images * _CAPTIONS_EACH}
    if any(record.split for record in reading.records):
        reading.published |= FLICKR8K_IN_SPLITS
    return reading


def _read(root: Path, layout: _Layout) -> Reading:
    path = find_file(root, [folder + name for name in layout.captions for folder in _TEXT_FOLDERS], "caption file")
    folder = find_folder(root, layout.pictures) or layout.pictures[0]
    reading = Reading(files=[path])
    groups = RecordGroups()
    _reader_of(path)(path, folder, groups, reading)
    if path.suffix != ".json":
        _read_lists(root, layout, groups, reading)
    groups.finish(reading)
    outside = sum(record.split is None for record in reading.records)
    if outside == len(reading.records):
        reading.notes.append("no split lists were found, so no record has a split; --val makes a validation split")
    elif outside:
        reading.notes.append(f"{outside:,} pictures are in no split")
    return reading


def _reader_of(path: Path) -> Callable[[Path, str, RecordGroups, Reading], None]:
    if path.suffix == ".json":
        return _read_karpathy
    if path.name == "results.csv":
        return _read_bars
    if path.name == "captions.txt":
        return _read_commas
    return _read_tokens


def _read_tokens(path: Path, folder: str, groups: RecordGroups, reading: Reading) -> None:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        numbered = _NUMBERED.match(name)
        if not tab or numbered is None:
            raise DataError(f"{path}, line {number}: 'name.jpg#0<tab>caption' is wanted, got {line[:60]!r}")
        groups.add(numbered["name"], f"{folder}/{numbered['name']}", captions=[caption])


def _read_bars(path: Path, folder: str, groups: RecordGroups, reading: Reading) -> None:
    mended = 0
    for number, line in read_lines(path):
        if not line.strip() or (number == 1 and line.startswith("image_name")):
            continue
        # Captions hold quotes that belong to them, so this is no CSV in the strict sense.
        fields = line.split("|", 2)
        if len(fields) == 2 and (lost := _LOST_SEPARATOR.match(fields[1])):
            fields = [fields[0], lost["number"], lost["caption"]]
            mended += 1
        if len(fields) != 3 or not fields[0].strip():
            raise DataError(f"{path}, line {number}: 'name.jpg| 0| caption' is wanted, got {line[:60]!r}")
        name = fields[0].strip()
        groups.add(name, f"{folder}/{name}", captions=[fields[2]])
    if mended:
        reading.notes.append(f"{mended} row of {path.name} without its second separator was mended")


def _read_commas(path: Path, folder: str, groups: RecordGroups, reading: Reading) -> None:
    for number, (where, row) in enumerate(read_csv(path)):
        if number == 0 and row == ["image", "caption"]:
            continue
        if len(row) != 2 or not row[0].strip():
            raise DataError(f"{where}: two fields (image, caption) are wanted, got {len(row)}")
        name = row[0].strip()
        groups.add(name, f"{folder}/{name}", captions=[row[1]])


def _read_karpathy(path: Path, folder: str, groups: RecordGroups, reading: Reading) -> None:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: an object with the key 'images' is wanted, got {type(content).__name__}")
    for number, image in enumerate(take(content, "images", list, str(path))):
        where = f"{path}, images[{number}]"
        if not isinstance(image, dict):
            raise DataError(f"{where}: an object is wanted, got {type(image).__name__}")
        name = take(image, "filename", str, where)
        captions = []
        for place, sentence in enumerate(take(image, "sentences", list, where)):
            if not isinstance(sentence, dict):
                raise DataError(f"{where}.sentences[{place}]: an object is wanted, got {type(sentence).__name__}")
            captions.append(take(sentence, "raw", str, f"{where}.sentences[{place}]"))
        split = parse_split(take(image, "split", str, where), where)
        groups.add(name, f"{folder}/{name}", captions=captions, split=split)


def _read_lists(root: Path, layout: _Layout, groups: RecordGroups, reading: Reading) -> None:
    for split, names in layout.lists.items():
        path = next((root / f / name for name in names for f in _TEXT_FOLDERS if (root / f / name).is_file()), None)
        if path is None:
            continue
        reading.files.append(path)
        unknown = []
        for _, line in read_lines(path):
            name = line.strip()
            if not name:
                continue
            # Some lists of Flickr30k name the pictures without their ending.
            if not PurePosixPath(name).suffix:
                name += ".jpg"
            if name in groups:
                groups.add_split(name, split)
            else:
                unknown.append(name)
        if unknown:
            reading.notes.append(f"{path.name} names {len(unknown):,} pictures without captions, such as {unknown[0]}")
