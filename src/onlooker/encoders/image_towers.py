"""Image towers: pixels in, one feature vector a picture out. Each has ``width``, ``backbone`` and ``mean``/``std``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from onlooker.encoders.config import PACKAGE, RANDOM, ImageTowerConfig
from onlooker.encoders.pooling import AttentionPooling
from onlooker.encoders.pretrained import efficientnet_lite0_file, load_pretrained
from onlooker.errors import ConfigError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
THUMBNAIL_HW = (24, 12)
MIDDLE_BLOCK, MIDDLE_WIDTH = 10, 112
"""The last block of EfficientNet-Lite0 whose map is a 16th of the picture, and its channels."""


class ImageTower(nn.Module):
    """Base of the image towers.

    Attributes:
        backbone: The pretrained network; LoRA adapters go here.
        width: Channels of the feature vector.
        mean: Per-channel mean that the pixels are normalised with, for values in 0..1.
        std: Per-channel deviation, likewise.
    """

    backbone: nn.Module
    width: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    frozen_norm: bool = False

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels, float [n, 3, height, width], to features, float [n, self.width]."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def train(self, mode: bool = True) -> ImageTower:
        """Set training mode; batch normalisation stays in evaluation mode where its statistics are frozen."""
        super().train(mode)
        if mode and self.frozen_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


class ResNetTower(ImageTower):
    """ResNet-50 (He et al., 2015) in the Hugging Face form; global average pooling, to 2048 channels at full size."""

    def __init__(self, config: ImageTowerConfig, saved: dict[str, Any] | None = None) -> None:
        super().__init__()
        from transformers import ResNetConfig, ResNetModel

        if saved is not None or config.weights == RANDOM:
            self.backbone = ResNetModel(ResNetConfig(**(saved or {})))
        else:
            self.backbone = load_pretrained(ResNetModel, config.weights)
        settings: Any = self.backbone.config
        self.width = settings.hidden_sizes[-1]

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode; see the base class."""
        features: Tensor = self.backbone(pixels).pooler_output
        return features.flatten(1)


class EfficientNetFeatures(nn.Module):
    """EfficientNet-Lite0 without its classifier: pixels to the feature map, float [n, 1280, height/32, width/32]."""

    def __init__(self, config: ImageTowerConfig, *, load: bool) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        # A fixed picture size gives fixed paddings, which export to a plain graph.
        self.network = EfficientNet.from_name("efficientnet-lite0", image_size=[config.height, config.width])
        if config.weights == PACKAGE and load:
            state = torch.load(efficientnet_lite0_file(), map_location="cpu", weights_only=True)
            self.network.load_state_dict(state)
        elif config.weights not in (PACKAGE, RANDOM):
            raise ConfigError(f"image.weights = {config.weights!r}: efficientnet-lite0 takes 'package' or 'random'")
        del self.network._fc
        if config.frozen_blocks:
            for part in (self.network._conv_stem, self.network._bn0, *self.network._blocks[: config.frozen_blocks]):
                part.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the feature map."""
        return self.maps(pixels)[1]

    def maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a finer map, float [n, 112, height/16, width/16], and the feature map."""
        network = self.network
        features: Tensor = network._swish(network._bn0(network._conv_stem(pixels)))
        middle = features
        drop = network._global_params.drop_connect_rate or 0.0
        for number, block in enumerate(network._blocks):
            # Stochastic depth in training, more of it higher up, as the network was pretrained.
            features = block(features, drop_connect_rate=drop * number / len(network._blocks))
            if number == MIDDLE_BLOCK:
                middle = features
        return middle, network._swish(network._bn1(network._conv_head(features)))


