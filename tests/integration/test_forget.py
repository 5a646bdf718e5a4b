"""``onlooker forget`` from the command line to the bytes of the file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from onlooker.cli import main
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import people_gallery


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return people_gallery(tmp_path / "people.db")


class Terminal(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        return True


def everything(path: Path) -> bytes:
    files = (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
    return b"".join(file.read_bytes() for file in files if file.exists())


def test_forgetting_by_number(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Gallery.open(people, read_only=True) as gallery:
        crop = gallery.crop(1)
    assert crop in everything(people)
    assert main(["forget", "1", "3", "-g", str(people), "--yes"]) == 0
    assert capsys.readouterr().out.startswith("deleted 2 sightings (")
    assert crop not in everything(people)
    with Gallery.open(people, read_only=True) as gallery:
        assert gallery.count() == 2
    # Again: there is nothing left to do, and that is no mistake.
    assert main(["forget", "1", "3", "-g", str(people)]) == 0
    assert "deleted 0 sightings" in capsys.readouterr().out


def test_a_dry_run_deletes_nothing(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = people.read_bytes()
    assert main(["forget", "-g", str(people), "--camera", "car park", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"would delete from {people}:"
    assert lines[1].startswith("2 sightings (")
    assert lines[2] == "1 camera: car park (it goes as a whole)"
    assert lines[3] == "2 sources: footage/2.mp4, footage/3.mp4 (2 of them go as a whole)"
    assert main(["forget", "-g", str(people), "--until", "2026-05-17T08:30Z", "--dry-run", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ids"], answer["cameras"], answer["whole_cameras"]) == ([1], ["entrance"], 0)
    assert answer["first"] == answer["last"] == "2026-05-17T08:00:00+00:00"
    assert main(["forget", "-g", str(people), "--since", "2100-01-01", "--dry-run"]) == 0
    assert "holds none of them" in capsys.readouterr().out
    assert people.read_bytes() == before


def test_a_whole_camera_and_its_names(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert b"car park" in everything(people)
    assert main(["forget", "-g", str(people), "--camera", "car park", "--yes", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["sightings"], answer["whole_sources"], answer["whole_cameras"]) == (2, 2, 1)
    assert answer["erased"] is True
    assert b"car park" not in everything(people)
    assert b"footage/2.mp4" not in everything(people)


def test_it_asks_before_it_deletes(
    people: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["forget", "1", "-g", str(people)]) == 2
    assert "add --yes" in capsys.readouterr().err
    for answer, left in (("\n", 4), ("no\n", 4), ("y\n", 3)):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert main(["forget", "1", "-g", str(people)]) == 0
        shown = capsys.readouterr()
        assert "1 sighting (" in shown.err
        assert shown.err.count("Delete them from") == 1
        assert ("nothing was deleted" in shown.err) == (left == 4)
        with Gallery.open(people, read_only=True) as gallery:
            assert gallery.count() == left


def test_a_reader_who_does_not_finish(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Gallery.open(people, read_only=True) as reader:
        with reader.reading() as connection:
            connection.execute("SELECT count(*) FROM sighting").fetchone()
            assert main(["forget", "1", "-g", str(people), "--yes", "--wait", "0"]) == 1
            shown = capsys.readouterr()
            assert "waiting for somebody who is reading" in shown.err
            assert f"run `onlooker forget --gallery {people} --finish`" in shown.err
        assert main(["forget", "-g", str(people), "--finish"]) == 0
        assert reader.count() == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing says who is to be forgotten"),
        (["7"], "there never was a sighting 7"),
        (["--track", "3"], "nothing says who"),
        (["--track", "3", "--camera", "entrance"], "name one source as well"),
        (["--camera", "moon"], "no camera 'moon'"),
        (["1", "--finish"], "--finish deletes nothing more"),
        (["--since", "noon"], "--since 'noon' is not a time"),
    ],
)
def test_mistakes(people: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(["forget", *words, "-g", str(people), "--yes"]) == 2
    assert message in capsys.readouterr().err
    with Gallery.open(people, read_only=True) as gallery:
        assert gallery.count() == 4
