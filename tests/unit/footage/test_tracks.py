from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.footage.detections import Detections
from onlooker.footage.motion import MotionGate
from onlooker.footage.tracks import Checkpoint, LiveTracks, Track, TrackRules, find_tracks
from onlooker.footage.video import Frame
from onlooker.runtime.fake import FakeEncoder
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, WHITE, BlockDetector, Painted, scene

EVERY_S = 0.2


def frames_of(
    people: Sequence[Painted], seconds: float, every_s: float = EVERY_S, begin_s: float = 0
) -> Iterator[Frame]:
    for number in range(round(seconds / every_s)):
        time_s = number * every_s
        if time_s >= begin_s - 1e-6:
            yield Frame(time_s, scene(people, time_s))


def with_vectors(frames: Iterator[Frame]) -> list[Track]:
    return tracks_of(list(find_tracks(frames, BlockDetector(), every_s=EVERY_S, encoder=FakeEncoder())))


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
    # Somebody who stands is looked at in every other frame, and a stretch ends with the frame after ten seconds.
    assert spans == [(0.0, 9.8), (10.2, 20.0), (20.4, 30.2), (30.6, 34.8)]


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


def hidden(person: Painted, from_s: float, to_s: float, later: Painted | None = None) -> list[Painted]:
    """Somebody who cannot be seen for a while, and who it is that comes out of the hiding."""
    there = later or person
    x_px = person.x_px + round(person.speed_px_s * (to_s - person.start_s))
    return [
        Painted(person.start_s, from_s, person.upper, person.lower, person.x_px, person.speed_px_s),
        Painted(to_s, person.end_s, there.upper, there.lower, x_px, person.speed_px_s),
    ]


WALKER = Painted(1.0, 8.0, RED, BLUE, speed_px_s=12.0)
OTHER = Painted(1.0, 8.0, WHITE, BLACK)


def test_somebody_hidden_for_a_moment_is_one_track() -> None:
    people = hidden(WALKER, 3.0, 4.4)
    tracks = with_vectors(frames_of(people, 12))
    assert [(round(track.start_s, 3), round(track.end_s, 3)) for track in tracks] == [(1.0, 8.0)]
    (track,) = tracks
    assert track.detections == 11 + 19
    assert len(track.path) == track.detections
    assert (np.diff(track.path[:, 0]) > 0).all()


def test_somebody_else_who_comes_out_of_the_hiding_is_another_track() -> None:
    people = hidden(WALKER, 3.0, 4.4, OTHER)
    tracks = with_vectors(frames_of(people, 12))
    assert [(round(track.start_s, 3), round(track.end_s, 3)) for track in tracks] == [(1.0, 3.0), (4.4, 8.0)]


def test_who_is_hidden_for_long_or_cannot_be_recognised_counts_anew() -> None:
    long = frames_of(hidden(WALKER, 3.0, 5.0), 12)
    assert len(with_vectors(long)) == 2
    unknown = frames_of(hidden(WALKER, 3.0, 4.4), 12)
    assert len(tracks_of(list(find_tracks(unknown, BlockDetector(), every_s=EVERY_S)))) == 2


def test_beginning_at_a_checkpoint_gives_the_same_with_vectors_and_a_gate() -> None:
    people = [*hidden(WALKER, 3.0, 4.4), Painted(20.0, 24.0, GREEN, BLACK, x_px=60)]
    more = {"every_s": EVERY_S, "encoder": FakeEncoder(), "gate": MotionGate}
    items = list(find_tracks(frames_of(people, 30), BlockDetector(), **more))
    places = [place for place, item in enumerate(items) if isinstance(item, Checkpoint)]
    assert len(places) >= 2
    for place in places:
        checkpoint = items[place]
        assert isinstance(checkpoint, Checkpoint)
        rest = tracks_of(list(find_tracks(frames_of(people, 30, begin_s=checkpoint.resume_s), BlockDetector(), **more)))
        after = tracks_of(items[place:])
        assert [(track.start_s, track.end_s, track.detections) for track in rest] == [
            (track.start_s, track.end_s, track.detections) for track in after
        ]
        for track, other in zip(rest, after, strict=True):
            assert track.vector is not None
            assert other.vector is not None
            assert (track.vector == other.vector).all()
            assert (track.path == other.path).all()


def test_a_track_has_a_vector_and_a_few_views_with_theirs() -> None:
    tracks = with_vectors(frames_of(PEOPLE, 20))
    assert len(tracks) == 3
    for track in tracks:
        assert track.vector is not None
        assert np.linalg.norm(track.vector) == pytest.approx(1, abs=1e-5)
        assert 1 <= len(track.views) <= TrackRules().kept
        assert all(view.vector is not None for view in track.views)


class CountingDetector(BlockDetector):
    """Counts the frames it looks at."""

    looks = 0

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        self.looks += 1
        return super().detect(rgb)


def test_while_everybody_stands_every_other_frame_is_passed_over() -> None:
    standing, walking = CountingDetector(), CountingDetector()
    live = LiveTracks(standing, every_s=EVERY_S, encoder=FakeEncoder())
    ended = [
        track
        for frame in frames_of([Painted(0.0, 19.0, RED, BLUE, speed_px_s=0)], 25)
        for track in live.feed(frame.rgb, frame.time_s)
    ]
    assert len(ended) == 1
    # Four looks until it is known that somebody stands, then every other, and all after he or she has gone.
    assert standing.looks == live.looked == pytest.approx(4 + 46 + 29, abs=2)
    list(find_tracks(frames_of([WALKER], 10), walking, every_s=EVERY_S, encoder=FakeEncoder()))
    assert walking.looks == 50


def test_an_empty_scene_is_hardly_looked_at_and_nobody_is_lost() -> None:
    detector = CountingDetector()
    people = [Painted(30.0, 36.0, RED, BLUE)]
    tracks = tracks_of(
        list(find_tracks(frames_of(people, 60), detector, every_s=EVERY_S, encoder=FakeEncoder(), gate=MotionGate))
    )
    assert [(track.start_s, track.end_s) for track in tracks] == [(30.0, pytest.approx(36.0))]
    assert detector.looks < 150


def test_live_tracks_end_soon_after_their_person_has_gone_and_flush_ends_the_rest() -> None:
    live = LiveTracks(BlockDetector(), every_s=EVERY_S, encoder=FakeEncoder())
    given: list[tuple[float, Track]] = []
    for frame in frames_of(PEOPLE, 10):
        given += [(frame.time_s, track) for track in live.feed(frame.rgb, frame.time_s)]
    assert [round(track.end_s, 3) for _, track in given] == [5.0]
    assert given[0][0] - given[0][1].end_s <= 2.2
    assert (live.open, live.following) == (1, 0)
    assert [round(track.end_s, 3) for track in live.flush()] == [8.0]
    assert (live.open, live.flush()) == (0, [])


def test_who_leaves_at_the_edge_is_given_at_once() -> None:
    # The person walks out of the picture on the right: the last boxes touch the edge.
    people = [Painted(0.0, 6.0, RED, BLUE, x_px=100, speed_px_s=16.0)]
    live = LiveTracks(BlockDetector(), every_s=EVERY_S, encoder=FakeEncoder())
    for frame in frames_of(people, 10):
        ended = live.feed(frame.rgb, frame.time_s)
        if ended:
            break
    assert frame.time_s - ended[0].end_s <= 1.2
