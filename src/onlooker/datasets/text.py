"""Cleaning of captions: Unicode form, control characters, spaces, empty and doubled texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_SPACES = re.compile(r"\s+")
# Flickr's captions are tokenised ("entry way ."): the space before a mark that closes a word or sentence goes.
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) +(?=[.,;:!?](?:\s|$))")
# RSTPReid joins its sentences ("a blue shirt.His trousers"): a full stop between a small and a capital letter ends one.
_JOINED_SENTENCES = re.compile(r"(?<=[a-z])\.(?=[A-Z][a-z ])")


def clean_text(text: str) -> str:
    """Bring one caption or phrase into its stored form.

    Control and format characters (zero-width marks, byte order marks, soft hyphens), lone surrogates and unassigned
    code points go, the rest becomes Unicode NFC, every run of white space one space, the space before a closing mark
    goes, and joined sentences get one between them. Words, case and punctuation stay. Cleaning twice changes nothing
    more.

    Args:
        text: Any text.

    Returns:
        The cleaned text; empty if nothing was left.
    """
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", "".join(_kept(character) for character in text))
    kept = _SPACES.sub(" ", text).strip()
    kept = _JOINED_SENTENCES.sub(". ", kept)
    return _SPACE_BEFORE_MARK.sub("", kept)


def _kept(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn") else character


def same_text_key(text: str) -> str:
    """Return what two texts share when they say the same: case and closing full stop do not count."""
    return clean_text(text).casefold().rstrip(" .")


@dataclass
class TextCounts:
    """How many texts a reader saw and what cleaning did to them."""

    read: int = 0
    changed: int = 0
    empty: int = 0
    doubled: int = 0


def clean_texts(texts: Iterable[str], counts: TextCounts | None = None) -> list[str]:
    """Clean the texts of one picture, dropping empty ones and later copies of an earlier one; order is kept.

    Args:
        texts: The raw captions or phrases of one picture.
        counts: Added to, if given.

    Returns:
        The cleaned texts.
    """
    counts = counts if counts is not None else TextCounts()
    kept: dict[str, str] = {}
    for text in texts:
        cleaned = clean_text(text)
        counts.read += 1
        counts.changed += cleaned != text
        key = same_text_key(cleaned)
        if not key:
            counts.empty += 1
        elif key in kept:
            counts.doubled += 1
        else:
            kept[key] = cleaned
    return list(kept.values())
