"""Studies: what they propose, remember, try again and refuse; trials are made up here, true ones in integration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the training extra")
optuna = pytest.importorskip("optuna", reason="needs the training extra")

from onlooker.errors import ConfigError, DataError, ExportError, TrainingError  # noqa: E402
from onlooker.export.tuning import ATTEMPTS, Plan, Study, open_study  # noqa: E402
from onlooker.export.tuning_space import parse_space  # noqa: E402
from onlooker.export.tuning_trial import Measured  # noqa: E402
from onlooker.training.recipes import Recipe, parse_recipe  # noqa: E402
from tests.tiny_models import recipe_table  # noqa: E402
from tests.unit.export.tuned import measured  # noqa: E402

pytestmark = pytest.mark.train

SPACE = {
    "precision": ["half", "int8"],
    "model": {"image": {"size": ["32x32", "64x32"]}},
    "optimiser": {"image_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "base": parse_recipe(recipe_table(Path("clip")), "tiny.toml"),
        "space": parse_space(SPACE, "space.toml"),
        "epochs": 3,
        "seed": 0,
        "precision": "int8",
        "quality": "rsum",
        "threads": 1,
        "data": "abc",
    }
    return Plan(**{**values, **changes})


def figures(recipe: Recipe, precision: str, folder: Path) -> Measured:
    """A landscape: larger pictures are better and slower, a rate of 1e-3 is best, int8 costs a little."""
    quality = 1.5 * recipe.model.image.height - 1e4 * abs(recipe.optimiser.image_lr - 1e-3) - (precision == "int8")
    return measured(quality, recipe.model.image.height / 10)


@contextmanager
def opened(folder: Path, **changes: Any) -> Iterator[Study]:
    with open_study(folder, plan(**changes)) as study:
        yield study


def go(folder: Path, trials: int, measure: Callable[..., Measured] = figures, **changes: Any) -> list[Any]:
    with opened(folder, **changes) as study:
        study.run(trials, measure)
        return study.records()


def test_a_study_runs_measures_and_is_found_again(tmp_path: Path) -> None:
    seen = []

    def measure(recipe: Recipe, precision: Any, folder: Path) -> Measured:
        assert (recipe.run.epochs, recipe.seed) == (3, 5)
        assert folder.parent == (tmp_path / "study").resolve() / "trials"
        seen.append(folder)
        return figures(recipe, precision, folder)

    ended = []
    with opened(tmp_path / "study", seed=5) as study:
        assert study.new
        study.run(6, measure, after_trial=lambda record: ended.append(record.number))
        first = study.records()
    assert ended == [record.number for record in first] == list(range(6))
    assert all(record.state == "complete" for record in first)
    with opened(tmp_path / "study", seed=5) as study:
        assert not study.new
        assert study.records() == first
        study.run(8, measure)
        assert study.records()[:6] == first
        assert study.finished() == len(study.records()) == 8
    assert len(set(seen)) == len(seen)


def test_the_recipe_itself_is_the_first_trial(tmp_path: Path) -> None:
    first, second = go(tmp_path, 2)
    assert first.params == {"precision": "int8", "model.image.size": "32x32", "optimiser.image_lr": 3e-3}
    assert first.is_recipe
    assert not second.is_recipe


def test_of_a_recipe_outside_the_space_the_first_trial_has_what_the_space_holds(tmp_path: Path) -> None:
    space = parse_space({**SPACE, "optimiser": {"image_lr": [1e-2]}}, "space.toml")
    (first,) = go(tmp_path, 1, space=space)
    assert first.params["model.image.size"] == "32x32"
    assert first.params["optimiser.image_lr"] == 1e-2
    assert not first.is_recipe


def test_one_seed_gives_one_search_stopped_or_not(tmp_path: Path) -> None:
    def params(records: list[Any]) -> list[Any]:
        return [record.params for record in records if record.state != "interrupted"]

    whole = params(go(tmp_path / "whole", 14))
    go(tmp_path / "parts", 4)
    with opened(tmp_path / "parts") as study, pytest.raises(KeyboardInterrupt):
        study.run(14, stop_in("64x32"))
    parts = params(go(tmp_path / "parts", 14))
    assert parts == whole
    assert params(go(tmp_path / "other", 4, seed=1)) != whole[:4]


def stop_in(size: str) -> Callable[..., Measured]:
    def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
        if f"{recipe.model.image.height}x{recipe.model.image.width}" == size:
            raise KeyboardInterrupt
        return figures(recipe, precision, folder)

    return measure


def test_a_stopped_trial_is_tried_again_however_often(tmp_path: Path) -> None:
    for _ in range(ATTEMPTS + 2):
        with opened(tmp_path) as study, pytest.raises(KeyboardInterrupt):
            study.run(1, stop_in("32x32"))
        assert study_count(tmp_path) == 0
    records = go(tmp_path, 2)
    assert [record.state for record in records] == ["interrupted"] * (ATTEMPTS + 2) + ["complete"] * 2
    assert len({str(record.params) for record in records[:-1]}) == 1
    assert records[-2].is_recipe


def study_count(folder: Path) -> int:
    with opened(folder) as study:
        return study.finished()


KILLED = """
import os, sys
from pathlib import Path
from tests.unit.export import test_tuning as t
with t.opened(Path(sys.argv[1])) as study:
    study.run(3, lambda recipe, precision, folder: os._exit(9))
