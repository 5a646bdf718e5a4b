"""The demo as its user meets it: sample data, real detectors, the shipped bundle, tables and sheets."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from onlooker.gallery.records import StoredSighting
from onlooker.gallery.store import Gallery
from onlooker.runtime import bundle as bundle_module
from onlooker.samples import CLIP, PEOPLE

SHIPPED = (Path(bundle_module.__file__).parents[1] / "bundles" / "base" / "model.json").is_file()
BUNDLE = () if SHIPPED else ("--bundle", "fake")
LIGHT_SHIRT = 5
"""The person of people.json whom the first description means."""
SLACK_S = 1.0
"""The frame ranges of people.json are known to half a second; somebody half in the picture counts as well."""


@dataclass(frozen=True)
class Outcome:
    folder: Path
    stdout: str
    stderr: str


def demo(folder: Path) -> Outcome:
    command = [sys.executable, "-m", "onlooker", "demo", "--out", str(folder), *BUNDLE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return Outcome(folder, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return demo(tmp_path_factory.mktemp("demo") / "out")


def tracks_of(outcome: Outcome) -> list[StoredSighting]:
    with Gallery.open(outcome.folder / "demo.db", read_only=True) as gallery:
        stored = [gallery.sighting(number) for number in range(1, gallery.count() + 1)]
    return [sighting for sighting in stored if Path(sighting.source) == CLIP]


def person_of(sighting: StoredSighting) -> int | None:
    """Return the person whose time in the clip a track lies in."""
    assert sighting.start_s is not None
    assert sighting.end_s is not None
    for person in json.loads(PEOPLE.read_text())["people"]:
        first, last = person["seconds"]
        if first - SLACK_S <= sighting.start_s and sighting.end_s <= last + SLACK_S:
            return int(person["id"])
    return None


@pytest.mark.slow
def test_each_of_the_six_people_is_found_as_one_track_and_nobody_else(outcome: Outcome) -> None:
    tracks = tracks_of(outcome)
    found = [person_of(sighting) for sighting in tracks]
    assert None not in found, "a track that is nobody's, or two people in one"
    assert set(found) == set(range(6))
    assert all(found.count(person) <= 2 for person in range(6))
    assert len(found) == 6, "at present each is found exactly once"
    people = json.loads(PEOPLE.read_text())["people"]
    for sighting, person in zip(tracks, found, strict=True):
        assert person is not None
        first, last = people[person]["seconds"]
        assert sighting.end_s - sighting.start_s > 0.8 * (last - first)  # type: ignore[operator]


@pytest.mark.slow
def test_people_in_the_photos_are_found(outcome: Outcome) -> None:
    with Gallery.open(outcome.folder / "demo.db", read_only=True) as gallery:
        cameras = {camera.name: camera for camera in gallery.cameras()}
    assert cameras["photos"].sources == 14
    assert 20 <= cameras["photos"].sightings <= 45
    assert cameras["hall"].sources == 1


@pytest.mark.slow
def test_tables_are_printed_and_sheets_written(outcome: Outcome) -> None:
    assert outcome.stdout.count("similarity") == 4
    assert "man in a light shirt and blue jeans   [camera hall]" in outcome.stdout
    sheets = sorted(outcome.folder.glob("*.png"))
    assert [sheet.name[0] for sheet in sheets] == ["1", "2", "3", "4"]
    for sheet in sheets:
        assert str(sheet) in outcome.stderr
        with Image.open(sheet) as picture:
            assert picture.width > 600


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED, reason="the package has no bundle yet")
def test_the_man_in_the_light_shirt_comes_first(outcome: Outcome) -> None:
    command = [sys.executable, "-m", "onlooker", "search", "man in a light shirt and blue jeans", "--camera", "hall"]
    command += ["--gallery", str(outcome.folder / "demo.db"), "--json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with Gallery.open(outcome.folder / "demo.db", read_only=True) as gallery:
        first = gallery.sighting(answer["matches"][0]["sighting"])
    assert person_of(first) == LIGHT_SHIRT


@pytest.mark.slow
def test_a_second_run_finds_the_gallery_filled(outcome: Outcome) -> None:
    before = tracks_of(outcome)
    again = demo(outcome.folder)
    assert again.stdout == outcome.stdout
    assert again.stderr.count("known already") == 2
    assert tracks_of(outcome) == before


@pytest.mark.slow
def test_a_gallery_of_another_bundle_is_made_again(tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "demo.db", encoder_id="another", dimension=3, create=True):
        pass
    from onlooker.cli.demo import _make_room
    from onlooker.runtime.fake import FakeEncoder

    _make_room(tmp_path, tmp_path / "demo.db", FakeEncoder())
    assert not list(tmp_path.glob("demo.db*"))
