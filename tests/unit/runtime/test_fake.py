from __future__ import annotations

import numpy as np
import pytest

from onlooker.runtime.encoder import EncoderLike
from onlooker.runtime.fake import COLOURS, FakeEncoder


def crop(upper: str, lower: str, *, shade: int = 0) -> np.ndarray:
    rgb = np.full((120, 60, 3), 90, dtype=np.uint8)
    rgb[20:60, 10:50] = np.clip(np.array(COLOURS[upper]) + shade, 0, 255)
    rgb[60:110, 10:50] = np.clip(np.array(COLOURS[lower]) + shade, 0, 255)
    return rgb


def test_a_description_finds_the_crop_painted_so_among_all_pairs() -> None:
    pairs = [(upper, lower) for upper in COLOURS for lower in COLOURS]
    encoder: EncoderLike = FakeEncoder()
    gallery = encoder.encode_images([crop(*pair, shade=8) for pair in pairs])
    queries = encoder.encode_texts([f"a man in a {upper} jacket and {lower} jeans" for upper, lower in pairs])
    assert (queries @ gallery.T).argmax(axis=1).tolist() == list(range(len(pairs)))


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("red jacket, blue jeans", ("red", "blue")),
        ("Blue trousers below a white T-shirt", ("white", "blue")),
        ("woman in a long green dress", ("green", "green")),
        ("someone all black", ("black", "black")),
        ("navy skirt, gray top", ("grey", "blue")),
    ],
)
def test_ways_of_saying_it(text: str, pair: tuple[str, str]) -> None:
    pairs = [(upper, lower) for upper in COLOURS for lower in COLOURS]
    encoder = FakeEncoder()
    similarity = encoder.encode_texts([text]) @ encoder.encode_images([crop(*one) for one in pairs]).T
    assert pairs[int(similarity.argmax())] == pair


@pytest.mark.parametrize("dimension", [32, 64, 256])
def test_vectors_have_unit_length_and_are_the_same_each_time(dimension: int) -> None:
    encoder = FakeEncoder(dimension)
    for vectors, again in (
        (encoder.encode_images([crop("red", "blue")]), FakeEncoder(dimension).encode_images([crop("red", "blue")])),
        (encoder.encode_texts(["", "hello"]), FakeEncoder(dimension).encode_texts(["", "hello"])),
    ):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == encoder.dimension == dimension
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        assert np.array_equal(vectors, again)


def test_different_texts_without_colours_differ() -> None:
    first, second = FakeEncoder().encode_texts(["a man", "a woman"])
    assert not np.allclose(first, second)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (50, 1, 3), (2, 2, 3), (5, 7, 3)])
def test_tiny_pictures_work(shape: tuple[int, int, int]) -> None:
    assert np.isfinite(FakeEncoder().encode_images([np.full(shape, 200, np.uint8)])).all()


def test_nothing_gives_no_rows() -> None:
    assert FakeEncoder().encode_images([]).shape == (0, 64)
    assert FakeEncoder().encode_texts([]).shape == (0, 64)


def test_the_id_names_the_dimension() -> None:
    assert FakeEncoder(64).bundle_id == FakeEncoder(64).bundle_id
    assert FakeEncoder(64).bundle_id != FakeEncoder(128).bundle_id


def test_too_small_a_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32, got 16"):
        FakeEncoder(16)
