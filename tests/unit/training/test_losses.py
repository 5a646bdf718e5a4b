from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from onlooker.training.losses import (  # noqa: E402
    SDM_TEMPERATURE,
    SIGMOID_BIAS,
    contrastive,
    make_loss,
    matches_of,
    sigmoid_pairwise,
    similarity_distribution_matching,
)

pytestmark = pytest.mark.train

KINDS = ("contrastive", "sdm", "sigmoid")
T = torch.tensor(0.1)


def units(n: int, d: int = 6, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(vectors, dim=-1)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Five pictures of four persons, eight texts; person 0 has two pictures and three texts."""
    images, texts = units(5, seed=seed), units(8, seed=seed + 1)
    return images, texts, matches_of(torch.tensor([0, 0, 1, 2, 3]), torch.tensor([0, 1, 0, 2, 3, 0, 1, 2]))


def test_matches_are_equal_persons() -> None:
    found = matches_of(torch.tensor([3, 5]), torch.tensor([5, 3, 3]))
    assert found.tolist() == [[False, True, True], [True, False, False]]


def test_contrastive_is_clips_loss_with_one_positive() -> None:
    images, texts = units(7), units(7, seed=1)
    logits = images @ texts.T / T
    places = torch.arange(7)
    cross_entropy = torch.nn.functional.cross_entropy
    wanted = (cross_entropy(logits, places) + cross_entropy(logits.T, places)) / 2
    torch.testing.assert_close(contrastive(images, texts, torch.eye(7, dtype=torch.bool), T), wanted)


def test_contrastive_smooths_as_torch_does() -> None:
    images, texts = units(7), units(7, seed=1)
    logits = images @ texts.T / T
    places = torch.arange(7)

    def cross_entropy(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(values, places, label_smoothing=0.2)

    got = make_loss("contrastive", label_smoothing=0.2)(images, texts, torch.eye(7, dtype=torch.bool), T)
    torch.testing.assert_close(got, (cross_entropy(logits) + cross_entropy(logits.T)) / 2)


def test_contrastive_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Two orthogonal pairs at temperature 1: each softmax gives its positive e / (e + 1).
    got = contrastive(images, images, torch.eye(2, dtype=torch.bool), torch.tensor(1.0))
    assert float(got) == pytest.approx(-math.log(math.e / (math.e + 1)))
    # The first picture has both texts, the second has none of its own: shares of one half each.
    both = contrastive(images, images, torch.tensor([[True, True], [True, True]]), torch.tensor(1.0))
    assert float(both) == pytest.approx(-0.5 * math.log(math.e / (math.e + 1)) - 0.5 * math.log(1 / (math.e + 1)))


def test_texts_of_one_person_are_positives() -> None:
    """Two pictures of one person: the plain loss would push each away from the other's text."""
    together = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    apart = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0]]))
    cold = torch.tensor(0.05)
    plain, ours = torch.eye(3, dtype=torch.bool), matches_of(torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1]))
    assert contrastive(apart, apart, plain, cold) < contrastive(together, together, plain, cold)
    assert contrastive(apart, apart, ours, cold) > contrastive(together, together, ours, cold)
    # At its best, each of two positives has half of the softmax: the entropy of a coin in two rows of three.
    assert float(contrastive(together, together, ours, cold)) == pytest.approx(math.log(2) * 2 / 3, abs=1e-6)


def slow_divergence(logits: list[list[float]], matches: list[list[bool]]) -> float:
    total = 0.0
    for row, right in zip(logits, matches, strict=True):
        top = max(row)
        norm = sum(math.exp(value - top) for value in row)
        for value, is_right in zip(row, right, strict=True):
            p = math.exp(value - top) / norm
            q = is_right / sum(right)
            if p > 0:
                total += p * (math.log(p) - math.log(q + 1e-8))
    return total / len(logits)


@pytest.mark.parametrize("seed", range(3))
def test_sdm_against_loops(seed: int) -> None:
    images, texts, matches = batch(seed)
    logits = images @ texts.T / SDM_TEMPERATURE
    wanted = slow_divergence(logits.tolist(), matches.tolist()) + slow_divergence(logits.T.tolist(), matches.T.tolist())
    assert float(similarity_distribution_matching(images, texts, matches, T)) == pytest.approx(wanted, rel=1e-6)


def test_sdm_ignores_the_learned_temperature() -> None:
    images, texts, matches = batch()
    one, two = (similarity_distribution_matching(images, texts, matches, torch.tensor(t)) for t in (0.01, 1.0))
    assert float(one) == float(two)


@pytest.mark.parametrize("seed", range(3))
def test_sigmoid_against_loops(seed: int) -> None:
    images, texts, matches = batch(seed)
    total = 0.0
    for i in range(5):
        for j in range(8):
            logit = float(images[i] @ texts[j]) / float(T) + SIGMOID_BIAS
            sign = 1 if matches[i, j] else -1
            total += math.log1p(math.exp(-sign * logit))
    assert float(sigmoid_pairwise(images, texts, matches, T)) == pytest.approx(total / 5, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 1000), order=st.permutations(range(5)), text_order=st.permutations(range(8)))
@settings(max_examples=20, deadline=None)
def test_order_within_a_batch_does_not_matter(kind: str, seed: int, order: list[int], text_order: list[int]) -> None:
    images, texts, matches = batch(seed)
    loss = make_loss(kind)
    got = loss(images[order], texts[text_order], matches[order][:, text_order], T)
    torch.testing.assert_close(got, loss(images, texts, matches, T))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.01, 1.0))
@settings(max_examples=20, deadline=None)
def test_finite_in_single_precision(kind: str, seed: int, temperature: float) -> None:
    images, texts, matches = batch(seed)
    images = images.float().requires_grad_()
    warmth = torch.tensor(temperature, requires_grad=True)
    loss = make_loss(kind)
    value = loss(images, texts.float(), matches, warmth)
    value.backward()
    assert torch.isfinite(value)
    assert float(value.detach()) > -1e-3
    assert torch.isfinite(images.grad).all()
    assert warmth.grad is None or torch.isfinite(warmth.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_opposite_vectors_stay_finite(kind: str) -> None:
    """The worst a batch can be: every match at cosine -1, every other pair at 1."""
    images = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    texts = -images.detach()
    value = make_loss(kind)(images, texts, torch.eye(2, dtype=torch.bool), torch.tensor(0.01))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(images.grad).all()
    perfect = make_loss(kind)(images, -texts, torch.eye(2, dtype=torch.bool), torch.tensor(0.01))
    assert perfect < value
