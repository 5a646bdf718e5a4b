"""Places a camera might look at, drawn at random: what stands behind a person, and what stands in front.

A model that saw each person before one wall only learns the wall as well. Where a mask says which pixels are the
person, everything else is replaced: by a drawn street or room, or by the photograph's own surroundings, blurred and
moved. Nothing draws random numbers by pixel values. All pictures are uint8 RGB.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.degrade import blur, grain
from onlooker.datasets.samples import Sample

Colour = tuple[int, int, int]

_SURFACES: tuple[Colour, ...] = (
    (120, 120, 122),
    (160, 158, 154),
    (88, 88, 92),
    (196, 192, 184),
    (222, 220, 214),
    (142, 128, 108),
    (176, 152, 120),
    (128, 78, 62),
    (92, 66, 50),
    (96, 108, 118),
    (70, 84, 62),
    (58, 60, 64),
)
"""Stone, concrete, plaster, sand, brick, wood, slate, hedge, tarmac: what streets and rooms are made of."""

_THINGS: tuple[Colour, ...] = (
    *_SURFACES,
    (26, 26, 29),
    (236, 235, 232),
    (190, 34, 38),
    (40, 82, 165),
    (58, 140, 68),
    (228, 190, 62),
    (222, 118, 40),
    (30, 38, 72),
    (24, 125, 128),
)
"""Those, and the colours of cars, signs, doors and other people's clothes."""

_OWN_SURROUNDINGS = 0.3
"""Share of new backgrounds made of the photograph's own surroundings."""


def replace_background(sample: Sample, rng: np.random.Generator) -> Sample:
    """Put the person of a sample somewhere else.

    Args:
        sample: With a mask whose label 0 is what is not the person; without one, or where the mask is empty or full, it
            stays as it is.
        rng: Chooses and draws the place.

    Returns:
        The sample with other surroundings, a soft edge about two pixels wide between them and the person.
    """
    if sample.mask is None:
        return sample
    person = (sample.mask > 0).astype(np.float32)
    share = float(person.mean())
    if not 0 < share < 1:
        return sample
    height, width = person.shape
    own = rng.random() < _OWN_SURROUNDINGS
    place = shuffle_surroundings(sample.rgb, person, rng) if own else draw_scene(height, width, rng)
    # Masks reach a pixel too far here and there, so the edge lies inside them: no seam of the old background.
    alpha = np.clip(2 * cv2.GaussianBlur(person, (5, 5), 1.0) - 1, 0, 1)
    rgb = cv2.blendLinear(np.ascontiguousarray(sample.rgb), place, alpha, 1 - alpha)
    return replace(sample, rgb=rgb.astype(np.uint8, copy=False))