"""


def test_a_trial_whose_process_was_killed_is_tried_again(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, check=False, capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    dead, again = go(tmp_path, 1)
    assert (dead.state, again.state) == ("interrupted", "complete")
    assert dead.params == again.params


def test_a_trial_that_keeps_ending_its_process_is_given_up(tmp_path: Path) -> None:
    def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
        raise MemoryError

    for _ in range(ATTEMPTS):
        with pytest.raises(MemoryError):
            go(tmp_path, 1, measure)
    records = go(tmp_path, 2)
    assert [record.state for record in records] == ["interrupted"] * (ATTEMPTS - 1) + ["failed", "complete"]
    assert records[ATTEMPTS - 1].reason == f"the process ended {ATTEMPTS} times during this trial"
    assert [record.params for record in records[: ATTEMPTS - 1]] == [records[ATTEMPTS - 1].params] * (ATTEMPTS - 1)


def test_a_failed_trial_is_counted_and_told_and_the_study_goes_on(tmp_path: Path) -> None:
    def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
        if recipe.model.image.height == 32:
            raise ExportError("image.onnx: its vectors are not the model's")
        return figures(recipe, precision, folder)

    records = go(tmp_path, 12, measure)
    assert len(records) == 12
    assert {record.state for record in records} == {"complete", "failed"}
    for record in records:
        assert (record.state == "failed") == (record.params["model.image.size"] == "32x32")
        assert record.reason == ("image.onnx: its vectors are not the model's" if record.state == "failed" else "")
        assert (record.measured is None) == (record.state == "failed")


def test_nothing_but_failures_end_the_study(tmp_path: Path) -> None:
    def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
        raise TrainingError("the loss is nan")

    with pytest.raises(
        TrainingError, match="the first 3 trials all failed, so the study ends; the last: the loss is nan"
    ):
        go(tmp_path, 12, measure)
    assert study_count(tmp_path) == 3


def test_values_that_were_measured_are_not_measured_again(tmp_path: Path) -> None:
    calls = []

    def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
        calls.append(folder)
        return figures(recipe, precision, folder)

    space = parse_space({"precision": ["half", "int8"], "run": {"batch_size": [4]}}, "space.toml")
    records = go(tmp_path, 6, measure, space=space)
    assert len(calls) == 2
    originals = {record.number: record for record in records if record.repeats is None}
    assert len(originals) == 2
    for record in records:
        if record.repeats is not None:
            assert record.params == originals[record.repeats].params
            assert record.measured == originals[record.repeats].measured


def test_it_learns(tmp_path: Path) -> None:
    records = go(tmp_path, 30, space=parse_space({"optimiser": SPACE["optimiser"]}, "space.toml"))
    rates = [abs(record.params["optimiser.image_lr"] - 1e-3) for record in records]
    assert sorted(rates[15:])[7] < sorted(rates[1:11])[5]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 4}, "another epochs;"),
        ({"seed": 1, "quality": "r1"}, "another seed and quality;"),
        ({"data": "other"}, "another data;"),
        ({"base": parse_recipe(recipe_table(Path("clip"), seed=3), "x")}, "another recipe;"),
        ({"space": parse_space({**SPACE, "precision": ["half"]}, "x")}, "another space;"),
    ],
)
def test_another_plan_is_refused_once_a_trial_was_begun(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with opened(tmp_path, epochs=99):
        pass
    go(tmp_path, 1)
    with pytest.raises(ConfigError) as caught:
        go(tmp_path, 1, **changes)
    assert said in str(caught.value)
    assert study_count(tmp_path) == 1


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with opened(tmp_path):  # noqa: SIM117  # the first must be open
        with pytest.raises(ConfigError, match="another process works on this study"), opened(tmp_path):
            pass
    with opened(tmp_path):
        pass


def test_what_cannot_be_a_study(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be the folder of a study"), opened(tmp_path / "file"):
        pass
    with pytest.raises(ConfigError, match="'\\?' in its path"), opened(tmp_path / "why?"):
        pass
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "study.db").write_bytes(b"no database" * 99)
    with pytest.raises(DataError, match=r"study\.db: no study of this version"), opened(tmp_path / "damaged"):
        pass


def test_optunas_own_voice_is_as_before(tmp_path: Path) -> None:
    before = optuna.logging.get_verbosity()
    go(tmp_path, 1)
    assert optuna.logging.get_verbosity() == before


def test_large_files_of_an_ended_trial_go(tmp_path: Path) -> None:
    def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
        for name in ("run/best", "run/last", "bundle"):
            (folder / name).mkdir(parents=True)
        for name in ("run/best/model.safetensors", "run/history.json", "bundle/text.onnx", "bundle/image.onnx"):
            (folder / name).write_text("x")
        return figures(recipe, precision, folder)

    go(tmp_path, 1, measure)
    kept = {path.name for path in (tmp_path / "trials").rglob("*") if path.is_file()}
    assert kept == {"history.json", "image.onnx"}
