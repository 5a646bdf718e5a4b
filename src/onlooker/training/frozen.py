"""What a run takes from finished checkpoints: weights to start from, a text tower that stays as it is, and teachers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from onlooker.encoders.checkpoint import find_checkpoint, load_checkpoint
from onlooker.encoders.dual import DualEncoder
from onlooker.encoders.lora import merged
from onlooker.errors import ConfigError
from onlooker.training.batches import Batch, encode_groups
from onlooker.training.objective import Teachers


def open_finished(folder: str, key: str) -> DualEncoder:
    """Open a checkpoint or run folder, adapters merged, frozen, in evaluation mode.

    Args:
        folder: As the recipe has it.
        key: The recipe's key, for the error.

    Raises:
        ConfigError: Nothing of the kind is there.
        DataError: The checkpoint is damaged.
    """
    return merged(load_checkpoint(_checkpoint(folder, key))).requires_grad_(False)


def _checkpoint(folder: str, key: str) -> Path:
    found = find_checkpoint(Path(folder))
    if found is not None:
        return found
    raise ConfigError(f"{key} = {folder!r}: no checkpoint there; give the folder of a finished run")


def take_weights(model: DualEncoder, folder: str, key: str) -> set[str]:
    """Start from the trained weights of a finished run, where the model has one of the same name and shape.

    What is frozen in the model stays as it was pretrained, and so does what the run did not have.

    Args:
        model: With its adapters; changed in place.
        folder: As the recipe has it.
        key: The recipe's key, for the error.

    Returns:
        The names of the tensors that were taken.

    Raises:
        ConfigError: No checkpoint there, or nothing in it fits.
    """
    source = load_checkpoint(_checkpoint(folder, key)).state_dict()
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    own = {name: value for name, value in model.state_dict().items() if name in trained or "running_" in name}
    fitting = {
        name: source[name] for name, value in own.items() if name in source and source[name].shape == value.shape
    }
    if not fitting:
        raise ConfigError(f"{key} = {folder!r}: none of its weights fits this recipe's model")
    model.load_state_dict(fitting, strict=False)
    return set(fitting)


def take_text_side(model: DualEncoder, source: DualEncoder, key: str) -> None:
    """Give a model the text tower, its projection and parts, and the temperature of a finished one, frozen.

    Args:
        model: Changed in place.
        source: The finished model.
        key: The recipe's key, for the error.

    Raises:
        ConfigError: The recipe describes another text side.
    """
    mine, theirs = model.config, source.config
    if mine.lora is not None and mine.lora.text is not None:
        raise ConfigError(f"{key}: the text side stays as it is, so model.lora.text must be left out")
    for name, one, other in (
        (
            "model.text",
            mine.text.model_copy(update={"freeze": False}),
            theirs.text.model_copy(update={"freeze": False}),
        ),
        ("model.projection.dimension", mine.projection.dimension, theirs.projection.dimension),
        ("model.parts", mine.layout(), theirs.layout()),
    ):
        if one != other:
            raise ConfigError(f"{key}: {name} must be as in that checkpoint ({other}), not {one}")
    model.text_tower, model.text_projection, model.text_parts = (
        source.text_tower,
        source.text_projection,
        source.text_parts,
    )
    model.log_temperature = nn.Parameter(source.log_temperature.detach().clone(), requires_grad=False)
    model.keep("text_tower", "text_projection", "text_parts")


class TeacherPanel:
    """Finished models that are asked what they think of each batch; a panel judges better than each of its members.

    Args:
        models: The teachers, frozen.
    """

    def __init__(self, models: Sequence[DualEncoder]) -> None:
        self.models = [model.eval() for model in models]

    @torch.no_grad()
    def ask(self, batch: Batch, pixels: Tensor, pupil: DualEncoder, texts: Tensor) -> Teachers:
        """Return what they say of a batch.

        Args:
            batch: Its texts.
            pixels: Its pictures as the pupil sees them; resized for a teacher that takes another size.
            pupil: Who learns. A teacher whose text tower it has taken need not read the texts again.
            texts: Float [m, d], what the pupil made of the texts.
        """
        similarities = []
        for model in self.models:
            image: Any = model.config.image
            seen = pixels
            if seen.shape[-2:] != (image.height, image.width):
                seen = functional.interpolate(
                    seen, size=(image.height, image.width), mode="bilinear", antialias=True, align_corners=False
                )
            shared = model.text_tower is pupil.text_tower
            read = texts if shared else encode_groups(model, batch.groups, pixels.device).vectors
            similarities.append(model.encode_images(seen) @ read.T)
        temperature = torch.stack([model.temperature for model in self.models]).mean()
        return Teachers(torch.stack(similarities).mean(dim=0), temperature)
