from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, features

from onlooker.errors import PictureError
from onlooker.runtime.pictures import PICTURE_SUFFIXES, decode_picture, encode_jpeg, read_picture

RED, BLUE, WHITE = (220, 20, 30), (20, 40, 200), (255, 255, 255)


def two_colours(height: int = 40, width: int = 20) -> Image.Image:
    """Red above blue."""
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    rgb[: height // 2], rgb[height // 2 :] = RED, BLUE
    return Image.fromarray(rgb)


def saved(picture: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def close_to(pixels: np.ndarray, colour: tuple[int, int, int], within: int = 12) -> bool:
    return bool(np.abs(pixels.reshape(-1, 3).astype(int) - colour).max() <= within)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is huge and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "MPO"])
def test_every_format_is_read(format_: str, tmp_path: Path) -> None:
    if format_ == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("this Pillow was built without AVIF")
    path = tmp_path / f"picture.{format_.lower()}"
    path.write_bytes(saved(two_colours(), format_))
    rgb = read_picture(path)
    assert rgb.shape == (40, 20, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert close_to(rgb[2:18], RED, 20)
    assert close_to(rgb[22:38], BLUE, 20)


def test_reading_a_file_and_decoding_its_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(two_colours(), "JPEG"))
    assert np.array_equal(read_picture(path), decode_picture(path.read_bytes(), "a.jpg"))


def test_cmyk_jpeg_keeps_its_colours() -> None:
    rgb = decode_picture(saved(two_colours().convert("CMYK"), "JPEG", quality=95), "cmyk.jpg")
    assert close_to(rgb[2:18], RED, 20)
    assert close_to(rgb[22:38], BLUE, 20)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_bilevel(mode: str) -> None:
    picture = Image.new("L", (4, 4), 255).convert(mode)
    assert close_to(decode_picture(saved(picture, "PNG"), "grey.png"), WHITE, 0)


def test_palette() -> None:
    rgb = decode_picture(saved(two_colours().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), "p.png")
    assert close_to(rgb[:20], RED)
    assert close_to(rgb[20:], BLUE)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format_: str) -> None:
    values = np.array([[0, 16_384], [32_768, 65_535]], dtype=np.uint16)
    rgb = decode_picture(saved(Image.fromarray(values), format_), "deep")
    assert rgb[..., 0].tolist() == [[0, 64], [128, 255]]
    assert np.all(rgb == rgb[..., :1])


def test_thirty_two_bit_integers_and_floats_are_scaled() -> None:
    integers = np.array([[0, 1_000_000]], dtype=np.int32)
    assert decode_picture(saved(Image.fromarray(integers), "TIFF"), "i.tif")[..., 0].tolist() == [[0, 255]]
    floats = np.array([[0.0, 0.5, 1.0, np.nan, -1.0]], dtype=np.float32)
    assert decode_picture(saved(Image.fromarray(floats), "TIFF"), "f.tif")[..., 0].tolist() == [[0, 128, 255, 0, 0]]


