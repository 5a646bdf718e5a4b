from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onlooker.datasets.checks import check_ids, counts_of
from onlooker.datasets.readers.person_search import read_cuhk, read_icfg, read_rstp
from onlooker.datasets.reading import ReadOptions
from onlooker.errors import DataError
from tests.unit.datasets import trees

NO_OPTIONS = ReadOptions()


def test_cuhk(tmp_path: Path) -> None:
    reading = read_cuhk(trees.cuhk(tmp_path), NO_OPTIONS)
    first = reading.records[0]
    assert (first.id, first.file, first.person_id) == ("CUHK01/0363004.png", "imgs/CUHK01/0363004.png", "1")
    # Ids start at 1 and stay as published: subtracting one in training alone is how ids of two splits get mixed.
    assert [record.person_id for record in reading.records] == ["1", "1", "2", "3"]
    assert [record.split for record in reading.records] == ["train", "train", "val", "test"]
    assert len(reading.records[1].captions) == 3
    assert counts_of(reading)["train people"] == 1
    assert reading.published["images"] == 40_206


def test_cuhk_original_release_has_no_split(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "split"} for row in trees.CUHK_ROWS]
    trees.write_json(tmp_path / "caption_all.json", rows)
    reading = read_cuhk(tmp_path, NO_OPTIONS)
    assert {record.split for record in reading.records} == {None}
    assert reading.published == {"images": 40_206, "people": 13_003}
    assert any("has no splits" in note for note in reading.notes)


def test_cuhk_new_dumps_hold_one_caption_as_text(tmp_path: Path) -> None:
    for split in ("val", "test"):
        rows = [{**row, "captions": row["captions"][0]} for row in trees.CUHK_ROWS if row["split"] == split]
        trees.write_json(tmp_path / f"{split}_new.json", rows)
    reading = read_cuhk(tmp_path, NO_OPTIONS)
    assert {record.id: (record.split, record.captions) for record in reading.records} == {
        "cam_a/000_45.jpg": ("test", ["A girl in green."]),
        "test_query/p8848_s17661.jpg": ("val", ["A woman in blue."]),
    }
    assert any("2 rows have fewer captions than token lists" in note for note in reading.notes)
    assert set(reading.published) == {"val images", "val people", "test images", "test people"}


def test_cuhk_one_row_per_caption_is_grouped(tmp_path: Path) -> None:
    rows = [
        {"id": row["id"], "file_path": row["file_path"], "captions": [caption]}
        for row in trees.CUHK_ROWS[2:3]
        for caption in row["captions"]
    ]
    trees.write_json(tmp_path / "caption_val.json", rows)
    reading = read_cuhk(tmp_path, NO_OPTIONS)
    assert len(reading.records) == 1
    assert reading.records[0].captions == ["A woman in blue.", "She walks."]
    assert reading.records[0].split == "val"
    assert reading.captions.read == 2


def test_ids_that_count_captions_are_found(tmp_path: Path) -> None:
    rows = [
        {"id": number, "file_path": "a/1.jpg", "captions": [f"Caption {number}."], "split": "train"}
        for number in range(3)
    ]
    trees.write_json(tmp_path / "reid_raw.json", rows)
    reading = read_cuhk(tmp_path, NO_OPTIONS)
    assert reading.records[0].person_id is None
    assert [finding.check for finding in check_ids(reading)] == ["ids-per-caption"]


def test_icfg(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "split": split,
            "captions": [f"Person {person}."],
            "file_path": f"{split}/{person:04}/{person:04}_002_01_0303morning_0009_{k}.jpg",
            "processed_tokens": [["person"]],
            "id": person,
        }
        for split, person in (("train", 0), ("test", 1))
        for k in range(2)
    ]
    trees.write_json(tmp_path / "ICFG-PEDES.json", rows)
    reading = read_icfg(tmp_path, NO_OPTIONS)
    assert reading.records[0].file == "imgs/train/0000/0000_002_01_0303morning_0009_0.jpg"
    assert [record.person_id for record in reading.records] == ["0", "0", "1", "1"]
    assert any("no validation split" in note for note in reading.notes)


def test_rstp(tmp_path: Path) -> None:
    row = {
        "id": 0,
        "img_path": "0000_c14_0031.jpg",
        "captions": ["The man is in a grey jacket and a blue shirt.His trousers are black.", "A strong man."],
        "split": "train",
    }
    trees.write_json(tmp_path / "data_captions.json", [row])
    record = read_rstp(tmp_path, NO_OPTIONS).records[0]
    assert record.file == "imgs/0000_c14_0031.jpg"
    assert record.captions[0] == "The man is in a grey jacket and a blue shirt. His trousers are black."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "a list of pictures is wanted, got dict"),
        ([3], "entry 0: an object is wanted"),
        (
            [{"id": 1, "file_path": "a.jpg", "captions": ["x"], "split": "train"}],
            "entry 0: the key 'img_path' is missing",
        ),
        ([{"id": 1, "img_path": "a.jpg", "split": "train"}], "entry 0: the key 'captions' is missing"),
        (
            [{"id": 1, "img_path": "a.jpg", "captions": [4], "split": "train"}],
            "entry 0: the key 'captions' must hold texts",
        ),
        ([{"id": 1.5, "img_path": "a.jpg", "captions": [], "split": "train"}], "entry 0: the key 'id' holds float"),
        ([{"id": 1, "img_path": "a.jpg", "captions": [], "split": "later"}], "entry 0: the split 'later' is unknown"),
        ([{"id": 1, "img_path": "../a.jpg", "captions": [], "split": "val"}], "picture '../a.jpg': key 'file'"),
    ],
)
def test_broken_annotations(tmp_path: Path, content: object, message: str) -> None:
    trees.write_json(tmp_path / "data_captions.json", content)
    with pytest.raises(DataError, match=message):
        read_rstp(tmp_path, NO_OPTIONS)


def test_nothing_there(tmp_path: Path) -> None:
    for read in (read_cuhk, read_icfg, read_rstp):
        with pytest.raises(DataError, match="has no annotation file; looked for"):
            read(tmp_path, NO_OPTIONS)
