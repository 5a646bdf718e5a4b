"""What there is to look at: photos and videos among files and folders, and when a photo was taken."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from PIL import ExifTags, Image

from onlooker.errors import InputError
from onlooker.runtime.pictures import PICTURE_SUFFIXES

VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".dav", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mjpg"),
        *(".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    }
)
"""Lower-case file name endings that a walk through a folder takes for videos."""


@dataclass(frozen=True)
class Sources:
    """Files to look at.

    Attributes:
        photos: Picture files, each once.
        videos: Video files, each once.
    """

    photos: tuple[Path, ...]
    videos: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.photos) + len(self.videos)


def find_sources(paths: Sequence[Path]) -> Sources:
    """Find the photos and videos among files and folders.

    Folders are searched with their sub-folders; hidden files and folders (whose name begins with a dot) and files of
    another kind are passed over there. A file given by its own name is taken whatever its ending: as a photo where that
    is a picture's, else as a video. The order is that of ``paths``, sorted by name within each folder, so that two runs
    do the same.

    Args:
        paths: Files and folders.

    Returns:
        The files as absolute paths, a file reached twice only once.

    Raises:
        InputError: A path does not exist, or there is nothing to look at in any of them.
    """
    photos: dict[Path, Path] = {}
    videos: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            found = _walk(path)
        elif path.exists():
            found = iter([path])
        else:
            raise InputError(f"{path} does not exist; give photos, videos or folders of them")
        for file in found:
            kind = photos if file.suffix.lower() in PICTURE_SUFFIXES else videos
            kind.setdefault(file.resolve(), Path(os.path.abspath(file)))
    sources = Sources(tuple(photos.values()), tuple(videos.values()))
    if not len(sources):
        names = ", ".join(str(path) for path in paths)
        raise InputError(f"there is no photo and no video in {names}; give photos, videos or folders of them")
    return sources


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
                yield Path(parent) / name


def photo_time(path: Path) -> datetime | None:
    """Return when a photo was taken, by the camera's clock.

    Args:
        path: A picture file.

    Returns:
        EXIF ``DateTimeOriginal`` in UTC; a camera that writes no offset is taken to be in this machine's zone. None
        where the picture has no such entry, or one that makes no sense.
    """
    with warnings.catch_warnings():
        # Pillow remarks on damaged EXIF data and on large pictures; neither matters for reading the time.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as picture:
                exif = picture.getexif().get_ifd(ExifTags.IFD.Exif)
        except (OSError, SyntaxError, ValueError, KeyError, TypeError, Image.DecompressionBombError):
            return None
    taken, offset = exif.get(ExifTags.Base.DateTimeOriginal), exif.get(ExifTags.Base.OffsetTimeOriginal)
    if not isinstance(taken, str):
        return None
    try:
        time = datetime.strptime(taken.strip("\0 "), "%Y:%m:%d %H:%M:%S")
        if isinstance(offset, str) and offset.strip("\0 "):
            zoned = datetime.strptime(offset.strip("\0 ").replace("Z", "+00:00"), "%z")
            time = time.replace(tzinfo=zoned.tzinfo)
        return time.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
