from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.datasets.manifest import Record
from onlooker.datasets.splitting import split_off_validation
from onlooker.errors import ConfigError


def some(count: int) -> list[Record]:
    return [Record(id=f"{number}.jpg", file=f"{number}.jpg") for number in range(count)]


def validation(records: list[Record]) -> set[str]:
    return {record.id for record in records if record.split == "val"}


def test_size_and_rest() -> None:
    records = split_off_validation(some(100), val=30, seed=0)
    assert len(validation(records)) == 30
    assert {record.split for record in records} == {"train", "val"}
    assert [record.id for record in records] == [record.id for record in some(100)]


def test_the_split_depends_on_ids_and_seed_alone() -> None:
    chosen = validation(split_off_validation(some(100), val=30, seed=0))
    shuffled = some(100)
    random.Random(1).shuffle(shuffled)
    assert validation(split_off_validation(shuffled, val=30, seed=0)) == chosen
    assert validation(split_off_validation(some(100), val=30, seed=1)) != chosen


def test_the_split_is_the_same_on_every_machine() -> None:
    assert validation(split_off_validation(some(10), val=3, seed=0)) == {"2.jpg", "8.jpg", "9.jpg"}


@given(st.lists(st.integers(0, 8), min_size=5, max_size=30), st.integers(1, 4), st.integers(0, 5))
def test_groups_people_and_files_stay_together(groups: list[int], val: int, seed: int) -> None:
    rng = random.Random(seed)
    records = [
        Record(
            id=str(number),
            file=f"{rng.randrange(len(groups))}.jpg",
            person_id=None if rng.random() < 0.5 else str(rng.randrange(len(groups))),
        )
        for number in range(len(groups))
    ]
    done = split_off_validation(records, val=val, seed=seed, groups=groups)
    assert len(validation(done)) <= val
    for keys in (groups, [record.file for record in done], [record.person_id for record in done]):
        sides: dict[object, set[str | None]] = {}
        for key, record in zip(keys, done, strict=True):
            if key is not None:
                sides.setdefault(key, set()).add(record.split)
        assert all(len(found) == 1 for found in sides.values())


def test_test_records_keep_their_split() -> None:
    records = [record.model_copy(update={"split": "test" if n % 2 else "train"}) for n, record in enumerate(some(20))]
    done = split_off_validation(records, val=4, seed=0)
    assert all((record.split == "test") == (n % 2 == 1) for n, record in enumerate(done))
    assert len(validation(done)) == 4


def test_what_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match="comes with one"):
        split_off_validation([some(1)[0].model_copy(update={"split": "val"})], val=1, seed=0)
    with pytest.raises(ConfigError, match=r"--val 10: between 0 and 9 of the 10 records"):
        split_off_validation(some(10), val=10, seed=0)
