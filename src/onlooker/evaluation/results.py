"""What was found per query: the first pictures with their similarities, as CSV or JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onlooker.errors import ConfigError
from onlooker.evaluation.runner import Evaluation
from onlooker.files import replacing, write_json

SUFFIXES = (".csv", ".json")


@dataclass(frozen=True)
class Hit:
    """One picture that a text found.

    Attributes:
        rank: Its place, from 1.
        image: Its file, relative to the manifest's root.
        record: Its record's id; several records may share a file.
        similarity: The cosine with the text, -1..1.
        right: Whether it is one of the pictures that the text should find.
    """

    rank: int
    image: str
    record: str
    similarity: float
    right: bool


@dataclass(frozen=True)
class QueryResult:
    """The pictures that one text found.

    Attributes:
        query: Its number, from 1, in the order of the manifest.
        text: The text.
        written_for: The id of the record it belongs to.
        first_right_rank: The rank of the best right picture, None where there is none.
        hits: The first pictures, best first.
    """

    query: int
    text: str
    written_for: str
    first_right_rank: int | None
    hits: list[Hit]


def check_path(path: Path) -> None:
    """Raise ConfigError unless ``path`` ends in .csv or .json."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"results are written as .csv or .json, got {path}: give one of these endings")


def query_results(evaluation: Evaluation, top: int = 10) -> Iterator[QueryResult]:
    """Yield the first pictures of every text, in the order of the manifest.

    Args:
        evaluation: One that measured ``text-to-image``.
        top: Pictures per text, at least 1.

    Raises:
        ConfigError: If ``top`` is below 1 or the direction was not measured.
    """
    if top < 1:
        raise ConfigError(f"results need at least 1 picture a query, got {top}")
    ranking = evaluation.rankings.get("text-to-image")
    if ranking is None:
        raise ConfigError(
            "results per query are of text to image, which was not measured: choose that direction or both"
        )
    for query, text in enumerate(evaluation.encoded.texts):
        similarity = ranking.similarity(query)
        right = set(ranking.right[query].tolist())
        hits = []
        for rank, place in enumerate(ranking.best(query, top).tolist(), start=1):
            record = evaluation.picture(place)
            hits.append(Hit(rank, record.file, record.id, round(float(similarity[place]), 6), place in right))
        first = int(ranking.scores.first_rank[query])
        yield QueryResult(query + 1, text, evaluation.text_record(query).id, first or None, hits)


def save_results(evaluation: Evaluation, path: Path, top: int = 10) -> None:
    """Write the first pictures of every text.

    CSV has one row a picture (query, text, written_for, rank, image, record, similarity, right); JSON is a list of
    queries with their hits.

    Args:
        evaluation: One that measured ``text-to-image``.
        path: Ends in .csv or .json.
        top: Pictures per text, at least 1.

    Raises:
        ConfigError: If the ending is another, ``top`` is below 1, or the direction was not measured.
    """
    check_path(path)
    results = query_results(evaluation, top)
    if path.suffix == ".json":
        write_json(path, [asdict(result) for result in results])
        return
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["query", "text", "written_for", "rank", "image", "record", "similarity", "right"])
        for result in results:
            start: list[Any] = [result.query, result.text, result.written_for]
            for hit in result.hits:
                writer.writerow([*start, hit.rank, hit.image, hit.record, f"{hit.similarity:.6f}", int(hit.right)])
