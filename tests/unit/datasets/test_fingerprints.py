from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onlooker.datasets.fingerprints import fingerprint, fingerprint_of, groups_of, near_duplicates
from onlooker.errors import PictureError
from tests.unit.datasets import trees


def scene(seed: int, size: tuple[int, int] = (120, 80)) -> np.ndarray:
    """A smooth random picture (h, w), unlike any other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def test_size_and_digest(tmp_path: Path) -> None:
    path = trees.picture(tmp_path / "a.jpg", 1, (24, 36))
    found = fingerprint(path)
    assert (found.width, found.height) == (24, 36)
    assert found.difference_hash.shape == (32,)
    assert found.thumbnail.shape == (16, 16, 3)
    (tmp_path / "b.jpg").write_bytes(path.read_bytes())
    assert fingerprint(tmp_path / "b.jpg").sha256 == found.sha256


def test_unreadable_pictures_are_errors(tmp_path: Path) -> None:
    trees.write(tmp_path / "a.jpg", "no picture")
    with pytest.raises(PictureError):
        fingerprint(tmp_path / "a.jpg")


def test_changed_copies_are_found_and_others_are_not() -> None:
    original = scene(0, (480, 320))
    small = cv2.resize(original, (160, 240), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, 30])
    compressed = cv2.imdecode(data, cv2.IMREAD_COLOR)
    brighter = np.clip(original.astype(int) + 12, 0, 255).astype(np.uint8)
    pictures = [original, scene(1), small, scene(2), compressed, brighter, scene(3)]
    pairs = near_duplicates([fingerprint_of(picture, str(number)) for number, picture in enumerate(pictures)])
    assert groups_of(len(pictures), pairs) == [0, 1, 0, 3, 0, 0, 6]


def test_the_same_layout_in_other_colours_is_another_picture() -> None:
    original = scene(0)
    grey = cv2.cvtColor(original, cv2.COLOR_RGB2GRAY)
    red = np.stack([grey, grey // 8, grey // 8], axis=2)
    green = np.stack([grey // 8, grey, grey // 8], axis=2)
    assert near_duplicates([fingerprint_of(red, "a"), fingerprint_of(green, "b")]) == []


def test_a_thousand_copies_give_a_pair_each() -> None:
    one = fingerprint_of(scene(0), "a")
    assert near_duplicates([one] * 1000) == [(0, number) for number in range(1, 1000)]


def test_none_and_one() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates([fingerprint_of(scene(0), "a")]) == []


@given(st.integers(1, 12), st.data())
def test_groups_are_the_connected_parts(count: int, data: st.DataObject) -> None:
    index = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(index, index), max_size=15))
    groups = groups_of(count, pairs)
    reached = [{number} for number in range(count)]
    for _ in range(count):
        for one, other in pairs:
            union = reached[one] | reached[other]
            for member in union:
                reached[member] = reached[member] | union
    assert groups == [min(members) for members in reached]


@pytest.mark.shared
def test_the_known_near_duplicates_of_the_street_photographs(shared: Path) -> None:
    known = [("0025", "1707"), ("0343", "1083"), ("0183", "0730"), ("0594", "0722"), ("1671", "1790"), ("0643", "1913")]
    names = [name for pair in known for name in pair] + ["0001", "0002", "0656", "1213", "1525", "1892"]
    pairs = near_duplicates([fingerprint(shared / f"street_photos/photos/{name}.jpg") for name in names])
    assert {(names[one], names[other]) for one, other in pairs} == set(known)
