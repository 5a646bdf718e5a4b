from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from onlooker.datasets.crops import CropDataset  # noqa: E402
from onlooker.encoders.image_towers import CLIP_MEAN, CLIP_STD  # noqa: E402
from onlooker.runtime.preprocessing import ImageSpec, preprocess  # noqa: E402
from onlooker.runtime.tokenising import TextTokenizer  # noqa: E402
from onlooker.training.batches import Batch, Collate, EpochSampler, TrainingItems, make_loader, token_groups  # noqa: E402
from tests.tiny_models import painted_people  # noqa: E402

pytestmark = pytest.mark.train

SPEC = ImageSpec(height=32, width=32, resize="stretch", interpolation="bilinear", mean=CLIP_MEAN, std=CLIP_STD)


@pytest.fixture
def tokenizer(clip: Path) -> TextTokenizer:
    return TextTokenizer(clip / "tokenizer.json", max_tokens=16, pad_token="<|endoftext|>")


@given(count=st.integers(1, 60), size=st.integers(2, 20), seed=st.integers(0, 9), first=st.integers(0, 5))
def test_batches_are_disjoint_and_go_on_where_they_were(count: int, size: int, seed: int, first: int) -> None:
    sampler = EpochSampler(count, size, seed)
    batches = list(sampler)
    assert len(batches) == len(sampler) == max(1, count // size)
    assert all(len(batch) == min(size, count) for batch in batches)
    items = [item for batch in batches for item in batch]
    assert len(items) == len(set(items))
    assert set(items) <= set(range(count))
    sampler.start(0, first)
    assert list(sampler) == batches[first:]
    sampler.start(1)
    assert count < 8 or list(sampler) != batches


def test_token_groups_hold_every_text_once_with_little_padding(tokenizer: TextTokenizer) -> None:
    texts = ["red", "a person in a blue shirt, black jeans", "blue", "a person in a red shirt, grey jeans", "pink"]
    groups = token_groups(tokenizer, texts, 2)
    assert sorted(place for group in groups for place in group.places.tolist()) == list(range(5))
    for group in groups:
        for ids, mask, place in zip(group.input_ids, group.attention_mask, group.places, strict=True):
            alone = tokenizer([texts[place]])["input_ids"][0]
            np.testing.assert_array_equal(ids[mask.bool()].numpy(), alone)
    assert groups[0].input_ids.shape[1] < groups[1].input_ids.shape[1]
    assert len(token_groups(tokenizer, ["red"], 5)) == 1


def test_a_batch_is_what_serving_would_see(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    manifest = painted_people(tmp_path).split("train")
    dataset = CropDataset(manifest, SPEC, "captions", seed=1, texts_per_item=2)
    batch = Collate(tokenizer, SPEC)([(dataset[index],) for index in (3, 5, 3)])
    assert batch.records == (3, 5, 3)
    assert batch.image_persons.tolist() == [3, 5, 3]
    assert batch.text_persons.tolist() == [3, 3, 5, 5, 3, 3]
    np.testing.assert_allclose(batch.pixels[0].numpy(), preprocess([dataset.pixels(3)], SPEC)[0], atol=1e-6)


def test_word_dropout_keeps_the_order_and_never_leaves_nothing(tokenizer: TextTokenizer) -> None:
    collate = Collate(tokenizer, SPEC, word_dropout=0.5)
    text = "one two three four five six seven eight"
    seen = {collate._thinned(text, seed) for seed in range(200)}
    assert len(seen) > 50
    for thinned in seen:
        words = thinned.split()
        assert words == [word for word in text.split() if word in words]
    assert {collate._thinned("red", seed) for seed in range(50)} == {"red"}
    kept = sum(len(collate._thinned(text, seed).split()) for seed in range(500)) / 500
    assert kept == pytest.approx(4, abs=0.3)


@pytest.mark.slow
def test_workers_give_the_same_batches_in_every_epoch(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    manifest = painted_people(tmp_path).split("train")

    def batches(workers: int) -> list[Batch]:
        dataset = CropDataset(manifest, SPEC, "captions", seed=1)
        sampler = EpochSampler(len(dataset), 5, seed=1)
        loader = make_loader(TrainingItems(dataset), sampler, Collate(tokenizer, SPEC, word_dropout=0.3), workers)
        found = []
        for epoch in range(2):
            dataset.set_epoch(epoch)
            sampler.start(epoch)
            found += list(loader)
        return found

    here, there = batches(0), batches(2)
    assert len(here) == 6
    for one, two in zip(here, there, strict=True):
        assert one.records == two.records
        assert torch.equal(one.pixels, two.pixels)
        for a, b in zip(one.groups, two.groups, strict=True):
            assert torch.equal(a.input_ids, b.input_ids)


def test_starting_a_loader_draws_nothing_from_the_global_generator(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    """A resumed run starts its loader once more than a run without a stop."""
    dataset = CropDataset(painted_people(tmp_path).split("train"), SPEC, "captions", seed=1)
    sampler = EpochSampler(len(dataset), 5, seed=1)
    loader = make_loader(TrainingItems(dataset), sampler, Collate(tokenizer, SPEC), 0)
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)
