from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from onlooker.datasets.reading import find_file, read_csv, read_json, read_json_lines, read_lines, take
from onlooker.errors import DataError


def test_lines_of_packed_and_plain_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\ntwo"))
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "one"), (2, "two")]
    assert list(read_lines(tmp_path / "a.txt.gz")) == [(1, "one"), (2, "two")]


def test_broken_files_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntw\xff\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2: not UTF-8"):
        list(read_lines(tmp_path / "a.txt"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one\n" * 1000)[:-12])
    with pytest.raises(DataError, match=r"cut\.gz after line"):
        list(read_lines(tmp_path / "cut.gz"))
    (tmp_path / "a.json").write_text("[1,\n2,\n}")
    with pytest.raises(DataError, match=r"a\.json, line 3, column 1: no valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 3: no valid JSON"):
        list(read_json_lines(tmp_path / "a.jsonl"))
    (tmp_path / "b.jsonl").write_text("3\n")
    with pytest.raises(DataError, match="line 1: a JSON object is wanted, got int"):
        list(read_json_lines(tmp_path / "b.jsonl"))
    (tmp_path / "a.csv").write_text('a,b\n"x"y,z\n')
    with pytest.raises(DataError, match=r"a\.csv, line 2: no valid CSV"):
        list(read_csv(tmp_path / "a.csv"))


def test_csv_quotes_and_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('image,caption\na.jpg,"one, ""two""\nthree"\n')
    rows = list(read_csv(tmp_path / "a.csv"))
    assert rows[1] == (f"{tmp_path / 'a.csv'}, line 3", ["a.jpg", 'one, "two"\nthree'])


def test_take_names_key_and_kinds() -> None:
    assert take({"a": 1}, "a", int, "here") == 1
    with pytest.raises(DataError, match="here: the key 'b' is missing; it has 'a'"):
        take({"a": 1}, "b", int, "here")
    with pytest.raises(DataError, match="here: the key 'a' holds int, str is wanted"):
        take({"a": 1}, "a", str, "here")
    with pytest.raises(DataError, match="holds bool, int or str is wanted"):
        take({"a": True}, "a", (int, str), "here")


def test_missing_files_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no caption file; looked for x\.json, y\.json"):
        find_file(tmp_path, ["x.json", "y.json"], "caption file")
    with pytest.raises(DataError, match="there is no folder"):
        find_file(tmp_path / "none", ["x.json"], "caption file")
