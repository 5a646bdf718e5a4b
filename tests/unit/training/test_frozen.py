from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.checkpoint import save_checkpoint  # noqa: E402
from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import DualEncoder, build  # noqa: E402
from onlooker.encoders.text_towers import tokenizer_file  # noqa: E402
from onlooker.errors import ConfigError  # noqa: E402
from onlooker.training.batches import Batch, TokenGroup  # noqa: E402
from onlooker.training.frozen import TeacherPanel, open_finished, take_text_side, take_weights  # noqa: E402
from onlooker.training.recipes import load_recipe  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.slow]

BASE = load_recipe(Path(__file__).resolve().parents[3] / "recipes" / "joint.toml").model


def config(height: int = 96, *, lora: bool = False, **changes: Any) -> ModelConfig:
    table = BASE.model_dump()
    table["image"] = {**table["image"], "weights": "random", "height": height, "width": 48}
    table["text"] = {**table["text"], "weights": "random", "layers": 1}
    table["lora"] = table["lora"] if lora else None
    table["parts"] = {**table["parts"], "text_layer": 1}
    return ModelConfig.model_validate({**table, **changes})


@pytest.fixture(scope="module")
def finished() -> DualEncoder:
    torch.manual_seed(0)
    return build(config()).eval().requires_grad_(False)


IDS, MASK = torch.arange(100, 114).reshape(2, 7), torch.ones(2, 7, dtype=torch.int64)


def test_a_text_side_is_taken_whole_and_stays_as_it_is(finished: DualEncoder) -> None:
    torch.manual_seed(1)
    model = build(config(height=144))
    take_text_side(model, copy.deepcopy(finished), "run.text_from")
    model.train()
    with torch.inference_mode():
        torch.testing.assert_close(model.encode_texts(IDS, MASK), finished.encode_texts(IDS, MASK))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all(name.startswith(("image_tower.", "image_projection.", "image_parts.")) for name in trained)
    assert float(model.temperature) == pytest.approx(float(finished.temperature))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lora": True}, "model.lora.text must be left out"),
        ({"parts": {"dimension": 16, "text_layer": 1}}, "model.parts must be as in that checkpoint"),
        ({"text": {"kind": "minilm", "weights": "random", "layers": 2}}, "model.text must be as in that checkpoint"),
    ],
)
def test_another_text_side_is_refused(finished: DualEncoder, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        take_text_side(build(config(**changes)), finished, "run.text_from")


def test_finished_runs_are_found_and_others_named(finished: DualEncoder, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run" / "best", finished, tokenizer_file(BASE.text), {})
    for folder in (tmp_path / "run", tmp_path / "run" / "best"):
        model = open_finished(str(folder), "run.teachers")
        assert not any(weight.requires_grad for weight in model.parameters())
    with pytest.raises(ConfigError, match=r"run\.teachers = .*nothing.*no checkpoint"):
        open_finished(str(tmp_path / "nothing"), "run.teachers")


def test_a_panel_says_what_its_teachers_say_on_average(finished: DualEncoder) -> None:
    torch.manual_seed(2)
    other = build(config(height=144)).eval()
    group = TokenGroup(IDS, MASK, torch.tensor([0, 1]))
    empty = torch.zeros(0, dtype=torch.int64)
    pixels = torch.randn(3, 3, 96, 48)
    batch = Batch(pixels, (group,), empty, empty, (), empty.reshape(0, 4), (), empty, torch.zeros(0))
    with torch.inference_mode():
        one = finished.encode_images(pixels) @ finished.encode_texts(IDS, MASK).T
    pupil, nothing = build(config()), torch.zeros(2, 256)
    alone = TeacherPanel([finished]).ask(batch, pixels, pupil, nothing)
    torch.testing.assert_close(alone.similarity, one)
    both = TeacherPanel([finished, other]).ask(batch, pixels, pupil, nothing)
    second = TeacherPanel([other]).ask(batch, pixels, pupil, nothing)
    torch.testing.assert_close(both.similarity, (one + second.similarity) / 2)
    assert not both.similarity.requires_grad
    # A pupil with the teacher's own text side has read the texts already.
    take_text_side(pupil, finished, "run.text_from")
    shared = TeacherPanel([finished]).ask(batch, pixels, pupil, nothing)
    assert not shared.similarity.any()


def test_a_run_starts_from_what_fits(finished: DualEncoder, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run" / "best", finished, tokenizer_file(BASE.text), {})
    torch.manual_seed(3)
    wider = build(config(projection={"kind": "residual", "dimension": 320}))
    before = copy.deepcopy(wider.state_dict())
    names = take_weights(wider, str(tmp_path / "run"), "run.start_from")
    assert len(names) > 100
    after, source = wider.state_dict(), finished.state_dict()
    taken = {name for name in after if name in source and torch.equal(after[name], source[name])}
    assert "image_tower.backbone.network._conv_head.weight" in taken
    assert "text_tower.attention.queries" in taken
    # Another shape, and what is frozen, stay as they were.
    assert torch.equal(after["image_projection.projection.weight"], before["image_projection.projection.weight"])
    stem = "image_tower.backbone.network._conv_stem.weight"
    assert torch.equal(after[stem], before[stem])
    assert not torch.equal(after[stem], source[stem])
    with pytest.raises(ConfigError, match=r"run\.start_from"):
        take_weights(wider, str(tmp_path / "nothing"), "run.start_from")


def test_what_is_kept_has_neither_gradients_nor_dropout() -> None:
    model = build(config()).train()
    model.keep("image_tower", "text_tower")
    for mode in (False, True):
        model.train(mode)
        assert not model.image_tower.training
        assert not any(module.training for module in model.text_tower.modules())
        assert model.image_projection.training is mode
    trained = {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {"image_projection", "text_projection", "image_parts", "text_parts", "log_temperature"}
