from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.datasets.checks import check_ids
from onlooker.datasets.readers.generic import read_generic
from onlooker.datasets.reading import ReadOptions
from onlooker.errors import DataError
from tests.unit.datasets import trees

NO_OPTIONS = ReadOptions()


def test_json_lines_with_everything(tmp_path: Path) -> None:
    trees.picture(tmp_path / "photos/a.jpg")
    rows = [
        {
            "file": "a.jpg",
            "captions": ["A man.", "He walks."],
            "query": "walking man",
            "person_id": 7,
            "split": "dev",
            "box": [1, 2, 10, 20],
            "garments": {"coat": ["red"]},
            "mood": "calm",
        },
        {"file": "a.jpg", "text": "A woman.", "phrases": ["woman"], "box": [12, 2, 10, 20]},
        {"file": "b.jpg", "caption": "A dog."},
    ]
    trees.write_lines(tmp_path / "captions.jsonl", rows)
    reading = read_generic(tmp_path, NO_OPTIONS)
    first, second, third = reading.records
    assert (first.id, first.file, first.person_id, first.split) == ("a.jpg:1,2,10,20", "photos/a.jpg", "7", "val")
    assert (first.captions, first.phrases, first.box) == (["A man.", "He walks."], ["walking man"], (1, 2, 10, 20))
    assert (second.captions, second.phrases) == (["A woman."], ["woman"])
    assert (third.id, third.file) == ("b.jpg", "photos/b.jpg")
    assert any("mood" in note for note in reading.notes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_a_row_per_caption(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ["image", "caption", "person_id", "split", "box"],
        ["a.jpg", "A man.", "1", "train", "1 2 10 20"],
        ["a.jpg", "He walks.", "1", "train", "1 2 10 20"],
        ["b.jpg", "A woman.", "2", "", ""],
    ]
    name = "captions.tsv" if delimiter == "\t" else "captions.csv"
    trees.write(tmp_path / name, "".join(delimiter.join(row) + "\n" for row in rows))
    first, second = read_generic(tmp_path, NO_OPTIONS).records
    assert (first.captions, first.person_id, first.box) == (["A man.", "He walks."], "1", (1, 2, 10, 20))
    assert (second.split, second.box) == (None, None)


def test_names_that_number_captions_are_found(tmp_path: Path) -> None:
    rows = [{"file": f"a.jpg#{k}", "caption": f"Caption {k}."} for k in range(5)]
    trees.write_lines(tmp_path / "captions.jsonl", rows)
    assert {finding.check for finding in check_ids(read_generic(tmp_path, NO_OPTIONS))} == {
        "caption-index",
        "name-suffix",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"caption": "x"}, "line 1: the key 'file' must name the picture, got None"),
        ({"file": "../x.jpg"}, "must be a path inside"),
        ({"file": "/x.jpg"}, "must be a path inside"),
        ({"file": "a.jpg", "caption": 3}, "line 1: the key 'caption' must hold text, got int"),
        ({"file": "a.jpg", "box": [1, 2, 3]}, "must hold \\[x, y, width, height\\]"),
        ({"file": "a.jpg", "box": "1 two 3 4"}, "must hold \\[x, y, width, height\\]"),
        ({"file": "a.jpg", "box": [1, 2, 0, 3]}, "has no area"),
        ({"file": "a.jpg", "box": [1, 2, float("nan"), 3]}, "has no area"),
        ({"file": "a.jpg", "split": "other"}, "the split 'other' is unknown"),
        ({"file": "a.jpg", "person_id": 1.5}, "the key 'person_id' must hold text or a whole number"),
        ({"file": "a.jpg", "garments": ["coat"]}, "must map each garment"),
    ],
)
def test_broken_rows(tmp_path: Path, row: dict[str, object], message: str) -> None:
    trees.write_lines(tmp_path / "captions.jsonl", [row])
    with pytest.raises(DataError, match=message):
        read_generic(tmp_path, NO_OPTIONS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("picture,caption\na.jpg,x\n", "line 1: no column names the picture"),
        ("file,caption\na.jpg,x,y\n", "line 2: 2 fields are wanted, got 3; quote"),
        ("", "line 1: no column"),
    ],
)
def test_broken_tables(tmp_path: Path, content: str, message: str) -> None:
    trees.write(tmp_path / "captions.csv", content)
    with pytest.raises(DataError, match=message):
        read_generic(tmp_path, NO_OPTIONS)