def draw_scene(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a place: ground and a wall, outdoors or indoors, with things about, light from one side, more or less sharp.

    Args:
        height: In pixels.
        width: In pixels.
        rng: Chooses everything.

    Returns:
        uint8 (height, width, 3).
    """
    canvas = np.empty((height, width, 3), dtype=np.uint8)
    # A camera high above sees ground alone, one at eye level mostly wall.
    horizon = int(np.clip(rng.uniform(-0.25, 0.95), 0, 1) * height)
    _draw_wall(canvas[:horizon], rng)
    _draw_ground(canvas[horizon:], rng)
    if horizon and rng.random() < 0.5:
        kerb = int(rng.integers(1, max(2, height // 30) + 1))
        canvas[max(0, horizon - kerb) : horizon] = _colour(_SURFACES, rng)
    for _ in range(int(rng.integers(0, 6))):
        _draw_thing(canvas, horizon, rng)
    return _finish(canvas, rng)


def shuffle_surroundings(
    rgb: NDArray[np.uint8], person: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Make a place of a photograph's own surroundings: the person filled in, mirrored, moved sideways, blurred.

    Args:
        rgb: uint8 (h, w, 3).
        person: float32 (h, w), 1 where the person is and 0 elsewhere.
        rng: Chooses mirroring, shift and blur.

    Returns:
        uint8 (h, w, 3).
    """
    height, width = person.shape
    around = 1 - cv2.dilate(person, np.ones((3, 3), np.uint8))
    # Filling at a quarter of the size is as good, since nothing sharp can be known behind the person.
    size = max(1, width // 4), max(1, height // 4)
    weight = cv2.resize(around, size, interpolation=cv2.INTER_AREA)
    light = cv2.resize(rgb * around[..., None], size, interpolation=cv2.INTER_AREA)
    total = np.full(size[::-1], 1e-6, np.float32)
    filled = np.full((*size[::-1], 3), 127e-6, np.float32)
    for sigma in (1.0, 3.0, 9.0, 27.0):
        # Each wider blur only matters where the narrower ones found nothing.
        share = 100.0 ** -np.log(sigma) + 1e-4
        total += np.float32(share) * cv2.GaussianBlur(weight, (0, 0), sigma)
        filled += np.float32(share) * cv2.GaussianBlur(light, (0, 0), sigma)
    behind = cv2.resize(filled / total[..., None], (width, height), interpolation=cv2.INTER_LINEAR)
    place = np.clip(rgb * around[..., None] + behind * (1 - around)[..., None], 0, 255).astype(np.uint8)
    mirrored, shift, strength = rng.random(3)
    if mirrored < 0.5:
        place = place[:, ::-1]
    place = np.roll(place, int(shift * width), axis=1)
    return blur(np.ascontiguousarray(place), 0.5 + 0.04 * width * float(strength))


def draw_obstacle(rgb: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Put something between camera and person: a low wall or car, something at one side, or a post.

    Args:
        rgb: uint8 (h, w, 3).
        rng: Chooses kind, size, colour and texture.

    Returns:
        The picture as uint8 (h, w, 3), and bool (h, w): what is covered.
    """
    height, width = rgb.shape[:2]
    kind, size, place, lean, rounded = rng.random(5)
    shape = np.zeros((height, width), np.uint8)
    if kind < 0.5:
        top = height * (1 - (0.1 + 0.28 * size))
        slope = height * 0.08 * (lean - 0.5)
        corners = [(0, top + slope), (width, top - slope), (width, height), (0, height)]
        if rounded < 0.4:
            # Like the bonnet of a car: an arch over the lower edge.
            middle = int(width * place), height
            cv2.ellipse(shape, middle, (max(1, int(width * 0.7)), max(1, int(height - top))), 0, 0, 360, 1, -1)
            corners = []
    elif kind < 0.8:
        wide = width * (0.1 + 0.28 * size)
        slope = width * 0.12 * (lean - 0.5)
        corners = [(0, 0), (wide + slope, 0), (wide - slope, height), (0, height)]
        if rounded < 0.5:
            corners = [(width - x, y) for x, y in corners]
    else:
        wide = width * (0.06 + 0.12 * size)
        left = place * (width - wide)
        slope = width * 0.1 * (lean - 0.5)
        corners = [(left + slope, 0), (left + wide + slope, 0), (left + wide - slope, height), (left - slope, height)]
    if corners:
        cv2.fillConvexPoly(shape, np.rint(corners).astype(np.int32), 1)
    surface = np.empty_like(rgb)
    (_draw_ground if rng.random() < 0.3 else _draw_wall)(surface, rng, _THINGS)
    surface = _finish(surface, rng)
    covered = shape > 0
    return np.where(covered[..., None], surface, rgb), covered


def _colour(choices: tuple[Colour, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return one of the colours, lighter or darker and a little off, as float32 (3,)."""
    base = np.array(choices[int(rng.integers(len(choices)))], dtype=np.float32)
    return np.clip(base * rng.uniform(0.7, 1.25) + rng.uniform(-8, 8, 3), 8, 248).astype(np.float32)


def _draw_wall(canvas: NDArray[np.uint8], rng: np.random.Generator, colours: tuple[Colour, ...] = _SURFACES) -> None:
    """Fill with a wall: plain, bricks, panels, shutters or windows."""
    height, width = canvas.shape[:2]
    colour, joint = _colour(colours, rng), _colour(colours, rng)
    kind, size, share = rng.random(3)
    canvas[:] = colour
    if height < 2 or width < 2 or kind < 0.25:
        return
    rows, columns = np.arange(height), np.arange(width)
    if kind < 0.45:
        tall = max(3, int(height * (0.02 + 0.05 * size)))
        wide = max(5, int(tall * (2 + 2 * share)))
        course = rows // tall
        upright = (columns + (course % 2)[:, None] * (wide // 2)) % wide == 0
        # Each brick has its own shade.
        number = course[:, None] * 7 + (columns + (course % 2)[:, None] * (wide // 2)) // wide * 13
        canvas[:] = np.clip(colour + ((number * 37) % 17 - 8)[..., None], 0, 255)
        canvas[(rows % tall == 0)[:, None] | upright] = 0.5 * colour + 0.5 * joint
    elif kind < 0.65:
        wide = max(4, int(width * (0.15 + 0.5 * size)))
        canvas[:, columns // wide % 2 == 1] = 0.75 * colour + 0.25 * joint
        canvas[:, columns % wide == 0] = 0.6 * colour
    elif kind < 0.8:
        tall = max(3, int(height * (0.02 + 0.04 * size)))
        canvas[rows % tall < max(1, tall // 3)] = (0.65 + 0.25 * share) * colour
    else:
        # Windows or shelves: a grid of lighter or darker openings in frames.
        tall, wide = max(6, int(height * (0.2 + 0.3 * size))), max(6, int(width * (0.25 + 0.4 * share)))
        inside = (rows % tall > tall * 0.25)[:, None] & (columns % wide > wide * 0.25)
        canvas[inside] = joint
        canvas[(rows % tall == int(tall * 0.6))[:, None] & inside] = 0.5 * colour


def _draw_ground(canvas: NDArray[np.uint8], rng: np.random.Generator, colours: tuple[Colour, ...] = _SURFACES) -> None:
    """Fill with ground in perspective: tarmac, slabs, planks or stripes of a crossing."""
    height, width = canvas.shape[:2]
    colour, joint = _colour(colours, rng), _colour(colours, rng)
    kind, size, place = rng.random(3)
    canvas[:] = colour
    if height < 4 or width < 4 or kind < 0.35:
        return
    line = tuple(float(value) for value in 0.6 * colour + 0.2 * joint)
    vanishing = int(width * (2 * place - 0.5)), int(-height * (0.3 + size))
    gaps = 3 + int(5 * size)
    # Depths in equal steps lie ever closer together towards the horizon.
    depths = height / (1 + 0.5 * np.arange(12) * (0.4 + size))
    if kind < 0.85:
        for foot in np.linspace(-1.5 * width, 2.5 * width, 4 * gaps):
            cv2.line(canvas, (int(foot), height), vanishing, line, 1, cv2.LINE_AA)
        if kind < 0.65:
            for depth in depths:
                cv2.line(canvas, (0, int(depth)), (width, int(depth)), line, 1)
    else:
        pale = tuple(float(value) for value in 0.4 * colour + 0.6 * 225)
        for number, foot in enumerate(np.linspace(-1.5 * width, 2.5 * width, 2 * gaps)):
            if number % 2:
                step = 2 * width / gaps
                corners = np.array([(foot, height), (foot + step, height), vanishing], dtype=np.float32)
                cv2.fillConvexPoly(canvas, np.rint(corners).astype(np.int32), pale)


def _draw_thing(canvas: NDArray[np.uint8], horizon: int, rng: np.random.Generator) -> None:
    """Add something that stands about: a car, a bush, a door, a post, a sign, somebody far away."""
    height, width = canvas.shape[:2]
    kind, x, y, w, h = rng.random(5)
    main, other = (tuple(float(value) for value in _colour(_THINGS, rng)) for _ in range(2))
    middle = int(width * x)
    foot = int(min(height, max(horizon, height * 0.25) + height * 0.12 * y))
    if kind < 0.25:
        wide, tall = int(width * (0.2 + 0.5 * w)), int(height * (0.06 + 0.12 * h))
        cv2.rectangle(canvas, (middle - wide, foot - tall), (middle + wide, foot), main, -1)
        cv2.ellipse(
            canvas, (middle, foot - tall), (max(1, wide * 2 // 3), max(1, tall * 2 // 3)), 0, 180, 360, main, -1
        )
        cv2.rectangle(
            canvas, (middle - wide // 2, foot - tall - tall // 3), (middle + wide // 2, foot - tall), other, -1
        )
    elif kind < 0.45:
        radius = int(width * (0.05 + 0.2 * w))
        for step in range(4):
            spot = middle + int((step - 1.5) * radius * 0.7), foot - int(radius * (0.6 + 0.5 * h * (step % 2)))
            cv2.circle(canvas, spot, max(1, radius), (50 + 40 * w, 70 + 50 * h, 40 + 20 * y), -1)
    elif kind < 0.65:
        wide, tall = int(width * (0.1 + 0.15 * w)), int(height * (0.3 + 0.4 * h))
        cv2.rectangle(canvas, (middle - wide, foot - tall), (middle + wide, foot), main, -1)
        cv2.rectangle(canvas, (middle - wide, foot - tall), (middle + wide, foot), other, 1)
    elif kind < 0.8:
        cv2.line(canvas, (middle, 0), (middle, foot), main, max(1, int(width * (0.01 + 0.04 * w))))
    elif kind < 0.9:
        wide, tall = int(width * (0.05 + 0.15 * w)), int(height * (0.03 + 0.08 * h))
        top = int(height * 0.6 * y)
        cv2.rectangle(canvas, (middle - wide, top), (middle + wide, top + tall), main, -1)
    else:
        tall = int(height * (0.15 + 0.25 * h))
        wide = max(1, tall // 7)
        cv2.rectangle(canvas, (middle - wide, foot - tall), (middle + wide, foot - tall // 2), main, -1)
        cv2.rectangle(canvas, (middle - wide * 2 // 3, foot - tall // 2), (middle + wide * 2 // 3, foot), other, -1)
        cv2.circle(canvas, (middle, foot - tall - wide), max(1, wide * 2 // 3), (150.0, 115.0, 95.0), -1)


def _finish(canvas: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light a drawing from one side, blur it as far as it is out of focus and give it the grain of a real surface."""
    height, width = canvas.shape[:2]
    across, down, level, focus, rough = rng.random(5)
    light = (
        0.75
        + 0.4 * level
        + np.linspace(-0.3, 0.3, width, dtype=np.float32) * (2 * across - 1)
        + np.linspace(-0.3, 0.3, height, dtype=np.float32)[:, None] * (2 * down - 1)
    ).astype(np.float32)
    soft = blur(canvas, 0.4 + 0.015 * width * float(focus))
    spots = cv2.resize(
        np.ascontiguousarray(grain(max(2, height // 8), max(2, width // 8), rng)),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    surface = (
        soft * light[..., None] + spots * np.float32(2 + 5 * rough) + grain(height, width, rng) * np.float32(2 * rough)
    )
    out: NDArray[np.uint8] = np.clip(surface, 0, 255).astype(np.uint8)
    return out
