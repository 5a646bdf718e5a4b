"""The background of a bundle: vectors of people and texts that nobody is looking for.

How similar a description is to just anybody differs from one description to the next; a similarity says something only
beside those.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import BundleError
from onlooker.files import replacing

NORM_TOLERANCE = 1e-2
"""How far the length of a vector may be from 1; float16 rounds by less than 1e-3."""


@dataclass(frozen=True)
class Background:
    """Vectors of the training split.

    Attributes:
        images: float32 (n, d), L2-normalised.
        texts: float32 (m, d), L2-normalised.
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]


def read_background(path: Path, dimension: int) -> Background:
    """Read a background file.

    Args:
        path: A NumPy archive with ``images`` and ``texts``.
        dimension: Length of the bundle's vectors.

    Returns:
        The vectors as float32.

    Raises:
        BundleError: The file is damaged, or its vectors are of another length or not L2-normalised.
    """
    try:
        # NumPy leaves a file open that it has opened itself and cannot read.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            images, texts = (archive[name].astype(np.float32) for name in ("images", "texts"))
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} is no archive of background vectors ({error}); copy the bundle again") from error
    for name, vectors in (("images", images), ("texts", texts)):
        if vectors.ndim != 2 or vectors.shape[1] != dimension or not len(vectors):
            raise BundleError(
                f"{path}: {name} has shape {vectors.shape}, wanted (n, {dimension}); export the bundle again"
            )
        lengths = np.linalg.norm(vectors, axis=1)
        if not (np.abs(lengths - 1) <= NORM_TOLERANCE).all():
            raise BundleError(f"{path}: a vector of {name} is not of length 1; export the bundle again")
    return Background(images, texts)


def write_background(path: Path, background: Background) -> None:
    """Write a background file, as float16.

    Args:
        path: Ends in .npz; replaced as a whole.
        background: Its vectors.
    """
    with replacing(path) as temporary:
        np.savez(temporary, images=background.images.astype(np.float16), texts=background.texts.astype(np.float16))
