"""A writer killed at any moment loses nothing it has acknowledged, and never leaves rows, crops and vectors apart.

``ONLOOKER_SOAK=200`` kills as many writers instead of a few.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import new_gallery

KILLS = int(os.environ.get("ONLOOKER_SOAK", "6"))

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from pathlib import Path
from tests.unit.gallery.makers import key, new_gallery, track, update

number = int(sys.argv[3])
with new_gallery(Path(sys.argv[1])) as gallery:
    if gallery.source_state(key(number)) is not None:
        gallery.rewind(key(number))
    step = 0
    while True:
        step += 1
        source = update(number, complete=False, resume_s=float(step))
        size = step * 977 % 40_000 + 1
        seen = [track(source, step - 0.9, step - 0.1 - view / 100, crop=bytes([view + 1]) * size) for view in range(3)]
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
