"""Cases for queries that are more than one text, made by painting garments of real photographs.

No collection says which photograph is "this one, but in a red jacket". Painting by the garment masks makes such cases
exactly: the same photograph with its jacket painted red is the one right answer, and what tempts is known too: the
photograph itself, its jacket in other colours, and another of its garments painted red. Recoloured cloth keeps folds
and shading, but a painted picture is still the same pose before the same wall, so a figure here says how well a query
is understood rather than how often a person would be found by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.masks import LABELS, read_mask
from onlooker.datasets.recolour import PALETTE, RECOLOURED, is_plain, paint
from onlooker.datasets.samples import Sample, cut, sample_of
from onlooker.datasets.words import COLOUR_WORDS, words_of
from onlooker.errors import PictureError
from onlooker.runtime.pictures import read_picture

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest

COLOURS = words_of("black white blue green yellow orange brown red pink purple beige grey")
"""Colours that are painted: each far from the others, with one name that everybody uses."""
COLOURS_OF_A_CASE = 4
"""Colours that a garment is painted in."""
LEAST_SHARE = 0.03
"""Share of the crop that a garment must cover to be painted."""
LEAST_DIFFERENCE = 30.0
"""Distance in CIELAB that the new colour keeps from the garment's own; below it people would not see a change."""
_PLURAL = frozenset(words_of("pants jeans shorts leggings"))
_CARRIED = frozenset(words_of("bag purse hat scarf"))
_WAYS = ("{preposition} {thing}", "but {preposition} {thing}", "the same person {preposition} {thing}", "{plain}")


@dataclass(frozen=True)
class Painted:
    """One photograph with one garment to ask for in other colours.

    Attributes:
        record: Which record of the manifest it is.
        garment: The garment's label.
        colours: ``COLOURS_OF_A_CASE`` names; each is asked for in turn, and the others tempt.
        wishes: What is asked for in words for each of ``colours``, such as "but in a red jacket".
        things: Colour and garment for each of ``colours``, such as "red jacket".
        rest: A text of the garments that stay as they are; empty where none has a known colour.
        pictures: uint8 (h, w, 3) each: the crop as it is, with the garment in each of ``colours``, and, where there is
            one, with another garment in the first of them.
    """

    record: int
    garment: str
    colours: tuple[str, ...]
    wishes: tuple[str, ...]
    things: tuple[str, ...]
    rest: str
    pictures: tuple[NDArray[np.uint8], ...]

    def without_pictures(self) -> Painted:
        """Return the case without its pixels, once they are encoded."""
        return replace(self, pictures=())


def paint_cases(
    manifest: Manifest, *, seed: int = 0, advance: Callable[[float], None] = lambda steps: None
) -> Iterator[Painted]:
    """Paint one garment of every photograph that has a mask and a plain garment large enough.

    Args:
        manifest: The records; those without a mask are passed over, as are pictures that cannot be read.
        seed: Chooses garments, colours and words, for each record by itself.
        advance: Called with 1 for every record looked at.

    Yields:
        The cases, in the manifest's order.

    Raises:
        DataError: A mask is damaged.
        MissingExtraError: SciPy, which reads the masks, is not installed.
    """
    for number, record in enumerate(manifest.records):
        path = manifest.mask_path(record)
        if path is not None:
            rng = np.random.default_rng([seed, number])
            try:
                rgb = read_picture(manifest.path(record))
            except PictureError:
                rgb = None
            if rgb is not None:
                whole = sample_of(record, rgb, read_mask(path))
                case = _case(number, cut(whole, whole.box), rng)
                if case is not None:
                    yield case
        advance(1)


def _case(number: int, sample: Sample, rng: np.random.Generator) -> Painted | None:
    regions = _plain_regions(sample)
    if not regions:
        return None
    names = sorted(regions)
    garment = names[int(rng.integers(len(names)))]
    inside = regions[garment]
    colours = _other_colours(sample, garment, inside, rng)
    if len(colours) < COLOURS_OF_A_CASE:
        return None
    colours = colours[:COLOURS_OF_A_CASE]
    pictures = [sample.rgb, *(paint(sample.rgb, inside, colour) for colour in colours)]
    elsewhere = [name for name in names if name != garment and colours[0] not in sample.garments.get(name, [])]
    if elsewhere:
        other = elsewhere[int(rng.integers(len(elsewhere)))]
        pictures.append(paint(sample.rgb, regions[other], colours[0]))
    way = _WAYS[int(rng.integers(len(_WAYS)))]
    return Painted(
        record=number,
        garment=garment,
        colours=tuple(colours),
        wishes=tuple(_wish(way, garment, colour) for colour in colours),
        things=tuple(f"{colour} {garment}" for colour in colours),
        rest=_rest(sample.garments, garment),
        pictures=tuple(np.ascontiguousarray(picture) for picture in pictures),
    )


def _plain_regions(sample: Sample) -> dict[str, NDArray[np.bool_]]:
    """Return where each garment is that is large and plain enough to be painted."""
    assert sample.mask is not None
    pixels = np.bincount(sample.mask.ravel(), minlength=len(LABELS))
    regions = {}
    for garment in RECOLOURED:
        if garment in sample.garments and pixels[LABELS.index(garment)] >= LEAST_SHARE * sample.mask.size:
            inside = sample.mask == LABELS.index(garment)
            if is_plain(sample.rgb, inside):
                regions[garment] = inside
    return regions


def _other_colours(sample: Sample, garment: str, inside: NDArray[np.bool_], rng: np.random.Generator) -> list[str]:
    """Return colours of ``COLOURS`` in random order that are clearly not the garment's own."""
    lab = cv2.cvtColor(sample.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    own = np.median(lab[inside], axis=0)
    palette = np.array([[PALETTE[name] for name in COLOURS]], np.float32) / 255
    distances = np.linalg.norm(cv2.cvtColor(palette, cv2.COLOR_RGB2LAB)[0] - own, axis=1)
    far = [
        name
        for name, distance in zip(COLOURS, distances, strict=True)
        if distance >= LEAST_DIFFERENCE and name not in sample.garments[garment]
    ]
    return [far[int(place)] for place in rng.permutation(len(far))]


def _wish(way: str, garment: str, colour: str) -> str:
    plain = f"{colour} {garment}"
    article = "" if garment in _PLURAL else "an " if plain[0] in "aeiou" else "a "
    return way.format(plain=plain, thing=article + plain, preposition="with" if garment in _CARRIED else "in")


def _rest(garments: dict[str, list[str]], garment: str) -> str:
    told = [
        f"{COLOUR_WORDS.get(colours[0], (colours[0],))[0]} {name}"
        for name, colours in garments.items()
        if name != garment and name != "hair" and colours
    ]
    return ", ".join(told[:3])
