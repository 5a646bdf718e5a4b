"""Pictures in and out: whatever a camera, a phone or a scanner made becomes upright 8-bit RGB, or one clear error.

Pillow is the one decoder, so training and serving see the same pixels. Only the formats in ``FORMATS`` are tried:
Pillow's others start outside programs (EPS) or are rare enough that their decoders are an attack surface and no help.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

from onlooker.errors import PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Lower-case file name endings that a walk through a folder takes for pictures."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""The formats that are decoded, by Pillow's names; one that this Pillow was built without is left out."""

MAX_PIXELS = 100_000_000
"""Pictures above this are refused: 300 MB as RGB, and no camera that watches people makes them."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    AssertionError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on damaged data."""


class _QuietPillow:
    """Keeps Pillow's remarks on odd files, and its own size warning, off the screen while any thread decodes.

    ``warnings.catch_warnings`` swaps process-wide state and must not be left in another order than it was entered, so
    the threads share one: the first to come enters it, the last to go leaves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._catch = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._catch = warnings.catch_warnings()
                self._catch.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._catch.__exit__(None, None, None)


_QUIET = _QuietPillow()


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a picture file as upright RGB.

    The orientation in the EXIF data is applied. Grey, palette, 16-bit, CMYK and other colour spaces become 8-bit RGB;
    transparent parts become white; of an animation the first frame is taken.

    Args:
        path: The file.
        max_pixels: Refuse larger pictures before any pixel is decoded.

    Returns:
        uint8 (h, w, 3).

    Raises:
        PictureError: There is no such file, it is a folder, empty, damaged, cut short, too large, or no picture.
    """
    path = Path(path)
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
            raise PictureError(f"{path} {what}; give the path of a picture file")
        with path.open("rb") as handle:
            return _decode(handle, str(path), max_pixels)
    except PictureError:
        raise
    except OSError as error:
        raise PictureError(
            f"{path} cannot be read ({error.strerror or error}); check the file and its rights"
        ) from error


def decode_picture(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file as upright RGB, as ``read_picture`` does.

    Args:
        data: The whole file.
        name: What to call it in an error message.
        max_pixels: Refuse larger pictures before any pixel is decoded.

    Returns:
        uint8 (h, w, 3).

    Raises:
        PictureError: The bytes are empty, damaged, cut short, too large, or no picture.
    """
    return _decode(io.BytesIO(data), name, max_pixels)


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encode a picture as JPEG.

    Args:
        rgb: uint8 (h, w, 3), at most 65,535 pixels a side.
        quality: 1..95.

    Returns:
        The bytes of a JPEG file.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _decode(stream: IO[bytes], name: str, max_pixels: int) -> NDArray[np.uint8]:
    if not stream.read(1):
        raise PictureError(f"{name} is empty; replace it with a complete picture file")
    with _QUIET:
        return _decode_quietly(stream, name, max_pixels)


def _decode_quietly(stream: IO[bytes], name: str, max_pixels: int) -> NDArray[np.uint8]:
    Image.init()
    try:
        picture: Image.Image = Image.open(stream, formats=[one for one in FORMATS if one in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} has more than {max_pixels:,} pixels; make it smaller first") from error
    except _BROKEN as error:
        raise PictureError(f"{name} is not a picture that can be read; give JPEG, PNG, WebP, TIFF or GIF") from error
    with picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise PictureError(f"{name} has {width} x {height} pixels, more than {max_pixels:,}; make it smaller first")
        if 0 in picture.size:
            raise PictureError(f"{name} has no pixels ({width} x {height}); replace it with a complete picture file")
        try:
            picture.load()
            turn = _orientation(picture)
            rgb = np.asarray(_to_rgb(picture))
        except _BROKEN as error:
            reason = str(error) or type(error).__name__
            raise PictureError(f"{name} is damaged or cut short ({reason}); replace it with a complete file") from error
    return _upright(rgb, turn)


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation 1..8 of a loaded picture; 1 (upright) where there is none or it makes no sense."""
    try:
        turn = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        # Damaged EXIF data says nothing of the pixels, which are whole: every viewer shows such a picture as it lies.
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _upright(rgb: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (2..8 are the mirrored and turned ways a sensor can lie)."""
    if turn >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if turn in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Turn any of Pillow's modes into RGB: deep grey is scaled to 8 bits, transparency is laid on white."""
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        picture = white
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale grey of 16 or 32 bits or of floats to 8 bits, keeping black at zero.

    Integers use the full range of 16 bits (or their own largest value where that is beyond it), floats the range 0..1
    (or their own largest value), so that pictures of one series keep their brightness to each other.
    """
    values = np.asarray(picture, dtype=np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    usual = 1.0 if picture.mode == "F" else 65535.0
    values *= 255.0 / max(usual, float(values.max()))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
