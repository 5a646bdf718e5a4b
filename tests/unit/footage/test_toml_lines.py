from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.footage.toml_lines import key_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = '''\
gallery = "a # no comment"  # a comment
[retention]
days = 3

[ cameras . "front door" ]
address = """
two [lines] = "x" \\
"""
masks = [
  [[0, 0], [1, 0]],  # first ]
  [
    [0, 1],
  ],
]
retention = { days = 1, gigabytes = [2, { deep = 3 }] }
a.b.'c d' = 1979-05-27T07:32:00Z
[[list]]
x = 'it\\'
[[list]]
x = 1
[list.under]
y = """quotes"""""
'''


def test_every_key_is_on_its_line() -> None:
    lines = key_lines(TEXT)
    expected: dict[Any, int] = {
        ("gallery",): 1,
        ("retention",): 2,
        ("retention", "days"): 3,
        ("cameras",): 5,
        ("cameras", "front door"): 5,
        ("cameras", "front door", "address"): 6,
        ("cameras", "front door", "masks"): 9,
        ("cameras", "front door", "masks", 0): 10,
        ("cameras", "front door", "masks", 1): 11,
        ("cameras", "front door", "masks", 1, 0): 12,
        ("cameras", "front door", "masks", 1, 0, 1): 12,
        ("cameras", "front door", "retention", "days"): 15,
        ("cameras", "front door", "retention", "gigabytes", 1, "deep"): 15,
        ("cameras", "front door", "a", "b", "c d"): 16,
        ("list",): 17,
        ("list", 0): 17,
        ("list", 0, "x"): 18,
        ("list", 1): 19,
        ("list", 1, "x"): 20,
        ("list", 1, "under", "y"): 22,
    }
    assert {place: lines.get(place) for place in expected} == expected


def places(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    found = {path} if path else set()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found |= places(each, (*path, key))
    return found


def test_it_finds_what_the_library_reads() -> None:
    assert places(tomllib.loads(TEXT)) <= set(key_lines(TEXT))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "a=1", "a = 1\r\nb = 2\r\n"])
def test_small_documents(text: str) -> None:
    assert places(tomllib.loads(text)) == set(key_lines(text))


VALUES = st.recursive(
    st.one_of(
        st.integers(-9, 9).map(str),
        st.sampled_from(['"a"', "'b#'", '"[x] = 1"', '"""l\n[m]\n"""', "'''\n'q' = 2\n'''", "true", "1.5", '"\\""']),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "[\n" + ",\n".join(parts) + "]"),
    max_leaves=5,
)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "[t]", "[t.u]", "[[v]]", "[[v]]\n[v.w]"]), VALUES),
        max_size=6,
        unique_by=lambda part: part[0],
    )
)
def test_it_agrees_with_the_library_on_whatever_it_reads(parts: list[tuple[str, str]]) -> None:
    parts = sorted(parts, key=lambda part: part[0] != "")
    text = "\n".join(f"{header}\nk{number} = {value} # c" for number, (header, value) in enumerate(parts))
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert places(table) <= set(lines)
    for number in range(len(parts)):
        place = next(place for place in lines if place[-1] == f"k{number}")
        assert text.splitlines()[lines[place] - 1].startswith(f"k{number} = ")
