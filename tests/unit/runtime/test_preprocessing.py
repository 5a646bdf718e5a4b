from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from onlooker.runtime.preprocessing import ImageSpec, normalise, preprocess, resize

SPECS = [
    ImageSpec(height=24, width=12, resize=how, interpolation=filter_)
    for how in ("stretch", "letterbox", "crop")
    for filter_ in ("bilinear", "bicubic")
]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.resize}-{spec.interpolation}")
@settings(deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_any_size_becomes_the_size_of_the_tower(spec: ImageSpec, height: int, width: int) -> None:
    result = resize(noise(height, width), spec)
    assert result.shape == (24, 12, 3)
    assert result.dtype == np.uint8


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.resize}-{spec.interpolation}")
@settings(deadline=None)
@given(value=st.integers(0, 255), height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_plain_colour_stays_that_colour(spec: ImageSpec, value: int, height: int, width: int) -> None:
    filled = spec.model_copy(update={"mean": (value / 255,) * 3})
    result = resize(np.full((height, width, 3), value, dtype=np.uint8), filled)
    assert np.all(result == value)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.resize}-{spec.interpolation}")
@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (1, 1), (3, 65_535)])
def test_extreme_shapes_give_a_picture(spec: ImageSpec, shape: tuple[int, int]) -> None:
    assert resize(noise(*shape), spec).shape == (24, 12, 3)


@settings(deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.sampled_from([(16, 16), (24, 8), (8, 24)]))
def test_crop_is_resize_then_cut_the_middle_out(height: int, width: int, size: tuple[int, int]) -> None:
    spec = ImageSpec(height=size[0], width=size[1], resize="crop")
    rgb = noise(height, width)
    scale = max(size[0] / height, size[1] / width)
    whole_h, whole_w = max(size[0], int(height * scale)), max(size[1], int(width * scale))
    whole = np.asarray(Image.fromarray(rgb).resize((whole_w, whole_h), Image.Resampling.BILINEAR))
    top, left = (whole_h - size[0]) // 2, (whole_w - size[1]) // 2
    wanted = whole[top : top + size[0], left : left + size[1]]
    # Pillow rounds to 8 bits between its two passes and chooses their order by the size of the result.
    assert np.abs(resize(rgb, spec).astype(int) - wanted).max() <= 2


def test_letterbox_keeps_the_shape_and_fills_with_the_mean() -> None:
    spec = ImageSpec(height=20, width=20, resize="letterbox", mean=(0.2, 0.4, 0.6))
    result = resize(np.full((40, 20, 3), 255, dtype=np.uint8), spec)
    assert np.all(result[:, 5:15] == 255)
    assert np.all(result[:, :5] == (51, 102, 153))
    assert np.all(result[:, 15:] == (51, 102, 153))


def test_making_smaller_averages() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    rgb = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    result = resize(rgb, ImageSpec(height=8, width=8))
    assert np.abs(result.astype(int) - 127).max() < 20


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    rgb = noise(24, 12)
    for spec in SPECS:
        assert np.array_equal(resize(rgb, spec), rgb)


def test_normalise_is_the_formula() -> None:
    spec = ImageSpec(height=5, width=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    batch = np.stack([noise(5, 4, seed) for seed in range(3)])
    wanted = ((batch / 255.0 - np.array(spec.mean)) / np.array(spec.std)).transpose(0, 3, 1, 2)
    result = normalise(batch, spec)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, wanted, atol=2e-6)


def test_preprocess_is_both_halves_in_order() -> None:
    spec = SPECS[0]
    pictures = [noise(30, 20, 1), noise(7, 9, 2), noise(24, 12, 3)]
    one_by_one = np.concatenate([preprocess([picture], spec) for picture in pictures])
    assert np.array_equal(preprocess(pictures, spec), one_by_one)
    assert np.array_equal(one_by_one, normalise(np.stack([resize(picture, spec) for picture in pictures]), spec))
    assert preprocess([], spec).shape == (0, 3, 24, 12)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_what_is_no_picture_is_refused_with_its_shape(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(h, w, 3\).*got"):
        resize(bad, SPECS[0])


def test_normalise_refuses_another_size() -> None:
    with pytest.raises(ValueError, match=r"\(n, 24, 12, 3\), got uint8 \(1, 12, 24, 3\)"):
        normalise(np.zeros((1, 12, 24, 3), np.uint8), SPECS[0])


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": 5000},
        {"resize": "squash"},
        {"interpolation": "nearest"},
        {"mean": (0.5, 0.5, 128.0)},
        {"std": (0.5, 0.0, 0.5)},
        {"sdt": (0.5, 0.5, 0.5)},
    ],
    ids=str,
)
def test_a_wrong_value_or_key_of_a_spec_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ImageSpec.model_validate({"height": 24, "width": 12, **change})
