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
from onlooker.encoders.parts import ImageParts, TextParts
from onlooker.encoders.pretrained import load_pretrained
from onlooker.encoders.projection import projection_head, start_alike
from onlooker.encoders.text_towers import ClipTextTower, TextTower, TransformerTextTower
from onlooker.errors import ConfigError


@dataclass(frozen=True)
class Encoded:
    """Pictures or texts as vectors, and what training sees of how they came about.

    Attributes:
        vectors: Float [n, dimension], L2-normalised.
        blocks: Unit blocks of the regions, float [n, regions, numbers], or None where the model has no parts.
        lengths: Lengths of the blocks beside the global one's 1, float [n, regions], or None.
        segments: Logits of the segmentation, float [n, segments, rows, columns]; None for texts and without parts.
    """

    vectors: Tensor
    blocks: Tensor | None = None
    lengths: Tensor | None = None
    segments: Tensor | None = None

    def float(self) -> Encoded:
        """Return the same in float32, for losses after a forward pass in bfloat16."""
        parts = (self.blocks, self.lengths, self.segments)
        return Encoded(self.vectors.float(), *(None if part is None else part.float() for part in parts))


LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 1.0


class DualEncoder(nn.Module):
    """Image tower, text tower, a projection for each, and the temperature of their softmax.

    Args:
        config: What it is made of.
        image_tower: The image tower.
        text_tower: The text tower.
        image_projection: From image features to the shared space.
        text_projection: From text features to the shared space.
        image_parts: The blocks of the regions, from a picture's maps; the projections then give the global block.
        text_parts: The same from a text's tokens.
    """

    def __init__(
        self,
        config: ModelConfig,
        image_tower: ImageTower,
        text_tower: TextTower,
        image_projection: nn.Module,
        text_projection: nn.Module,
        image_parts: ImageParts | None = None,
        text_parts: TextParts | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = image_projection
        self.text_projection = text_projection
        self.image_parts = image_parts
        self.text_parts = text_parts
        self.kept: tuple[str, ...] = ()
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(config.temperature)), requires_grad=config.learn_temperature
        )

    def train(self, mode: bool = True) -> DualEncoder:
        """Set training mode; what is kept as it is stays in evaluation mode, without dropout."""
        super().train(mode)
        for name in self.kept if mode else ():
            part = getattr(self, name)
            if part is not None:
                part.eval()
        return self

    def keep(self, *names: str) -> None:
        """Freeze parts of the model (names of its attributes) for all that follows: no gradients, no dropout."""
        self.kept = (*self.kept, *names)
        for name in names:
            part = getattr(self, name)
            if part is not None:
                part.requires_grad_(False)
        self.train(self.training)

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
        return self.look(pixels).vectors

    def look(self, pixels: Tensor) -> Encoded:
        """Encode pixels as ``encode_images`` does, and keep what training needs."""
        if self.image_parts is None:
            return Encoded(functional.normalize(self.image_projection(self.image_tower(pixels)), dim=-1))
        tower: Any = self.image_tower
        middle, last = tower.maps(pixels)
        blocks, lengths, segments = self.image_parts(pixels, middle, last)
        whole = self.image_projection(tower.pool(pixels, last))
        return Encoded(join_blocks(whole, blocks, lengths), blocks, lengths, segments)

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode token ids.

        Args:
            input_ids: int64 [n, tokens].
            attention_mask: int64 [n, tokens], zero where padding.

        Returns:
            Float [n, dimension], L2-normalised.
        """
        return self.read(input_ids, attention_mask).vectors

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        """Encode token ids as ``encode_texts`` does, and keep what training needs."""
        if self.text_parts is None:
            features = self.text_tower(input_ids, attention_mask)
            return Encoded(functional.normalize(self.text_projection(features), dim=-1))
        tower: Any = self.text_tower
        low, states = tower.layers(input_ids, attention_mask, self.text_parts.layer)
        blocks, lengths = self.text_parts(low, attention_mask)
        whole = self.text_projection(tower.pool(states, attention_mask))
        return Encoded(join_blocks(whole, blocks, lengths), blocks, lengths)


def join_blocks(whole: Tensor, blocks: Tensor, lengths: Tensor) -> Tensor:
    """Join the global block and the regions' blocks to one unit vector.

    Args:
        whole: Float [n, global numbers], of any length; counted with length 1.
        blocks: Float [n, regions, numbers], unit blocks.
        lengths: Float [n, regions].

    Returns:
        Float [n, global numbers + regions * numbers], L2-normalised.
    """
    parts = (blocks * lengths[..., None]).flatten(1)
    return functional.normalize(torch.cat([functional.normalize(whole, dim=-1), parts], dim=1), dim=-1)


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
    heads = config.projection.model_copy(update={"dimension": config.global_dimension})
    parts = config.parts
    if parts is not None:
        settings: Any = text.backbone.config
        layers = settings.num_hidden_layers
        if parts.text_layer > layers:
            raise ConfigError(f"model.parts.text_layer = {parts.text_layer}, but the text tower has {layers} layers")
    image_head, text_head = projection_head(image.width, heads), projection_head(text.width, heads)
    start_alike(image_head, text_head)
    return DualEncoder(
        config,
        image,
        text,
        image_head,
        text_head,
        ImageParts(parts, config.image.height // 16) if parts is not None else None,
        TextParts(parts, text.hidden) if parts is not None else None,
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
