"""How well a model keeps finding a person when the same description comes in other words.

A file of paraphrases holds, one JSON object a line, a record's ``id``, the ``kind`` of wording, the ``text``, and which
of the record's own texts it is a paraphrase ``of``: its ``phrase`` or its ``caption``. Every paraphrase is paired with
the text it stands for, so the difference is that of the wording alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.bootstrap import LEVEL, Interval
from onlooker.evaluation.encoding import Advance, Encoded
from onlooker.evaluation.metrics import score_vectors
from onlooker.evaluation.protocols import CLUSTERS, NOBODY, Protocol, labels, relevant
from onlooker.files import write_json, write_text

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest, Record
    from onlooker.runtime.encoder import EncoderLike

FORMAT = 1
"""The version of the JSON."""

PLACES = (1, 5, 10)
"""The k of R@k."""

ALL = "all"
"""The name of the row over every kind."""


class Paraphrase(BaseModel):
    """A record's text in other words."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    id: str = Field(min_length=1, description="the record")
    kind: str = Field(min_length=1, description="what is different about the wording")
    text: str = Field(min_length=1, description="the paraphrase")
    of: Literal["phrase", "caption"] = Field(description="which of the record's own texts it stands for")


@dataclass(frozen=True)
class Recall:
    """R@k of the paraphrases beside that of the texts they stand for, fractions 0..1.

    Attributes:
        original: Of the records' own texts.
        paraphrased: Of the paraphrases.
        interval: Of ``paraphrased - original``; None where nothing was drawn.
    """

    original: float
    paraphrased: float
    interval: Interval | None

    @property
    def difference(self) -> float:
        """Return what the other wording gains; below 0 where it loses."""
        return self.paraphrased - self.original


@dataclass(frozen=True)
class KindResult:
    """One kind of paraphrase.

    Attributes:
        kind: Its name; "all" for the paraphrases together.
        texts: Paraphrases that were ranked.
        without_positive: Paraphrases whose picture is not in the gallery, in none of the means.
        recall: By k.
    """

    kind: str
    texts: int
    without_positive: int
    recall: dict[int, Recall]


