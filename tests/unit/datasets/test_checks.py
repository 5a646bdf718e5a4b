from __future__ import annotations

from pathlib import Path

import numpy as np

from onlooker.datasets import checks
from onlooker.datasets.fingerprints import Fingerprint
from onlooker.datasets.manifest import Record
from onlooker.datasets.reading import Reading


def names(findings: list[checks.Finding]) -> list[str]:
    return [finding.check for finding in findings]


def a_print(sha256: str, width: int = 100, height: int = 200) -> Fingerprint:
    return Fingerprint(sha256, np.zeros(32, np.uint8), np.zeros((16, 16, 3), np.uint8), width, height)


def a_reading(*records: Record) -> Reading:
    return Reading(records=list(records), files=[Path("a.json")])


def test_counts() -> None:
    reading = a_reading(
        Record(id="a", file="a.jpg", person_id="1", split="train"),
        Record(id="b", file="a.jpg", person_id="1", split="train"),
        Record(id="c", file="c.jpg", person_id="2", split="test"),
    )
    reading.captions.read = 5
    counts = checks.counts_of(reading)
    assert (counts["images"], counts["people"], counts["records"], counts["captions"]) == (2, 2, 3, 5)
    assert (counts["train images"], counts["test people"]) == (1, 1)
    assert "val images" not in counts
    reading.published = {"images": 2, "val images": 7, "captions": 6}
    (finding,) = checks.check_counts(reading)
    assert finding.examples == ["val images: 0 instead of 7", "captions: 5 instead of 6"]


def test_disguised_ids() -> None:
    reading = a_reading(
        Record(id="a.jpg#0", file="a.jpg#0"), Record(id="a.jpg.1", file="a.jpg.1"), Record(id="b.jpg", file="b.JPG")
    )
    findings = {finding.check: finding for finding in checks.check_ids(reading)}
    assert findings["caption-index"].examples == ["a.jpg#0"]
    assert findings["name-suffix"].examples == ["a.jpg#0", "a.jpg.1"]


def test_person_ids_that_count_records() -> None:
    unique = a_reading(*(Record(id=str(n), file=f"{n}.jpg", person_id=str(n)) for n in range(9)))
    (finding,) = checks.check_ids(unique)
    assert (finding.check, finding.count, len(finding.examples)) == ("ids-per-record", 9, 5)
    shared_id = a_reading(*(Record(id=str(n), file=f"{n}.jpg", person_id=str(n // 2)) for n in range(9)))
    assert checks.check_ids(shared_id) == []


def test_people_in_two_splits() -> None:
    records = [
        Record(id="a", file="a.jpg", person_id="1", split="train"),
        Record(id="b", file="b.jpg", person_id="1", split="test"),
        Record(id="c", file="c.jpg", person_id="2", split="test"),
        Record(id="d", file="d.jpg", person_id="2"),
    ]
    (finding,) = checks.check_people(records)
    assert finding.examples == ["1: test, train"]


def test_leaks() -> None:
    records = [
        Record(id="a", file="a.jpg", split="train"),
        Record(id="b", file="b.jpg", split="test"),
        Record(id="c", file="c.jpg", split="val"),
        Record(id="d", file="d.jpg", split="train"),
        Record(id="e:1", file="e.jpg", split="train"),
        Record(id="e:2", file="e.jpg", split="val"),
    ]
    prints = {"a.jpg": a_print("1"), "b.jpg": a_print("1"), "c.jpg": a_print("2"), "d.jpg": a_print("3")}
    findings = checks.check_leaks(records, prints, [("a.jpg", "b.jpg"), ("a.jpg", "c.jpg"), ("a.jpg", "d.jpg")])
    assert names(findings) == [
        "picture-in-two-splits",
        "same-picture-across-splits",
        "near-duplicate-across-splits",
        "near-duplicates",
    ]
    assert findings[1].examples == ["a.jpg (train) and b.jpg (test)"]
    assert findings[2].examples == ["a.jpg (train) and c.jpg (val)"]
    assert (findings[3].level, findings[3].count) == ("note", 1)


def test_boxes_out_of_the_picture() -> None:
    records = [
        Record(id="a", file="a.jpg", box=(0, 0, 100.8, 200)),
        Record(id="b", file="a.jpg", box=(50, 0, 60, 200)),
        Record(id="c", file="a.jpg", box=(-5, 0, 60, 200)),
        Record(id="d", file="unknown.jpg", box=(500, 0, 60, 200)),
    ]
    (finding,) = checks.check_boxes(records, {"a.jpg": a_print("1")})
    assert [example.split(":")[0] for example in finding.examples] == ["b", "c"]


def test_records_without_text() -> None:
    records = [Record(id="a", file="a.jpg"), Record(id="b", file="b.jpg", phrases=["b"])]
    assert checks.check_texts(records)[0].level == "problem"
    assert checks.check_texts(records, wanted=False)[0].level == "note"
