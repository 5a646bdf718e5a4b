from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onlooker.datasets import degrade
from onlooker.datasets.recolour import PALETTE

NAMES = list(PALETTE)

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

CHANGES: dict[str, Change] = {
    "tone": lambda rgb, _: degrade.change_tone(rgb, brightness=1.2, contrast=0.8, gamma=0.8, saturation=0.9),
    "night": degrade.darken,
    "overexpose": degrade.overexpose,
    "blur": lambda rgb, _: degrade.blur(rgb, 1.2),
    "motion": lambda rgb, rng: degrade.blur_motion(rgb, rgb.shape[1] * 0.1, float(rng.normal(0, 25))),
    "low resolution": lambda rgb, _: degrade.lose_resolution(rgb, 0.15),
    "noise": lambda rgb, rng: degrade.add_noise(rgb, 9, rng),
    "cast": lambda rgb, rng: degrade.cast(rgb, float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))),
    "jpeg": lambda rgb, _: degrade.compress(rgb, 25),
}


def noise(height: int = 60, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def lab_of(colour: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    return cv2.cvtColor(np.asarray(colour, np.float32).reshape(1, 1, 3) / 255, cv2.COLOR_RGB2LAB)[0, 0]


def name_of(colour: np.ndarray) -> str:
    """The palette's nearest colour in CIELAB."""
    return min(NAMES, key=lambda name: float(np.linalg.norm(lab_of(colour) - lab_of(PALETTE[name]))))


def hues(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[..., 0]


def patches() -> np.ndarray:
    """Every colour of the palette as a flat square of 24 px, in a row."""
    return np.hstack([np.full((24, 24, 3), PALETTE[name], np.uint8) for name in NAMES])


def squares(rgb: np.ndarray) -> dict[str, np.ndarray]:
    """The mean colour inside each square of ``patches``."""
    return {name: rgb[6:-6, 24 * i + 6 : 24 * i + 18].reshape(-1, 3).mean(axis=0) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("kind", CHANGES)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 50))
@example(0, 1, 1)
def test_any_size_comes_back_in_its_size_and_from_the_generator_alone(
    kind: str, seed: int, height: int, width: int
) -> None:
    rgb = noise(height, width)
    before = rgb.copy()
    once, again = (CHANGES[kind](rgb, np.random.default_rng(seed)) for _ in range(2))
    assert once.dtype == np.uint8
    assert once.shape == rgb.shape
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(rgb, before)


@pytest.mark.parametrize("kind", CHANGES)
def test_chance_does_not_depend_on_pixels(kind: str) -> None:
    after = []
    for rgb in (noise(seed=0), noise(seed=1), np.zeros((60, 30, 3), np.uint8)):
        rng = np.random.default_rng(3)
        CHANGES[kind](rgb, rng)
        after.append(rng.random())
    assert len(set(after)) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_colours_keep_their_names(seed: int) -> None:
    rgb, rng = patches(), np.random.default_rng(seed)
    changed = {
        "cast": degrade.cast(rgb, float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))),
        "noise": degrade.add_noise(rgb, float(rng.uniform(2, 9)), rng),
        "jpeg": degrade.compress(rgb, int(rng.integers(25, 76))),
        "blur": degrade.blur(rgb, float(rng.uniform(0.4, 1.4))),
        "low resolution": degrade.lose_resolution(rgb, float(rng.uniform(0.15, 0.8))),
        "saturation": degrade.change_tone(rgb, saturation=float(np.exp(rng.uniform(-0.15, 0.15)))),
    }
    for kind, picture in changed.items():
        assert {name: name_of(colour) for name, colour in squares(picture).items()} == {n: n for n in NAMES}, kind
    for name in NAMES:
        # Along a line, neighbouring squares would mix: the whole picture is one colour here.
        flat = np.full((40, 24, 3), PALETTE[name], np.uint8)
        moved = degrade.blur_motion(flat, 2.4, float(rng.normal(0, 25)))
        assert name_of(moved.reshape(-1, 3).mean(axis=0)) == name


