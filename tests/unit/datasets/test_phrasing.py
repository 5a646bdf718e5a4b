"""Other wordings of a text keep its meaning, its grammar and its form."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from onlooker.datasets import phrasing as module
from onlooker.datasets.phrasing import (
    GARMENTS,
    Phrasing,
    drop_clauses,
    exchange_synonyms,
    mistype,
    reorder_clauses,
    split_clauses,
    to_keywords,
    vary_text,
)
from onlooker.datasets.synonyms import COLOURS, SYNONYMS, plural

LONG = (
    "Woman with a short blonde bob and fringe, wearing an oversized grey jumper over a white shirt, navy trousers, red "
    "trainers, holding a small brown handbag."
)
ALL = Phrasing(synonyms=1, typos=1, clauses=1, keywords=1, reorder=1)
TEXTS = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from([*SYNONYMS, *sorted(GARMENTS), "a", "an", ",", ";", ".", "Grey", "and"]), max_size=25).map(
        " ".join
    ),
)


def _seen(text: str, draws: int = 300) -> set[str]:
    return {exchange_synonyms(text, np.random.default_rng(seed), 1.0) for seed in range(draws)}


@given(TEXTS, st.integers(0, 2**32))
def test_any_text_gives_the_same_varied_text_for_the_same_seed(text: str, seed: int) -> None:
    first = vary_text(text, np.random.default_rng(seed), ALL)
    assert first == vary_text(text, np.random.default_rng(seed), ALL)
    assert bool(first.strip()) == bool(text.strip())


@given(TEXTS, st.integers(0, 2**32))
def test_without_probabilities_a_text_stays(text: str, seed: int) -> None:
    assert vary_text(text, np.random.default_rng(seed), Phrasing()) == text
    assert exchange_synonyms(text, np.random.default_rng(seed), 1e-12) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("grey jumper", {"gray sweater", "gray pullover"}),
        ("Trousers", {"Pants", "Slacks"}),
        ("two women", {"two ladies"}),
        ("a coat", {"a coat"}),
        ("an overcoat", {"a coat"}),
        ("A navy coat", {"A navy blue coat", "A dark blue coat"}),
        ("a grey waistcoat", {"a gray vest"}),
        ("black vest", {"black vest"}),
        ("leather jackets and tote bags", {"leather jackets and totes"}),
        ("burgundy headscarves", {"maroon head scarves", "dark red head scarves"}),
        ("a cream bag", {"an off-white bag", "an ivory bag"}),
        ("grey-haired", {"gray-haired"}),
        ("multicolored gray sweater", None),
    ],
)
def test_words_become_others_that_mean_the_same(text: str, wanted: set[str] | None) -> None:
    seen = _seen(text)
    if wanted is not None:
        assert seen == wanted
    assert text not in seen or seen == {text}


@pytest.mark.parametrize(
    "text",
    [
        "dress shirt and dress shoes",
        "tie-dye top",
        "tie dye top",
        "bag with tie detail",
        "black sweater vest",
        "scarf with fringe",
        "dark blue denim",
        "tan legs",
        "shaded light tan shoe",
        "Black man bun",
    ],
)
def test_compounds_and_other_senses_stay(text: str) -> None:
    assert _seen(text) == {text}


def test_fringe_of_hair_has_an_american_word_and_trim_has_not() -> None:
    assert _seen("dark bob and blunt fringe") == {"dark bob and blunt bangs"}
    assert _seen("dark bob with a fringe") == {"dark bob with a fringe"}
    assert _seen("long hair, a scarf with fringe") == {"long hair, a scarf with fringe"}


def test_no_exchange_doubles_a_word_or_a_shade() -> None:
    for text in ("dark sunglasses, light tan boots, dark navy coat", "bright cobalt blue skirt", "knit beanie"):
        for seen in _seen(text):
            words = re.findall(r"[a-z]+", seen)
            assert all(first != second for first, second in pairwise(words)), seen
            assert not re.search(r"\b(light|dark|bright) (light|dark|bright)\b", seen)


def test_one_text_keeps_to_one_word() -> None:
    for seen in _seen("grey jumper, black jumper, white jumper"):
        assert len(set(re.findall(r"jumper|sweater|pullover", seen))) == 1


def test_every_exchange_is_of_the_table_and_never_itself() -> None:
    for word, entry in SYNONYMS.items():
        assert word == word.lower()
        assert entry is None or (word not in entry.others and entry.others)


@pytest.mark.parametrize(
    ("noun", "many"),
    [("young woman", "young women"), ("scarf", "scarves"), ("lady", "ladies"), ("clutch", "clutches"), ("tee", "tees")],
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


def test_clauses_part_at_marks_but_not_between_adjectives() -> None:
    assert split_clauses("Grey, black and white top; a long, loose skirt, red shoes. Bag on her arm.") == [
        "Grey, black and white top",
        "a long, loose skirt",
        "red shoes",
        "Bag on her arm",
    ]


@given(st.integers(0, 2**32))
def test_dropping_keeps_whole_clauses_and_a_garment(seed: int) -> None:
    shorter = drop_clauses(LONG, np.random.default_rng(seed))
    kept = split_clauses(shorter)
    of_long = [clause.lower() for clause in split_clauses(LONG)]
    assert [clause.lower() for clause in kept] == [clause for clause in of_long if clause in shorter.lower()]
    assert any(word in GARMENTS for word in re.findall(r"[a-z]+", shorter.lower()))
    assert len(shorter.split()) >= 8
    assert shorter[0].isupper()
    assert shorter.endswith(".")


def test_dropping_drops_and_leaves_short_texts() -> None:
    lengths = {len(split_clauses(drop_clauses(LONG, np.random.default_rng(seed)))) for seed in range(100)}
    assert lengths >= {1, 2, 3, 4, 5}
    assert drop_clauses("red coat, blue jeans, bag", np.random.default_rng(0)) == "red coat, blue jeans, bag"


@given(st.integers(0, 2**32))
def test_reordering_keeps_all_clauses(seed: int) -> None:
    other = reorder_clauses(LONG, np.random.default_rng(seed))
    assert sorted(map(str.lower, split_clauses(other))) == sorted(map(str.lower, split_clauses(LONG)))


def test_key_words_lose_small_words_and_keep_colours_with_their_garments() -> None:
    seen = {to_keywords(LONG, np.random.default_rng(seed)) for seed in range(20)}
    with_commas = (
        "woman, short blonde bob, fringe, oversized grey jumper, white shirt, navy trousers, red trainers, small brown "
        "handbag"
    )
    assert seen == {with_commas, with_commas.replace(",", "")}
    assert to_keywords("she is with him", np.random.default_rng(0)) == "she is with him"


@given(st.integers(0, 2**32))
def test_typing_errors_are_few_and_make_no_other_colour_or_garment(seed: int) -> None:
    text = "short black skirt, short white shirt, pink boots, green coat, brown hair"
    wrong = mistype(text, np.random.default_rng(seed))
    pairs = list(zip(text.split(), wrong.split(), strict=True))
    changed = [(right, typed) for right, typed in pairs if right != typed]
    assert len(changed) <= 2
    for right, typed in changed:
        assert right[0] == typed[0]
        assert len(right.rstrip(",")) >= 4
        assert typed.rstrip(",") not in COLOURS | GARMENTS


def test_a_mistyped_word_is_no_other_known_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_mistyped", lambda _word, _rng: "green")
    assert mistype("grene coat", np.random.default_rng(0)) == "grene coat"


@pytest.mark.parametrize("field", ["synonyms", "typos", "clauses", "keywords", "reorder"])
def test_probabilities_are_checked(field: str) -> None:
    with pytest.raises(ValidationError):
        Phrasing(**{field: 1.5})
    assert Phrasing.model_fields[field].description


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        Phrasing.model_validate({"synonym": 0.5})
