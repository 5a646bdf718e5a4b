"""One description in the many ways people type it: other words, typing errors, fewer words, another order.

A training text has one author; the people who search have their own words ("jumper", "sweater"), mistype, and often
write key words only. Each training step reads a text in another wording, and none of them says anything that the first
did not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from onlooker.datasets.synonyms import COLOURS, LONGEST, SHADE_WORDS, SPELLINGS, SYNONYMS, Entry
from onlooker.datasets.words import words_of


class Phrasing(BaseModel):
    """How often a text is worded differently; nothing is changed by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    synonyms: float = Field(
        0.0, ge=0, le=1, description="Share of the words with a synonym that are exchanged (jumper, sweater, pullover)."
    )
    typos: float = Field(0.0, ge=0, le=1, description="Share of the texts that get one or two typing errors.")
    clauses: float = Field(0.0, ge=0, le=1, description="Share of the long texts of which some clauses are left out.")
    keywords: float = Field(0.0, ge=0, le=1, description="Share of the texts that become a list of key words.")
    reorder: float = Field(0.0, ge=0, le=1, description="Share of the texts whose clauses change places.")


GARMENTS = frozenset(
    words_of(
        """
        anorak apron backpack bag bags beanie belt beret blazer blouse bodysuit boots booties bowler brogues cap cape
        cardigan chinos clogs clutch coat creepers culottes dress dungarees espadrilles fedora flats gilet gloves gown
        handbag hat headscarf heels hoodie jacket jeans joggers jumper jumpsuit kimono leggings loafers mules outfit
        overalls overcoat pants parka pinafore playsuit poncho pullover pumps purse raincoat robe romper rucksack
        sandals satchel scarf shawl shirt shoes shorts skirt slacks sneakers socks stockings suit sweater sweatpants
        sweatshirt t-shirt tee tie tights top tote trainers trench trousers tunic turban turtleneck uniform vest
        waistcoat wedges windbreaker
        """
    )
)
"""Words that name something worn or carried, in small letters."""

