"""The optimiser with a rate for each part of the model, how the rates change, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from onlooker.encoders.dual import DualEncoder
from onlooker.errors import TrainingError
from onlooker.training.recipes import OptimiserSettings, ScheduleSettings

FINAL_SHARE = 0.01
"""Share of the peak rate that cosine and one-cycle end at."""


def make_optimiser(model: DualEncoder, settings: OptimiserSettings) -> AdamW:
    """Make AdamW with one learning rate each for image backbone, text backbone and heads; frozen weights are left out.

    Raises:
        TrainingError: Nothing in the model is trainable.
    """
    rates = {"image": settings.image_lr, "text": settings.text_lr, "head": settings.head_lr}
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # Decay pulls matrices to zero; on biases, norm weights and the temperature it would only shift them.
            decayed = parameter.ndim > 1
            groups.setdefault((_part(name), decayed), []).append(parameter)
    if not groups:
        raise TrainingError(
            "no weight of this model is trainable: every part is frozen; change the recipe's freeze or lora"
        )
    return AdamW(
        [
            {
                "params": parameters,
                "lr": rates[part],
                "weight_decay": settings.weight_decay if decayed else 0.0,
                "name": part,
            }
            for (part, decayed), parameters in sorted(groups.items(), key=lambda entry: entry[0])
        ]
    )


def _part(name: str) -> str:
    if name.startswith("image_tower.backbone."):
        return "image"
    if name.startswith("text_tower.backbone."):
        return "text"
    return "head"


class Schedule:
    """Changes the learning rates by step, or once an epoch by the validation loss.

    Args:
        optimiser: Whose rates.
        settings: How.
        total_steps: Optimiser steps of the whole run.
    """

    def __init__(self, optimiser: AdamW, settings: ScheduleSettings, total_steps: int) -> None:
        self._by_step: LambdaLR | None = None
        self._by_loss: ReduceLROnPlateau | None = None
        if settings.kind == "plateau":
            self._by_loss = ReduceLROnPlateau(optimiser, factor=settings.factor, patience=settings.patience)
        elif settings.kind != "constant":
            warmup = max(1, round(settings.warmup * total_steps))
            self._by_step = LambdaLR(optimiser, lambda step: _share(step, warmup, total_steps, settings.kind))

    def after_step(self) -> None:
        """Go one optimiser step on."""
        if self._by_step is not None:
            self._by_step.step()

    def after_epoch(self, val_loss: float) -> None:
        """Tell the validation loss of the epoch."""
        if self._by_loss is not None:
            self._by_loss.step(val_loss)

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes; plain numbers and lists."""
        inner: Any = self._by_step or self._by_loss
        if inner is None:
            return {}
        kept = inner.state_dict()
        plain = (int, float, str, bool, list, type(None))
        return {key: value for key, value in kept.items() if isinstance(value, plain)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        inner: Any = self._by_step or self._by_loss
        if inner is not None:
            inner.load_state_dict({**inner.state_dict(), **state})


def _share(step: int, warmup: int, total: int, kind: str) -> float:
    if step < warmup:
        # One-cycle starts at 1/25 of its peak (Smith, 2018), cosine at nothing.
        start = 1 / 25 if kind == "one-cycle" else 1 / warmup
        return start + (1 - start) * step / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * progress))


class MovingAverage:
    """Exponential moving average of the trainable weights; its early steps average over what there is so far.

    Args:
        model: Whose weights.
        decay: Share that is kept at each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = {name: weight.detach().clone() for name, weight in self._of(model)}

    @staticmethod
    def _of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield trainable weights and the running statistics that move with them."""
        trainable = {name for name, weight in model.named_parameters() if weight.requires_grad}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if tensor.is_floating_point() and (name in trainable or "running_" in name):
                yield name, tensor

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        for name, weight in self._of(model):
            self.weights[name].lerp_(weight.detach(), 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights with the averaged ones; calling it twice changes nothing."""
        for name, weight in self._of(model):
            averaged = self.weights[name]
            current = weight.detach().clone()
            weight.copy_(averaged)
            averaged.copy_(current)
