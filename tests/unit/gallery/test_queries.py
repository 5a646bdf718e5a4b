from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.errors import QueryError
from onlooker.gallery.queries import read_queries


def write(path: Path, text: str | bytes) -> Path:
    file = path / "queries.jsonl"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_objects_texts_and_plain_lines(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '\ufeff{"query": "a red coat", "id": 7}\r\n\n"blue \\"mom\\" jeans"\n  woman with a bag, 60 years \n'
        '{"query": " \\u8d64\\u3044 "}\n',
    )
    assert read_queries(file) == ["a red coat", 'blue "mom" jeans', "woman with a bag, 60 years", "赤い"]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('{"query": "a red coat"', "line 2 is not JSON"),
        ('"a red coat', "line 2 is not JSON"),
        ('{"text": "a red coat"}', 'line 2 has no text under "query"'),
        ('{"query": 3}', "line 2 has no text"),
        ('{"query": " "}', "line 2 has no text"),
        ('""', "line 2 has no text"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, match: str) -> None:
    with pytest.raises(QueryError, match=match):
        read_queries(write(tmp_path, f"a hat\n{line}\n"))


@pytest.mark.parametrize(("content", "match"), [("\n \n", "holds no query"), (b"r\xe9d coat\n", "not UTF-8")])
def test_files_that_hold_no_queries(tmp_path: Path, content: str | bytes, match: str) -> None:
    with pytest.raises(QueryError, match=match):
        read_queries(write(tmp_path, content))


def test_a_missing_file_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="cannot be read"):
        read_queries(tmp_path / "none.jsonl")
    with pytest.raises(QueryError, match="cannot be read"):
        read_queries(tmp_path)