@dataclass(frozen=True)
class Robustness:
    """What became of every kind.

    Attributes:
        source: The file's name.
        protocol: Which pictures are right.
        gallery: Pictures that were ranked.
        resamples: Draws of the bootstrap, 0 for none.
        seed: Of the draws.
        kinds: In the order in which the file names them, then all together.
    """

    source: str
    protocol: Protocol
    gallery: int
    resamples: int
    seed: int
    kinds: list[KindResult]

    def to_dict(self) -> dict[str, Any]:
        """Return the results as a dictionary for JSON; fractions are 0..1, intervals are [low, high]."""
        return {
            "format": FORMAT,
            "source": self.source,
            "protocol": self.protocol,
            "gallery": self.gallery,
            "bootstrap": (
                {"level": LEVEL, "resamples": self.resamples, "seed": self.seed, "drawn": CLUSTERS[self.protocol]}
                if self.resamples
                else None
            ),
            "kinds": {
                result.kind: {
                    "texts": result.texts,
                    "without_positive": result.without_positive,
                    **{
                        f"r{k}": {
                            "original": recall.original,
                            "paraphrased": recall.paraphrased,
                            "difference": recall.difference,
                            "interval": [recall.interval.low, recall.interval.high] if recall.interval else None,
                        }
                        for k, recall in result.recall.items()
                    },
                }
                for result in self.kinds
            },
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``paraphrases.json`` and ``paraphrases.md`` into a folder, making it if needed; return their paths."""
        paths = [folder / "paraphrases.json", folder / "paraphrases.md"]
        write_json(paths[0], self.to_dict())
        write_text(paths[1], to_markdown(self))
        return paths


def load(path: Path, manifest: Manifest) -> list[Paraphrase]:
    """Read a file of paraphrases and check it against the records that will be measured.

    Args:
        path: JSON Lines, one paraphrase a line; blank lines are passed over.
        manifest: The records; each paraphrase needs one with its id and a text of its sort.

    Returns:
        The paraphrases in the file's order.

    Raises:
        DataError: If the file cannot be read or is empty, or a line is broken, doubled, or names no such record.
    """
    records = {record.id: record for record in manifest.records}
    found: dict[Paraphrase, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read the paraphrases {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text, so it holds no paraphrases") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        item = _parsed(line, f"{path}, line {number}")
        if item in found:
            raise DataError(f"{path}, line {number}: the same as line {found[item]}; leave one of them out")
        if item.kind == ALL:
            raise DataError(f'{path}, line {number}: the kind "{ALL}" is the row over every kind; give it another name')
        record = records.get(item.id)
        if record is None:
            raise DataError(
                f"{path}, line {number}: none of the {len(records)} records measured here has the id {item.id!r}; "
                "the paraphrases belong to another manifest or split"
            )
        if not _originals(record, item):
            raise DataError(f"{path}, line {number}: the record {item.id!r} has no {item.of} to compare with")
        found[item] = number
    if not found:
        raise DataError(f"{path} holds no paraphrase; give one JSON object with id, kind, text and of on each line")
    return list(found)


def steps(paraphrases: Sequence[Paraphrase], manifest: Manifest) -> int:
    """Return how many items ``measure`` will report to ``advance``: the different texts."""
    return len(_texts(paraphrases, {record.id: record for record in manifest.records}))


def measure(
    encoder: EncoderLike,
    encoded: Encoded,
    paraphrases: Sequence[Paraphrase],
    *,
    protocol: Protocol,
    source: str,
    bootstrap: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
    advance: Advance | None = None,
) -> Robustness:
    """Rank the pictures for every paraphrase and for the text it stands for.

    A record with several captions counts with their mean. The interval of the difference draws whole pictures or
    persons with all their pairs.

    Args:
        encoder: What turns texts into vectors, the one that made ``encoded``.
        encoded: The pictures' vectors, from ``evaluate``.
        paraphrases: From ``load``, of the same records.
        protocol: ``image`` or ``person``.
        source: The name of the file, for the report.
        bootstrap: Draws for the 95 % intervals; 0 for none, else at least 2.
        seed: Of the draws.
        batch_size: Texts encoded together.
        advance: Called with the number of texts done.

    Returns:
        R@1, R@5 and R@10 by kind.

    Raises:
        ConfigError: If ``bootstrap`` is 1 or below 0.
        DataError: If no paraphrase's picture is in the gallery.
    """
    if bootstrap < 0 or bootstrap == 1:
        raise ConfigError(f"bootstrap draws must be 0 (no intervals) or at least 2, got {bootstrap}")
    numbers = {record.id: number for number, record in enumerate(encoded.records)}
    records = {record.id: record for record in encoded.records}
    texts = _texts(paraphrases, records)
    vectors = []
    for start in range(0, len(texts), 8 * batch_size):
        batch = list(texts)[start : start + 8 * batch_size]
        vectors.append(np.asarray(encoder.encode_texts(batch, batch_size), dtype=np.float32))
        if advance:
            advance(len(batch))
    # One text may stand for several records, so what is ranked is a text of a record.
    asked = list(
        dict.fromkeys(
            (text, numbers[item.id])
            for item in paraphrases
            for text in (item.text, *_originals(records[item.id], item))
        )
    )
    label = labels(encoded.records, protocol)
    of_record = np.array([number for _, number in asked], dtype=np.int64)
    right = relevant(label[of_record], label[encoded.picture_records])
    queries = np.concatenate(vectors)[[texts[text] for text, _ in asked]]
    scores = score_vectors(queries, encoded.picture_vectors, right)
    places = {pair: place for place, pair in enumerate(asked)}
    hits = np.stack([(scores.first_rank <= k) & scores.scored for k in PLACES], axis=1).astype(np.float64)

    ranked = np.array([scores.scored[places[item.text, numbers[item.id]]] for item in paraphrases])
    if not ranked.any():
        raise DataError(f"none of the {len(ranked)} paraphrases of {source} has its picture in the gallery")
    own = np.array([numbers[item.id] for item in paraphrases], dtype=np.int64)
    clusters = np.where(label[own] == NOBODY, len(label) + own, label[own])
    new = np.stack([hits[places[item.text, numbers[item.id]]] for item in paraphrases])
    old = np.stack(
        [
            hits[[places[text, numbers[item.id]] for text in _originals(records[item.id], item)]].mean(axis=0)
            for item in paraphrases
        ]
    )
    kinds = np.array([item.kind for item in paraphrases])
    results = []
    for kind in (*dict.fromkeys(kinds.tolist()), ALL):
        chosen = np.ones(len(kinds), dtype=bool) if kind == ALL else kinds == kind
        taken = chosen & ranked
        recall = _recall(old[taken], new[taken], clusters[taken], bootstrap, seed) if taken.any() else {}
        results.append(KindResult(kind, int(taken.sum()), int((chosen & ~ranked).sum()), recall))
    return Robustness(source, protocol, scores.gallery, bootstrap, seed, results)


def to_text(robustness: Robustness) -> str:
    """Return the results for a terminal: a line a kind and metric."""
    head = ["paraphrases", "texts", "", "original", "paraphrased", "difference"]
    table = [head]
    for result in robustness.kinds:
        for place, (k, recall) in enumerate(result.recall.items()):
            first = [result.kind, f"{result.texts:,}"] if place == 0 else ["", ""]
            table.append([*first, f"R@{k}", *_cells(recall)])
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([*lines, "", *_notes(robustness)])


def to_markdown(robustness: Robustness) -> str:
    """Return the results as a Markdown page with one table."""
    lines = [
        f"# Paraphrases: {robustness.source}",
        "",
        "| kind | texts | | original | paraphrased | difference |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for result in robustness.kinds:
        kind = result.kind.replace("|", "\\|")
        for k, recall in result.recall.items():
            lines.append(f"| {kind} | {result.texts:,} | R@{k} | " + " | ".join(_cells(recall)) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(robustness))]) + "\n"


def _cells(recall: Recall) -> list[str]:
    difference = f"{100 * recall.difference:+.1f}"
    if recall.interval:
        difference += f" [{100 * recall.interval.low:+.1f}, {100 * recall.interval.high:+.1f}]"
    return [f"{100 * recall.original:.1f} %", f"{100 * recall.paraphrased:.1f} %", difference]


def _notes(robustness: Robustness) -> list[str]:
    lines = [f"Text to image, {robustness.gallery:,} pictures, {robustness.protocol} protocol; each paraphrase beside "]
    lines[0] += "the text of the same record that it stands for; differences in points."
    if robustness.resamples:
        lines.append(
            f"In brackets: {100 * LEVEL:.0f} % paired bootstrap interval, {robustness.resamples:,} draws of "
            f"{CLUSTERS[robustness.protocol]} (seed {robustness.seed})."
        )
    lost = robustness.kinds[-1].without_positive
    if lost:
        lines.append(f"{lost:,} paraphrases were left out: their picture could not be read.")
    return lines


def _recall(
    old: NDArray[np.float64], new: NDArray[np.float64], clusters: NDArray[np.int64], resamples: int, seed: int
) -> dict[int, Recall]:
    members, cluster = np.unique(clusters, return_inverse=True)
    spread: list[Interval | None] = [None] * len(PLACES)
    if resamples and len(members) > 1:
        # Sums and counts a cluster: drawing clusters is then one product for all draws.
        count = np.bincount(cluster, minlength=len(members)).astype(np.float64)
        gain = np.stack([np.bincount(cluster, (new - old)[:, at]) for at in range(len(PLACES))], axis=1)
        random = np.random.default_rng(seed)
        drawn = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
        means = (drawn @ gain) / (drawn @ count)[:, None]
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        spread = [Interval(float(low[at]), float(high[at])) for at in range(len(PLACES))]
    return {k: Recall(float(old[:, at].mean()), float(new[:, at].mean()), spread[at]) for at, k in enumerate(PLACES)}


def _originals(record: Record, item: Paraphrase) -> list[str]:
    return list(record.phrases if item.of == "phrase" else record.captions)


def _texts(paraphrases: Sequence[Paraphrase], records: dict[str, Record]) -> dict[str, int]:
    """The different texts, paraphrases and originals, each with its place."""
    texts = (text for item in paraphrases for text in (item.text, *_originals(records[item.id], item)))
    return {text: place for place, text in enumerate(dict.fromkeys(texts))}


def _parsed(line: str, where: str) -> Paraphrase:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: no valid JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(values, dict):
        raise DataError(f"{where}: a JSON object is wanted, got {type(values).__name__}")
    try:
        return Paraphrase.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: key {key!r}: {first['msg']}") from error