@pytest.mark.parametrize(("warmth", "tint"), [(w, t) for w in (-1, 0, 1) for t in (-1, 0, 1)])
def test_the_strongest_cast_renames_no_colour(warmth: float, tint: float) -> None:
    cast = degrade.cast(patches(), warmth, tint)
    assert {name: name_of(colour) for name, colour in squares(cast).items()} == {n: n for n in NAMES}
    if warmth:
        white = cast[12, 24 * NAMES.index("grey") + 12].astype(int)
        assert (white[0] - white[2]) * warmth > 3


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["night", "overexpose", "tone"]), st.integers(0, 2**32))
def test_light_changes_lightness_but_no_hue(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, colour in PALETTE.items():
        flat = np.full((40, 20, 3), colour, np.uint8)
        if kind == "tone":
            brightness, contrast, gamma = np.exp(rng.uniform(-0.25, 0.25, 3))
            changed = degrade.change_tone(flat, brightness=brightness, contrast=contrast, gamma=gamma)
        else:
            changed = CHANGES[kind](flat, rng)
        mean = changed.reshape(-1, 3).mean(axis=0)
        # Below that there is no hue to speak of: the palette's greys, and what is nearly black.
        if np.ptp(colour) < 25 or np.ptp(mean) < 12:
            continue
        apart = abs(float(hues(flat)[0, 0]) - float(hues(mean.reshape(1, 1, 3))[0, 0]))
        assert min(apart, 360 - apart) < 6, name


def test_night_is_dark_and_too_much_light_is_bright() -> None:
    rgb = np.clip(noise(), 60, 200)
    for seed in range(10):
        dark = degrade.darken(rgb, np.random.default_rng(seed))
        bright = degrade.overexpose(rgb, np.random.default_rng(seed))
        assert 0.15 * rgb.mean() < dark.mean() < 0.85 * rgb.mean()
        assert 1.1 * rgb.mean() < bright.mean() < 2 * rgb.mean()
    dim, dimmer = (degrade.darken(rgb, np.random.default_rng(0), exposure).mean() for exposure in (0.7, 0.3))
    assert dim > 1.5 * dimmer


def test_nearly_black_does_not_turn_vivid_when_it_is_lifted() -> None:
    rgb = np.full((40, 20, 3), 200, np.uint8)
    rgb[10:30] = (2, 2, 10)
    lifted = degrade.change_tone(rgb, contrast=0.6)[20, 10].astype(int)
    assert lifted.min() > 40
    assert np.ptp(lifted) <= 14


@pytest.mark.parametrize("sideways", [True, False])
def test_motion_blurs_along_its_line_alone(sideways: bool) -> None:
    rgb = np.zeros((41, 41, 3), np.uint8)
    rgb[20, 20] = 255
    blurred = degrade.blur_motion(rgb, 9, 0 if sideways else 90)
    rows, columns = np.nonzero(blurred[..., 0])
    long, short = (columns, rows) if sideways else (rows, columns)
    assert np.ptp(short) == 0
    assert 7 <= np.ptp(long) + 1 <= 11
    assert np.array_equal(degrade.blur_motion(rgb, 1, 0), rgb)


def test_noise_has_its_deviation_and_no_bias() -> None:
    flat = np.full((400, 700, 3), 128, np.uint8)
    noisy = degrade.add_noise(flat, 6, np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(6, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    other = degrade.add_noise(flat, 6, np.random.default_rng(1))
    assert (other != noisy).mean() > 0.5


def test_the_stored_noise_cannot_be_spoilt() -> None:
    with pytest.raises(ValueError, match="read-only"):
        degrade.grain(4, 4, np.random.default_rng(0))[0] = 1


@settings(max_examples=40, deadline=None)
@given(*(st.floats(0.4, 2.5) for _ in range(4)))
@example(2.0, 1.0, 1.0, 1.0)
def test_tone_never_changes_a_hue(brightness: float, contrast: float, gamma: float, saturation: float) -> None:
    rgb = noise(40, 40)
    varied = degrade.change_tone(rgb, brightness=brightness, contrast=contrast, gamma=gamma, saturation=saturation)
    apart = np.abs(hues(rgb) - hues(varied))
    # Hue is only defined where there is colour left; rounding to whole values moves it by up to 60 / spread degrees.
    coloured = np.ptp(varied.astype(int), axis=2) > 60
    assert (np.minimum(apart, 360 - apart)[coloured] < 1.5).all()


def test_tone_of_factor_one_changes_nothing() -> None:
    rgb = noise()
    np.testing.assert_array_equal(degrade.change_tone(rgb), rgb)


def test_tone_goes_the_right_way() -> None:
    rgb = np.clip(noise(), 40, 200)
    assert degrade.change_tone(rgb, brightness=1.2).mean() > rgb.mean()
    assert degrade.change_tone(rgb, brightness=0.8).mean() < rgb.mean()
    assert degrade.change_tone(rgb, gamma=0.7).mean() > rgb.mean()
    assert degrade.change_tone(rgb, contrast=0.5).std() < rgb.std()
    spread = np.ptp(rgb.astype(int), axis=2).mean()
    assert np.ptp(degrade.change_tone(rgb, saturation=0.3).astype(int), axis=2).mean() < spread * 0.5
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert np.ptp(degrade.change_tone(grey, saturation=2.0).astype(int), axis=2).max() == 0


def test_degrading_keeps_rough_content() -> None:
    smooth = cv2.GaussianBlur(noise(), (0, 0), 5)
    for degraded in (degrade.lose_resolution(smooth, 0.4), degrade.compress(smooth, 40)):
        assert np.abs(degraded.astype(int) - smooth).mean() < 12
    assert degrade.lose_resolution(noise(), 0.4).std() < noise().std()
