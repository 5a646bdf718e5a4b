from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.errors import DataError
from onlooker.evaluation import calibration as module
from onlooker.evaluation.calibration import Split, Trials, alike_of, fit, fit_logistic, fit_quantile
from onlooker.runtime.background import Background
from onlooker.runtime.calibration import DEPTH, logistic
from tests.unit.evaluation.crowd import background, crowd

TEMPERATURE = 0.1


def split_of(people: int = 40, **more: int | bool) -> Split:
    return Split(crowd(people, **more), background(), TEMPERATURE)  # type: ignore[arg-type]


def drawn(split: Split, size: int = 15, repeats: int = 2, seed: int = 0) -> Trials:
    return split.trials(split.people, split.people, lambda rng, most: size, repeats, np.random.default_rng(seed))


def test_logistic_regression_finds_what_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(3.0, [1.0, 5.0, 0.1], size=(40_000, 3))
    wanted = np.array([-13.0, 0.8, -0.3, 4.0])
    labels = rng.random(len(table)) < logistic(wanted[0] + table @ wanted[1:])
    found = fit_logistic(table, labels)
    np.testing.assert_allclose(found[1:], wanted[1:], atol=0.25)
    odds = found[0] + table @ np.array(found[1:])
    np.testing.assert_allclose(logistic(odds).mean(), labels.mean(), atol=1e-3)


def test_logistic_regression_bears_what_is_constant_or_parts_cleanly() -> None:
    table = np.column_stack([np.linspace(-1, 1, 200), np.full(200, 7.0)])
    found = fit_logistic(table, table[:, 0] > 0)
    assert np.isfinite(found).all()
    assert found[1] > 5
    assert abs(found[2]) < 1e-6
    assert np.isfinite(fit_logistic(table, np.zeros(200, bool))).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), level=st.sampled_from([0.05, 0.1, 0.5, 0.9]), slope=st.floats(-3, 3))
def test_quantile_regression_leaves_a_share_below_everywhere(seed: int, level: float, slope: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 5, 4000)
    y = slope * x + rng.normal(size=4000)
    intercept, found = fit_quantile(x, y, level)
    below = y < intercept + found * x
    assert below.mean() == pytest.approx(level, abs=0.015)
    for part in (x < 2.5, x >= 2.5):
        assert below[part].mean() == pytest.approx(level, abs=0.04)


def test_quantile_regression_of_a_single_size_is_the_quantile() -> None:
    y = np.random.default_rng(0).normal(size=5000)
    intercept, slope = fit_quantile(np.full(5000, 3.0), y, 0.1)
    assert intercept + 3 * slope == pytest.approx(np.quantile(y, 0.1), abs=0.03)


def test_a_trial_has_the_person_once_and_once_not() -> None:
    split = split_of()
    trials = drawn(split, size=15, repeats=3)
    assert trials.present.tolist() == [True, False] * (3 * len(split.texts))
    assert (trials.size[trials.present] == 15).all()
    assert (trials.size[~trials.present] == 14).all()
    assert (trials.drawn == 15).all()
    there = np.zeros(len(trials.present), int)
    np.add.at(there, trials.trial, trials.right)
    assert (there[~trials.present] == 0).all()
    assert (there[trials.present] <= 1).all()
    assert there[trials.present].mean() > 0.9
    assert trials.best.tolist() == np.flatnonzero(np.diff(trials.trial, prepend=-1)).tolist()
    assert (trials.rank.max(), trials.rank[trials.shown].max()) == (14, 9)


def test_all_pictures_of_a_person_come_and_go_together() -> None:
    split = split_of(20, pictures=3, ids=True)
    assert len(split.people) == 20
    assert len(split.texts) == 60
    trials = drawn(split, size=12)
    assert (trials.size[trials.present] == 12).all()
    assert (trials.size[~trials.present] == 9).all()
    there = np.zeros(len(trials.present), int)
    np.add.at(there, trials.trial, trials.right)
    assert there.max() == 3
    assert (there[~trials.present] == 0).all()


def test_only_those_named_are_searched_for_and_among() -> None:
    split = split_of()
    rng = np.random.default_rng(0)
    trials = split.trials(np.array([1, 2]), np.arange(10, 20), lambda rng, most: 1000, 1, rng)
    assert len(trials.present) == 8
    assert trials.size.tolist() == [11, 10] * 4


def test_the_evidence_is_what_a_search_would_have() -> None:
    """The same gallery judged by a fitted calibration, as ``gallery.search`` does it."""
    split, people = split_of(), background()
    calibration = fit(drawn(split), split, people)
    trials = split.trials(split.people[:1], split.people, lambda rng, most: 1000, 1, np.random.default_rng(0))
    text = np.flatnonzero(split.text_person == split.people[0])[0]
    similarity = (split.pictures @ split.texts[text]).astype(np.float64)
    best = np.argsort(-similarity)[:DEPTH]
    confidences, nobody = calibration.judge(split.texts[text], similarity[best], split.pictures[best], len(similarity))
    first = trials.evidence[trials.trial == 0]
    np.testing.assert_allclose(calibration.confidences(first), confidences, rtol=1e-4)
    assert calibration.nobody(first[0], len(similarity)) == pytest.approx(nobody)


def test_a_fit_speaks_for_similar_and_distinct_and_against_many() -> None:
    split = split_of(60)
    rng = np.random.default_rng(0)
    trials = split.trials(split.people, split.people, lambda rng, most: int(rng.integers(5, 60)), 4, rng)
    calibration = fit(trials, split, background())
    assert calibration.match[1] + calibration.match[2] > 0
    assert calibration.match[3] > 0
    assert calibration.match[4] < 0
    assert calibration.somebody[1] + calibration.somebody[2] > 0
    assert calibration.sizes == (trials.size.min(), trials.size.max())
    there = trials.present
    odds = trials.evidence[trials.best] @ np.array(calibration.somebody[1:]) + calibration.somebody[0]
    limits = np.array([calibration.limit(int(size)) for size in trials.size])
    assert (odds <= limits)[there].mean() == pytest.approx(0.1, abs=0.02)
    assert (odds <= limits)[~there].mean() > 0.3


def test_joined_trials_are_numbered_on() -> None:
    split = split_of()
    parts = [drawn(split, size) for size in (6, 12)]
    both = Trials.joined(parts)
    assert len(both.present) == 2 * len(parts[0].present)
    assert both.trial[both.best].tolist() == list(range(len(both.present)))
    assert (both.size[both.trial[both.rank == 0]] == np.concatenate([part.size for part in parts])).all()


def test_too_few_people_are_an_error() -> None:
    with pytest.raises(DataError, match="at least 10 people with a picture and a text, and this split has 9"):
        split_of(9)
    encoded = crowd(12)
    unread = replace(encoded, picture_vectors=encoded.picture_vectors[:9], picture_records=np.arange(9))
    with pytest.raises(DataError, match="has 9"):
        Split(unread, background(), TEMPERATURE)


def test_of_too_many_texts_some_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERIES", 50)
    split = split_of(40)
    assert len(split.texts) == 50
    assert (np.diff(split.text_person) >= 0).all()


def test_alike_lies_between_different_people_and_the_same() -> None:
    vectors = np.eye(4, 12, dtype=np.float32)
    assert alike_of(Background(vectors, vectors)) == pytest.approx(0.5)
    assert alike_of(Background(vectors[:1], vectors)) == 1.0
    between = alike_of(background())
    cosines = background().images @ background().images.T
    assert np.quantile(cosines[~np.eye(80, dtype=bool)], 0.99) < between < 1
