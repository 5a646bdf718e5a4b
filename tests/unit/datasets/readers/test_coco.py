from __future__ import annotations

import json
from pathlib import Path

import pytest

from onlooker.datasets.readers.coco import read_coco
from onlooker.datasets.reading import ReadOptions
from onlooker.errors import DataError
from tests.unit.datasets import trees

PEOPLE = ReadOptions(people=True, min_height=25)


def test_pictures_with_their_captions(tmp_path: Path) -> None:
    reading = read_coco(trees.coco(tmp_path), ReadOptions())
    assert [(record.id, record.file, record.split) for record in reading.records] == [
        ("train2017/000000000007.jpg", "train2017/000000000007.jpg", "train"),
        ("val2017/000000000009.jpg", "val2017/000000000009.jpg", "val"),
    ]
    assert len(reading.records[0].captions) == 5
    assert any("lists 1 of the 118,287" in note for note in reading.notes)


def test_people_carry_captions_only_where_they_are_alone(tmp_path: Path) -> None:
    reading = read_coco(trees.coco(tmp_path), PEOPLE)
    assert {record.id: (record.box, len(record.captions)) for record in reading.records} == {
        "train2017/000000000007.jpg:3": ((2.0, 1.0, 10.0, 30.0), 5),
        "val2017/000000000009.jpg:4": ((0.0, 0.0, 8.0, 30.0), 0),
    }
    assert any("3 person boxes, 2 of them left out" in note for note in reading.notes)


def test_broken_references(tmp_path: Path) -> None:
    path = trees.coco(tmp_path) / "annotations/captions_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][2]["image_id"] = 12345
    trees.write_json(path, content)
    with pytest.raises(DataError, match=r"captions_train2017\.json, annotations\[2\]: image_id 12345 is not among"):
        read_coco(tmp_path, ReadOptions())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": []}, "no category is named 'person'; it has none"),
        ({"annotations": [{"category_id": 1, "bbox": [1, 2], "image_id": 7, "id": 1}]}, "must hold four numbers"),
        ({"annotations": [7]}, r"annotations\[0\]: an object is wanted"),
    ],
)
def test_broken_instances(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = trees.coco(tmp_path) / "annotations/instances_train2017.json"
    trees.write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path, PEOPLE)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no captions_"):
        read_coco(tmp_path, ReadOptions())
    (trees.coco(tmp_path) / "annotations/instances_val2017.json").unlink()
    with pytest.raises(DataError, match=r"--people needs .*instances_val2017\.json"):
        read_coco(tmp_path, PEOPLE)


@pytest.mark.shared
def test_the_real_selection(shared: Path) -> None:
    reading = read_coco(shared / "coco_mini_person", ReadOptions())
    assert (len(reading.records), reading.captions.read) == (75, 375)
    people = read_coco(shared / "coco_mini_person", ReadOptions(people=True, min_height=1))
    # 290 person boxes, six of which are crowds and no one person.
    assert len(people.records) == 284
    assert any("172 person boxes" in note for note in people.notes)
    assert any("118 person boxes" in note for note in people.notes)
