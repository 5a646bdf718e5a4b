"""``onlooker train`` as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.cli import main  # noqa: E402
from onlooker.encoders.checkpoint import load_checkpoint, read_info  # noqa: E402
from tests.tiny_models import clip_folder, painted_people, recipe_table, write_toml  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, a manifest and a recipe for both."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("train")
    clip_folder(folder / "clip")
    painted_people(folder / "people")
    write_toml(folder / "tiny.toml", recipe_table(folder / "clip"))
    return folder


def train(place: Path, output: Path, *words: str) -> int:
    return main(
        ["train", str(place / "tiny.toml"), "--data", str(place / "people" / "people.jsonl"), "-o", str(output), *words]
    )


def test_it_trains_and_says_what_came_out(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(place, tmp_path / "run", "--json", "--seed", "4", "--set", "run.epochs=1") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["best"] == str(tmp_path / "run" / "best")
    assert result["chosen"]["epoch"] == 0
    assert "M of them trained" in err
    assert "R@1/5/10" in err
    assert read_info(tmp_path / "run" / "best")["record"]["recipe"]["seed"] == 4
    with (tmp_path / "run" / "results.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["image"] for row in rows} <= {f"photos/val{number}.jpg" for number in range(16)}
    assert len({row["query"] for row in rows}) == 32
    # The same command again finds it done.
    assert train(place, tmp_path / "run", "--seed", "4", "--set", "run.epochs=1") == 0
    out, err = capsys.readouterr()
    assert "going on after 4 of 4 batches" in err
    assert out.startswith(f"{tmp_path / 'run' / 'best'}: epoch 1, R@1 ")


def test_full_trains_every_weight(place: Path, tmp_path: Path) -> None:
    assert train(place, tmp_path / "run", "--full", "--no-results", "--set", "run.epochs=1") == 0
    record = read_info(tmp_path / "run" / "best")["record"]
    assert record["parameters"]["all"] == record["parameters"]["trainable"]
    assert not (tmp_path / "run" / "best" / "adapters").exists()
    assert not (tmp_path / "run" / "results.csv").exists()


def test_the_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        ["base", "clip", "compact", "flickr8k", "heads", "joint", "seed", "small", "towers"]
    )


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "onlooker train base --data street.jsonl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "which recipe and which data?"),
        (["seed"], 2, "which recipe and which data?"),
        (["nothere", "--data", "x"], 2, "nothere: no such recipe file"),
        (["seed", "--data", "nothere.jsonl"], 2, "cannot read the manifest nothere.jsonl"),
        (["seed", "--data", "x", "--set", "run.epoch=1"], 2, "run.epoch: Extra inputs"),
        (["seed", "--data", "x", "--set", "run.epochs"], 2, "expected dotted.key=value"),
        (["seed", "--data", "x", "--threads", "0"], 2, "--threads"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_lora_without_adapters_in_the_recipe_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = recipe_table(place / "clip")
    table["model"] = {key: value for key, value in table["model"].items() if key != "lora"}
    bare = write_toml(tmp_path / "bare.toml", table)
    assert main(["train", str(bare), "--data", str(place / "people" / "people.jsonl"), "--lora"]) == 2
    assert "has no adapters; add [model.lora.image]" in capsys.readouterr().err


def test_another_recipe_is_refused_until_restart(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ("--no-results", "--set", "run.epochs=1")
    assert train(place, tmp_path / "run", *quick) == 0
    assert train(place, tmp_path / "run", *quick, "--seed", "5") == 2
    assert "begun with another recipe (seed differ)" in capsys.readouterr().err
    # A restart that cannot be does not cost the run that is there.
    assert train(place, tmp_path / "run", *quick, "--restart", "--set", "data.train_split=no") == 2
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    assert train(place, tmp_path / "run", *quick, "--restart", "--seed", "5") == 0
    assert read_info(tmp_path / "run" / "best")["record"]["recipe"]["seed"] == 5


def test_a_failed_run_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = clip_folder(tmp_path / "clip", poison=True)
    painted_people(tmp_path / "people", captions={2: ["poison"]})
    write_toml(tmp_path / "tiny.toml", recipe_table(clip))
    assert train(tmp_path, tmp_path / "run") == 1
    err = capsys.readouterr().err
    assert "error: the loss is nan in epoch 1" in err
    assert "train2" in err


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(place: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle, then the same command to its end."""
    changes = ["--set", "run.checkpoint_s=0.0001", "--set", "run.ema_decay=0.9", "--set", "schedule.kind=cosine"]
    changes += ["--set", "optimiser.accumulate=2", "--set", "run.epochs=12", "--no-results"]
    data = str(place / "people" / "people.jsonl")
    command = [sys.executable, "-m", "onlooker", "train", str(place / "tiny.toml"), "--data", data, "--threads", "1"]
    # Idle threads of a library that was started first may change how sums are split; a process of its own for each.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    running = subprocess.Popen([*command, "-o", str(parts), *changes], env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: step_of(parts) > 5)
    running.send_signal(signal.SIGKILL)
    assert running.wait(30) == -signal.SIGKILL
    assert 5 < step_of(parts) < 24
    for output in (parts, whole):
        done = subprocess.run(
            [*command, "-o", str(output), *changes], env=environment, check=True, capture_output=True, text=True
        )
        assert ("going on after" in done.stderr) == (output == parts)
    assert json.loads((parts / "history.json").read_text()) == json.loads((whole / "history.json").read_text())
    one, two = (load_checkpoint(output / "best").state_dict() for output in (parts, whole))
    for name in one:
        assert torch.equal(one[name], two[name]), name
    assert sorted(path.name for path in parts.iterdir()) == sorted(path.name for path in whole.iterdir())


def step_of(output: Path) -> int:
    try:
        state: dict[str, Any] = torch.load(output / "last" / "state.pt", weights_only=True)
    except (OSError, RuntimeError, EOFError):
        return 0
    return int(state["progress"]["step"])


def wait_for(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["--lora", "--full"])
def test_the_seed_recipe_runs_at_full_size(way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ResNet-50 and DistilBERT whole, random weights, two real steps, the results file at the end."""
    people = painted_people(tmp_path / "people", [("red", "blue"), ("white", "black"), ("green", "grey")] * 3)
    small = ["model.image.weights=random", "model.text.weights=random", "model.image.height=64", "model.image.width=64"]
    settings = [*small, "run.max_steps=2", "run.batch_size=4"]
    words = [word for setting in settings for word in ("--set", setting)]
    data = str(tmp_path / "people" / "people.jsonl")
    assert main(["train", "seed", "--data", data, "-o", str(tmp_path / "run"), way, *words]) == 0
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [entry["step"] for entry in history] == [2]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    model = load_checkpoint(tmp_path / "run" / "best")
    count = {
        tower: sum(
            weight.numel()
            for name, weight in getattr(model, f"{tower}_tower").named_parameters()
            if "lora_" not in name
        )
        for tower in ("image", "text")
    }
    assert count["image"] == pytest.approx(23.5e6, rel=0.01)
    assert count["text"] == pytest.approx(66.4e6, rel=0.01)
    trained, whole = record["parameters"]["trainable"], record["parameters"]["all"]
    assert trained < 0.05 * whole if way == "--lora" else trained == whole - 1
    rows = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert len(rows) > len(people.split("val"))
    assert "M of them trained" in capsys.readouterr().err
