from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from onlooker.footage.views import LARGEST_SIDE, TrackViews, View, choose, cut, looks, pool, sharpness, shrink
from onlooker.runtime.pictures import read_picture
from onlooker.samples import PHOTOS


def box(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    return read_picture(PHOTOS / "000000234748.jpg")


def view_of(quality: float, time_s: float) -> View:
    return View(time_s, (0, 0, 1, 1), np.zeros((1, 1, 3), np.uint8), 0.9, quality)


def test_a_crop_is_what_lies_in_the_box_with_a_margin(street: NDArray[np.uint8]) -> None:
    view = cut(street, box(273, 130, 417, 384), 0.9, time_s=3.5)
    assert view is not None
    x, y, width, height = view.box
    assert (x, y, x + width, y + height) == (267, 120, 423, 394)
    assert (view.crop == street[y : y + height, x : x + width]).all()
    assert view.time_s == 3.5
    view.crop[:] = 0
    assert street.any(axis=2).mean() > 0.9, "a crop is a copy"


def test_a_large_crop_is_made_smaller_but_its_box_is_not() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (2000, 900, 3), dtype=np.uint8)
    view = cut(rgb, box(100, 100, 700, 1900), 0.9)
    assert view is not None
    assert max(view.crop.shape) == LARGEST_SIDE
    assert view.box[3] > 1800
    assert view.crop.shape[0] / view.crop.shape[1] == pytest.approx(view.box[3] / view.box[2], rel=0.01)


@pytest.mark.parametrize("empty", [(50, 50, 50, 90), (700, 10, 800, 90), (60, 10, 20, 90), (-50, -50, -10, -10)])
def test_a_box_without_a_pixel_gives_no_view(street: NDArray[np.uint8], empty: tuple[float, ...]) -> None:
    assert cut(street, box(*empty), 0.9) is None


def test_sharp_large_whole_free_and_sure_views_are_better(street: NDArray[np.uint8]) -> None:
    whole = cut(street, box(273, 130, 417, 384), 0.9)
    assert whole is not None
    blurred = np.asarray(Image.fromarray(street).filter(ImageFilter.GaussianBlur(4)))
    small = np.asarray(Image.fromarray(street).resize((160, 106)))
    worse = {
        "blurred": cut(blurred, box(273, 130, 417, 384), 0.9),
        "small": cut(small, box(68, 32, 104, 96), 0.9),
        "dark": cut((street // 6).astype(np.uint8), box(273, 130, 417, 384), 0.9),
        "burnt out": cut(np.clip(street * 4.0, 0, 255).astype(np.uint8), box(273, 130, 417, 384), 0.9),
        "cut off": cut(street[:384], box(273, 130, 417, 384), 0.9),
        "covered": cut(street, box(273, 130, 417, 384), 0.9, covered=0.6),
        "unsure": cut(street, box(273, 130, 417, 384), 0.6),
    }
    for name, view in worse.items():
        assert view is not None
        assert view.quality < whole.quality - 0.05, name
    assert 0.9 < whole.quality <= 1


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))), st.integers(1, 3000))
def test_looks_are_never_outside_their_range(crop: NDArray[np.uint8], height_px: int) -> None:
    assert 0 <= looks(crop, height_px) <= 1


def test_little_light_is_not_taken_for_blur(street: NDArray[np.uint8]) -> None:
    crop = street[120:394, 267:423]
    dark = (crop // 4).astype(np.uint8)
    blurred = np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(5)))
    assert looks(blurred, 274) < 0.85
    # Darkness alone costs 0.07 here; its weak edges would cost as much again.
    assert looks(dark, 274) > 0.92


def described(quality: float, *vector: float) -> View:
    view = view_of(quality, quality)
    view.vector = np.array(vector, np.float32)
    return view


def test_after_the_best_view_another_side_counts_more_than_quality() -> None:
    front, again, back = described(0.9, 1, 0), described(0.88, 1, 0), described(0.6, 0, 1)
    assert choose([front, again, back], 2) == [front, back]
    assert choose([front, again, back], 3) == [front, back, again]
    assert choose([front], 3) == [front]
    assert choose([], 3) == []
    plain = [view_of(0.9, 1.0), view_of(0.7, 2.0), view_of(0.8, 3.0)]
    assert [view.quality for view in choose(plain, 2)] == [0.9, 0.8]


