from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import DualEncoder, SavedBackbones, build  # noqa: E402
from onlooker.encoders.lora import (  # noqa: E402
    MERGE_TOLERANCE,
    add_adapters,
    end_token,
    has_adapters,
    load_adapters,
    merged,
    peft_quiet,
    probe_inputs,
)
from onlooker.errors import ConfigError, DataError, TrainingError  # noqa: E402
from onlooker.training.catalogue import find_recipe  # noqa: E402
from onlooker.training.recipes import load_recipe  # noqa: E402
from tests.tiny_models import recipe_table  # noqa: E402

pytestmark = pytest.mark.train


def config(clip: Path, **changes: Any) -> ModelConfig:
    return ModelConfig.model_validate({**recipe_table(clip)["model"], **changes})


@pytest.fixture
def adapted(clip: Path) -> DualEncoder:
    """A model whose adapters do something, as after training (PEFT starts them at nothing)."""
    torch.manual_seed(3)
    model = add_adapters(build(config(clip))).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    return model


def vectors(model: DualEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, ids, mask = probe_inputs(model)
    with torch.inference_mode():
        return model.encode_images(pixels), model.encode_texts(ids, mask)


def test_only_adapters_heads_and_temperature_are_trained(clip: Path) -> None:
    model = add_adapters(build(config(clip)))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name for name in trained if "lora_" not in name} == {
        "image_projection.weight",
        "text_projection.weight",
        "log_temperature",
    }
    # q, k, v and out in two layers of each of two towers, A and B each.
    assert sum("lora_" in name for name in trained) == 4 * 2 * 2 * 2
    assert has_adapters(model)


def test_merged_gives_what_unmerged_gives(adapted: DualEncoder, clip: Path) -> None:
    plain = merged(adapted)
    assert has_adapters(adapted)
    assert not has_adapters(plain)
    assert not any("lora" in name for name, _ in plain.named_parameters())
    for one, two, bare in zip(vectors(adapted), vectors(plain), vectors(build(config(clip)).eval()), strict=True):
        assert (one - two).abs().max() < MERGE_TOLERANCE
        assert (one - bare).abs().max() > 0.01


@pytest.mark.parametrize("tower", ["image", "text"])
def test_nan_in_an_adapter_stops_the_merge(adapted: DualEncoder, tower: str) -> None:
    backbone = getattr(adapted, f"{tower}_tower").backbone
    weight = next(weight for name, weight in backbone.named_parameters() if "lora_B" in name)
    weight.data[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=rf"the {tower} tower's adapters cannot be merged"):
        merged(adapted)


def test_a_merge_that_changes_the_vectors_is_refused(adapted: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.encoders.lora.MERGE_TOLERANCE", -1.0)
    with pytest.raises(TrainingError, match="merged and unmerged vectors differ"):
        merged(adapted)


def test_a_target_that_names_no_layer_lists_the_layers(clip: Path) -> None:
    adapters = {"rank": 4, "targets": ["q_proj", "query"]}
    with pytest.raises(ConfigError, match=r"model.lora.text.targets: no layer 'query'.*fc1.*q_proj"):
        add_adapters(build(config(clip, lora={"text": adapters})))


def test_saved_adapters_load_with_peft(adapted: DualEncoder, clip: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    save_checkpoint(tmp_path / "saved", adapted, clip / "tokenizer.json", {})
    fresh = build(config(clip))
    for tower in ("image", "text"):
        part = getattr(fresh, f"{tower}_tower")
        with peft_quiet():
            part.backbone = PeftModel.from_pretrained(part.backbone, tmp_path / "saved" / "adapters" / tower)
    ours = load_adapters(build(config(clip)), tmp_path / "saved" / "adapters")
    for wanted, theirs, got in zip(vectors(adapted), vectors(fresh.eval()), vectors(ours.eval()), strict=True):
        torch.testing.assert_close(theirs, wanted)
        torch.testing.assert_close(got, wanted)
    with pytest.raises(DataError, match="no adapters here"):
        load_adapters(build(config(clip)), tmp_path)


def small_seed() -> DualEncoder:
    """The seed recipe's kinds of towers at a hundredth of their size."""
    from transformers import DistilBertConfig, ResNetConfig

    table = load_recipe(find_recipe("seed")).model.model_dump()
    image = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]).to_dict()
    text = DistilBertConfig(vocab_size=40, n_layers=1, n_heads=2, dim=16, hidden_dim=16).to_dict()
    small = {**table, "image": {**table["image"], "height": 32, "width": 32}}
    return add_adapters(build(ModelConfig.model_validate(small), SavedBackbones(image, text)))


def test_statistics_of_norms_stay_under_adapters() -> None:
    """Else the adapters, saved alone, would not fit the pretrained network."""
    model = small_seed()
    before = copy.deepcopy({name: value for name, value in model.state_dict().items() if "running_" in name})
    assert len(before) > 5
    model.train()
    model.encode_images(torch.randn(2, 3, 32, 32))
    for name, value in before.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)


def test_adapters_stand_on_convolutions_and_distilberts_attention() -> None:
    model = small_seed()
    adapted = {name for name, weight in model.named_parameters() if "lora_A" in name}
    assert any("convolution.lora_A" in name for name in adapted)
    assert any("q_lin.lora_A" in name for name in adapted)
    assert not any("k_lin" in name for name in adapted)
    for one, two in zip(vectors(model.eval()), vectors(merged(model)), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=MERGE_TOLERANCE)


def test_a_tower_that_peft_cannot_adapt_says_so() -> None:
    table = load_recipe(find_recipe("compact")).model.model_dump()
    small = {"height": 48, "width": 36, "weights": "random"}
    lora = {"image": {"targets": ["_project_conv"]}}
    image, text = {**table["image"], **small}, {**table["text"], "weights": "random"}
    with pytest.raises(ConfigError, match="no layer '_project_conv' in this tower; it has none that can be adapted"):
        add_adapters(build(ModelConfig.model_validate({**table, "image": image, "text": text, "lora": lora})))


def test_probes_end_where_clip_pools(adapted: DualEncoder) -> None:
    _, ids, mask = probe_inputs(adapted)
    assert (ids[:, -1] == end_token(adapted)).all()
    assert end_token(adapted) == 115
    assert mask.all()


def test_checkpoint_opens_without_the_original_weights(adapted: DualEncoder, clip: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(clip, tmp_path / "original")
    model = add_adapters(build(config(moved, image={**recipe_table(moved)["model"]["image"], "height": 64})))
    save_checkpoint(tmp_path / "saved", model, moved / "tokenizer.json", {"seed": 7})
    shutil.rmtree(moved)
    opened = load_checkpoint(tmp_path / "saved")
    for wanted, got in zip(vectors(model.eval()), vectors(opened), strict=True):
        torch.testing.assert_close(got, wanted)
