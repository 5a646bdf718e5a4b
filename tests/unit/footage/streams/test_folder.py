from __future__ import annotations

import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import SourceError
from onlooker.footage.streams.folder import WatchedFolder
from onlooker.runtime.pictures import encode_jpeg

OLD_S = 1_700_000_000.0


def photo(path: Path, shade: int, at_s: float | None = OLD_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(np.full((24, 32, 3), shade, np.uint8), 95))
    if at_s is not None:
        os.utime(path, (at_s, at_s))
    return path


def watched(folder: Path, **others: object) -> WatchedFolder:
    source = WatchedFolder("Gate", folder, **{"settle_s": 0.3, "look_s": 0.02, **others})
    source.open()
    return source


def names(source: WatchedFolder, wait_s: float = 0.1) -> list[str]:
    found = []
    while (frame := source.read(wait_s)) is not None:
        found.append(Path(str(frame.origin)).name)
    return found


def test_photos_come_once_oldest_first_with_their_times(tmp_path: Path) -> None:
    photo(tmp_path / "b.jpg", 50, OLD_S)
    photo(tmp_path / "day" / "a.jpg", 100, OLD_S + 10)
    photo(tmp_path / ".hidden.jpg", 0)
    (tmp_path / "notes.txt").write_text("no photo")
    source = watched(tmp_path)
    first, second = source.read(1), source.read(1)
    assert first is not None
    assert second is not None
    assert (first.time_s, second.time_s) == (0.0, 10.0)
    assert first.time == datetime.fromtimestamp(OLD_S, timezone.utc)
    assert [first.sequence, second.sequence] == [0, 1]
    assert source.read(0.05) is None
    photo(tmp_path / "c.jpg", 20, OLD_S - 100)
    third = source.read(1)
    assert third is not None
    assert third.time_s == 10.0
    assert names(source) == []


def test_a_photo_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    data = photo(tmp_path / "whole.jpg", 50).read_bytes()
    (tmp_path / "whole.jpg").unlink()
    source = watched(tmp_path)
    growing = tmp_path / "growing.jpg"
    for part in range(6):
        with growing.open("ab") as handle:
            handle.write(data[part * len(data) // 6 : (part + 1) * len(data) // 6])
        assert source.read(0.08) is None
    assert names(source, 1.0)[0] == "growing.jpg"
    assert source.damaged == 0


def test_a_renamed_upload_and_a_file_of_the_future(tmp_path: Path) -> None:
    source = watched(tmp_path)
    photo(tmp_path / ".upload.jpg", 50)
    assert names(source) == []
    (tmp_path / ".upload.jpg").rename(tmp_path / "done.jpg")
    assert names(source) == ["done.jpg"]
    photo(tmp_path / "future.jpg", 50, time.time() + 86_400)
    assert names(source, 1.0) == ["future.jpg"]


def test_written_anew_counts_anew_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    os.utime(broken, (OLD_S, OLD_S))
    source = watched(tmp_path)
    assert names(source) == []
    assert source.damaged == 1
    photo(broken, 50, OLD_S + 1)
    assert names(source) == ["a.jpg"]
    photo(broken, 90, OLD_S + 2)
    assert names(source) == ["a.jpg"]


def test_what_was_not_handed_out_is_found_again_after_opening_anew(tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / f"{number}.jpg", 50, OLD_S + number)
    source = watched(tmp_path)
    assert source.read(1) is not None
    source.open()
    assert names(source) == ["1.jpg", "2.jpg", "3.jpg"]


def test_only_what_was_acknowledged_is_remembered_over_restarts(tmp_path: Path) -> None:
    folder, memory = tmp_path / "in", tmp_path / "state" / "gate.seen"
    for number in range(3):
        photo(folder / f"{number}.jpg", 50, OLD_S + number)
    source = watched(folder, memory=memory)
    first, second = source.read(1), source.read(1)
    assert first is not None
    assert second is not None
    source.acknowledge(str(first.origin))
    source.acknowledge(str(first.origin))
    assert len(memory.read_text().splitlines()) == 1
    with memory.open("a") as handle:
        handle.write('["1.jp')  # a power cut in the middle of a line
    assert names(watched(folder, memory=memory)) == ["1.jpg", "2.jpg"]
    # Files that are gone are forgotten.
    (folder / "0.jpg").unlink()
    watched(folder, memory=memory)
    assert memory.read_text() == ""


def test_marks_are_name_time_and_size(tmp_path: Path) -> None:
    memory = tmp_path / "seen"
    path = photo(tmp_path / "in" / "ä.jpg", 50)
    source = watched(tmp_path / "in", memory=memory)
    frame = source.read(1)
    assert frame is not None
    source.acknowledge(str(frame.origin))
    assert json.loads(memory.read_text()) == ["ä.jpg", path.stat().st_mtime_ns, path.stat().st_size]


def test_a_folder_that_is_not_there_or_goes(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder") as caught:
        watched(tmp_path / "none")
    assert caught.value.kind == "unreachable"
    (tmp_path / "in").mkdir()
    source = watched(tmp_path / "in")
    (tmp_path / "in").rmdir()
    with pytest.raises(SourceError, match="is gone") as caught:
        source.read(1)
    assert caught.value.kind == "ended"
