"""A manifest through an encoder: every picture's crop and every text once, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.samples import cut, sample_of
from onlooker.errors import ConfigError, DataError, OnlookerError, PictureError
from onlooker.files import replacing
from onlooker.runtime.pictures import read_picture

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest, Record
    from onlooker.runtime.encoder import EncoderLike

Texts = Literal["captions", "phrases", "all"]
"""Which texts of a record are used."""

Advance = Callable[[float], None]
"""Called with the number of items done since the last call."""

NORM_TOLERANCE = 1e-2
"""How far the length of a vector may be from 1: float16 towers round, a tower that forgot to normalise is far off."""


@dataclass(frozen=True)
class Skipped:
    """A picture that could not be read."""

    id: str
    file: str
    reason: str


@dataclass(frozen=True)
class Encoded:
    """The vectors of a manifest.

    Attributes:
        records: All n records, in the manifest's order, those with an unreadable picture included.
        picture_vectors: float32 (p, d), L2-normalised, one per readable picture.
        picture_records: int64 (p,), the record of each picture.
        texts: The t texts, record by record.
        text_vectors: float32 (t, d), L2-normalised.
        text_records: int64 (t,), the record of each text.
        skipped: The pictures that could not be read.
    """

    records: list[Record]
    picture_vectors: NDArray[np.float32]
    picture_records: NDArray[np.int64]
    texts: list[str]
    text_vectors: NDArray[np.float32]
    text_records: NDArray[np.int64]
    skipped: list[Skipped]

    def save(self, path: Path, *, model: str) -> None:
        """Write the vectors as a NumPy archive that loads without pickle.

        Arrays: ``model`` (the encoder's id), ``ids`` and ``files`` of the n records, and the arrays of this class.

        Args:
            path: The file, ending in .npz.
            model: The id of the encoder that made them.

        Raises:
            ConfigError: If the name does not end in .npz.
        """
        check_vectors_path(path)
        with replacing(path) as temporary:
            np.savez(
                temporary,
                model=np.array(model),
                ids=np.array([record.id for record in self.records]),
                files=np.array([record.file for record in self.records]),
                picture_vectors=self.picture_vectors,
                picture_records=self.picture_records,
                texts=np.array(self.texts),
                text_vectors=self.text_vectors,
                text_records=self.text_records,
            )


def check_vectors_path(path: Path) -> None:
    """Raise ConfigError unless ``path`` ends in .npz."""
    if path.suffix != ".npz":
        raise ConfigError(f"vectors are saved as a NumPy archive, so {path} must end in .npz")


def steps(records: Sequence[Record], texts: Texts) -> int:
    """Return how many items ``encode`` will report to ``advance``: the pictures and the different texts."""
    return len(records) + len({text for record in records for text in record.texts(texts)})


def encode(
    encoder: EncoderLike,
    manifest: Manifest,
    *,
    texts: Texts = "captions",
    batch_size: int = 32,
    advance: Advance | None = None,
) -> Encoded:
    """Encode the crops and texts of a manifest.

    A record's crop is cut by its box as in training; a record without a box is its whole picture. A picture that cannot
    be read is skipped and listed, its texts stay.

    Args:
        encoder: What turns pictures and texts into vectors.
        manifest: The records, at least one.
        texts: ``captions``, ``phrases`` or ``all``.
        batch_size: Pictures or texts encoded together, at least 1.
        advance: See ``Advance``.

    Raises:
        ConfigError: If ``batch_size`` is below 1 or ``texts`` unknown.
        DataError: If no record has such a text, or no picture can be read.
        OnlookerError: If the encoder gives vectors of a wrong shape, with NaN, or of a length that is not 1.
    """
    if batch_size < 1:
        raise ConfigError(f"the batch size must be at least 1, got {batch_size}")
    if texts not in ("captions", "phrases", "all"):
        raise ConfigError(f"unknown texts {texts!r}; choose captions, phrases or all")
    report = advance or (lambda steps: None)
    records = list(manifest.records)
    pairs = [(text, number) for number, record in enumerate(records) for text in record.texts(texts)]
    if not pairs:
        wanted = "captions or phrases" if texts == "all" else texts
        other = _other_texts(records)
        raise DataError(f"none of the {len(records)} records of {manifest.dataset} has {wanted}{other}")
    pictures, kept, skipped = encode_pictures(encoder, manifest, batch_size, report)
    # The same words give the same vector, and search phrases repeat a lot.
    places = {text: place for place, text in enumerate(dict.fromkeys(text for text, _ in pairs))}
    vectors = _encode_texts(encoder, list(places), batch_size, report)
    return Encoded(
        records=records,
        picture_vectors=pictures,
        picture_records=np.array(kept, dtype=np.int64),
        texts=[text for text, _ in pairs],
        text_vectors=vectors[[places[text] for text, _ in pairs]],
        text_records=np.array([number for _, number in pairs], dtype=np.int64),
        skipped=skipped,
    )


def read_crop(manifest: Manifest, record: Record) -> NDArray[np.uint8]:
    """Read a record's picture and cut its box out, as training without augmentation does.

    Returns:
        uint8 (h, w, 3) RGB; the whole picture where the record has no box.

    Raises:
        PictureError: If the picture cannot be read.
    """
    sample = sample_of(record, read_picture(manifest.path(record)))
    return np.ascontiguousarray(cut(sample, sample.box).rgb)


def encode_pictures(
    encoder: EncoderLike, manifest: Manifest, batch_size: int, report: Advance
) -> tuple[NDArray[np.float32], list[int], list[Skipped]]:
    """Encode the crops of a manifest alone.

    Args:
        encoder: What turns pictures into vectors.
        manifest: The records.
        batch_size: Pictures encoded together, at least 1.
        report: See ``Advance``.

    Returns:
        float32 (p, d), L2-normalised, one per readable picture; the record of each; the pictures that were skipped.

    Raises:
        DataError: If no picture can be read.
        OnlookerError: As ``encode``.
    """
    vectors: list[NDArray[np.float32]] = []
    kept: list[int] = []
    skipped: list[Skipped] = []
    for batch in _read_ahead(manifest, batch_size):
        crops = []
        for number, crop in batch:
            record = manifest.records[number]
            if isinstance(crop, PictureError):
                skipped.append(Skipped(record.id, record.file, str(crop)))
            else:
                kept.append(number)
                crops.append(crop)
        if crops:
            made = encoder.encode_images(crops, batch_size)
            names = [manifest.records[number].id for number in kept[-len(crops) :]]
            vectors.append(_checked(made, names, encoder.dimension, "picture"))
        report(len(batch))
    if not vectors:
        raise DataError(
            f"none of the {len(manifest)} pictures under {manifest.root} can be read; the first: {skipped[0].reason}"
            if skipped
            else f"the manifest of {manifest.dataset} has no record to encode"
        )
    return np.concatenate(vectors), kept, skipped


Read = tuple[int, "NDArray[np.uint8] | PictureError"]


def _read_ahead(manifest: Manifest, batch_size: int) -> Iterator[list[Read]]:
    """Yield batches of crops, the next one being read while the caller encodes this one."""

    def read(numbers: range) -> list[Read]:
        return [(number, _read(manifest, manifest.records[number])) for number in numbers]

    batches = [range(start, min(start + batch_size, len(manifest))) for start in range(0, len(manifest), batch_size)]
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="crops") as reader:
        coming = reader.submit(read, batches[0]) if batches else None
        for following in [*batches[1:], None]:
            if coming is None:
                return
            batch = coming.result()
            coming = reader.submit(read, following) if following is not None else None
            yield batch


def _read(manifest: Manifest, record: Record) -> NDArray[np.uint8] | PictureError:
    try:
        return read_crop(manifest, record)
    except PictureError as error:
        return error


def _encode_texts(encoder: EncoderLike, texts: Sequence[str], batch_size: int, report: Advance) -> NDArray[np.float32]:
    vectors = []
    # Several batches a call: an encoder may put texts of one length together and so pad less.
    step = 8 * batch_size
    for start in range(0, len(texts), step):
        batch = texts[start : start + step]
        vectors.append(_checked(encoder.encode_texts(batch, batch_size), batch, encoder.dimension, "text"))
        report(len(batch))
    return np.concatenate(vectors)


def _checked(vectors: NDArray[Any], names: Sequence[str], dimension: int, what: str) -> NDArray[np.float32]:
    if vectors.shape != (len(names), dimension):
        raise OnlookerError(
            f"the encoder gave vectors of shape {vectors.shape} for {len(names)} {what}s, "
            f"wanted {(len(names), dimension)}"
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= NORM_TOLERANCE))
    if len(wrong):
        first = int(wrong[0])
        raise OnlookerError(
            f"the encoder's vector of {what} {names[first]!r} has length {lengths[first]:.4g}, wanted 1: "
            "its weights or its normalisation are damaged"
        )
    return vectors.astype(np.float32)


def _other_texts(records: Sequence[Record]) -> str:
    kinds = [name for name in ("captions", "phrases") if any(getattr(record, name) for record in records)]
    return f"; it has {kinds[0]}: choose them with --texts {kinds[0]}" if kinds else ""
