"""Where a run stands: written whole under a temporary name, renamed, and found again after a kill."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch.optim import AdamW

from onlooker.encoders.checkpoint import recover_folder, replace_folder
from onlooker.encoders.dual import DualEncoder
from onlooker.errors import DataError
from onlooker.training.optimisation import MovingAverage, Schedule

HARMLESS = {"description", "data.workers", "run.checkpoint_s", "run.device"}
"""Recipe keys that may change when a run goes on: the result does not depend on them."""


@dataclass
class Progress:
    """What a run has done so far.

    Attributes:
        epoch: The epoch it is in, from 0.
        batch: Batches of this epoch that are done.
        step: Optimiser steps done.
        epoch_losses: Loss of each batch of this epoch.
        history: One entry an epoch.
        best: The best value of what chooses, larger is better; None before the first validation.
        best_epoch: Its epoch.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    epoch_losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int | None = None


def save_state(
    folder: Path,
    model: DualEncoder,
    optimiser: AdamW,
    schedule: Schedule,
    average: MovingAverage | None,
    progress: Progress,
    recipe: dict[str, Any],
    data: str,
) -> None:
    """Write everything that going on needs; the older state is there until the new one is complete.

    Args:
        folder: Where to.
        model: With its weights.
        optimiser: With its moments.
        schedule: With its place.
        average: The moving average, or None.
        progress: How far the run is.
        recipe: The recipe as JSON values.
        data: A digest of the data that it is trained on.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(model, str(temporary / "model.safetensors"))
    state = {
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state(),
        "average": None if average is None else {"steps": average.steps, "weights": average.weights},
        "progress": asdict(progress),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "recipe": recipe,
        "data": data,
    }
    torch.save(state, temporary / "state.pt")
    replace_folder(temporary, folder)


def find_state(folder: Path) -> Path | None:
    """Return the newest complete state of a run, or None where there is none.

    What a kill while writing left behind is cleared away or put back.
    """
    recover_folder(folder)
    return folder if (folder / "state.pt").is_file() else None


def load_state(
    folder: Path,
    model: DualEncoder,
    optimiser: AdamW,
    schedule: Schedule,
    average: MovingAverage | None,
    recipe: dict[str, Any],
    data: str,
) -> Progress:
    """Put a saved state into freshly made parts and return how far the run was.

    Args:
        folder: What ``save_state`` wrote.
        model: Gets the weights.
        optimiser: Gets its moments.
        schedule: Gets its place.
        average: Gets the averaged weights.
        recipe: The recipe that is to go on; all that changes the result must be as it was.
        data: The digest of the data, likewise.

    Raises:
        DataError: The state belongs to another recipe or other data, or cannot be read.
    """
    try:
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{folder / 'state.pt'}: cannot be read; begin again with --restart") from error
    different = sorted(set(_differences(state["recipe"], recipe)) - HARMLESS)
    if different:
        raise DataError(
            f"{folder.parent}: this run was begun with another recipe ({', '.join(different)} differ); "
            "use another --output, or --restart to begin again"
        )
    if state.get("data", data) != data:
        raise DataError(
            f"{folder.parent}: this run was begun with other records; use the same manifest, another --output, or "
            "--restart to begin again"
        )
    try:
        load_model(model, str(folder / "model.safetensors"))
    except (RuntimeError, OSError, SafetensorError) as error:
        raise DataError(f"{folder / 'model.safetensors'}: cannot be read; begin again with --restart") from error
    optimiser.load_state_dict(state["optimiser"])
    schedule.restore(state["schedule"])
    if average is not None and state["average"] is not None:
        average.steps = state["average"]["steps"]
        for name, weight in state["average"]["weights"].items():
            average.weights[name].copy_(weight)
    torch.set_rng_state(state["random"])
    if state.get("random_cuda") and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random_cuda"])
    return Progress(**state["progress"])


def _differences(was: Any, now: Any, path: str = "") -> list[str]:
    """Return the dotted keys whose values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = sorted({*was, *now})
        return [found for key in keys for found in _differences(was.get(key), now.get(key), f"{path}.{key}")]
    return [] if was == now else [path.removeprefix(".")]
