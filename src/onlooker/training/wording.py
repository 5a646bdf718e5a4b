"""Where the regions' blocks of a text begin to look: at the words for what is worn there.

Left to itself, a region's attention starts at equal shares for all words, and a text says the same of every region;
then the picture's blocks have nothing to bind to, and twins are told apart no better than by chance for hundreds of
steps. A language model knows already what is worn where. One linear layer on its token states reads that off, fitted by
ridge regression on made-up descriptions whose phrases are known; training goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onlooker.datasets.words import words_of
from onlooker.encoders.config import Region
from onlooker.encoders.dual import DualEncoder

WORN: dict[tuple[Region, ...], tuple[str, ...]] = {
    ("head",): words_of("hair hat cap beanie sunglasses glasses bun ponytail fedora"),
    ("upper",): words_of(
        "coat jacket blazer shirt blouse t-shirt top sweater jumper hoodie cardigan vest waistcoat parka sweatshirt "
        "scarf polo tunic"
    ),
    ("lower",): words_of("trousers pants jeans skirt shorts leggings tights stockings chinos"),
    ("upper", "lower"): words_of("dress jumpsuit romper dungarees"),
    ("feet",): words_of("boots shoes sneakers trainers heels sandals loafers pumps flats socks brogues"),
    ("carried",): words_of("bag handbag backpack rucksack purse tote clutch satchel suitcase umbrella"),
}
"""Words for what is worn or carried, by the regions that they speak of."""

_ATTRIBUTES = words_of(
    "black white grey navy blue green olive yellow orange beige brown red burgundy pink purple cream tan teal khaki "
    "dark light pale long short leather denim striped floral knitted plain checked wool baggy skinny"
)
_OPENINGS = (
    "",
    "",
    "Woman in ",
    "Man wearing ",
    "A person with ",
    "Smiling young woman, ",
    "girl in ",
    "Walking man, ",
)
_JOINTS = (", ", " and ", ", ", " with ", " over ")
_TEXTS = 800
_RIDGE = 10.0
SHARPNESS = 6.0
"""Score of a word that surely belongs to a region beside 0 for one that does not: attention at the start."""


def aim_at_words(model: DualEncoder, tokenizer: Path, *, seed: int = 0) -> float:
    """Aim the text's attention of each region at the words that speak of it.

    Args:
        model: With parts; changed in place.
        tokenizer: Its ``tokenizer.json``.
        seed: Of the made-up descriptions.

    Returns:
        The share of words of the made-up descriptions, a fifth of which were not fitted, whose region is found.
    """
    from tokenizers import Tokenizer

    assert model.text_parts is not None
    assert model.config.parts is not None
    regions = model.config.parts.regions
    rng = np.random.default_rng(seed)
    reader = Tokenizer.from_file(str(tokenizer))
    reader.no_padding()
    states, targets = [], []
    tower: Any = model.text_tower
    training = model.training
    model.eval()
    for _ in range(_TEXTS):
        text, spans = _description(rng)
        encoding = reader.encode(text)
        ids = torch.tensor([encoding.ids[: model.config.text.max_tokens]])
        with torch.inference_mode():
            states.append(tower.layers(ids, torch.ones_like(ids), model.text_parts.layer)[0][0].double())
        targets.append(_targets(encoding.offsets[: ids.shape[1]], spans, regions))
    model.train(training)
    fitted = _TEXTS * 4 // 5
    inputs, wanted = torch.cat(states[:fitted]), torch.cat(targets[:fitted])
    mean, share = inputs.mean(dim=0), wanted.mean(dim=0)
    centred = inputs - mean
    gram = centred.T @ centred + _RIDGE * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, centred.T @ (wanted - share))
    with torch.no_grad():
        model.text_parts.scores.weight.copy_(SHARPNESS * weights.T)
        # A word's share counts beside those of other words of its text alone, so a constant changes nothing.
        model.text_parts.scores.bias.zero_()
    unseen, right = torch.cat(states[fitted:]), torch.cat(targets[fitted:])
    named = right.sum(dim=1) == 1
    chosen = ((unseen - mean) @ weights + share)[named].argmax(dim=1)
    return float((chosen == right[named].argmax(dim=1)).double().mean())


def _description(rng: np.random.Generator) -> tuple[str, list[tuple[int, int, tuple[Region, ...]]]]:
    """Return a description and its phrases as (start, end, regions)."""
    kinds = [*WORN]
    text = _OPENINGS[int(rng.integers(len(_OPENINGS)))]
    spans: list[tuple[int, int, tuple[Region, ...]]] = []
    for number, kind in enumerate(rng.permutation(len(kinds))[: int(rng.integers(2, 6))]):
        regions = kinds[int(kind)]
        attributes = rng.choice(_ATTRIBUTES, size=int(rng.integers(1, 3)), replace=False)
        phrase = " ".join([*attributes, WORN[regions][int(rng.integers(len(WORN[regions])))]])
        text += _JOINTS[int(rng.integers(len(_JOINTS)))] if number else ""
        if rng.random() < 0.3:
            text += "a "
        spans.append((len(text), len(text) + len(phrase), regions))
        text += phrase
    return text, spans


def _targets(
    offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int, tuple[Region, ...]]], regions: Sequence[Region]
) -> Tensor:
    """Return 1 for each token (row) and region (column) that its phrase speaks of."""
    wanted = torch.zeros(len(offsets), len(regions), dtype=torch.float64)
    for row, (start, end) in enumerate(offsets):
        for first, last, of in spans:
            if first <= start < end <= last:
                for region in of:
                    if region in regions:
                        wanted[row, regions.index(region)] = 1.0
    return wanted