def test_dark_pictures_of_many_bits_stay_dark() -> None:
    deep = np.full((2, 2), 16_448, dtype=np.uint16)
    assert decode_picture(saved(Image.fromarray(deep), "PNG"), "dark.png").max() == 64
    integers = np.full((2, 2), 16_448, dtype=np.int32)
    assert decode_picture(saved(Image.fromarray(integers), "TIFF"), "dark.tif").max() == 64
    floats = np.full((2, 2), 0.25, dtype=np.float32)
    assert decode_picture(saved(Image.fromarray(floats), "TIFF"), "dark.tif").max() == 64


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_become_white(mode: str) -> None:
    picture = Image.new(mode, (4, 4), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    assert close_to(decode_picture(saved(picture, "PNG"), "a.png"), WHITE, 0)


def test_half_transparent_is_mixed_with_white() -> None:
    rgb = decode_picture(saved(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG"), "a.png")
    assert close_to(rgb, (127, 127, 127), 1)


def test_transparent_colours_of_palette_and_rgb_pictures_become_white() -> None:
    palette = two_colours().convert("P", palette=Image.Palette.ADAPTIVE)
    first = palette.getpixel((0, 0))
    rgb = decode_picture(saved(palette, "PNG", transparency=first), "p.png")
    assert close_to(rgb[:20], WHITE, 0)
    assert close_to(rgb[20:], BLUE)
    several = decode_picture(saved(palette, "PNG", transparency=bytes([0, 0])), "p.png")
    assert close_to(several, WHITE, 0)
    keyed = decode_picture(saved(two_colours(), "PNG", transparency=BLUE), "k.png")
    assert close_to(keyed[20:], WHITE, 0)
    assert close_to(keyed[:20], RED)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_made_upright(turn: int, format_: str) -> None:
    upright = np.zeros((24, 16, 3), dtype=np.uint8)
    upright[:8, :8] = RED
    upright[16:, :8] = BLUE
    lying = upright.transpose(1, 0, 2) if turn >= 5 else upright
    lying = {1: lying, 2: lying[:, ::-1], 3: lying[::-1, ::-1], 4: lying[::-1]}.get(turn, lying)
    lying = {6: lying[::-1], 7: lying[::-1, ::-1], 8: lying[:, ::-1]}.get(turn, lying)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    options = {"quality": 95} if format_ == "JPEG" else {"lossless": True} if format_ == "WEBP" else {}
    rgb = decode_picture(saved(Image.fromarray(np.ascontiguousarray(lying)), format_, exif=exif, **options), "turned")
    assert rgb.shape == upright.shape
    assert np.abs(rgb[2:6, 2:6].astype(int) - RED).max() < 40
    assert np.abs(rgb[18:22, 2:6].astype(int) - BLUE).max() < 40


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_a_senseless_orientation_leaves_the_picture_as_it_lies(value: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    assert decode_picture(saved(two_colours(), "JPEG", exif=exif), "a.jpg").shape == (40, 20, 3)


def test_damaged_exif_leaves_the_picture_readable() -> None:
    broken = b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + bytes(20)
    assert close_to(decode_picture(saved(two_colours(), "JPEG", exif=broken), "a.jpg")[2:18], RED, 20)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_picture_is_taken(format_: str) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    rgb = decode_picture(saved(first, format_, save_all=True, append_images=[second], duration=50), "moving")
    assert close_to(rgb, RED, 20)


def test_a_picture_with_a_colour_profile_is_read() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert close_to(decode_picture(saved(two_colours(), "JPEG", icc_profile=profile), "a.jpg")[2:18], RED, 20)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_an_error_that_says_so(format_: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, format_)
    with pytest.raises(PictureError, match=r"cut\.x (is damaged or cut short|is not a picture)"):
        decode_picture(data[: int(len(data) * part)], "cut.x")


def test_more_pixels_than_allowed_are_refused_before_decoding() -> None:
    with pytest.raises(PictureError, match=r"big\.png has 12000 x 10000 pixels, more than 100,000,000"):
        decode_picture(png_header(12_000, 10_000), "big.png")
    with pytest.raises(PictureError, match=r"small\.png has 20 x 40 pixels, more than 799"):
        decode_picture(saved(two_colours(), "PNG"), "small.png", max_pixels=799)
    assert decode_picture(saved(two_colours(), "PNG"), "small.png", max_pixels=800).shape == (40, 20, 3)


@pytest.mark.parametrize("side", [9_700, 65_500, 2_000_000_000])
def test_decompression_bombs_are_refused(side: int) -> None:
    with pytest.raises(PictureError, match=r"bomb\.png"):
        decode_picture(png_header(side, side), "bomb.png")


def test_a_large_text_chunk_is_refused() -> None:
    data = png_header(4, 4)
    text = b"a\x00\x00" + zlib.compress(bytes(80_000_000), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    with pytest.raises(PictureError, match=r"text\.png"):
        decode_picture(data[:33] + chunk + data[33:], "text.png")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\x00", "not a picture"),
        (b"GIF89a", "not a picture"),
        (b"hello, this is a text\n" * 10, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
        (b"\xff\xd8\xff\xe0", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_what_is_no_picture_is_an_error(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.jpg"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=rf"thing\.jpg.*{reason}"):
        read_picture(path)


def test_no_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="does not exist"):
        read_picture(tmp_path / "nothing.jpg")
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_an_error_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PictureError, match="is not a file"):
        read_picture(tmp_path / "pipe.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(saved(two_colours(), "JPEG"))
    path.chmod(0)
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(path)


SEEDS = {name: saved(two_colours(), name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")}


@settings(max_examples=300, deadline=None)
@given(
    format_=st.sampled_from(sorted(SEEDS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
)
@example(format_="PNG", changes=[(0.0, 0)])
@example(format_="TIFF", changes=[(0.03981984165812835, 1)])
def test_damaged_bytes_give_a_picture_or_a_picture_error(format_: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(SEEDS[format_])
    for where, value in changes:
        data[int(where * len(data))] = value
    try:
        rgb = decode_picture(bytes(data), "damaged", max_pixels=1_000_000)
    except PictureError as error:
        assert "damaged" in str(error)  # noqa: PT017
    else:
        assert rgb.dtype == np.uint8
        assert rgb.ndim == 3


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(two_colours(), "PNG"))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: read_picture(path), range(64)))
    assert all(np.array_equal(results[0], result) for result in results)


def test_pillows_remarks_are_silenced_only_while_decoding(tmp_path: Path) -> None:
    remarkable = bytearray(SEEDS["TIFF"])
    remarkable[int(0.03981984165812835 * len(remarkable))] = 1
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: _outcome(bytes(remarkable)), range(64)))
    assert len(set(outcomes)) == 1
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="Tag data larger"):
        Image.open(io.BytesIO(remarkable)).load()


def _outcome(data: bytes) -> str:
    try:
        return str(decode_picture(data, "odd").shape)
    except PictureError as error:
        return str(error)


def test_encoded_jpeg_comes_back_nearly_the_same() -> None:
    rgb = np.asarray(two_colours())
    data = encode_jpeg(rgb)
    assert data.startswith(b"\xff\xd8")
    assert close_to(decode_picture(data, "x")[2:18], RED, 20)
    assert len(encode_jpeg(rgb, quality=30)) < len(data)
    flipped = decode_picture(encode_jpeg(rgb[::-1]), "x")
    assert close_to(flipped[2:18], BLUE, 20)


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PICTURE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif"} <= PICTURE_SUFFIXES
