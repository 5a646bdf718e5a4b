from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import PALETTE, RECOLOURED, paint, recolour
from onlooker.datasets.samples import Sample
from onlooker.datasets.words import COLOUR_WORDS

COAT = LABELS.index("coat")


def a_sample() -> Sample:
    """A grey coat with folds on a green ground."""
    rgb = np.full((60, 40, 3), (40, 120, 40), dtype=np.uint8)
    folds = (110 + 25 * np.sin(np.arange(40) * np.pi / 4)).astype(np.uint8)
    rgb[10:50, 8:32] = np.repeat(folds[:24, None], 3, axis=1)[None]
    mask = np.zeros((60, 40), np.uint8)
    mask[10:50, 8:32] = COAT
    long_text = "A person with a grey coat and many more words that make this text a whole description."
    return Sample(rgb, (0, 0, 40, 60), ("grey coat", long_text), mask, {"coat": ["grey", "black"], "shoes": ["black"]})


@pytest.mark.parametrize("colour", list(PALETTE))
def test_a_painted_region_has_the_colour_and_keeps_its_folds(colour: str) -> None:
    sample = a_sample()
    assert sample.mask is not None
    painted = paint(sample.rgb, sample.mask == COAT, colour)
    inner = painted[14:46, 12:28].astype(float)
    assert np.abs(np.median(inner, axis=(0, 1)) - PALETTE[colour]).max() < 14
    before = cv2.cvtColor(sample.rgb, cv2.COLOR_RGB2GRAY)[30, 12:28].astype(float)
    after = cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)[30, 12:28].astype(float)
    assert np.corrcoef(before, after)[0, 1] > 0.95
    # Only the soft edge may touch what is around the garment.
    np.testing.assert_array_equal(painted[:8], sample.rgb[:8])
    np.testing.assert_array_equal(painted[:, 36:], sample.rgb[:, 36:])


def test_texts_and_garments_say_what_was_painted() -> None:
    sample = a_sample()
    for seed in range(20):
        painted = recolour(sample, np.random.default_rng(seed))
        (colour,) = painted.garments["coat"]
        assert colour not in ("grey", "black")
        phrase, sentence = painted.texts
        names = COLOUR_WORDS[colour]
        assert any(phrase.startswith(f"{name} coat") for name in names)
        # The long text names the coat with a plain colour, so only that word changes.
        article = "an" if sentence.split()[4][0] in "aeiou" else "a"
        assert sentence.startswith(f"A person with {article} ")
        assert sentence.endswith(" coat and many more words that make this text a whole description.")
        assert any(f"{name} coat" in sentence for name in names)
        unsaid = replace(sample, texts=("a long text of more than a dozen words that does not say what she wears",))
        (told,) = recolour(unsaid, np.random.default_rng(seed)).texts
        assert told.startswith(("A person in a ", "A person in an "))
    assert sample.garments["coat"] == ["grey", "black"]


def test_what_cannot_be_painted_stays() -> None:
    rng = np.random.default_rng(0)
    sample = a_sample()
    without_mask = replace(sample, mask=None)
    assert recolour(without_mask, rng) is without_mask
    colourless = replace(sample, garments={"coat": [], "dress": ["red"]})
    assert recolour(colourless, rng) is colourless
    stripes = sample.rgb.copy()
    stripes[10:50:2] = 255
    stripes[11:50:2] = 0
    striped = replace(sample, rgb=stripes)
    assert recolour(striped, rng) is striped


def test_names_fit_together() -> None:
    assert set(RECOLOURED) <= set(LABELS)
    assert set(PALETTE) <= set(COLOUR_WORDS)
