"""Giving one garment another colour by its mask, with folds and shading kept, and texts that say so.

Photographs of real people hold black and grey far more often than red or green, so a model hears most colour words too
rarely.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.masks import LABELS
from onlooker.datasets.samples import Sample
from onlooker.datasets.words import COLOUR_WORDS, describe_garments, repaint_text, words_of

PALETTE: dict[str, tuple[int, int, int]] = {
    "black": (26, 26, 29),
    "dark grey": (72, 73, 76),
    "grey": (125, 126, 128),
    "light grey": (190, 191, 193),
    "white": (236, 235, 232),
    "navy": (30, 38, 72),
    "blue": (40, 82, 165),
    "light blue": (150, 187, 222),
    "teal": (24, 125, 128),
    "dark green": (28, 70, 45),
    "green": (58, 140, 68),
    "olive": (104, 103, 56),
    "yellow": (228, 190, 62),
    "orange": (222, 118, 40),
    "beige": (208, 188, 156),
    "brown": (112, 74, 46),
    "dark brown": (62, 42, 31),
    "red": (190, 34, 38),
    "dark red": (104, 24, 34),
    "pink": (226, 150, 172),
    "purple": (98, 56, 128),
}
"""sRGB values (0..255) of cloth in even light, by colour name."""

RECOLOURED = words_of(
    """
    blazer blouse bodysuit cape cardigan coat dress hat hoodie jacket jeans jumper leggings pants romper scarf shirt
    shorts skirt suit sweater sweatshirt t-shirt top vest bag purse
    """
)
"""Garments large and plain enough that people name their colour."""

_MIN_SHARE = 0.03
_PHRASE_WORDS = 12
# Standard deviations in 8-bit CIELAB (0..255), chosen by eye over the street photographs.
_MAX_COLOUR_SPREAD = 14.0
_MAX_LIGHTNESS_SPREAD = 45.0
_JITTER = np.array([4.0, 4.0, 4.0], dtype=np.float32)


def recolour(sample: Sample, rng: np.random.Generator) -> Sample:
    """Give one garment another colour and replace the texts by ones written from the garments.

    Where a text names the garment once with a plain colour, that word is changed; descriptions that name garments in
    other words than the masks are replaced: a long one by a sentence, a short one by a phrase.

    Args:
        sample: With a mask and garment colours; without them, or with patterned garments alone, it stays as it is.
        rng: Chooses garment, colour and words.

    Returns:
        The recoloured sample, or the same one.
    """
    if sample.mask is None:
        return sample
    region = _choose_region(sample, sample.mask, rng)
    if region is None:
        return sample
    garment, inside = region
    names = [name for name in PALETTE if name not in sample.garments[garment]]
    colour = names[int(rng.integers(len(names)))]
    garments = {**sample.garments, garment: [colour]}
    word = colour_word(colour, rng)
    texts = tuple(
        repaint_text(text, garment, word)
        or describe_garments(garments, rng, first=garment, sentence=len(text.split()) > _PHRASE_WORDS)
        for text in sample.texts
    )
    return replace(sample, rgb=paint(sample.rgb, inside, colour, rng), garments=garments, texts=texts)


def paint(
    rgb: NDArray[np.uint8], inside: NDArray[np.bool_], colour: str, rng: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """Paint a region in a colour of the palette, in CIELAB: lightness varies around the new as it did around the old.

    Args:
        rgb: uint8 (h, w, 3).
        inside: bool (h, w), the region, with at least one pixel.
        colour: A name in ``PALETTE``.
        rng: Varies the shade a little; None paints the palette's.

    Returns:
        uint8 (h, w, 3).
    """
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    target = _lab_of(colour)
    if rng is not None:
        target = target + rng.uniform(-1, 1, 3).astype(np.float32) * _JITTER
    old = np.median(lab[inside], axis=0)
    # Folds of a black coat are faint and those of a white one deep: the spread follows the lightness, within reason.
    gain = float(np.clip((target[0] + 16) / (old[0] + 16), 0.6, 2.2))
    lightness = np.clip(target[0] + (lab[..., 0] - old[0]) * gain, 0, 100)
    # Cloth in shade is less colourful too.
    fade = np.clip(lightness / max(float(target[0]), 1.0), 0.3, 1.15)[..., None]
    colours = target[1:] * fade + (lab[..., 1:] - old[1:]) * 0.25
    painted = np.concatenate([lightness[..., None], colours], axis=2).astype(np.float32)
    # A soft edge hides that mask and picture differ by a pixel.
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (3, 3), 0)[..., None]
    mixed = cv2.cvtColor(np.ascontiguousarray(lab + (painted - lab) * alpha), cv2.COLOR_LAB2RGB)
    out: NDArray[np.uint8] = np.clip(mixed * 255 + 0.5, 0, 255).astype(np.uint8)
    return out


def _lab_of(colour: str) -> NDArray[np.float32]:
    pixel = np.array([[PALETTE[colour]]], dtype=np.float32) / 255
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)[0, 0], dtype=np.float32)


def colour_word(colour: str, rng: np.random.Generator) -> str:
    """Return one of the words that people use for a colour of the palette."""
    names = COLOUR_WORDS.get(colour, (colour,))
    return names[int(rng.integers(len(names)))]


def _choose_region(
    sample: Sample, mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[str, NDArray[np.bool_]] | None:
    """Return a large plain garment and where it is, or None if there is none."""
    large = large_garments(sample, mask)
    for place in rng.permutation(len(large)):
        inside = mask == LABELS.index(large[int(place)])
        if is_plain(sample.rgb, inside):
            return large[int(place)], inside
    return None


def large_garments(sample: Sample, mask: NDArray[np.uint8], least: float = _MIN_SHARE) -> list[str]:
    """Return the garments with a known colour that can be recoloured and take at least a share ``least`` of a mask."""
    pixels = np.bincount(mask.ravel(), minlength=len(LABELS))
    return [
        name
        for name in sample.garments
        if name in RECOLOURED and sample.garments[name] and pixels[LABELS.index(name)] >= least * mask.size
    ]


def is_plain(rgb: NDArray[np.uint8], inside: NDArray[np.bool_]) -> bool:
    """Tell whether a region, bool (h, w), has one colour: stripes and prints have no colour name, painted or not."""
    lab = cv2.cvtColor(np.ascontiguousarray(rgb[inside][None]), cv2.COLOR_RGB2LAB).astype(np.float32)[0]
    lightness, *colours = lab.std(axis=0)
    return bool(max(colours) <= _MAX_COLOUR_SPREAD and lightness <= _MAX_LIGHTNESS_SPREAD)
