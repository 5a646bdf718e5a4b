"""Where a run stands: written whole under a temporary name, renamed, and found again after a kill."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch.optim import AdamW

from onlooker.encoders.checkpoint import replace_folder
from onlooker.encoders.dual import DualEncoder
from onlooker.errors import DataError
from onlooker.training.optimisation import MovingAverage, Schedule


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
) -> None:
    """Write everything that going on needs; the older state is there until the new one is complete."""
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
        "recipe": recipe,
    }
    torch.save(state, temporary / "state.pt")
    replace_folder(temporary, folder)


def find_state(folder: Path) -> Path | None:
    """Return the newest complete state of a run, or None where there is none.

    A kill between the two renames of ``replace_folder`` leaves the older state under its other name; it is put back.
    """
    if not folder.is_dir():
        left = sorted(folder.parent.glob(f".{folder.name}.*.old"))
        if left:
            left[-1].rename(folder)
    return folder if (folder / "state.pt").is_file() else None


def load_state(
    folder: Path,
    model: DualEncoder,
    optimiser: AdamW,
    schedule: Schedule,
    average: MovingAverage | None,
    recipe: dict[str, Any],
) -> Progress:
    """Put a saved state into freshly made parts and return how far the run was.

    Raises:
        DataError: The state belongs to another recipe, or cannot be read.
    """
    try:
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError) as error:
        raise DataError(f"{folder / 'state.pt'}: cannot be read; remove the folder {folder} to start again") from error
    different = [key for key in recipe if state["recipe"].get(key) != recipe[key]]
    if different:
        raise DataError(
            f"{folder.parent}: this run was begun with another recipe ({', '.join(different)} differ); "
            "use another --output, or --restart to begin again"
        )
    load_model(model, str(folder / "model.safetensors"))
    optimiser.load_state_dict(state["optimiser"])
    schedule.restore(state["schedule"])
    if average is not None and state["average"] is not None:
        average.steps = state["average"]["steps"]
        average.weights = state["average"]["weights"]
    torch.set_rng_state(state["random"])
    return Progress(**state["progress"])
