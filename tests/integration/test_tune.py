"""``onlooker tune model`` as a user runs it: true trainings of a tiny model, true exports, true times."""

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
pytest.importorskip("optuna", reason="needs the training extra")

from onlooker.cli import main  # noqa: E402
from onlooker.encoders.checkpoint import load_checkpoint  # noqa: E402
from onlooker.training.recipes import load_recipe  # noqa: E402
from tests.tiny_models import clip_folder, painted_people, recipe_table, write_toml  # noqa: E402

pytestmark = pytest.mark.train

SPACE = """
precision = ["half"]
model.image.size = ["32x32", "64x32"]
optimiser.image_lr = { low = 1e-3, high = 1e-2, log = true }
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, a manifest, a recipe and a space."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tune")
    clip_folder(folder / "clip")
    painted_people(folder / "people")
    write_toml(folder / "tiny.toml", recipe_table(folder / "clip"))
    (folder / "space.toml").write_text(SPACE)
    return folder


def words(place: Path, output: Path, *more: str) -> list[str]:
    data = str(place / "people" / "people.jsonl")
    space = ["--space", str(place / "space.toml"), "--epochs", "1", "--train-threads", "1"]
    return ["tune", "model", str(place / "tiny.toml"), "--data", data, "-o", str(output), *space, *more]


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "trials.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.slow
def test_a_study_is_stopped_goes_on_and_ends_with_recipes_that_train_takes(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "study"
    # Enough short epochs that Ctrl-C falls into a training.
    whole = words(place, output, "--trials", "2", "--epochs", "20")
    running = subprocess.Popen(
        [sys.executable, "-m", "onlooker", *whole],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: any((output / "trials").glob("*/run/last/*")))
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert out == ""
    assert "trial 0 (1 of 2): precision=half size=32x32 image_lr=0.003" in err
    assert "stopped after 0 of 2 trials; the same command goes on" in err
    assert "Traceback" not in err
    assert rows(output) == []
    (stopped,) = (output / "trials").iterdir()

    assert main(whole) == 0
    out, err = capsys.readouterr()
    assert "going on after 0 of 2 trials" in err
    assert "so far the best" in err
    assert out.splitlines()[0].split()[:2] == ["trial", "R@1+R@5+R@10"]
    assert f"onlooker train {output / 'best.toml'}" in out
    assert "fastest within 3 points of R@1+R@5+R@10: trial " in out
    assert [row["state"] for row in rows(output)] == ["interrupted", "complete", "complete"]
    assert rows(output)[0]["optimiser.image_lr"] == rows(output)[1]["optimiser.image_lr"]
    # It went on with the training that was stopped: in its folder, one history.
    history: list[Any] = json.loads((stopped / "run" / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == list(range(20))
    for row in rows(output)[1:]:
        recalls = sum(float(row[key]) for key in ("r1", "r5", "r10"))
        assert float(row["quality"]) == pytest.approx(100 * recalls, abs=0.02)
        assert float(row["image_ms"]) > 0
        assert float(row["text_ms"]) > 0
    # Nothing large stays but the image towers, which the times at the end are measured with.
    kept = {path.name for path in (output / "trials").rglob("*") if path.is_file()}
    assert kept == {"image.onnx", "model.json", "history.json", "curves.png", "run.json"}

    # The same command again trains nothing, and measures the times of the front anew.
    trained = [path.stat().st_mtime_ns for path in sorted((output / "trials").rglob("*"))]
    assert main([*whole, "--json", "--within", "300"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert [path.stat().st_mtime_ns for path in sorted((output / "trials").rglob("*"))] == trained
    assert outcome == json.loads((output / "pareto.json").read_text())
    assert outcome["machine"]["threads"] == 1
    assert all(point["image"]["runs"] == 200 for point in outcome["points"])
    assert {outcome["best"], outcome["fastest"]} <= {point["trial"] for point in outcome["points"]}
    assert load_recipe(output / "best.toml").run.epochs == 2
    data = str(place / "people" / "people.jsonl")
    assert main(["train", str(output / "best.toml"), "--data", data, "-o", str(tmp_path / "run"), "--no-results"]) == 0
    # Another seed is another search.
    assert main([*whole, "--seed", "1"]) == 2
    assert "begun with another seed" in capsys.readouterr().err


@pytest.mark.slow
def test_trials_on_a_text_side_that_is_there_keep_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(place / "people" / "people.jsonl")
    small = ["--set", "run.epochs=1", "--no-results"]
    assert main(["train", str(place / "tiny.toml"), "--data", data, "-o", str(tmp_path / "run"), *small]) == 0
    both = tmp_path / "space.toml"
    both.write_text(SPACE + "optimiser.text_lr = [1e-3, 1e-2]\n")
    more = ("--trials", "1", "--space", str(both), "--text-from", str(tmp_path / "run"))
    assert main(words(place, tmp_path / "study", *more)) == 0
    assert f"the text side stays that of {tmp_path / 'run'}; not varied: optimiser.text_lr" in capsys.readouterr().err
    recipe = load_recipe(tmp_path / "study" / "best.toml")
    assert recipe.run.text_from == str(tmp_path / "run")
    assert recipe.model.lora is not None
    assert recipe.model.lora.text is None
    assert "optimiser.text_lr" not in rows(tmp_path / "study")[0]
    # A recipe that comes out trains on the same text side.
    best = ["train", str(tmp_path / "study" / "best.toml"), "--data", data, "-o", str(tmp_path / "small"), *small]
    assert main(best) == 0
    ids, mask = torch.tensor([[5, 6, 7, 60]]), torch.ones(1, 4, dtype=torch.int64)
    with torch.inference_mode():
        one, two = (
            load_checkpoint(tmp_path / name / "best").eval().encode_texts(ids, mask) for name in ("run", "small")
        )
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def wait_for(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_the_default_space_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "model", "--show-space"]) == 0
    assert "model.image.size = [" in capsys.readouterr().out


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--help"]) == 0
    assert "model" in capsys.readouterr().out
    assert main(["tune", "model", "--help"]) == 0
    assert "onlooker tune model base --data street.jsonl -o studies/base" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--quality", "map"], 2, "--quality 'map': choose rsum or r1"),
        (["--precision", "int4"], 2, "--precision 'int4': choose float32, half or int8"),
        (["--space", "nothere.toml"], 2, "nothere.toml: cannot read the search space"),
        (["--trials", "0"], 2, "--trials"),
        (["--set", "run.epoch=1"], 2, "run.epoch: Extra inputs"),
        (["--set", "data.val_split=test"], 2, "has no split 'test'"),
        (["--text-from", "nothere"], 2, "no checkpoint here"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    more: list[str], code: int, said: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(place, tmp_path / "study", *more)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_without_recipe_and_data_it_says_what_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "model", "seed"]) == 2
    assert "which recipe and which data?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("optimiser.image_rl = [1e-3]", "optimiser.image_rl = 0.001: optimiser.image_rl: Extra inputs"),
        ('model.image.size = ["32x32", "40x32"]', "model.image.size = 40x32: image size 40x32 is not a multiple"),
        ("model.projection.dimension = [16, 32]", "model.projection.dimension = 32: CLIP checkpoint"),
    ],
)
def test_what_the_recipe_does_not_take_ends_it_before_the_first_trial(
    space: str, said: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text(space)
    assert main(words(place, tmp_path / "study", "--space", str(tmp_path / "space.toml"))) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'space.toml'}: {said}" in err
    assert "trial 0" not in err
    # The corrected space can be searched in the same folder.
    assert not (tmp_path / "study" / "trials.csv").exists()
