"""The words that descriptions of people are made of: what a bundle knows how to spell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from onlooker.datasets.manifest import Manifest
from onlooker.datasets.phrasing import GARMENTS
from onlooker.datasets.synonyms import COLOURS, SYNONYMS

LEAST = 2
"""A word that is written once may itself be a typing error."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def vocabulary_of(training: Manifest, known: Callable[[str], bool] = lambda word: False) -> list[str]:
    """Return the words of the training texts and of the tables of garments, colours and synonyms.

    Args:
        training: The training split.
        known: Says of a word that stands in the texts only once whether it is right.

    Returns:
        Words in lower case, the most frequent in the texts first, then by alphabet.
    """
    texts = (text.lower() for record in training.records for text in record.texts("all"))
    counted = Counter(word for text in texts for word in _WORD.findall(text))
    others = (other for entry in SYNONYMS.values() if entry is not None for other in entry.others)
    table = (*GARMENTS, *COLOURS, *SYNONYMS, *others)
    listed = {word for phrase in table for word in _WORD.findall(phrase.lower())}
    kept = {word for word, count in counted.items() if count >= LEAST or known(word)} | listed
    return sorted(kept, key=lambda word: (-counted[word], word))
