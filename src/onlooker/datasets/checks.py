"""What can be wrong with a dataset, looked for one by one; every check returns findings and changes nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from onlooker.datasets.fingerprints import Fingerprint
from onlooker.datasets.manifest import SPLITS, Record
from onlooker.datasets.pictures import PictureCheck
from onlooker.datasets.reading import Reading
from onlooker.runtime.pictures import PICTURE_SUFFIXES

Level = Literal["problem", "note"]

EXAMPLES = 5
"""How many examples a finding keeps."""

_CAPTION_INDEX = re.compile(r"#\d+$")


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: The check's name, for programs.
        level: "problem" where results would be wrong or data is lost, "note" where it is only worth knowing.
        message: One sentence.
        count: How many records, pictures or pairs it concerns.
        examples: The first few of them.
    """

    check: str
    level: Level
    message: str
    count: int
    examples: list[str] = field(default_factory=list)


def _finding(check: str, level: Level, message: str, cases: Sequence[str]) -> list[Finding]:
    return [Finding(check, level, message, len(cases), list(cases[:EXAMPLES]))] if cases else []


def counts_of(reading: Reading) -> dict[str, int]:
    """Count what was read, before anything is skipped, under the names that ``Reading.published`` uses."""
    counts: dict[str, int] = {}
    splits: list[str | None] = [None, *SPLITS]
    for split in splits:
        records = [record for record in reading.records if split is None or record.split == split]
        before = f"{split} " if split else ""
        if not records and split:
            continue
        counts[f"{before}images"] = len({record.file for record in records})
        counts[f"{before}people"] = len({record.person_id for record in records if record.person_id is not None})
        counts[f"{before}records"] = len(records)
    counts["captions"] = reading.captions.read
    counts["phrases"] = reading.phrases.read
    return counts


def check_counts(reading: Reading) -> list[Finding]:
    """Compare what was read with what the publisher counts."""
    found = counts_of(reading)
    cases = [
        f"{name}: {found.get(name, 0):,} instead of {published:,}"
        for name, published in reading.published.items()
        if found.get(name, 0) != published
    ]
    return _finding("counts", "problem", "counts differ from the published ones", cases)


def check_texts(records: Iterable[Record], *, wanted: bool = True) -> list[Finding]:
    """Find records without any text; a problem only where texts are ``wanted`` of each."""
    cases = [record.id for record in records if not record.texts()]
    return _finding("no-text", "problem" if wanted else "note", "records have no caption and no phrase", cases)


def check_ids(reading: Reading) -> list[Finding]:
    """Find picture names and person ids that number the captions instead of naming a picture or a person."""
    records = reading.records
    findings = _finding(
        "caption-index",
        "problem",
        "picture names end in a caption's number (#0, #1 ...): captions of one picture are not grouped",
        [record.file for record in records if _CAPTION_INDEX.search(record.file) or _CAPTION_INDEX.search(record.id)],
    )
    findings += _finding(
        "name-suffix",
        "problem",
        "picture names have no picture's ending (such as .jpg.1)",
        [record.file for record in records if PurePosixPath(record.file).suffix.lower() not in PICTURE_SUFFIXES],
    )
    findings += _finding(
        "ids-per-caption",
        "problem",
        "pictures carry different person ids in their rows: ids that count captions; they were left out",
        [f"{name}: {', '.join(ids[:4])}" for name, ids in reading.person_conflicts.items()],
    )
    persons = Counter(record.person_id for record in records if record.person_id is not None)
    if len(persons) > 1 and max(persons.values()) == 1:
        findings += _finding(
            "ids-per-record",
            "problem",
            "no two records share a person id: the ids count records, and every query would have one right answer",
            list(persons),
        )
    return findings


def check_splits(reading: Reading) -> list[Finding]:
    """Find pictures that the dataset lists in several splits."""
    cases = [f"{name}: {', '.join(splits)}" for name, splits in reading.split_conflicts.items()]
    message = "pictures are listed in several splits; each was kept in the last of train, val, test"
    return _finding("picture-in-two-splits", "problem", message, cases)


def check_people(records: Iterable[Record]) -> list[Finding]:
    """Find person ids that occur in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.person_id is not None and record.split is not None:
            splits[record.person_id].add(record.split)
    cases = [f"{person}: {', '.join(sorted(found))}" for person, found in splits.items() if len(found) > 1]
    return _finding("person-in-two-splits", "problem", "people are in two splits", cases)


def check_leaks(
    records: Sequence[Record], fingerprints: Mapping[str, Fingerprint], pairs: Iterable[tuple[str, str]]
) -> list[Finding]:
    """Find pictures that are in two splits: by name, by bytes, or nearly the same.

    Args:
        records: The records.
        fingerprints: By file.
        pairs: Files that are the same picture or nearly so.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.split is not None:
            splits[record.file].add(record.split)
    findings = _finding(
        "picture-in-two-splits",
        "problem",
        "pictures have records in several splits",
        [f"{file}: {', '.join(sorted(found))}" for file, found in splits.items() if len(found) > 1],
    )
    same: list[str] = []
    near: list[str] = []
    within = 0
    for one, other in pairs:
        if not splits[one] or not splits[other] or splits[one] == splits[other]:
            within += 1
            continue
        case = f"{one} ({', '.join(sorted(splits[one]))}) and {other} ({', '.join(sorted(splits[other]))})"
        (same if fingerprints[one].sha256 == fingerprints[other].sha256 else near).append(case)
    findings += _finding("same-picture-across-splits", "problem", "identical pictures are in two splits", same)
    findings += _finding("near-duplicate-across-splits", "problem", "nearly the same pictures are in two splits", near)
    if within:
        findings.append(
            Finding("near-duplicates", "note", "pairs of (nearly) the same picture, each within one split", within)
        )
    return findings


def check_boxes(records: Iterable[Record], fingerprints: Mapping[str, Fingerprint]) -> list[Finding]:
    """Find boxes that reach more than a pixel out of their picture."""
    cases = []
    for record in records:
        picture = fingerprints.get(record.file)
        if record.box is None or picture is None:
            continue
        x, y, w, h = record.box
        if x < -1 or y < -1 or x + w > picture.width + 1 or y + h > picture.height + 1:
            cases.append(f"{record.id}: {record.box} in {picture.width}x{picture.height}")
    return _finding("box-outside", "problem", "boxes reach out of their picture; the cut keeps the part inside", cases)


def check_files(pictures: PictureCheck) -> list[Finding]:
    """Report missing and unreadable pictures."""
    unreadable = [f"{file}: {reason}" for file, reason in pictures.unreadable.items()]
    return [
        *_finding("missing", "problem", "pictures are missing; their records were skipped", pictures.missing),
        *_finding("unreadable", "problem", "pictures cannot be read; their records were skipped", unreadable),
    ]
