"""What an evaluation found, as JSON and as Markdown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from onlooker.evaluation.bootstrap import LEVEL, Interval
from onlooker.evaluation.encoding import Skipped
from onlooker.evaluation.metrics import TIE_MARGIN, Metrics
from onlooker.evaluation.protocols import CLUSTERS, RULES, Protocol
from onlooker.files import write_json, write_text

FORMAT = 1
"""The version of the JSON."""

Direction = Literal["text-to-image", "image-to-text"]
"""Which side asks."""

DIRECTIONS: tuple[Direction, ...] = ("text-to-image", "image-to-text")

TIES = (
    f"against the system: a wrong item comes before a right one that is no more than {TIE_MARGIN:g} above it; the "
    "order among right items changes nothing"
)
EXCLUDED = "queries without a right item are left out of the means and counted"

PERCENTAGES = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "map": "mAP", "minp": "mINP"}
PERCENT = f"{100 * LEVEL:.0f}"
RANKS = {"median_rank": "median rank", "mean_rank": "mean rank"}

SKIPPED_SHOWN = 20
"""Unreadable pictures named in Markdown; the JSON names all."""


@dataclass(frozen=True)
class Result:
    """One direction: the metrics, and the interval of each by its name (none where nothing was drawn)."""

    metrics: Metrics
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What was measured, how, and what came out.

    Attributes:
        created: When, ISO 8601 in UTC.
        version: Of Onlooker.
        model: What the user calls the model.
        model_id: The id that names its weights.
        dimension: Of its vectors.
        dataset: The manifest's dataset.
        terms: The conditions under which the data may be used.
        split: The splits the records belong to, joined by "+".
        texts_kind: captions, phrases or all.
        limit: How many records were asked for at most, or None.
        records: Records measured.
        pictures: Pictures read.
        texts: Texts encoded.
        skipped: Pictures that could not be read.
        protocol: The protocol.
        resamples: Draws of the bootstrap, 0 for none.
        seed: Of the bootstrap.
        results: By direction.
    """

    created: str
    version: str
    model: str
    model_id: str
    dimension: int
    dataset: str
    terms: str
    split: str
    texts_kind: str
    limit: int | None
    records: int
    pictures: int
    texts: int
    skipped: list[Skipped]
    protocol: Protocol
    resamples: int
    seed: int
    results: dict[Direction, Result]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary for JSON; fractions are 0..1, intervals are [low, high]."""
        bootstrap: dict[str, Any] | None = None
        if self.resamples:
            bootstrap = {
                "level": LEVEL,
                "resamples": self.resamples,
                "seed": self.seed,
                "drawn": CLUSTERS[self.protocol],
            }
        return {
            "format": FORMAT,
            "created": self.created,
            "onlooker": self.version,
            "model": {"name": self.model, "id": self.model_id, "dimension": self.dimension},
            "data": {
                "dataset": self.dataset,
                "terms": self.terms,
                "split": self.split,
                "texts": self.texts_kind,
                "limit": self.limit,
                "records": self.records,
                "pictures_read": self.pictures,
                "texts_encoded": self.texts,
                "pictures_skipped": [asdict(skipped) for skipped in self.skipped],
            },
            "protocol": {
                "name": self.protocol,
                "right": RULES[self.protocol],
                "ties": TIES,
                "excluded": EXCLUDED,
                "bootstrap": bootstrap,
            },
            "results": {
                direction: {
                    **result.metrics.to_dict(),
                    "intervals": {name: [part.low, part.high] for name, part in result.intervals.items()},
                }
                for direction, result in self.results.items()
            },
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``report.json`` and ``report.md`` into a folder, making it if needed; return their paths."""
        paths = [folder / "report.json", folder / "report.md"]
        write_json(paths[0], self.to_dict())
        write_text(paths[1], to_markdown(self))
        return paths


