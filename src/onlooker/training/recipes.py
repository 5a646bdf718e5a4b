"""Recipes: one TOML file says everything that decides what a training run gives.

A recipe is read into ``Recipe``; a key that is not known, a value out of range or of the wrong type is an error that
names it. ``--set run.epochs=1`` on the command line changes one value.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from onlooker.datasets.augment import Augmentation
from onlooker.datasets.phrasing import Phrasing
from onlooker.encoders.config import ModelConfig, Part
from onlooker.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]  # the backport is installed on Python 3.10 alone


class DataSettings(Part):
    """What of a manifest is trained on, and how."""

    texts: Literal["captions", "phrases", "all"] = Field("captions", description="Which texts of a record to train on.")
    texts_per_image: int = Field(
        1, ge=1, le=8, description="Different texts of one picture in a step (drawn at random)."
    )
    train_split: str = Field("train", description="Name of the split to train on.")
    val_split: str = Field("val", description="Name of the split that chooses the checkpoint.")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="Probability of leaving out each word of a training text.")
    phrasing: Phrasing | None = Field(None, description="How training texts are worded anew; None leaves them.")
    twins_per_batch: int = Field(
        0,
        ge=0,
        le=256,
        description="Pairs of twins added to each batch: a photo whose two garments exchange colours (needs masks).",
    )
    augmentation: Augmentation | None = Field(None, description="How training pictures are varied; None leaves them.")
    cache_bytes: int = Field(
        2_000_000_000, ge=0, description="Memory for decoded pictures, in bytes; 0 reads files again."
    )
    workers: int = Field(0, ge=0, le=64, description="Processes that prepare batches; 0 does it between steps.")


class LossSettings(Part):
    """What is minimised."""

    kind: Literal["contrastive", "sdm", "sigmoid"] = Field(
        "contrastive", description="Contrastive cross-entropy, similarity distribution matching, or sigmoid pairwise."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the target spread over all pairs (contrastive)."
    )
    parts: float = Field(
        0.0, ge=0, le=100, description="Weight of contrast between each region's blocks (model.parts)."
    )
    twins: float = Field(0.0, ge=0, le=100, description="Weight of telling twins apart (data.twins_per_batch).")
    segmentation: float = Field(
        0.0, ge=0, le=100, description="Weight of the segmentation head's loss on garment masks (model.parts)."
    )
    distil: float = Field(0.0, ge=0, le=100, description="Weight of agreeing with run.teachers.")


class OptimiserSettings(Part):
    """AdamW (Loshchilov and Hutter, 2019) with one rate a part of the model."""

    image_lr: float = Field(1e-4, gt=0, le=1, description="Peak learning rate of the image tower's pretrained network.")
    text_lr: float = Field(1e-5, gt=0, le=1, description="Peak learning rate of the text tower's pretrained network.")
    head_lr: float = Field(
        1e-3, gt=0, le=1, description="Peak learning rate of all that is new: pooling, heads, temperature."
    )
    weight_decay: float = Field(1e-3, ge=0, le=1, description="Decoupled weight decay (not on biases and norms).")
    clip_norm: float | None = Field(None, gt=0, description="Largest gradient norm; longer ones are scaled down.")
    accumulate: int = Field(1, ge=1, le=1024, description="Batches whose gradients are added up before one step.")


class ScheduleSettings(Part):
    """How the learning rates change."""

    kind: Literal["constant", "plateau", "cosine", "one-cycle"] = Field(
        "constant", description="'plateau' follows the validation loss once an epoch; the others follow the step."
    )
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Share of all steps in which the rates rise (cosine, one-cycle)."
    )
    factor: float = Field(0.8, gt=0, lt=1, description="plateau: the rates are multiplied by this.")
    patience: int = Field(1, ge=0, description="plateau: epochs without improvement to wait.")


class RunSettings(Part):
    """The run itself."""

    epochs: int = Field(3, ge=1, le=10_000, description="Passes over the training pictures.")
    batch_size: int = Field(64, ge=2, le=65_536, description="Pictures in a batch.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many optimiser steps (for trials).")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Autocast type; 'auto' takes bfloat16 on CUDA, float32 on a CPU (where bf16 is slower)."
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="Keep a moving average of the weights and validate it."
    )
    choose: Literal["loss", "r1", "rsum", "rsum+twins"] = Field(
        "loss",
        description="What chooses the best checkpoint on validation: loss, R@1, R@1+R@5+R@10 (text to image), or that "
        "sum and the share of validation twins told apart.",
    )
    start_from: str | None = Field(
        None, description="Folder of a finished run whose trained weights are the start, where name and shape fit."
    )
    heads_only: bool = Field(
        False,
        description="Keep both towers (adapters included) as start_from has them and train what stands on them: quick, "
        "and without the noise of their dropout.",
    )
    blends: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (),
        description="At the end, mixes of the start (run.start_from) and the best weights that are validated too; each "
        "number is the share of the best.",
    )
    text_from: str | None = Field(
        None, description="Folder of a finished run whose text side is taken as it is; only the image side is trained."
    )
    teachers: tuple[str, ...] = Field((), description="Folders of finished runs to learn from (loss.distil).")
    checkpoint_s: float = Field(300, gt=0, description="Seconds between checkpoints to resume from.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")


class Recipe(Part):
    """One training run, whole."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Names the run's folder and the bundle.")
    description: str = Field("", description="One sentence for reports.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    use_lora: bool = Field(True, description="Train with the adapters of [model.lora], or fully without them.")
    model: ModelConfig = Field(description="The dual encoder.")
    data: DataSettings = Field(DataSettings(), description="What of a manifest is trained on, and how.")
    loss: LossSettings = Field(LossSettings(), description="What is minimised.")
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="How weights are changed.")
    schedule: ScheduleSettings = Field(ScheduleSettings(), description="How the learning rates change.")
    run: RunSettings = Field(RunSettings(), description="The run itself.")

    @model_validator(mode="after")
    def _losses_fit(self) -> Recipe:
        if (self.loss.parts or self.loss.segmentation) and self.model.parts is None:
            raise ValueError("loss.parts and loss.segmentation need [model.parts]")
        if (self.run.heads_only or self.run.blends) and self.run.start_from is None:
            raise ValueError("run.heads_only and run.blends need run.start_from")
        if self.loss.twins and not self.data.twins_per_batch:
            raise ValueError("loss.twins needs data.twins_per_batch above 0")
        if bool(self.loss.distil) != bool(self.run.teachers):
            raise ValueError("loss.distil above 0 and run.teachers go together")
        if self.run.choose == "rsum+twins" and not self.data.twins_per_batch:
            raise ValueError("run.choose = 'rsum+twins' needs data.twins_per_batch above 0")
        return self

    def effective_model(self) -> ModelConfig:
        """Return the model configuration with the adapters left out where ``use_lora`` is off."""
        return self.model if self.use_lora else self.model.model_copy(update={"lora": None})


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: A TOML file.
        overrides: ``dotted.key=value`` with a TOML or plain text value, applied last.

    Raises:
        ConfigError: Unreadable file, broken TOML, unknown key or bad value; the message names it.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the recipe ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    for override in overrides or []:
        apply_override(table, override)
    return parse_recipe(table, str(path))


def parse_recipe(table: dict[str, Any], source: str) -> Recipe:
    """Validate a recipe that is already a table; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(recipe)"
        raise ConfigError(f"{source}: {key}: {first['msg']}") from error


def apply_override(table: dict[str, Any], override: str) -> None:
    """Change one value of a recipe's table in place.

    Args:
        table: The recipe as TOML gives it.
        override: ``dotted.key=value`` with a TOML or plain text value.

    Raises:
        ConfigError: No equals sign, or a value where the key wants a table.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: expected dotted.key=value, for example run.epochs=1")
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {parent} is a value, not a table")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table[last] = value


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain JSON values, for records."""
    values: dict[str, Any] = json.loads(recipe.model_dump_json())
    return values
