"""An encoder without a model, for tests and trials: colours of clothes in words meet colours in pictures.

A picture is described by the colours of its upper and lower part, a text by the colour words that stand before (or,
without a garment, anywhere near) the garments of the upper and lower body. Both land on the same axes, so a search for
"red jacket, blue jeans" really finds a crop painted so. Everything else of a text or a picture adds a small share that
tells equal colours apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (20, 20, 20),
    "white": (240, 240, 240),
    "grey": (128, 128, 128),
    "red": (200, 30, 30),
    "orange": (240, 140, 30),
    "yellow": (235, 215, 50),
    "green": (40, 140, 50),
    "blue": (40, 70, 190),
    "purple": (125, 45, 145),
    "pink": (240, 150, 180),
    "brown": (110, 70, 40),
    "beige": (215, 195, 160),
}
"""The colours it knows, with the RGB value each stands for."""

SYNONYMS: dict[str, str] = {
    "gray": "grey",
    "silver": "grey",
    "dark": "black",
    "light": "white",
    "pale": "white",
    "cream": "beige",
    "tan": "beige",
    "khaki": "beige",
    "navy": "blue",
    "denim": "blue",
    "violet": "purple",
    "maroon": "red",
    "burgundy": "red",
    "olive": "green",
}

UPPER = re.compile(r"shirt|tshirt|tee|blouse|top|jacket|coat|sweater|jumper|cardigan|hoodie|vest|blazer|parka|upper")
LOWER = re.compile(r"trousers|pants|jeans|skirt|shorts|leggings|chinos|slacks|culottes|lower")
BOTH = re.compile(r"dress|suit|robe|gown|overall|jumpsuit|clothes|outfit")

_SMALL = 0.05
"""Share of what is not colour: enough to break ties, too little to turn a ranking."""
_SHARPNESS = 40.0
"""RGB distance at which a colour's likeness has fallen to 1/e."""


class FakeEncoder:
    """Encodes by clothes colours, deterministically; fits ``onlooker.runtime.encoder.EncoderLike``."""

    def __init__(self, dimension: int = 64) -> None:
        """Choose the length of the vectors.

        Args:
            dimension: At least 32: two parts of the body times the colours, and some room for the rest.

        Raises:
            ValueError: ``dimension`` is smaller.
        """
        if dimension < 32:
            raise ValueError(f"dimension is at least 32, got {dimension}")
        self.dimension = dimension

    @property
    def bundle_id(self) -> str:
        """Names this encoder and its dimension, as a bundle's id names weights."""
        return hashlib.sha256(f"fake encoder 1, {self.dimension}".encode()).hexdigest()[:32]

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode pictures by the colours of their upper and lower part.

        Args:
            pictures: uint8 (h, w, 3) each, RGB.
            batch_size: Not used.

        Returns:
            float32 (n, dimension), L2-normalised.
        """
        vectors = np.zeros((len(pictures), self.dimension), dtype=np.float32)
        for row, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            # The outer sixth on each side is mostly background in a person crop.
            inner = picture[height // 6 : height - height // 6, width // 6 : width - width // 6]
            middle = max(1, len(inner) // 2)
            parts = np.concatenate([_likeness(inner[:middle]), _likeness(inner[middle:] if len(inner) > 1 else inner)])
            vectors[row] = self._vector(parts, hashlib.sha256(np.ascontiguousarray(picture).tobytes()).digest())
        return vectors

    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode texts by the colours they give to clothes.

        Args:
            texts: Descriptions.
            batch_size: Not used.

        Returns:
            float32 (n, dimension), L2-normalised.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"[a-z]+", text.lower().replace("t-shirt", "tshirt"))
            vectors[row] = self._vector(_colours_of(words), hashlib.sha256(" ".join(words).encode()).digest())
        return vectors

    def _vector(self, parts: NDArray[np.float64], seed: bytes) -> NDArray[np.float32]:
        vector = np.zeros(self.dimension)
        vector[: len(parts)] = parts
        rest = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32)).standard_normal(self.dimension - len(parts))
        vector[len(parts) :] = _SMALL * rest / np.linalg.norm(rest)
        result: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
        return result


def _likeness(part: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how like each known colour the mean colour of a part is, summing to 1."""
    mean = part.reshape(-1, 3).mean(axis=0)
    distance = np.linalg.norm(np.array(list(COLOURS.values())) - mean, axis=1)
    likeness = np.exp(-(distance - distance.min()) / _SHARPNESS)
    result: NDArray[np.float64] = likeness / likeness.sum()
    return result


def _colours_of(words: Sequence[str]) -> NDArray[np.float64]:
    """Return the colours of upper and lower clothes; a colour word belongs to the next garment named after it."""
    names = list(COLOURS)
    parts = np.zeros((2, len(names)))
    waiting: list[str] = []
    for word in words:
        colour = SYNONYMS.get(word, word)
        if colour in COLOURS:
            waiting.append(colour)
            continue
        upper, lower, both = (kind.fullmatch(word) is not None for kind in (UPPER, LOWER, BOTH))
        if upper or lower or both:
            for name in waiting:
                parts[0, names.index(name)] += upper or both
                parts[1, names.index(name)] += lower or both
            waiting = []
    if not parts.any():
        for name in waiting:
            parts[:, names.index(name)] += 1
    sums = parts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(parts, sums, out=parts, where=sums > 0).reshape(-1)
    return shares
