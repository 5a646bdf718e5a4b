"""A crowd of made-up people: vectors of pictures and texts that lie around a person's own, as an encoder's would."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.manifest import Record
from onlooker.evaluation.encoding import Encoded
from onlooker.runtime.background import Background

DIMENSION = 12


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def crowd(people: int = 60, *, pictures: int = 1, noise: float = 0.9, seed: int = 0, ids: bool = False) -> Encoded:
    """Two texts and some pictures a person; with ``ids`` a record a picture, joined by person ids."""
    rng = np.random.default_rng(seed)
    own = unit(rng.normal(size=(people, DIMENSION)))
    owner = np.repeat(np.arange(people), pictures)

    def around(persons: NDArray[np.int64]) -> NDArray[np.float32]:
        return unit(own[persons] + noise * rng.normal(size=(len(persons), DIMENSION)) / DIMENSION**0.5)

    records = [
        Record(
            id=f"{number}",
            file=f"{number}.jpg",
            captions=["a", "b"] if pictures == 1 else ["a"],
            person_id=f"person {person}" if ids else None,
            split="val",
        )
        for number, person in enumerate(owner)
    ]
    asked = np.repeat(np.arange(people), 2) if pictures == 1 else np.arange(len(owner))
    return Encoded(
        records=records,
        picture_vectors=around(owner),
        picture_records=np.arange(len(owner)),
        texts=["a"] * len(asked),
        text_vectors=around(owner[asked]),
        text_records=asked,
        skipped=[],
    )


def background(seed: int = 99) -> Background:
    """People who are not in any crowd."""
    other = crowd(80, seed=seed)
    return Background(other.picture_vectors, other.text_vectors[:80])