_LONG = 14
"""Words from which a text counts as long: search phrases are shorter and lose nothing."""
_ENOUGH = 8
"""Words that are left at least: "pale top" alone would be right for too many photographs."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BREAK = re.compile(r"\s*[,;]\s+|(?<=\w)[.!?]\s+")
_UNFINISHED = COLOURS | frozenset(
    words_of("long short loose big small large wide slim thin thick plain bright dark light pale soft very with in")
)
"""Words after which a comma parts two adjectives of one thing, not two clauses."""

_HAIR = frozenset(
    words_of("hair haired hairstyle bob bun topknot ponytail braid braids curls blonde blond brunette updo")
)
_DROPPED = frozenset(
    words_of(
        """
        a an the this that these those some his her hers their its he she they it him them who whose which is are was
        were be being been has have had having wears wear wearing worn dressed holding holds hold carrying carries
        carry with and in on at of over under by to from into onto for as while plus also both against beneath
        underneath above below around across one there seen shown showing looks looking hand hands arm arms handles
        """
    )
)
_PARTING = frozenset(
    words_of("with in and over under wearing wears carrying holding on above below underneath beneath")
)
_VOWELS = frozenset("aeiou")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_CONFUSABLE = COLOURS | GARMENTS | frozenset(SYNONYMS)
"""A mistyped word that reads as one of these would be another word, not an error."""


def _neighbouring_keys() -> dict[str, str]:
    near: dict[str, str] = {}
    for row, letters in enumerate(_ROWS):
        for column, letter in enumerate(letters):
            beside = letters[max(0, column - 1) : column] + letters[column + 1 : column + 2]
            above = _ROWS[row - 1][column : column + 2] if row else ""
            below = _ROWS[row + 1][max(0, column - 1) : column + 1] if row + 1 < len(_ROWS) else ""
            near[letter] = beside + above + below
    return near


_NEAR = _neighbouring_keys()


def vary_text(text: str, rng: np.random.Generator, phrasing: Phrasing) -> str:
    """Word a text differently without changing what it says of the person.

    Args:
        text: A description or search phrase.
        rng: Decides everything; the same state gives the same text.
        phrasing: How often each kind of change is made.

    Returns:
        The text in another wording; never empty unless ``text`` is.
    """
    if phrasing.clauses and rng.random() < phrasing.clauses:
        text = drop_clauses(text, rng)
    if phrasing.reorder and rng.random() < phrasing.reorder:
        text = reorder_clauses(text, rng)
    if phrasing.synonyms:
        text = exchange_synonyms(text, rng, phrasing.synonyms)
    if phrasing.keywords and rng.random() < phrasing.keywords:
        text = to_keywords(text, rng)
    if phrasing.typos and rng.random() < phrasing.typos:
        text = mistype(text, rng)
    return text


def exchange_synonyms(text: str, rng: np.random.Generator, probability: float) -> str:
    """Exchange words for others that mean the same, and British for American spelling or the reverse.

    One text keeps to one word for one thing. Capitals, plurals and "a" or "an" follow; compounds such as "dress shirt"
    or "bow tie" stay, and so does a word whose neighbours give it another sense.

    Args:
        text: Any text.
        rng: Chooses.
        probability: For each word (and for the spelling) that it is exchanged, 0..1.

    Returns:
        The text in other words.
    """
    found = list(_WORD.finditer(text))
    words = [word[0].lower() for word in found]
    chosen: dict[int, float] = {}
    parts: list[str] = []
    end = place = 0
    while place < len(words):
        length, entry = _longest_entry(text, found, words, place)
        if entry is None:
            place += length
            continue
        if entry.group not in chosen:
            chosen[entry.group] = rng.random() / probability
        # One draw tells whether (below 1) and which: the words of a group stand in the same order in every text.
        draw = chosen[entry.group]
        other = entry.others[int(draw * len(entry.others))] if draw < 1 else None
        if other is not None and _fits(words, place, length, entry, other):
            before = text[end : found[place].start()]
            if place and words[place - 1] in ("a", "an") and _is_next(text, found, place - 1):
                before = _article(before, other)
            parts += [before, _written_as(other, found[place][0])]
            end = found[place + length - 1].end()
        place += length
    return _spell("".join((*parts, text[end:])), rng, probability)


def _longest_entry(
    text: str, found: Sequence[re.Match[str]], words: Sequence[str], place: int
) -> tuple[int, Entry | None]:
    """Return how many words to step on, and the entry of the longest run of words that begins here."""
    longest = LONGEST.get(words[place], 0)
    while longest > 0:
        run = " ".join(words[place : place + longest])
        if run in SYNONYMS and all(_is_next(text, found, at) for at in range(place, place + longest - 1)):
            return min(longest, len(words) - place), SYNONYMS[run]
        longest -= 1
    return 1, None


def _is_next(text: str, found: Sequence[re.Match[str]], place: int) -> bool:
    """Whether only a space parts a word from the one after it."""
    return place + 1 < len(found) and text[found[place].end() : found[place + 1].start()] == " "


def _fits(words: Sequence[str], place: int, length: int, entry: Entry, other: str) -> bool:
    before = words[place - 1] if place else ""
    after = words[place + length] if place + length < len(words) else ""
    near = entry.surroundings
    if before in near.not_after or after in near.not_before or (near.only_before and after not in near.only_before):
        return False
    first, last = other.split(" ", 1)[0], other.rsplit(" ", 1)[-1]
    # "dark sunglasses" must not become "dark dark glasses", nor "light tan boots" "light light brown boots".
    if first == before or last == after or (first in SHADE_WORDS and before in SHADE_WORDS):
        return False
    return words[place] != "fringe" or _is_of_hair(words, place)


def _is_of_hair(words: Sequence[str], place: int) -> bool:
    """Whether a fringe is one of hair, told without an article, which "bangs" would not take.

    The last thing told before it decides: in "scarf with fringe" it is trim.
    """
    for distance, word in enumerate(reversed(words[max(0, place - 5) : place])):
        if word in _HAIR or word.endswith("-haired"):
            return True
        if word in GARMENTS or (word in ("a", "an", "the", "her", "his") and distance < 3):
            return False
    return False


def _article(before: str, word: str) -> str:
    bare = before.rstrip()
    wanted = "an" if word[0] in _VOWELS else "a"
    start = len(bare) - (2 if bare[-2:].lower() == "an" else 1)
    return bare[:start] + _written_as(wanted, bare[start]) + before[len(bare) :]


def _written_as(word: str, like: str) -> str:
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() and like != "T-shirt" else word


def _spell(text: str, rng: np.random.Generator, probability: float) -> str:
    if rng.random() >= probability:
        return text
    lowered = text.lower()
    to_american = any(british in lowered for british, _ in SPELLINGS)
    for british, american in SPELLINGS:
        old, new = (british, american) if to_american else (american, british)
        if old in lowered:
            text = text.replace(old, new).replace(old.capitalize(), new.capitalize())
    return text


def split_clauses(text: str) -> list[str]:
    """Split a text at commas, semicolons and ends of sentences, keeping adjectives of one thing together.

    Args:
        text: A description or phrase.

    Returns:
        The clauses without their marks; one for a text without marks.
    """
    pieces = [piece for piece in _BREAK.split(text.strip().rstrip(".;,")) if piece]
    clauses: list[str] = []
    open_end = False
    for piece in pieces:
        # "Grey, black and white top" and "a long, loose skirt" are one thing each.
        if open_end:
            clauses[-1] = f"{clauses[-1]}, {piece}"
        else:
            clauses.append(piece)
        open_end = piece.rsplit(" ", 1)[-1].lower() in _UNFINISHED
    return clauses


def drop_clauses(text: str, rng: np.random.Generator) -> str:
    """Leave out some clauses of a long text, never all that name a garment.

    Args:
        text: A description; one of fewer than 14 words or of one clause stays as it is.
        rng: Chooses how many and which.

    Returns:
        The shorter text.
    """
    clauses = split_clauses(text)
    naming = [place for place, clause in enumerate(clauses) if _names_a_garment(clause)]
    if len(clauses) < 2 or not naming or text.count(" ") + 1 < _LONG:
        return text
    kept = {naming[int(rng.random() * len(naming))]}
    share = rng.random()
    kept.update(place for place in range(len(clauses)) if rng.random() < share)
    for place in range(len(clauses)):
        if sum(clauses[other].count(" ") + 1 for other in kept) >= _ENOUGH:
            break
        kept.add(place)
    if len(kept) == len(clauses):
        return text
    return _joined([clauses[place] for place in sorted(kept)], text)


def reorder_clauses(text: str, rng: np.random.Generator) -> str:
    """Let the clauses of a text change places.

    Args:
        text: A description or phrase; one of a single clause stays as it is.
        rng: Chooses the order.

    Returns:
        The same clauses in another order.
    """
    clauses = split_clauses(text)
    if len(clauses) < 2:
        return text
    clauses = [clause[4:] if clause.startswith("and ") and len(clause) > 4 else clause for clause in clauses]
    # Only the beginning of the text is capital by its place; "Black woman" inside would be, too, and reads no worse.
    clauses[0] = _small_first(clauses[0])
    return _joined([clauses[place] for place in rng.permutation(len(clauses)).tolist()], text)


def _names_a_garment(clause: str) -> bool:
    return any(word[0].lower() in GARMENTS for word in _WORD.finditer(clause))


def _small_first(clause: str) -> str:
    return clause if clause[:2].isupper() else clause[:1].lower() + clause[1:]


def _joined(clauses: Sequence[str], like: str) -> str:
    text = ", ".join(clauses)
    if like[:1].isupper():
        text = text[:1].upper() + text[1:]
    return f"{text}." if like.endswith(".") else text


def to_keywords(text: str, rng: np.random.Generator) -> str:
    """Turn a text into the key words that somebody in a hurry types.

    Articles, verbs, pronouns and small words go. What they parted is parted by commas, or, as the draw falls, by
    nothing at all.

    Args:
        text: A description or phrase.
        rng: Chooses whether there are commas.

    Returns:
        For instance "black leather jacket, white tee, blue jeans"; the text itself if nothing would be left.
    """
    comma = ", " if rng.random() < 0.5 else " "
    parts: list[str] = []
    end = 0
    parted = False
    for word in _WORD.finditer(text):
        lowered = word[0].lower()
        gap = text[end : word.start()]
        end = word.end()
        parted = parted or "," in gap or ";" in gap or ". " in gap
        if lowered in _DROPPED:
            # "Black and white top" stays one thing; "top and skirt" are two.
            parted = parted or (lowered in _PARTING and bool(parts) and parts[-1] not in _UNFINISHED)
            continue
        if parts:
            parts.append(comma if parted else " ")
        parts.append(lowered)
        parted = False
    return "".join(parts) or text


def mistype(text: str, rng: np.random.Generator) -> str:
    """Put one or two typing errors into a text: letters exchanged, left out, doubled, or the key beside.

    First letters stay, as they mostly do, and so do words of fewer than four letters. No error makes a word into
    another one that names a colour or garment.

    Args:
        text: A description or phrase.
        rng: Chooses words, letters and errors.

    Returns:
        The text with its errors; unchanged if it has no word that can be mistyped.
    """
    places = [(word.start(), word.end()) for word in _WORD.finditer(text) if word.end() - word.start() >= 4]
    if not places:
        return text
    for _ in range(1 if rng.random() < 0.7 else 2):
        start, end = places.pop(int(rng.random() * len(places)))
        wrong = _mistyped(text[start:end], rng)
        if wrong.lower() not in _CONFUSABLE:
            grown = len(wrong) - (end - start)
            text = text[:start] + wrong + text[end:]
            places = [(a + grown, b + grown) if a > start else (a, b) for a, b in places]
        if not places:
            break
    return text


def _mistyped(word: str, rng: np.random.Generator) -> str:
    kind = int(rng.random() * 4)
    at = 1 + int(rng.random() * (len(word) - 1))
    letter = word[at]
    if kind == 0:
        at = min(at, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2 or letter.lower() not in _NEAR:
        return word[:at] + letter + word[at:]
    near = _NEAR[letter.lower()]
    return word[:at] + near[int(rng.random() * len(near))] + word[at + 1 :]
