"""Small galleries for the tests of this room and of the command line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlooker.gallery.records import Sighting, SourceKey, SourceUpdate
from onlooker.gallery.store import Gallery
from onlooker.runtime.fake import COLOURS, FakeEncoder

ENCODER_ID = "0123456789abcdef" * 2
DIMENSION = 8


def key(number: int = 0, camera: str = "door") -> SourceKey:
    return SourceKey(f"{number:064x}", camera)


def update(number: int = 0, camera: str = "door", *, complete: bool = True, resume_s: float | None = None, **more: Any):
    name = more.get("name", f"{number}.mp4")
    return SourceUpdate(key=key(number, camera), name=name, complete=complete, resume_s=resume_s)


def sighting(source: SourceUpdate, vector: Any = None, **more: Any) -> Sighting:
    fields: dict[str, Any] = {
        "camera": source.key.camera,
        "source": source.name,
        "time": None,
        "time_s": None,
        "end_s": None,
        "box": (1, 2, 30, 60),
        "crop": b"jpeg",
        "vector": np.ones(DIMENSION, np.float32) if vector is None else vector,
        "score": 0.5,
    }
    return Sighting(**{**fields, **more})


def track(source: SourceUpdate, time_s: float, end_s: float, **more: Any) -> Sighting:
    return sighting(source, time_s=time_s, end_s=end_s, **more)


def new_gallery(path: Path, dimension: int = DIMENSION) -> Gallery:
    return Gallery.open(path, encoder_id=ENCODER_ID, dimension=dimension, bundle_name="tiny", create=True)


def vectors_gallery(path: Path, vectors: Sequence[NDArray[Any]]) -> Gallery:
    """A gallery with one sighting a vector, or a (views, d) array."""
    gallery = new_gallery(path, np.shape(vectors[0])[-1] if len(vectors) else DIMENSION)
    source = update()
    gallery.commit(source, [sighting(source, vector) for vector in vectors])
    return gallery


def person(upper: str, lower: str, size: tuple[int, int] = (40, 100)) -> NDArray[np.uint8]:
    """A picture whose halves have the colours of a person's clothes."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2], picture[height // 2 :] = COLOURS[upper], COLOURS[lower]
    return picture


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    blob = io.BytesIO()
    Image.fromarray(picture).save(blob, "JPEG", quality=90)
    return blob.getvalue()


PEOPLE = (
    ("red", "blue", "entrance", "2026-05-17T08:00:00+00:00"),
    ("red", "black", "entrance", "2026-05-17T09:00:00+00:00"),
    ("green", "blue", "car park", "2026-05-17T10:00:00.250000+00:00"),
    ("white", "black", "car park", None),
)
"""Upper and lower colour, camera and time of the people in ``people_gallery``; sightings 1 to 4."""


def people_gallery(path: Path) -> Path:
    """A gallery of painted people with the fake encoder's vectors: photos at the entrance, a video in the car park."""
    encoder = FakeEncoder()
    with Gallery.open(
        path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, bundle_name="fake", create=True
    ) as gallery:
        for number, (upper, lower, camera, time) in enumerate(PEOPLE):
            picture = person(upper, lower)
            video = camera == "car park"
            source = update(number, camera, name=f"footage/{number}.mp4" if video else f"/photos/{number}.jpg")
            seen = sighting(
                source,
                encoder.encode_images([picture])[0],
                time=None if time is None else datetime.fromisoformat(time),
                time_s=61.5 if video else None,
                end_s=63.0 if video else None,
                crop=jpeg(picture),
                track=3 if video else None,
            )
            gallery.commit(source, [seen])
    return path
