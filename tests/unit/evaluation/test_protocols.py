from __future__ import annotations

import numpy as np
import pytest

from onlooker.datasets.manifest import Record
from onlooker.errors import ConfigError
from onlooker.evaluation.protocols import NOBODY, choose, labels, relevant


def records(*persons: str | None) -> list[Record]:
    return [Record(id=f"r{i}", file=f"{i}.jpg", person_id=person) for i, person in enumerate(persons)]


def test_image_protocol_pairs_each_record_with_itself() -> None:
    assert labels(records("a", "a", None), "image").tolist() == [0, 1, 2]


def test_person_protocol_joins_records_of_one_person_and_leaves_the_unknown_alone() -> None:
    assert labels(records("b", "a", None, "b"), "person").tolist() == [0, 1, NOBODY, 0]


def test_right_items_of_texts_and_of_pictures() -> None:
    label = labels(records("b", "a", None, "b"), "person")
    text_records = np.array([0, 0, 1, 2, 3])
    by_text = relevant(label[text_records], label)
    assert [items.tolist() for items in by_text] == [[0, 3], [0, 3], [1], [], [0, 3]]
    assert by_text[0] is by_text[4], "texts of one person share one array"
    by_picture = relevant(label, label[text_records])
    assert [items.tolist() for items in by_picture] == [[0, 1, 4], [2], [], [0, 1, 4]]


def test_a_missing_picture_leaves_its_texts_without_a_right_item() -> None:
    label = labels(records(None, None, None), "image")
    assert [items.tolist() for items in relevant(label[[0, 1, 2]], label[[0, 2]])] == [[0], [], [1]]


@pytest.mark.parametrize(
    ("asked", "persons", "chosen"),
    [
        ("auto", ("a", "b"), "person"),
        ("auto", (None, None), "image"),
        ("image", ("a", "b"), "image"),
        ("image", ("a", None), "image"),
        ("person", ("a", None), "person"),
    ],
)
def test_choice(asked: str, persons: tuple[str | None, ...], chosen: str) -> None:
    assert choose(asked, records(*persons)) == chosen


@pytest.mark.parametrize(
    ("asked", "persons", "message"),
    [
        ("auto", ("a", None), "1 of 2 records have a person id"),
        ("person", (None, None), "no record has one"),
        ("pair", ("a",), "unknown protocol 'pair'; choose one of image, person, auto"),
    ],
)
def test_choice_refused(asked: str, persons: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose(asked, records(*persons))
