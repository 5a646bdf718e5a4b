"""Batches for training: which pictures go together, and their pixels and tokens as tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from onlooker.datasets.crops import CropDataset, Item
from onlooker.datasets.phrasing import Phrasing, vary_text
from onlooker.datasets.twins import TwinDataset
from onlooker.encoders.dual import DualEncoder, Encoded
from onlooker.runtime.preprocessing import ImageSpec, normalise
from onlooker.runtime.tokenising import TextTokenizer

WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class TokenGroup:
    """Texts of similar length, padded together.

    Attributes:
        input_ids: int64 [m, tokens].
        attention_mask: int64 [m, tokens].
        places: int64 [m], where each text stands in the batch's order.
    """

    input_ids: Tensor
    attention_mask: Tensor
    places: Tensor


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        pixels: Normalised float [n, 3, height, width].
        groups: The m texts in groups of similar length.
        image_persons: int64 [n], equal where pictures show one person.
        text_persons: int64 [m], the person that each text describes.
        records: The n record numbers, for naming a batch in an error.
        twins: int64 [k, 4]: for each pair of twins the rows of its two pictures, then of their two texts.
        twin_garments: Of each pair of twins the labels of the two garments that exchange their colours.
        masked: int64 [s], the pictures that have segments.
        segments: Float [s, segments, rows, columns], how much of each cell each segment covers.
    """

    pixels: Tensor
    groups: tuple[TokenGroup, ...]
    image_persons: Tensor
    text_persons: Tensor
    records: tuple[int, ...]
    twins: Tensor
    twin_garments: tuple[tuple[str, ...], ...]
    masked: Tensor
    segments: Tensor


class TrainingItems:
    """A dataset's items, and after their numbers any number of twins: each element is one item, or two.

    Args:
        crops: The items.
        twins: The twins, or None.
    """

    def __init__(self, crops: CropDataset, twins: TwinDataset | None = None) -> None:
        self.crops, self.twins = crops, twins

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, number: int) -> tuple[Item, ...]:
        if number < len(self.crops):
            return (self.crops[number],)
        assert self.twins is not None
        number -= len(self.crops)
        return self.twins.pair(number, len(self.crops.manifest) + 2 * number)


