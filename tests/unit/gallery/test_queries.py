from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.errors import QueryError
from onlooker.gallery.queries import Query, read_queries


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
    texts = ["a red coat", 'blue "mom" jeans', "woman with a bag, 60 years", "赤い"]
    assert read_queries(file) == [Query(text) for text in texts]
    assert [query.label for query in read_queries(file)] == texts


def test_pictures_sightings_and_what_is_not_wanted(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '{"image": "walk.jpg"}\n'
        '{"query": " in a red jacket ", "image": ["a/1.jpg", "/b/2.jpg"], "not": "hat"}\n'
        '{"like": 7, "query": null, "not": ["hat", " bag "]}\n'
        '{"like": [7, 8], "image": null, "not": []}\n',
    )
    queries = read_queries(file)
    assert queries == [
        Query(pictures=(tmp_path / "walk.jpg",)),
        Query("in a red jacket", (tmp_path / "a/1.jpg", Path("/b/2.jpg")), (), ("hat",)),
        Query(sightings=(7,), unwanted=("hat", "bag")),
        Query(sightings=(7, 8)),
    ]
    assert [query.label for query in queries] == [
        "like walk.jpg",
        "like 1.jpg; like 2.jpg; in a red jacket; not hat",
        "like sighting 7; not hat; not bag",
        "like sighting 7; like sighting 8",
    ]
    assert all(query.composed for query in queries)


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({}, "the query is empty"),
        ({"text": "  "}, "the query is empty"),
        ({"unwanted": ("hat",)}, 'only what is not wanted \\("hat"\\)'),
        ({"text": "man", "unwanted": ("hat", " ")}, 'a text of "not" is empty'),
    ],
)
def test_a_query_has_to_want_something(parts: dict, match: str) -> None:
    with pytest.raises(QueryError, match=match):
        Query(**parts)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('{"query": "a red coat"', "line 2 is not JSON"),
        ('"a red coat', "line 2 is not JSON"),
        ('{"text": "a red coat"}', 'line 2 has no text under "query"'),
        ('{"query": 3}', "line 2 has no text"),
        ('{"query": " "}', "line 2 has no text"),
        ('""', "line 2 has no text"),
        ('{"image": ["a.jpg", 3]}', 'line 2: "image" holds 3, which is not a text'),
        ('{"image": ""}', 'line 2: "image" holds "", which is not a text'),
        ('{"like": "7"}', 'line 2: "like" holds "7", which is not the number'),
        ('{"like": true}', 'line 2: "like" holds true'),
        ('{"query": "man", "not": [" "]}', 'line 2: "not" holds " "'),
        ('{"not": "hat"}', 'line 2 has no text under "query"'),
        ('{"query": " ", "image": "a.jpg"}', 'line 2 has no text under "query"'),
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
