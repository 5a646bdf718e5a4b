from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.agreement import agreement, compare_encoders
from onlooker.evaluation.metrics import retrieval
from onlooker.runtime.fake import FakeEncoder
from tests.unit.evaluation.painted import BentEncoder, painted


def test_by_hand() -> None:
    a = np.array([[0.9, 0.5, 0.1], [0.1, 0.2, 0.3]])
    b = np.array([[0.9, 0.5, 0.2], [0.1, 0.4, 0.3]])
    found = agreement(a, b, [np.array([0]), np.array([2])])
    assert (found.queries, found.gallery, found.top1_same, found.top10_overlap) == (2, 3, 0.5, 1.0)
    assert (found.r1_a, found.r1_b, found.r1_drop) == (1.0, 0.5, 0.5)
    assert found.map_drop == pytest.approx(0.25)
    assert found.max_difference == pytest.approx(0.2)
    assert found.to_dict()["r1_drop"] == 0.5
    assert found.to_dict()["metrics_a"]["r1"] == 1.0


def test_overlap_by_hand() -> None:
    a = -np.arange(20.0)[None, :]
    b = a.copy()
    b[0, [8, 9, 10, 11, 12]] = [-100, -101, 5, 5, -99]  # 10 and 11 come in for 8 and 9
    found = agreement(a, b, [np.array([0])])
    assert found.top10_overlap == pytest.approx(0.8)
    assert found.top1_same == 0.0


@given(st.integers(0, 10_000), st.sampled_from([0.5, 2.0]), st.floats(-3, 3))
def test_what_keeps_the_order_agrees_in_full(seed: int, scale: float, shift: float) -> None:
    a = np.random.default_rng(seed).standard_normal((6, 25))
    found = agreement(a, a * scale + shift, np.eye(6, 25, dtype=bool), margin=0.0)
    assert (found.top1_same, found.top10_overlap, found.r1_drop) == (1.0, 1.0, 0.0)
    assert found.metrics_a == retrieval(a, np.eye(6, 25, dtype=bool))


def test_noise_within_the_margin_is_no_disagreement() -> None:
    random = np.random.default_rng(0)
    a, b = random.uniform(-1e-7, 1e-7, (2, 3, 30))
    found = agreement(a, b, np.eye(3, 30, dtype=bool))
    assert (found.top1_same, found.top10_overlap) == (1.0, 1.0)
    assert (found.r1_a, found.r1_b) == (0.0, 0.0)


def test_rankings_at_random_hardly_agree() -> None:
    random = np.random.default_rng(0)
    found = agreement(random.random((50, 200)), random.random((50, 200)), np.eye(50, 200, dtype=bool))
    assert found.top1_same < 0.1
    assert found.top10_overlap == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"got shapes \(2, 3\) and \(2, 4\)"),
        (np.full((1, 2), np.nan), np.zeros((1, 2)), "is nan"),
        (np.zeros((1, 2)), np.full((1, 2), np.nan), "is nan"),
        (np.zeros(3), np.zeros(3), "must have shape"),
    ],
)
def test_what_cannot_be_compared_is_refused(a: Any, b: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        agreement(a, b, np.ones((1, 2), dtype=bool))


def test_encoders_on_a_manifest(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    done: list[float] = []
    same = compare_encoders(FakeEncoder(), FakeEncoder(), manifest, advance=done.append)
    assert (same.top1_same, same.max_difference, same.queries, same.gallery) == (1.0, 0.0, 15, 5)
    assert sum(done) == 2 * (5 + 15)
    turned = compare_encoders(FakeEncoder(), BentEncoder(texts=np.negative), manifest, texts="captions")
    assert (turned.r1_a, turned.r1_b, turned.top1_same) == (1.0, 0.0, 0.0)
    with pytest.raises(ConfigError, match="person"):
        compare_encoders(FakeEncoder(), FakeEncoder(), manifest, protocol="person")
