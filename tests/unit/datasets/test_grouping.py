from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.datasets.grouping import RecordGroups, parse_split
from onlooker.datasets.reading import Reading
from onlooker.errors import DataError


@pytest.mark.parametrize(
    ("word", "split"),
    [("train", "train"), ("restval", "train"), ("Dev", "val"), (" test ", "test"), ("", None), (None, None)],
)
def test_split_words(word: str | None, split: str | None) -> None:
    assert parse_split(word, "here") == split


def test_unknown_split() -> None:
    with pytest.raises(DataError, match="here: the split 'extra' is unknown; known are train"):
        parse_split("extra", "here")


def test_rows_of_one_picture_are_joined_and_contradictions_kept() -> None:
    reading = Reading(files=[Path("a.json")])
    groups = RecordGroups()
    groups.add("a", "a.jpg", captions=["One ."], person_id="1", split="test")
    groups.add("b", "b.jpg", phrases=["b"], person_id="2", split="train")
    groups.add("a", "a.jpg", captions=["one", "Two."], person_id="3", split="train")
    groups.finish(reading)
    first, second = reading.records
    assert (first.captions, first.person_id, first.split) == (["One.", "Two."], None, "test")
    assert (second.phrases, second.person_id, second.split) == (["b"], "2", "train")
    assert reading.person_conflicts == {"a": ["1", "3"]}
    assert reading.split_conflicts == {"a": ["test", "train"]}
    assert (reading.captions.read, reading.captions.doubled, reading.phrases.read) == (3, 1, 1)
