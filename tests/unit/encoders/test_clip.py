"""A Hugging Face CLIP checkpoint as a dual encoder gives what transformers gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.checkpoint import image_spec, make_tokenizer  # noqa: E402
from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import build  # noqa: E402
from onlooker.encoders.image_towers import resize_positions  # noqa: E402
from onlooker.encoders.text_towers import pad_token_of, tokenizer_file  # noqa: E402
from onlooker.errors import ConfigError, DataError  # noqa: E402
from onlooker.export.clip_folder import open_clip_folder  # noqa: E402
from tests.tiny_models import clip_tokenizer, recipe_table  # noqa: E402

pytestmark = pytest.mark.train

TEXTS = ["a person in a red shirt, black jeans", "blue", "", "white shirt " * 20]


def config(clip: Path, **image: int) -> ModelConfig:
    table = recipe_table(clip)["model"]
    return ModelConfig.model_validate({**table, "image": {**table["image"], **image}})


def test_vectors_are_those_of_transformers(clip: Path) -> None:
    from transformers import CLIPModel

    theirs = CLIPModel.from_pretrained(clip).eval()
    ours, settings = open_clip_folder(clip)
    pixels = torch.randn(3, 3, 32, 32)
    tokens = clip_tokenizer()(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    mine = make_tokenizer(settings, tokenizer_file(settings.text))(TEXTS)
    np.testing.assert_array_equal(mine["input_ids"], tokens["input_ids"].numpy())
    np.testing.assert_array_equal(mine["attention_mask"], tokens["attention_mask"].numpy())
    with torch.inference_mode():
        images = pooled(theirs.get_image_features(pixel_values=pixels))
        texts = pooled(theirs.get_text_features(**tokens))
        got_images, got_texts = ours.encode_images(pixels), ours.encode_texts(**tokens)
    torch.testing.assert_close(got_images, torch.nn.functional.normalize(images, dim=-1))
    torch.testing.assert_close(got_texts, torch.nn.functional.normalize(texts, dim=-1))
    assert float(ours.temperature.detach()) == pytest.approx(float(torch.exp(-theirs.logit_scale.detach())), abs=1e-3)


def pooled(output: object) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.pooler_output  # type: ignore[attr-defined]


def test_preprocessing_is_that_of_transformers(clip: Path) -> None:
    from transformers import CLIPImageProcessor

    from onlooker.runtime.preprocessing import preprocess

    rgb = np.random.default_rng(0).integers(0, 256, (80, 50, 3), dtype=np.uint8)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    spec = image_spec(open_clip_folder(clip)[0])
    theirs = np.asarray(processor(images=[rgb], return_tensors="np")["pixel_values"])
    # They may resize by torch or by Pillow; both antialias, and differ by a few levels of 255 here and there.
    np.testing.assert_allclose(preprocess([rgb], spec), theirs, atol=0.1)
    assert np.abs(preprocess([rgb], spec) - theirs).mean() < 0.01


@pytest.mark.parametrize(("height", "width"), [(64, 32), (96, 32), (32, 32)])
def test_position_embeddings_are_resized_and_the_class_token_kept(clip: Path, height: int, width: int) -> None:
    model = build(config(clip, height=height, width=width)).eval()
    before = build(config(clip)).image_tower.backbone
    old = embeddings(before).position_embedding.weight
    new = embeddings(model.image_tower.backbone).position_embedding.weight
    assert new.shape == (1 + height // 16 * (width // 16), 32)
    torch.testing.assert_close(new[0], old[0])
    if (height, width) == (32, 32):
        torch.testing.assert_close(new, old)
    vectors = model.encode_images(torch.randn(2, 3, height, width))
    assert vectors.shape == (2, 16)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_resized_positions_keep_their_direction(clip: Path) -> None:
    """A grid that only changes from top to bottom must still do so, and not from left to right."""
    vision = build(config(clip)).image_tower.backbone
    table = embeddings(vision).position_embedding.weight.data
    table[1:] = torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None]
    resize_positions(vision, 4, 3)
    grid = embeddings(vision).position_embedding.weight.detach()[1:, 0].reshape(4, 3)
    torch.testing.assert_close(grid, grid[:, :1].expand(4, 3))
    assert grid[0, 0] < 0.1
    assert (grid[1:] > grid[:-1]).all()
    assert grid[-1, 0] > 0.9


def embeddings(vision: torch.nn.Module) -> torch.nn.Module:
    return next(module for module in vision.modules() if hasattr(module, "position_embedding"))


def test_sizes_that_do_not_fit_are_refused(clip: Path) -> None:
    with pytest.raises(ConfigError, match=r"40x32 is not a multiple of the patch size 16"):
        build(config(clip, height=40))
    table = config(clip).model_dump()
    with pytest.raises(ConfigError, match=r"projection\.dimension = 16"):
        build(ModelConfig.model_validate({**table, "projection": {"kind": "linear", "dimension": 32}}))
    with pytest.raises(ConfigError, match="must be the same"):
        build(ModelConfig.model_validate({**table, "text": {**table["text"], "weights": "other"}}))


def test_weights_that_are_nowhere_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot load pretrained weights .*nothere.*pass the folder"):
        build(config(tmp_path / "nothere"))


def test_a_folder_without_clip_is_refused(tmp_path: Path) -> None:
    for content in (None, "{", "[]", '{"model_type": "bert"}'):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(DataError, match="neither a checkpoint"):
            open_clip_folder(tmp_path)


def test_a_tokenizer_without_a_padding_token_is_refused(clip: Path, tmp_path: Path) -> None:
    text = (clip / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace("<|endoftext|>", "<|stop|>"))
    assert pad_token_of(clip / "tokenizer.json") == "<|endoftext|>"
    with pytest.raises(ConfigError, match="no padding token"):
        pad_token_of(tmp_path / "tokenizer.json")
