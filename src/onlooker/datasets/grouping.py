"""Joining the rows of an annotation file that speak of one picture, and noticing where they contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import ValidationError

from onlooker.datasets.manifest import SPLITS, Record, Split
from onlooker.datasets.reading import Reading
from onlooker.errors import DataError

_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    # Karpathy's name for the part of COCO's validation pictures that everybody trains on.
    "restval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


def parse_split(name: str | None, where: str) -> Split | None:
    """Return the split that a publisher's word means; None and "" mean no split.

    Args:
        name: Such as "train", "dev", "restval".
        where: For the message.

    Raises:
        DataError: If the word is unknown.
    """
    if name is None or not name.strip():
        return None
    split = _SPLIT_NAMES.get(name.strip().lower())
    if split is None:
        raise DataError(f"{where}: the split {name!r} is unknown; known are {', '.join(_SPLIT_NAMES)}")
    return split


@dataclass
class _Group:
    file: str
    captions: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    box: tuple[float, float, float, float] | None = None
    mask: str | None = None
    garments: dict[str, list[str]] = field(default_factory=dict)


class RecordGroups:
    """Collects rows by record id and turns them into records.

    A picture whose rows carry different person ids keeps none, and a picture that is in two splits is kept in the last
    of train, val, test, so that nothing is tested with that was trained on; both are reported.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._groups: dict[str, _Group] = {}

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._groups

    def add(
        self,
        record_id: str,
        file: str,
        *,
        captions: list[str] | None = None,
        phrases: list[str] | None = None,
        person_id: str | None = None,
        split: Split | None = None,
        box: tuple[float, float, float, float] | None = None,
        mask: str | None = None,
        garments: dict[str, list[str]] | None = None,
    ) -> None:
        """Add one row's content to the record of that id.

        Args:
            record_id: Rows with the same id become one record.
            file: The picture, relative to the dataset's root; the first row's counts.
            captions: Raw captions, appended.
            phrases: Raw phrases, appended.
            person_id: The person, if the row says.
            split: The split, if the row says.
            box: (x, y, width, height) in pixels; the first one counts, as for mask and garments.
            mask: Relative to the root.
            garments: Garment to colours.
        """
        group = self._groups.setdefault(record_id, _Group(file))
        group.captions += captions or []
        group.phrases += phrases or []
        if person_id is not None and person_id not in group.persons:
            group.persons.append(person_id)
        self.add_split(record_id, split)
        group.box = group.box or box
        group.mask = group.mask or mask
        group.garments = group.garments or garments or {}

    def add_split(self, record_id: str, split: Split | None) -> None:
        """Say which split a record that was added belongs to."""
        group = self._groups[record_id]
        if split is not None and split not in group.splits:
            group.splits.append(split)

    def finish(self, reading: Reading) -> None:
        """Clean the texts and append the records to ``reading``, with the contradictions that were found.

        Raises:
            DataError: If a record is impossible: a path out of the dataset's folder, a box without area.
        """
        for record_id, group in self._groups.items():
            if len(group.persons) > 1:
                reading.person_conflicts[record_id] = group.persons
            if len(group.splits) > 1:
                reading.split_conflicts[record_id] = list(group.splits)
            try:
                record = Record(
                    id=record_id,
                    file=group.file,
                    captions=reading.clean_captions(group.captions),
                    phrases=reading.clean_phrases(group.phrases),
                    person_id=group.persons[0] if len(group.persons) == 1 else None,
                    split=max(group.splits, key=SPLITS.index) if group.splits else None,
                    box=group.box,
                    mask=group.mask,
                    garments=group.garments,
                )
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(str(part) for part in first["loc"])
                raise DataError(
                    f"{reading.files[0]}, picture {record_id!r}: key {key!r}: {first['msg']}, got {first['input']!r}"
                ) from error
            reading.records.append(record)
