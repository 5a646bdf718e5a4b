from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import DualEncoder, build  # noqa: E402
from onlooker.training.optimisation import FINAL_SHARE, MovingAverage, Schedule, make_optimiser  # noqa: E402
from onlooker.training.recipes import OptimiserSettings, ScheduleSettings  # noqa: E402
from tests.tiny_models import recipe_table  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def model(clip: Path) -> DualEncoder:
    return build(ModelConfig.model_validate({**recipe_table(clip)["model"], "lora": None}))


def test_each_part_has_its_rate_and_biases_do_not_decay(model: DualEncoder) -> None:
    optimiser = make_optimiser(model, OptimiserSettings(image_lr=0.1, text_lr=0.2, head_lr=0.3, weight_decay=0.5))
    rates = {id(weight): group for group in optimiser.param_groups for weight in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    for name, weight in model.named_parameters():
        part = "image" if name.startswith("image_tower") else "text" if name.startswith("text_tower") else "head"
        assert rates[id(weight)]["lr"] == {"image": 0.1, "text": 0.2, "head": 0.3}[part]
        assert rates[id(weight)]["weight_decay"] == (0.5 if weight.ndim > 1 else 0.0)


def rates(kind: str, steps: int = 20, **settings: Any) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=1.0)
    schedule = Schedule(optimiser, ScheduleSettings(kind=kind, **settings), steps)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.after_step()
    return found


def test_schedules_by_step() -> None:
    assert rates("constant") == [1.0] * 20
    for kind, start in (("cosine", 0.2), ("one-cycle", 1 / 25)):
        found = rates(kind, warmup=0.25)
        assert found[0] == pytest.approx(start)
        assert found[5] == max(found) == pytest.approx(1.0)
        assert found[:6] == sorted(found[:6])
        assert found[5:] == sorted(found[5:], reverse=True)
        assert FINAL_SHARE < found[-1] < 0.05


def test_plateau_follows_the_validation_loss_and_is_restored() -> None:
    def make() -> tuple[torch.optim.AdamW, Schedule]:
        optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        return optimiser, Schedule(optimiser, ScheduleSettings(kind="plateau", factor=0.5, patience=1), 10)

    optimiser, schedule = make()
    for loss in (1.0, 2.0):
        schedule.after_epoch(loss)
    other_optimiser, other = make()
    other.restore(schedule.state())
    for one in ((optimiser, schedule), (other_optimiser, other)):
        assert one[0].param_groups[0]["lr"] == 1.0
        one[1].after_epoch(2.0)
        assert one[0].param_groups[0]["lr"] == 0.5


def test_the_average_of_constant_weights_is_themselves_and_swaps_back(model: DualEncoder) -> None:
    average = MovingAverage(model, 0.9)
    before = copy.deepcopy(model.state_dict())
    average.update(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    moved = copy.deepcopy(model.state_dict())
    average.update(model)
    averaged = {name: value.clone() for name, value in average.weights.items()}
    average.swap(model)
    for name, value in model.state_dict().items():
        if name in averaged:
            assert torch.equal(value, averaged[name])
            # The second of its steps takes in 9/11 of the new weights.
            torch.testing.assert_close(value, before[name] + 9 / 11)
    average.swap(model)
    assert all(torch.equal(value, moved[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, averaged[name]) for name, value in average.weights.items())


def test_the_average_slows_down_to_its_decay() -> None:
    part = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(part, 0.5)
    for step in range(1, 20):
        old = float(average.weights["weight"].item())
        with torch.no_grad():
            part.weight.add_(1.0)
        average.update(part)
        kept = min(0.5, step / (step + 9))
        wanted = kept * old + (1 - kept) * part.weight.item()
        assert average.weights["weight"].item() == pytest.approx(wanted, rel=1e-5)
