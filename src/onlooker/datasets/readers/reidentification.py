"""Re-identification datasets: folders of crops whose names say who it is and which camera saw them.

* Market-1501, DukeMTMC-reID and CUHK03 in its newer protocol share one layout: ``bounding_box_train/``, ``query/`` and
  ``bounding_box_test/`` (the gallery), with names such as ``0002_c1s1_000451_03.jpg``, ``0001_c2_f0046182.jpg`` and
  ``0003_c1_21.png``. In Market-1501 the id 0000 is a distractor, which stays in the gallery and is nobody's match, and
  -1 is junk (a crop of part of a person who is in the gallery anyway), which counts neither as right nor as wrong: it
  is left out here.
* CUHK03 as its pictures are usually unpacked: one folder with names such as ``1_001_1_01.png`` (pair of cameras, person
  of that pair, which of the two cameras, number). The test sets lie in another file; without it there is no split.
"""

from __future__ import annotations

import re
from pathlib import Path

from onlooker.datasets.manifest import Record, Role, Split
from onlooker.datasets.reading import Reading, ReadOptions, find_folder
from onlooker.errors import DataError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
"""File name endings that are pictures; Market-1501 has a ``Thumbs.db`` in each folder as well."""

PARTS: tuple[tuple[str, Split, Role | None], ...] = (
    ("bounding_box_train", "train", None),
    ("query", "test", "query"),
    ("bounding_box_test", "test", "gallery"),
)
"""Folder, split and role of each part of the common layout."""

DISTRACTOR, JUNK = 0, -1
"""Ids that are nobody, in the gallery of Market-1501."""

MARKET_PUBLISHED = {
    "images": 32_217,
    "people": 1_501,
    "train images": 12_936,
    "train people": 751,
    "test images": 19_281,
    "test people": 750,
}
"""Without the 3,819 pictures of junk."""
DUKE_PUBLISHED = {"images": 36_411, "people": 1_812, "train images": 16_522, "train people": 702, "test images": 19_889}
CUHK03_NP_PUBLISHED = {"people": 1_467, "train people": 767, "test people": 700}
CUHK03_PUBLISHED = {"people": 1_467}

_CAMERA_NAME = re.compile(r"(-?\d+)_c(\d+)(?:s\d+)?(?:_.*)?")
_PAIR_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_\d+")


def read_market(root: Path, options: ReadOptions) -> Reading:
    """Read Market-1501.

    Args:
        root: The folder with ``query/``, ``bounding_box_test/`` and ``bounding_box_train/``.
        options: Not used.

    Raises:
        DataError: If the folders are missing or a picture's name says nothing.
    """
    return _read_parts(root, MARKET_PUBLISHED)


def read_duke(root: Path, options: ReadOptions) -> Reading:
    """Read DukeMTMC-reID; see ``read_market``."""
    return _read_parts(root, DUKE_PUBLISHED)


def read_cuhk03_np(root: Path, options: ReadOptions) -> Reading:
    """Read CUHK03 in its newer protocol, either kind of boxes; see ``read_market``."""
    return _read_parts(root, CUHK03_NP_PUBLISHED)


def read_cuhk03(root: Path, options: ReadOptions) -> Reading:
    """Read a folder of CUHK03's pictures, without splits.

    Args:
        root: The folder with ``images_labeled/`` or ``images_detected/`` (the first of them is read), or with the
            pictures themselves.
        options: Not used.

    Raises:
        DataError: If there is no picture or a name says nothing.
    """
    folder = find_folder(root, ["images_labeled", "images_detected"])
    place = root / folder if folder else root
    reading = Reading(files=[place], published=dict(CUHK03_PUBLISHED))
    for path in _pictures(place):
        name = _PAIR_NAME.fullmatch(path.stem)
        if name is None:
            raise DataError(f"{path}: the name is none of CUHK03, such as 1_001_1_01.png; remove or rename it")
        pair, person, view = (int(part) for part in name.groups())
        file = path.relative_to(root).as_posix()
        reading.records.append(Record(id=file, file=file, person_id=f"{pair}_{person}", camera=f"{pair}_{view}"))
    if not reading.records:
        raise DataError(f"{place} holds no picture; give the folder with images_labeled/ or with the pictures")
    reading.notes.append("the publisher's test sets are not read; every picture asks and is asked for")
    return reading


def _read_parts(root: Path, published: dict[str, int]) -> Reading:
    there = [part for part in PARTS if (root / part[0]).is_dir()]
    if not there:
        raise DataError(f"{root} has none of the folders {', '.join(part[0] for part in PARTS)}; give their parent")
    reading = Reading(files=[root / folder for folder, _, _ in there], published=dict(published))
    junk = strangers = 0
    for folder, split, role in there:
        for path in _pictures(root / folder):
            name = _CAMERA_NAME.fullmatch(path.stem)
            if name is None:
                raise DataError(
                    f"{path}: the name does not say who it is and from which camera, as 0002_c1s1_000451_03.jpg does; "
                    "remove or rename it"
                )
            person = int(name[1])
            if person == JUNK:
                junk += 1
                continue
            strangers += person == DISTRACTOR
            file = f"{folder}/{path.name}"
            reading.records.append(
                Record(
                    id=file,
                    file=file,
                    person_id=None if person == DISTRACTOR else str(person),
                    camera=str(int(name[2])),
                    split=split,
                    role=role,
                )
            )
    if junk:
        reading.notes.append(
            f"{junk:,} pictures of junk (id -1) are left out: they count neither as right nor as wrong"
        )
    if strangers:
        reading.notes.append(f"{strangers:,} distractors (id 0000) are in the gallery and match nobody")
    return reading


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give the dataset's top folder")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
