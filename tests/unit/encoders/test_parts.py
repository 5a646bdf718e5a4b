from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from pydantic import ValidationError  # noqa: E402

from onlooker.encoders.config import REGIONS, SEGMENTS, ModelConfig, PartsConfig, ProjectionConfig  # noqa: E402
from onlooker.encoders.dual import DualEncoder, build, join_blocks  # noqa: E402
from onlooker.encoders.lora import add_adapters  # noqa: E402
from onlooker.encoders.parts import REACH, ImageParts, RegionHeads, TextParts  # noqa: E402
from onlooker.encoders.projection import projection_head, start_alike  # noqa: E402
from onlooker.errors import ConfigError  # noqa: E402
from onlooker.training.recipes import load_recipe  # noqa: E402

pytestmark = pytest.mark.train

BASE = load_recipe(Path(__file__).resolve().parents[3] / "recipes" / "base.toml").model
PARTS = PartsConfig(regions=("upper", "lower"), dimension=8)


def config(parts: dict[str, Any] | None = None, **image: Any) -> ModelConfig:
    table = BASE.model_dump()
    small = {"weights": "random", "height": 96, "width": 48}
    table["image"] = {**table["image"], **small, **image}
    table["text"] = {**table["text"], "weights": "random"}
    table["parts"] = {**table["parts"], **(parts or {})}
    return ModelConfig.model_validate(table)


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    torch.manual_seed(0)
    return add_adapters(build(config())).eval()


def test_the_layout_covers_the_vector_without_gaps() -> None:
    layout = config().layout()
    assert list(layout) == ["global", *REGIONS]
    edges = [edge for columns in layout.values() for edge in columns]
    assert edges[0] == 0
    assert edges[-1] == 256
    assert edges[1:-1:2] == edges[2::2]
    assert config().model_copy(update={"parts": None}).layout() == {}


@pytest.mark.slow
def test_pictures_and_texts_become_unit_vectors_made_of_blocks(model: DualEncoder) -> None:
    with torch.inference_mode():
        seen = model.look(torch.randn(3, 3, 96, 48))
        said = model.read(torch.randint(5, 1000, (2, 9)), torch.ones(2, 9, dtype=torch.int64))
    for encoded, count in ((seen, 3), (said, 2)):
        assert encoded.vectors.shape == (count, 256)
        torch.testing.assert_close(encoded.vectors.norm(dim=1), torch.ones(count))
        assert encoded.blocks is not None
        assert encoded.lengths is not None
        torch.testing.assert_close(encoded.blocks.norm(dim=2), torch.ones(count, 5))
        for place, region in enumerate(REGIONS):
            start, end = model.config.layout()[region]
            block = torch.nn.functional.normalize(encoded.vectors[:, start:end], dim=1)
            torch.testing.assert_close(block, encoded.blocks[:, place], atol=1e-5, rtol=1e-4)
    assert seen.segments is not None
    assert seen.segments.shape == (3, len(SEGMENTS), 6, 3)
    assert said.segments is None


