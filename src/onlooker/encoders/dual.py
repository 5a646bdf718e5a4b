"""The dual encoder: an image tower and a text tower that meet in one space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from onlooker.encoders.config import RANDOM, ModelConfig
from onlooker.encoders.image_towers import ClipImageTower, EfficientNetTower, ImageTower, ResNetTower
from onlooker.encoders.pretrained import load_pretrained
from onlooker.encoders.projection import projection_head
from onlooker.encoders.text_towers import ClipTextTower, TextTower, TransformerTextTower
from onlooker.errors import ConfigError

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 1.0


class DualEncoder(nn.Module):
    """Image tower, text tower, a projection for each, and the temperature of their softmax.

    Args:
        config: What it is made of.
        image_tower: The image tower.
        text_tower: The text tower.
        image_projection: From image features to the shared space.
        text_projection: From text features to the shared space.
    """

    def __init__(
        self,
        config: ModelConfig,
        image_tower: ImageTower,
        text_tower: TextTower,
        image_projection: nn.Module,
        text_projection: nn.Module,
    ) -> None:
        super().__init__()
        self.config = config
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = image_projection
        self.text_projection = text_projection
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(config.temperature)), requires_grad=config.learn_temperature
        )

    @property
    def temperature(self) -> Tensor:
        """The softmax temperature, a scalar kept between 0.01 and 1."""
        return self.log_temperature.exp().clamp(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode pixels.

        Args:
            pixels: Normalised float [n, 3, height, width].

        Returns:
            Float [n, dimension], L2-normalised.
        """
        return functional.normalize(self.image_projection(self.image_tower(pixels)), dim=-1)

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode token ids.

        Args:
            input_ids: int64 [n, tokens].
            attention_mask: int64 [n, tokens], zero where padding.

        Returns:
            Float [n, dimension], L2-normalised.
        """
        return functional.normalize(self.text_projection(self.text_tower(input_ids, attention_mask)), dim=-1)


@dataclass(frozen=True)
class SavedBackbones:
    """The settings of the pretrained networks inside a checkpoint, so that it opens without the original weights."""

    image: dict[str, Any] | None
    text: dict[str, Any] | None


def build(config: ModelConfig, saved: SavedBackbones | None = None) -> DualEncoder:
    """Build a dual encoder, without LoRA adapters.

    Args:
        config: What it is made of.
        saved: Settings out of a checkpoint whose weights will be loaded next: nothing pretrained is read then.

    Returns:
        The model, in training mode, frozen where the configuration says so.

    Raises:
        ConfigError: Weights that cannot be had, or sizes that do not fit.
        MissingExtraError: A package with weights is not installed.
    """
    model = _clip(config, saved) if config.image.kind == "clip" else _assembled(config, saved)
    for tower, frozen in ((model.image_tower, config.image.freeze), (model.text_tower, config.text.freeze)):
        if frozen:
            tower.backbone.requires_grad_(False)
    model.image_tower.frozen_norm = config.image.frozen_norm or config.image.freeze
    return model.train()


def backbone_settings(model: DualEncoder) -> SavedBackbones:
    """Return the Hugging Face settings of both backbones (None for a network that has none)."""

    def settings(backbone: nn.Module) -> dict[str, Any] | None:
        found: Any = getattr(backbone, "config", None)
        return found.to_dict() if hasattr(found, "to_dict") else None

    return SavedBackbones(settings(model.image_tower.backbone), settings(model.text_tower.backbone))


def _assembled(config: ModelConfig, saved: SavedBackbones | None) -> DualEncoder:
    image: ImageTower
    if config.image.kind == "resnet50":
        image = ResNetTower(config.image, saved.image if saved else None)
    else:
        image = EfficientNetTower(config.image, load=saved is None)
    text = TransformerTextTower(config.text, saved.text if saved else None)
    return DualEncoder(
        config,
        image,
        text,
        projection_head(image.width, config.projection),
        projection_head(text.width, config.projection),
    )


def _clip(config: ModelConfig, saved: SavedBackbones | None) -> DualEncoder:
    from transformers import CLIPConfig, CLIPModel

    if config.image.weights != config.text.weights:
        raise ConfigError("a CLIP checkpoint holds both towers: image.weights and text.weights must be the same")
    if saved is not None:
        whole = CLIPModel(
            CLIPConfig(vision_config=saved.image, text_config=saved.text, projection_dim=config.projection.dimension)
        )
    elif config.image.weights == RANDOM:
        whole = CLIPModel(CLIPConfig(projection_dim=config.projection.dimension))
    else:
        whole = load_pretrained(CLIPModel, config.image.weights)
    if whole.config.projection_dim != config.projection.dimension or config.projection.kind != "linear":
        raise ConfigError(
            f"CLIP checkpoint {config.image.weights!r} projects to {whole.config.projection_dim} numbers by one "
            f"matrix: set projection.kind = 'linear' and projection.dimension = {whole.config.projection_dim}"
        )
    return DualEncoder(
        config,
        ClipImageTower(whole.vision_model, config.image),
        ClipTextTower(whole.text_model),
        whole.visual_projection,
        whole.text_projection,
    )
