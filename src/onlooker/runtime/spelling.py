"""Mending typing errors in a query: "jaket" is read as "jacket", because a text tower knows no "jaket".

A word is left alone where it is among the words that a bundle was trained with (``words.txt``), a whole word of its
tokenizer, or in a list of English words (``english/``, from SCOWL). Any other is compared with the bundle's words by
the optimal string alignment distance, in which two letters exchanged count as one error (Damerau, "A technique for
computer detection and correction of spelling errors", CACM 1964), and read as the nearest of them if that is near
enough. The distances are those of rapidfuzz.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from onlooker.errors import BundleError

SHORTEST = 4
"""Words of fewer letters are left alone: too many are near one another."""
LONG = 6
"""From this many letters on a word may have two errors, if its first letter is right."""
REMEMBERED = 4096
"""Unknown words whose reading is kept, since one query is often asked again."""

ENGLISH = Path(__file__).parent / "english" / "words.txt.gz"

_DOUBLED = re.compile(r"(.)\1")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True)
class Reading:
    """How a text is read.

    Attributes:
        text: The text with its typing errors mended.
        changes: What was read as what, in the order of the text; empty where nothing was mended.
    """

    text: str
    changes: tuple[tuple[str, str], ...] = ()


class Spelling:
    """The words of a bundle, and what other words are read as. Safe to use from several threads at once."""

    def __init__(self, words: Sequence[str], known: Callable[[str], bool] = lambda word: False) -> None:
        """Take the words.

        Args:
            words: In lower case, the most frequent first; of two that are equally near, the earlier is taken.
            known: Says of a word in lower case whether it is right though it is not among ``words``.
        """
        self._places = {word: place for place, word in enumerate(words)}
        self._words = [word for word in self._places if len(word) >= SHORTEST]
        self._known = known
        self._nearest_of = lru_cache(REMEMBERED)(self._nearest)

    @classmethod
    def load(cls, path: Path, known: Callable[[str], bool] = lambda word: False) -> Spelling:
        """Read a word list, one a line, the most frequent first.

        Raises:
            BundleError: The file cannot be read.
        """
        try:
            return cls(path.read_text(encoding="utf-8").split(), known)
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{path} cannot be read; the bundle is incomplete, make it again") from error

    def read(self, text: str) -> Reading:
        """Mend the typing errors of a text.

        Args:
            text: Anything.

        Returns:
            The text, with all but the mended words as they were, and what was mended.
        """
        changes: list[tuple[str, str]] = []

        def mend(found: re.Match[str]) -> str:
            word = found.group()
            nearest = self._nearest_of(word.lower())
            if nearest is None:
                return word
            changes.append((word, nearest))
            return nearest

        mended = _WORD.sub(mend, text)
        return Reading(mended, tuple(changes))

    def _nearest(self, word: str) -> str | None:
        """Return what a word in lower case is read as; None where it stays as it is."""
        if len(word) < SHORTEST or not word.isascii() or word in self._places or self._known(word):
            return None
        if word in english_words():
            return None
        # Not at the top: most queries have no error, and a third of a search is importing.
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        errors = 2 if len(word) >= LONG else 1
        near = process.extract(word, self._words, scorer=OSA.distance, score_cutoff=errors, limit=None)
        likely = [
            (distance, not (_same_letters(word, other) or _same_but_doubled(word, other)), self._places[other], other)
            for other, distance, _ in near
            if other[0] == word[0] or _same_letters(word, other)
        ]
        return min(likely)[-1] if likely else None


def _same_letters(word: str, other: str) -> bool:
    """Say whether letters were only exchanged, the commonest error of fast fingers."""
    return sorted(word) == sorted(other)


def _same_but_doubled(word: str, other: str) -> bool:
    """Say whether one has a letter once where the other has it twice, the commonest error of uncertain spellers."""
    return _DOUBLED.sub(r"\1", word) == _DOUBLED.sub(r"\1", other)


@lru_cache(1)
def english_words() -> frozenset[str]:
    """Return English words of four letters and more in lower case, American and British; read when first needed."""
    return frozenset(gzip.decompress(ENGLISH.read_bytes()).decode().split())
