from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.datasets.readers.flickr import read_flickr8k, read_flickr30k
from onlooker.datasets.reading import Reading, ReadOptions
from onlooker.errors import DataError
from tests.unit.datasets import trees

TOKENS = "1.jpg#0\tA man .\n1.jpg#1\tA man walks .\n22.jpg#0\tA dog\n"


def splits(reading: Reading) -> dict[str, str | None]:
    return {record.id: record.split for record in reading.records}


@pytest.mark.parametrize("name", ["results_20130124.token", "results_20130124.token.gz"])
def test_flickr30k_tokens(tmp_path: Path, name: str) -> None:
    trees.write(tmp_path / name, TOKENS)
    # Some lists have no endings.
    trees.write(tmp_path / "train.txt", "1\n")
    trees.write(tmp_path / "val.txt", "22.jpg\n\n")
    trees.write(tmp_path / "test.txt", "404.jpg\n")
    reading = read_flickr30k(tmp_path, ReadOptions())
    first, second = reading.records
    assert (first.id, first.file, first.captions) == ("1.jpg", "flickr30k-images/1.jpg", ["A man.", "A man walks."])
    assert second.captions == ["A dog"]
    assert splits(reading) == {"1.jpg": "train", "22.jpg": "val"}
    assert reading.captions.read == 3
    assert any("test.txt names 1 pictures without captions, such as 404.jpg" in note for note in reading.notes)


def test_flickr30k_counts_depend_on_the_part(tmp_path: Path) -> None:
    trees.write(tmp_path / "results_20130124.token", TOKENS)
    trees.write(tmp_path / "train.txt", "1.jpg\n")
    reading = read_flickr30k(tmp_path, ReadOptions())
    assert reading.published["images"] == 31_783
    assert reading.published["train images"] == 29_000
    trees.write(tmp_path / "val.txt", "22.jpg\n")
    assert read_flickr30k(tmp_path, ReadOptions()).published["images"] == 31_014


def test_flickr30k_kaggle(tmp_path: Path) -> None:
    rows = (
        "image_name| comment_number| comment\n"
        '1.jpg| 0| A man says "hi, there" | twice .\n'
        "2199200615.jpg| 4   A dog runs across the grass .\n"
    )
    trees.write(tmp_path / "flickr30k_images/results.csv", rows)
    trees.picture(tmp_path / "flickr30k_images/flickr30k_images/1.jpg")
    reading = read_flickr30k(tmp_path, ReadOptions())
    assert [(record.file, record.captions) for record in reading.records] == [
        ("flickr30k_images/flickr30k_images/1.jpg", ['A man says "hi, there" | twice.']),
        ("flickr30k_images/flickr30k_images/2199200615.jpg", ["A dog runs across the grass."]),
    ]
    assert any("1 row of results.csv" in note for note in reading.notes)
    assert any("no split lists" in note for note in reading.notes)


def karpathy(name: str, split: str, *raw: str) -> dict[str, object]:
    sentences = [{"tokens": text.lower().split(), "raw": text, "imgid": 0, "sentid": k} for k, text in enumerate(raw)]
    return {"filename": name, "split": split, "imgid": 0, "sentids": [0], "sentences": sentences}


def test_karpathy(tmp_path: Path) -> None:
    images = [karpathy("1.jpg", "restval", "A man.", "Man"), karpathy("2.jpg", "test", "A dog.")]
    trees.write_json(tmp_path / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})
    reading = read_flickr30k(tmp_path, ReadOptions())
    assert splits(reading) == {"1.jpg": "train", "2.jpg": "test"}
    assert reading.records[0].captions == ["A man.", "Man"]


def test_flickr8k_original(tmp_path: Path) -> None:
    reading = read_flickr8k(trees.flickr8k(tmp_path), ReadOptions())
    assert len(reading.records) == 6
    assert reading.published["images"] == 8_092
    assert reading.published["captions"] == 40_460
    assert list(splits(reading).values()) == ["train", "train", "val", "test", None, None]
    assert reading.records[0].file == "Flicker8k_Dataset/0_abc.jpg"
    assert reading.records[0].captions[0] == "Caption 0 of 0_abc.jpg."


def test_flickr8k_kaggle(tmp_path: Path) -> None:
    trees.write(
        tmp_path / "captions.txt", 'image,caption\n1_a.jpg,"A child , ""in pink"" , climbs ."\n1_a.jpg,A girl .\n'
    )
    trees.picture(tmp_path / "Images/1_a.jpg")
    reading = read_flickr8k(tmp_path, ReadOptions())
    assert reading.records[0].captions == ['A child, "in pink" , climbs.', "A girl."]
    assert reading.records[0].file == "Images/1_a.jpg"
    assert (reading.published["images"], reading.published["captions"]) == (8_091, 40_455)


def test_a_picture_in_two_lists_goes_to_test_and_is_reported(tmp_path: Path) -> None:
    trees.flickr8k(tmp_path)
    trees.write(tmp_path / "Flickr_8k.testImages.txt", "0_abc.jpg\n")
    reading = read_flickr8k(tmp_path, ReadOptions())
    assert splits(reading)["0_abc.jpg"] == "test"
    assert reading.split_conflicts == {"0_abc.jpg": ["train", "test"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results_20130124.token", "1.jpg#0\tA man .\n1.jpg#1 no tab\n", "line 2: 'name.jpg#0<tab>caption' is wanted"),
        ("results_20130124.token", "1.jpg\tNo number.\n", "line 1: "),
        ("results.csv", "image_name| comment_number| comment\n1.jpg, 0, A man\n", "line 2: 'name.jpg| 0| caption'"),
        ("dataset_flickr30k.json", "[]", "the key 'images' is wanted, got list"),
        (
            "dataset_flickr30k.json",
            '{"images": [{"filename": "a.jpg"}]}',
            r"images\[0\]: the key 'sentences' is missing",
        ),
        ("dataset_flickr30k.json", '{"images": [3]}', r"images\[0\]: an object is wanted"),
        (
            "dataset_flickr30k.json",
            '{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"tokens": []}]}]}',
            r"images\[0\]\.sentences\[0\]: the key 'raw' is missing",
        ),
        (
            "dataset_flickr30k.json",
            '{"images": [{"filename": "a.jpg", "split": "late", "sentences": []}]}',
            r"images\[0\]: the split 'late' is unknown",
        ),
    ],
)
def test_broken_annotations(tmp_path: Path, name: str, content: str, message: str) -> None:
    trees.write(tmp_path / name, content)
    with pytest.raises(DataError, match=message):
        read_flickr30k(tmp_path, ReadOptions())


def test_broken_kaggle_csv(tmp_path: Path) -> None:
    trees.write(tmp_path / "captions.txt", "image,caption\na.jpg,unquoted, comma\n")
    with pytest.raises(DataError, match=r"captions\.txt, line 2: two fields"):
        read_flickr8k(tmp_path, ReadOptions())


def test_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no caption file; looked for .*Flickr8k\.token\.txt"):
        read_flickr8k(tmp_path, ReadOptions())


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_flickr30k_texts(shared: Path) -> None:
    reading = read_flickr30k(shared / "flickr30k_text", ReadOptions())
    assert len(reading.records) == 31_014
    assert reading.captions.read == 31_014 * 5
    assert sum(record.split == "train" for record in reading.records) == 29_000
    assert sum(record.split == "val" for record in reading.records) == 1_014
