"""A Hugging Face CLIP folder as a dual encoder, for zero-shot bundles."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from onlooker.encoders.config import ModelConfig
from onlooker.encoders.dual import DualEncoder, build
from onlooker.errors import DataError


def is_clip_folder(folder: Path) -> bool:
    """Tell whether a folder holds a CLIP checkpoint in the Hugging Face format."""
    return _settings(folder).get("model_type") == "clip"


def open_clip_folder(folder: Path) -> tuple[DualEncoder, ModelConfig]:
    """Open a CLIP checkpoint at the picture size it was trained at.

    Args:
        folder: Holds ``config.json`` and weights in the Hugging Face format.

    Returns:
        The model in evaluation mode, and its configuration.

    Raises:
        DataError: No CLIP checkpoint there.
        ConfigError: Its weights cannot be loaded.
    """
    from transformers import CLIPConfig

    if not is_clip_folder(folder):
        raise DataError(f"{folder}: neither a checkpoint of 'onlooker train' nor a Hugging Face CLIP folder")
    settings = CLIPConfig.from_pretrained(folder)
    size = settings.vision_config.image_size
    config = ModelConfig.model_validate(
        {
            "image": {
                "kind": "clip",
                "weights": str(folder),
                "height": size,
                "width": size,
                "resize": "crop",
                "interpolation": "bicubic",
            },
            "text": {
                "kind": "clip",
                "weights": str(folder),
                "max_tokens": settings.text_config.max_position_embeddings,
            },
            "projection": {"kind": "linear", "dimension": settings.projection_dim},
            # CLIP stores the logarithm of the inverse temperature.
            "temperature": min(1.0, float(_inverse_scale(folder, settings.logit_scale_init_value))),
        }
    )
    return build(config).eval(), config


def _inverse_scale(folder: Path, fallback: float) -> float:
    from safetensors import safe_open

    path = folder / "model.safetensors"
    if path.is_file():
        with safe_open(str(path), framework="pt") as weights:
            if "logit_scale" in weights.keys():  # noqa: SIM118  # not a dict
                return math.exp(-float(weights.get_tensor("logit_scale")))
    return math.exp(-fallback)


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
