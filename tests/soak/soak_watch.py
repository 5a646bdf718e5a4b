"""The long proof: simulated RTSP cameras for minutes on end, with every fault there is, and nothing lost.

    python -m tests.soak.soak_watch --cameras 8 --minutes 20

``onlooker watch`` runs as a program of its own, with everything but the detector as users have it: that finds the ball
of GStreamer's test picture, which comes into the left half of the picture, the region of each camera, every eight
seconds. Meanwhile cameras freeze, stall, send garbage, reboot, change their resolution, slow down and change their
password, and the disk fills up. At the end: memory within 5 % after warming up, every camera goes on after every fault,
each sighting that was acknowledged is in the gallery exactly once, also after a kill -9. Prints a report as JSON; exit
code 0 where all of it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import mean
from typing import Any

from onlooker.gallery.store import Gallery
from tests.unit.footage.rtsp import MISSING, PASSWORD, USER, Network, RtspCamera, network, rtsp_camera

ROOT = Path(__file__).resolve().parents[2]
FAULT_S = 8.0
"""How long a fault lasts; longer than after what a camera counts as frozen here."""
STALL_S = 4.0
PAGE = os.sysconf("SC_PAGE_SIZE")


class Soak:
    def __init__(
        self, folder: Path, state: Path, servers: list[RtspCamera], networks: list[Network], frame_rate: float
    ) -> None:
        # What is printed lies on the disk that is filled up and is lost then; the state lies elsewhere.
        self.state = state
        self.folder, self.servers, self.networks = folder, servers, networks
        self.memory: list[tuple[float, int]] = []
        self.begun_s = time.monotonic()
        self.faults: list[str] = []
        lines = ['gallery = "people.db"']
        for number, between in enumerate(networks):
            path = "/locked" if number == 0 else "/h264"
            lines += [
                f"[cameras.camera{number}]",
                f'address = "{servers[number % len(servers)].url(path, between.port)}"',
                f"frame_rate = {frame_rate}",
                "open_s = 6",
                f"stall_s = {STALL_S}",
                'detector = "ssdlite"',
                "region = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]",
            ]
            if number == 0:
                lines += [f'user = "{USER}"', 'password_file = "camera.password"']
        lines += ["[cameras.strange]", f'address = "{servers[0].url("/unknown")}"']
        (folder / "onlooker.toml").write_text("\n".join(lines))
        self.password(PASSWORD)

    def password(self, text: str) -> None:
        (self.folder / "camera.password").write_text(text + "\n")

    def start(self) -> None:
        words = ["watch", "--config", str(self.folder / "onlooker.toml"), "--bundle", "fake", "--json"]
        more = ["--every", "1", "--keep-free", "8", "--state", str(self.state)]
        with (self.folder / "out.txt").open("a") as out, (self.folder / "err.txt").open("a") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.unit.footage.painted_watch", *words, *more],
                cwd=ROOT,
                stdout=out,
                stderr=err,
            )

    def wait(self, seconds: float, holds: Callable[[], bool] = lambda: False) -> bool:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not holds():
            assert self.process.poll() is None, f"watch ended with {self.process.returncode}; see err.txt"
            with suppress(OSError, IndexError, ValueError):
                pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
                self.memory.append((time.monotonic() - self.begun_s, pages * PAGE))
            time.sleep(0.5)
        return holds()

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / "out.txt").read_text().split("\n")[:-1]
        found = []
        for line in lines:
            # What was printed lies on the disk that is filled up: a line may be torn, and then nobody has read it.
            with suppress(ValueError):
                found.append(json.loads(line))
        return [each for each in found if each["event"] == kind]

    def running(self) -> bool:
        cameras = self.events("status")[-1:]
        return bool(cameras) and all(
            camera["status"] == "running" for camera in cameras[0]["cameras"] if camera["key"] != "strange"
        )

    def fault(self, name: str, begin: Callable[[], object], end: Callable[[], object], seen: str | None) -> None:
        """Let something go wrong for a while, and see that it is noticed, and that all cameras run again."""
        began_s = time.monotonic()
        begin()
        noticed = seen is None

        def notices() -> bool:
            status = json.loads(self.state.read_text())
            text = json.dumps([status["alert_kind"], *(camera["last_error"] for camera in status["cameras"])])
            return seen is None or seen in text

        noticed = self.wait(FAULT_S + 8, notices) if seen else True
        self.wait(max(FAULT_S - (time.monotonic() - began_s), 0.5))
        end()
        # A wrong password is tried again after half a minute or so.
        mended = self.wait(75, self.running)
        self.faults.append(f"{name}: {'noticed' if noticed else 'NOT NOTICED'}, {'mended' if mended else 'NOT MENDED'}")

    def all_faults(self, gap_s: float) -> None:
        first, last = self.networks[0], self.networks[-1]
        server = self.servers[-1]
        filler = self.folder / "filler"
        steps: list[tuple[str, Callable[[], object], Callable[[], object], str | None]] = [
            (
                "stalled network",
                lambda: setattr(last, "mode", "stalled"),
                lambda: setattr(last, "mode", "well"),
                "nothing any more",
            ),
            ("garbage", lambda: setattr(last, "mode", "garbage"), lambda: setattr(last, "mode", "well"), None),
            ("frozen camera", lambda: server.tell("freeze"), lambda: server.tell("thaw"), "nothing any more"),
            ("reboot", server.kill, server.start, "camera"),
            ("another resolution", lambda: server.tell("size 480 360"), lambda: server.tell("size 320 240"), None),
            ("slow camera", lambda: server.tell("rate 2"), lambda: server.tell("thaw"), None),
            ("full disk", lambda: fill(filler), filler.unlink, "full"),
            ("wrong password", lambda: self.refuse(first), lambda: self.password(PASSWORD), "password"),
        ]
        for step in steps:
            self.wait(gap_s)
            self.fault(*step)

    def refuse(self, between: Network) -> None:
        """Change the password, and cut the connection so that it is asked for."""
        self.password("wrong")
        between.mode = "stalled"
        self.wait(2 * STALL_S + 1)
        between.mode = "well"

    def stored(self) -> list[tuple[Any, ...]]:
        with Gallery.open(self.folder / "people.db", read_only=True) as opened, opened.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return connection.execute(
                "SELECT s.id, o.name, s.track FROM sighting s JOIN source o ON o.id = s.source_id"
            ).fetchall()


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as handle:
        while True:
            handle.write(bytes(1 << 16))


def main() -> int:
    parser = argparse.ArgumentParser(description="Watch simulated cameras with every fault there is.")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--frame-rate", type=float, default=5)
    chosen = parser.parse_args()
    if MISSING:
        sys.exit(f"needs {MISSING}")
    with ExitStack() as stack:
        folder, elsewhere = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        # A disk of its own, which can be filled.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)], check=True)
        stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        servers = [stack.enter_context(rtsp_camera()) for _ in range(min(2, chosen.cameras))]
        networks = [
            stack.enter_context(network(servers[number % len(servers)].port)) for number in range(chosen.cameras)
        ]
        soak = Soak(folder, elsewhere / "state.json", servers, networks, chosen.frame_rate)
        soak.start()
        stack.callback(lambda: soak.process.kill())
        report = proven(soak, chosen.minutes * 60)
    print(json.dumps(report, indent=2))
    return 0 if report["holds"] else 1


def proven(soak: Soak, seconds: float) -> dict[str, Any]:
    assert soak.wait(60, soak.running), "not all cameras run at the start"
    soak.wait(0.2 * seconds)
    warm_s = time.monotonic() - soak.begun_s
    soak.all_faults(0.04 * seconds)
    soak.wait(max(seconds - (time.monotonic() - soak.begun_s), 0.15 * seconds))
    end_s = time.monotonic() - soak.begun_s
    part_s = (end_s - warm_s) / 6
    first = mean(size for at_s, size in soak.memory if warm_s <= at_s < warm_s + part_s)
    last = mean(size for at_s, size in soak.memory if at_s >= end_s - part_s)
    status = soak.events("status")[-1]
    # Killed, started again, and stopped as it should be.
    soak.process.send_signal(signal.SIGKILL)
    soak.process.wait()
    soak.start()
    began = len(soak.events("status"))
    soak.wait(60, lambda: len(soak.events("status")) > began and soak.running())
    soak.wait(15)
    soak.process.send_signal(signal.SIGTERM)
    stopped = soak.process.wait(60)
    acknowledged = [each["sighting"] for each in soak.events("sighting")]
    stored = soak.stored()
    ids = {row[0] for row in stored}
    doubled = [key for key, count in Counter((row[1], row[2]) for row in stored).items() if count > 1]
    lost = [number for number in acknowledged if number not in ids]
    delays = [each["delay_s"] for each in soak.events("sighting") if each["delay_s"] is not None]
    report = {
        "cameras": len(soak.networks),
        "seconds": round(end_s),
        "faults": soak.faults,
        "memory_mb_after_warming_up": round(first / 1e6, 1),
        "memory_mb_at_the_end": round(last / 1e6, 1),
        "memory_mb_by_twelfths": [
            round(mean(size for _, size in part) / 1e6, 1)
            for part in (soak.memory[n * len(soak.memory) // 12 : (n + 1) * len(soak.memory) // 12] for n in range(12))
            if part
        ],
        "memory_grew_percent": round(100 * (last / first - 1), 2),
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "lost": lost,
        "doubled_tracks": doubled,
        "median_delay_s": sorted(delays)[len(delays) // 2] if delays else None,
        "longest_delay_s": max(delays, default=None),
        "exit_code": stopped,
        "errors": (soak.folder / "err.txt").read_text()[-2000:],
        "per_camera": {
            camera["name"]: {
                key: camera[key] for key in ("looked", "dropped", "reconnects", "people", "lag_s", "damaged")
            }
            for camera in status["cameras"]
        },
    }
    report["holds"] = (
        abs(last / first - 1) <= 0.05
        and not lost
        and not doubled
        and len(acknowledged) > 0
        and stopped == 0
        and not any("NOT" in fault for fault in soak.faults)
        and all(camera["people"] > 0 for camera in status["cameras"] if camera["key"] != "strange")
    )
    return report


if __name__ == "__main__":
    sys.exit(main())