class ColourThumbnail(nn.Module):
    """A small branch over a 24x12 thumbnail of the crop: where which colour is, without texture."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(64 * (THUMBNAIL_HW[0] // 4) * (THUMBNAIL_HW[1] // 4), width),
        )
        self.width = width

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels [n, 3, h, w] to [n, width]."""
        # Average pooling in whole blocks where the size allows: the ONNX form of adaptive pooling needs it.
        height, width = pixels.shape[-2:]
        block = (height // THUMBNAIL_HW[0], width // THUMBNAIL_HW[1])
        thumbnail = functional.avg_pool2d(pixels, block, stride=block)
        encoded: Tensor = self.layers(thumbnail)
        return encoded


class EfficientNetTower(ImageTower):
    """EfficientNet-Lite0 with mean pooling, and as switches attention pooling and a colour thumbnail."""

    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, config: ImageTowerConfig, *, load: bool = True) -> None:
        super().__init__()
        self.backbone = EfficientNetFeatures(config, load=load)
        self.width = 1280
        if config.thumbnail and (config.height % THUMBNAIL_HW[0] or config.width % THUMBNAIL_HW[1]):
            raise ConfigError(
                "image.thumbnail needs a height that 24 divides and a width that 12 divides, "
                f"not {config.height}x{config.width}"
            )
        self.attention: AttentionPooling | None = None
        if config.pooling == "attention":
            cells = -(-config.height // 32) * -(-config.width // 32)
            self.positions = nn.Parameter(torch.zeros(1, cells, 1280))
            self.attention = AttentionPooling(1280, config.queries)
            self.width += self.attention.out_width
        self.thumbnail = ColourThumbnail() if config.thumbnail else None
        if self.thumbnail is not None:
            self.width += self.thumbnail.width

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode; see the base class."""
        return self.pool(pixels, self.backbone(pixels))

    def maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a finer map, float [n, 112, height/16, width/16], and the feature map that ``pool`` takes."""
        backbone: Any = self.backbone
        # Under LoRA the network is wrapped; the wrapper hands on what it does not know.
        middle, last = backbone.maps(pixels)
        return middle, last

    def pool(self, pixels: Tensor, last: Tensor) -> Tensor:
        """Pool the feature map, float [n, 1280, rows, columns], to the feature vector, float [n, self.width]."""
        cells = last.flatten(2).transpose(1, 2)
        parts = [cells.mean(dim=1)]
        if self.attention is not None:
            parts.append(self.attention(cells + self.positions))
        if self.thumbnail is not None:
            parts.append(self.thumbnail(pixels))
        return torch.cat(parts, dim=1)


class ClipImageTower(ImageTower):
    """The vision half of a Hugging Face CLIP checkpoint; position embeddings are resized to other picture sizes."""

    mean, std = CLIP_MEAN, CLIP_STD

    def __init__(self, vision_model: nn.Module, config: ImageTowerConfig) -> None:
        super().__init__()
        self.backbone = vision_model
        settings: Any = vision_model.config
        patch = settings.patch_size
        if config.height % patch or config.width % patch:
            raise ConfigError(f"image size {config.height}x{config.width} is not a multiple of the patch size {patch}")
        self.width = settings.hidden_size
        resize_positions(vision_model, config.height // patch, config.width // patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode; see the base class."""
        features: Tensor = self.backbone(pixel_values=pixels).pooler_output
        return features


class GridEmbeddings(nn.Module):
    """A CLIP vision model's embeddings for a grid that is not square; weights keep the names they have in transformers.

    Args:
        patch_embedding: From pixels to patches.
        class_embedding: The class token, float [hidden].
        positions: Float [1 + rows * columns, hidden], the class token's first.
    """

    def __init__(self, patch_embedding: nn.Module, class_embedding: nn.Parameter, positions: Tensor) -> None:
        super().__init__()
        self.class_embedding = class_embedding
        self.patch_embedding = patch_embedding
        self.position_embedding = nn.Embedding(positions.shape[0], positions.shape[1], _weight=positions)

    def forward(self, pixel_values: Tensor, **_: Any) -> Tensor:
        """Embed normalised pixels, float [n, 3, height, width], as tokens, float [n, 1 + rows * columns, hidden]."""
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        # shape[0], not len(): the exporter would write a fixed batch.
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


def resize_positions(vision_model: nn.Module, rows: int, columns: int) -> None:
    """Resize a CLIP vision model's position embeddings to another grid, bicubic; the class token's stays (as in IRRA).

    Args:
        vision_model: A CLIPVisionTransformer or CLIPVisionModel; changed in place.
        rows: Patches from top to bottom.
        columns: Patches from left to right.
    """
    holder: Any = next(part for part in vision_model.modules() if hasattr(part, "embeddings"))
    old = holder.embeddings
    table: Tensor = old.position_embedding.weight.detach()
    side = round((table.shape[0] - 1) ** 0.5)
    if (rows, columns) == (side, side):
        return
    grid = table[1:].T.reshape(1, -1, side, side)
    resized = functional.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    positions = torch.cat([table[:1], resized.flatten(2)[0].T])
    holder.embeddings = GridEmbeddings(old.patch_embedding, old.class_embedding, positions)
