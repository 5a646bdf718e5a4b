from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onlooker.datasets.masks import LABELS, read_labels, read_mask
from onlooker.errors import DataError
from tests.unit.datasets import trees

scipy_io = pytest.importorskip("scipy.io", reason="masks are MATLAB files, which need SciPy")


def test_labels_are_59_different_names() -> None:
    assert len(LABELS) == len(set(LABELS)) == 59
    assert (LABELS[0], LABELS[13], LABELS[58]) == ("null", "coat", "wedges")


def test_a_mask_is_read_back(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 59, (7, 5))
    mask = read_mask(trees.mask_file(tmp_path / "a.mat", labels))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, labels)


def test_label_names_are_read(tmp_path: Path) -> None:
    names = np.empty((1, 2), dtype=object)
    names[0, 0], names[0, 1] = "null", "coat"
    scipy_io.savemat(tmp_path / "l.mat", {"label_list": names})
    assert read_labels(tmp_path / "l.mat") == ("null", "coat")


def test_broken_masks(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("no mask, but long enough to be read as a header" * 8)
    for name in ("text.mat", "missing.mat"):
        with pytest.raises(DataError, match="cannot read the mask"):
            read_mask(tmp_path / name)
    scipy_io.savemat(tmp_path / "other.mat", {"picture": np.zeros((2, 2))})
    with pytest.raises(DataError, match="holds no variable 'groundtruth'"):
        read_mask(tmp_path / "other.mat")
    with pytest.raises(DataError, match=r"label 59 is out of 0\.\.58"):
        read_mask(trees.mask_file(tmp_path / "big.mat", np.full((2, 2), 59)))
    scipy_io.savemat(tmp_path / "float.mat", {"groundtruth": np.full((2, 2), 0.5)})
    with pytest.raises(DataError, match="must be a table of whole numbers"):
        read_mask(tmp_path / "float.mat")
