"""Vectors of a whole folder of pictures or a file of texts, as one ``.npz``: what ``onlooker embed`` does."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onlooker.errors import ConfigError, DataError, PictureError
from onlooker.files import replacing
from onlooker.runtime.tokenising import clean_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlooker.runtime.encoder import EncoderLike

    Picture = NDArray[np.uint8]

BATCH = 32
BATCH_PIXELS = 32_000_000
"""A batch is closed at this many pixels, so that photos of 50 megapixels do not fill the memory of a small machine."""


@dataclass
class Embedded:
    """Vectors with what they belong to.

    Attributes:
        names: n names of pictures, or n texts.
        vectors: float32 (n, dimension), L2-normalised.
        failures: Why a picture was left out, one sentence each, in the order of the names.
    """

    names: list[str]
    vectors: NDArray[np.float32]
    failures: list[str] = field(default_factory=list)


def find_pictures(folder: Path) -> list[str]:
    """List the pictures under a folder.

    Args:
        folder: Searched with its sub-folders; links to folders are not followed, hidden files and folders are left out.

    Returns:
        POSIX paths relative to ``folder``, sorted by their characters.

    Raises:
        PictureError: There is no such folder, or no picture in it.
    """
    from onlooker.runtime.pictures import PICTURE_SUFFIXES

    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise PictureError(f"{folder} {what}; give a folder with pictures")
    names = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [
            (Path(base) / name).relative_to(folder).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES
        ]
    if not names:
        raise PictureError(
            f"{folder} holds no picture; files that end in {', '.join(sorted(PICTURE_SUFFIXES))} are read"
        )
    return sorted(names)


def embed_pictures(
    folder: Path,
    names: Sequence[str],
    encoder: EncoderLike,
    *,
    select: Callable[[Picture], Picture] | None = None,
    advance: Callable[[float], None] | None = None,
    failed: Callable[[str], None] | None = None,
) -> Embedded:
    """Encode the pictures of a folder; one that cannot be read is left out and reported.

    Args:
        folder: Where they lie.
        names: Their paths relative to ``folder``.
        encoder: Makes the vectors.
        select: Chooses the part of a picture to encode, such as its largest person; None takes the whole.
        advance: Called with the number of pictures done since the last call.
        failed: Called with the reason as soon as a picture cannot be read.

    Returns:
        Names and vectors of those that could be read, in the order of ``names``.

    Raises:
        PictureError: None could be read.
        BundleError: The encoder's bundle is damaged.
    """
    done: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    failures: list[str] = []
    waiting: list[Picture] = []

    def encode() -> None:
        if waiting:
            vectors.append(encoder.encode_images(waiting, batch_size=BATCH))
            waiting.clear()

    for name, picture in _read_all(folder, names):
        if isinstance(picture, PictureError):
            failures.append(str(picture))
            if failed:
                failed(str(picture))
        else:
            waiting.append(picture if select is None else select(picture))
            done.append(name)
            if len(waiting) == BATCH or sum(part.size // 3 for part in waiting) >= BATCH_PIXELS:
                encode()
        if advance:
            advance(1)
    encode()
    if not done:
        raise PictureError(f"none of the {len(names)} pictures in {folder} could be read; the first: {failures[0]}")
    return Embedded(done, np.concatenate(vectors), failures)


def largest(boxes: NDArray[np.float32], picture: Picture) -> Picture:
    """Cut the largest of some boxes out of a picture.

    Args:
        boxes: float32 (n, 4), left, top, right, bottom in pixels; parts outside the picture are cut off.
        picture: uint8 (h, w, 3).

    Returns:
        The part, uint8 (h', w', 3); the whole picture where there is no box or all lie outside.
    """
    height, width = picture.shape[:2]
    edges = np.rint(np.clip(boxes.reshape(-1, 4), 0, [width, height, width, height])).astype(int)
    areas = np.maximum(edges[:, 2] - edges[:, 0], 0) * np.maximum(edges[:, 3] - edges[:, 1], 0)
    if len(areas) == 0 or areas.max() == 0:
        return picture
    left, top, right, bottom = edges[int(areas.argmax())]
    # A copy, so that a batch of small parts does not keep their large pictures in memory.
    part: Picture = picture[top:bottom, left:right].copy()
    return part


def read_lines(path: Path) -> list[str]:
    """Read a file of texts, one a line.

    Args:
        path: UTF-8; the line ends of every system are understood.

    Returns:
        The texts, without line ends, in order.

    Raises:
        DataError: The file is missing, empty or not UTF-8, or a line has nothing visible in it; the message names the
            line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a file with one text a line") from error
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {broken}: not UTF-8; save the file as UTF-8") from error
    lines = content.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    if lines == [""]:
        raise DataError(f"{path} is empty; give a file with one text a line")
    for number, line in enumerate(lines, start=1):
        if not clean_text(line):
            raise DataError(f"{path}, line {number} is blank; every line gives one vector, so fill it or delete it")
    return lines


def embed_texts(
    texts: Sequence[str], encoder: EncoderLike, *, advance: Callable[[float], None] | None = None
) -> Embedded:
    """Encode texts.

    Args:
        texts: Descriptions, none of them empty.
        encoder: Makes the vectors.
        advance: Called with the number of texts done since the last call.

    Returns:
        The texts and their vectors, in order.

    Raises:
        QueryError: A text is empty.
        BundleError: The encoder's bundle is damaged.
    """
    # More than a batch at a time, so that the encoder can put texts of one length together.
    step = 32 * BATCH
    parts = []
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        parts.append(encoder.encode_texts(part, batch_size=BATCH))
        if advance:
            advance(len(part))
    vectors = np.concatenate(parts) if parts else np.empty((0, encoder.dimension), dtype=np.float32)
    return Embedded(list(texts), vectors)


def check_output(path: Path) -> None:
    """Raise ConfigError when ``path`` cannot become a file, before any work is done for it."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write, such as {path / 'vectors.npz'}")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"{path} cannot be written: {existing} is not a folder that you may write to; choose another")


def save_vectors(path: Path, embedded: Embedded, *, key: str, bundle_id: str) -> None:
    """Write vectors as an ``.npz`` that ``numpy.load`` reads without pickle.

    Args:
        path: The file; it appears whole or not at all.
        embedded: What to write.
        key: The name of the array of names: ``names`` for pictures, ``texts`` for texts.
        bundle_id: Stored as ``bundle``, since only vectors of one bundle can be compared.

    Raises:
        ConfigError: The file cannot be written.
    """
    arrays = {key: np.array(embedded.names, dtype=np.str_), "vectors": embedded.vectors, "bundle": np.array(bundle_id)}
    try:
        with replacing(path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **arrays)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error


def _read_all(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, Picture | PictureError]]:
    """Read pictures ahead on a few threads (Pillow decodes without holding the interpreter), in order."""
    from onlooker.runtime.pictures import read_picture

    def read(name: str) -> Picture | PictureError:
        try:
            return read_picture(folder / name)
        except PictureError as error:
            return error

    workers = min(4, os.cpu_count() or 1)
    pending: deque[tuple[str, Future[Picture | PictureError]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool:
        try:
            for name in names:
                pending.append((name, pool.submit(read, name)))
                if len(pending) > workers:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
        finally:
            # Reached early by Ctrl-C or an error of the consumer: what has not begun need not begin.
            pool.shutdown(wait=False, cancel_futures=True)
