"""A small dataset of painted people, and an encoder that can be told to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onlooker.datasets.manifest import Manifest, Record
from onlooker.runtime.fake import COLOURS, FakeEncoder
from onlooker.runtime.pictures import encode_jpeg

OUTFITS = [("red", "blue"), ("green", "black"), ("white", "brown"), ("yellow", "grey"), ("purple", "white")]


def paint(upper: str, lower: str, height: int = 60, width: int = 30) -> np.ndarray:
    """A picture of a person: one colour above, one below."""
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    rgb[: height // 2], rgb[height // 2 :] = COLOURS[upper], COLOURS[lower]
    return rgb


def painted(folder: Path, *, persons: bool = False, outfits: Sequence[tuple[str, str]] = OUTFITS) -> Manifest:
    """One picture an outfit with two captions and a phrase; with ``persons`` two pictures each, of one person."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    records = []
    for number, (upper, lower) in enumerate(outfits):
        for view in range(2 if persons else 1):
            name = f"photos/{number}_{view}.jpg"
            (folder / name).write_bytes(encode_jpeg(paint(upper, lower, 60 + 8 * view), 95))
            records.append(
                Record(
                    id=f"{number}_{view}",
                    file=name,
                    captions=[f"a person in a {upper} jacket and {lower} trousers", f"{upper} shirt, {lower} jeans"],
                    phrases=[f"{upper} top"],
                    person_id=str(number) if persons else None,
                    split="val",
                )
            )
    return Manifest("painted", folder, "made by a test, free for all", records)


class BentEncoder(FakeEncoder):
    """The fake encoder with its vectors changed on the way out."""

    def __init__(self, *, pictures: np.ufunc | None = None, texts: object = None) -> None:
        super().__init__()
        self._bend = {"pictures": pictures, "texts": texts}
        self.seen: list[int] = []

    def encode_images(self, pictures: Sequence[np.ndarray], batch_size: int = 32) -> np.ndarray:
        self.seen.append(len(pictures))
        vectors = super().encode_images(pictures, batch_size)
        return self._bend["pictures"](vectors) if self._bend["pictures"] else vectors  # type: ignore[operator]

    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        self.seen.append(len(texts))
        vectors = super().encode_texts(texts, batch_size)
        return self._bend["texts"](vectors) if self._bend["texts"] else vectors  # type: ignore[operator]
