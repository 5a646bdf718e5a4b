from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from onlooker.datasets.augment import Augmentation, choose_rectangle, erase, jitter_box, mirror, stretch_box, tilt
from onlooker.datasets.masks import LABELS
from onlooker.datasets.samples import Sample, cut

OFF = {name: 0.0 for name in Augmentation.model_fields if name != "low_resolution_least"}


ALL_AT_ONCE = Augmentation(
    box_jitter=0.2,
    loose=0.5,
    aspect=0.4,
    upper=0.2,
    lower=0.2,
    tilt=0.5,
    background=0.5,
    occlude=0.5,
    night=0.3,
    overexpose=0.3,
    motion_blur=0.3,
    low_resolution=0.5,
    low_resolution_least=0.15,
    blur=0.3,
    cast=0.5,
    noise=0.5,
    jpeg=0.5,
    erase=0.5,
)
SHIRT, JEANS = LABELS.index("shirt"), LABELS.index("jeans")


def noise(height: int = 60, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def a_sample(seed: int = 0) -> Sample:
    return Sample(noise(seed=seed), (5, 10, 20, 40), ("bag on her left shoulder",))


def dressed(shirt: tuple[int, int, int] = (250, 0, 0), jeans: tuple[int, int, int] = (0, 0, 250)) -> Sample:
    """A person of two garments in pure colours before dark green, with the mask that says which is which."""
    rgb = np.full((160, 100, 3), (0, 60, 0), np.uint8)
    mask = np.zeros((160, 100), np.uint8)
    cv2.ellipse(mask, (50, 60), (20, 30), 0, 0, 360, SHIRT, -1)
    cv2.rectangle(mask, (36, 85), (64, 140), JEANS, -1)
    rgb[mask == SHIRT], rgb[mask == JEANS] = shirt, jeans
    texts = ("red shirt, a bag on the left",)
    return Sample(rgb, (30, 30, 40, 111), texts, mask, {"shirt": ["red"], "jeans": ["blue"]})


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
    mask = rng.integers(0, 3, (height, width), dtype=np.uint8) * 13 if seed % 3 else None
    sample = Sample(noise(height, width), (width * 0.1, 0, width * 0.8, height), ("text",), mask)
    before = sample.rgb.copy()
    varied = Augmentation(**strengths).apply(sample, rng)
    assert (varied.mask is None) == (mask is None)
    if varied.mask is not None:
        assert varied.mask.shape == varied.rgb.shape[:2]
        assert varied.mask.dtype == np.uint8
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


@given(st.floats(0, 0.5), st.integers(0, 2**32))
def test_jitter_stays_within_its_strength(strength: float, seed: int) -> None:
    x, y, w, h = jitter_box((10, 20, 30, 60), strength, np.random.default_rng(seed))
    assert abs(x - 10) <= 30 * strength + 1e-9
    assert abs(y - 20) <= 60 * strength + 1e-9
    assert 3 - 1e-9 <= w <= 30 * (1 + 2 * strength) + 1e-9
    assert 6 - 1e-9 <= h <= 60 * (1 + 2 * strength) + 1e-9


def test_erasing_covers_one_small_rectangle() -> None:
    rgb = noise(100, 50)
    for seed in range(20):
        place = choose_rectangle(100, 50, np.random.default_rng(seed))
        erased = erase(Sample(rgb, (0, 0, 50, 100), mask=np.full((100, 50), 7, np.uint8)), *place)
        changed = (erased.rgb != rgb).any(axis=2)
        assert erased.mask is not None
        assert (erased.mask[changed] == 0).all()
        assert (erased.mask == 0).sum() >= changed.sum()
        rows, columns = np.nonzero(changed)
        assert 0.01 < changed.mean() < 0.14
        assert changed[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.98


def test_needs() -> None:
    assert Augmentation().needs() == {"margin": 0.08, "masks": False}
    assert Augmentation(box_jitter=0.2, recolour=0.3).needs() == {"margin": 0.2, "masks": True}
    assert Augmentation(background=0.1).needs() == {"margin": 0.08, "masks": True}
    assert Augmentation(aspect=np.log(1.5)).needs()["margin"] == pytest.approx(0.25)
    assert Augmentation(tilt=0.1).needs()["margin"] > 0.08


@pytest.mark.parametrize(
    "bad",
    [
        {"flip": 1.2},
        {"box_jitter": 0.6},
        {"brightness": -0.1},
        {"rotate": 1},
        {"upper": 0.6, "lower": 0.5},
        {"night": 0.6, "overexpose": 0.5},
        {"low_resolution_least": 0.0},
        {"low_resolution_least": 0.9},
    ],
)
def test_strengths_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Augmentation.model_validate(bad)


def test_loose_crops_leave_surroundings() -> None:
    loose = Augmentation(**{**OFF, "loose": 1.0, "loose_margin": 0.2})
    assert loose.needs()["margin"] == 0.2
    sizes = {loose.apply(a_sample(), np.random.default_rng(seed)).rgb.shape[:2] for seed in range(20)}
    assert len(sizes) > 5
    assert all(40 <= height <= 58 and 20 <= width <= 29 for height, width in sizes)


GEOMETRY = {**OFF, "box_jitter": 0.2, "loose": 0.5, "loose_margin": 0.3, "aspect": 0.4, "tilt": 0.6, "flip": 0.5}


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_the_mask_stays_on_what_it_marks(seed: int) -> None:
    strengths = {**GEOMETRY, "upper": 0.2, "lower": 0.2}
    varied = Augmentation(**strengths).apply(dressed(), np.random.default_rng(seed))
    assert varied.mask is not None
    # Pure colours say which garment a pixel shows; half mixed ones at edges say nothing.
    shirt = varied.rgb[..., 0] > 200
    jeans = varied.rgb[..., 2] > 200
    ground = varied.rgb.max(axis=2) < 70
    assert (varied.mask[shirt] == SHIRT).mean() > 0.97 if shirt.any() else True
    assert (varied.mask[jeans] == JEANS).mean() > 0.97 if jeans.any() else True
    assert (varied.mask[ground] == 0).mean() > 0.97 if ground.any() else True
    assert shirt.any() or jeans.any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_what_the_mask_marks_is_still_seen(seed: int) -> None:
    strengths = {**GEOMETRY, "background": 0.7, "occlude": 0.7, "erase": 0.7}
    varied = Augmentation(**strengths).apply(dressed(), np.random.default_rng(seed))
    assert varied.mask is not None
    for label, channel in ((SHIRT, 0), (JEANS, 2)):
        # Inside a garment, away from soft edges, its colour is seen wherever the mask says so: nothing covers it.
        marked = np.pad((varied.mask == label).astype(np.uint8), 1)
        inside = cv2.erode(marked, np.ones((9, 9), np.uint8))[1:-1, 1:-1] > 0
        assert (varied.rgb[inside][:, channel] > 230).all()
        assert (np.delete(varied.rgb[inside], channel, axis=1) < 30).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_twins_undergo_the_same(seed: int) -> None:
    first = dressed((180, 40, 40), (40, 60, 170))
    second = dressed((40, 60, 170), (180, 40, 40))
    rngs = [np.random.default_rng(seed) for _ in range(2)]
    one, other = (ALL_AT_ONCE.apply(each, rng) for each, rng in zip((first, second), rngs, strict=True))
    assert one.rgb.shape == other.rgb.shape
    assert one.box == other.box
    assert one.texts == other.texts
    np.testing.assert_array_equal(one.mask, other.mask)
    assert rngs[0].random() == rngs[1].random()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_twins_have_the_same_surroundings(seed: int) -> None:
    chosen = Augmentation(**{**GEOMETRY, "background": 1.0, "occlude": 0.5})
    one, other = (
        chosen.apply(each, np.random.default_rng(seed))
        for each in (dressed((180, 40, 40), (40, 60, 170)), dressed((40, 60, 170), (180, 40, 40)))
    )
    assert one.mask is not None
    # Two pixels away, since a garment shows through the soft edge of an obstacle; through a thin one it shimmers.
    away = cv2.dilate((one.mask > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    apart = np.abs(one.rgb[away].astype(int) - other.rgb[away]).max(axis=1, initial=0)
    assert not away.any() or (apart <= 8).mean() > 0.98


def test_without_a_mask_the_rest_goes_on_alike() -> None:
    chosen = Augmentation(**{**GEOMETRY, "background": 1.0})
    for seed in range(10):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        masked = chosen.apply(dressed(), rngs[0])
        plain = chosen.apply(replace(dressed(), mask=None), rngs[1])
        assert plain.mask is None
        assert plain.rgb.shape == masked.rgb.shape
        assert rngs[0].random() == rngs[1].random()


def test_recolouring_draws_as_much_whatever_it_finds() -> None:
    chosen = Augmentation(**{**GEOMETRY, "recolour": 1.0})
    for seed in range(10):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        patterned = replace(dressed(), rgb=noise(160, 100))
        shapes = {chosen.apply(each, rng).rgb.shape for each, rng in zip((dressed(), patterned), rngs, strict=True)}
        assert len(shapes) == 1
        assert rngs[0].random() == rngs[1].random()


@pytest.mark.parametrize("kind", sorted(set(OFF) - {"box_jitter", "loose", "loose_margin", "recolour"}))
def test_every_kind_does_something(kind: str) -> None:
    sample = dressed((180, 40, 40), (40, 60, 170))
    plain = Augmentation(**OFF).apply(sample, np.random.default_rng(0))
    chosen = Augmentation(**{**OFF, kind: 1.0})
    varied = [chosen.apply(sample, np.random.default_rng(seed)).rgb for seed in range(5)]
    # A movement of less than a pixel blurs nothing, so not every draw needs to show.
    assert sum(rgb.shape != plain.rgb.shape or bool((rgb != plain.rgb).any()) for rgb in varied) >= 3


def test_upper_and_lower_show_that_part() -> None:
    for seed in range(20):
        upper = Augmentation(**{**OFF, "upper": 1.0}).apply(dressed(), np.random.default_rng(seed))
        lower = Augmentation(**{**OFF, "lower": 1.0}).apply(dressed(), np.random.default_rng(seed))
        for part in (upper, lower):
            assert part.mask is not None
            assert 0.39 * 111 <= part.rgb.shape[0] <= 0.71 * 111 + 1
            assert part.box[2:] == (40, 111)
        assert upper.box[1] == 0
        assert (upper.mask[:30] == SHIRT).sum() > 300
        assert lower.box[1] < 0
        assert (lower.mask[-30:] == JEANS).mean() > 0.6


@pytest.mark.parametrize(("stretch", "sides"), [(0.4, (1.4918, 1)), (-0.4, (1, 1.4918)), (0.0, (1, 1))])
def test_stretching_lengthens_one_side_about_the_middle(stretch: float, sides: tuple[float, float]) -> None:
    x, y, w, h = stretch_box((10, 20, 30, 60), stretch)
    assert (w / 30, h / 60) == pytest.approx(sides, rel=1e-3)
    assert (x + w / 2, y + h / 2) == pytest.approx((25, 50))


@settings(max_examples=50, deadline=None)
@given(st.floats(-7, 7), st.floats(-0.08, 0.08))
def test_tilting_takes_box_and_mask_along(degrees: float, shear: float) -> None:
    sample = dressed()
    turned, box = tilt(sample, sample.box, degrees, shear)
    assert turned.mask is not None
    assert turned.mask.shape == turned.rgb.shape[:2]
    assert box[2:] == sample.box[2:]
    # The middle of the crop stays where it is; the person's box holds all of the person that is in the picture.
    middle = cut(turned, (box[0] + box[2] / 2 - 1, box[1] + box[3] / 2 - 1, 2, 2))
    assert middle.mask is not None
    assert set(middle.mask.ravel()) <= {SHIRT, JEANS}
    rows, columns = np.nonzero(turned.mask)
    x, y, w, h = turned.box
    assert x - 1 <= columns.min()
    assert columns.max() <= x + w + 1
    assert y - 1 <= rows.min()
    assert rows.max() <= y + h + 1


def test_tilting_by_nothing_changes_nothing() -> None:
    sample = dressed()
    turned, box = tilt(sample, sample.box, 0, 0)
    np.testing.assert_array_equal(cut(turned, box).rgb, cut(sample, sample.box).rgb)
    np.testing.assert_array_equal(cut(turned, box).mask, cut(sample, sample.box).mask)


def test_positive_angles_turn_clockwise() -> None:
    turned, box = tilt(dressed(), dressed().box, 7, 0)
    head, feet = (np.nonzero((cut(turned, box).mask == label).any(axis=0))[0].mean() for label in (SHIRT, JEANS))
    assert head > feet + 3


def test_low_resolution_reaches_its_least() -> None:
    coarse = Augmentation(**{**OFF, "low_resolution": 1.0}, low_resolution_least=0.1)
    default = Augmentation(**{**OFF, "low_resolution": 1.0})
    sample = Sample(noise(120, 60), (0, 0, 60, 120))

    def sharpest(chosen: Augmentation) -> float:
        return min(float(chosen.apply(sample, np.random.default_rng(seed)).rgb.std()) for seed in range(40))

    assert sharpest(coarse) < 0.6 * sharpest(default)


def test_the_strengths_in_the_docs_are_those_of_the_picture() -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "datasets.md").read_text(encoding="utf-8")
    block = page.split("[data.augmentation]\n", 1)[1].split("```", 1)[0]
    documented = {key: float(value) for key, value in re.findall(r"^(\w+) = ([\d.]+)$", block, re.MULTILINE)}
    script = (root / "scripts" / "draw_augmentations.py").read_text(encoding="utf-8")
    block = script.split("CAMERAS = Augmentation(\n", 1)[1].split(")\n", 1)[0]
    drawn = {key: float(value) for key, value in re.findall(r"^    (\w+)=([\d.]+),$", block, re.MULTILINE)}
    assert len(drawn) > 10
    assert documented == drawn
    Augmentation.model_validate(documented)
