"""``onlooker trail`` and ``onlooker search --like`` on a tiny bundle with a calibration, to the files they write."""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlooker.cli import main
from onlooker.gallery.store import Gallery
from onlooker.runtime.encoder import open_encoder
from tests.tiny_bundle import give_confidences, write_tiny_bundle
from tests.unit.gallery.makers import jpeg, people_gallery, sighting, update

NOON = datetime(2026, 5, 17, 12, tzinfo=timezone.utc)
COLOURS = ((250, 5, 5), (250, 8, 8), (5, 5, 250), (245, 5, 8))


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A gallery of four people, each an hour before the one that was stored before."""
    bundle = give_confidences(write_tiny_bundle(tmp_path / "bundle"))
    encoder = open_encoder(bundle.path)
    path = tmp_path / "people.db"
    crops = [np.full((40, 20, 3), colour, np.uint8) for colour in COLOURS]
    with Gallery.open(path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, create=True) as gallery:
        for number, (vector, crop) in enumerate(zip(encoder.encode_images(crops), crops, strict=True)):
            source = update(number, f"camera {number}", name=f"/seen/{number}.jpg")
            time = NOON - timedelta(hours=number)
            gallery.commit(source, [sighting(source, vector, crop=jpeg(crop), time=time)])
    return ["--gallery", str(path), "--bundle", str(bundle.path)]


def test_suggestions_in_the_order_of_time(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trail", "1", *arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["sighting"]["sighting"] == 1
    assert answer["sighting"]["camera"] == "camera 0"
    assert (answer["searched"], answer["together"]) == (3, 0)
    assert [stop["sighting"] for stop in answer["stops"]] == [4, 2]
    confidences = {stop["sighting"]: stop["confidence"] for stop in answer["stops"]}
    assert all(0 < confidence < 1 for confidence in confidences.values())

    assert main(["trail", "1", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sighting 1: camera 0, ")
    assert lines[1] == "May be the same person, in the order of time; to be looked at:"
    assert [line.split()[3] for line in lines[3:]] == ["4", "2"]

    # The same picture gives the same confidence when it is searched for.
    assert main(["search", "--like", "1", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["matches"]
    assert found[0]["sighting"] in (2, 4)
    assert all(0 <= match["confidence"] < 1 for match in found)
    assert found[0]["confidence"] == pytest.approx(confidences[found[0]["sighting"]], abs=0.1)
    assert main(["search", "--like", "1", "--not", "blue", *arguments, "--json"]) == 0
    assert {match["confidence"] for match in json.loads(capsys.readouterr().out)["matches"]} == {None}


def test_files(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, sheet = tmp_path / "trail.csv", tmp_path / "trail.png"
    assert main(["trail", "1", *arguments, "--csv", str(table), "--sheet", str(sheet), "--camera", "camera 1"]) == 0
    with table.open(encoding="utf-8") as handle:
        (row,) = csv.DictReader(handle)
    assert (row["query"], row["sighting"], row["image"]) == ("sighting 1", "2", "1.jpg")
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 100
    assert "trail.csv: 1 row" in capsys.readouterr().err


def test_nobody_like_that(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trail", "3", *arguments, "--since", "2026-05-17T11:30Z"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "Nobody like that elsewhere, among 1 sightings."


def test_without_a_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = people_gallery(tmp_path / "people.db")
    assert main(["trail", "1", "-g", str(people), "--bundle", "fake", "-n", "2", "--json"]) == 0
    stops = json.loads(capsys.readouterr().out)["stops"]
    assert [stop["confidence"] for stop in stops] == [None, None]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trail", "99"], "no sighting 99"),
        (["trail", "1", "--sheet", "x.jpg"], "no PNG"),
        (["trail", "1", "--camera", "moon"], "no camera 'moon'"),
        (["trail", "1", "--top", "0"], "top 0"),
    ],
)
def test_mistakes(arguments: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, *arguments]) == 2
    assert message in capsys.readouterr().err
