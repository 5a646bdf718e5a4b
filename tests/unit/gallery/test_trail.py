from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.errors import QueryError
from onlooker.gallery.filters import Filter
from onlooker.gallery.likeness import Likeness
from onlooker.gallery.scan import VectorScan
from onlooker.gallery.store import Gallery
from onlooker.gallery.trail import Trail, trail
from tests.unit.gallery.makers import DIMENSION, new_gallery, sighting, update

NOON = datetime(2026, 5, 17, 12, tzinfo=timezone.utc)
FIRST, SECOND, THIRD = np.eye(DIMENSION, dtype=np.float32)[:3]


def near(vector: NDArray[np.float32], turned: float) -> NDArray[np.float32]:
    """A vector turned a little towards one that nobody has."""
    return (vector + turned * np.eye(DIMENSION, dtype=np.float32)[-1]).astype(np.float32)


@pytest.fixture
def likeness() -> Likeness:
    random = np.random.default_rng(0)
    background = random.normal(size=(40, DIMENSION)).astype(np.float32)
    return Likeness(background / np.linalg.norm(background, axis=1, keepdims=True), 0.08)


@pytest.fixture
def gallery(tmp_path: Path):
    """One person at the door (1), beside another (2), in the yard before (4) and after (5), and in a photo (6)."""
    with new_gallery(tmp_path / "people.db") as gallery:
        door = update(0, "door", name="door.mp4")
        gallery.commit(
            door,
            [
                sighting(door, FIRST, time=NOON, time_s=10.0, start_s=8.0, end_s=12.0),
                # As alike as can be, and yet somebody else: both are in the picture at 11 s.
                sighting(door, FIRST, time=NOON, time_s=11.0, start_s=11.0, end_s=15.0),
                sighting(door, SECOND, time=NOON, time_s=30.0, start_s=30.0, end_s=31.0),
            ],
        )
        yard = update(1, "yard", name="yard.mp4")
        gallery.commit(
            yard,
            [
                sighting(yard, near(FIRST, 0.3), time=NOON - timedelta(hours=1), time_s=1.0, end_s=2.0),
                sighting(yard, near(FIRST, 0.2), time=NOON + timedelta(hours=1), time_s=7200.0, end_s=7201.0),
            ],
        )
        photo = update(2, "roof", name="roof.jpg")
        gallery.commit(photo, [sighting(photo, near(FIRST, 0.1)), sighting(photo, near(FIRST, 0.1))])
        yield gallery


def ids(found: Trail) -> list[int]:
    return [stop.sighting.id for stop in found.stops]


def test_the_same_person_elsewhere_in_the_order_of_time(gallery: Gallery, likeness: Likeness) -> None:
    found = trail(gallery, 1, likeness=likeness)
    assert found.start.id == 1
    assert ids(found) == [4, 5, 6, 7]
    assert [stop.rank for stop in found.stops] == [4, 3, 1, 2]
    assert (found.searched, found.together) == (5, 1)
    confidences = [stop.confidence for stop in found.stops]
    assert all(confidence is not None and 0.5 < confidence < 1 for confidence in confidences)
    assert confidences[0] < confidences[1] < confidences[2]


def test_without_a_likeness_the_most_alike_and_no_confidence(gallery: Gallery) -> None:
    found = trail(gallery, 1, top=4)
    assert ids(found) == [4, 5, 6, 7]
    assert {stop.confidence for stop in found.stops} == {None}
    assert set(ids(trail(gallery, 1))) == {3, 4, 5, 6, 7}


def test_who_is_like_nobody_has_no_trail(gallery: Gallery, likeness: Likeness) -> None:
    found = trail(gallery, 3, likeness=likeness)
    assert found.stops == ()
    assert (found.searched, found.together) == (6, 0)


def test_others_in_the_same_photo_are_others(gallery: Gallery, likeness: Likeness) -> None:
    assert 7 not in ids(trail(gallery, 6, likeness=likeness))
    assert trail(gallery, 6, likeness=likeness).together == 1


def test_filters_come_before_and_make_it_surer(gallery: Gallery, likeness: Likeness) -> None:
    everywhere = trail(gallery, 1, likeness=likeness)
    yard = trail(gallery, 1, likeness=likeness, kept=Filter(cameras=("yard",), since=NOON))
    assert ids(yard) == [5]
    assert yard.searched == 1
    assert yard.stops[0].confidence > everywhere.stops[1].confidence
    assert ids(trail(gallery, 1, likeness=likeness, top=1)) == [6]


def test_a_scan_that_stays_gives_the_same(gallery: Gallery, likeness: Likeness) -> None:
    scan = VectorScan.load(gallery)
    for kept in (None, Filter(cameras=("yard",)), Filter(until=NOON)):
        for number in (1, 3, 6):
            assert trail(gallery, number, likeness=likeness, kept=kept, scan=scan) == trail(
                gallery, number, likeness=likeness, kept=kept
            )
    gallery.remove([5])
    assert 5 not in ids(trail(gallery, 1, likeness=likeness, scan=scan))


def test_a_sighting_with_several_vectors_asks_with_their_mean(gallery: Gallery, likeness: Likeness) -> None:
    source = update(5, "gate", name="gate.jpg")
    (number,) = gallery.commit(source, [sighting(source, np.stack([near(FIRST, 0.4), near(FIRST, -0.4)]))])
    assert ids(trail(gallery, number, likeness=likeness))[0] == 4
    alike = {stop.sighting.id: stop.similarity for stop in trail(gallery, number, likeness=likeness).stops}
    assert alike[1] == pytest.approx(1.0, abs=1e-3)


def test_what_cannot_be_asked(gallery: Gallery) -> None:
    with pytest.raises(QueryError, match="no sighting 99"):
        trail(gallery, 99)
    with pytest.raises(QueryError, match="no camera 'moon'"):
        trail(gallery, 1, kept=Filter(cameras=("moon",)))
    with pytest.raises(QueryError, match="top 0"):
        trail(gallery, 1, top=0)
