from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.errors import DataError
from onlooker.evaluation.tracks import LONGEST_GAP_S, AnnotatedFrame, box_at, measure_tracks, read_annotation

Box = tuple[float, float, float, float]


def at(x: float) -> Box:
    return (x, 10, x + 20, 70)


def path(*places: tuple[float, float]) -> NDArray[np.float64]:
    """A track from pairs of time and left edge."""
    return np.array([(time_s, *at(x)) for time_s, x in places], np.float64)


TWO = [AnnotatedFrame(float(second), {1: at(10 * second), 2: at(300 - 10 * second)}) for second in range(6)]
FIRST = [(float(second), 10.0 * second) for second in range(6)]
SECOND = [(float(second), 300 - 10.0 * second) for second in range(6)]


def test_perfect_tracks_cover_all_and_never_switch() -> None:
    figures = measure_tracks(TWO, [path(*FIRST), path(*SECOND)])
    assert (figures.coverage, figures.switches, figures.fragments, figures.mixed, figures.idle) == (1, 0, 1, 0, 0)
    assert figures.people[2].tracks == [1]


def test_a_person_in_two_pieces_is_a_switch_and_two_fragments() -> None:
    figures = measure_tracks(TWO, [path(*FIRST[:3]), path(*SECOND), path(*FIRST[4:])])
    assert figures.people[1].tracks == [0, 2]
    assert (figures.people[1].covered, figures.people[1].seen) == (5, 6)
    assert (figures.switches, figures.fragments, figures.mixed) == (1, 1.5, 0)


def test_two_who_exchange_their_tracks_are_two_switches_and_two_mixed_tracks() -> None:
    figures = measure_tracks(TWO, [path(*FIRST[:3], *SECOND[3:]), path(*SECOND[:3], *FIRST[3:])])
    assert (figures.coverage, figures.switches, figures.fragments, figures.mixed) == (1, 2, 2, 2)


def test_a_person_keeps_the_track_while_it_fits_even_if_another_fits_better() -> None:
    frames = [AnnotatedFrame(0.0, {1: at(0)}), AnnotatedFrame(1.0, {1: at(0)})]
    figures = measure_tracks(frames, [path((0, 0), (1, 4)), path((1, 0))])
    assert figures.people[1].tracks == [0]
    assert (figures.switches, figures.idle) == (0, 1)


def test_one_track_is_on_one_person_at_a_time() -> None:
    frames = [AnnotatedFrame(0.0, {1: at(0), 2: at(2)})]
    figures = measure_tracks(frames, [path((0, 2))])
    assert (figures.people[1].covered, figures.people[2].covered) == (0, 1)
    assert figures.coverage == 0.5


def test_between_detections_a_track_moves_evenly_but_not_through_long_gaps() -> None:
    track = path((0, 0), (1, 10), (1 + LONGEST_GAP_S + 1, 90))
    middle = box_at(track, 0.5)
    assert middle is not None
    assert middle.tolist() == [5, 10, 25, 70]
    assert box_at(track, 1.0) is not None
    assert box_at(track, 2.0) is None
    assert box_at(track, -0.1) is None
    assert box_at(track, 99.0) is None


def test_nothing_found_and_nobody_annotated() -> None:
    nothing = measure_tracks(TWO, [])
    assert (nothing.coverage, nothing.switches) == (0, 0)
    assert np.isnan(nothing.fragments)
    nobody = measure_tracks([AnnotatedFrame(0.0, {})], [path((0, 0))])
    assert np.isnan(nobody.coverage)
    assert nobody.idle == 1
    assert measure_tracks([], [path((5, 0))]).people == {}


@given(st.lists(st.floats(0, 500), min_size=1, max_size=6), st.integers(1, 5))
def test_following_as_annotated_is_always_perfect(lefts: list[float], count: int) -> None:
    frames = [AnnotatedFrame(float(t), {n: at(1000 * n + x + t) for n, x in enumerate(lefts)}) for t in range(count)]
    paths = [path(*((float(t), 1000 * n + x + t) for t in range(count))) for n, x in enumerate(lefts)]
    figures = measure_tracks(frames, paths, least_iou=0.99)
    assert (figures.coverage, figures.switches, figures.fragments, figures.mixed, figures.idle) == (1, 0, 1, 0, 0)


def test_an_annotation_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    frames = [{"frame": 20, "people": [[3, 1, 2, 3, 4]]}, {"frame": 5, "people": []}]
    file.write_text(json.dumps({"fps": 10, "frames": frames}))
    assert read_annotation(file) == [AnnotatedFrame(0.5, {}), AnnotatedFrame(2.0, {3: (1, 2, 3, 4)})]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"frames": []}',
        '{"fps": 0, "frames": [{"frame": 1, "people": []}]}',
        '{"fps": 10, "frames": [{}]}',
        '{"fps": 10, "frames": [{"frame": 1, "people": [[1, 2, 3]]}]}',
    ],
)
def test_a_broken_annotation_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "people.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"people\.json is no annotation of people"):
        read_annotation(file)
    with pytest.raises(DataError, match=r"missing\.json cannot be read"):
        read_annotation(tmp_path / "missing.json")
