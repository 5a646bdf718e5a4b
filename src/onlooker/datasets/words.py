"""Words that must change when a picture does: sides in a mirrored picture, colours of a recoloured garment."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text in order; for lists of words that are read more easily as text."""
    return tuple(text.split())


_WORD = re.compile(r"[A-Za-z][A-Za-z']*")
_OTHER_SIDE = {"left": "right", "right": "left"}
_BEFORE_A_SIDE = words_of(
    """
    the his her their its my your our a an to from on at far bottom upper lower top front back extreme face faces
    facing faced walk walks walking walked look looks looking looked turn turns turned turning head heads headed
    heading stride strides striding step steps stepping move moves moving run runs running lean leans leaning point
    points pointing gaze gazes gazing glance glances glancing bend bends bending sideways slightly half
    """
)
_AFTER_A_SIDE = words_of(
    """
    hand hands arm arms leg legs foot feet shoulder shoulders wrist wrists side sides eye eyes ear ears knee knees
    hip hips ankle ankles elbow elbows thigh cheek forearm finger shoe sleeve pocket corner turn handed most
    """
)
# "Coat left open", "right behind her": no side. One set for both words makes mirroring its own inverse.
_NOT_A_SIDE = words_of(
    """
    open unbuttoned untucked unzipped undone unfastened loose bare out over behind before next now away outside
    inside above below under beside against after
    """
)


def mirror_text(text: str) -> str:
    """Swap "left" and "right" where they name a side, as the mirrored picture does.

    "Left hand", "walking right", "on the left" change; "coat left open" and "right behind her" stay. Mirroring twice
    gives the text back.

    Args:
        text: A caption or phrase.

    Returns:
        The text for the mirrored picture.
    """
    words = list(_WORD.finditer(text))
    parts: list[str] = []
    end = 0
    for place, word in enumerate(words):
        if word[0].lower() in _OTHER_SIDE and _names_a_side(words, place):
            parts += [text[end : word.start()], _as_written(_OTHER_SIDE[word[0].lower()], word[0])]
            end = word.end()
    return "".join([*parts, text[end:]])


def _names_a_side(words: Sequence[re.Match[str]], place: int) -> bool:
    def at(offset: int) -> str:
        return words[place + offset][0].lower() if 0 <= place + offset < len(words) else ""

    if at(1) in _NOT_A_SIDE:
        return False
    if at(1) in _AFTER_A_SIDE or at(-1) in _BEFORE_A_SIDE or at(-1).endswith("'s"):
        return True
    # "left and right", "left or right"
    return (at(-1) in ("and", "or") and at(-2) in _OTHER_SIDE) or (at(1) in ("and", "or") and at(2) in _OTHER_SIDE)


def _as_written(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word


COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "black": ("black",),
    "dark grey": ("dark grey", "charcoal"),
    "grey": ("grey", "gray"),
    "light grey": ("light grey", "pale grey"),
    "white": ("white",),
    "navy": ("navy", "dark blue", "navy blue"),
    "blue": ("blue",),
    "light blue": ("light blue", "pale blue"),
    "teal": ("teal", "turquoise"),
    "dark green": ("dark green",),
    "green": ("green",),
    "olive": ("olive", "olive green", "khaki"),
    "yellow": ("yellow", "mustard"),
    "orange": ("orange",),
    "beige": ("beige", "cream", "tan"),
    "brown": ("brown",),
    "dark brown": ("dark brown", "brown"),
    "red": ("red",),
    "dark red": ("dark red", "burgundy", "maroon"),
    "pink": ("pink",),
    "purple": ("purple", "violet"),
}
"""What people call the colours that garments are labelled with."""

_SHADES = words_of(
    """
    dark light pale bright deep faded soft washed dusty pastel hot burnt royal sky powder baby mid medium pure plain
    """
)
_COLOURS = words_of(
    """
    black white grey gray navy blue teal turquoise green olive khaki yellow mustard orange beige cream ivory tan camel
    brown burgundy maroon red pink purple violet lilac lavender rust coral charcoal wine crimson scarlet emerald aqua
    """
)
_COLOUR = rf"(?:(?:{'|'.join(_SHADES)})[ -])*(?:{'|'.join(_COLOURS)})(?:[ -](?:{'|'.join(_COLOURS)}))?"
_PATTERNED = words_of(
    """
    striped stripe checked check checkered plaid tartan floral printed print patterned polka dotted spotted leopard
    camouflage and with over under in on trimmed
    """
)
_MENTIONS: dict[str, str] = {
    "blazer": "blazers?|suit jacket",
    "blouse": "blouses?|shirt|top",
    "bodysuit": "bodysuit",
    "cape": "cape|poncho",
    "cardigan": "cardigans?",
    "coat": "(?:over|trench ?|rain|pea)?coat|parka",
    "dress": "(?:shirt|sun|mini|maxi|midi|shift|slip)? ?dress",
    "hat": "hat|cap|beanie|fedora",
    "hoodie": "hoodie|hooded sweatshirt",
    "jacket": "jacket|blazer|coat",
    "jeans": "jeans|trousers|pants",
    "jumper": "jumper|sweater|pullover",
    "leggings": "leggings|tights|trousers|pants|jeans",
    "pants": "trousers|pants|chinos|slacks|jeans|joggers|leggings",
    "romper": "romper|playsuit|jumpsuit",
    "scarf": "scarf",
    "shirt": "shirt|blouse|top",
    "shorts": "shorts",
    "skirt": "skirt|miniskirt",
    "suit": "suit",
    "sweater": "sweater|jumper|pullover|knit",
    "sweatshirt": "sweatshirt|sweater|hoodie",
    "t-shirt": "t-?shirt|tee|top",
    "top": "top|shirt|blouse|camisole|tank",
    "vest": "vest|waistcoat|gilet",
    "bag": "(?:hand|shoulder )?bag|backpack|rucksack|tote|satchel|clutch|purse",
    "purse": "purse|handbag|clutch|bag",
}
"""How descriptions name the garments that masks are labelled with."""


