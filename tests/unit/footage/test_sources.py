from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from onlooker.errors import InputError
from onlooker.footage.sources import VIDEO_SUFFIXES, find_sources, photo_time
from onlooker.runtime.pictures import PICTURE_SUFFIXES


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names_of(paths: tuple[Path, ...], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_folders_are_searched_in_the_order_of_names(tmp_path: Path) -> None:
    tree(tmp_path, "b/2.JPG", "b/1.png", "a.webp", "c/d/e.mp4", "c/a.MKV", "notes.txt", "b/x.json")
    sources = find_sources([tmp_path])
    assert names_of(sources.photos, tmp_path) == ["a.webp", "b/1.png", "b/2.JPG"]
    assert names_of(sources.videos, tmp_path) == ["c/a.MKV", "c/d/e.mp4"]
    assert len(sources) == 5


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, ".a.jpg", ".thumbs/b.jpg", "c.jpg", "._d.mp4")
    sources = find_sources([tmp_path])
    assert names_of(sources.photos, tmp_path) == ["c.jpg"]
    assert sources.videos == ()


def test_every_ending_is_one_or_the_other(tmp_path: Path) -> None:
    assert not PICTURE_SUFFIXES & VIDEO_SUFFIXES
    tree(tmp_path, *(f"x{suffix}" for suffix in PICTURE_SUFFIXES | VIDEO_SUFFIXES))
    sources = find_sources([tmp_path])
    assert {path.suffix for path in sources.photos} == PICTURE_SUFFIXES
    assert {path.suffix for path in sources.videos} == VIDEO_SUFFIXES


def test_a_file_named_by_the_user_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    tree(tmp_path, "recording.001", ".hidden.jpg")
    sources = find_sources([tmp_path / "recording.001", tmp_path / ".hidden.jpg"])
    assert names_of(sources.videos, tmp_path) == ["recording.001"]
    assert names_of(sources.photos, tmp_path) == [".hidden.jpg"]


def test_a_file_reached_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a/1.jpg", "a/2.jpg")
    (tmp_path / "a" / "3.jpg").symlink_to(tmp_path / "a" / "1.jpg")
    monkeypatch.chdir(tmp_path)
    sources = find_sources([Path("a/2.jpg"), Path("a"), tmp_path / "a"])
    assert names_of(sources.photos, tmp_path) == ["a/2.jpg", "a/1.jpg"]
    assert all(os.path.isabs(path) for path in sources.photos)


def test_nothing_to_look_at_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.jpg does not exist"):
        find_sources([tmp_path / "missing.jpg"])
    tree(tmp_path, "notes.txt")
    with pytest.raises(InputError, match="there is no photo and no video in"):
        find_sources([tmp_path])


def photo(path: Path, taken: str | None, offset: str | None = None) -> Path:
    exif = Image.Exif()
    tags = {ExifTags.Base.DateTimeOriginal: taken, ExifTags.Base.OffsetTimeOriginal: offset}
    exif.get_ifd(ExifTags.IFD.Exif).update({tag: value for tag, value in tags.items() if value is not None})
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    return path


def test_the_time_a_photo_was_taken(tmp_path: Path) -> None:
    zoned = photo(tmp_path / "a.jpg", "2026:05:17 14:30:05", "+02:00")
    assert photo_time(zoned) == datetime(2026, 5, 17, 12, 30, 5, tzinfo=timezone.utc)
    local = photo_time(photo(tmp_path / "b.jpg", "2026:05:17 14:30:05"))
    assert local == datetime(2026, 5, 17, 14, 30, 5).astimezone()
    assert local is not None
    assert local.utcoffset() == timedelta(0)


@pytest.mark.parametrize("taken", [None, "", "0000:00:00 00:00:00", "yesterday", "2026:13:45 99:00:00"])
def test_a_photo_without_a_sensible_time_has_none(tmp_path: Path, taken: str | None) -> None:
    assert photo_time(photo(tmp_path / "a.jpg", taken)) is None


def test_what_is_no_photo_has_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("no picture")
    assert photo_time(path) is None
    assert photo_time(tmp_path / "missing.jpg") is None
    with Image.new("RGB", (8, 8)) as picture:
        picture.save(path, exif=b"Exif\x00\x00garbage that is no TIFF header")
    assert photo_time(path) is None
