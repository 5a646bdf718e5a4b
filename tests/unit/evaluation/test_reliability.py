from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.evaluation import reliability as module
from onlooker.evaluation.calibration import Split, fit
from onlooker.evaluation.reliability import (
    Reliability,
    calibration_error,
    cross_fit,
    draw,
    even_bins,
    log_even,
    measure,
    measure_encoded,
    save_reliability,
    to_text,
)
from onlooker.runtime.calibration import Calibration
from tests.unit.evaluation.crowd import background, crowd

TEMPERATURE = 0.1


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIALS", 1200)
    monkeypatch.setattr(module, "TRIALS_A_SIZE", 400)
    monkeypatch.setattr(module, "SIZES", (6, 20, 50, 500))


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(crowd(100), background(), TEMPERATURE)


def slow_error(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Equal widths, written out."""
    total = 0.0
    for number in range(10):
        inside = [
            place
            for place, confidence in enumerate(confidences)
            if number / 10 <= confidence < (number + 1) / 10 or (number == 9 and confidence == 1)
        ]
        if inside:
            total += abs(sum(confidences[place] for place in inside) - sum(right[place] for place in inside))
    return total / len(confidences)


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(st.tuples(st.integers(0, 1000).map(lambda value: (value + 0.25) / 1000.5), st.booleans()), min_size=1)
)
def test_the_error_of_equal_widths_is_the_slow_one(data: list[tuple[float, bool]]) -> None:
    confidences = np.array([confidence for confidence, _ in data])
    right = np.array([value for _, value in data])
    assert calibration_error(confidences, right, counts=False) == pytest.approx(slow_error(confidences, right))
    assert sum(part.count for part in even_bins(confidences, right, counts=True)) == len(data)


def test_the_calibration_error_of_known_cases() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.random(50_000)
    honest = rng.random(50_000) < confidences
    for counts in (True, False):
        assert calibration_error(confidences, honest, counts=counts) < 0.01
        assert calibration_error(np.ones(10), np.zeros(10, bool), counts=counts) == 1
        assert calibration_error(np.full(10, 0.7), np.arange(10) < 7, counts=False) == pytest.approx(0)
    overconfident = np.minimum(confidences + 0.2, 1)
    assert calibration_error(overconfident, honest, counts=True) == pytest.approx(0.18, abs=0.01)
    bins = even_bins(confidences, honest, counts=True)
    assert [part.count for part in bins] == [5000] * 10
    assert [part.confidence for part in bins] == sorted(part.confidence for part in bins)


def test_sizes_are_drawn_evenly_by_their_logarithm() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([log_even(rng, 500) for _ in range(5000)])
    assert sizes.min() == 5
    assert 490 < sizes.max() <= 500
    assert (sizes < 50).mean() == pytest.approx(0.5, abs=0.03)
    assert log_even(rng, 3) == 3


def test_what_a_cross_fit_says_of_people_it_does_not_know(split: Split) -> None:
    calibration, found = cross_fit(split, background())
    assert (found.people, found.texts, found.pictures, found.crossfitted) == (100, 200, 100, True)
    assert found.trials == 2 * 3 * 200
    assert found.top1_count < 0.06
    assert found.top1_width < 0.06
    assert found.top10_count < 0.02
    assert [test.size for test in found.nobody] == [6, 20, 50]
    assert [test.trials for test in found.nobody] == [200, 200, 200]
    for test in found.nobody:
        assert test.dismissed == pytest.approx(0.1, abs=0.06)
        assert test.dismissed_first <= test.dismissed + 0.03
        assert test.right == pytest.approx(test.right_at_rate, abs=0.2)
        assert test.right_at_rate <= test.right_at_rate_first + 0.03
        assert test.right_at_rate > 0.15
    assert found.nobody[0].first > found.nobody[2].first
    assert found.nobody[0].right > found.nobody[2].right
    again = measure(split, calibration)
    assert not again.crossfitted
    assert again.top1_count < 0.06


def test_nobody_is_judged_by_a_fit_that_knows_them(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fold is fitted in searches for and among others, and measured on its own people; the last fit is on all."""
    asked: list[tuple[set[int], set[int]]] = []
    trials = Split.trials

    def note(self: Split, searched: NDArray[np.int64], among: NDArray[np.int64], *rest: object) -> object:
        asked.append((set(searched.tolist()), set(among.tolist())))
        return trials(self, searched, among, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Split, "trials", note)
    monkeypatch.setattr(module, "SIZES", ())
    cross_fit(split, background())
    everybody = set(range(100))
    folds, whole, measured = asked[:5], asked[5], asked[6:]
    assert whole == (everybody, everybody)
    left_out = [everybody - searched for searched, _ in folds]
    assert set.union(*left_out) == everybody
    assert sum(map(len, left_out)) == 100
    assert all(searched == among for searched, among in folds)
    assert [searched for searched, _ in measured] == left_out
    assert all(among == everybody for _, among in measured)


def test_the_same_seed_gives_the_same_figures(split: Split) -> None:
    calibration = fit(draw(split, split.people, None, np.random.default_rng(0)), split, background())
    first, same, other = (measure(split, calibration, seed=seed) for seed in (3, 3, 4))
    assert first == same
    assert first != other


def test_a_calibration_that_is_always_sure_is_found_out(split: Split) -> None:
    people = background()
    sure = Calibration(people, TEMPERATURE, 0.9, (9.0, 0, 0, 0, 0), (9.0, 0, 0, 0, 0), (0.0, 0.0), (5, 100))
    found = measure_encoded(crowd(100), sure)
    assert found.top1_count > 0.4
    assert found.bins[0].confidence > 0.999
    assert all((test.dismissed, test.right) == (0, 0) for test in found.nobody)


@pytest.fixture(scope="module")
def found(split: Split) -> Reliability:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRIALS", 1000)
        return cross_fit(split, background())[1]


def test_what_is_written(found: Reliability, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the training extra")
    written = save_reliability(found, tmp_path)
    assert [path.name for path in written] == ["confidence.json", "reliability.png"]
    assert written[1].read_bytes().startswith(b"\x89PNG")
    content = json.loads(written[0].read_text())
    assert content == json.loads(json.dumps(found.to_dict()))
    assert content["nobody"][0]["size"] == 6
    assert content["top1_count"] == pytest.approx(found.top1_count, abs=1e-4)


def test_without_matplotlib_the_figures_are_written(
    found: Reliability, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert [path.name for path in save_reliability(found, tmp_path)] == ["confidence.json"]


def test_the_table_for_people(found: Reliability) -> None:
    lines = to_text(found).splitlines()
    assert "each person judged by a fit without them" in lines[0]
    assert f"{found.top1_count:.3f} (equal counts)" in lines[1]
    rows = [line for line in lines if line.split() and line.split()[0] in ("6", "20", "50", "100", "300")]
    assert len(rows) == len(found.nobody)
    assert all(len(row.split()) == 7 for row in rows)
