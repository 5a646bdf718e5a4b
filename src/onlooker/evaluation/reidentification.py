"""Re-identification: one picture of a person asks, and other cameras' pictures of the same person are to be found.

The protocol of Market-1501 and its successors (Zheng et al., "Scalable Person Re-identification: A Benchmark", 2015):
pictures of the same person from the same camera as the query count neither as right nor as wrong, since they are often
the next frame; a picture of a person without an id (a distractor) is wrong for everybody; junk is left out when the
dataset is read. Where a dataset does not say which pictures ask, all with a person id do, and each is asked for by all
others. Ties are settled against the system, as everywhere here (``onlooker.evaluation.metrics``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onlooker import __version__
from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.bootstrap import Interval, intervals
from onlooker.evaluation.encoding import Advance, Skipped, encode_pictures
from onlooker.evaluation.metrics import TIE_MARGIN, Metrics, QueryScores, score_queries, summarise
from onlooker.evaluation.protocols import labels
from onlooker.evaluation.report import EXCLUDED, PERCENTAGES, RANKS, TIES
from onlooker.files import write_json

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest, Record
    from onlooker.runtime.encoder import EncoderLike

UNKNOWN = -1
"""The number of a camera that nobody knows: it is no other picture's camera."""

RULE = (
    "a picture is right for a query of the same person from another camera; pictures of that person from the query's "
    "own camera count neither as right nor as wrong"
)


@dataclass(frozen=True)
class Side:
    """The pictures that ask, or that are asked for.

    Attributes:
        vectors: float32 (n, d), L2-normalised.
        people: int64 (n,), who it is; -1 for a distractor.
        cameras: int64 (n,), which camera; ``UNKNOWN`` where nobody knows.
        records: int64 (n,), which record it is: nothing finds itself.
    """

    vectors: NDArray[np.float32]
    people: NDArray[np.int64]
    cameras: NDArray[np.int64]
    records: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> Side:
        """Return some of the pictures."""
        return Side(self.vectors[rows], self.people[rows], self.cameras[rows], self.records[rows])


@dataclass(frozen=True)
class Reidentification:
    """What a model finds.

    Attributes:
        created: When, ISO 8601 in UTC.
        model: What the user calls the model.
        model_id: The id that names its weights.
        dataset: The manifest's dataset.
        terms: The conditions under which the data may be used.
        split: Which part was measured.
        people: People who are asked for.
        cameras: Cameras there are.
        skipped: Pictures that could not be read.
        metrics: R@k, mAP and mINP over the queries that have a right picture.
        spread: 95 % intervals, drawing whole people; empty where nothing was drawn.
        resamples: Draws of the bootstrap, 0 for none.
        seed: Of the bootstrap.
    """

    created: str
    model: str
    model_id: str
    dataset: str
    terms: str
    split: str
    people: int
    cameras: int
    skipped: list[Skipped]
    metrics: Metrics
    spread: dict[str, Interval] = field(default_factory=dict)
    resamples: int = 0
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dictionary for JSON; fractions are 0..1, intervals are [low, high]."""
        return {
            "created": self.created,
            "onlooker": __version__,
            "model": {"name": self.model, "id": self.model_id},
            "data": {
                "dataset": self.dataset,
                "terms": self.terms,
                "split": self.split,
                "people": self.people,
                "cameras": self.cameras,
                "pictures_skipped": [asdict(skipped) for skipped in self.skipped],
            },
            "protocol": {"right": RULE, "ties": TIES, "excluded": EXCLUDED},
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "drawn": "persons"} if self.spread else None,
            "reidentification": {
                **self.metrics.to_dict(),
                "intervals": {name: [each.low, each.high] for name, each in self.spread.items()},
            },
        }

    def save(self, folder: Path) -> Path:
        """Write ``reid.json`` into a folder and return its path."""
        write_json(folder / "reid.json", self.to_dict())
        return folder / "reid.json"


def measure(
    encoder: EncoderLike,
    manifest: Manifest,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
    model: str | None = None,
    split: str = "all",
    advance: Advance | None = None,
) -> Reidentification:
    """Measure how well an encoder finds people again.

    Args:
        encoder: What turns pictures into vectors.
        manifest: Records with person ids, and cameras and roles where they are known.
        bootstrap: Draws for the 95 % intervals; 0 for none, else at least 2.
        seed: Of the draws.
        batch_size: Pictures encoded together, at least 1.
        model: What to call the model; its id when None.
        split: What to call the part of the manifest.
        advance: Called with the number of pictures done.

    Raises:
        ConfigError: An argument is out of range, or no record has a person id.
        DataError: No picture can be read, only one side is there, or no query has a right picture.
        OnlookerError: The encoder gives damaged vectors.
    """
    if bootstrap < 0 or bootstrap == 1:
        raise ConfigError(f"bootstrap draws must be 0 (no intervals) or at least 2, got {bootstrap}")
    if batch_size < 1:
        raise ConfigError(f"the batch size must be at least 1, got {batch_size}")
    records = manifest.records
    if not any(record.person_id for record in records):
        raise ConfigError("re-identification needs person ids, and no record of the manifest has one")
    asks, asked = roles(records)
    vectors, kept, skipped = encode_pictures(encoder, manifest, batch_size, advance or (lambda steps: None))
    rows = np.array(kept, dtype=np.int64)
    everything = Side(vectors, labels(records, "person")[rows], cameras_of(records)[rows], rows)
    queries, gallery = everything.take(asks[rows]), everything.take(asked[rows])
    if not len(queries.records) or not len(gallery.records):
        raise DataError("no picture that asks, or none that is asked for, can be read; prepare the manifest again")
    scores = score(queries, gallery)
    spread = intervals(scores, queries.people, resamples=bootstrap, seed=seed) if bootstrap else {}
    return Reidentification(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=model or encoder.bundle_id,
        model_id=encoder.bundle_id,
        dataset=manifest.dataset,
        terms=manifest.terms,
        split=split,
        people=len(np.unique(queries.people)),
        cameras=len(np.unique(everything.cameras[everything.cameras != UNKNOWN])),
        skipped=skipped,
        metrics=summarise(scores),
        spread=spread,
        resamples=bootstrap,
        seed=seed,
    )


def roles(records: list[Record]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which records ask and which are asked for, bool (n,) each.

    Raises:
        DataError: Some records have a role, and those of one role are missing.
    """
    known = np.array([record.person_id is not None for record in records])
    said = [record.role for record in records]
    if not any(said):
        return known, np.ones(len(records), dtype=bool)
    asks = np.array([role == "query" for role in said]) & known
    asked = np.array([role == "gallery" for role in said])
    if not asks.any() or not asked.any():
        missing = "query" if not asks.any() else "gallery"
        raise DataError(f"no record with a person id has the role {missing!r}; measure the split that has both, or all")
    return asks, asked


