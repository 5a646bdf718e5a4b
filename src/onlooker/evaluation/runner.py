"""Encode a manifest, rank it both ways, and say how sure the numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker import __version__
from onlooker.errors import ConfigError
from onlooker.evaluation.bootstrap import intervals
from onlooker.evaluation.encoding import Advance, Encoded, Texts, encode
from onlooker.evaluation.metrics import TIE_MARGIN, QueryScores, best_matches, score_vectors, summarise
from onlooker.evaluation.protocols import NOBODY, choose, labels, relevant
from onlooker.evaluation.report import DIRECTIONS, Direction, Report, Result

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest, Record
    from onlooker.runtime.encoder import EncoderLike


@dataclass(frozen=True)
class Ranking:
    """One direction of an evaluation, query by query.

    Attributes:
        queries: float32 (q, d), the vectors that ask.
        gallery: float32 (g, d), the vectors that are ranked.
        right: The right gallery indexes of each query.
        scores: The scores of each query.
    """

    queries: NDArray[np.float32]
    gallery: NDArray[np.float32]
    right: list[NDArray[np.int64]]
    scores: QueryScores

    def similarity(self, query: int) -> NDArray[np.float32]:
        """Return float32 (g,): the similarity of one query to every gallery item."""
        similarity: NDArray[np.float32] = self.gallery @ self.queries[query]
        return similarity

    def best(self, query: int, top: int) -> NDArray[np.int64]:
        """Return the gallery indexes of the first ``top`` matches of a query, ties settled as in the ranks."""
        return best_matches(self.similarity(query), self.right[query], top, margin=TIE_MARGIN)


@dataclass(frozen=True)
class Evaluation:
    """A report and everything it was made from.

    Attributes:
        report: The numbers.
        manifest: The records that were measured.
        encoded: Their vectors.
        rankings: The directions that were asked for.
    """

    report: Report
    manifest: Manifest
    encoded: Encoded
    rankings: dict[Direction, Ranking]

    def picture(self, place: int) -> Record:
        """Return the record of the picture at a place in the gallery of ``text-to-image``."""
        return self.encoded.records[int(self.encoded.picture_records[place])]

    def text_record(self, place: int) -> Record:
        """Return the record that a text was written for."""
        return self.encoded.records[int(self.encoded.text_records[place])]


def evaluate(
    encoder: EncoderLike,
    manifest: Manifest,
    *,
    protocol: str = "auto",
    texts: Texts = "captions",
    directions: Sequence[Direction] = DIRECTIONS,
    bootstrap: int = 1000,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int = 32,
    model: str | None = None,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how well an encoder finds the pictures of a manifest by their texts, and the texts by the pictures.

    Args:
        encoder: What turns pictures and texts into vectors.
        manifest: The records; take a split of it first (``manifest.split("val")``).
        protocol: ``image``, ``person``, or ``auto`` to let the records decide.
        texts: ``captions``, ``phrases`` or ``all``.
        directions: ``text-to-image``, ``image-to-text`` or both.
        bootstrap: Draws for the 95 % intervals; 0 for none, else at least 2.
        seed: Of the draws.
        limit: Take the first records only, at least 1; None for all.
        batch_size: Pictures or texts encoded together.
        model: What to call the model; its id when None.
        advance: Called with the number of items done; ``encoding.steps`` says how many there will be.

    Returns:
        The report with its vectors and rankings.

    Raises:
        ConfigError: If an argument is out of range or the protocol does not fit the records.
        DataError: If there is nothing to measure: no such text, no readable picture, no query with a right item.
        OnlookerError: If the encoder gives damaged vectors.
    """
    unknown = [direction for direction in directions if direction not in DIRECTIONS]
    if unknown or not directions:
        raise ConfigError(f"choose directions among {', '.join(DIRECTIONS)}, got {', '.join(unknown) or 'none'}")
    if bootstrap < 0 or bootstrap == 1:
        raise ConfigError(f"bootstrap draws must be 0 (no intervals) or at least 2, got {bootstrap}")
    if seed < 0:
        raise ConfigError(f"the seed must be at least 0, got {seed}")
    if limit is not None:
        if limit < 1:
            raise ConfigError(f"a limit must be at least 1 record, got {limit}")
        manifest = replace(manifest, records=manifest.records[:limit])
    chosen = choose(protocol, manifest.records)
    encoded = encode(encoder, manifest, texts=texts, batch_size=batch_size, advance=advance)
    label = labels(encoded.records, chosen)
    sides = {
        "text-to-image": (encoded.text_vectors, encoded.text_records, encoded.picture_vectors, encoded.picture_records),
        "image-to-text": (encoded.picture_vectors, encoded.picture_records, encoded.text_vectors, encoded.text_records),
    }
    rankings: dict[Direction, Ranking] = {}
    results: dict[Direction, Result] = {}
    for direction in directions:
        queries, query_records, gallery, gallery_records = sides[direction]
        right = relevant(label[query_records], label[gallery_records])
        scores = score_vectors(queries, gallery, right)
        rankings[direction] = Ranking(queries, gallery, right, scores)
        spread = {}
        if bootstrap:
            spread = intervals(scores, _clusters(label, query_records), resamples=bootstrap, seed=seed)
        results[direction] = Result(summarise(scores), spread)
    report = Report(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        model=model or encoder.bundle_id,
        model_id=encoder.bundle_id,
        dimension=encoder.dimension,
        dataset=manifest.dataset,
        terms=manifest.terms,
        split=split_name(manifest.records),
        texts_kind=texts,
        limit=limit,
        records=len(manifest),
        pictures=len(encoded.picture_records),
        texts=len(encoded.texts),
        skipped=encoded.skipped,
        protocol=chosen,
        resamples=bootstrap,
        seed=seed,
        results=results,
    )
    return Evaluation(report, manifest, encoded, rankings)


def split_name(records: Sequence[Record]) -> str:
    """Return the splits that records belong to, joined by "+"; "no split" for those without."""
    order = ("train", "val", "test", None)
    found = {record.split for record in records}
    return "+".join(name or "no split" for name in order if name in found)


def _clusters(label: NDArray[np.int64], records: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cluster of each query: its picture or its person; a record that is nobody is one of its own."""
    clusters = label[records]
    return np.where(clusters == NOBODY, len(label) + records, clusters)
