from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker.footage.appearance import Place, RejoinOptions, describe, likeness, plausible
from onlooker.footage.views import View
from onlooker.runtime.fake import FakeEncoder
from tests.unit.footage.painted import BLACK, BLUE, RED, WHITE, Painted, scene

OPTIONS = RejoinOptions()


def place(time_s: float, x: float, foot: float = 200, height: float = 100) -> Place:
    return (time_s, x, foot - height, x + 40, foot)


STANDING = [place(0.2 * step, 100) for step in range(10)]
WALKING = [place(0.2 * step, 20 * step) for step in range(10)]
"""Ends at 1.8 s at x = 180, a body height a second to the right."""


@pytest.mark.parametrize(
    ("lost", "found", "expected"),
    [
        (STANDING, place(2.8, 100), True),
        (STANDING, place(2.8, 230), True),
        (STANDING, place(2.8, 270), False),
        (STANDING, place(1.8, 100), False),
        (STANDING, place(1.6, 100), False),
        (STANDING, place(3.4, 100), True),
        (STANDING, place(3.6, 100), False),
        (STANDING, place(2.8, 100, height=140), True),
        (STANDING, place(2.8, 100, height=160), False),
        # Who walks may have gone on walking, or have stopped behind the tree.
        (WALKING, place(3.0, 180 + 120), True),
        (WALKING, place(3.0, 180), True),
        (WALKING, place(3.0, 180 - 190), False),
        (WALKING, place(3.0, 180 + 120 + 160), True),
        (WALKING[-1:], place(3.0, 180), True),
    ],
)
def test_where_somebody_can_appear_again(lost: Sequence[Place], found: Place, expected: bool) -> None:
    assert plausible(lost, found, OPTIONS) is expected


def views_of(upper: tuple[int, int, int], lower: tuple[int, int, int], count: int = 2) -> list[View]:
    picture = scene([Painted(0, 9, upper, lower, x_px=60)], 0.0)[20:100, 60:84]
    return [View(float(number), (60, 20, 24, 80), picture, 0.9, 0.9) for number in range(count)]


class CountingEncoder(FakeEncoder):
    """Counts the crops it encodes."""

    crops = 0

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        self.crops += len(pictures)
        return super().encode_images(pictures, batch_size)


def test_the_same_clothes_are_alike_and_others_are_not() -> None:
    encoder = FakeEncoder()
    assert likeness(views_of(RED, BLUE), views_of(RED, BLUE), encoder) == pytest.approx(1, abs=1e-5)
    assert likeness(views_of(RED, BLUE), views_of(WHITE, BLACK), encoder) < OPTIONS.likeness


def test_no_view_is_encoded_twice() -> None:
    encoder = CountingEncoder()
    views, others = views_of(RED, BLUE), views_of(WHITE, BLACK)
    describe(views, encoder)
    vectors = [view.vector for view in views]
    likeness(views, others, encoder)
    assert encoder.crops == 4
    describe([*views, *others], encoder)
    assert encoder.crops == 4
    assert all(view.vector is vector for view, vector in zip(views, vectors, strict=True))
