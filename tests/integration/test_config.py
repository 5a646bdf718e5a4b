"""``onlooker config``, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from onlooker.cli import main
from tests.unit.footage.painted import numbered, write_video


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_example_check_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "example"]) == 0
    assert (tmp_path / "onlooker.toml").stat().st_mode & 0o777 == 0o600
    assert main(["config", "example"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["config", "check"]) == 2
    assert "password_file" in capsys.readouterr().err
    (tmp_path / "entrance.password").write_text("geheim\n")
    (tmp_path / "entrance.password").chmod(0o644)
    assert main(["config", "check"]) == 0
    out, err = capsys.readouterr()
    assert out == "onlooker.toml: no mistake, 1 camera\n"
    assert "chmod 600" in err
    assert main(["config", "show"]) == 0
    out = capsys.readouterr().out
    assert 'name = "Entrance"' in out
    assert 'user = "***"' in out


def test_the_example_on_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "example", "-"]) == 0
    assert "[cameras.entrance]" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_mistakes_name_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.toml").write_text('[cameras.a]\naddress = "rtsp://eva:geheim@h/s"\nframe_rate = 0\nhour = "x"\n')
    assert main(["config", "check", "my.toml"]) == 2
    err = capsys.readouterr().err
    assert "my.toml has 2 mistakes:" in err
    assert "line 3, cameras.a.frame_rate" in err
    assert "line 4, cameras.a.hour" in err
    assert "geheim" not in err


def test_show_hides_what_is_secret(capsys: pytest.CaptureFixture[str]) -> None:
    Path("onlooker.toml").write_text('[cameras.a]\naddress = "http://eva:geheim@h/s?pw=geheim"\n')
    for words in (["config", "show"], ["config", "show", "--json"], ["config", "check"]):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert "geheim" not in out + err
        assert "eva" not in out + err


def test_a_decoder_that_lacks_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    Path("onlooker.toml").write_text('[cameras.a]\naddress = "rtsp://h/s"\ndecoder = "jetson"\n')
    if main(["config", "check"]) == 0:
        pytest.skip("this is a Jetson")
    assert "cameras.a.decoder: 'jetson' needs" in capsys.readouterr().err


def test_connect_asks_every_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "film.mp4", numbered(5), [Fraction(n, 10) for n in range(5)])
    Path("onlooker.toml").write_text(
        '[cameras.film]\naddress = "film.mp4"\n[cameras.desk]\naddress = "/dev/video97"\n'
        '[cameras.off]\naddress = "none.mp4"\nenabled = false\n'
    )
    assert main(["config", "check", "--connect", "--json"]) == 1
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert set(answers) == {"film", "desk"}
    assert (answers["film"]["width"], answers["film"]["height"], answers["film"]["error"]) == (64, 48, None)
    assert "no /dev/video97" in answers["desk"]["error"]
    assert main(["config", "check", "--connect"]) == 1
    out = capsys.readouterr().out
    assert "film: 64 x 48 after" in out


def test_a_search_does_not_pay_for_the_configuration() -> None:
    names = ("pydantic", "pydantic_settings")
    code = f"import sys, onlooker.cli.search; print([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