def cameras_of(records: list[Record]) -> NDArray[np.int64]:
    """Return int64 (n,): a number for each camera, ``UNKNOWN`` where a record has none."""
    numbers: dict[str, int] = {}
    return np.array(
        [UNKNOWN if one.camera is None else numbers.setdefault(one.camera, len(numbers)) for one in records],
        dtype=np.int64,
    )


def score(queries: Side, gallery: Side) -> QueryScores:
    """Rank the gallery for each query by the protocol and score it; see the module.

    Args:
        queries: q pictures, each of somebody with an id.
        gallery: g pictures.

    Returns:
        The scores of the q queries; ``gallery`` counts all g pictures, those that do not count for a query included.
    """
    count = len(queries.records)
    first_rank = np.zeros(count, dtype=np.int64)
    precision, penalty = np.zeros(count), np.zeros(count)
    positives = np.zeros(count, dtype=np.int64)
    for row in range(count):
        person, camera = queries.people[row], queries.cameras[row]
        same = gallery.people == person
        ignored = (gallery.records == queries.records[row]) | (same & (gallery.cameras == camera) & (camera != UNKNOWN))
        right = np.flatnonzero(same[~ignored])
        if not len(right):
            continue
        similarity = gallery.vectors[~ignored] @ queries.vectors[row]
        own = score_queries(similarity[None], [right], margin=TIE_MARGIN)
        first_rank[row], positives[row] = own.first_rank[0], own.positives[0]
        precision[row], penalty[row] = own.average_precision[0], own.inverse_penalty[0]
    return QueryScores(first_rank, precision, penalty, positives, len(gallery.records))


def to_text(found: Reidentification) -> str:
    """Return the figures for a terminal."""
    metrics = found.metrics
    lines = [
        f"{found.model} on {found.dataset}, {found.split}: re-identification",
        f"{metrics.queries:,} queries of {found.people:,} people, {metrics.gallery:,} pictures in the gallery, "
        f"{found.cameras:,} cameras",
    ]
    if metrics.without_positive:
        lines.append(f"{metrics.without_positive:,} queries have no right picture and are in no mean")
    lines.append("")
    values = metrics.to_dict()
    for name, title in {**PERCENTAGES, **RANKS}.items():
        scale, unit = (100, " %") if name in PERCENTAGES else (1, "")
        text = f"{title:12} {scale * values[name]:6.1f}{unit}"
        if name in found.spread:
            text += f"  [{scale * found.spread[name].low:.1f}, {scale * found.spread[name].high:.1f}]"
        lines.append(text)
    if found.spread:
        lines += ["", f"[95 % interval over persons, {found.resamples:,} draws, seed {found.seed}]"]
    return "\n".join(lines)
