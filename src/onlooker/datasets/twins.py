"""Twins: one person twice, with the colours of two garments exchanged, and a text for each.

They are the hardest negatives there are: the same words, the same shapes and the same colours, bound otherwise.
Contrast between photographs of different people never asks for that, and a model trained on it alone tells twins apart
no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.augment import Augmentation
from onlooker.datasets.crops import CropDataset, Item
from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import PALETTE, RECOLOURED, colour_word, is_plain, large_garments, paint
from onlooker.datasets.regions import SEGMENT_OF
from onlooker.datasets.samples import Augment, Sample
from onlooker.datasets.words import describe_pair, repaint_text
from onlooker.errors import DataError

_ALIKE = (
    {"black", "dark grey", "navy", "dark brown"},
    {"black", "dark red", "dark brown"},
    {"black", "dark green", "dark brown"},
    {"navy", "blue", "purple"},
    {"navy", "dark green", "dark grey"},
    {"blue", "light blue", "teal"},
    {"teal", "green", "dark green"},
    {"green", "dark green", "olive"},
    {"olive", "brown", "dark brown", "beige", "grey"},
    {"red", "dark red", "orange", "pink"},
    {"dark red", "brown", "dark brown", "purple"},
    {"orange", "yellow", "brown", "beige"},
    {"beige", "white", "yellow", "light grey", "brown"},
    {"white", "light grey", "light blue"},
    {"grey", "dark grey", "light grey", "light blue"},
    {"pink", "purple", "beige"},
)
"""Colours that people (and cameras) take for each other; twins never exchange two of one set."""
_TRIES = 20
_LEAST_SHARE = 0.02


@dataclass(frozen=True)
class Twins:
    """Two samples that differ in the colours of two garments alone.

    Attributes:
        first: The one sample, with one text.
        second: The other, with the text in which the colours are exchanged.
        garments: The labels of the two garments.
        colours: Their colours in the first sample; the second has them the other way round.
    """

    first: Sample
    second: Sample
    garments: tuple[str, str]
    colours: tuple[str, str]


def are_alike(one: str, other: str) -> bool:
    """Tell whether two colours of the palette are easily taken for each other."""
    return one == other or any(one in group and other in group for group in _ALIKE)


def could_have_twins(garments: dict[str, list[str]]) -> bool:
    """Tell whether garments with known colours lie in two segments, so that twins may be possible."""
    return len({SEGMENT_OF[name] for name, colours in garments.items() if colours and name in RECOLOURED}) > 1


def make_twins(
    sample: Sample, texts: Sequence[str], rng: np.random.Generator, *, exchange: float = 0.5, written: float = 0.5
) -> Twins | None:
    """Make twins of a sample.

    Args:
        sample: With a mask and garment colours.
        texts: Descriptions of it, to be changed where they name both garments with plain colours.
        rng: Chooses garments, colours and texts.
        exchange: Probability that the first twin is the photograph itself and the second has its own two colours
            exchanged; otherwise (and where its colours are too alike) both are painted in colours of the palette.
        written: Probability of preferring one of ``texts`` to a text made from the garments.

    Returns:
        The twins, not yet augmented; None where there are no two large plain garments of different segments.
    """
    if sample.mask is None:
        return None
    chosen = _two_garments(sample, sample.mask, rng)
    if chosen is None:
        return None
    (one, inside_one), (other, inside_other) = chosen
    own = _own_colours(sample, one, other)
    as_it_is = own is not None and rng.random() < exchange
    colours = own if own is not None and as_it_is else _two_colours(rng)
    names = colour_word(colours[0], rng), colour_word(colours[1], rng)
    first = sample.rgb if as_it_is else paint(paint(sample.rgb, inside_one, colours[0], rng), inside_other, colours[1])
    second = paint(paint(sample.rgb, inside_one, colours[1], rng), inside_other, colours[0])
    pair = None
    if rng.random() < written:
        pair = _written_pair(texts, (one, other), names, rng, keep=as_it_is)
    if pair is None:
        state = int(rng.integers(2**62))
        pair = (
            describe_pair((one, other), names, np.random.default_rng(state)),
            describe_pair((one, other), names[::-1], np.random.default_rng(state)),
        )
    return Twins(
        replace(sample, rgb=first, texts=(pair[0],)),
        replace(sample, rgb=second, texts=(pair[1],)),
        (one, other),
        colours,
    )


def _two_garments(
    sample: Sample, mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[tuple[str, NDArray[np.bool_]], tuple[str, NDArray[np.bool_]]] | None:
    large = large_garments(sample, mask, _LEAST_SHARE)
    found: list[tuple[str, NDArray[np.bool_]]] = []
    for place in rng.permutation(len(large)):
        name = large[int(place)]
        if any(SEGMENT_OF[name] == SEGMENT_OF[earlier] for earlier, _ in found):
            continue
        inside = mask == LABELS.index(name)
        if is_plain(sample.rgb, inside):
            found.append((name, inside))
        if len(found) == 2:
            return found[0], found[1]
    return None


def _own_colours(sample: Sample, one: str, other: str) -> tuple[str, str] | None:
    colours = sample.garments[one][0], sample.garments[other][0]
    if all(colour in PALETTE for colour in colours) and not are_alike(*colours):
        return colours
    return None


def _two_colours(rng: np.random.Generator) -> tuple[str, str]:
    names = [*PALETTE]
    while True:
        one, other = rng.choice(len(names), 2, replace=False)
        if not are_alike(names[one], names[other]):
            return names[one], names[other]


def _written_pair(
    texts: Sequence[str],
    garments: tuple[str, str],
    names: tuple[str, str],
    rng: np.random.Generator,
    *,
    keep: bool,
) -> tuple[str, str] | None:
    """Return a written text for each twin; the first one's stays as it is where ``keep``."""
    for place in rng.permutation(len(texts)):
        text = texts[int(place)]
        pair = [_repainted(text, garments, order) for order in (names, names[::-1])]
        if pair[0] is not None and pair[1] is not None:
            return (text if keep else pair[0]), pair[1]
    return None


