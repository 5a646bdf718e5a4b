from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from onlooker.gallery.records import StoredSighting
from onlooker.gallery.results import (
    CSV_COLUMNS,
    answer_of,
    clock,
    file_name,
    percent,
    table_of,
    to_json,
    to_json_line,
    to_text,
    write_csv,
)
from onlooker.gallery.search import Match, Matches
from onlooker.runtime.calibration import Nobody


def match(rank: int = 1, similarity: float = 0.5, confidence: float | None = None, **more: Any) -> Match:
    fields: dict[str, Any] = {
        "id": 40 + rank,
        "camera": "door",
        "source": "/photos/a, b.jpg",
        "time": None,
        "time_s": None,
        "start_s": None,
        "end_s": None,
        "box": (1, 2, 3, 4),
        "score": 0.9,
        "track": None,
    }
    return Match(rank, similarity, confidence, StoredSighting(**{**fields, **more}))


VIDEO = match(
    2,
    -0.123456789,
    0.25,
    time=datetime(2026, 5, 17, 10, 0, 0, 250_000, timezone.utc),
    time_s=61.5,
    source="cam/1.mp4",
    camera="北口",
)


def test_the_json_of_an_answer() -> None:
    wanted = {
        "query": 'a "red" coat',
        "mended": [],
        "nobody": {"probability": None, "threshold": None, "verdict": False},
        "matches": [
            {
                "rank": 1,
                "similarity": 0.5,
                "confidence": None,
                "sighting": 41,
                "camera": "door",
                "source": "/photos/a, b.jpg",
                "time": None,
                "time_s": None,
                "box": [1, 2, 3, 4],
            },
            {
                "rank": 2,
                "similarity": -0.123457,
                "confidence": 0.25,
                "sighting": 42,
                "camera": "北口",
                "source": "cam/1.mp4",
                "time": "2026-05-17T10:00:00.250000+00:00",
                "time_s": 61.5,
                "box": [1, 2, 3, 4],
            },
        ],
    }
    answer = ('a "red" coat', [match(), VIDEO])
    assert answer_of(*answer) == wanted
    assert list(answer_of(*answer)["matches"][0]) == list(wanted["matches"][0])  # type: ignore[index]
    assert json.loads(to_json(*answer)) == json.loads(to_json_line(*answer)) == wanted
    assert "\n" not in to_json_line(*answer)
    assert "北口" in to_json_line(*answer)


def test_the_json_of_nobody() -> None:
    unknown = {"probability": None, "threshold": None, "verdict": True}
    assert answer_of("a hat", []) == {"query": "a hat", "mended": [], "nobody": unknown, "matches": []}
    judged = Matches([match(confidence=0.1)], Nobody(0.87654321, 0.75, verdict=True))
    answer = answer_of("a hat", judged)
    assert answer["nobody"] == {"probability": 0.876543, "threshold": 0.75, "verdict": True}
    assert len(answer["matches"]) == 1


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "<1%"), (0.0099, "<1%"), (0.01, "1%"), (0.126, "13%"), (0.99, "99%"), (0.991, ">99%"), (1.0, ">99%")],
)
def test_no_match_is_impossible_and_none_is_certain(probability: float, text: str) -> None:
    assert percent(probability) == text
    heading, rows = table_of([match(confidence=probability)])
    assert rows[0][heading.index("confidence")] == text


def test_csv_of_many_queries(tmp_path: Path) -> None:
    path = tmp_path / "out" / "matches.csv"
    write_csv(path, [('say "hat"', [match(), VIDEO]), ("nobody", []), ("line\nbreak", [match()])])
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["query"] for row in rows] == ['say "hat"', 'say "hat"', "line\nbreak"]
    assert rows[0] == {
        "query": 'say "hat"',
        "rank": "1",
        "similarity": "0.5",
        "image": "a, b.jpg",
        "confidence": "",
        "sighting": "41",
        "camera": "door",
        "source": "/photos/a, b.jpg",
        "time": "",
        "time_s": "",
        "x": "1",
        "y": "2",
        "width": "3",
        "height": "4",
    }
    assert rows[1]["time"] == "2026-05-17T10:00:00.250000+00:00"


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(None, ""), (0.0, "0:00.0"), (59.96, "1:00.0"), (61.5, "1:01.5"), (3599.95, "1:00:00.0"), (7325.04, "2:02:05.0")],
)
def test_the_place_in_a_video(time_s: float | None, text: str) -> None:
    assert clock(time_s) == text


def test_names_of_files() -> None:
    names = [file_name(source) for source in ("/a/b.jpg", "b.jpg", "rtsp://cam/door/")]
    assert names == ["b.jpg", "b.jpg", "door"]


def test_the_table_leaves_out_what_nobody_knows() -> None:
    heading, rows = table_of([match()])
    assert heading == ["#", "similarity", "sighting", "camera", "file"]
    assert rows == [["1", "0.500", "41", "door", "a, b.jpg"]]
    assert table_of([match(), VIDEO])[0] == [
        "#",
        "similarity",
        "confidence",
        "sighting",
        "camera",
        "time",
        "at",
        "file",
    ]


def test_plain_text_is_aligned_also_with_wide_letters() -> None:
    lines = to_text([match(time_s=5.0, time=datetime.now(timezone(timedelta(0)))), VIDEO]).split("\n")
    at = lines[0].index("file")
    assert lines[1][at:] == "a, b.jpg"
    # Two wide letters fill four columns, so the rest stands two letters further left.
    assert lines[2][at - 2 :] == "1.mp4"