class EpochSampler(Sampler[list[int]]):
    """Batches of item numbers in an order that depends on the seed and the epoch alone.

    The last, short batch of an epoch is left out.

    Args:
        count: Number of items.
        batch_size: Items in a batch; all items make one batch where there are fewer.
        seed: Any number from 0.
        twins: Pairs of twins added to each batch, by numbers from ``count``.
    """

    def __init__(self, count: int, batch_size: int, seed: int, twins: int = 0) -> None:
        self.count, self.batch_size, self.seed, self.twins = count, min(batch_size, count), seed, twins
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return max(0, self.count // self.batch_size - self.first)

    def start(self, epoch: int, first: int = 0) -> None:
        """Go to an epoch, leaving out its first batches (those done before a resume)."""
        self.epoch, self.first = epoch, first

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch])).permutation(self.count)
        for number in range(self.first, self.count // self.batch_size):
            items = order[number * self.batch_size : (number + 1) * self.batch_size].tolist()
            first = self.count + number * self.twins
            yield [*items, *range(first, first + self.twins)]


class Collate:
    """Join items into a ``Batch``; made so that it can be sent to worker processes.

    Args:
        tokenizer: Of the text tower.
        spec: Of the image tower.
        word_dropout: Probability of leaving out each word.
        groups: How many groups of similar length the texts are split into: padding a short phrase to the longest
            description of the batch would cost several times its own work.
        phrasing: Varies the words of the texts, or None.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        spec: ImageSpec,
        *,
        word_dropout: float = 0.0,
        groups: int = 3,
        phrasing: Phrasing | None = None,
    ) -> None:
        self.tokenizer, self.spec, self.word_dropout, self.groups = tokenizer, spec, word_dropout, groups
        self.phrasing = phrasing
        # What leaves clauses out would take from twins what they differ in.
        whole = {"clauses": 0.0, "keywords": 0.0, "reorder": 0.0}
        self._twin_phrasing = None if phrasing is None else phrasing.model_copy(update=whole)

    def __call__(self, elements: Sequence[tuple[Item, ...]]) -> Batch:
        """Join items and twins; their random numbers come from the items' own seeds, so any worker gives the same."""
        texts: list[str] = []
        text_persons: list[int] = []
        items: list[Item] = []
        twins: list[tuple[int, ...]] = []
        for element in elements:
            alone = len(element) == 1
            if not alone:
                twins.append((len(items), len(items) + 1, len(texts), len(texts) + 1))
            for item in element:
                items.append(item)
                for number, text in enumerate(item["texts"]):
                    texts.append(self._varied(text, item["seed"] + number, alone=alone))
                    text_persons.append(item["person"])
        segments = [(place, item["segments"]) for place, item in enumerate(items) if item["segments"] is not None]
        pixels = normalise(np.stack([item["pixels"] for item in items]), self.spec)
        return Batch(
            pixels=torch.from_numpy(pixels),
            groups=token_groups(self.tokenizer, texts, self.groups),
            image_persons=torch.tensor([item["person"] for item in items]),
            text_persons=torch.tensor(text_persons),
            records=tuple(item["record"] for item in items),
            twins=torch.tensor(twins, dtype=torch.int64).reshape(-1, 4),
            twin_garments=tuple(element[0]["garments"] for element in elements if len(element) > 1),
            masked=torch.tensor([place for place, _ in segments], dtype=torch.int64),
            segments=torch.from_numpy(np.stack([part for _, part in segments])) if segments else torch.zeros(0),
        )

    def _varied(self, text: str, seed: int, *, alone: bool) -> str:
        phrasing = self.phrasing if alone else self._twin_phrasing
        if phrasing is not None:
            text = vary_text(text, np.random.default_rng(seed), phrasing)
        # A twin's text may lose none of its few words.
        return self._thinned(text, seed) if alone else text

    def _thinned(self, text: str, seed: int) -> str:
        if not self.word_dropout:
            return text
        words = WORD.findall(text)
        keep = np.random.default_rng(seed).random(len(words)) >= self.word_dropout
        kept = [word for word, stays in zip(words, keep, strict=True) if stays]
        return " ".join(kept) or text


def token_groups(tokenizer: TextTokenizer, texts: Sequence[str], groups: int) -> tuple[TokenGroup, ...]:
    """Tokenise texts in groups of similar length.

    Args:
        tokenizer: Of the text tower.
        texts: m texts, m >= 1.
        groups: At most so many groups.

    Returns:
        The groups; their ``places`` together are a permutation of 0..m-1.
    """
    order = np.argsort([len(text) for text in texts], kind="stable")
    result = []
    for part in np.array_split(order, min(groups, len(texts))):
        tokens = tokenizer([texts[place] for place in part])
        result.append(
            TokenGroup(
                torch.from_numpy(tokens["input_ids"]),
                torch.from_numpy(tokens["attention_mask"]),
                torch.from_numpy(part),
            )
        )
    return tuple(result)


def encode_groups(model: DualEncoder, groups: Sequence[TokenGroup], device: torch.device) -> Encoded:
    """Encode texts group by group.

    Args:
        model: The dual encoder.
        groups: What ``token_groups`` made of m texts.
        device: Where the model is.

    Returns:
        The m texts in their order.
    """
    encoded = [model.read(group.input_ids.to(device), group.attention_mask.to(device)) for group in groups]
    order = torch.argsort(torch.cat([group.places for group in groups]).to(device))

    def joined(parts: list[Tensor | None]) -> Tensor | None:
        present = [part for part in parts if part is not None]
        return torch.cat(present)[order] if present else None

    return Encoded(
        torch.cat([part.vectors for part in encoded])[order],
        joined([part.blocks for part in encoded]),
        joined([part.lengths for part in encoded]),
    )


def make_loader(dataset: TrainingItems, sampler: EpochSampler, collate: Collate, workers: int) -> DataLoader[Batch]:
    """Make the loader of a training set; with worker processes they stay alive between epochs."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # map-style by its methods; it does not derive from torch's class
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        # A loader draws a seed whenever it starts; from the global generator, a resumed run would get other dropout.
        generator=torch.Generator().manual_seed(sampler.seed),
    )
