from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onlooker.datasets.augment import Augmentation
from onlooker.datasets.crops import WORKING_SCALE, CropDataset, Item, number_persons
from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.masks import LABELS
from onlooker.datasets.samples import Sample
from onlooker.errors import ConfigError, DataError, PictureError
from onlooker.runtime.pictures import read_picture
from onlooker.runtime.preprocessing import ImageSpec, resize
from tests.unit.datasets import trees

SPEC = ImageSpec(height=32, width=16)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    boxes = [None, (4.0, 6.0, 30.0, 80.0), (0.0, 0.0, 59.0, 99.0), (10.0, 10.0, 20.0, 40.0)]
    records = []
    for number, box in enumerate(boxes):
        trees.picture(tmp_path / f"{number}.png", number, (60, 100))
        texts = [f"Caption {number} {k}." for k in range(3)]
        person = str(number // 2) if number < 3 else None
        records.append(
            Record(id=str(number), file=f"{number}.png", captions=texts, phrases=["p"], box=box, person_id=person)
        )
    trees.picture(tmp_path / "none.png", 9)
    records.append(Record(id="none", file="none.png"))
    return Manifest("generic", tmp_path, "", records)


def items(dataset: CropDataset) -> Iterator[Item]:
    return (dataset[index] for index in range(len(dataset)))


def same(one: Item, other: Item) -> bool:
    return bool((one["pixels"] == other["pixels"]).all()) and all(
        one[key] == other[key]  # type: ignore[literal-required]
        for key in ("texts", "record", "person", "seed")
    )


@pytest.mark.parametrize("cache", [False, True])
def test_without_augmentation_pixels_are_what_serving_sees(manifest: Manifest, cache: bool) -> None:
    dataset = CropDataset(manifest, SPEC, "captions", cache=cache)
    for _ in range(2):
        for item in items(dataset):
            record = manifest.records[item["record"]]
            rgb = read_picture(manifest.path(record))
            x, y, w, h = (int(value) for value in record.box or (0, 0, 60, 100))
            expected = resize(np.ascontiguousarray(rgb[y : y + h, x : x + w]), SPEC)
            np.testing.assert_array_equal(item["pixels"], expected)
            np.testing.assert_array_equal(dataset.pixels(item["record"]), expected)
            assert item["pixels"].dtype == np.uint8


def test_every_text_in_order(manifest: Manifest) -> None:
    dataset = CropDataset(manifest, SPEC, "all", every_text=True)
    assert len(dataset) == 16
    assert [item["texts"] for item in items(dataset)] == [
        [text] for record in manifest.records for text in record.texts()
    ]
    assert [item["record"] for item in items(dataset)] == [n for n in range(4) for _ in range(4)]


def test_texts_are_drawn_at_random_and_differ(manifest: Manifest) -> None:
    dataset = CropDataset(manifest, SPEC, "captions", texts_per_item=2)
    seen = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        for item in items(dataset):
            assert len(set(item["texts"])) == 2
            seen |= set(item["texts"])
    assert seen == {text for record in manifest.records for text in record.captions}
    many = CropDataset(manifest, SPEC, "phrases", texts_per_item=5)
    assert many[0]["texts"] == ["p"]


def test_items_depend_on_seed_epoch_and_index_alone(manifest: Manifest) -> None:
    def make(seed: int = 0, epoch: int = 0) -> CropDataset:
        dataset = CropDataset(manifest, SPEC, augment=Augmentation().apply, seed=seed, margin=0.1)
        dataset.set_epoch(epoch)
        return dataset

    first = list(items(make()))
    backwards = make()
    again = [backwards[index] for index in reversed(range(len(backwards)))][::-1]
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    for other in (make(seed=1), make(epoch=1)):
        assert not any(same(one, two) for one, two in zip(first, items(other), strict=True))
    assert same(make()[-1], first[-1])
    with pytest.raises(IndexError):
        make()[4]


def test_the_cache_is_bounded_and_changes_nothing(manifest: Manifest) -> None:
    spec = ImageSpec(height=200, width=100)
    plain = CropDataset(manifest, spec, augment=Augmentation().apply, margin=0.1)
    cached = CropDataset(manifest, spec, augment=Augmentation().apply, margin=0.1, cache=True)
    steps: list[float] = []
    assert cached.preload(advance=steps.append) == 4
    assert sum(steps) == 4
    # The pictures are smaller than the tower's input, so the working size is their own.
    for one, two in zip(items(plain), items(cached), strict=True):
        assert same(one, two)
    tight = CropDataset(manifest, SPEC, cache=True, cache_bytes=2 * 32 * 16 * 3)
    assert tight.preload() == 2
    assert len(list(items(tight))) == 4
    assert plain.preload() == 0


def test_the_cache_works_at_a_size_with_room_to_move(manifest: Manifest) -> None:
    seen: list[Sample] = []

    def look(sample: Sample, rng: np.random.Generator) -> Sample:
        seen.append(sample)
        return sample

    dataset = CropDataset(manifest, SPEC, augment=look, margin=0.1, cache=True)
    list(items(dataset))
    for sample in seen:
        _, _, width, height = sample.box
        assert max(height / SPEC.height, width / SPEC.width) >= WORKING_SCALE * 0.98
        assert sample.rgb.shape[0] <= 2 * WORKING_SCALE * SPEC.height


def test_margin_gives_augmentation_surroundings(manifest: Manifest) -> None:
    seen: list[Sample] = []

    def look(sample: Sample, rng: np.random.Generator) -> Sample:
        seen.append(sample)
        return sample

    CropDataset(manifest, SPEC, augment=look, margin=0.5)[3]
    assert seen[0].rgb.shape[:2] == (70, 40)
    assert seen[0].box == (10.0, 10.0, 20.0, 40.0)


def test_masks_reach_the_augmentation(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    root = trees.street(tmp_path)
    labels = np.full((144, 96), LABELS.index("coat"))
    trees.mask_file(root / "masks/0001.mat", labels)
    record = Record(
        id="a",
        file="photos/0001.jpg",
        captions=["Coat."],
        mask="masks/0001.mat",
        garments={"coat": ["red"]},
        box=(12, 0, 24, 72),
    )
    seen: list[Sample] = []

    def look(sample: Sample, rng: np.random.Generator) -> Sample:
        seen.append(sample)
        return sample

    CropDataset(Manifest("street", root, "", [record]), SPEC, augment=look, masks=True)[0]
    assert seen[0].mask is not None
    assert seen[0].mask.shape == seen[0].rgb.shape[:2]
    assert set(seen[0].mask.ravel()) == {LABELS.index("coat")}
    assert seen[0].garments == {"coat": ["red"]}


def test_people_are_numbered(manifest: Manifest) -> None:
    assert number_persons(manifest.records) == [0, 0, 1, 2, 3]
    # An id of a person and an id of a record may read alike.
    assert number_persons([Record(id="1", file="a"), Record(id="2", file="b", person_id="1")]) == [0, 1]


def test_wrong_use(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="margin"):
        CropDataset(manifest, SPEC, margin=2)
    with pytest.raises(ConfigError, match="seed"):
        CropDataset(manifest, SPEC, seed=-1)
    with pytest.raises(DataError, match="has any phrases"):
        CropDataset(Manifest("generic", tmp_path, "", [Record(id="a", file="a", captions=["c"])]), SPEC, "phrases")
    (tmp_path / "0.png").unlink()
    with pytest.raises(PictureError, match=r"0\.png"):
        CropDataset(manifest, SPEC)[0]


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_agree_with_the_main_process_over_epochs(manifest: Manifest, method: str) -> None:
    from torch.utils.data import DataLoader

    dataset = CropDataset(manifest, SPEC, augment=Augmentation().apply, margin=0.1)
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=method,
        collate_fn=_as_it_is,
    )
    for epoch in range(2):
        dataset.set_epoch(epoch)
        loaded = list(loader)
        assert all(same(one, two) for one, two in zip(loaded, items(dataset), strict=True))


def _as_it_is(item: Item) -> Item:
    return item
