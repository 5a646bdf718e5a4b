"""The manifest: one JSON Lines file that says which pictures a dataset has and what is known of each.

The first line is a header (format, dataset, root, terms, number of records), every further line one record. JSON Lines
can be read by eye and by ``grep``, compared by ``diff``, written and read as a stream, and needs no further dependency.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from onlooker.errors import DataError
from onlooker.files import replacing

FORMAT = 1
"""The manifest format this version writes, and the newest it reads."""

Split = Literal["train", "val", "test"]
Role = Literal["query", "gallery"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

Pixels = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """One picture, or one person box of a picture, with its texts.

    Attributes:
        id: Unique within the manifest and stable from one preparation to the next: the picture's name in the dataset.
        file: The picture, as a POSIX path relative to the manifest's root.
        captions: Cleaned descriptions, in the dataset's order.
        phrases: Cleaned short search phrases.
        person_id: The person's identity within the dataset; records of one person share it. None where unknown.
        split: The part of the dataset it belongs to; None where there is no split.
        box: The person as (x, y, width, height) in pixels of the upright picture; None means the whole picture.
        mask: A file of garment labels per pixel, as ``file``.
        garments: Garment name to colour names, the leading first; an empty list where the colours are unknown.
        camera: The camera that saw the person; None where unknown.
        role: Whether it asks or is asked for, where the dataset says; None where it does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    file: str = Field(min_length=1)
    captions: list[str] = []
    phrases: list[str] = []
    person_id: str | None = None
    split: Split | None = None
    box: tuple[Pixels, Pixels, Pixels, Pixels] | None = None
    mask: str | None = None
    garments: dict[str, list[str]] = {}
    camera: str | None = None
    role: Role | None = None

    @field_validator("file", "mask")
    @classmethod
    def _inside_root(cls, value: str | None) -> str | None:
        # A manifest may come from somewhere else; it must not reach out of its folder.
        if value is not None and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
            raise ValueError("must be a path inside the manifest's root")
        return value

    @field_validator("box")
    @classmethod
    def _has_area(cls, value: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if value is not None and (value[2] <= 0 or value[3] <= 0):
            raise ValueError("width and height of a box must be above 0")
        return value

    def texts(self, kind: Literal["captions", "phrases", "all"] = "all") -> list[str]:
        """Return the captions, the phrases, or the captions followed by the phrases."""
        if kind == "captions":
            return list(self.captions)
        if kind == "phrases":
            return list(self.phrases)
        return [*self.captions, *self.phrases]


class _Header(BaseModel):
    """The first line of a manifest file."""

    model_config = ConfigDict(extra="forbid")

    format: int
    dataset: str
    root: str
    terms: str
    records: int = Field(ge=0)


@dataclass(frozen=True)
class Manifest:
    """The records of one dataset.

    Attributes:
        dataset: The name under which ``onlooker prepare`` knows the dataset.
        root: The folder that the records' files are relative to.
        terms: The conditions under which the data may be used, one sentence.
        records: The records, in the dataset's order.
    """

    dataset: str
    root: Path
    terms: str
    records: list[Record] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    def path(self, record: Record) -> Path:
        """Return the path of a record's picture."""
        return self.root / record.file

    def mask_path(self, record: Record) -> Path | None:
        """Return the path of a record's mask, or None if it has none."""
        return None if record.mask is None else self.root / record.mask

    def split(self, name: str) -> Manifest:
        """Return the records of one split, in the same order.

        Args:
            name: ``train``, ``val`` or ``test``.

        Raises:
            DataError: If the manifest has no record in that split.
        """
        records = [record for record in self.records if record.split == name]
        if not records:
            there = ", ".join(f"{split or 'none'} ({count})" for split, count in self.split_counts().items())
            raise DataError(f"the manifest of {self.dataset} has no split {name!r}; it has {there or 'no record'}")
        return replace(self, records=records)

    def split_counts(self) -> dict[str | None, int]:
        """Return the number of records per split, in the order train, val, test, none."""
        counts = Counter(record.split for record in self.records)
        order: tuple[str | None, ...] = (*SPLITS, None)
        return {split: counts[split] for split in order if counts[split]}  # type: ignore[index]

    def save(self, path: Path) -> None:
        """Write the manifest, under a temporary name first.

        A relative root is written relative to the manifest's folder, so that the two can be moved together; an absolute
        one as it is.

        Args:
            path: The file to write.
        """
        path = Path(path)
        root = self.root if self.root.is_absolute() else Path(os.path.relpath(self.root, path.parent))
        header = _Header(
            format=FORMAT, dataset=self.dataset, root=root.as_posix(), terms=self.terms, records=len(self.records)
        )
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
            handle.write(json.dumps(header.model_dump(), ensure_ascii=False) + "\n")
            for record in self.records:
                values = record.model_dump(exclude_defaults=True)
                handle.write(json.dumps(values, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest.

        Args:
            path: The file.

        Raises:
            DataError: If the file cannot be read, is no manifest, is of a newer format, is cut off, has a broken line,
                or has the same id twice.
        """
        path = Path(path)
        try:
            with path.open(encoding="utf-8") as handle:
                header = _parse_header(path, handle.readline())
                records = [
                    _parse_record(path, number, line) for number, line in enumerate(handle, start=2) if line.strip()
                ]
        except OSError as error:
            raise DataError(f"cannot read the manifest {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not UTF-8 text, so it is no manifest; write one with onlooker prepare"
            ) from error
        if len(records) != header.records:
            raise DataError(
                f"{path} has {len(records)} records but its first line promises {header.records}: "
                "it was cut off or edited; prepare it again or correct the number"
            )
        check_unique_ids(records, str(path))
        root = Path(header.root)
        return cls(header.dataset, root if root.is_absolute() else path.parent / root, header.terms, records)


def check_unique_ids(records: list[Record], where: str) -> None:
    """Raise DataError naming ``where`` and the first id that two records share, if there is one."""
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise DataError(f"{where}: the id {record.id!r} stands twice; every record needs an id of its own")
        seen.add(record.id)


def _parse_header(path: Path, line: str) -> _Header:
    values = _parse_line(path, 1, line)
    found = values.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise DataError(f"{path} is a manifest of format {found}, this version reads up to {FORMAT}: update onlooker")
    try:
        return _Header.model_validate(values)
    except ValidationError as error:
        raise DataError(
            f"{path}, line 1: no manifest header ({_first(error)}); write one with onlooker prepare"
        ) from error


def _parse_record(path: Path, number: int, line: str) -> Record:
    try:
        return Record.model_validate(_parse_line(path, number, line))
    except ValidationError as error:
        raise DataError(f"{path}, line {number}: {_first(error)}") from error


def _parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: no valid JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}, line {number}: a JSON object is wanted, got {type(values).__name__}")
    return values


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"key {key!r}: {first['msg']}" if key else str(first["msg"])
