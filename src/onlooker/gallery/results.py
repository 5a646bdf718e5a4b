"""Matches written down: the JSON of an answer, CSV, and an aligned table of plain text."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from onlooker.files import replacing
from onlooker.gallery.records import StoredSighting
from onlooker.gallery.search import Match, mended_of, nobody_of

CSV_COLUMNS = (
    *("query", "rank", "similarity", "image", "confidence", "sighting", "camera", "source", "time", "time_s"),
    *("x", "y", "width", "height"),
)
"""The columns of the CSV file; ``image`` is the file name of ``source``."""

DIGITS = 6
"""Decimals of similarities and confidences; a float16 vector carries no more than four."""

RIGHT_ALIGNED = frozenset({"#", "similarity", "confidence", "sighting", "at"})
"""Columns of the table for people whose cells end at the right."""

Answer = tuple[str, Sequence[Match]]
"""A query with its matches."""


def answer_of(query: str, matches: Sequence[Match]) -> dict[str, Any]:
    """Return the answer to one query as it stands in JSON.

    Args:
        query: The text that was searched for.
        matches: What ``search`` found.

    Returns:
        ``query``; ``mended``, for each word that was read as another ``typed`` and ``read``; ``nobody`` with
        ``probability`` and ``threshold`` (0 to 1, None without a calibration) and ``verdict`` (true where nobody fits,
        as far as can be told); and ``matches``, each with ``rank``, ``similarity``, ``confidence`` (0 to 1, or None),
        ``sighting``, ``camera``, ``source``, ``time`` (ISO 8601 in UTC, or None), ``time_s`` (seconds from the start
        of a video, or None) and ``box`` (x, y, width, height in pixels).
    """
    nobody = nobody_of(matches)
    return {
        "query": query,
        "mended": [{"typed": typed, "read": read} for typed, read in mended_of(matches)],
        "nobody": {
            "probability": _rounded(nobody.probability),
            "threshold": _rounded(nobody.threshold),
            "verdict": nobody.verdict,
        },
        "matches": [match_of(match) for match in matches],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def match_of(match: Match) -> dict[str, Any]:
    """Return one match as it stands in JSON; see ``answer_of``."""
    return {
        "rank": match.rank,
        "similarity": round(match.similarity, DIGITS),
        "confidence": _rounded(match.confidence),
        **sighting_of(match.sighting),
    }


def sighting_of(sighting: StoredSighting) -> dict[str, Any]:
    """Return one sighting as it stands in JSON; see ``answer_of``."""
    return {
        "sighting": sighting.id,
        "camera": sighting.camera,
        "source": sighting.source,
        "time": None if sighting.time is None else sighting.time.isoformat(),
        "time_s": sighting.time_s,
        "box": list(sighting.box),
    }


def to_json(query: str, matches: Sequence[Match]) -> str:
    """Return the answer to one query as indented JSON."""
    return json.dumps(answer_of(query, matches), indent=2, ensure_ascii=False, allow_nan=False)


def to_json_line(query: str, matches: Sequence[Match]) -> str:
    """Return the answer to one query as one line of JSON Lines."""
    return json.dumps(answer_of(query, matches), ensure_ascii=False, allow_nan=False)


def write_csv(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers as CSV (UTF-8, one row a match, ``CSV_COLUMNS`` first); a query without a match has no row.

    Args:
        path: The file; replaced as a whole.
        answers: Queries with their matches.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, CSV_COLUMNS)
        writer.writeheader()
        for query, matches in answers:
            for match in matches:
                row = match_of(match)
                row |= zip(("x", "y", "width", "height"), row.pop("box"), strict=True)
                row |= {"query": query, "image": file_name(match.sighting.source)}
                writer.writerow(row)


def file_name(source: str) -> str:
    """Return what a source is called without its folders."""
    return source.rstrip("/").rsplit("/", 1)[-1]


def local_time(time: datetime | None) -> str:
    """Return a time for people, to the second, in this machine's zone; empty where it is not known."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def percent(probability: float) -> str:
    """Return a probability for people; only what cannot be is 0 %, and nothing is 100 %."""
    return "<1%" if probability < 0.01 else ">99%" if probability > 0.99 else f"{probability:.0%}"


def clock(time_s: float | None) -> str:
    """Return seconds from the start of a video as h:mm:ss.t or m:ss.t; empty for a photo."""
    if time_s is None:
        return ""
    tenths = round(time_s * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def table_of(matches: Sequence[Match]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of a table for people; columns in which nothing is known are left out.

    Returns:
        Heading and rows, all text: rank, similarity, confidence, sighting, camera, time, place in the video, file name.
    """
    heading = ["#", "similarity", "confidence", "sighting", "camera", "time", "at", "file"]
    rows = [
        [
            str(match.rank),
            f"{match.similarity:.3f}",
            "" if match.confidence is None else percent(match.confidence),
            str(match.sighting.id),
            match.sighting.camera,
            local_time(match.sighting.time),
            clock(match.sighting.time_s),
            file_name(match.sighting.source),
        ]
        for match in matches
    ]
    kept = [column for column in range(len(heading)) if any(row[column] for row in rows)]
    return [heading[column] for column in kept], [[row[column] for column in kept] for row in rows]


def to_text(matches: Sequence[Match]) -> str:
    """Return matches as aligned plain text with a heading, for pipes and logs."""
    heading, rows = table_of(matches)
    lines = [heading, *rows]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(heading))]
    text = []
    for line in lines:
        cells = []
        for name, cell, width in zip(heading, line, widths, strict=True):
            space = " " * (width - _width(cell))
            cells.append(space + cell if name in RIGHT_ALIGNED else cell + space)
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def _width(text: str) -> int:
    """Return how many columns a text takes in a terminal: East Asian characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text
    )