def repaint_text(text: str, garment: str, colour: str) -> str | None:
    """Give a garment another colour in a text.

    Args:
        text: A caption or phrase.
        garment: A garment label.
        colour: The words for the new colour.

    Returns:
        The changed text; None where the text does not name that garment exactly once with a plain colour before it.
    """
    if garment not in _MENTIONS:
        return None
    found = list(re.finditer(rf"\b(?:{_MENTIONS[garment]})\b", text, re.IGNORECASE))
    if len(found) != 1:
        return None
    before = text[: found[0].start()]
    match = re.search(rf"\b({_COLOUR})((?:[ -][A-Za-z'-]+){{0,3}}[ -]?)$", before, re.IGNORECASE)
    if match is None:
        return None
    between = re.split(r"[ -]+", match[2].strip().lower())
    lead = before[: match.start()].rstrip().lower()
    if any(word in _PATTERNED for word in between) or lead.endswith((" and", "-and", "/", "and-")):
        return None
    new = colour.capitalize() if match[1][0].isupper() else colour
    changed = f"{before[: match.start()]}{new}{match[2]}{text[found[0].start() :]}"
    article = re.search(r"\b(a|an) $", before[: match.start()], re.IGNORECASE)
    if article is not None:
        right = "an" if new[0].lower() in "aeiou" else "a"
        right = right.capitalize() if article[1][0].isupper() else right
        changed = f"{changed[: article.start()]}{right} {changed[match.start() :]}"
    return changed


_TOLD = words_of(
    """
    coat jacket blazer suit cape cardigan vest dress romper sweater sweatshirt hoodie jumper shirt blouse t-shirt
    top bodysuit skirt pants jeans shorts leggings tights stockings boots shoes sneakers heels pumps sandals loafers
    flats hat scarf bag purse
    """
)
"""Garments worth telling, from what is seen first to what is seen last."""

_PLURAL = words_of(
    """
    pants jeans shorts leggings tights stockings boots shoes sneakers heels pumps sandals loafers flats
    """
)


def describe_garments(
    garments: dict[str, list[str]], rng: np.random.Generator, *, first: str | None = None, sentence: bool = False
) -> str:
    """Write a plain text from garments and their leading colours.

    Args:
        garments: Garment to colour names; garments without a colour are left out.
        rng: Chooses words and how many garments are told.
        first: A garment that must be told.
        sentence: A sentence instead of a phrase.

    Returns:
        For instance "burgundy coat, black pants" or "A person in a burgundy coat, black pants and brown boots."; empty
        if there is no garment with a colour.
    """
    told = [garment for garment in _TOLD if garments.get(garment)]
    if first is not None and garments.get(first):
        told = [first, *(garment for garment in told if garment != first)]
    if not told:
        return ""
    count = min(len(told), int(rng.integers(3, 6)) if sentence else int(rng.integers(1, 4)))
    parts = []
    for garment in told[:count]:
        leading = garments[garment][0]
        names = COLOUR_WORDS.get(leading, (leading,))
        part = f"{names[int(rng.integers(len(names)))]} {garment}"
        article = "an" if part[0] in "aeiou" else "a"
        parts.append(part if not sentence or garment in _PLURAL else f"{article} {part}")
    if not sentence:
        return ", ".join(parts)
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"A person in {listed}."


_WEARERS = ("A person", "Woman", "Man", "A woman", "A man", "Somebody", "Someone")


def describe_pair(garments: tuple[str, str], colours: tuple[str, str], rng: np.random.Generator) -> str:
    """Write a text that names two garments with their colours.

    Args:
        garments: Two labels.
        colours: The words for their colours.
        rng: Chooses the form.

    Returns:
        For instance "red coat and black pants", "A person wearing black pants and a red coat."
    """
    parts = [f"{colour} {garment}" for garment, colour in zip(garments, colours, strict=True)]
    named = [
        part if garment in _PLURAL else f"{'an' if part[0] in 'aeiou' else 'a'} {part}"
        for garment, part in zip(garments, parts, strict=True)
    ]
    if rng.random() < 0.5:
        parts, named = parts[::-1], named[::-1]
    form = int(rng.integers(6))
    if form == 0:
        return f"{parts[0]} and {parts[1]}"
    if form == 1:
        return f"{parts[0]}, {parts[1]}"
    if form == 2:
        return f"{parts[0]} with {named[1]}"
    wearer = _WEARERS[int(rng.integers(len(_WEARERS)))]
    if form == 3:
        return f"{wearer} in {named[0]} and {named[1]}."
    if form == 4:
        return f"{wearer} wearing {named[0]} with {named[1]}."
    return f"{wearer.lower()}, {parts[0]}, {parts[1]}"
