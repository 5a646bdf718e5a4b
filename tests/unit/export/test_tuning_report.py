"""What a study leaves behind."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training extra")
pytest.importorskip("optuna", reason="needs the training extra")
pytest.importorskip("matplotlib", reason="needs the training extra")

from onlooker.errors import ExportError
from onlooker.export.pareto import Front, Point, choose
from onlooker.export.timing import EncodeTime
from onlooker.export.tuning import Study
from onlooker.export.tuning_report import describe_params, table, write_report, write_trials
from onlooker.export.tuning_trial import Measured
from onlooker.runtime.pictures import read_picture
from onlooker.training.recipes import Recipe, load_recipe
from tests.unit.export.test_tuning import figures, opened

pytestmark = pytest.mark.train


def measure(recipe: Recipe, precision: str, folder: Path) -> Measured:
    if recipe.optimiser.image_lr > 6e-3:
        raise ExportError("int8 is too coarse, says the gate")
    return figures(recipe, precision, folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    with opened(tmp_path_factory.mktemp("study")) as study:
        study.run(12, measure)
        yield study


@pytest.fixture
def front(study: Study) -> Front:
    timed = [
        # Measured side by side all take a little longer than in their trials.
        Point(record, record.measured, EncodeTime(record.measured.image.median_ms + 0.5, 3, 9, 200, 9))
        for record in study.records()
        if record.measured is not None and record.repeats is None
    ]
    return choose(timed, 40)


def test_all_files_are_written(study: Study, front: Front, tmp_path: Path) -> None:
    values = write_report(tmp_path, study, front, {"machine": {"threads": 1}})
    assert {path.name for path in tmp_path.iterdir()} == {
        "trials.csv",
        "pareto.json",
        "pareto.png",
        "best.toml",
        "fastest.toml",
    }
    assert json.loads((tmp_path / "pareto.json").read_text()) == values
    assert values["quality"] == "R@1+R@5+R@10"
    assert values["machine"] == {"threads": 1}
    numbers = [point["trial"] for point in values["points"]]
    assert numbers == [point.record.number for point in front.points]
    assert {values["best"], values["fastest"]} <= set(numbers)
    times = [point["image"]["median_ms"] for point in values["points"]]
    assert times == sorted(times)
    assert [point["image_in_trial"]["median_ms"] + 0.5 for point in values["points"]] == times
    assert read_picture(tmp_path / "pareto.png").shape == (750, 1200, 3)


def test_the_chosen_recipes_are_the_trials_at_full_length(study: Study, front: Front, tmp_path: Path) -> None:
    write_report(tmp_path, study, front, {})
    for kind, point in (("best", front.best), ("fastest", front.fastest)):
        recipe = load_recipe(tmp_path / f"{kind}.toml")
        assert recipe.name == f"tiny-{kind}"
        assert recipe.run.epochs == study.plan.base.run.epochs != study.plan.epochs
        assert recipe.optimiser.image_lr == point.record.params["optimiser.image_lr"]
        size = f"{recipe.model.image.height}x{recipe.model.image.width}"
        assert size == point.record.params["model.image.size"]
        text = (tmp_path / f"{kind}.toml").read_text()
        assert f"--precision {point.record.params['precision']}" in text
        assert f"Trial {point.record.number} of a study" in text


def test_every_trial_is_a_line(study: Study, tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.csv", study)
    with (tmp_path / "trials.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    records = study.records()
    assert [int(row["trial"]) for row in rows] == [record.number for record in records]
    assert {row["state"] for row in rows} == {"complete", "failed"}
    for row, record in zip(rows, records, strict=True):
        assert float(row["optimiser.image_lr"]) == record.params["optimiser.image_lr"]
        if record.measured is None:
            assert row["reason"] == "int8 is too coarse, says the gate"
            assert row["quality"] == row["image_ms"] == row["seconds"] == ""
        else:
            assert float(row["quality"]) == pytest.approx(record.measured.quality, abs=0.006)
            assert float(row["image_ms"]) == pytest.approx(record.measured.image.median_ms, abs=0.0006)
            assert row["reason"] == ""


def test_the_table_has_the_front_fastest_first(study: Study, front: Front) -> None:
    heading, *rows = table(study, front)
    assert heading.split()[:3] == ["trial", "R@1+R@5+R@10", "R@1"]
    assert [int(row.split()[0]) for row in rows] == [point.record.number for point in front.points]
    assert "30.0" in rows[0].split()  # megabytes of both towers
    assert all("size=" in row and "precision=" in row for row in rows)


def test_parameters_in_short() -> None:
    params = {"model.image.queries": 4, "model.text.queries": 2, "optimiser.image_lr": 0.000123456, "precision": "half"}
    assert describe_params(params) == "model.image.queries=4 model.text.queries=2 image_lr=0.000123 precision=half"
