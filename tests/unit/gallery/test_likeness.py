from __future__ import annotations

import math

import numpy as np
import pytest

from onlooker.gallery.likeness import INTERCEPT, SLOPE, Likeness
from onlooker.runtime.calibration import softmean


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def likeness() -> Likeness:
    random = np.random.default_rng(0)
    background = random.normal(size=(40, 6)).astype(np.float32)
    return Likeness(background / np.linalg.norm(background, axis=1, keepdims=True), 0.1)


def test_evidence_is_the_cosine_above_the_mean_level_of_both(likeness: Likeness) -> None:
    query, other = unit(1, 2, 0, 0, 0, 0), unit(2, 1, 0, 1, 0, 0)
    cosine = float(query @ other)
    levels = [float(softmean(likeness.background @ each, 0.1)) for each in (query, other)]
    expected = INTERCEPT + SLOPE * (cosine - sum(levels) / 2) / 0.1
    (found,) = likeness.evidence(query, np.array([cosine]), other[None])
    assert found == pytest.approx(expected, rel=1e-5)
    # Who is like whom does not depend on who asks.
    (back,) = likeness.evidence(other, np.array([cosine]), query[None])
    assert back == pytest.approx(found, rel=1e-5)


def test_one_more_sighting_is_counted_on_however_many_are_searched(likeness: Likeness) -> None:
    query, other = unit(1, 2, 0, 0, 0, 0), unit(2, 2, 0, 1, 0, 0)
    similarities = np.array([float(query @ other)])
    (evidence,) = likeness.evidence(query, similarities, other[None])
    for searched in (1, 10, 1000):
        (confidence,), nobody = likeness.judge(query, similarities, other[None], searched)
        assert math.log(confidence / (1 - confidence)) == pytest.approx(evidence - math.log(searched), abs=1e-6)
        assert nobody.probability is None
        assert not nobody.verdict


def test_confidences_fall_with_the_rank_and_nothing_found_is_nobody(likeness: Likeness) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(30, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = unit(1, 1, 1, 0, 0, 0)
    similarities = (vectors @ query).astype(np.float64)
    order = np.argsort(-similarities)
    confidences, _ = likeness.judge(query, similarities[order], vectors[order], 30)
    assert (np.diff(confidences) <= 0).all()
    confidences, nobody = likeness.judge(query, np.zeros(0), np.zeros((0, 6), np.float32), 0)
    assert len(confidences) == 0
    assert nobody.verdict


def test_a_bundle_without_a_calibration_has_none() -> None:
    assert Likeness.of(None) is None
