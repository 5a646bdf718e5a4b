"""What light and cheap cameras do to a picture: tone, night, overexposure, blur, resolution, noise, JPEG, colour cast.

Colour names survive: channels are scaled alike or mixed with grey and white, so no hue moves; the one exception, the
cast, stays too small to rename a colour. Nothing draws random numbers by pixel values, so two pictures of one size that
differ in colours alone go through the same changes. uint8 RGB in and out.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.runtime.pictures import decode_picture, encode_jpeg

_FIELD_SIDE = 512
"""Side of the stored noise in pixels."""

_LARGEST_CHROMA_GAIN = np.float32(1.5)
"""How much farther from grey a change of lightness may move a pixel."""

LARGEST_CAST = 0.06
"""Log of the largest gain of red against blue: half of what it takes to rename a colour of the palette."""


def change_tone(
    rgb: NDArray[np.uint8],
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    gamma: float = 1.0,
    saturation: float = 1.0,
) -> NDArray[np.uint8]:
    """Change lightness and saturation, never hue: a pixel's channels are scaled alike, and none is clipped alone.

    Args:
        rgb: uint8 (h, w, 3).
        brightness: Factor on the lightness.
        contrast: Factor on the distance from the mean lightness.
        gamma: Exponent on the lightness in 0..1.
        saturation: Factor on the distance from grey; a pixel that would leave 0..255 moves as far as it can.

    Returns:
        uint8 (h, w, 3).
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    levels = np.arange(256, dtype=np.float32)
    curve = 255 * (levels / 255) ** gamma * brightness
    mean = float(cv2.LUT(grey, curve.astype(np.float32)).mean())
    curve = np.clip(mean + (curve - mean) * contrast, 0, 255)
    gain = cv2.LUT(grey, (curve / np.maximum(levels, 1)).astype(np.float32))
    red, green, blue = cv2.split(rgb)
    high = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    gain = np.minimum(gain, 255 / np.maximum(high, 1))
    light = np.maximum(grey, 1) * gain
    # What is nearly black has a hue only by chance: lifted as far as its lightness is, it would become vivid.
    spread: NDArray[np.float32] = np.minimum(1, _LARGEST_CHROMA_GAIN / np.maximum(gain, 1e-3))
    if saturation != 1:
        low = cv2.min(cv2.min(red, green), blue).astype(np.float32)
        up = (255 - light) / np.maximum(high * gain - light, 1e-3)
        down = light / np.maximum(light - low * gain, 1e-3)
        spread = np.minimum(spread * np.float32(saturation), np.minimum(up, down))
    factor, offset = gain * spread, light * (1 - spread) + 0.5
    scaled = cv2.multiply(rgb, cv2.merge([factor, factor, factor]), dtype=cv2.CV_32F)
    varied = cv2.add(scaled, cv2.merge([offset, offset, offset]))
    # Floats become bytes by truncation here: half a step is in the offset already.
    out: NDArray[np.uint8] = np.clip(varied, 0, 255).astype(np.uint8)
    return out


def darken(rgb: NDArray[np.uint8], rng: np.random.Generator, exposure: float | None = None) -> NDArray[np.uint8]:
    """Make a picture one of the night: dark, lit by one lamp from somewhere above or beside, noisy.

    Args:
        rgb: uint8 (h, w, 3).
        rng: Chooses the lamp's place and the noise.
        exposure: Factor at the brightest place, 0..1; None draws it from 0.35 to 0.75.

    Returns:
        uint8 (h, w, 3).
    """
    height, width = rgb.shape[:2]
    drawn, across, down, fall, noise = rng.random(5)
    gain = 0.35 + 0.4 * float(drawn) if exposure is None else exposure
    # The lamp's light falls off with distance; its place is in shares of the picture, mostly above the head.
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - (1.6 * across - 0.3)
    y = (np.arange(height, dtype=np.float32) + 0.5) / height - (0.9 * down - 0.3)
    falloff = np.float32(0.2 + 0.6 * fall)
    lamp = (gain / (1 + falloff * (x * x + (y * y)[:, None]))).astype(np.float32)
    return add(light_by(rgb, lamp), grain(height, width, rng), 2 + 4 * float(noise))


