"""``onlooker index`` as its user meets it: command lines, exit codes, real detectors on photos, and being killed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from onlooker.cli import main
from onlooker.gallery.store import Gallery
from onlooker.samples import CLIP, PHOTOS
from tests.unit.footage.dump import dump
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, WHITE, Painted, start_script, write_scene

PHOTO, OTHER = PHOTOS / "000000234748.jpg", PHOTOS / "000000442450.jpg"


def index(*words: object) -> int:
    return main(["index", *map(str, words), "--bundle", "fake"])


def test_people_in_photos_are_found_stored_and_known_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, gallery = tmp_path / "in", tmp_path / "people.db"
    folder.mkdir()
    shutil.copy(PHOTO, folder)
    shutil.copy(OTHER, folder)
    assert index(folder, "--gallery", gallery, "--camera", "street") == 0
    said = capsys.readouterr()
    assert said.out == f"read 2 photos, added 3 sightings. {gallery} holds 3 sightings.\n"
    assert said.err == ""
    with Gallery.open(gallery, read_only=True) as opened:
        (camera,) = opened.cameras()
        x, y, width, height = opened.sighting(1).box
    assert (camera.name, camera.sources, camera.sightings) == ("street", 2, 3)
    # COCO's box of the man in overalls is x 273 to 417, y 130 to 384.
    assert abs(x - 273) < 25
    assert abs(y - 130) < 25
    assert abs(width - 144) < 40
    assert abs(height - 254) < 40

    shutil.copy(PHOTO, folder / "again.jpg")
    assert index(folder, "--gallery", gallery, "--camera", "street") == 0
    assert capsys.readouterr().out == (
        f"read nothing new, added no sighting; 3 files known already. {gallery} holds 3 sightings.\n"
    )


def test_what_cannot_be_read_is_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(PHOTO, folder)
    (folder / "bad.jpg").write_text("no picture")
    (folder / "bad.mp4").write_text("no video")
    assert index(folder, "-g", tmp_path / "g.db", "--detector", "openimages", "--json") == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (report["photos"], report["videos"], report["known"], report["sightings_added"]) == (1, 0, 0, 1)
    assert [Path(skipped["file"]).name for skipped in report["skipped"]] == ["bad.jpg", "bad.mp4"]
    assert said.err.count("skipped: ") == 2


def test_nothing_readable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    assert index(tmp_path / "bad.jpg", "-g", tmp_path / "g.db") == 2
    said = capsys.readouterr().err
    assert "skipped: " in said
    assert "error: none of the 1 files could be read" in said
    assert index(tmp_path / "missing.jpg", "-g", tmp_path / "g.db") == 2
    assert "missing.jpg does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert index(tmp_path / "empty", "-g", tmp_path / "g.db") == 2
    assert "there is no photo and no video in" in capsys.readouterr().err


def test_whole_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "a.png")
    assert index(tmp_path / "a.png", "-g", tmp_path / "g.db", "--no-detect") == 0
    with Gallery.open(tmp_path / "g.db", read_only=True) as gallery:
        assert gallery.sighting(1).box == (0, 0, 60, 40)


def test_the_start_of_a_recording_gives_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_scene(tmp_path / "a.mp4", [], 2)
    start = ("--start", "2026-05-17T08:00Z")
    assert index(video, "-g", tmp_path / "g.db", "--no-detect", "--every", "0.5", *start) == 0
    with Gallery.open(tmp_path / "g.db", read_only=True) as gallery:
        times = [gallery.sighting(number).time for number in range(1, 5)]
    assert [time.isoformat() for time in times if time] == [
        "2026-05-17T08:00:00+00:00",
        "2026-05-17T08:00:00.500000+00:00",
        "2026-05-17T08:00:01+00:00",
        "2026-05-17T08:00:01.500000+00:00",
    ]
    assert index(video, PHOTO.parent, "-g", tmp_path / "g.db", "--start", "soon") == 2
    assert "--start" in capsys.readouterr().err
    shutil.copy(video, tmp_path / "b.mp4")
    assert index(video, tmp_path / "b.mp4", "-g", tmp_path / "g.db", *start) == 2
    assert "there are 2 videos; index each on its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--detector", "yolo"), "there is no detector 'yolo'; choose one of: union, openimages, ssdlite"),
        (("--every", "0"), "frames cannot be taken every 0.0 s; give 0.01 or more"),
        (("--camera", " "), "the name of a camera is empty"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert index(PHOTO, "-g", tmp_path / "g.db", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "g.db").exists()


def test_a_gallery_of_another_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Gallery.open(tmp_path / "g.db", encoder_id="another", dimension=64, create=True):
        pass
    assert index(PHOTO, "-g", tmp_path / "g.db") == 2
    assert "was made with the bundle" in capsys.readouterr().err


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "--help"]) == 0
    said = capsys.readouterr().out
    for words in ("onlooker index entrance.mp4 -g people.db --camera entrance", "--no-detect", "--every", "Exit codes"):
        assert words in said


def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    # The clip after the photos takes seconds: on a busy machine the photos alone may be done before the signal comes.
    what = [str(PHOTOS), str(CLIP), "--camera", "hall"]
    command = [sys.executable, "-m", "onlooker", "index", *what, "-g", str(tmp_path / "g.db"), "--bundle", "fake"]

    # A suite that a shell runs in the background is deaf to the signal, and so would this process be.
    def listen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    while process.poll() is None and not held(tmp_path / "g.db"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; what was found so far is stored" in said
    assert "Traceback" not in said
    assert held(tmp_path / "g.db")


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    people = [
        # Four seconds with nobody between them: a piece ends only when nobody is there who may still come back.
        Painted(2.0 + 8 * turn, 6.0 + 8 * turn, upper, lower, x_px=20 + 13 * turn, speed_px_s=6)
        for turn, (upper, lower) in enumerate(
            [(RED, BLUE), (WHITE, BLACK), (GREEN, BLACK), (BLUE, BLUE), (RED, BLACK)] * 2
        )
    ]
    people.append(Painted(20.5, 33.0, GREEN, GREEN, x_px=150, speed_px_s=0))
    video = write_scene(tmp_path / "yard.mp4", people, 85)
    script = "tests.unit.footage.painted_index"
    whole, gallery = tmp_path / "whole.db", tmp_path / "killed.db"
    assert start_script(script, str(video), str(whole)).wait(120) == 0
    expected = dump(whole)
    assert len(expected) == 11

    kills, stored = 0, 0
    while kills < 6:
        process = start_script(script, str(video), str(gallery))
        while process.poll() is None and held(gallery) <= stored:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        stored = held(gallery)
        # At another place in the way from one commit to the next each time.
        time.sleep(0.03 * kills)
        process.kill()
        process.wait(60)
        kills += 1
    assert kills >= 3
    assert start_script(script, str(video), str(gallery)).wait(120) == 0
    assert dump(gallery) == expected


def held(gallery: Path) -> int:
    """Return how many sightings a gallery that somebody else is writing holds; 0 while there is none."""
    from onlooker.errors import GalleryError

    if not gallery.exists():
        return 0
    try:
        with Gallery.open(gallery, read_only=True) as opened:
            return opened.count()
    except GalleryError:
        return 0
