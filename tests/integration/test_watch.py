"""``onlooker watch`` and ``onlooker health`` as their users meet them: processes, signals, kills, full disks.

``ONLOOKER_SOAK=100`` kills as many processes instead of a few.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from onlooker.cli import main
from onlooker.errors import GalleryError
from onlooker.gallery.store import Gallery
from tests.unit.footage.live_scene import again_and_again, mjpeg_server
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, WHITE, Painted, scene, write_scene
from tests.unit.footage.rtsp import needs_rtsp, rtsp_camera, until

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("ONLOOKER_SOAK", "2"))


def start(script: str, folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a module of the tests in a folder; what it prints goes to out.txt there."""
    with (folder / "out.txt").open("a") as out:
        return subprocess.Popen(
            [sys.executable, "-m", script, *arguments],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )


def watch(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    words = ("watch", "--config", str(folder / "onlooker.toml"), "--bundle", "fake", "--nice", "0", "--keep-free", "0")
    return start("tests.unit.footage.painted_watch", folder, *words, *arguments, **environment)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def configure(folder: Path, **addresses: str) -> None:
    lines = ['gallery = "people.db"']
    for key, address in addresses.items():
        detector = "ssdlite" if address.startswith("rtsp") else "union"
        lines += [f"[cameras.{key}]", f'address = "{address}"', "frame_rate = 10", f'detector = "{detector}"']
    (folder / "onlooker.toml").write_text("\n".join(lines))


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a kind; the last one may be cut off by a kill, and was nobody's acknowledgement then."""
    lines = (folder / "out.txt").read_text().split("\n")[:-1] if (folder / "out.txt").exists() else []
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [each for each in found if each["event"] == kind]


def stored(gallery: Path) -> list[tuple[Any, ...]]:
    """Return id, source, track, start and end of all sightings, and prove that the file is whole."""
    with Gallery.open(gallery, read_only=True) as opened, opened.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for table in ("crop", "vector"):
            ids = {row[0] for row in connection.execute(f"SELECT DISTINCT sighting_id FROM {table}")}
            assert ids == {row[0] for row in connection.execute("SELECT id FROM sighting")}
        return connection.execute(
            "SELECT s.id, o.name, s.track, s.start_s, s.end_s FROM sighting s JOIN source o ON o.id = s.source_id "
            "ORDER BY s.id"
        ).fetchall()


def healthy(folder: Path, *arguments: str) -> int:
    return main(["health", "--config", str(folder / "onlooker.toml"), *arguments])


@pytest.mark.slow
def test_live_status_health_metrics_and_a_clean_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun_s = time.monotonic()
    people = again_and_again(1.5, 2.5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with mjpeg_server(lambda: scene(people, time.monotonic() - begun_s)) as address:
        configure(tmp_path, door=address, gone="http://127.0.0.1:9/")
        assert healthy(tmp_path) == 1
        assert "has not been started" in capsys.readouterr().out
        arguments = ("--json", "--every", "0.5", "--metrics", f"127.0.0.1:{port}")
        with ended(watch(tmp_path, *arguments)) as process:
            assert until(lambda: len(events(tmp_path, "sighting")) >= 1, 25)
            assert healthy(tmp_path) == 0
            assert healthy(tmp_path, "--every-camera", "--json") in (0, 1)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
            assert 'onlooker_camera_up{camera="door"} 1.0' in text
            assert 'onlooker_camera_up{camera="gone"} 0.0' in text
            assert "process_resident_memory_bytes" in text
            assert main(["watch", "--config", str(tmp_path / "onlooker.toml"), "--bundle", "fake", "--nice", "0"]) == 2
            assert "another onlooker watch" in capsys.readouterr().err
            # In the middle of somebody's visit.
            assert until(lambda: events(tmp_path, "status")[-1]["cameras"][0]["following"] == 1, 10)
            time.sleep(0.8)
            before = len(events(tmp_path, "sighting"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    seen = events(tmp_path, "sighting")
    assert len(seen) > before
    assert max(each["delay_s"] for each in seen) < 3.0
    last = events(tmp_path, "status")[-1]
    assert last["status"] == "stopped"
    assert last["cameras"][0]["name"] == "door"
    assert [(row[0], row[2]) for row in stored(tmp_path / "people.db")] == [(n, n) for n in range(1, len(seen) + 1)]
    assert healthy(tmp_path) == 1
    assert "was stopped" in capsys.readouterr().out
    day = seen[0]["source"].removeprefix("door/")
    assert main(["forget", "-g", str(tmp_path / "people.db"), "--source", day, "--yes"]) == 0
    assert stored(tmp_path / "people.db") == []


@pytest.mark.slow
def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    with mjpeg_server(lambda: scene([Painted(0, 1, RED, BLUE)], 0.5)) as address:
        configure(tmp_path, door=address)
        with ended(watch(tmp_path, "--json", "--every", "0.2", SLOW_S="30")) as process:
            assert until(lambda: (events(tmp_path, "status") or [{"hung_s": 0}])[-1]["hung_s"] > 0.3, 25)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(3) == 130


@needs_rtsp
@pytest.mark.slow
def test_an_rtsp_camera_through_a_reboot(tmp_path: Path) -> None:
    with rtsp_camera() as camera:
        configure(tmp_path, yard=camera.url("/h264"))
        with ended(watch(tmp_path, "--json", "--every", "0.5")) as process:
            assert until(lambda: bool(events(tmp_path, "status")), 25)
            assert until(lambda: events(tmp_path, "status")[-1]["cameras"][0]["looked"] > 8, 25)
            camera.kill()
            # The ball has not left; the camera has.
            assert until(lambda: len(events(tmp_path, "sighting")) == 1, 15)
            assert until(lambda: events(tmp_path, "status")[-1]["cameras"][0]["status"] == "waiting", 15)
            camera.start()
            assert until(lambda: events(tmp_path, "status")[-1]["cameras"][0]["status"] == "running", 15)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert events(tmp_path, "status")[-1]["cameras"][0]["reconnects"] >= 1
    tracks = [row[2] for row in stored(tmp_path / "people.db")]
    assert tracks == list(range(1, len(tracks) + 1))


def crowd(count: int = 24) -> list[Painted]:
    """People who pass one after another, each with a moment at which nobody is there."""
    clothes = [(RED, BLUE), (WHITE, BLACK), (GREEN, BLACK), (BLUE, BLUE), (RED, BLACK)]
    return [Painted(1.0 + 4 * n, 3.0 + 4 * n, *clothes[n % 5], x_px=20 + 5 * (n % 9)) for n in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["watch", "index"])
def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, command: str) -> None:
    video = write_scene(tmp_path / "yard.mp4", crowd(), 100)
    gallery = tmp_path / "people.db"
    configure(tmp_path, yard=str(video))
    expected = None
    chance, kills, finished, acknowledged = random.Random(20261124), 0, 0, 0

    def run() -> subprocess.Popen[str]:
        if command == "watch":
            return watch(tmp_path, "--json", SLOW_S="0.002")
        words = ("index", str(video), "--gallery", str(gallery), "--camera", "yard", "--bundle", "fake")
        return start("tests.unit.footage.painted_watch", tmp_path, *words, "--every", "0.1", SLOW_S="0.002")

    while kills < KILLS:
        process = run()
        seen: set[tuple[Any, ...]] = set()
        with ended(process):
            # Not only in the seconds in which Python starts.
            wait_for_the_gallery(process, gallery)
            end_s = time.monotonic() + chance.uniform(0, 2.5)
            while time.monotonic() < end_s and process.poll() is None:
                with suppress(GalleryError), Gallery.open(gallery, read_only=True) as opened:
                    seen |= facts(opened)
                time.sleep(0.02)
            process.kill()
            kills += process.wait(30) == -signal.SIGKILL
        if command == "watch":
            seen |= {(each["source"], each["track"], each["start_s"]) for each in events(tmp_path, "sighting")}
        if not gallery.exists():
            continue
        if is_new(gallery):
            continue
        now = [row[1:4] for row in stored(gallery)]
        assert len(now) == len(set(now))
        assert seen <= set(now)
        acknowledged = max(acknowledged, len(seen))
        if process.returncode == 0:
            finished += 1
            expected = whole(expected, now)
            (tmp_path / "out.txt").unlink()
            for path in tmp_path.glob("people.db*"):
                path.unlink()
    with ended(run()) as process:
        assert process.wait(120) == 0
    now = [row[1:4] for row in stored(gallery)]
    assert len(now) == 24
    whole(expected, now)
    assert acknowledged >= 1
    print(f"{command}: {kills} kills, {finished} runs to the end between them")


def wait_for_the_gallery(process: subprocess.Popen[str], gallery: Path) -> None:
    assert until(lambda: process.poll() is not None or gallery.exists(), 30)


def facts(gallery: Gallery) -> set[tuple[Any, ...]]:
    with gallery.reading() as connection:
        return set(
            connection.execute(
                "SELECT o.name, s.track, s.start_s FROM sighting s JOIN source o ON o.id = s.source_id"
            ).fetchall()
        )


def is_new(gallery: Path) -> bool:
    """Say whether a gallery was killed before it was one: before its first transaction there is nothing in it."""
    reason = ""
    try:
        Gallery.open(gallery, read_only=True).close()
    except GalleryError as error:
        reason = str(error)
    assert not reason or any(words in reason for words in ("never filled", "not a gallery", "older format")), reason
    return bool(reason)


def whole(expected: list[tuple[Any, ...]] | None, now: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    assert expected is None or expected == now
    return now


@pytest.mark.slow
def test_a_disk_that_is_really_full_pauses_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        begun_s = time.monotonic()
        people = again_and_again(1.0, 1.0)
        with mjpeg_server(lambda: scene(people, time.monotonic() - begun_s)) as address:
            configure(disk, door=address)
            with ended(watch(disk, "--json", "--every", "0.3", "--state", str(tmp_path / "state.json"))) as process:
                assert until(lambda: len(events(disk, "sighting")) >= 1, 25)
                with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                    while True:
                        filler.write(bytes(4096))
                state = tmp_path / "state.json"
                assert until(lambda: json.loads(state.read_text())["alert_kind"] is not None, 25)
                assert main(["health", "--state", str(state)]) == 1
                assert "nothing can be stored" in capsys.readouterr().out
                command = ["search", "red jacket", "--gallery", str(disk / "people.db"), "--bundle", "fake", "--json"]
                assert main(command) == 0
                found = json.loads(capsys.readouterr().out)
                before = len(found["matches"])
                assert before >= 1
                (disk / "filler").unlink()
                assert until(lambda: json.loads(state.read_text())["alert_kind"] is None, 15)
                assert until(lambda: json.loads(state.read_text())["sightings"] > before, 15)
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            assert len(stored(disk / "people.db")) > before
    finally:
        subprocess.run(["umount", str(disk)], check=True)
