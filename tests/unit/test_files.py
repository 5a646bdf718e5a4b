from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.files import replacing, sha256_of, write_json, write_text


def test_the_file_appears_whole_with_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "x.txt"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.suffix == ".txt"
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_when_the_block_fails_the_old_file_stays(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass
    assert target.read_text() == "old"


def test_a_reader_of_the_old_file_keeps_the_old_contents(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    write_text(target, "old")
    with target.open() as reader:
        write_text(target, "new")
        assert reader.read() == "old"
    assert target.read_text() == "new"


def test_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "Grün 男人")
    assert (tmp_path / "x.txt").read_bytes() == "Grün 男人".encode()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=30)
@given(value=values)
def test_json_comes_back_the_same(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    if not _encodable(value):
        with pytest.raises(UnicodeEncodeError):
            write_json(path, value)
        assert not path.exists()
        return
    write_json(path, value)
    raw = path.read_bytes()
    assert json.loads(raw) == value
    assert raw.endswith(b"\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, {1, 2}, object()], ids=repr)
def test_what_json_cannot_say_is_refused_and_nothing_is_written(tmp_path: Path, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "x.json", value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_sha256_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(data)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