def headline(report: Report) -> str:
    """Return one line: which model on which data."""
    cut = f", first {report.limit} records" if report.limit else ""
    return (
        f"{report.model} on {report.dataset} ({report.split}{cut}): {report.pictures:,} pictures, "
        f"{report.texts:,} {report.texts_kind if report.texts_kind != 'all' else 'texts'}, {report.protocol} protocol"
    )


def rows(report: Report) -> list[list[str]]:
    """Return the table as rows of cells: a head row, then one row a metric with value and interval per direction."""
    table = [["", *(direction.replace("-", " ") for direction in report.results)]]
    for name, label in PERCENTAGES.items():
        table.append([label, *(" ".join(percentage(result, name)).rstrip() for result in report.results.values())])
    for name, label in RANKS.items():
        table.append([label, *(" ".join(plain(result, name)).rstrip() for result in report.results.values())])
    counts = {"queries": "queries", "without_positive": "without a right item", "gallery": "gallery"}
    for name, label in counts.items():
        table.append([label, *(f"{getattr(result.metrics, name):,}" for result in report.results.values())])
    return table


def notes(report: Report) -> list[str]:
    """Return how the numbers came about, a sentence each."""
    lines = [f"Protocol `{report.protocol}`: {RULES[report.protocol]}.", f"Ties: {TIES}.", f"{EXCLUDED.capitalize()}."]
    if report.resamples:
        lines.append(
            f"In brackets: {PERCENT} % bootstrap interval, {report.resamples:,} draws of {CLUSTERS[report.protocol]} "
            f"with all their queries (seed {report.seed}); the gallery stays as it is."
        )
    if report.limit:
        lines.append(
            f"Only the first {report.limit:,} records were measured: a smaller gallery is easier, so compare with "
            "nothing else."
        )
    if report.skipped:
        lines.append(f"{len(report.skipped):,} of {report.records:,} pictures could not be read and are in no gallery.")
    return lines


def to_text(report: Report) -> str:
    """Return the report for a terminal: headline, aligned table, what was skipped."""
    table = rows(report)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [headline(report), ""]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    if report.resamples:
        lines += [
            "",
            f"[{PERCENT} % interval over {CLUSTERS[report.protocol]}, {report.resamples:,} draws, seed {report.seed}]",
        ]
    return "\n".join(lines)


def to_markdown(report: Report) -> str:
    """Return the report as a Markdown page with one table."""
    head, *body = rows(report)
    lines = [f"# {report.model} on {report.dataset}, {report.split}", "", headline(report) + ".", ""]
    lines += [_markdown_row(head), _markdown_row(["---", *("---:" for _ in head[1:])])]
    lines += [_markdown_row(row) for row in body]
    lines += ["", *(f"- {note}" for note in notes(report))]
    lines += [
        f"- Model id `{report.model_id}`, {report.dimension} dimensions; Onlooker {report.version}; {report.created}.",
        f"- Data: {report.dataset}. Terms: {report.terms}",
    ]
    if report.skipped:
        shown = report.skipped[:SKIPPED_SHOWN]
        lines += ["", "Pictures that could not be read:", "", *(f"- `{item.id}`: {item.reason}" for item in shown)]
        if len(report.skipped) > len(shown):
            lines.append(f"- and {len(report.skipped) - len(shown):,} more (all are in report.json)")
    return "\n".join(lines) + "\n"


def percentage(result: Result, name: str) -> tuple[str, str]:
    """Return a fraction and its interval as per cent, for reading; the interval is empty where there is none."""
    return _value_and_interval(result, name, 100.0, " %")


def plain(result: Result, name: str) -> tuple[str, str]:
    """Return a rank and its interval, for reading; the interval is empty where there is none."""
    return _value_and_interval(result, name, 1.0, "")


def _value_and_interval(result: Result, name: str, factor: float, unit: str) -> tuple[str, str]:
    value = f"{getattr(result.metrics, name) * factor:,.1f}{unit}"
    if name not in result.intervals:
        return value, ""
    interval = result.intervals[name]
    return value, f"[{interval.low * factor:,.1f}, {interval.high * factor:,.1f}]"


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
