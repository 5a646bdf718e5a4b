from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from onlooker.errors import ConfigError
from onlooker.evaluation.results import query_results, save_results
from onlooker.evaluation.runner import Evaluation, evaluate
from onlooker.runtime.fake import FakeEncoder
from tests.unit.evaluation.painted import painted


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    manifest = painted(tmp_path)
    records = manifest.records
    records[0] = records[0].model_copy(update={"captions": ['red jacket, "blue" jeans\nand a hat', "roter Kittel ü"]})
    return evaluate(FakeEncoder(), manifest, bootstrap=0)


def test_hits_are_best_first_and_agree_with_the_ranks(evaluation: Evaluation) -> None:
    results = list(query_results(evaluation, top=5))
    assert [result.query for result in results] == list(range(1, 11))
    for result in results:
        similarities = [hit.similarity for hit in result.hits]
        assert similarities == sorted(similarities, reverse=True)
        assert [hit.rank for hit in result.hits] == [1, 2, 3, 4, 5]
        assert [hit.rank for hit in result.hits if hit.right] == [result.first_right_rank]
        assert all(hit.right == (hit.record == result.written_for) for hit in result.hits)


def test_csv(evaluation: Evaluation, tmp_path: Path) -> None:
    save_results(evaluation, tmp_path / "r.csv", top=2)
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 20
    assert rows[0]["text"] == 'red jacket, "blue" jeans\nand a hat'
    assert (rows[0]["image"], rows[0]["rank"], rows[0]["right"]) == ("photos/0_0.jpg", "1", "1")
    assert -1 <= float(rows[1]["similarity"]) <= float(rows[0]["similarity"]) <= 1
    assert rows[2]["text"] == "roter Kittel ü"


def test_json(evaluation: Evaluation, tmp_path: Path) -> None:
    save_results(evaluation, tmp_path / "r.json", top=99)
    results = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert len(results) == 10
    assert len(results[0]["hits"]) == 5
    assert set(results[0]) == {"query", "text", "written_for", "first_right_rank", "hits"}
    assert set(results[0]["hits"][0]) == {"rank", "image", "record", "similarity", "right"}


def test_a_text_without_a_right_picture_says_so(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    manifest.path(manifest.records[0]).unlink()
    first = next(iter(query_results(evaluate(FakeEncoder(), manifest, bootstrap=0), top=5)))
    assert first.first_right_rank is None
    assert not any(hit.right for hit in first.hits)


def test_bad_arguments_are_refused(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"written as .csv or .json, got .*r.xlsx"):
        save_results(evaluation, tmp_path / "r.xlsx")
    with pytest.raises(ConfigError, match="at least 1 picture a query, got 0"):
        save_results(evaluation, tmp_path / "r.csv", top=0)
    other = evaluate(FakeEncoder(), painted(tmp_path), directions=["image-to-text"], bootstrap=0)
    with pytest.raises(ConfigError, match="text to image, which was not measured"):
        save_results(other, tmp_path / "r.csv")
    assert not (tmp_path / "r.csv").exists()
