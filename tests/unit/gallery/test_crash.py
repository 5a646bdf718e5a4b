"""A writer killed at any moment loses nothing it has acknowledged, and never leaves parts of a sighting behind.

Whoever is killed while forgetting has forgotten all that was asked for, or nothing; a disk that is full or must not be
written leaves everything as it was.

``ONLOOKER_SOAK=200`` kills as many writers instead of a few.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import GalleryError
from onlooker.gallery.filters import Filter
from onlooker.gallery.forgetting import Selection, finish, forget
from onlooker.gallery.records import SightingView
from onlooker.gallery.retention import Limit, enforce
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import DIMENSION, new_gallery, sighting, update

DAY = datetime(2026, 5, 17, tzinfo=timezone.utc)
KILLS = int(os.environ.get("ONLOOKER_SOAK", "6"))

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from pathlib import Path
from onlooker.gallery.records import SightingView
from tests.unit.gallery.makers import DIMENSION, key, new_gallery, track, update

def looks(crop):
    view = lambda more: SightingView(time_s=1.0, box=(1, 2, 30, 60), crop=crop + more, vector=np.ones(DIMENSION))
    return (view(b""), view(crop[:9]), view(crop[:5]))

number = int(sys.argv[3])
with new_gallery(Path(sys.argv[1])) as gallery:
    if gallery.source_state(key(number)) is not None:
        gallery.rewind(key(number))
    step = 0
    while True:
        step += 1
        source = update(number, complete=False, resume_s=float(step))
        size = step * 977 % 40_000 + 1
        seen = [
            track(source, step - 0.9, step - 0.1 - one / 100, crop=crop, views=looks(crop), box=(1, 2, 30, 60))
            for one in range(3)
            for crop in [bytes([one + 1]) * size]
        ]
        ids = gallery.commit(source, seen)
        print(step, *ids, flush=True)
        if step % 7 == 0:
            gallery.remove(ids[:1])
            print("gone", ids[0], flush=True)
"""


def test_killed_writers_lose_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    new_gallery(path).close()
    root = str(Path(__file__).parents[3])
    chance = random.Random(20260517)
    acknowledged: set[int] = set()
    gone: set[int] = set()
    for number in range(KILLS):
        log = tmp_path / f"{number}.log"
        with log.open("w") as handle:
            process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), root, str(number)], stdout=handle)
            try:
                wait_for_first_line(log, process)
                time.sleep(chance.uniform(0, 0.25))
            finally:
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
        # A line without its end was cut off by the kill: its commit may or may not have been seen by anybody.
        for line in log.read_text().split("\n")[:-1]:
            words = line.split()
            (gone if words[0] == "gone" else acknowledged).update(map(int, words[1:]))
        check(path, acknowledged, gone, number)
    assert len(acknowledged) >= 3 * KILLS


