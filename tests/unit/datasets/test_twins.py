from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onlooker.datasets.augment import Augmentation
from onlooker.datasets.crops import CropDataset
from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import PALETTE
from onlooker.datasets.samples import Sample
from onlooker.datasets.twins import TwinDataset, are_alike, for_twins, make_twins, twins_of
from onlooker.datasets.words import COLOUR_WORDS
from onlooker.errors import DataError
from onlooker.runtime.pictures import encode_jpeg
from onlooker.runtime.preprocessing import ImageSpec

SPEC = ImageSpec(
    height=48, width=32, resize="stretch", interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)
CAPTION = "Woman in a red coat over a striped shirt, yellow trousers and black boots."


def dressed(coat: str = "red", pants: str = "yellow") -> Sample:
    """A coat over pants on grey."""
    rgb = np.full((96, 64, 3), 150, np.uint8)
    mask = np.zeros((96, 64), np.uint8)
    for (top, bottom), label, colour in (((10, 50), "coat", coat), ((50, 90), "pants", pants)):
        rgb[top:bottom, 16:48] = PALETTE[colour]
        mask[top:bottom, 16:48] = LABELS.index(label)
    return Sample(rgb, (0, 0, 64, 96), (), mask, {"coat": [coat], "pants": [pants], "boots": ["black"]})


def colour_of(sample: Sample, label: str) -> str:
    """The palette's name for what a garment looks like."""
    assert sample.mask is not None
    seen = np.median(sample.rgb[sample.mask == LABELS.index(label)], axis=0)
    return min(PALETTE, key=lambda name: float(np.abs(np.subtract(PALETTE[name], seen)).sum()))


@pytest.mark.parametrize("seed", range(12))
def test_twins_exchange_two_colours_and_their_texts_say_so(seed: int) -> None:
    twins = make_twins(dressed(), [CAPTION], np.random.default_rng(seed), exchange=0)
    assert twins is not None
    assert set(twins.garments) == {"coat", "pants"}
    one, other = twins.garments
    assert not are_alike(*twins.colours)
    for sample, colours in ((twins.first, twins.colours), (twins.second, twins.colours[::-1])):
        (text,) = sample.texts
        for garment, colour in zip((one, other), colours, strict=True):
            seen = colour_of(sample, garment)
            assert seen == colour or are_alike(seen, colour)
            assert any(word in text.lower() for word in COLOUR_WORDS.get(colour, (colour,))), text
    # The same words (but for articles): nothing but the order tells the texts apart.
    words = [
        sorted(word.strip(".,").lower() for word in text.split() if word.lower() not in ("a", "an"))
        for text in (*twins.first.texts, *twins.second.texts)
    ]
    assert words[0] == words[1]


def test_the_first_twin_can_be_the_photograph_itself_with_its_own_text() -> None:
    twins = make_twins(dressed(), [CAPTION], np.random.default_rng(0), exchange=1, written=1)
    assert twins is not None
    np.testing.assert_array_equal(twins.first.rgb, dressed().rgb)
    assert twins.first.texts == (CAPTION,)
    (text,) = twins.second.texts
    assert text.startswith(("Woman in a yellow coat over", "Woman in a mustard coat over"))
    assert text.endswith("red trousers and black boots.")


def test_colours_that_are_taken_for_each_other_are_never_exchanged() -> None:
    for seed in range(10):
        twins = make_twins(dressed("black", "navy"), [], np.random.default_rng(seed), exchange=1)
        assert twins is not None
        assert set(twins.colours) != {"black", "navy"}


def test_no_mask_or_one_garment_has_no_twins() -> None:
    sample = dressed()
    assert make_twins(replace(sample, mask=None), [], np.random.default_rng(0)) is None
    assert make_twins(replace(sample, garments={"coat": ["red"]}), [], np.random.default_rng(0)) is None
    striped = sample.rgb.copy()
    striped[10:50:4] = (10, 200, 10)
    striped[11:50:4] = (10, 200, 10)
    assert make_twins(replace(sample, rgb=striped), [], np.random.default_rng(0)) is None


@pytest.fixture
def crops(tmp_path: Path) -> CropDataset:
    scipy_io = pytest.importorskip("scipy.io", reason="needs the training extra")
    records = []
    for number, (coat, pants) in enumerate((("red", "yellow"), ("blue", "white"), ("green", "pink"))):
        sample = dressed(coat, pants)
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(sample.rgb, 95))
        scipy_io.savemat(tmp_path / f"{number}.mat", {"groundtruth": sample.mask})
        records.append(
            Record(
                id=str(number),
                file=f"{number}.jpg",
                mask=f"{number}.mat",
                captions=[CAPTION],
                garments=sample.garments,
                split="train",
            )
        )
    return CropDataset(Manifest("dressed", tmp_path, "free", records), SPEC, masks=True, grid=(3, 2), cache=True)


def test_pairs_depend_on_seed_epoch_and_number_alone(crops: CropDataset) -> None:
    twins = TwinDataset(crops)
    first, second = twins.pair(5, 100)
    again = TwinDataset(crops).pair(5, 100)
    np.testing.assert_array_equal(first["pixels"], again[0]["pixels"])
    assert second["texts"] == again[1]["texts"]
    assert (first["person"], second["person"]) == (100, 101)
    assert first["segments"] is not None
    assert set(first["garments"]) == {"coat", "pants"}
    crops.set_epoch(1)
    later = [TwinDataset(crops).pair(number, 100)[0]["texts"] for number in range(6)]
    crops.set_epoch(0)
    assert later != [TwinDataset(crops).pair(number, 100)[0]["texts"] for number in range(6)]


def test_both_twins_are_varied_in_the_same_way(crops: CropDataset) -> None:
    strong = Augmentation(flip=0.5, loose=1.0, tilt=1.0, upper=0.5, recolour=1.0, erase=0.5)
    calm = for_twins(strong)
    assert (calm.upper, calm.recolour) == (0, 0)
    twins = TwinDataset(crops, calm.apply)
    for number in range(8):
        first, second = twins.pair(number, 0)
        assert first["segments"] is not None
        np.testing.assert_array_equal(first["segments"], second["segments"])


def test_validation_twins_are_always_the_same(crops: CropDataset) -> None:
    one, two = twins_of(crops), twins_of(crops)
    assert len(one) == 3
    assert [twins.first.texts for twins in one] == [twins.first.texts for twins in two]


def test_no_masks_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    records = [Record(id="0", file="0.jpg", captions=["a coat"], split="train")]
    crops = CropDataset(Manifest("bare", tmp_path, "free", records), SPEC)
    with pytest.raises(DataError, match="twins_per_batch = 0"):
        TwinDataset(crops)
    with pytest.raises(DataError, match="nobody to make twins of"):
        twins_of(crops)
