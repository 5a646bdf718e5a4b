from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.errors import BundleError
from onlooker.runtime.tokenising import TextTokenizer, clean_text
from tests.tiny_bundle import WORDS, write_tokenizer

PAD, UNKNOWN, START, END, RED, GREEN = (
    WORDS.index(word) for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green")
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def test_pads_to_the_longest_of_the_batch_whatever_the_file_says(path: Path) -> None:
    batch = TextTokenizer(path, max_tokens=16)(["red", "red green red"])
    assert batch["input_ids"].tolist() == [[START, RED, END, PAD, PAD], [START, RED, GREEN, RED, END]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == np.int64


def test_cuts_to_max_tokens_and_keeps_the_end_token(path: Path) -> None:
    batch = TextTokenizer(path, max_tokens=4)(["red red red red red"])
    assert batch["input_ids"].tolist() == [[START, RED, RED, END]]


def test_no_text_gives_empty_arrays(path: Path) -> None:
    batch = TextTokenizer(path, max_tokens=4)([])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (0, 0)


def test_pads_with_the_token_that_is_named(path: Path) -> None:
    tokenizer = TextTokenizer(path, max_tokens=8, pad_token="[SEP]")
    assert tokenizer.pad_id == END
    assert tokenizer(["red", "red red"])["input_ids"][0].tolist() == [START, RED, END, END]
    assert tokenizer.vocabulary_size == len(WORDS)


def test_goes_through_a_pickle_after_use(path: Path) -> None:
    tokenizer = TextTokenizer(path, max_tokens=8)
    first = tokenizer(["red jacket"])
    second = pickle.loads(pickle.dumps(tokenizer))(["red jacket"])
    assert np.array_equal(first["input_ids"], second["input_ids"])


def test_texts_are_cleaned_first(path: Path) -> None:
    tokenizer = TextTokenizer(path, max_tokens=8)
    assert tokenizer(["  red\tgreen\u200b\n"])["input_ids"].tolist() == tokenizer(["red green"])["input_ids"].tolist()
    assert tokenizer(["\ud800 red"])["input_ids"].tolist() == [[START, UNKNOWN, RED, END]]


def test_an_unknown_padding_token_is_an_error_that_names_it(path: Path) -> None:
    with pytest.raises(BundleError, match=r"tokenizer\.json has no token '<pad>'"):
        TextTokenizer(path, max_tokens=8, pad_token="<pad>")(["red"])


def test_a_missing_file_is_an_error_at_first_use(tmp_path: Path) -> None:
    tokenizer = TextTokenizer(tmp_path / "gone.json", max_tokens=8)
    with pytest.raises(BundleError, match=r"gone\.json cannot be read"):
        tokenizer(["red"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": "1.0"}', b"\xff\xfe\x00"])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"bad\.json"):
        TextTokenizer(tmp_path / "bad.json", max_tokens=8)(["red"])


def test_room_for_a_word_is_needed(path: Path) -> None:
    with pytest.raises(ValueError, match="at least 3, got 2"):
        TextTokenizer(path, max_tokens=2)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a  man\r\n in\u00a0blue ", "a man in blue"),
        ("cafe\u0301", "caf\u00e9"),
        ("\ufeffred", "red"),
        ("red\x00jacket", "red jacket"),
        ("\u200b\u2060", ""),
        (" \t\n\u3000", ""),
        ("Frau in Grün, 男人", "Frau in Grün, 男人"),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_cleaning_twice_is_cleaning_once_and_gives_utf8(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert clean == " ".join(clean.split())
