"""What every reader works with: the annotation files on disk, and the reading it hands back."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onlooker.datasets.manifest import Record
from onlooker.datasets.text import TextCounts, clean_texts
from onlooker.errors import DataError


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is told besides the folder.

    Attributes:
        people: For datasets with person boxes: one record per person box instead of one per picture.
        min_height: With ``people``: the least height of a box in pixels.
    """

    people: bool = False
    min_height: int = 96


@dataclass
class Reading:
    """What a reader found in the annotation files, before any picture is opened.

    Attributes:
        records: One per picture (or person box), in the order of the annotation files.
        captions: Counts of the captions read and cleaned.
        phrases: Counts of the phrases read and cleaned.
        published: What the publisher counts: "images", "captions", "phrases", "people", each also for one split ("train
            images"); empty where unknown.
        notes: Remarks for the report, one sentence each.
        person_conflicts: Records whose rows carry different person ids, with those ids.
        split_conflicts: Records that are listed in several splits, with those splits.
        files: The annotation files that were read.
    """

    records: list[Record] = field(default_factory=list)
    captions: TextCounts = field(default_factory=TextCounts)
    phrases: TextCounts = field(default_factory=TextCounts)
    published: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    person_conflicts: dict[str, list[str]] = field(default_factory=dict)
    split_conflicts: dict[str, list[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def clean_captions(self, texts: Iterable[str]) -> list[str]:
        """Clean one picture's captions and count what happened."""
        return clean_texts(texts, self.captions)

    def clean_phrases(self, texts: Iterable[str]) -> list[str]:
        """Clean one picture's phrases and count what happened."""
        return clean_texts(texts, self.phrases)


def find_file(root: Path, names: Iterable[str], what: str) -> Path:
    """Return the first of ``names`` that exists in ``root``.

    Raises:
        DataError: If the folder or every one of the names is missing; the message lists them.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; give the dataset's top folder")
    names = list(names)
    for name in names:
        if (root / name).is_file():
            return root / name
    raise DataError(f"{root} has no {what}; looked for {', '.join(names)}")


def find_folder(root: Path, names: Iterable[str]) -> str | None:
    """Return the first of ``names`` that is a folder in ``root``, or None."""
    return next((name for name in names if (root / name).is_dir()), None)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number (from 1) and text of every line of a UTF-8 file, unpacked if its name ends in ``.gz``.

    Raises:
        DataError: If the file cannot be read or is not UTF-8, with the line.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                # "utf-8-sig" only on the first line: a byte order mark further on is a character of the text.
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: not UTF-8 text; convert the file to UTF-8") from error
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path} after line {number}: {error}") from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: If it cannot be read or is no JSON, with line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}, column {error.colno}: no valid JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; convert the file to UTF-8") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where it stands ("file, line n") and the object of every non-empty line of a JSON Lines file.

    Raises:
        DataError: If a line is no JSON object.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: no valid JSON ({error.msg} at column {error.colno})") from error
        if not isinstance(value, dict):
            raise DataError(f"{where}: a JSON object is wanted, got {type(value).__name__}")
        yield where, value


def read_csv(path: Path, delimiter: str = ",") -> Iterator[tuple[str, list[str]]]:
    """Yield where it stands and the fields of every row of a CSV file.

    Raises:
        DataError: If a row cannot be parsed.
    """
    lines = (line + "\n" for _, line in read_lines(path))
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: no valid CSV ({error})") from error
        if row:
            yield f"{path}, line {rows.line_num}", row


def take(values: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return ``values[key]``, checked to be of a kind.

    Raises:
        DataError: If the key is missing or its value is of another kind, naming ``where`` and the key.
    """
    if key not in values:
        raise DataError(f"{where}: the key {key!r} is missing; it has {', '.join(map(repr, values)) or 'none'}")
    value = values[key]
    # bool is an int to isinstance, but never an id or a count in these files.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(each.__name__ for each in kinds)
        raise DataError(f"{where}: the key {key!r} holds {type(value).__name__}, {wanted} is wanted")
    return value
