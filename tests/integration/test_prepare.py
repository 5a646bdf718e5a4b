"""``onlooker prepare`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onlooker.cli import main
from onlooker.datasets.catalogue import DATASETS
from onlooker.datasets.manifest import Manifest
from tests.unit.datasets import trees


def test_report_and_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = trees.cuhk(tmp_path / "CUHK-PEDES")
    (root / "imgs/cam_a/000_45.jpg").unlink()
    assert main(["prepare", "cuhk-pedes", str(root), "-o", str(tmp_path / "cuhk.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "images 40,206 4 3" in [" ".join(line.split()) for line in out.splitlines()]
    assert "problem: pictures are missing; their records were skipped (1)\n    imgs/cam_a/000_45.jpg" in out
    assert "splits: train 2, val 1" in out
    assert out.endswith(f"wrote 3 records to {tmp_path / 'cuhk.jsonl'}\n")
    assert len(Manifest.load(tmp_path / "cuhk.jsonl")) == 3


def test_json_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = trees.street(tmp_path / "street")
    assert main(["prepare", "street", str(root), "-o", str(tmp_path / "s.jsonl"), "--val", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["splits"] == {"train": 9, "val": 3}
    assert report["pictures"]["present"] == 12
    assert report["manifest"] == str(tmp_path / "s.jsonl")
    assert {finding["check"] for finding in report["findings"]} == {"counts", "near-duplicates"}


def test_nothing_is_written_without_an_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "flickr8k", str(trees.flickr8k(tmp_path)), "--quick"]) == 0
    assert "nothing written" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.jsonl"))


def test_strict_fails_on_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prepare", "flickr8k", str(trees.flickr8k(tmp_path)), "--quick", "--strict"]
    assert main(arguments) == 1
    assert "kinds of problems found" in capsys.readouterr().err


def test_text_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write(tmp_path / "results_20130124.token.gz", "1.jpg#0\tA man.\n")
    assert main(["prepare", "flickr30k", str(tmp_path), "--text-only"]) == 0
    assert "pictures: not looked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "flickr9k", "x"], "error: there is no dataset 'flickr9k'; known are flickr30k"),
        (["prepare", "flickr8k"], "error: give a dataset and its folder"),
        (["prepare", "flickr8k", "/no/such/folder"], "error: there is no folder /no/such/folder"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_a_broken_annotation_file_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write(tmp_path / "captions.jsonl", '{"file": "a.jpg", "caption": "A man."}\n{"file": \n')
    assert main(["prepare", "generic", str(tmp_path), "-o", str(tmp_path / "m.jsonl")]) == 2
    assert "captions.jsonl, line 2: no valid JSON" in capsys.readouterr().err
    assert not (tmp_path / "m.jsonl").exists()


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}\n" in out for name in DATASETS)
    assert main(["prepare", "--list", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == list(DATASETS)


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--help"]) == 0
    out = capsys.readouterr().out
    assert "onlooker prepare coco data/coco -o people.jsonl --people" in out
