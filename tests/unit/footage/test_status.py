"""Health read from a state file, metrics as Prometheus reads them, and what systemd is told."""

from __future__ import annotations

import json
import socket
import urllib.request
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from onlooker.cli.watch import summary, table
from onlooker.errors import ConfigError, InputError
from onlooker.footage.metrics import parse_endpoint, serving
from onlooker.footage.status import CameraStatus, Snapshot, read_health, state_file, write_state
from onlooker.footage.supervising import notify

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
CAMERA = CameraStatus(
    key="door",
    name="Front door",
    status="running",
    rate=4.8,
    lag_s=0.2,
    frames=100,
    looked=90,
    dropped=10,
    damaged=1,
    reconnects=2,
    following=1,
    people=7,
    last_error=None,
    last_frame=NOW.isoformat(),
    silent_s=0.2,
)
DOWN = replace(CAMERA, name="Yard", status="waiting", silent_s=90.0, last_error="Yard does not answer")
WELL = Snapshot(
    status="running",
    time=NOW.isoformat(),
    started=(NOW - timedelta(hours=1)).isoformat(),
    pid=1,
    gallery="people.db",
    alert=None,
    alert_kind=None,
    pending=0,
    sightings=7,
    refused=0,
    delay_s=2.1,
    longest_delay_s=2.4,
    hung_s=0.1,
    restarts=0,
    expired=3,
    last_error=None,
    cameras=(CAMERA,),
)


@pytest.mark.parametrize(
    ("changes", "later_s", "every_camera", "reasons", "remarks"),
    [
        ({}, 1, False, [], []),
        ({}, 29, True, [], []),
        ({}, 31, False, ["said nothing for 31 s"], []),
        # The clock was set back after it was written.
        ({}, -3600, False, [], []),
        ({"status": "stopped"}, 1, False, ["was stopped at 2026-11-24 12:00:00 UTC"], []),
        ({"status": "paused", "alert": "the disk is full"}, 1, False, ["nothing can be stored: the disk is full"], []),
        ({"hung_s": 61.0}, 1, False, ["at one frame for 61 s"], []),
        ({"cameras": (CAMERA, DOWN)}, 1, False, [], ["Yard gives no pictures, for 90 s now (Yard does not answer)"]),
        ({"cameras": (CAMERA, DOWN)}, 1, True, ["Yard gives no pictures"], []),
        ({"cameras": (DOWN, DOWN)}, 1, False, ["not a single camera"], ["Yard", "Yard"]),
        ({"cameras": (CAMERA, replace(CAMERA, status="fault"))}, 1, False, [], ["Front door gives no pictures"]),
        # A moment of silence is no reason.
        ({"cameras": (replace(DOWN, silent_s=20.0),)}, 1, True, [], []),
    ],
)
def test_health(
    tmp_path: Path, changes: dict[str, Any], later_s: float, every_camera: bool, reasons: list[str], remarks: list[str]
) -> None:
    path = state_file(tmp_path / "people.db")
    assert path.name == "people.db.watch.json"
    write_state(path, replace(WELL, **changes))
    health = read_health(path, NOW + timedelta(seconds=later_s), every_camera=every_camera)
    assert health.well is (not reasons)
    for said, wanted in ((health.reasons, reasons), (health.remarks, remarks)):
        assert len(said) == len(wanted)
        assert all(part in text for part, text in zip(wanted, said, strict=True))


def test_without_a_state_file_nobody_watches(tmp_path: Path) -> None:
    health = read_health(tmp_path / "none.json", NOW)
    assert not health.well
    assert "has not been started" in health.reasons[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "time": "noon"}'])
def test_what_is_no_state_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"is no state file|has format 2"):
        read_health(path, NOW)


def test_metrics_are_what_prometheus_reads() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    odd = replace(DOWN, name='back "yard"\\')
    whole = replace(WELL, cameras=(CAMERA, odd), alert="full", alert_kind="full")
    with (
        serving("127.0.0.1:0", lambda: whole) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer,
    ):
        text = answer.read().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["onlooker_sightings_total",] == 7
    assert samples["onlooker_delay_seconds",] == 2.1
    assert samples["onlooker_paused", "full"] == 1
    assert samples["onlooker_paused", "read-only"] == 0
    assert samples["onlooker_camera_up", "Front door"] == 1
    assert samples["onlooker_camera_up", 'back "yard"\\'] == 0
    assert samples["onlooker_camera_frames_dropped_total", "Front door"] == 10
    assert samples["onlooker_camera_lag_seconds", "Front door"] == 0.2


def test_a_place_that_is_taken_is_said() -> None:
    pytest.importorskip("prometheus_client")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="choose another port"), serving(f"127.0.0.1:{port}", lambda: WELL):
            pass


@pytest.mark.parametrize(
    ("text", "place"),
    [("9464", ("127.0.0.1", 9464)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:9464", ("::1", 9464))],
)
def test_endpoints(text: str, place: tuple[str, int]) -> None:
    assert parse_endpoint(text) == place


@pytest.mark.parametrize("text", ["", ":", "host", "host:", "1.2.3.4:99999", ":80", "host:-1"])
def test_endpoints_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_endpoint(text)


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        # The path of a test's folder may be longer than a socket's may be.
        supervisor.bind("\0onlooker-test-" + tmp_path.name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@onlooker-test-" + tmp_path.name)
        assert notify("READY=1", "STATUS=well")
        assert supervisor.recv(100) == b"READY=1\nSTATUS=well"
    assert not notify("WATCHDOG=1")


def test_the_table_shows_what_matters() -> None:
    from rich.console import Console

    console = Console(width=120, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(table(replace(WELL, cameras=(CAMERA, DOWN))))
    text = console.export_text()
    console.file.close()
    for part in ("Front door", "running", "4.8", "10 (10%)", "Yard does not answer", "could be found after 2.1 s"):
        assert part in text, part
    assert "2 stored" not in summary(WELL)
    assert json.loads(json.dumps(WELL.as_json()))["cameras"][0]["name"] == "Front door"
