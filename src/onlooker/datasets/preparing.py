"""From a dataset's folder to a manifest and a report of everything that was found on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from onlooker.datasets import checks
from onlooker.datasets.catalogue import find_dataset
from onlooker.datasets.checks import Finding
from onlooker.datasets.fingerprints import groups_of, near_duplicates
from onlooker.datasets.manifest import Manifest, Record, check_unique_ids
from onlooker.datasets.pictures import PictureCheck, check_pictures
from onlooker.datasets.reading import Reading, ReadOptions
from onlooker.datasets.splitting import split_off_validation
from onlooker.errors import DataError

Advance = Callable[[float], None]
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Called with what is done and the number of steps; gives a function to call with the steps done."""


@dataclass(frozen=True)
class PrepareOptions:
    """How a dataset is prepared.

    Attributes:
        quick: Only look whether pictures exist; near-duplicates are then not known.
        text_only: Do not look for pictures at all and keep every record.
        val: Size of a validation split made here; None takes the dataset's default where it has no split of its own.
        seed: Which validation split.
        people: One record per person box, where the dataset has boxes.
        min_height: Least height of such a box, pixels.
        workers: Threads that open pictures; the number of cores when None.
    """

    quick: bool = False
    text_only: bool = False
    val: int | None = None
    seed: int = 0
    people: bool = False
    min_height: int = 96
    workers: int | None = None


@dataclass
class Report:
    """What preparing found.

    Attributes:
        dataset: The dataset's name.
        root: Its folder.
        files: The annotation files that were read.
        published: What the publisher counts, by name.
        read: What the annotation files held, under the same names.
        kept: What the manifest holds.
        texts: What cleaning did: read, changed, empty, doubled; for captions and phrases.
        pictures: How many were present, missing and unreadable; "opened" says whether they were decoded.
        splits: Records per split in the manifest.
        findings: Problems and notes.
        notes: Remarks of the reader.
    """

    dataset: str
    root: str
    files: list[str]
    published: dict[str, int]
    read: dict[str, int]
    kept: dict[str, int]
    texts: dict[str, dict[str, int]]
    pictures: dict[str, Any]
    splits: dict[str, int]
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[Finding]:
        """The findings that are problems."""
        return [finding for finding in self.findings if finding.level == "problem"]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def prepare(
    name: str,
    root: Path,
    options: PrepareOptions | None = None,
    progress: Progress = lambda description, total: nullcontext(lambda steps: None),
) -> tuple[Manifest, Report]:
    """Read a dataset, check it and make its manifest.

    Args:
        name: The dataset's name in the catalogue.
        root: Its top folder.
        options: How; the defaults when None.
        progress: Shows how far the opening of pictures has come.

    Returns:
        The manifest, without the records whose picture is missing or unreadable, and the report.

    Raises:
        ConfigError: If the dataset is unknown or an option does not fit it.
        DataError: If an annotation file is missing or broken, or nothing usable is left.
    """
    options = options or PrepareOptions()
    dataset = find_dataset(name)
    root = Path(root)
    reading = dataset.read(root, ReadOptions(people=options.people, min_height=options.min_height))
    if not reading.records:
        raise DataError(f"{reading.files[0] if reading.files else root} describes no picture")
    check_unique_ids(reading.records, str(reading.files[0]))
    findings = [
        *checks.check_counts(reading),
        *checks.check_ids(reading),
        *checks.check_splits(reading),
        *checks.check_texts(reading.records, wanted=dataset.texts and not options.people),
    ]
    records = reading.records
    pictures = PictureCheck(opened=False)
    pairs: list[tuple[str, str]] = []
    if not options.text_only:
        files = list(dict.fromkeys(record.file for record in records))
        with progress("looking for pictures" if options.quick else "opening pictures", len(files)) as advance:
            pictures = check_pictures(root, files, quick=options.quick, workers=options.workers, advance=advance)
        bad = {*pictures.missing, *pictures.unreadable}
        records = [record for record in records if record.file not in bad]
        if not records:
            raise DataError(
                f"none of the {len(files):,} pictures is there or can be read, the first is {root / files[0]}; "
                "check the folder, or use --text-only for a manifest without pictures"
            )
        findings += checks.check_files(pictures)
        pairs = _same_pictures(pictures)
    val = options.val
    if val is None and not any(record.split for record in records):
        # A default for the whole dataset must not swallow a small part of it.
        val = min(dataset.default_val, len(records) // 5)
    if val:
        records = split_off_validation(records, val=val, seed=options.seed, groups=_groups(records, pairs))
        if not pictures.opened:
            reading.notes.append(
                "the split was made without opening pictures, so near-duplicates may lie on both sides"
            )
    findings += checks.check_people(records)
    findings += checks.check_leaks(records, pictures.fingerprints, pairs)
    findings += checks.check_boxes(records, pictures.fingerprints)
    manifest = Manifest(dataset.name, root, dataset.terms, records)
    return manifest, _report(manifest, reading, pictures, findings, options)


def _same_pictures(pictures: PictureCheck) -> list[tuple[str, str]]:
    files = list(pictures.fingerprints)
    return [(files[one], files[other]) for one, other in near_duplicates(list(pictures.fingerprints.values()))]


def _groups(records: list[Record], pairs: list[tuple[str, str]]) -> list[int]:
    numbers: dict[str, int] = {}
    for record in records:
        numbers.setdefault(record.file, len(numbers))
    joined = groups_of(len(numbers), [(numbers[one], numbers[other]) for one, other in pairs])
    return [joined[numbers[record.file]] for record in records]


def _report(
    manifest: Manifest, reading: Reading, pictures: PictureCheck, findings: list[Finding], options: PrepareOptions
) -> Report:
    kept = checks.counts_of(replace(reading, records=manifest.records))
    kept["captions"] = sum(len(record.captions) for record in manifest.records)
    kept["phrases"] = sum(len(record.phrases) for record in manifest.records)
    return Report(
        dataset=manifest.dataset,
        root=str(manifest.root),
        files=[str(path) for path in reading.files],
        published=reading.published,
        read=checks.counts_of(reading),
        kept=kept,
        texts={"captions": asdict(reading.captions), "phrases": asdict(reading.phrases)},
        pictures={
            "looked_for": not options.text_only,
            "opened": pictures.opened,
            "present": pictures.present,
            "missing": len(pictures.missing),
            "unreadable": len(pictures.unreadable),
        },
        splits={split or "none": count for split, count in manifest.split_counts().items()},
        findings=findings,
        notes=reading.notes,
    )
