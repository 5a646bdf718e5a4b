"""What a step minimises: the loss of whole vectors, and beside it what keeps colours with their garments.

Each addition has a weight in the recipe; with all weights at 0 the objective is the plain loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from onlooker.datasets.regions import SEGMENT_OF
from onlooker.encoders.config import REGION_SEGMENTS
from onlooker.encoders.dual import Encoded
from onlooker.training.batches import Batch
from onlooker.training.losses import make_loss, matches_of
from onlooker.training.recipes import LossSettings

PARTS_TEMPERATURE = 0.1
PARTS_SMOOTHING = 0.2
"""Many people of a batch wear black trousers: a region alone is a far weaker sign than the whole, so its targets are
soft and its temperature is high."""


@dataclass(frozen=True)
class Teachers:
    """What the teachers say of a batch.

    Attributes:
        similarity: Float [n, m], mean cosine of pictures and texts over the teachers.
        temperature: Their mean temperature.
    """

    similarity: Tensor
    temperature: Tensor


class Objective:
    """The weighted sum of a recipe's losses.

    Args:
        settings: Kinds and weights.
        regions: The regions that the model's vectors have a block for; none without parts.
    """

    def __init__(self, settings: LossSettings, regions: Sequence[str] = ()) -> None:
        self.settings, self.regions = settings, tuple(regions)
        self.whole = make_loss(settings.kind, label_smoothing=settings.label_smoothing)

    def __call__(
        self, images: Encoded, texts: Encoded, batch: Batch, temperature: Tensor, teachers: Teachers | None = None
    ) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            images: Its n pictures.
            texts: Its m texts.
            batch: Which belong together, which are twins, and what the masks say.
            temperature: Of the model.
            teachers: What the recipe's teachers say; None where it has none.
        """
        settings = self.settings
        device = images.vectors.device
        matches = matches_of(batch.image_persons, batch.text_persons).to(device)
        total = self.whole(images.vectors, texts.vectors, matches, temperature)
        if settings.parts:
            total = total + settings.parts * parts_loss(images, texts, matches)
        if settings.twins and len(batch.twins):
            twins = batch.twins.to(device)
            total = total + settings.twins * twins_loss(images.vectors, texts.vectors, twins, temperature.detach())
            if self.regions:
                total = total + settings.twins * twin_parts_loss(
                    images, texts, twins, twin_regions(batch.twin_garments, self.regions).to(device)
                )
        if settings.segmentation and images.segments is not None and len(batch.masked):
            total = total + settings.segmentation * segmentation_loss(
                images.segments[batch.masked.to(device)], batch.segments.to(device)
            )
        if settings.distil and teachers is not None:
            total = total + settings.distil * distillation_loss(images.vectors @ texts.vectors.T, temperature, teachers)
        return total


def parts_loss(images: Encoded, texts: Encoded, matches: Tensor) -> Tensor:
    """Contrast each region's blocks on their own, from the text to the pictures.

    A text counts for a region as much as its gate says that it speaks of it: one that names no shoes need not find any.

    Args:
        images: n pictures with blocks.
        texts: m texts with blocks.
        matches: Bool [n, m].
    """
    assert images.blocks is not None
    assert texts.blocks is not None
    assert texts.lengths is not None
    logits = torch.einsum("mrd,nrd->rmn", texts.blocks, images.blocks) / PARTS_TEMPERATURE
    targets = matches.T.to(logits.dtype)
    shares = targets / targets.sum(dim=1, keepdim=True)
    shares = (1 - PARTS_SMOOTHING) * shares + PARTS_SMOOTHING / logits.shape[2]
    losses = -(shares * logits.log_softmax(dim=2)).sum(dim=2)
    weights = texts.lengths.detach().T
    return (losses * weights).sum() / weights.sum()


def twins_loss(images: Tensor, texts: Tensor, twins: Tensor, temperature: Tensor) -> Tensor:
    """Tell twins apart: each text must choose its picture of two, and each picture its text.

    Args:
        images: Float [n, d], unit vectors.
        texts: Float [m, d], unit vectors.
        twins: int64 [k, 4]: rows of the first and second picture, then of the first and second text.
        temperature: Scalar.
    """
    return _choose_of_two(images[twins[:, :2]] @ texts[twins[:, 2:]].transpose(1, 2) / temperature)


def _choose_of_two(logits: Tensor) -> Tensor:
    """Cross-entropy of [k, 2, 2] logits to the diagonal, by rows and by columns."""
    right = torch.arange(2, device=logits.device).expand(len(logits), 2)
    return 0.5 * (
        functional.cross_entropy(logits.flatten(0, 1), right.flatten())
        + functional.cross_entropy(logits.transpose(1, 2).flatten(0, 1), right.flatten())
    )


def twin_parts_loss(images: Encoded, texts: Encoded, twins: Tensor, regions: Tensor) -> Tensor:
    """Tell twins apart by the block of each of the two garments' regions alone.

    Args:
        images: n pictures with blocks.
        texts: m texts with blocks.
        twins: int64 [k, 4], see ``twins_loss``.
        regions: int64 [k, 2]: the block of each garment, -1 where the model has none for it.
    """
    assert images.blocks is not None
    assert texts.blocks is not None
    pairs, sides = torch.nonzero(regions >= 0, as_tuple=True)
    if not len(pairs):
        return images.blocks.sum() * 0
    rows, blocks = twins[pairs], regions[pairs, sides][:, None]
    seen, said = images.blocks[rows[:, :2], blocks], texts.blocks[rows[:, 2:], blocks]
    return _choose_of_two(seen @ said.transpose(1, 2) / PARTS_TEMPERATURE)


def twin_regions(garments: Sequence[Sequence[str]], regions: Sequence[str]) -> Tensor:
    """Return which block speaks of each garment, int64 [k, 2]; -1 where none does.

    Args:
        garments: k pairs of garment labels.
        regions: The blocks' regions in order.
    """

    def block(garment: str) -> int:
        segment = SEGMENT_OF[garment]
        return next((place for place, region in enumerate(regions) if segment in REGION_SEGMENTS[region]), -1)

    return torch.tensor([[block(garment) for garment in pair] for pair in garments], dtype=torch.int64)


def segmentation_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy of the segmentation to the shares that each segment has of a cell.

    Args:
        logits: Float [k, segments, rows, columns].
        shares: Float of the same shape, adding up to 1 over the segments.
    """
    return -(shares * logits.log_softmax(dim=1)).sum(dim=1).mean()


def distillation_loss(similarity: Tensor, temperature: Tensor, teachers: Teachers) -> Tensor:
    """KL divergence from the teachers' ranking of the batch to the model's, both ways (Hinton et al., 2015).

    Args:
        similarity: Float [n, m], the model's.
        temperature: The model's.
        teachers: Theirs.
    """
    mine, theirs = similarity / temperature, teachers.similarity / teachers.temperature
    return 0.5 * (_divergence(mine, theirs) + _divergence(mine.T, theirs.T))


def _divergence(mine: Tensor, theirs: Tensor) -> Tensor:
    return functional.kl_div(mine.log_softmax(dim=1), theirs.log_softmax(dim=1), log_target=True, reduction="batchmean")
