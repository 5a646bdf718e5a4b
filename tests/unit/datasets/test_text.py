from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.datasets.text import TextCounts, clean_text, clean_texts, same_text_key


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("A child in an entry way .", "A child in an entry way."),
        ("  two\t spaces\n here  ", "two spaces here"),
        ("a blue shirt.His trousers are black.", "a blue shirt. His trousers are black."),
        ("cafe\u0301", "café"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("soft\u00adhyphen", "softhyphen"),
        ("bell\x07 and nul\x00", "bell and nul"),
        ("lone \ud800 half", "lone half"),
        ("no\u00a0break", "no break"),
        ("size 3 .5", "size 3 .5"),
        ("the U.S. flag", "the U.S. flag"),
        ("A dog , a cat ; and a bird !", "A dog, a cat; and a bird!"),
        ("", ""),
        (" \u200b ", ""),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    assert clean_text(raw) == cleaned


@given(st.text() | st.text(alphabet="aE .,!\u0301\u200d\u2000\ud800\r\n;:?"))
def test_cleaned_text_is_stable_and_storable(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert cleaned == cleaned.strip()
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn") for character in cleaned)
    assert "  " not in cleaned
    cleaned.encode()


@given(st.text(alphabet=st.characters(categories=("L", "N")), min_size=1))
def test_words_stay(word: str) -> None:
    assert clean_text(word) == unicodedata.normalize("NFC", word)


def test_empty_and_doubled_texts_are_dropped_and_counted() -> None:
    counts = TextCounts()
    kept = clean_texts(["A man .", "", "a man", " \n", "A woman.", "A MAN."], counts)
    assert kept == ["A man.", "A woman."]
    assert counts == TextCounts(read=6, changed=2, empty=2, doubled=2)


def test_a_lone_full_stop_is_empty() -> None:
    assert clean_texts(["."]) == []


@given(st.lists(st.text()))
def test_no_two_kept_texts_say_the_same(texts: list[str]) -> None:
    kept = clean_texts(texts)
    keys = [same_text_key(text) for text in kept]
    assert len(set(keys)) == len(keys)
    assert all(keys)
