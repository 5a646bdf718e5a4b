from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import BundleError
from onlooker.runtime.spelling import Reading, Spelling, english_words

WORDS = ("black", "jacket", "coat", "green", "grey", "silk", "slim", "glasses", "glass", "trousers", "boots", "with")
SPELLING = Spelling(WORDS)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("jaket", "jacket"),
        ("jakcet", "jacket"),
        ("balck", "black"),  # exchanged letters come before the nearer look of "back"
        ("gren", "green"),  # a doubled letter before another letter
        ("slik", "silk"),
        ("glases", "glasses"),
        ("tousers", "trousers"),
        ("trusers", "trousers"),
        ("obots", "boots"),  # the first letter may be wrong only by an exchange
    ],
)
def test_a_typing_error_is_read_as_the_word_that_was_meant(typed: str, read: str) -> None:
    assert SPELLING.read(f"a {typed}, please") == Reading(f"a {read}, please", ((typed, read),))


@pytest.mark.parametrize(
    "text",
    [
        "black jacket with boots",
        "cowl neck, plaited hair, dapper gent",  # English, though no word of the bundle
        "bot coa gry",  # too short to tell
        "x-9 ... 12345",
        "blauwe broek",  # near nothing
        "мужчина в куртке",
        "racket",  # English, and its first letter is another
        "",
    ],
)
def test_what_may_be_meant_is_left_alone(text: str) -> None:
    assert SPELLING.read(text) == Reading(text)


def test_what_the_tokenizer_knows_is_left_alone() -> None:
    assert Spelling(WORDS, lambda word: word == "jackt").read("jackt jaket").changes == (("jaket", "jacket"),)


def test_capitals_and_all_other_signs_stay() -> None:
    assert SPELLING.read("Man: BLACK Jaket;\tgrey  (silk)!") == Reading(
        "Man: BLACK jacket;\tgrey  (silk)!", (("Jaket", "jacket"),)
    )


def test_the_more_frequent_of_equals_is_taken() -> None:
    assert Spelling(["boost", "boots"]).read("boosst").text == "boost"
    assert Spelling(["coats", "coast"]).read("coas").text == "coats"
    assert Spelling(["coast", "coats"]).read("coas").text == "coast"


@given(st.text(max_size=60))
def test_reading_twice_changes_nothing_more(text: str) -> None:
    once = SPELLING.read(text).text
    assert SPELLING.read(once) == Reading(once)


@given(st.sampled_from([word for word in WORDS if len(word) >= 6]), st.data())
def test_one_exchange_within_a_long_word_is_always_mended(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 2))
    typed = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if typed not in english_words():
        assert SPELLING.read(typed).text == word


def test_english_is_british_and_american() -> None:
    assert {"grey", "gray", "jewellery", "jewelry", "pyjamas", "pajamas"} <= english_words()
    assert "jakcet" not in english_words()


def test_a_text_without_unknown_words_loads_neither_library_nor_list() -> None:
    code = (
        "import sys; from onlooker.runtime.spelling import Spelling, english_words; "
        "Spelling(['red', 'jacket']).read('red jacket'); "
        "assert 'rapidfuzz' not in sys.modules and not english_words.cache_info().currsize"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_list_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"words\.txt cannot be read"):
        Spelling.load(tmp_path / "words.txt")