def test_going_on_adds_up_what_is_remembered() -> None:
    first, later = TrackViews(1.0), TrackViews(5.0)
    for number in range(10):
        first.add(1.0 + 0.2 * number, 0.7, view_of(0.1 * number, 1.0 + 0.2 * number))
        later.add(5.0 + 0.2 * number, 0.9, view_of(0.05 * number, 5.0 + 0.2 * number))
    first.go_on(later)
    assert (first.start_s, first.end_s, first.detections, first.best_score) == (1.0, 6.8, 20, 0.9)
    assert first.count <= TrackViews.MOST_SLOTS
    assert first.best(1)[0].quality == pytest.approx(0.9)
    assert {view.time_s > 4 for view in first.best(8)} == {True, False}


def test_sharpness_does_not_depend_on_the_size(street: NDArray[np.uint8]) -> None:
    crop = street[120:394, 267:423]
    large = np.asarray(Image.fromarray(crop).resize((crop.shape[1] * 3, crop.shape[0] * 3), Image.Resampling.BICUBIC))
    assert sharpness(large) == pytest.approx(sharpness(crop), rel=0.25)
    assert sharpness(np.full((40, 20, 3), 99, np.uint8)) == 0
    for shape in ((1, 1), (1, 50), (50, 1), (3, 400)):
        assert sharpness(np.zeros((*shape, 3), np.uint8)) == 0


def test_shrinking_leaves_small_pictures_alone(street: NDArray[np.uint8]) -> None:
    small = street[:300, :200]
    assert (shrink(small) == small).all()
    assert not np.shares_memory(shrink(small), street)
    assert shrink(np.zeros((4000, 2, 3), np.uint8)).shape == (LARGEST_SIDE, 1, 3)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=400), st.floats(0.04, 2.0))
def test_a_track_keeps_a_bounded_number_of_views_and_the_best_among_them(
    qualities: list[float], every_s: float
) -> None:
    views = TrackViews(10.0)
    for number, quality in enumerate(qualities):
        time_s = 10.0 + number * every_s
        views.add(time_s, 0.5, view_of(quality, time_s))
    best = views.best(100)
    assert len(best) <= TrackViews.MOST_SLOTS
    assert best[0].quality == max(qualities)
    assert [view.quality for view in best] == sorted((view.quality for view in best), reverse=True)
    assert views.detections == len(qualities)
    assert views.end_s == pytest.approx(10.0 + (len(qualities) - 1) * every_s)


def test_the_best_views_are_spread_over_the_track() -> None:
    views = TrackViews(0.0)
    for number in range(600):
        time_s = number * 0.1
        # All the best ones are in one second.
        views.add(time_s, 0.9, view_of(0.9 if 20 <= time_s < 21 else 0.5, time_s))
    times = sorted(view.time_s for view in views.best(4))
    assert min(later - earlier for earlier, later in zip(times, times[1:], strict=False)) > 3  # noqa: RUF007


def test_a_detection_without_a_crop_still_counts() -> None:
    views = TrackViews(0.0)
    views.add(0.0, 0.7, None)
    assert (views.detections, views.best_score, views.best(4)) == (1, 0.7, [])


@given(arrays.arrays(np.float32, (4, 8), elements=st.floats(-1, 1, width=32)))
def test_pooling_gives_the_direction_of_the_mean(raw: NDArray[np.float32]) -> None:
    raw[:, 0] += 2
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    pooled = pool(vectors)
    assert pooled.dtype == np.float32
    assert np.linalg.norm(pooled) == pytest.approx(1, abs=1e-5)
    mean = vectors.mean(axis=0)
    np.testing.assert_allclose(pooled, mean / np.linalg.norm(mean), atol=1e-5)


def test_vectors_that_cancel_out_give_the_best_view() -> None:
    assert pool(np.array([[1, 0], [-1, 0]], np.float32)).tolist() == [1, 0]
