from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.datasets.masks import LABELS, read_labels, read_mask
from onlooker.datasets.readers.street import read_pedestrians, read_street
from onlooker.datasets.reading import ReadOptions
from onlooker.errors import DataError
from tests.unit.datasets import trees

NO_OPTIONS = ReadOptions()


def test_street(tmp_path: Path) -> None:
    reading = read_street(trees.street(tmp_path), NO_OPTIONS)
    first, second, third = reading.records[:3]
    assert (first.id, first.file, first.mask) == ("0001.jpg", "photos/0001.jpg", "masks/0001.mat")
    assert first.box == (12.0, 0.0, 24.0, 72.0)
    assert first.garments == {"coat": ["red", "black"]}
    assert (first.captions, first.phrases) == (["Person 1 in a coat."], ["coat number 1"])
    assert second.garments == {"hair": [], "skirt": []}
    assert (second.mask, second.box, third.garments) == (None, None, {})
    assert {record.split for record in reading.records} == {None}


def test_garments_are_optional(tmp_path: Path) -> None:
    (trees.street(tmp_path) / "garments.json").unlink()
    assert read_street(tmp_path, NO_OPTIONS).records[0].garments == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"file": "0001.jpg", "garments": {"coat": {"area": 1}}}, "garment 'coat': the key 'colors' is missing"),
        ({"file": "0001.jpg", "garments": {"coat": {"colors": ["red"]}}}, "must hold pairs of a name and a share"),
        ({"file": "0001.jpg"}, "entry 0: the key 'tags' is missing"),
        ({"file": "0001.jpg", "tags": [], "person_bbox_xyxy_norm": [0.5, 0, 0.2, 1]}, "must lie within 0..1"),
        ({"file": "0001.jpg", "tags": [], "person_bbox_xyxy_norm": [0.5, 0]}, "must hold four numbers"),
        ({"tags": []}, "entry 0: the key 'file' is missing"),
    ],
)
def test_broken_garments(tmp_path: Path, row: dict[str, object], message: str) -> None:
    trees.write_json(trees.street(tmp_path) / "garments.json", [row])
    with pytest.raises(DataError, match=message):
        read_street(tmp_path, NO_OPTIONS)


def test_broken_captions_name_the_line(tmp_path: Path) -> None:
    trees.write(trees.street(tmp_path) / "captions.jsonl", '{"file": "0001.jpg", "caption": "A man."}\n')
    with pytest.raises(DataError, match=r"captions\.jsonl, line 1: the key 'query' is missing"):
        read_street(tmp_path, NO_OPTIONS)


def test_pedestrians_are_validation_data(tmp_path: Path) -> None:
    trees.write_lines(tmp_path / "captions.jsonl", [{"file": "a.jpg", "caption": "A man.", "query": "man"}])
    record = read_pedestrians(tmp_path, NO_OPTIONS).records[0]
    assert (record.file, record.split) == ("crops/a.jpg", "val")


@pytest.mark.shared
def test_the_real_photographs(shared: Path) -> None:
    reading = read_street(shared / "street_photos", NO_OPTIONS)
    assert len(reading.records) == 1_798
    assert sum(record.mask is not None for record in reading.records) == 846
    assert sum(record.box is not None for record in reading.records) == 845
    assert len(read_pedestrians(shared / "pedestrians", NO_OPTIONS).records) == 145


@pytest.mark.shared
def test_the_real_masks(shared: Path) -> None:
    pytest.importorskip("scipy")
    labels = read_labels(shared / "street_photos/label_list.mat")
    assert labels == LABELS
    mask = read_mask(shared / "street_photos/masks/0246.mat")
    assert mask.shape == (825, 550)
