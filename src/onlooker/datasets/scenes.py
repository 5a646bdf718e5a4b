"""Places a camera might look at, drawn at random: what stands behind a person, and what stands in front.

A model that saw each person before one wall only learns the wall as well. Where a mask says which pixels are the
person, everything else is replaced: by a drawn street or room, or by the photograph's own surroundings, blurred and
moved. Nothing draws random numbers by pixel values. All pictures are uint8 RGB.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.degrade import add, blur, grain, light_by, window
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

OWN_SURROUNDINGS = 0.3
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
    own = rng.random() < OWN_SURROUNDINGS
    place = shuffle_surroundings(sample.rgb, person, rng) if own else draw_scene(height, width, rng)
    if not own:
        place = _cast_shadow(place, person, rng)
    # Masks reach a pixel too far here and there, so the edge lies inside them: no seam of the old background.
    alpha = np.clip(3 * cv2.GaussianBlur(person, (5, 5), 1.0) - 2, 0, 1)
    rgb = cv2.blendLinear(np.ascontiguousarray(sample.rgb), place, alpha, 1 - alpha)
    return replace(sample, rgb=rgb.astype(np.uint8, copy=False))


def _cast_shadow(place: NDArray[np.uint8], person: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Darken the ground around the feet: a person without a shadow floats."""
    height, width = person.shape
    depth, lean = rng.random(2)
    foot = int(np.flatnonzero(person.any(axis=1))[-1])
    reach = max(2, int(0.07 * height))
    top = max(foot - reach, 0)
    columns = np.flatnonzero(person[top : foot + 1].any(axis=0))
    left, right = int(columns[0]), int(columns[-1])
    # Only a band of the picture is touched.
    shade = np.zeros((min(foot + reach, height) - top, width), np.float32)
    middle = int((left + right) / 2 + 0.05 * width * (lean - 0.5)), int(foot - 0.01 * height) - top
    axes = max(1, int((right - left) / 2 + 0.06 * width)), max(1, int(0.02 * height))
    cv2.ellipse(shade, middle, axes, 0, 0, 360, 0.25 + 0.35 * depth, -1)
    light = (1 - cv2.GaussianBlur(shade, (0, 0), 0.02 * width + 0.3)).astype(np.float32, copy=False)
    shaded: NDArray[np.uint8] = place.copy()
    shaded[top : top + light.shape[0]] = light_by(place[top : top + light.shape[0]], light).astype(np.uint8)
    return shaded


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
    for _ in range(int(rng.integers(0, 7))):
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
    half = max(1, width // 2), max(1, height // 2)
    small = cv2.resize(rgb, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    # What is partly person, or two pixels from it (masks are not exact), is left out: its colours would leak out.
    person_and_edge = cv2.dilate(person, np.ones((5, 5), np.uint8))
    known = (cv2.resize(person_and_edge, half, interpolation=cv2.INTER_AREA) == 0).astype(np.float32)
    place = _fill(small * known[..., None], known)
    mirrored, shift, strength = rng.random(3)
    if mirrored < 0.5:
        place = place[:, ::-1]
    place = np.roll(place, int(shift * place.shape[1]), axis=1)
    sigma = 0.3 + 0.02 * width * float(strength)
    soft = cv2.resize(cv2.GaussianBlur(place, (0, 0), sigma), (width, height), interpolation=cv2.INTER_LINEAR)
    out: NDArray[np.uint8] = np.clip(soft, 0, 255).astype(np.uint8)
    return out


def _fill(light: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill what is unknown from what is known around it, from coarse to fine.

    Args:
        light: float32 (h, w, 3), already multiplied by ``weight``.
        weight: float32 (h, w), from 0 (unknown) to 1.

    Returns:
        float32 (h, w, 3).
    """
    height, width = weight.shape
    if max(height, width) == 1:
        grey: NDArray[np.float32] = (light + (1 - weight[..., None]) * np.float32(127)).astype(np.float32, copy=False)
        return grey
    size = (width + 1) // 2, (height + 1) // 2
    fewer = cv2.resize(weight, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
    coarse = cv2.resize(light, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3)
    # A place known in part counts as known: its colour is the mean of that part.
    share = np.maximum(fewer, 1e-6)[..., None]
    behind = _fill((coarse / share).astype(np.float32), (fewer > 0).astype(np.float32))
    wide = cv2.resize(behind, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    filled: NDArray[np.float32] = (light + wide * (1 - weight[..., None])).astype(np.float32, copy=False)
    return filled


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
        upper = height * (1 - (0.1 + 0.28 * size))
        slope = height * 0.08 * (lean - 0.5)
        corners = [(0, upper + slope), (width, upper - slope), (width, height), (0, height)]
        if rounded < 0.4:
            # Like the bonnet of a car: an arch over the lower edge.
            middle = int(width * place), height
            axes = max(1, int(width * 0.7)), max(1, int(height - upper))
            cv2.ellipse(shape, middle, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
            corners = []
    elif kind < 0.8:
        reach = width * (0.1 + 0.28 * size)
        slope = width * 0.12 * (lean - 0.5)
        corners = [(0, 0), (reach + slope, 0), (reach - slope, height), (0, height)]
        if rounded < 0.5:
            corners = [(width - x, y) for x, y in corners]
    else:
        thick = width * (0.06 + 0.12 * size)
        edge = place * (width - thick)
        slope = width * 0.1 * (lean - 0.5)
        corners = [(edge + slope, 0), (edge + thick + slope, 0), (edge + thick - slope, height), (edge - slope, height)]
    if corners:
        cv2.fillConvexPoly(shape, np.rint(corners).astype(np.int32), 255, cv2.LINE_AA)
    left, top, wide, tall = cv2.boundingRect(shape)
    if not wide:
        # In a picture of a few pixels an obstacle may cover none of them.
        return rgb, shape > 0
    part = slice(top, top + tall), slice(left, left + wide)
    surface = np.empty((tall, wide, 3), np.uint8)
    (_draw_ground if rng.random() < 0.3 else _draw_wall)(surface, rng, _THINGS)
    alpha = shape[part].astype(np.float32) / 255
    seen = rgb.copy()
    seen[part] = cv2.blendLinear(_finish(surface, rng), np.ascontiguousarray(rgb[part]), alpha, 1 - alpha)
    return seen, shape > 127


def _colour(choices: tuple[Colour, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return one of the colours, lighter or darker and a little off, as float32 (3,)."""
    base = np.array(choices[int(rng.integers(len(choices)))], dtype=np.float32)
    return np.clip(base * rng.uniform(0.7, 1.25) + rng.uniform(-8, 8, 3), 8, 248).astype(np.float32)


def _bytes(colour: NDArray[np.floating]) -> NDArray[np.uint8]:
    out: NDArray[np.uint8] = np.clip(colour, 0, 255).astype(np.uint8)
    return out


def _fill_evenly(canvas: NDArray[np.uint8], colour: NDArray[np.float32]) -> None:
    if canvas.size:
        red, green, blue_ = (float(value) for value in colour)
        cv2.rectangle(canvas, (0, 0), (canvas.shape[1], canvas.shape[0]), (red, green, blue_), -1)


def _draw_wall(canvas: NDArray[np.uint8], rng: np.random.Generator, colours: tuple[Colour, ...] = _SURFACES) -> None:
    """Fill with a wall: plain, bricks, panels, shutters or windows."""
    height, width = canvas.shape[:2]
    colour, joint = _colour(colours, rng), _colour(colours, rng)
    kind, size, share = rng.random(3)
    _fill_evenly(canvas, colour)
    if height < 2 or width < 2 or kind < 0.25:
        return
    rows, columns = np.arange(height), np.arange(width)
    if kind < 0.45:
        tall = max(3, int(height * (0.02 + 0.05 * size)))
        wide = max(5, int(tall * (2 + 2 * share)))
        course = np.arange(-(-height // tall))[:, None]
        place = columns + (course % 2) * (wide // 2)
        # Each brick has its own shade.
        shades = _bytes(colour + np.arange(-8, 9)[:, None])
        bricks = shades[((course * 7 + place // wide * 13) * 37) % 17]
        mortar = _bytes(0.5 * colour + 0.5 * joint)
        bricks[place % wide == 0] = mortar
        canvas[:] = np.repeat(bricks, tall, axis=0)[:height]
        canvas[::tall] = mortar
    elif kind < 0.65:
        wide = max(4, int(width * (0.15 + 0.5 * size)))
        canvas[:, columns // wide % 2 == 1] = _bytes(0.75 * colour + 0.25 * joint)
        canvas[:, columns % wide == 0] = _bytes(0.6 * colour)
    elif kind < 0.8:
        tall = max(3, int(height * (0.02 + 0.04 * size)))
        canvas[rows % tall < max(1, tall // 3)] = _bytes((0.65 + 0.25 * share) * colour)
    else:
        # Windows or shelves: a grid of lighter or darker openings in frames.
        tall, wide = max(6, int(height * (0.2 + 0.3 * size))), max(6, int(width * (0.25 + 0.4 * share)))
        opening = np.where((columns % wide > wide * 0.25)[:, None], _bytes(joint), _bytes(colour))
        canvas[rows % tall > tall * 0.25] = opening
        canvas[rows % tall == int(tall * 0.6)] = _bytes(0.5 * colour)


def _draw_ground(canvas: NDArray[np.uint8], rng: np.random.Generator, colours: tuple[Colour, ...] = _SURFACES) -> None:
    """Fill with ground in perspective: tarmac, slabs, planks or stripes of a crossing."""
    height, width = canvas.shape[:2]
    colour, joint = _colour(colours, rng), _colour(colours, rng)
    kind, size, place = rng.random(3)
    _fill_evenly(canvas, colour)
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
        wide, tall = int(width * (0.05 + 0.12 * w)), int(height * (0.25 + 0.35 * h))
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
        0.85
        + 0.4 * level
        + np.linspace(-0.3, 0.3, width, dtype=np.float32) * (2 * across - 1)
        + np.linspace(-0.3, 0.3, height, dtype=np.float32)[:, None] * (2 * down - 1)
    ).astype(np.float32)
    # Cameras are mostly sharp from near to far; some are not.
    soft = blur(canvas, 0.4 + 0.025 * width * (float(focus) - 0.6)) if focus > 0.6 else canvas
    return add(light_by(soft, light), window(_stored_texture(), height, width, rng), 1 + 2.5 * float(rough))


@cache
def _stored_texture() -> NDArray[np.float32]:
    """Return stains and fine grain in one field, float32 (512, 512, 3) with deviations of about 1 each."""
    rng = np.random.default_rng(1)
    fine = grain(512, 512, rng)
    stains = cv2.GaussianBlur(rng.standard_normal((512, 512), dtype=np.float32), (0, 0), 5.0)
    texture: NDArray[np.float32] = (fine + stains[..., None] / stains.std()).astype(np.float32)
    texture.setflags(write=False)
    return texture
