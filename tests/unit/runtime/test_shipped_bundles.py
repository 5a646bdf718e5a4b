"""The bundles that come with the package are whole and fit together; what they are worth stands in docs/models."""

from __future__ import annotations

import numpy as np
import pytest

from onlooker.runtime.bundle import Bundle, shipped_names
from onlooker.runtime.encoder import Encoder
from onlooker.samples import PHOTOS

pytestmark = pytest.mark.skipif("base" not in shipped_names(), reason="the bundles are not in this installation")


@pytest.mark.parametrize("name", shipped_names())
def test_every_file_is_the_one_that_passed_the_gates(name: str) -> None:
    bundle = Bundle.shipped(name)
    bundle.verify()
    assert bundle.info.license == "Apache-2.0"
    assert bundle.calibration is not None
    assert bundle.words_path is not None
    assert bundle.layout.keys() == {"global", "head", "upper", "lower", "feet", "carried"}


def test_small_shares_the_text_tower_of_base() -> None:
    base, small = Bundle.shipped("base"), Bundle.shipped("small")
    assert small.text_shared_with == "base"
    assert small.text_path.samefile(base.text_path)
    assert small.id != base.id
    assert small.spec.height * small.spec.width < base.spec.height * base.spec.width
    text = ["man in a red jaket and blue jeans"]
    np.testing.assert_array_equal(Encoder.open(small).encode_texts(text), Encoder.open(base).encode_texts(text))


def test_both_put_a_person_at_about_the_same_place() -> None:
    from onlooker.runtime.pictures import read_picture

    pictures = [read_picture(path) for path in sorted(PHOTOS.glob("*.jpg"))[:6]]
    first, second = (Encoder.open(Bundle.shipped(name)).encode_images(pictures) for name in ("base", "small"))
    assert ((first @ second.T).argmax(axis=1) == np.arange(len(pictures))).all()
