"""Making a validation split where the publisher made none."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from onlooker.datasets.manifest import Record
from onlooker.errors import ConfigError


def split_off_validation(
    records: Sequence[Record], *, val: int, seed: int, groups: Sequence[int] | None = None
) -> list[Record]:
    """Give ``val`` records the split "val" and the others "train"; records in "test" keep it.

    Which records go where depends on their ids and the seed alone (by hash), not on their order or on the machine.
    Whole groups move: records with one person id, one file, or one entry in ``groups`` end up on one side.

    Args:
        records: The records; none of them may be in "val".
        val: How many records the validation split shall have; where whole groups do not fit exactly it gets fewer.
        seed: Another seed gives another split.
        groups: For each record the number of its group of near-duplicates; None where nothing is known of them.

    Returns:
        New records in the same order.

    Raises:
        ConfigError: If there is a validation split already, or ``val`` leaves nothing to train on.
    """
    if any(record.split == "val" for record in records):
        raise ConfigError("--val makes a validation split, but this dataset comes with one; leave --val out")
    free = [index for index, record in enumerate(records) if record.split != "test"]
    if val < 0 or (val and val >= len(free)):
        raise ConfigError(
            f"--val {val}: between 0 and {max(len(free) - 1, 0)} of the {len(free)} records can be set aside"
        )
    chosen: set[int] = set()
    ordered = sorted(_units(records, free, groups), key=lambda unit: _order(records, unit, seed))
    for unit in ordered:
        if len(chosen) + len(unit) <= val:
            chosen.update(unit)
        if len(chosen) == val:
            break
    return [
        record if record.split == "test" else record.model_copy(update={"split": "val" if index in chosen else "train"})
        for index, record in enumerate(records)
    ]


def _order(records: Sequence[Record], unit: list[int], seed: int) -> str:
    name = min(records[index].id for index in unit)
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _units(records: Sequence[Record], free: list[int], groups: Sequence[int] | None) -> list[list[int]]:
    """Return the sets of records that must not be parted."""
    from onlooker.datasets.fingerprints import groups_of

    position = {index: place for place, index in enumerate(free)}
    pairs: list[tuple[int, int]] = []
    first: dict[tuple[str, object], int] = {}
    for index in free:
        record = records[index]
        keys: list[tuple[str, object]] = [("file", record.file)]
        if record.person_id is not None:
            keys.append(("person", record.person_id))
        if groups is not None:
            keys.append(("group", groups[index]))
        for key in keys:
            pairs.append((position[first.setdefault(key, index)], position[index]))
    units: dict[int, list[int]] = defaultdict(list)
    for place, root in enumerate(groups_of(len(free), pairs)):
        units[root].append(free[place])
    return list(units.values())
