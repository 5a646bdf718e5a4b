"""Recordings, USB cameras, addresses, and which source a camera becomes."""

from __future__ import annotations

import itertools
import os
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import ConfigError, SourceError
from onlooker.footage.cameras import Camera, Configuration
from onlooker.footage.keeper import CameraKeeper
from onlooker.footage.live import Source
from onlooker.footage.streams.addresses import parse_address
from onlooker.footage.streams.http import HttpSource
from onlooker.footage.streams.making import make_keeper, make_source
from onlooker.footage.streams.recording import Recording
from onlooker.footage.streams.usb import usb_source
from tests.unit.footage.painted import number_of, numbered, write_video
from tests.unit.footage.rtsp import until

NTSC = Fraction(30000, 1001)


def test_a_recording_gives_every_frame_at_its_exact_time_and_ends(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(30), [Fraction(n) / NTSC for n in range(30)])
    started = datetime(2026, 11, 24, 8, tzinfo=timezone.utc)
    source = Recording("Film", path, started=started)
    for _ in range(2):
        source.open()
        frames = [frame for frame in (source.read(1) for _ in range(30)) if frame]
        assert [number_of(frame.rgb) for frame in frames] == list(range(30))
        np.testing.assert_allclose([frame.time_s for frame in frames], [float(n / NTSC) for n in range(30)], atol=1e-5)
        assert frames[15].time == started + timedelta(seconds=frames[15].time_s)
        assert frames[0].origin == str(path)
        with pytest.raises(SourceError, match="is at its end") as caught:
            source.read(1)
        assert caught.value.kind == "ended"
    source.close()


def test_a_recording_without_a_date_ended_when_it_was_written(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(20), [Fraction(n, 10) for n in range(20)])
    os.utime(path, (1_700_000_000, 1_700_000_000))
    source = Recording("Film", path, rate=5)
    source.open()
    frame = source.read(1)
    source.close()
    assert frame is not None
    assert abs((datetime.fromtimestamp(1_700_000_000, timezone.utc) - frame.time).total_seconds() - 2) < 0.2


def test_a_recording_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    for name, kind in (("a.mp4", "codec"), ("b.mp4", "unreachable")):
        with pytest.raises(SourceError) as caught:
            Recording("Film", tmp_path / name).open()
        assert caught.value.kind == kind


def test_a_usb_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="Desk is not there: no /dev/video99; plug it in") as caught:
        usb_source("Desk", "/dev/video99").open()
    assert caught.value.kind == "unreachable"


def test_a_device_is_read_like_a_usb_camera() -> None:
    # FFmpeg's own test picture takes the place of the camera; what opens and reads it is the same.
    source = usb_source("Desk", "testsrc=size=64x48:rate=25", driver="lavfi", rate=5)
    source.open()
    frames = [frame for frame in (source.read(1) for _ in range(200)) if frame][:5]
    source.close()
    assert len(frames) == 5
    assert frames[0].rgb.shape == (48, 64, 3)
    assert all(b.time_s - a.time_s == pytest.approx(0.2) for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("rtsp://10.0.0.2/s1", "rtsp", "rtsp://10.0.0.2/s1"),
        ("RTSP://eva:ge%2Fheim@10.0.0.2:554/s1", "rtsp", "rtsp://10.0.0.2:554/s1"),
        ("http://h/snap?user=eva&pwd=geheim", "http", "http://h/snap?user=***&pwd=***"),
        ("https://geheim@h/snap?geheim#geheim", "http", "https://h/snap?***"),
        ("http://[fe80::1]:81/v", "http", "http://[fe80::1]:81/v"),
        ("/dev/video0", "usb", "/dev/video0"),
        ("/srv/photos", "folder", "/srv/photos"),
        ("film.MP4", "video", "film.MP4"),
    ],
)
def test_addresses_are_shown_without_secrets(text: str, kind: str, shown: str) -> None:
    address, _ = parse_address(text)
    assert (address.kind, str(address)) == (kind, shown)
    assert "geheim" not in f"{address} {address!r}"


def test_a_sign_in_is_taken_out_and_put_in() -> None:
    address, sign_in = parse_address("rtsp://eva:ge%2Fheim@h/s")
    assert sign_in is not None
    assert (sign_in.user, sign_in.password) == ("eva", "ge/heim")
    assert "eva" not in repr(sign_in)
    assert address.reveal(sign_in.user, sign_in.password) == "rtsp://eva:ge%2Fheim@h/s"
    assert address.reveal() == "rtsp://h/s"


@pytest.mark.parametrize("text", ["", "ftp://h/x", "rtsp:///s", "rtsp://h:port/s", "rtsp://eva:ge/heim@h/s", "a\nb"])
def test_what_is_no_address_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert "heim" not in str(caught.value)


def test_each_kind_becomes_its_source(tmp_path: Path) -> None:
    kinds = {
        "rtsp://h/s": "PacketSource",
        "http://h/s": "HttpSource",
        "/dev/video0": "PacketSource",
        str(tmp_path): "WatchedFolder",
        "a.mp4": "Recording",
    }
    for address, name in kinds.items():
        source = make_source(Camera(name="x", address=address))
        assert type(source).__name__ == name
        assert isinstance(source, Source)
        assert source.live == (name in ("PacketSource", "HttpSource"))


@pytest.mark.parametrize("address", ["rtsp://127.0.0.1:9/s", "http://127.0.0.1:9/s"])
def test_a_password_that_cannot_be_read_is_said_to_be_that(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATE_PASSWORD", raising=False)
    camera = Camera(name="gate", address=address, user="eva", password_env="GATE_PASSWORD")
    with pytest.raises(ConfigError, match="GATE_PASSWORD is not set"):
        make_source(camera).open()
    keeper = CameraKeeper(make_source(camera))
    keeper.start()
    assert until(lambda: keeper.state.last_error_kind == "refused")
    assert keeper.stop()


def test_a_keeper_has_the_masks_and_hours_of_its_camera(tmp_path: Path) -> None:
    configuration = Configuration(
        gallery=tmp_path / "g.db",
        cameras={"gate": {"address": str(tmp_path), "hours": "mon 08:00-09:00", "masks": [[(0, 0), (1, 0), (1, 1)]]}},
    )
    keeper = make_keeper(configuration.cameras["gate"], configuration)
    assert keeper.source.name == "gate"
    assert keeper._hours is not None
    assert keeper.source._memory == tmp_path / "g.db.gate.seen"
    assert isinstance(make_source(Camera(name="x", address="http://h/")), HttpSource)
