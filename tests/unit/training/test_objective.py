from __future__ import annotations

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.config import REGIONS  # noqa: E402
from onlooker.encoders.dual import Encoded  # noqa: E402
from onlooker.training.batches import Batch  # noqa: E402
from onlooker.training.objective import (  # noqa: E402
    Objective,
    Teachers,
    distillation_loss,
    parts_loss,
    segmentation_loss,
    twin_parts_loss,
    twin_regions,
    twins_loss,
)
from onlooker.training.recipes import LossSettings  # noqa: E402

pytestmark = pytest.mark.train

T = torch.tensor(0.1)


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=-1)


def encoded(count: int, seed: int) -> Encoded:
    return Encoded(units(count, 6, seed=seed), units(count, 2, 3, seed=seed + 1), torch.rand(count, 2) + 0.1)


def batch(twins: list[list[int]], count: int = 4) -> Batch:
    return Batch(
        pixels=torch.zeros(count, 3, 2, 2),
        groups=(),
        image_persons=torch.arange(count),
        text_persons=torch.arange(count),
        records=tuple(range(count)),
        twins=torch.tensor(twins, dtype=torch.int64).reshape(-1, 4),
        twin_garments=(("coat", "pants"),) * len(twins),
        masked=torch.tensor([1]),
        segments=torch.full((1, 8, 2, 2), 1 / 8),
    )


def test_twins_are_told_apart_or_not() -> None:
    images, texts = torch.eye(2), torch.eye(2)
    right = twins_loss(images, texts, torch.tensor([[0, 1, 0, 1]]), T)
    wrong = twins_loss(images, texts, torch.tensor([[0, 1, 1, 0]]), T)
    same = twins_loss(images[[0, 0]], texts, torch.tensor([[0, 1, 0, 1]]), T)
    assert right < 1e-3
    assert wrong > 9
    # Equal pictures: each text chooses by chance; each picture chooses text 0 surely.
    assert same == pytest.approx((math.log(2) + 10 / 2) / 2, abs=1e-2)


def test_twins_by_a_loop() -> None:
    images, texts = units(6, 5), units(7, 5, seed=1)
    twins = torch.tensor([[0, 1, 2, 3], [4, 5, 5, 6]])
    total = 0.0
    for first, second, one, two in twins.tolist():
        s = images[[first, second]] @ texts[[one, two]].T / T
        for logits in (s, s.T):
            total -= logits.log_softmax(dim=1).diagonal().mean().item() / 2
    assert float(twins_loss(images, texts, twins, T)) == pytest.approx(total / 2, rel=1e-5)


def test_garments_find_their_block() -> None:
    pairs = [("coat", "pants"), ("dress", "bag"), ("boots", "hat")]
    assert twin_regions(pairs, REGIONS).tolist() == [[1, 2], [1, 4], [3, 0]]
    assert twin_regions(pairs, ("lower",)).tolist() == [[-1, 0], [0, -1], [-1, -1]]


def test_twins_by_their_blocks_look_at_those_blocks_alone() -> None:
    images, texts = encoded(4, 0), encoded(4, 5)
    twins, regions = torch.tensor([[0, 1, 0, 1]]), torch.tensor([[1, -1]])
    loss = twin_parts_loss(images, texts, twins, regions)
    assert images.blocks is not None
    other = images.blocks.clone()
    other[:, 0] = units(4, 3, seed=9)
    other[2:] = units(2, 2, 3, seed=8)
    torch.testing.assert_close(loss, twin_parts_loss(replace(images, blocks=other), texts, twins, regions))
    assert twin_parts_loss(images, texts, twins, torch.tensor([[-1, -1]])) == 0


def test_a_text_counts_for_a_region_as_much_as_it_says_of_it() -> None:
    images, texts = encoded(4, 0), encoded(4, 5)
    assert texts.lengths is not None
    assert texts.blocks is not None
    silent = texts.lengths.clone()
    silent[3] = 0
    quiet = replace(texts, lengths=silent)
    blocks = texts.blocks.clone()
    blocks[3] = units(2, 3, seed=9)
    matches = torch.eye(4, dtype=torch.bool)
    torch.testing.assert_close(
        parts_loss(images, quiet, matches), parts_loss(images, replace(quiet, blocks=blocks), matches)
    )
    assert not torch.isclose(parts_loss(images, texts, matches), parts_loss(images, quiet, matches))


def test_segmentation_is_cross_entropy() -> None:
    logits = torch.randn(2, 8, 3, 2)
    labels = torch.randint(0, 8, (2, 3, 2))
    shares = torch.nn.functional.one_hot(labels, 8).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(segmentation_loss(logits, shares), torch.nn.functional.cross_entropy(logits, labels))


def test_a_pupil_that_agrees_with_its_teachers_has_nothing_to_learn() -> None:
    similarity = torch.rand(3, 4)
    teachers = Teachers(similarity, T)
    assert float(distillation_loss(similarity, T, teachers)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(-similarity, T, teachers)) > 0.1


@pytest.mark.parametrize("key", ["parts", "twins", "segmentation", "distil"])
def test_each_weight_adds_its_loss(key: str) -> None:
    images, texts = encoded(4, 0), encoded(4, 5)
    images = replace(images, segments=torch.randn(4, 8, 2, 2))
    teachers = Teachers(torch.rand(4, 4), T)
    values = [
        float(
            Objective(LossSettings.model_validate({key: weight}), ("upper", "lower"))(
                images, texts, batch([[0, 1, 0, 1]]), T, teachers
            )
        )
        for weight in (0.0, 1.0, 2.0)
    ]
    assert values[1] > values[0] + 1e-4
    assert values[2] - values[1] == pytest.approx(values[1] - values[0], rel=1e-3)


def test_without_weights_it_is_the_plain_loss_and_needs_no_blocks() -> None:
    objective = Objective(LossSettings())
    images, texts = Encoded(units(4, 6)), Encoded(units(4, 6, seed=1))
    value = objective(images, texts, batch([]), T)
    torch.testing.assert_close(value, objective.whole(images.vectors, texts.vectors, torch.eye(4, dtype=torch.bool), T))