def wait_for_first_line(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while "\n" not in log.read_text():
        assert process.poll() is None, "the writer ended by itself"
        assert time.monotonic() < deadline, "the writer never wrote"
        time.sleep(0.01)


def check(path: Path, acknowledged: set[int], gone: set[int], number: int) -> None:
    with Gallery.open(path, read_only=True) as gallery, gallery.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        ids, crops, vectors = (
            [row[0] for row in connection.execute(f"SELECT {column} FROM {table} ORDER BY 1")]
            for table, column in (("sighting", "id"), ("crop", "sighting_id"), ("vector", "sighting_id"))
        )
        assert ids == crops == vectors
        views = connection.execute(
            "SELECT sighting_id, count(*), count(jpeg) FROM view GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert views == [(sighting_id, 3, 2) for sighting_id in ids]
        for name, size in connection.execute("SELECT name, bytes FROM camera"):
            added = (
                "SELECT coalesce(sum(s.bytes), 0) FROM sighting s JOIN camera c ON c.id = s.camera_id WHERE c.name = ?"
            )
            assert (size,) == connection.execute(added, (name,)).fetchone()
        removed = {row[0] for row in connection.execute("SELECT sighting_id FROM removed")}
        assert gone <= removed
        assert acknowledged - set(ids) <= removed
        # Commits are whole: three at a time, and as far as the source says.
        commits = connection.execute("SELECT change, count(*) FROM sighting GROUP BY change").fetchall()
        assert all(count == 3 or removed for _, count in commits)
        (resume_s,) = connection.execute("SELECT resume_s FROM source WHERE sha256 = ?", (f"{number:064x}",)).fetchone()
        (last_s,) = connection.execute(
            "SELECT max(start_s) FROM sighting s JOIN source o ON o.id = s.source_id WHERE o.sha256 = ?",
            (f"{number:064x}",),
        ).fetchone()
        assert abs(last_s - (resume_s - 0.9)) < 1e-9
        for sighting_id, jpeg in connection.execute("SELECT sighting_id, jpeg FROM crop ORDER BY 1 DESC LIMIT 9"):
            assert jpeg == jpeg[:1] * len(jpeg), sighting_id


FORGETTER = """
import sys
sys.path.insert(0, sys.argv[2])
from datetime import datetime, timezone
from onlooker.gallery.filters import Filter
from onlooker.gallery.forgetting import Selection, forget
from onlooker.gallery.retention import Limit, enforce
from onlooker.gallery.store import Gallery

with Gallery.open(sys.argv[1]) as gallery:
    print("open", flush=True)
    for camera in sys.argv[3:]:
        if camera.startswith("kept"):
            enforce(gallery, {camera: Limit(gigabytes=0)}, datetime.now(timezone.utc))
        else:
            assert forget(gallery, Selection(kept=Filter(cameras=(camera,)))).erased
        print("done", camera, flush=True)
"""

PEOPLE = 40
"""Sightings of each camera."""


def marked(camera: str, one: int) -> bytes:
    """The crop of a sighting, found in the bytes of a file by its beginning and its end."""
    return f"<{camera}-{one:03}>".encode() * 400


def fill(gallery: Gallery, camera: str, number: int) -> None:
    source = update(number, camera, name=f"{camera}.mp4")
    seen = []
    for one in range(PEOPLE):
        crop = marked(camera, one)
        views = tuple(
            SightingView(time_s=None, box=(1, 2, 30, 60), crop=crop + b"x" * view, vector=np.ones(DIMENSION))
            for view in range(3)
        )
        seen.append(sighting(source, crop=crop, views=views))
    gallery.commit(source, seen)


def test_who_is_killed_while_forgetting_has_forgotten_all_or_nothing(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    chance = random.Random(20260517)
    cameras = [f"{kind}{number}" for number in range(3) for kind in ("gone", "kept")]
    filled = tmp_path / "filled.db"
    with new_gallery(filled) as gallery:
        for number, camera in enumerate(cameras):
            fill(gallery, camera, number)
    path = tmp_path / "people.db"
    outcomes = set()
    for number in range(KILLS):
        shutil.copy(filled, path)
        log = tmp_path / f"forget{number}.log"
        with log.open("w") as handle:
            process = subprocess.Popen([sys.executable, "-c", FORGETTER, str(path), root, *cameras], stdout=handle)
            try:
                wait_for_first_line(log, process)
                time.sleep(chance.uniform(0, 0.4))
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        done = {line.split()[1] for line in log.read_text().split("\n")[:-1] if line.startswith("done")}
        with Gallery.open(path) as gallery:
            assert finish(gallery)
            with gallery.reading() as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
                left = dict(
                    connection.execute(
                        "SELECT c.name, count(*) FROM sighting s JOIN camera c ON c.id = s.camera_id GROUP BY 1"
                    ).fetchall()
                )
                parts = [
                    connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                    for table in ("sighting", "crop", "vector", "view")
                ]
            names = {camera.name for camera in gallery.cameras()}
            crops = {gallery.crop(number) for number in gallery.vectors()[0].tolist()}
        assert parts == [sum(left.values())] * 3 + [3 * sum(left.values())]
        data = path.read_bytes()
        for camera in cameras:
            count = left.get(camera, 0)
            if camera.startswith("gone"):
                assert count in (0, PEOPLE)
                assert (camera in names) == bool(count)
            if camera in done:
                assert count == 0
            for one in range(PEOPLE):
                there = marked(camera, one) in crops
                assert (marked(camera, one)[:30] in data) == there
            outcomes.add((camera[:4], count == PEOPLE, camera in done))
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    assert len(outcomes) > 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a small disk (root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def until_full(gallery: Gallery) -> int:
    """Fill a gallery camera by camera; return the number of the one that found no room."""
    for number in range(1, 1000):
        try:
            fill(gallery, f"camera{number}", number)
            # The log of so small a gallery would otherwise take half of the disk.
            gallery.erase_log()
        except GalleryError as error:
            if "the disk is full" not in str(error):
                raise
            return number
    raise AssertionError("the disk never was full")


def test_a_full_disk_stores_nothing_half_and_retention_makes_room(small_disk: Path) -> None:
    path = small_disk / "people.db"
    # Whoever fills a gallery for days leaves some room free (``onlooker watch`` does), which is all that is needed.
    spare = small_disk / "spare"
    spare.write_bytes(bytes(3_000_000))
    with new_gallery(path) as gallery:
        number = until_full(gallery)
        assert number > 1
        stored = gallery.count()
        assert stored in ((number - 1) * PEOPLE, number * PEOPLE)
        # Answers go on.
        assert gallery.crop(stored) == marked(f"camera{stored // PEOPLE}", PEOPLE - 1)
        assert len(gallery.views(1)) == 3
        spare.unlink()
        removed = enforce(gallery, {"camera1": Limit(gigabytes=0)}, DAY)
        assert removed.sightings == PEOPLE
        fill(gallery, "later", 200)
        with gallery.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_forgetting_on_a_full_disk_is_done_or_not(small_disk: Path) -> None:
    path = small_disk / "people.db"
    with new_gallery(path) as gallery:
        for number in range(2):
            fill(gallery, f"camera{number}", number)
        gallery.erase_log()
        filler = small_disk / "filler"
        # A disk gives as much of a write as it has.
        with filler.open("wb", buffering=0) as handle:
            while (free := shutil.disk_usage(small_disk).free) > 0:
                handle.write(bytes(free))
        what = Selection(kept=Filter(cameras=("camera0",)))
        with pytest.raises(GalleryError, match="the disk is full"):
            forget(gallery, what)
        assert gallery.count() == 2 * PEOPLE
        filler.unlink()
        assert forget(gallery, what).sightings == PEOPLE
        assert marked("camera0", 7)[:30] not in path.read_bytes()


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from onlooker.errors import GalleryError
from onlooker.gallery.store import Gallery
from tests.unit.gallery.test_crash import fill

resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
with Gallery.open(sys.argv[1]) as gallery:
    try:
        for number in range(1, 100):
            fill(gallery, f"camera{number}", number)
    except GalleryError as error:
        print(gallery.count(), number, error)
"""


def test_a_file_that_must_not_grow_stores_nothing_half(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    new_gallery(path).close()
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path), root], check=True, capture_output=True, text=True)
    stored, number, *_ = done.stdout.split()
    assert int(stored) == (int(number) - 1) * PEOPLE > 0
    assert str(path) in done.stdout
    with Gallery.open(path) as gallery, gallery.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert gallery.count() == int(stored)


def test_a_disk_that_must_not_be_written_is_said_and_still_answers(small_disk: Path) -> None:
    path = small_disk / "people.db"
    with new_gallery(path) as gallery:
        fill(gallery, "camera", 1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with Gallery.open(path, read_only=True) as gallery:
        assert gallery.count() == PEOPLE
        assert len(gallery.views(1)) == 3
    with pytest.raises(GalleryError, match=r"cannot be (written|opened)"):
        Gallery.open(path)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    with Gallery.open(path) as gallery:
        assert forget(gallery, Selection(sightings=(1,))).sightings == 1
