from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import GalleryError
from onlooker.gallery.records import decode_vectors, encode_vectors, from_microseconds, to_microseconds
from tests.unit.gallery.makers import sighting, track, update


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_comes_back_to_the_microsecond(time: datetime) -> None:
    try:
        wanted = time.astimezone(timezone.utc)
    except OverflowError:
        return
    # Compared in UTC: across zones, Python calls no time equal that the clocks skip or show twice.
    assert from_microseconds(to_microseconds(time)) == wanted


def test_times_before_1970_are_negative() -> None:
    assert to_microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, timezone.utc)) == -1


def test_the_zone_counts() -> None:
    noon = datetime(2026, 5, 17, 12, tzinfo=timezone(timedelta(hours=2)))
    assert from_microseconds(to_microseconds(noon)).hour == 10


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(GalleryError, match="no time zone"):
        to_microseconds(datetime(2026, 5, 17))


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, 0), (0, 0, -3, 5)])
def test_an_empty_box_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(GalleryError, match="box"):
        sighting(update(), box=box)


def test_a_missing_crop_is_refused() -> None:
    with pytest.raises(GalleryError, match="no crop"):
        sighting(update(), crop=b"")


@pytest.mark.parametrize(("start", "moment", "end"), [(2.0, 1.0, 3.0), (0.0, 4.0, 3.0), (None, float("nan"), 3.0)])
def test_seconds_out_of_order_are_refused(start: float | None, moment: float, end: float) -> None:
    with pytest.raises(GalleryError, match="order"):
        track(update(), moment, end, start_s=start)


def test_a_track_starts_at_its_crop_where_nothing_else_is_said() -> None:
    seen = track(update(), 4.0, 6.0)
    assert seen.first_s == 4.0
    assert dataclasses.replace(seen, start_s=1.5).first_s == 1.5


def test_vectors_are_little_endian_float16_of_length_one() -> None:
    (blob,) = encode_vectors(np.array([3.0, 4.0], np.float32), 2, "a.jpg")
    assert blob == np.array([0.6, 0.8]).astype("<f2").tobytes()
    assert blob == bytes.fromhex("cd38663a")


def test_views_are_one_blob_each() -> None:
    blobs = encode_vectors(np.eye(3, 4, dtype=np.float32), 4, "a.mp4")
    assert [len(blob) for blob in blobs] == [8, 8, 8]
    assert (decode_vectors(blobs, 4) == np.eye(3, 4)).all()


def test_no_vectors_have_a_shape_too() -> None:
    assert decode_vectors([], 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("vector", "match"),
    [
        (np.zeros(4), "zero"),
        (np.array([1.0, np.nan, 0, 0]), "not finite"),
        (np.array([1.0, np.inf, 0, 0]), "not finite"),
        (np.ones(3), r"\(3,\).*dimension 4"),
        (np.ones((2, 3)), r"\(2, 3\).*dimension 4"),
        (np.ones((0, 4)), r"\(0, 4\)"),
        (np.ones((1, 1, 4)), r"\(1, 1, 4\)"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(vector: np.ndarray, match: str) -> None:
    with pytest.raises(GalleryError, match=match):
        encode_vectors(vector, 4, "a.jpg")
