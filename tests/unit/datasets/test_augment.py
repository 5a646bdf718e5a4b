from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from onlooker.datasets.augment import Augmentation, choose_rectangle, erase, jitter_box, mirror
from onlooker.datasets.degrade import change_tone, compress, lose_resolution
from onlooker.datasets.samples import Sample

OFF = {name: 0.0 for name in Augmentation.model_fields if name != "low_resolution_least"}


def noise(height: int = 60, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def a_sample(seed: int = 0) -> Sample:
    return Sample(noise(seed=seed), (5, 10, 20, 40), ("bag on her left shoulder",))


def test_all_off_is_the_exact_box() -> None:
    sample = a_sample()
    varied = Augmentation(**OFF).apply(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(varied.rgb, sample.rgb[10:50, 5:25])
    assert varied.texts == sample.texts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(1, 60))
def test_any_picture_at_any_strength(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    strengths = {name: float(rng.uniform(0, 0.5)) for name in OFF}
    sample = Sample(noise(height, width), (width * 0.1, 0, width * 0.8, height), ("text",))
    before = sample.rgb.copy()
    varied = Augmentation(**strengths).apply(sample, rng)
    assert varied.rgb.dtype == np.uint8
    assert varied.rgb.ndim == 3
    assert min(varied.rgb.shape[:2]) >= 1
    np.testing.assert_array_equal(sample.rgb, before)


def test_the_generator_is_the_only_source_of_chance() -> None:
    augmentation = Augmentation()
    results = [augmentation.apply(a_sample(), np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(results[0].rgb, results[1].rgb)
    other = augmentation.apply(a_sample(), np.random.default_rng(6))
    assert other.rgb.shape != results[0].rgb.shape or (other.rgb != results[0].rgb).any()


def test_mirroring_takes_the_words_along() -> None:
    sample = replace(a_sample(), mask=np.arange(60 * 30).reshape(60, 30).astype(np.uint8))
    mirrored = mirror(sample)
    np.testing.assert_array_equal(mirrored.rgb, sample.rgb[:, ::-1])
    assert mirrored.texts == ("bag on her right shoulder",)
    assert mirrored.box == (5, 10, 20, 40)
    back = mirror(mirrored)
    assert sample.mask is not None
    assert back.mask is not None
    np.testing.assert_array_equal(back.mask, sample.mask)


@settings(max_examples=40, deadline=None)
@given(*(st.floats(0.4, 2.5) for _ in range(4)))
@example(2.0, 1.0, 1.0, 1.0)
def test_tone_never_changes_a_hue(brightness: float, contrast: float, gamma: float, saturation: float) -> None:
    rgb = noise(40, 40)
    varied = change_tone(rgb, brightness=brightness, contrast=contrast, gamma=gamma, saturation=saturation)
    before, after = (cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[..., 0] for each in (rgb, varied))
    apart = np.abs(before - after)
    # Hue is only defined where there is colour left; rounding to whole values moves it by up to 60 / spread degrees.
    coloured = np.ptp(varied.astype(int), axis=2) > 60
    assert (np.minimum(apart, 360 - apart)[coloured] < 1.5).all()


def test_tone_of_factor_one_changes_nothing() -> None:
    rgb = noise()
    np.testing.assert_array_equal(change_tone(rgb), rgb)


def test_tone_goes_the_right_way() -> None:
    rgb = np.clip(noise(), 40, 200)
    assert change_tone(rgb, brightness=1.2).mean() > rgb.mean() > change_tone(rgb, brightness=0.8).mean()
    assert change_tone(rgb, gamma=0.7).mean() > rgb.mean()
    assert change_tone(rgb, contrast=0.5).std() < rgb.std()
    spread = np.ptp(rgb.astype(int), axis=2).mean()
    assert np.ptp(change_tone(rgb, saturation=0.3).astype(int), axis=2).mean() < spread * 0.5
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert np.ptp(change_tone(grey, saturation=2.0).astype(int), axis=2).max() == 0


@given(st.floats(0, 0.5), st.integers(0, 2**32))
def test_jitter_stays_within_its_strength(strength: float, seed: int) -> None:
    x, y, w, h = jitter_box((10, 20, 30, 60), strength, np.random.default_rng(seed))
    assert abs(x - 10) <= 30 * strength + 1e-9
    assert abs(y - 20) <= 60 * strength + 1e-9
    assert 3 - 1e-9 <= w <= 30 * (1 + 2 * strength) + 1e-9
    assert 6 - 1e-9 <= h <= 60 * (1 + 2 * strength) + 1e-9


def test_degrading_keeps_size_and_rough_content() -> None:
    smooth = cv2.GaussianBlur(noise(), (0, 0), 5)
    for degraded in (lose_resolution(smooth, 0.4), compress(smooth, 40)):
        assert degraded.shape == smooth.shape
        assert np.abs(degraded.astype(int) - smooth).mean() < 12
    assert lose_resolution(noise(), 0.4).std() < noise().std()


def test_erasing_covers_one_small_rectangle() -> None:
    rgb = noise(100, 50)
    for seed in range(20):
        place = choose_rectangle(100, 50, np.random.default_rng(seed))
        changed = (erase(Sample(rgb, (0, 0, 50, 100)), *place).rgb != rgb).any(axis=2)
        rows, columns = np.nonzero(changed)
        assert 0.01 < changed.mean() < 0.14
        assert changed[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.98


def test_needs() -> None:
    assert Augmentation().needs() == {"margin": 0.08, "masks": False}
    assert Augmentation(box_jitter=0.2, recolour=0.3).needs() == {"margin": 0.2, "masks": True}


@pytest.mark.parametrize("bad", [{"flip": 1.2}, {"box_jitter": 0.6}, {"brightness": -0.1}, {"rotate": 1}])
def test_strengths_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Augmentation.model_validate(bad)


def test_loose_crops_leave_surroundings() -> None:
    loose = Augmentation(**{**OFF, "loose": 1.0, "loose_margin": 0.2})
    assert loose.needs()["margin"] == 0.2
    sizes = {loose.apply(a_sample(), np.random.default_rng(seed)).rgb.shape[:2] for seed in range(20)}
    assert len(sizes) > 5
    assert all(40 <= height <= 58 and 20 <= width <= 29 for height, width in sizes)
