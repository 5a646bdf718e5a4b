from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.errors import BundleError
from onlooker.files import sha256_of, write_json
from onlooker.runtime.background import Background, write_background
from onlooker.runtime.bundle import Bundle
from onlooker.runtime.calibration import DEPTH, Calibration, Nobody, evidence, falling, logistic, softmean

D = 16


def unit(seed: int, count: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


BACKGROUND = Background(unit(1, 40), unit(2, 30))
VALUES: dict[str, Any] = {
    "kind": "logistic",
    "features": ["query", "picture", "margin", "size"],
    "temperature": 0.1,
    "alike": 0.9,
    "match": [-1.0, 0.3, 0.2, 0.5, -0.5],
    "somebody": [0.5, 0.6, 0.2, 0.0, -0.6],
    "threshold": [-0.2, -0.1],
    "sizes": [5, 300],
}


def calibration(**changes: Any) -> Calibration:
    values = {**VALUES, **changes}
    numbers = {key: tuple(values[key]) for key in ("match", "somebody", "threshold", "sizes")}
    return Calibration(BACKGROUND, values["temperature"], values["alike"], **numbers)


def judged(seed: int = 5, searched: int = 50, count: int = 30, **changes: Any) -> tuple[NDArray[np.float64], Nobody]:
    query, vectors = unit(seed, 1)[0], unit(seed + 1, count)
    similarities = (vectors @ query).astype(np.float64)
    order = np.argsort(-similarities)
    return calibration(**changes).judge(query, similarities[order], vectors[order], searched)


def test_softmean_lies_between_mean_and_maximum() -> None:
    values = np.array([[0.1, 0.2, 0.6], [0.5, 0.5, 0.5]])
    soft = softmean(values, 0.1)
    assert soft[0] == pytest.approx(0.1 * np.log(np.mean(np.exp([1, 2, 6]))))
    assert values[0].mean() < soft[0] < values[0].max()
    assert soft[1] == pytest.approx(0.5)
    assert softmean(values, 100.0)[0] == pytest.approx(0.3, abs=1e-3)
    assert softmean(np.array([900.0, 1000.0]), 0.01) == pytest.approx(1000, abs=0.1)


def test_logistic_does_not_overflow() -> None:
    np.testing.assert_allclose(logistic(np.array([-1e9, 0.0, 1e9])), [0, 0.5, 1])


def test_the_evidence_by_hand() -> None:
    vectors = np.eye(3, D, dtype=np.float32)
    table = evidence(np.array([0.8, 0.6, 0.1]), vectors, 0.2, np.array([0.1, 0.3, 0.0]), 7, temperature=0.1, alike=0.9)
    wanted = [[6, 7, 2], [4, 3, -2], [-1, 1, -7]]
    np.testing.assert_allclose(table[:, :3], wanted)
    np.testing.assert_allclose(table[:, 3], np.log(7))


def test_who_looks_alike_is_no_rival() -> None:
    """Two sightings of one person: each is compared with the third; alone, the query's level is the rival."""
    vectors = np.eye(3, D, dtype=np.float32)
    vectors[1] = 0.95 * vectors[0] + np.sqrt(1 - 0.95**2) * vectors[1]
    scores, levels = np.array([0.8, 0.7, 0.5]), np.zeros(3)
    table = evidence(scores, vectors, 0.2, levels, 3, temperature=0.1, alike=0.9)
    np.testing.assert_allclose(table[:, 2], [3, 2, -3], atol=1e-6)
    np.testing.assert_allclose(evidence(scores, vectors, 0.2, levels, 3, temperature=0.1, alike=0.96)[0, 2], 1)
    np.testing.assert_allclose(
        evidence(scores[:2], vectors[:2], 0.2, levels[:2], 2, temperature=0.1, alike=0.9)[0, 2], 6
    )
    np.testing.assert_allclose(
        evidence(scores[:1], vectors[:1], 0.2, levels[:1], 1, temperature=0.1, alike=0.9)[0, 2], 6
    )


def test_probabilities_are_probabilities() -> None:
    confidences, nobody = judged()
    assert confidences.shape == (30,)
    assert ((confidences > 0) & (confidences < 1)).all()
    assert nobody.probability is not None
    assert 0 < nobody.probability < 1


@given(st.lists(st.floats(0, 1), max_size=2 * DEPTH), st.integers(DEPTH, 2 * DEPTH))
def test_confidences_fall_with_the_rank_whatever_is_shown(values: list[float], cut: int) -> None:
    confidences = np.array(values)
    settled = falling(confidences)
    assert (np.diff(settled) <= 0).all()
    assert settled.tolist()[:cut] == falling(confidences[:cut]).tolist()
    in_order = np.sort(confidences)[::-1]
    assert falling(in_order).tolist() == in_order.tolist()
    if len(values) and len(values) <= DEPTH:
        assert settled[0] == max(values)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), searched=st.integers(30, 10_000), cut=st.integers(DEPTH, 30))
