from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import MissingExtraError
from onlooker.evaluation.plots import _chance, save_curve
from onlooker.evaluation.runner import evaluate
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.pictures import read_picture
from tests.unit.evaluation.painted import painted


@pytest.mark.train
def test_curve_is_a_picture_with_lines(tmp_path: Path) -> None:
    save_curve(evaluate(FakeEncoder(), painted(tmp_path), bootstrap=0), tmp_path / "curve.png")
    rgb = read_picture(tmp_path / "curve.png")
    assert rgb.shape == (630, 960, 3)
    assert (np.abs(rgb.astype(int) - (37, 99, 168)).sum(axis=2) < 30).any()


def test_without_matplotlib_the_message_holds_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    evaluation = evaluate(FakeEncoder(), painted(tmp_path), bootstrap=0)
    with pytest.raises(MissingExtraError, match=r"pip install 'onlooker\[train\]'"):
        save_curve(evaluation, tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_chance_by_hand() -> None:
    # One of 4 by two draws: 1/2. Two of 4: 1 - 2/4 * 1/3. All drawn: sure.
    assert _chance(np.array([1]), 4, 2) == pytest.approx(0.5)
    assert _chance(np.array([2]), 4, 2) == pytest.approx(1 - 2 / 4 * 1 / 3)
    assert _chance(np.array([1, 2]), 4, 2) == pytest.approx((0.5 + 1 - 1 / 6) / 2)
    assert _chance(np.array([1]), 4, 4) == pytest.approx(1)
    assert _chance(np.array([3]), 4, 3) == pytest.approx(1)
