"""The root of the command line: help, laziness, and how errors become messages and exit codes."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import onlooker
from onlooker import cli
from onlooker.cli import COMMANDS, main
from onlooker.errors import InputError, MissingExtraError, OnlookerError, PictureError, TrainingError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Add a command "probe" to the command line that does what a test wants."""

    def add(does: Callable[[], None]) -> None:
        module = types.ModuleType("onlooker.cli.probe")

        def run() -> None:
            """Do what the test wants."""
            does()

        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "onlooker.cli.probe", module)
        monkeypatch.setitem(COMMANDS, "probe", "Do what the test wants.")

    return add


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"onlooker {onlooker.__version__}\n"


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    words = " ".join(out.split())
    for name, line in COMMANDS.items():
        assert f"{name} {line[:20]}" in words


def test_no_command_shows_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: onlooker" in out + err


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serach"]) == 2
    assert "serach" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"onlooker {name}" in out.split("Example", 1)[1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OnlookerError("it failed"), 1),
        (TrainingError("the loss is NaN in batch 3"), 1),
        (InputError("no such thing"), 2),
        (PictureError("a.jpg is empty"), 2),
        (MissingExtraError("install onlooker[train]"), 2),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str], error: OnlookerError, code: int
) -> None:
    command(failing(error))
    assert main(["probe"]) == code
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_ctrl_c_stops_quietly(
    command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(failing(KeyboardInterrupt()))
    assert main(["probe"]) == 130
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err


def test_a_mistake_of_ours_is_not_hidden(command: Callable[[Callable[[], None]], None]) -> None:
    command(failing(ZeroDivisionError("a mistake")))
    with pytest.raises(ZeroDivisionError):
        main(["probe"])


def test_a_command_that_ends_well_gives_zero(command: Callable[[Callable[[], None]], None]) -> None:
    command(lambda: print("done"))
    assert main(["probe"]) == 0


def test_the_reader_of_a_pipe_may_go() -> None:
    code = (
        "import sys, types; from onlooker import cli\n"
        "module = types.ModuleType('onlooker.cli.probe')\n"
        "def run(): [print('line', number, flush=True) for number in range(100_000)]\n"
        "module.run = run; sys.modules['onlooker.cli.probe'] = module; cli.COMMANDS['probe'] = 'Print.'\n"
        "sys.exit(cli.main(['probe']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(timeout=30) != 0


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_start_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; from onlooker.cli import main; main({words!r})\n"
        "heavy = {'numpy', 'PIL', 'cv2', 'av', 'faiss', 'onnxruntime', 'tokenizers', 'torch', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_python_m_is_the_same_command() -> None:
    for module in ("onlooker", "onlooker.cli"):
        done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"onlooker {onlooker.__version__}\n"


def test_every_listed_command_has_its_file() -> None:
    assert set(COMMANDS) <= {path.stem for path in Path(cli.__path__[0]).glob("*.py")}
