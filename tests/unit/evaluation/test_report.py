from __future__ import annotations

import json
from pathlib import Path

import pytest

from onlooker.evaluation.report import Report, rows, to_markdown, to_text
from onlooker.evaluation.runner import evaluate
from onlooker.runtime.fake import FakeEncoder
from tests.unit.evaluation.painted import painted


@pytest.fixture
def report(tmp_path: Path) -> Report:
    manifest = painted(tmp_path)
    manifest.path(manifest.records[4]).write_bytes(b"")
    return evaluate(FakeEncoder(), manifest, bootstrap=20, seed=3, limit=99, model="fake|one").report


def test_json_says_what_was_measured_and_how(report: Report, tmp_path: Path) -> None:
    paths = report.save(tmp_path / "out")
    assert [path.name for path in paths] == ["report.json", "report.md"]
    found = json.loads(paths[0].read_text(encoding="utf-8"))
    assert found == report.to_dict()
    assert found["format"] == 1
    assert found["model"] == {"name": "fake|one", "id": FakeEncoder().bundle_id, "dimension": 64}
    assert found["data"]["pictures_skipped"][0]["id"] == "4_0"
    assert (found["data"]["records"], found["data"]["pictures_read"], found["data"]["split"]) == (5, 4, "val")
    assert found["protocol"]["bootstrap"] == {"level": 0.95, "resamples": 20, "seed": 3, "drawn": "pictures"}
    result = found["results"]["text-to-image"]
    assert (result["r1"], result["without_positive"], result["intervals"]["r1"]) == (1.0, 2, [1.0, 1.0])


def test_markdown_has_one_table_and_the_rules(report: Report) -> None:
    page = to_markdown(report)
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "| R@1 | 100.0 % [100.0, 100.0] | 100.0 % [100.0, 100.0] |" in table
    assert "| median rank | 1.0 [1.0, 1.0] | 1.0 [1.0, 1.0] |" in table
    assert "| without a right item | 2 | 0 |" in table
    for words in (
        "against the system",
        "counted",
        "20 draws of pictures",
        "first 99 records",
        "1 of 5 pictures",
        "Terms",
    ):
        assert words in page
    assert "- `4_0`: " in page


def test_text_is_aligned_and_fits_a_terminal(report: Report) -> None:
    lines = to_text(report).splitlines()
    assert lines[0].startswith("fake|one on painted (val, first 99 records)")
    start = lines[2].index("text to image")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines[2:13])
    assert max(map(len, lines[1:])) <= 80


def test_without_bootstrap_there_are_no_brackets(tmp_path: Path) -> None:
    report = evaluate(FakeEncoder(), painted(tmp_path), bootstrap=0).report
    assert report.to_dict()["protocol"]["bootstrap"] is None
    assert rows(report)[1] == ["R@1", "100.0 %", "100.0 %"]
    assert "interval" not in to_text(report) + to_markdown(report)


def test_a_long_list_of_skipped_pictures_is_cut_in_markdown_only(tmp_path: Path) -> None:
    manifest = painted(tmp_path, outfits=[("red", "blue")] * 30)
    for record in manifest.records[1:]:
        manifest.path(record).unlink()
    report = evaluate(FakeEncoder(), manifest, bootstrap=0).report
    assert "- and 9 more (all are in report.json)" in to_markdown(report)
    assert len(report.to_dict()["data"]["pictures_skipped"]) == 29