def _repainted(text: str, garments: tuple[str, str], names: tuple[str, str]) -> str | None:
    once = repaint_text(text, garments[0], names[0])
    return None if once is None else repaint_text(once, garments[1], names[1])


def for_twins(augmentation: Augmentation) -> Augmentation:
    """Return an augmentation without what would take a garment or its colour from twins."""
    return augmentation.model_copy(update={"recolour": 0.0, "upper": 0.0, "lower": 0.0})


class TwinDataset:
    """Twins of a dataset's records, drawn anew for every number: item ``i`` is a pair of items.

    Args:
        crops: The dataset; must read masks. Its cache is shared.
        augment: Varies both twins in the same way, or None.

    Raises:
        DataError: No record has a mask and two garments with known colours.
    """

    def __init__(self, crops: CropDataset, augment: Augment | None = None) -> None:
        self.crops, self.augment = crops, augment
        records = crops.manifest.records
        self._records = [
            index for index, record in enumerate(records) if record.mask and could_have_twins(record.garments)
        ]
        if not self._records:
            raise DataError(
                f"no record of the manifest of {crops.manifest.dataset} has a mask and two garments with known "
                "colours; set loss.twins = 0 and data.twins_per_batch = 0"
            )

    def pair(self, number: int, person: int) -> tuple[Item, Item]:
        """Return twins; which ones depends on the dataset's seed and epoch and on ``number`` alone.

        Args:
            number: From 0.
            person: Person number of the first twin; the second's is one higher.

        Raises:
            DataError: Many records in a row have no two large plain garments.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.crops.seed, self.crops.epoch, number, 2]))
        for _ in range(_TRIES):
            record = self._records[int(rng.integers(len(self._records)))]
            texts = self.crops.manifest.records[record].texts("all")
            twins = make_twins(self.crops.working(record), texts, rng)
            if twins is not None:
                state = int(rng.integers(2**62))
                first, second = (
                    self._varied(sample, np.random.default_rng(state)) for sample in (twins.first, twins.second)
                )
                return (
                    self.crops.item(first, record, person, rng, twins.garments),
                    self.crops.item(second, record, person + 1, rng, twins.garments),
                )
        raise DataError(
            f"{_TRIES} records in a row have no two large plain garments in their masks; set loss.twins = 0"
        )

    def _varied(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample if self.augment is None else self.augment(sample, rng)


def twins_of(crops: CropDataset, seed: int = 0) -> list[Twins]:
    """Return the twins of every record that can have them, not augmented, always the same ones for a seed.

    Args:
        crops: A dataset that reads masks.
        seed: Any number from 0.

    Raises:
        DataError: No record can have twins.
    """
    found = []
    for index, record in enumerate(crops.manifest.records):
        if record.mask and could_have_twins(record.garments):
            rng = np.random.default_rng(np.random.SeedSequence([seed, index, 3]))
            twins = make_twins(crops.working(index), record.texts("all"), rng)
            if twins is not None:
                found.append(twins)
    if not found:
        raise DataError(
            f"no record of the manifest of {crops.manifest.dataset} has a mask with two large plain garments: "
            "there is nobody to make twins of"
        )
    return found
