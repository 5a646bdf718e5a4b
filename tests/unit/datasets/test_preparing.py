from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from onlooker.datasets.catalogue import DATASETS
from onlooker.datasets.manifest import Manifest
from onlooker.datasets.preparing import PrepareOptions, Report, prepare
from onlooker.errors import ConfigError, DataError
from tests.unit.datasets import trees


def found(report: Report) -> dict[str, Any]:
    return {finding.check: finding for finding in report.findings}


def test_flickr8k_drops_the_picture_that_does_not_exist(tmp_path: Path) -> None:
    manifest, report = prepare("flickr8k", trees.flickr8k(tmp_path))
    assert len(manifest) == 5
    assert report.pictures == {"looked_for": True, "opened": True, "present": 5, "missing": 1, "unreadable": 0}
    assert found(report)["missing"].examples == ["Flicker8k_Dataset/2258277193_586949ec62.jpg.1"]
    assert found(report)["name-suffix"].count == 1
    assert report.splits == {"train": 2, "val": 1, "test": 1, "none": 1}
    assert (report.read["images"], report.kept["images"]) == (6, 5)
    assert "counts" in found(report)


def test_one_bad_picture_is_named_and_skipped(tmp_path: Path) -> None:
    root = trees.cuhk(tmp_path)
    (root / "imgs/CUHK01/0363004.png").write_bytes(b"\x89PNG broken")
    manifest, report = prepare("cuhk-pedes", root)
    assert [record.id for record in manifest.records] == [row["file_path"] for row in trees.CUHK_ROWS[1:]]
    assert found(report)["unreadable"].count == 1
    assert "0363004.png" in found(report)["unreadable"].examples[0]
    assert report.problems


def test_near_duplicates_are_on_one_side_of_a_split_made_here(tmp_path: Path) -> None:
    root = trees.street(tmp_path)
    for seed in range(12):
        manifest, report = prepare("street", root, PrepareOptions(val=4, seed=seed))
        sides = {record.id: record.split for record in manifest.records}
        assert sides["0011.jpg"] == sides["0012.jpg"]
        assert report.splits == {"train": 8, "val": 4}
        assert found(report)["near-duplicates"].count == 1
        assert "near-duplicate-across-splits" not in found(report)


def test_the_default_split_does_not_swallow_a_small_set(tmp_path: Path) -> None:
    _, report = prepare("street", trees.street(tmp_path))
    assert report.splits == {"train": 10, "val": 2}
    _, report = prepare("street", tmp_path, PrepareOptions(val=0))
    assert report.splits == {"none": 12}


def test_a_leak_between_published_splits_is_reported(tmp_path: Path) -> None:
    root = trees.flickr8k(tmp_path)
    train, test = root / "Flicker8k_Dataset/0_abc.jpg", root / "Flicker8k_Dataset/3_abc.jpg"
    test.write_bytes(train.read_bytes())
    _, report = prepare("flickr8k", root)
    assert found(report)["same-picture-across-splits"].count == 1


def test_text_only_keeps_every_record(tmp_path: Path) -> None:
    trees.write(tmp_path / "results_20130124.token.gz", "1.jpg#0\tA man.\n2.jpg#0\tA dog.\n")
    manifest, report = prepare("flickr30k", tmp_path, PrepareOptions(text_only=True))
    assert len(manifest) == 2
    assert not report.pictures["looked_for"]
    with pytest.raises(
        DataError, match=r"none of the 2 pictures .* flickr30k-images/1\.jpg; .*--text-only".replace(" f", ".*f")
    ):
        prepare("flickr30k", tmp_path)


def test_quick_says_what_it_cannot_know(tmp_path: Path) -> None:
    _, report = prepare("street", trees.street(tmp_path), PrepareOptions(quick=True))
    assert not report.pictures["opened"]
    assert any("near-duplicates may lie on both sides" in note for note in report.notes)


def test_people_boxes(tmp_path: Path) -> None:
    manifest, report = prepare("coco", trees.coco(tmp_path), PrepareOptions(people=True, min_height=25))
    assert len(manifest) == 2
    assert found(report)["no-text"].level == "note"


def test_the_same_way_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    root = trees.street(tmp_path / "data")
    for name in ("a.jsonl", "b.jsonl"):
        manifest, _ = prepare("street", root)
        manifest.save(tmp_path / name)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert Manifest.load(tmp_path / "a.jsonl").records == manifest.records


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    steps: list[float] = []
    totals: list[int] = []

    @contextmanager
    def progress(description: str, total: int) -> Iterator[Any]:
        totals.append(total)
        yield steps.append

    prepare("street", trees.street(tmp_path), progress=progress)
    assert totals == [12]
    assert sum(steps) == 12


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no dataset 'flickr9k'; known are flickr30k"):
        prepare("flickr9k", tmp_path)
    with pytest.raises(ConfigError, match="comes with one"):
        prepare("flickr8k", trees.flickr8k(tmp_path / "a"), PrepareOptions(val=1))
    trees.write(tmp_path / "b/captions.jsonl", "\n")
    with pytest.raises(DataError, match="describes no picture"):
        prepare("generic", tmp_path / "b")


def test_the_catalogue_is_complete() -> None:
    assert list(DATASETS) == [
        "flickr30k",
        "flickr8k",
        "cuhk-pedes",
        "icfg-pedes",
        "rstpreid",
        "coco",
        "street",
        "pedestrians",
        "market1501",
        "dukemtmc-reid",
        "cuhk03-np",
        "cuhk03",
        "generic",
    ]
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.terms.endswith(".")


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_street_photographs(shared: Path) -> None:
    manifest, report = prepare("street", shared / "street_photos", PrepareOptions(val=300, seed=0))
    assert report.problems == []
    assert report.splits == {"train": 1_498, "val": 300}
    assert found(report)["near-duplicates"].count == 12
    sides = {record.id: record.split for record in manifest.records}
    for pair in ("0025 1707", "0343 1083", "0183 0730", "0594 0722", "1671 1790", "0643 1913", "0538 1715"):
        one, other = pair.split()
        assert sides[f"{one}.jpg"] == sides[f"{other}.jpg"]


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_flickr8k(shared: Path) -> None:
    manifest, report = prepare("flickr8k", shared / "flickr8k", PrepareOptions(quick=True))
    assert len(manifest) == 8_091
    assert (report.read["images"], report.read["captions"]) == (8_092, 40_460)
    assert report.splits == {"train": 6_000, "val": 1_000, "test": 1_000, "none": 91}
    assert set(found(report)) == {"missing", "name-suffix"}
