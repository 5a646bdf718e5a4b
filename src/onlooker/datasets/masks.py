"""Reading garment masks: MATLAB files with one label per pixel, and the list that names the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import DataError, MissingExtraError

LABELS: tuple[str, ...] = (
    "null",
    "accessories",
    "bag",
    "belt",
    "blazer",
    "blouse",
    "bodysuit",
    "boots",
    "bra",
    "bracelet",
    "cape",
    "cardigan",
    "clogs",
    "coat",
    "dress",
    "earrings",
    "flats",
    "glasses",
    "gloves",
    "hair",
    "hat",
    "heels",
    "hoodie",
    "intimate",
    "jacket",
    "jeans",
    "jumper",
    "leggings",
    "loafers",
    "necklace",
    "panties",
    "pants",
    "pumps",
    "purse",
    "ring",
    "romper",
    "sandals",
    "scarf",
    "shirt",
    "shoes",
    "shorts",
    "skin",
    "skirt",
    "sneakers",
    "socks",
    "stockings",
    "suit",
    "sunglasses",
    "sweater",
    "sweatshirt",
    "swimwear",
    "t-shirt",
    "tie",
    "tights",
    "top",
    "vest",
    "wallet",
    "watch",
    "wedges",
)
"""The 59 labels of Clothing Co-Parsing in the order of its ``label_list.mat``; a pixel holds an index into them."""


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask.

    Args:
        path: A MATLAB 5 file with the variable ``groundtruth``.

    Returns:
        uint8 (h, w): per pixel an index into ``LABELS``, in the mask's own resolution, often not that of the picture.

    Raises:
        DataError: If the file cannot be read or holds something else.
        MissingExtraError: If SciPy is not installed.
    """
    value = _load(path, "groundtruth")
    if value.ndim != 2 or value.size == 0 or value.dtype.kind not in "ui":
        raise DataError(f"{path}: 'groundtruth' must be a table of whole numbers, got {value.dtype} {value.shape}")
    if int(value.max()) >= len(LABELS) or int(value.min()) < 0:
        raise DataError(f"{path}: label {int(value.max())} is out of 0..{len(LABELS) - 1}")
    return value.astype(np.uint8)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read the names of the labels.

    Args:
        path: ``label_list.mat``.

    Returns:
        The names; a label's number is its place.

    Raises:
        DataError: If the file cannot be read or holds something else.
        MissingExtraError: If SciPy is not installed.
    """
    cells = _load(path, "label_list").ravel()
    return tuple(str(cell[0]) if getattr(cell, "size", 0) else "" for cell in cells)


def _load(path: Path, name: str) -> NDArray[Any]:
    try:
        import scipy.io
    except ImportError as error:
        raise MissingExtraError(
            "masks are MATLAB files, which need SciPy: pip install 'onlooker[train]' (or pip install scipy)"
        ) from error
    try:
        content = scipy.io.loadmat(path, variable_names=[name])
    except (OSError, ValueError, TypeError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise DataError(f"cannot read the mask {path}: {error}") from error
    if name not in content:
        raise DataError(f"{path} holds no variable {name!r}")
    return np.asarray(content[name])