def test_a_confidence_does_not_depend_on_how_many_are_shown(seed: int, searched: int, cut: int) -> None:
    query, vectors = unit(seed, 1)[0], unit(seed + 1, 30)
    similarities = (vectors @ query).astype(np.float64)
    order = np.argsort(-similarities)
    whole, nobody = calibration().judge(query, similarities[order], vectors[order], searched)
    part, same = calibration().judge(query, similarities[order][:cut], vectors[order][:cut], searched)
    np.testing.assert_allclose(part, whole[:cut], rtol=1e-4)
    assert (same.verdict, same.threshold) == (nobody.verdict, nobody.threshold)
    assert same.probability == pytest.approx(nobody.probability, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), small=st.integers(30, 10_000), more=st.integers(1, 10_000))
def test_among_more_people_the_same_match_is_less_sure(seed: int, small: int, more: int) -> None:
    (few, nobody_few), (many, nobody_many) = judged(seed, small), judged(seed, small + more)
    assert (many < few).all()
    assert nobody_many.probability is not None
    assert nobody_few.probability is not None
    assert nobody_many.probability > nobody_few.probability


def test_the_verdict_is_the_threshold_and_the_threshold_stays_beyond_what_was_fitted() -> None:
    for seed in range(20):
        _, nobody = judged(seed)
        assert nobody.probability is not None
        assert nobody.threshold is not None
        assert nobody.verdict == (nobody.probability >= nobody.threshold)
    assert judged(0, 300)[1].threshold == judged(0, 100_000)[1].threshold
    assert judged(0, 50)[1].threshold == pytest.approx(float(logistic(0.2 + 0.1 * np.log(50))))
    assert not judged(threshold=[-1e3, 0.0])[1].verdict
    assert judged(threshold=[1e3, 0.0])[1].verdict


def test_among_nobody_there_is_nobody() -> None:
    confidences, nobody = calibration().judge(unit(0, 1)[0], np.zeros(0), np.zeros((0, D), np.float32), 0)
    assert confidences.shape == (0,)
    assert nobody == Nobody(None, None, verdict=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle folder with a calibration, whose towers are no graphs."""
    for name in ("image.onnx", "text.onnx", "tokenizer.json"):
        (tmp_path / name).write_text("x")
    write_background(tmp_path / "background.npz", BACKGROUND)
    write_json(
        tmp_path / "model.json",
        {
            "format": 1,
            "name": "people",
            "dimension": D,
            "image": {"file": "image.onnx", "sha256": "0" * 64, "spec": {}},
            "text": {
                "file": "text.onnx",
                "sha256": "0" * 64,
                "tokenizer": "tokenizer.json",
                "tokenizer_sha256": "0" * 64,
                "max_tokens": 16,
                "pad_token": "[PAD]",
            },
            "background": {"file": "background.npz", "sha256": sha256_of(tmp_path / "background.npz")},
            "calibration": VALUES,
        },
    )
    return tmp_path


def changed(folder: Path, **values: Any) -> Bundle:
    bundle = Bundle.open(folder)
    content = {**bundle._content, **values}
    write_json(folder / "model.json", content)
    return Bundle.open(folder)


def test_the_calibration_of_a_bundle(folder: Path) -> None:
    read = Calibration.of(Bundle.open(folder))
    assert read is not None
    assert read.to_dict() == VALUES
    np.testing.assert_allclose(read.background.images, BACKGROUND.images, atol=1e-3)
    assert Calibration.of(changed(folder, calibration=None)) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "isotonic"),
        ("features", ["query"]),
        ("temperature", 0),
        ("temperature", "warm"),
        ("alike", None),
        ("alike", True),
        ("match", [1.0, 2.0]),
        ("match", None),
        ("somebody", [1, 2, 3, 4, "5"]),
        ("threshold", [0.0, 1e999]),
        ("threshold", 0.5),
        ("sizes", [5]),
    ],
)
def test_a_calibration_that_cannot_be_used_is_named(folder: Path, key: str, value: object) -> None:
    if value == [0.0, 1e999]:
        bundle = Bundle.open(folder)
        bundle._content["calibration"] = {**VALUES, key: value}
    else:
        bundle = changed(folder, calibration={**VALUES, key: value})
    with pytest.raises(BundleError, match=rf"model\.json: calibration\.{key} is "):
        Calibration.of(bundle)


def test_a_calibration_needs_a_background(folder: Path) -> None:
    with pytest.raises(BundleError, match="needs a background"):
        Calibration.of(changed(folder, background=None))
