from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.datasets.words import describe_garments, describe_pair, mirror_text, repaint_text

WORDS = [
    "left",
    "right",
    "Left",
    "RIGHT",
    "the",
    "walks",
    "open",
    "hand",
    "and",
    "or",
    "behind",
    "her's",
    "in",
    ",",
    ".",
]


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("A bag on her left shoulder.", "A bag on her right shoulder."),
        ("Walking right in a beige coat", "Walking left in a beige coat"),
        ("on the Left, LEFT hand up", "on the Right, RIGHT hand up"),
        ("looks left and right", "looks right and left"),
        ("the woman's left", "the woman's right"),
        ("a left-handed man", "a right-handed man"),
        ("coat left open over a shirt", "coat left open over a shirt"),
        ("shirt left untucked", "shirt left untucked"),
        ("stands right behind her", "stands right behind her"),
        ("walking right behind her", "walking right behind her"),
        ("a bright upright coat", "a bright upright coat"),
        ("", ""),
    ],
)
def test_sides(text: str, mirrored: str) -> None:
    assert mirror_text(text) == mirrored


@given(st.lists(st.sampled_from(WORDS)))
def test_mirroring_twice_gives_the_text_back(words: list[str]) -> None:
    text = " ".join(words)
    assert mirror_text(mirror_text(text)) == text


def test_garments_in_words() -> None:
    garments = {"shoes": ["red"], "coat": ["orange", "black"], "hair": ["black"], "skirt": []}
    rng = np.random.default_rng(0)
    phrases = {describe_garments(garments, rng) for _ in range(30)}
    assert phrases == {"orange coat", "orange coat, red shoes"}
    assert describe_garments(garments, rng, sentence=True) == "A person in an orange coat and red shoes."
    assert describe_garments(garments, rng, first="shoes").startswith("red shoes")
    assert describe_garments({"hair": ["black"], "skirt": []}, rng) == ""


@pytest.mark.parametrize(
    ("text", "garment", "changed"),
    [
        ("a red coat, blue jeans", "coat", "a green coat, blue jeans"),
        ("A dark grey wool coat over jeans", "coat", "A green wool coat over jeans"),
        ("Navy blue trousers, white top", "pants", "Green trousers, white top"),
        ("man in an orange jumper", "sweater", "man in a green jumper"),
        # No plain colour of its own, or not to be told which: the text stays unsaid.
        ("a coat and blue jeans", "coat", None),
        ("red striped coat", "coat", None),
        ("black and white coat", "coat", None),
        ("black-and-white coat", "coat", None),
        ("red bag over a coat", "coat", None),
        ("red coat, blue coat", "coat", None),
        ("red coat", "ring", None),
    ],
)
def test_one_garment_gets_another_colour_in_a_text(text: str, garment: str, changed: str | None) -> None:
    assert repaint_text(text, garment, "green") == changed


def test_a_pair_of_garments_in_words() -> None:
    seen = set()
    for seed in range(60):
        text = describe_pair(("coat", "pants"), ("orange", "red"), np.random.default_rng(seed))
        assert "orange coat" in text
        assert "red pants" in text
        assert "a red pants" not in text
        assert "a orange" not in text
        seen.add(text)
    assert len(seen) > 10
