from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlooker.datasets.manifest import Manifest
from onlooker.datasets.preparing import prepare
from onlooker.datasets.readers.reidentification import read_cuhk03, read_cuhk03_np, read_duke, read_market
from onlooker.datasets.reading import ReadOptions
from onlooker.errors import DataError

NO_OPTIONS = ReadOptions()

MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s3_000776_01.jpg",
    "bounding_box_train/0007_c3s3_077419_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "query/0003_c6s1_000001_00.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/0001_c2s1_000301_00.jpg",
    "bounding_box_test/0001_c1s1_001001_02.jpg",
    "bounding_box_test/0003_c1s6_015971_02.jpg",
)


def make(root: Path, names: tuple[str, ...]) -> Path:
    random = np.random.default_rng(0)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (128, 64, 3), dtype=np.uint8)).save(path)
    return root


def test_market(tmp_path: Path) -> None:
    root = make(tmp_path / "Market-1501-v15.09.15", MARKET)
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"what Windows leaves")
    (root / "readme.txt").write_text("no picture")
    reading = read_market(root, NO_OPTIONS)
    assert [(one.file, one.person_id, one.camera, one.split, one.role) for one in reading.records] == [
        ("bounding_box_train/0002_c1s1_000451_03.jpg", "2", "1", "train", None),
        ("bounding_box_train/0002_c2s3_000776_01.jpg", "2", "2", "train", None),
        ("bounding_box_train/0007_c3s3_077419_03.jpg", "7", "3", "train", None),
        ("query/0001_c1s1_001051_00.jpg", "1", "1", "test", "query"),
        ("query/0003_c6s1_000001_00.jpg", "3", "6", "test", "query"),
        # Junk, whose id is -1, is not there; a distractor is, without a person.
        ("bounding_box_test/0000_c1s1_000151_01.jpg", None, "1", "test", "gallery"),
        ("bounding_box_test/0001_c1s1_001001_02.jpg", "1", "1", "test", "gallery"),
        ("bounding_box_test/0001_c2s1_000301_00.jpg", "1", "2", "test", "gallery"),
        ("bounding_box_test/0003_c1s6_015971_02.jpg", "3", "1", "test", "gallery"),
    ]
    assert reading.notes == [
        "1 pictures of junk (id -1) are left out: they count neither as right nor as wrong",
        "1 distractors (id 0000) are in the gallery and match nobody",
    ]


def test_duke_and_cuhk03_np(tmp_path: Path) -> None:
    duke = read_duke(
        make(tmp_path / "duke", ("query/0005_c2_f0046985.jpg", "bounding_box_test/0005_c5_f0051341.jpg")), NO_OPTIONS
    )
    assert [(one.person_id, one.camera, one.role) for one in duke.records] == [
        ("5", "2", "query"),
        ("5", "5", "gallery"),
    ]
    cuhk = read_cuhk03_np(
        make(tmp_path / "cuhk", ("query/0003_c1_21.png", "bounding_box_test/0003_c2_26.png")), NO_OPTIONS
    )
    assert [(one.person_id, one.camera, one.role) for one in cuhk.records] == [
        ("3", "1", "query"),
        ("3", "2", "gallery"),
    ]


def test_cuhk03(tmp_path: Path) -> None:
    names = ("1_001_1_01.png", "1_001_2_06.png", "2_001_1_01.png")
    root = make(tmp_path / "cuhk03", tuple(f"images_labeled/{name}" for name in names))
    reading = read_cuhk03(root, NO_OPTIONS)
    # Person 1 of the first pair of cameras is another than person 1 of the second.
    assert [(one.person_id, one.camera, one.split, one.role) for one in reading.records] == [
        ("1_1", "1_1", None, None),
        ("1_1", "1_2", None, None),
        ("2_1", "2_1", None, None),
    ]
    assert read_cuhk03(root / "images_labeled", NO_OPTIONS).records[0].file == "1_001_1_01.png"


def test_a_manifest_keeps_cameras_and_roles(tmp_path: Path) -> None:
    manifest, report = prepare("market1501", make(tmp_path / "market", MARKET))
    manifest.save(tmp_path / "market.jsonl")
    assert Manifest.load(tmp_path / "market.jsonl").records == manifest.records
    assert not any(finding.check == "no-text" and finding.level == "problem" for finding in report.findings)
    assert report.splits == {"train": 3, "test": 6}


@pytest.mark.parametrize(
    ("read", "names", "message"),
    [
        (read_market, ("query/somebody.jpg",), r"somebody\.jpg: the name does not say who"),
        (read_market, ("pictures/0001_c1s1_001051_00.jpg",), "none of the folders bounding_box_train"),
        (read_cuhk03, ("images_labeled/0001_c1.png",), "none of CUHK03"),
        (read_cuhk03, ("elsewhere/1_001_1_01.png",), "holds no picture"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, read, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(make(tmp_path / "other", names), NO_OPTIONS)
    with pytest.raises(DataError):
        read(tmp_path / "nowhere" / "at all", NO_OPTIONS)
