from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.footage.detections import Detections
from onlooker.footage.tracks import Checkpoint, Track, TrackRules, find_tracks
from onlooker.footage.video import Frame
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, WHITE, BlockDetector, Painted, scene

EVERY_S = 0.2


def frames_of(
    people: Sequence[Painted], seconds: float, every_s: float = EVERY_S, begin_s: float = 0
) -> Iterator[Frame]:
    for number in range(round(seconds / every_s)):
        time_s = number * every_s
        if time_s >= begin_s - 1e-6:
            yield Frame(time_s, scene(people, time_s))


def tracks_of(items: list[Track | Checkpoint]) -> list[Track]:
    return [item for item in items if isinstance(item, Track)]


PEOPLE = [
    Painted(1.0, 5.0, RED, BLUE),
    Painted(3.0, 8.0, WHITE, BLACK, x_px=100),
    Painted(12.0, 16.0, GREEN, BLACK, x_px=60),
]


def test_each_person_is_one_track_with_its_times() -> None:
    tracks = tracks_of(list(find_tracks(frames_of(PEOPLE, 20), BlockDetector(), every_s=EVERY_S)))
    spans = sorted((round(track.start_s, 3), round(track.end_s, 3)) for track in tracks)
    assert spans == [(1.0, 5.0), (3.0, 8.0), (12.0, 16.0)]
    assert [track.detections for track in tracks] == [21, 26, 21]
    for track in tracks:
        assert 1 <= len(track.views) <= TrackRules().views
        assert all(track.start_s <= view.time_s <= track.end_s for view in track.views)
        assert track.views[0].quality == max(view.quality for view in track.views)


def test_checkpoints_stand_where_nobody_is_there() -> None:
    items = list(find_tracks(frames_of(PEOPLE, 40), BlockDetector(), every_s=EVERY_S))
    checkpoints = [item.resume_s for item in items if isinstance(item, Checkpoint)]
    # A second after the last has gone, then every ten seconds while the scene is empty.
    assert checkpoints == pytest.approx([9.4, 17.4, 27.4, 37.4])
    for checkpoint in checkpoints:
        assert not any(person.start_s < checkpoint < person.end_s + 1 for person in PEOPLE)


@pytest.mark.parametrize("longest_s", [300.0, 2.0])
def test_beginning_at_a_checkpoint_gives_the_same_as_going_on(longest_s: float) -> None:
    rules = TrackRules(longest_s=longest_s)
    items = list(find_tracks(frames_of(PEOPLE, 20), BlockDetector(), every_s=EVERY_S, rules=rules))
    places = [place for place, item in enumerate(items) if isinstance(item, Checkpoint)]
    assert len(places) >= 2
    for place in places:
        checkpoint = items[place]
        assert isinstance(checkpoint, Checkpoint)
        frames = frames_of(PEOPLE, 20, begin_s=checkpoint.resume_s)
        rest = tracks_of(list(find_tracks(frames, BlockDetector(), every_s=EVERY_S, rules=rules)))
        after = tracks_of(items[place:])
        assert len(rest) == len(after)
        for found, expected in zip(rest, after, strict=True):
            assert (found.start_s, found.end_s, found.detections) == (
                expected.start_s,
                expected.end_s,
                expected.detections,
            )
            for view, other in zip(found.views, expected.views, strict=True):
                assert (view.time_s, view.box, view.quality) == (other.time_s, other.box, other.quality)
                assert (view.crop == other.crop).all()


def test_somebody_who_stays_is_cut_into_stretches() -> None:
    rules = TrackRules(longest_s=10)
    people = [Painted(0.0, 35.0, RED, BLUE, speed_px_s=0)]
    items = list(find_tracks(frames_of(people, 40), BlockDetector(), every_s=EVERY_S, rules=rules))
    spans = [(round(track.start_s, 3), round(track.end_s, 3)) for track in tracks_of(items)]
    assert spans == [(0.0, 10.0), (10.2, 20.2), (20.4, 30.4), (30.6, 35.0)]


def test_short_and_small_appearances_are_dropped() -> None:
    people = [Painted(1.0, 1.3, RED, BLUE), Painted(5.0, 8.0, RED, BLUE)]
    tracks = tracks_of(list(find_tracks(frames_of(people, 12), BlockDetector(), every_s=EVERY_S)))
    assert [(track.start_s, track.end_s) for track in tracks] == [(5.0, 8.0)]
    rules = TrackRules(least_height_px=100)
    assert tracks_of(list(find_tracks(frames_of(people, 12), BlockDetector(), every_s=EVERY_S, rules=rules))) == []


class WeakDetector(BlockDetector):
    """Is never quite sure."""

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        found = super().detect(rgb)
        return Detections(found.boxes, np.full(len(found), 0.62, np.float32))


def test_a_track_that_never_convinces_is_dropped() -> None:
    assert tracks_of(list(find_tracks(frames_of(PEOPLE, 20), WeakDetector(), every_s=EVERY_S))) == []
    rules = TrackRules(least_score=0.6)
    assert len(tracks_of(list(find_tracks(frames_of(PEOPLE, 20), WeakDetector(), every_s=EVERY_S, rules=rules)))) == 3


def test_frames_a_second_apart_still_make_tracks() -> None:
    slow = [Painted(person.start_s, person.end_s, person.upper, person.lower, person.x_px, 3.0) for person in PEOPLE]
    tracks = tracks_of(list(find_tracks(frames_of(slow, 24, 1.0), BlockDetector(), every_s=1.0)))
    assert sorted((track.start_s, track.end_s) for track in tracks) == [(1.0, 5.0), (3.0, 8.0), (12.0, 16.0)]


def test_an_empty_video_gives_nothing_but_checkpoints() -> None:
    items = list(find_tracks(frames_of([], 25), BlockDetector(), every_s=EVERY_S))
    assert [item.resume_s for item in items if isinstance(item, Checkpoint)] == pytest.approx([10.2, 20.2])
    assert tracks_of(items) == []
    assert list(find_tracks(iter([]), BlockDetector(), every_s=EVERY_S)) == []


def test_each_frame_is_reported() -> None:
    seen: list[float] = []
    list(find_tracks(frames_of(PEOPLE, 3), BlockDetector(), every_s=EVERY_S, on_frame=seen.append))
    assert seen == pytest.approx([0.2 * number for number in range(15)])
