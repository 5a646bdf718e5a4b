from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import build  # noqa: E402
from onlooker.encoders.image_towers import ColourThumbnail  # noqa: E402
from onlooker.encoders.lora import add_adapters  # noqa: E402
from onlooker.encoders.pooling import AttentionPooling, masked_mean  # noqa: E402
from onlooker.encoders.projection import ResidualProjection  # noqa: E402
from onlooker.encoders.text_towers import round_weights  # noqa: E402
from onlooker.errors import ConfigError, TrainingError  # noqa: E402
from onlooker.training.optimisation import make_optimiser  # noqa: E402
from onlooker.training.recipes import load_recipe  # noqa: E402

pytestmark = pytest.mark.train

COMPACT = load_recipe(Path(__file__).resolve().parents[3] / "recipes" / "compact.toml")


def compact(**image: Any) -> ModelConfig:
    table = COMPACT.model.model_dump()
    small = {"weights": "random", "height": 96, "width": 48}
    return ModelConfig.model_validate(
        {**table, "image": {**table["image"], **small, **image}, "text": {**table["text"], "weights": "random"}}
    )


@pytest.mark.slow
def test_compact_encodes_to_its_dimension_and_keeps_what_is_frozen() -> None:
    torch.manual_seed(0)
    model = add_adapters(build(compact())).train()
    assert model.image_tower.width == 1280 + 4 * 128 + 256
    assert model.text_tower.width == 384 + 4 * 128
    before = copy.deepcopy(model.state_dict())
    optimiser = make_optimiser(model, COMPACT.optimiser)
    images = model.encode_images(torch.randn(4, 3, 96, 48))
    texts = model.encode_texts(torch.randint(5, 1000, (4, 9)), torch.ones(4, 9, dtype=torch.int64))
    assert images.shape == texts.shape == (4, 256)
    torch.testing.assert_close(images.norm(dim=1), torch.ones(4))
    (images @ texts.T).diagonal().mean().neg().backward()
    optimiser.step()
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    stem = [name for name in before if "network._conv_stem" in name or "network._bn0" in name]
    blocks = [name for name in before if any(f"network._blocks.{number}." in name for number in range(3))]
    text = [name for name in before if name.startswith("text_tower.backbone.") and "lora_" not in name]
    assert stem
    assert blocks
    assert len(text) > 90
    assert not changed & {*stem, *blocks, *text}
    assert not {name for name in changed if "running_" in name}
    assert any("_blocks.3." in name for name in changed)
    assert any("lora_B" in name for name in changed)
    assert {"image_tower.positions", "image_tower.thumbnail.layers.0.weight", "text_tower.attention.queries"} <= changed


def test_the_thumbnail_sees_where_which_colour_is() -> None:
    torch.manual_seed(0)
    thumbnail = ColourThumbnail().eval()

    def picture(upper: list[float], lower: list[float]) -> torch.Tensor:
        colours = torch.tensor([upper, lower]).T[None, :, :, None]
        return colours.repeat_interleave(48, dim=2).expand(1, 3, 96, 48)

    red_over_blue, blue_over_red = (
        picture([1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]),
        picture([-1.0, -1.0, 1.0], [1.0, -1.0, -1.0]),
    )
    with torch.inference_mode():
        one, two = thumbnail(red_over_blue), thumbnail(blue_over_red)
        noisy = thumbnail(red_over_blue + 0.1 * torch.randn(1, 3, 96, 48))
    assert one.shape == (1, 256)
    assert (one - two).abs().max() > 5 * (one - noisy).abs().max()


@pytest.mark.parametrize(("height", "width"), [(100, 48), (96, 50)])
def test_a_thumbnail_that_does_not_fit_is_refused(height: int, width: int) -> None:
    with pytest.raises(ConfigError, match=rf"height that 24 divides .* not {height}x{width}"):
        build(compact(height=height, width=width))


def test_weights_that_efficientnet_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="'package' or 'random'"):
        build(compact(weights="google/efficientnet"))


def test_freezing_everything_leaves_the_heads() -> None:
    table = compact(freeze=True).model_dump()
    model = build(ModelConfig.model_validate({**table, "text": {**table["text"], "freeze": True}}))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any("backbone" in name for name in trained)
    make_optimiser(model, COMPACT.optimiser)
    model.requires_grad_(False)
    with pytest.raises(TrainingError, match="no weight of this model is trainable"):
        make_optimiser(model, COMPACT.optimiser)


def test_pooling_does_not_see_padding() -> None:
    torch.manual_seed(0)
    pool, tokens = AttentionPooling(6, 3, inner=4), torch.randn(2, 5, 6)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    noisy = tokens.clone()
    noisy[0, 3:] = 1e3
    assert pool(tokens).shape == (2, pool.out_width)
    torch.testing.assert_close(pool(noisy, mask), pool(tokens, mask))
    torch.testing.assert_close(masked_mean(noisy, mask)[0], tokens[0, :3].mean(dim=0))
    assert not torch.allclose(pool(noisy), pool(tokens))
    assert masked_mean(tokens, torch.zeros_like(mask)).abs().max() == 0


def test_the_head_is_the_original_systems() -> None:
    torch.manual_seed(0)
    head, features = ResidualProjection(7, 8, dropout=0.5).eval(), torch.randn(3, 7)
    projected = features @ head.projection.weight.T + head.projection.bias
    inner = torch.nn.functional.gelu(projected) @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(features), torch.nn.functional.layer_norm(projected + inner, (8,)))


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("pooling", ["first", "mean", "attention"])
def test_padding_changes_no_text_vector(extra: int, pooling: str) -> None:
    from transformers import BertConfig

    from onlooker.encoders.config import TextTowerConfig
    from onlooker.encoders.text_towers import TransformerTextTower

    torch.manual_seed(0)
    small = BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    settings = TextTowerConfig(kind="minilm", pooling=pooling, queries=2, extra_layers=extra)
    tower = TransformerTextTower(settings, small.to_dict()).eval()
    ids = torch.tensor([[2, 7, 9, 3]])
    with torch.no_grad():
        bare = tower(ids, torch.ones_like(ids))
        padded = tower(torch.cat([ids, torch.zeros(1, 3, dtype=torch.int64)], 1), torch.tensor([[1] * 4 + [0] * 3]))
    assert bare.shape == (1, tower.width)
    torch.testing.assert_close(padded, bare)


def test_rounded_matrices_lie_on_their_grid_and_barely_move() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Embedding(50, 16), torch.nn.Linear(16, 8))
    before = copy.deepcopy(network.state_dict())
    round_weights(network)
    for name in ("0.weight", "1.weight"):
        weight = network.state_dict()[name]
        steps = before[name].abs().amax(dim=1, keepdim=True) / 127
        counted = weight / steps
        torch.testing.assert_close(counted, counted.round(), atol=1e-3, rtol=0)
        assert (weight - before[name]).abs().max() <= steps.max()
        assert not torch.equal(weight, before[name])
    assert torch.equal(network.state_dict()["1.bias"], before["1.bias"])
