"""How far two encoders rank alike: what an export gate compares instead of raw cosines.

A quantised tower shifts every similarity a little and may still put the same pictures first; raw cosines would raise an
alarm for nothing, or stay silent while the order changes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import DataError
from onlooker.evaluation.metrics import TIE_MARGIN, Metrics, Relevant, retrieval

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest
    from onlooker.evaluation.encoding import Advance, Texts
    from onlooker.runtime.encoder import EncoderLike

TOP = 10
"""The length of the lists that are compared."""


@dataclass(frozen=True)
class Agreement:
    """How ``b`` ranks compared with ``a``, the reference.

    Attributes:
        queries: The number of queries.
        gallery: The number of gallery items.
        top1_same: Fraction (0..1) of queries whose first item under ``b`` is also first, or tied for first, under
            ``a``.
        top10_overlap: Mean fraction (0..1) of the first ten under ``b`` that are among, or tied with, the first ten
            under ``a``; of the whole gallery where it is smaller.
        max_difference: The largest absolute difference of two similarities.
        metrics_a: Metrics of ``a``.
        metrics_b: Metrics of ``b``.
    """

    queries: int
    gallery: int
    top1_same: float
    top10_overlap: float
    max_difference: float
    metrics_a: Metrics
    metrics_b: Metrics

    @property
    def r1_a(self) -> float:
        """Return R@1 of ``a``, 0..1."""
        return self.metrics_a.r1

    @property
    def r1_b(self) -> float:
        """Return R@1 of ``b``, 0..1."""
        return self.metrics_b.r1

    @property
    def r1_drop(self) -> float:
        """Return how much of R@1 is lost from ``a`` to ``b``; negative where ``b`` is better."""
        return self.r1_a - self.r1_b

    @property
    def map_drop(self) -> float:
        """Return how much of mAP is lost from ``a`` to ``b``; negative where ``b`` is better."""
        return self.metrics_a.map - self.metrics_b.map

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the drops as a dictionary for JSON."""
        return asdict(self) | {"r1_drop": self.r1_drop, "map_drop": self.map_drop}


def agreement(a: NDArray[Any], b: NDArray[Any], relevant: Relevant, *, margin: float = TIE_MARGIN) -> Agreement:
    """Compare the rankings of two similarity matrices of the same queries and gallery.

    Args:
        a: (q, g) finite real numbers, the reference.
        b: (q, g) finite real numbers.
        relevant: bool (q, g), or q arrays of indexes of the right items.
        margin: Similarities of ``a`` closer than this are tied; at least 0.

    Raises:
        DataError: If the shapes differ, a similarity is not finite, or no query has a right item.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise DataError(f"rankings of the same queries and gallery are compared, got shapes {a.shape} and {b.shape}")
    metrics_a = retrieval(a, relevant, margin=margin)
    metrics_b = retrieval(b, relevant, margin=margin)
    queries, gallery = a.shape
    top = min(TOP, gallery)
    same = 0
    overlap = 0.0
    difference = 0.0
    for row_a, row_b in zip(a, b, strict=True):
        best = np.argsort(-row_b, kind="stable")[:top]
        last_place = np.partition(row_a, gallery - top)[gallery - top]
        same += bool(row_a[best[0]] >= row_a.max() - margin)
        overlap += np.count_nonzero(row_a[best] >= last_place - margin) / top
        difference = max(difference, float(np.abs(row_a - row_b).max()))
    return Agreement(
        queries=queries,
        gallery=gallery,
        top1_same=same / queries,
        top10_overlap=overlap / queries,
        max_difference=difference,
        metrics_a=metrics_a,
        metrics_b=metrics_b,
    )


def compare_encoders(
    a: EncoderLike,
    b: EncoderLike,
    manifest: Manifest,
    *,
    texts: Texts = "all",
    protocol: str = "auto",
    batch_size: int = 32,
    advance: Advance | None = None,
) -> Agreement:
    """Encode a manifest with two encoders and compare their rankings, text to image.

    Args:
        a: The reference.
        b: The encoder to be judged.
        manifest: The records; take a split of it first.
        texts: Which texts of the records are the queries.
        protocol: ``image``, ``person`` or ``auto``.
        batch_size: Pictures or texts encoded together.
        advance: Called with the number of items done since the last call; each encoder does all of them once.

    Raises:
        DataError: If no picture can be read or no record has such a text.
        ConfigError: If the protocol does not fit the records.
    """
    from onlooker.evaluation.encoding import encode
    from onlooker.evaluation.protocols import choose, labels
    from onlooker.evaluation.protocols import relevant as right_items

    chosen = choose(protocol, manifest.records)
    one = encode(a, manifest, texts=texts, batch_size=batch_size, advance=advance)
    two = encode(b, manifest, texts=texts, batch_size=batch_size, advance=advance)
    label = labels(one.records, chosen)
    right = right_items(label[one.text_records], label[one.picture_records])
    return agreement(one.text_vectors @ one.picture_vectors.T, two.text_vectors @ two.picture_vectors.T, right)
