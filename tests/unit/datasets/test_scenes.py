from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onlooker.datasets import scenes
from onlooker.datasets.samples import Sample

RED = (190, 34, 38)


def standing(colour: tuple[int, int, int] = RED, height: int = 120, width: int = 60) -> Sample:
    """A person of one colour in the middle of a green place, with a mask."""
    rgb = np.full((height, width, 3), (40, 150, 60), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 8 : height * 7 // 8, width // 4 : width * 3 // 4] = 13
    rgb[mask > 0] = colour
    return Sample(rgb, (width / 4, height / 8, width / 2, height * 3 / 4), ("a person in red",), mask)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 120), st.integers(1, 80))
@example(0, 1, 1)
@example(1, 2, 2)
@example(2, 700, 600)
def test_a_scene_has_its_size_and_comes_from_the_generator_alone(seed: int, height: int, width: int) -> None:
    once, again = (scenes.draw_scene(height, width, np.random.default_rng(seed)) for _ in range(2))
    assert once.dtype == np.uint8
    assert once.shape == (height, width, 3)
    np.testing.assert_array_equal(once, again)


def test_scenes_differ() -> None:
    drawn = [scenes.draw_scene(64, 32, np.random.default_rng(seed)).astype(int) for seed in range(12)]
    apart = [np.abs(a - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]]
    assert np.median(apart) > 25
    assert len({int(scene.mean()) // 16 for scene in drawn}) >= 4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_new_background_leaves_the_person_and_replaces_the_rest(seed: int) -> None:
    sample = standing()
    assert sample.mask is not None
    changed = scenes.replace_background(sample, np.random.default_rng(seed))
    inside = cv2.erode((sample.mask > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    np.testing.assert_array_equal(changed.rgb[inside], sample.rgb[inside])
    np.testing.assert_array_equal(changed.mask, sample.mask)
    assert changed.texts == sample.texts
    # Nothing of the person's colour is smeared into its surroundings.
    outside = cv2.dilate((sample.mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    if np.random.default_rng(seed).random() < scenes.OWN_SURROUNDINGS:
        around = changed.rgb[outside].reshape(-1, 3).astype(int)
        assert (around[:, 1] > around[:, 0]).all()


@pytest.mark.parametrize("label", [0, 13])
def test_without_a_person_or_surroundings_nothing_changes(label: int) -> None:
    sample = standing()
    empty = replace(sample, mask=np.full(sample.rgb.shape[:2], label, np.uint8))
    for each in (empty, replace(sample, mask=None)):
        assert scenes.replace_background(each, np.random.default_rng(0)) is each


def test_the_edge_is_soft_and_inside_the_mask() -> None:
    sample = standing((255, 255, 255))
    assert sample.mask is not None
    seed = next(s for s in range(50) if np.random.default_rng(s).random() >= scenes.OWN_SURROUNDINGS)
    changed = scenes.replace_background(sample, np.random.default_rng(seed))
    black = scenes.replace_background(
        replace(sample, rgb=np.zeros_like(sample.rgb)), np.random.default_rng(seed)
    ).rgb.astype(int)
    # What differs between a white and a black person shows how much of it is seen.
    seen = (changed.rgb.astype(int) - black).mean(axis=2) / 255
    assert (seen[sample.mask == 0] < 0.02).all()
    row = seen[60, 15:25]
    assert row[0] < 0.6
    assert ((row > 0.02) & (row < 0.98)).sum() >= 1
    assert row[-1] > 0.98


def test_own_surroundings_are_moved_but_keep_their_colours() -> None:
    sample = standing()
    assert sample.mask is not None
    rgb = sample.rgb.copy()
    rgb[:, :10] = (30, 60, 200)
    person = (sample.mask > 0).astype(np.float32)
    places = [scenes.shuffle_surroundings(rgb, person, np.random.default_rng(seed)) for seed in range(6)]
    for place in places:
        assert place.shape == rgb.shape
        # Blue on one side and green on the other; of the person's red nothing is left.
        assert place[..., 0].max() < 60
    assert any((a != b).any() for a, b in pairwise(places))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(1, 60))
@example(198, 1, 1)
def test_an_obstacle_covers_what_it_says_and_nothing_else(seed: int, height: int, width: int) -> None:
    rgb = np.full((height, width, 3), 255, np.uint8)
    dark = np.zeros_like(rgb)
    seen, covered = scenes.draw_obstacle(rgb, np.random.default_rng(seed))
    behind, also = scenes.draw_obstacle(dark, np.random.default_rng(seed))
    assert covered.shape == rgb.shape[:2]
    np.testing.assert_array_equal(covered, also)
    clear = 1 - (seen.astype(int) - behind).mean(axis=2) / 255
    assert (clear[covered] > 0.4).all()
    assert (clear[~covered] < 0.6).all()
    assert (rgb == 255).all()


def test_obstacles_cover_a_part() -> None:
    shares = []
    for seed in range(200):
        _, covered = scenes.draw_obstacle(np.zeros((120, 60, 3), np.uint8), np.random.default_rng(seed))
        shares.append(float(covered.mean()))
    assert min(shares) > 0.01
    assert max(shares) < 0.5
    assert 0.08 < np.mean(shares) < 0.3
