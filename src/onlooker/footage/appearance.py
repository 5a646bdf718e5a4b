"""Whether somebody who appears is who was just lost from sight: by place and size, and by the bundle's own vectors.

Encoding a crop costs a sixth of looking at a frame, so vectors are made only where the question arises, and those of a
track's best views are made anyway: they become its vector when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.footage.views import View, pool

if TYPE_CHECKING:
    from onlooker.runtime.encoder import EncoderLike

Place = tuple[float, float, float, float, float]
"""Time in seconds and box x0, y0, x1, y1 of one detection."""


@dataclass(frozen=True)
class RejoinOptions:
    """When two tracks are one person; how the values were chosen is in docs/footage.md.

    Attributes:
        likeness: Least inner product of the pooled vectors of the views of both.
        gap_s: Somebody who was out of sight for longer counts anew. It delays the end of every track that does not
            leave the picture, and so the moment from which its person can be found.
        edge_s: The same for who was last seen at an edge of the picture, and therefore has most likely left it.
        near: A person appears at most this many body heights from where he or she was lost or would have walked on to,
        reach_per_s: and this many more for each second out of sight.
        size: The larger is at most this many times as tall as the smaller.
        views: How many views of each are compared.
    """

    likeness: float = 0.7
    gap_s: float = 1.6
    edge_s: float = 0.6
    near: float = 0.5
    reach_per_s: float = 1.0
    size: float = 1.5
    views: int = 3


PACE_S = 1.0
"""Over this long before somebody was lost the pace is measured at which he or she would have walked on."""


def plausible(lost: Sequence[Place], found: Place, options: RejoinOptions) -> bool:
    """Say whether somebody who was lost can be where somebody appears, going by place, size and time alone.

    Args:
        lost: The places of who was lost, in the order of their times, at least one.
        found: The first place of who appeared, later than the last of ``lost``.
        options: What is allowed.

    Returns:
        Whether it can be the same person.
    """
    last = lost[-1]
    gap_s = found[0] - last[0]
    if not 0 < gap_s <= options.gap_s + 1e-6:
        return False
    heights = (last[4] - last[2], found[4] - found[2])
    if max(heights) > options.size * min(heights):
        return False
    here, there = _feet(last), _feet(found)
    earlier = next(place for place in lost if last[0] - place[0] <= PACE_S + 1e-6)
    walked_on = here
    if earlier[0] < last[0]:
        walked_on = here + (here - _feet(earlier)) / (last[0] - earlier[0]) * gap_s
    distance = min(float(np.linalg.norm(there - here)), float(np.linalg.norm(there - walked_on)))
    return distance <= (options.near + options.reach_per_s * gap_s) * max(heights)


def likeness(views: Sequence[View], others: Sequence[View], encoder: EncoderLike) -> float:
    """Return how alike two people look: the inner product of their pooled vectors, -1..1.

    Args:
        views: Views of the one, at least one.
        others: Views of the other.
        encoder: Makes the vectors that are missing yet.
    """
    describe([*views, *others], encoder)
    return float(vector_of(views) @ vector_of(others))


def describe(views: Sequence[View], encoder: EncoderLike) -> None:
    """Give each view its vector where it has none yet, all in one batch."""
    missing = [view for view in views if view.vector is None]
    if missing:
        vectors = encoder.encode_images([view.crop for view in missing], len(missing))
        for view, vector in zip(missing, vectors, strict=True):
            view.vector = vector


def vector_of(views: Sequence[View]) -> NDArray[np.float32]:
    """Return the pooled vector of described views."""
    return pool(np.array([view.vector for view in views], np.float32))


def _feet(place: Place) -> NDArray[np.float64]:
    """Return where somebody stands: sizes that jitter move the middle of a box, hardly its foot."""
    return np.array([(place[1] + place[3]) / 2, place[4]])