def overexpose(rgb: NDArray[np.uint8], rng: np.random.Generator, gain: float | None = None) -> NDArray[np.uint8]:
    """Let in too much light: brighter, what is bright already turns white and glows into its surroundings.

    Args:
        rgb: uint8 (h, w, 3).
        rng: Chooses gain and haze.
        gain: Factor on the light, 1 and more; None draws it from 1.2 to 1.8.

    Returns:
        uint8 (h, w, 3).
    """
    drawn, haze = rng.random(2)
    factor = 1.2 + 0.6 * float(drawn) if gain is None else gain
    red, green, blue = cv2.split(rgb)
    high = cv2.max(cv2.max(red, green), blue).astype(np.float32) * np.float32(factor)
    light = light_by(rgb, np.float32(factor) / np.maximum(high / 255, 1))
    spilled = np.minimum(np.maximum(high - 255, 0) / 255, 1)
    glow = cv2.GaussianBlur(spilled, (0, 0), max(rgb.shape[1] * 0.03, 0.5))
    white = 0.35 * spilled + 0.2 * glow + np.float32(0.08 * haze)
    # light + (255 - light) * white, in two passes over the picture.
    kept, lifted = 1 - white, 255 * white
    darker = cv2.multiply(light, cv2.merge([kept, kept, kept]))
    return cv2.add(darker, cv2.merge([lifted, lifted, lifted]), dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def blur(rgb: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Blur a picture like a lens out of focus; ``sigma`` in pixels, above 0."""
    return cv2.GaussianBlur(rgb, (0, 0), sigma).astype(np.uint8, copy=False)


def blur_motion(rgb: NDArray[np.uint8], length: float, degrees: float) -> NDArray[np.uint8]:
    """Blur a picture along a line, as when person or camera moves while the shutter is open.

    Args:
        rgb: uint8 (h, w, 3).
        length: Of the movement in pixels; up to 1 changes nothing.
        degrees: Its direction; 0 is across, positive turns clockwise.
    """
    if length <= 1:
        return rgb
    reach = int(np.ceil(length / 2))
    angle = np.deg2rad(degrees)
    steps = np.linspace(-length / 2, length / 2, 4 * reach + 1)
    side = 2 * reach + 1
    kernel = np.zeros((side, side), dtype=np.float32)
    rows, columns = reach + steps * np.sin(angle), reach + steps * np.cos(angle)
    np.add.at(kernel, (np.rint(rows).astype(int), np.rint(columns).astype(int)), 1)
    kernel = kernel[kernel.any(axis=1)]
    return cv2.filter2D(rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def lose_resolution(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Shrink a picture by ``scale`` (0..1) and enlarge it again."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def add_noise(rgb: NDArray[np.uint8], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add a sensor's noise of standard deviation ``sigma`` (in steps of 0..255), partly the same in all channels."""
    height, width = rgb.shape[:2]
    return add(rgb.astype(np.float32), grain(height, width, rng), sigma)


def cast(rgb: NDArray[np.uint8], warmth: float, tint: float = 0.0) -> NDArray[np.uint8]:
    """Give a picture the slight colour cast of a wrong white balance.

    Args:
        rgb: uint8 (h, w, 3).
        warmth: -1 (bluish) to 1 (yellowish), where 1 is the strongest that leaves colours their names.
        tint: -1 (magenta) to 1 (green), half as strong.

    Returns:
        uint8 (h, w, 3), of the same lightness but for what had to be clipped.
    """
    gains = np.exp(LARGEST_CAST * np.array([warmth / 2 - tint / 4, tint / 4, -warmth / 2 - tint / 4]))
    levels = np.arange(256.0)[:, None] * gains
    return cv2.LUT(rgb, _rounded(levels)[None]).astype(np.uint8, copy=False)


def compress(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Pass a picture through JPEG at ``quality`` (1..95)."""
    return decode_picture(encode_jpeg(rgb, quality), "a training picture")


def light_by(rgb: NDArray[np.uint8], light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``rgb`` (h, w, 3) times ``light`` (h, w), as float32, not kept within 0..255."""
    # cv2 multiplies without the temporaries of NumPy's broadcasting, three times as fast.
    return cv2.multiply(rgb, cv2.merge([light, light, light]), dtype=cv2.CV_32F).astype(np.float32, copy=False)


def add(light: NDArray[np.float32], noise: NDArray[np.float32], strength: float) -> NDArray[np.uint8]:
    """Return ``light`` + ``strength`` * ``noise``, rounded and kept within 0..255, as uint8."""
    return cv2.addWeighted(light, 1.0, noise, strength, 0.0, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def grain(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a sensor's noise of unit deviation as float32 (height, width, 3), read-only."""
    return window(_stored_grain(), height, width, rng)


def window(field: NDArray[np.float32], height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a random part of a stored field, repeated where it is too small: far cheaper than new random numbers."""
    down, across = field.shape[:2]
    if height > down or width > across:
        field = np.tile(field, (-(-height // down), -(-width // across), 1))
    top = int(rng.integers(field.shape[0] - height + 1))
    left = int(rng.integers(field.shape[1] - width + 1))
    return field[top : top + height, left : left + width]


@cache
def _stored_grain() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((_FIELD_SIDE, _FIELD_SIDE, 1), dtype=np.float32)
    own = rng.standard_normal((_FIELD_SIDE, _FIELD_SIDE, 3), dtype=np.float32)
    # Demosaicing correlates neighbouring pixels, so half of the noise is a little coarser than a pixel.
    field = 0.8 * common + 0.6 * own
    field = 0.6 * field + 1.4 * cv2.GaussianBlur(field, (0, 0), 0.8)
    unit: NDArray[np.float32] = (field / field.std()).astype(np.float32)
    unit.setflags(write=False)
    return unit


def _rounded(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    out: NDArray[np.uint8] = np.clip(values + 0.5, 0, 255).astype(np.uint8)
    return out