@pytest.mark.slow
def test_padding_changes_no_block_of_a_text(model: DualEncoder) -> None:
    ids, mask = torch.randint(5, 1000, (1, 7)), torch.ones(1, 7, dtype=torch.int64)
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.int64)], dim=1)
    with torch.inference_mode():
        one = model.read(ids, mask).vectors
        other = model.read(padded, torch.cat([mask, torch.zeros(1, 5, dtype=torch.int64)], dim=1)).vectors
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_region_is_pooled_where_the_segmentation_sees_it() -> None:
    torch.manual_seed(0)
    parts = ImageParts(PARTS, rows=6).eval()
    upper = SEGMENTS.index("upper")

    class Above(torch.nn.Module):
        def forward(self, cells: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(cells.shape[0], len(SEGMENTS), *cells.shape[2:])
            logits[:, upper, :3] = logits[:, SEGMENTS.index("lower"), 3:] = 30.0
            return logits

    parts.segmentation = Above()  # type: ignore[assignment]
    pixels = torch.randn(1, 3, 96, 48)
    middle, last = torch.randn(1, 112, 6, 3), torch.zeros(1, 1280, 3, 2)
    changed = middle.clone()
    changed[:, :, 4:] += torch.randn(1, 112, 2, 3)
    with torch.inference_mode():
        before, after = parts(pixels, middle, last)[0], parts(pixels, changed, last)[0]
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_bands_see_their_height_alone() -> None:
    torch.manual_seed(0)
    parts = ImageParts(PARTS.model_copy(update={"pooling": "bands"}), rows=6).eval()
    pixels = torch.randn(1, 3, 96, 48)
    middle, last = torch.randn(1, 112, 6, 3), torch.zeros(1, 1280, 3, 2)
    changed = middle.clone()
    changed[:, :, 4] += torch.randn(1, 112, 3)
    with torch.inference_mode():
        before, after = parts(pixels, middle, last)[0], parts(pixels, changed, last)[0]
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("rows", [2, 3, 6, 12, 24])
def test_every_band_holds_at_least_a_row(rows: int) -> None:
    bands = ImageParts(PartsConfig(pooling="bands"), rows).bands
    assert bands.sum(dim=1).min() >= 1


def test_what_a_word_gets_is_shared_with_the_words_before_it() -> None:
    torch.manual_seed(0)
    parts = TextParts(PARTS, hidden=16).eval()
    with torch.no_grad():
        parts.scores.weight.zero_()
        parts.scores.weight[:, 0] = 50.0
    states = torch.zeros(1, 8, 16)
    states[:, 6, 0] = 1.0  # the word both regions look at
    mask = torch.ones(1, 8, dtype=torch.int64)

    def moved(place: int) -> bool:
        other = states.clone()
        other[:, place, 5] = 1.0
        with torch.inference_mode():
            return not torch.allclose(parts(states, mask)[0], parts(other, mask)[0])

    assert [place for place in range(8) if moved(place)] == list(range(7 - len(REACH), 7))


def test_a_gate_says_how_long_a_block_is() -> None:
    features = torch.randn(3, 2, 4)
    for gated in (False, True):
        heads = RegionHeads(2, 4, PARTS, gated=gated).eval()
        torch.testing.assert_close(heads(features)[1], torch.full((3, 2), PARTS.weight))
    with torch.no_grad():
        heads.gate.normal_(std=20)
    lengths = heads(features)[1]
    assert lengths.max() > PARTS.weight > lengths.min()


def test_colours_are_counted_where_the_region_is() -> None:
    torch.manual_seed(0)
    parts = ImageParts(PARTS.model_copy(update={"pooling": "bands"}), rows=6).eval()
    for name, weight in parts.named_parameters():
        if name.startswith(("colours", "segmentation", "context")):
            torch.nn.init.zeros_(weight)
    middle, last = torch.zeros(1, 112, 6, 3), torch.zeros(1, 1280, 3, 2)
    pixels = torch.zeros(1, 3, 96, 48)
    painted = pixels.clone()
    painted[:, 0, 64:80] = 1.0  # red trousers
    with torch.inference_mode():
        before, after = parts(pixels, middle, last)[0], parts(painted, middle, last)[0]
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1], atol=1e-3)


def test_heads_with_an_inner_width_start_alike_and_keep_what_agrees() -> None:
    torch.manual_seed(0)
    settings = ProjectionConfig(dimension=48, inner=64, dropout=0)
    one, other = projection_head(10, settings), projection_head(12, settings)
    start_alike(one, other)
    assert one.out is not None
    torch.testing.assert_close(one.out.weight @ one.out.weight.T, torch.eye(48), atol=1e-5, rtol=0)
    assert torch.equal(one.out.weight, other.out.weight)
    assert one(torch.randn(3, 10)).shape == other(torch.randn(3, 12)).shape == (3, 48)


def test_joined_blocks_keep_their_shares() -> None:
    whole, blocks = torch.tensor([[3.0, 0.0]]), torch.tensor([[[0.0, 1.0]]])
    joined = join_blocks(whole, blocks, torch.tensor([[0.5]]))
    torch.testing.assert_close(joined, torch.tensor([[1.0, 0.0, 0.0, 0.5]]) / 1.25**0.5)


@pytest.mark.parametrize(
    ("parts", "image", "named"),
    [
        ({"dimension": 50}, {}, "at least 8 must be left"),
        ({"regions": ["upper", "upper"]}, {}, "each region once"),
        ({}, {"height": 200, "thumbnail": False}, "16 divides, not 200x48"),
        ({"regions": []}, {}, "regions"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, Any], image: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        config(parts, **image)


def test_a_layer_that_the_text_tower_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"text_layer = 9, but the text tower has 6 layers"):
        build(config({"text_layer": 9}))
