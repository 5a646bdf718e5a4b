from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from onlooker.errors import ConfigError
from onlooker.footage.cameras import EXAMPLE, Camera, Configuration, Retention, load_configuration


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("ONLOOKER_"):
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "onlooker.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_configuration(write(tmp_path, text))
    # Nothing that hangs on the error may hold what pydantic kept of the input.
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


GATE = '[cameras.gate]\naddress = "rtsp://10.0.0.2/s"\n'


def test_the_example_holds_and_names_every_key() -> None:
    configuration = load_configuration(EXAMPLE)
    assert configuration.cameras["entrance"].name == "Entrance"
    text = EXAMPLE.read_text(encoding="utf-8")
    for model in (Camera, Configuration, Retention):
        for key in model.model_fields:
            assert re.search(rf"^#? ?\[?{key}\b|\{{.*{key} =", text, re.MULTILINE), key


def test_the_commented_keys_of_the_example_hold_too(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=[a-z_]+ = |\[cameras)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^password(_env)? = .*\n", "", text, flags=re.MULTILINE)
    configuration = load_configuration(write(tmp_path, text))
    assert {camera.address.kind for camera in configuration.cameras.values()} == {"rtsp", "http", "usb", "folder"}


def test_every_value_arrives(tmp_path: Path) -> None:
    text = """
gallery = "g/people.db"
time_zone = "Europe/Berlin"
[retention]
days = 7
[cameras.gate]
name = "Tor 1 (Süd)"
address = "rtsp://eva:ge%2Fheim@10.0.0.2/s"
transport = "udp"
frame_rate = 12.5
region = [[0, 0], [1, 0], [1, 1]]
masks = [[[0, 0], [0.5, 0], [0.5, 0.5]]]
hours = "mon-fri 08:00-18:00"
retention = { days = inf, gigabytes = 1.5 }
[cameras.in_box]
address = "uploads"
detector = "models/own.onnx"
"""
    configuration = load_configuration(write(tmp_path, text))
    gate, box = configuration.cameras["gate"], configuration.cameras["in_box"]
    assert configuration.gallery == tmp_path / "g" / "people.db"
    assert (gate.name, str(gate.address), gate.frame_rate, gate.transport) == (
        "Tor 1 (Süd)",
        "rtsp://10.0.0.2/s",
        12.5,
        "udp",
    )
    assert gate.sign_in() == ("eva", "ge/heim")
    assert gate.region == ((0, 0), (1, 0), (1, 1))
    assert configuration.retention_of(gate) == Retention(days=math.inf, gigabytes=1.5)
    assert configuration.retention_of(box) == Retention(days=7)
    hours = configuration.hours_of(gate)
    assert hours is not None
    assert str(hours.zone) == "Europe/Berlin"
    assert configuration.hours_of(box) is None
    assert str(box.address) == str(tmp_path / "uploads")
    assert box.detector == str(tmp_path / "models" / "own.onnx")
    assert box.sign_in() is None


def test_without_anything_there_are_sensible_defaults(tmp_path: Path) -> None:
    configuration = load_configuration(write(tmp_path, ""))
    assert configuration.cameras == {}
    assert configuration.retention.days == 30


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("frame_rate = 0", "line 3, cameras.gate.frame_rate: 0 cannot be used"),
        ("frame_rate = 'fast'", "line 3, cameras.gate.frame_rate: 'fast' cannot be used"),
        ("frame_rat = 5", "line 3, cameras.gate.frame_rat: there is no such key; did you mean frame_rate?"),
        ("xyz = 5", "line 3, cameras.gate.xyz: no such key; known are name, enabled, address"),
        ("\n# c\nhours = 'mon-fry 8:00-9:00'", "line 5, cameras.gate.hours: hours 'mon-fry"),
        ("time_zone = 'Europe/Berlyn'", "there is no time zone 'Europe/Berlyn'"),
        ("transport = 'tpc'", "line 3, cameras.gate.transport: 'tpc' cannot be used: it should be tcp or udp"),
        ("decoder = 'gpu'", "'gpu' is not known; choose one of software, cuda"),
        ("detector = 'yolo'", "'yolo' is not known; choose one of union"),
        ("region = [[0, 0], [1, 0]]", "line 3, cameras.gate.region"),
        (
            "region = [[0, 0], [640, 0], [640, 480]]",
            "shares of the picture's width and height, from 0 to 1, not pixels",
        ),
        ("region = [[0, 0], [0.5, 0.5], [1, 1]]", "corners lie on one line"),
        ("masks = [\n [[0,0],[1,0],[1,1]],\n [[0,0],[2,0],[1,1]]]", "line 5, cameras.gate.masks.1: corners are shares"),
        ("retention = { days = -1 }", "line 3, cameras.gate.retention.days: -1 cannot be used"),
        ("retention = { day = 1 }", "did you mean days?"),
        ("size = '1280x720'", "size is for usb cameras, and this is a rtsp source"),
        ("password = 'x'", "password is given without a user"),
        ("user = 'a'\npassword = 'x'\npassword_env = 'X'", "password and password_env are given; keep one"),
        ("name = ' x'", "a name has no space around it"),
        ("[cameras.Gate2]\naddress = 'x'", "small letters, digits and underscores"),
        ("[cameras.b]\nname = 'gate'\naddress = 'x'", "cameras.gate and cameras.b have the same name"),
        ("[cameras.b]", "line 3, cameras.b.address: this is missing"),
        (
            "[cameras.b]\naddress = 'ftp://x'",
            "line 4, cameras.b.address: addresses that begin with ftp:// are not known",
        ),
        ("[retention]\ndays = 0", "line 4, retention.days: 0 cannot be used"),
        ("[watch]", "line 3, watch: no such key; known are gallery"),
        ("a = ", "line 3: not TOML"),
        ("address = 'x'", "line 3: not TOML: Cannot overwrite a value"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, lines: str, expected: str) -> None:
    message = mistakes(tmp_path, GATE + lines + "\n")
    assert expected in message
    assert str(tmp_path / "onlooker.toml") in message


def test_orders_to_the_settings_library_are_refused(tmp_path: Path) -> None:
    assert "line 2, _env_file: there is no such key" in mistakes(tmp_path, "\n_env_file = 'x'\n")


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    message = mistakes(tmp_path, GATE + "frame_rate = 0\nnam = 'x'\n[retention]\ndays = 0\n")
    assert "has 3 mistakes:" in message
    assert [line.split(",")[0] for line in message.splitlines()[1:]] == ["  line 6", "  line 3", "  line 4"]


@pytest.mark.parametrize(
    "lines",
    [
        "pasword = 'geheim'",
        "user = 'geheim:geheim'\npassword = 'geheim'",
        "password = ['geheim']",
        "user = 'x'\npassword = 'geheim'\npassword_file = 'f'",
        "[cameras.b]\naddress = 'rtsp://eva:geheim@'",
        "[cameras.b]\naddress = 'rtsp://eva:geheim@h/s'\nuser = 'x'",
        "[cameras.b]\naddress = 'rtsp://eva:geheim@h/s'\nframe_rate = 0",
        "[cameras.b]\naddress = 'rtsp://eva:ge/geheim@h:x/s'",
    ],
)
def test_no_mistake_shows_a_secret(tmp_path: Path, lines: str) -> None:
    assert "geheim" not in mistakes(tmp_path, GATE + lines + "\n")


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    text = '[cameras.gate]\naddress = "http://eva:geheim@h/s?pw=geheim"\n'
    configuration = load_configuration(write(tmp_path, text))
    gate = configuration.cameras["gate"]
    shown = f"{configuration!r} {configuration} {gate!r} {gate} {gate.model_dump()} {configuration.model_dump_json()}"
    assert "geheim" not in shown
    assert gate.secret() == "geheim"


def test_passwords_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gate.password").write_text("ge:heim\n")
    configuration = load_configuration(write(tmp_path, GATE + "user = 'eva'\npassword_file = 'gate.password'\n"))
    assert configuration.cameras["gate"].sign_in() == ("eva", "ge:heim")
    (tmp_path / "gate.password").write_text("new\n")
    assert configuration.cameras["gate"].secret() == "new"
    (tmp_path / "gate.password").unlink()
    with pytest.raises(ConfigError, match=r"camera gate: password_file .*gate.password cannot be read"):
        configuration.cameras["gate"].secret()
    camera = Camera(name="gate", address="rtsp://h/s", user="eva", password_env="GATE_PASSWORD")
    with pytest.raises(ConfigError, match="camera gate: the environment variable GATE_PASSWORD is not set"):
        camera.secret()
    monkeypatch.setenv("GATE_PASSWORD", "geheim")
    assert camera.secret() == "geheim"


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 'gallery = "a.db"\n' + GATE + "frame_rate = 2\nuser = 'eva'\n")
    for name, value in {
        "GALLERY": "b.db",
        "RETENTION__DAYS": "3",
        "CAMERAS__GATE__FRAME_RATE": "1.5",
        "CAMERAS__GATE__PASSWORD": "12345",
        "CAMERAS__GATE__MASKS": "[[[0, 0], [1, 0], [1, 1]]]",
        "CAMERAS__GATE__RETENTION__GIGABYTES": "2",
        "CAMERAS__YARD__ADDRESS": "http://h/",
        "THREADS": "2",
    }.items():
        monkeypatch.setenv(f"ONLOOKER_{name}", value)
    configuration = load_configuration(path)
    gate = configuration.cameras["gate"]
    assert configuration.gallery == tmp_path / "b.db"
    assert configuration.retention.days == 3
    assert (gate.frame_rate, gate.password, len(gate.masks)) == (1.5, SecretStr("12345"), 1)
    assert configuration.retention_of(gate) == Retention(gigabytes=2)
    assert configuration.cameras["yard"].name == "yard"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CAMERAS__GATE__FRAME_RATE", "fast", "environment variable ONLOOKER_CAMERAS__GATE__FRAME_RATE, cameras.gate"),
        (
            "CAMERAS__GATE__FRAMERATE",
            "5",
            "variable ONLOOKER_CAMERAS__GATE__FRAMERATE, cameras.gate.framerate: there is no such key; did you mean",
        ),
        (
            "CAMERAS__GATTE__FRAME_RATE",
            "5",
            "environment variable ONLOOKER_CAMERAS__GATTE__FRAME_RATE, cameras.gatte.address: this is missing",
        ),
        ("CAMERAS", "{geheim", "environment variable ONLOOKER_CAMERAS"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"ONLOOKER_{name}", value)
    message = mistakes(tmp_path, GATE)
    assert expected in message
    assert "geheim" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: cannot read the configuration .* 'onlooker config example'"):
        load_configuration(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"gallery = '\xe4'")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load_configuration(tmp_path / "latin.toml")
