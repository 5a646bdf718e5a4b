"""LoRA adapters on the towers' backbones, as PEFT makes them, and merging them away for serving."""

from __future__ import annotations

import contextlib
import copy
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onlooker.encoders.config import LoraConfig
from onlooker.encoders.dual import DualEncoder
from onlooker.errors import ConfigError, DataError, TrainingError

TOWERS = ("image", "text")
ADAPTABLE = (nn.Linear, nn.Conv2d, nn.Embedding)
"""Layers that LoRA can be put on, by their exact type: PEFT makes adapters of the type of the layer they stand on."""
LEGACY_CLIP_END = 2
MERGE_TOLERANCE = 1e-4
"""Largest allowed difference of merged and unmerged unit vectors; fp32 rounding in deep towers stays far below."""


def add_adapters(model: DualEncoder) -> DualEncoder:
    """Wrap the backbones that the model's configuration names in PEFT adapters.

    Their own weights are frozen, and with them the statistics of batch normalisation: adapters that are saved alone
    must fit the pretrained network as it was.

    Args:
        model: A dual encoder without adapters; changed in place.

    Returns:
        The same model.

    Raises:
        ConfigError: One of ``targets`` names no layer of the tower.
    """
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    for name, settings in _adapted(model):
        tower = getattr(model, f"{name}_tower")
        _check_targets(name, settings.targets, tower.backbone)
        peft_config = PeftLoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=list(settings.targets),
            layers_to_transform=_last_layers(name, settings, tower.backbone),
        )
        with peft_quiet():
            tower.backbone = get_peft_model(tower.backbone, peft_config)
        if name == "image":
            tower.frozen_norm = True
            tower.train(tower.training)
    return model


@contextlib.contextmanager
def peft_quiet() -> Iterator[None]:
    """Keep the deprecations that PEFT meets inside transformers to themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _check_targets(name: str, targets: tuple[str, ...], backbone: nn.Module) -> None:
    """Demand that every target ends the dotted name of a layer; PEFT is content when one of them does."""
    layers = [path for path, layer in backbone.named_modules() if type(layer) in ADAPTABLE]
    for target in targets:
        if not any(path == target or path.endswith(f".{target}") for path in layers):
            known = ", ".join(sorted({path.rsplit(".", 1)[-1] for path in layers})) or "none that can be adapted"
            raise ConfigError(f"model.lora.{name}.targets: no layer {target!r} in this tower; it has {known}")


def _last_layers(name: str, settings: LoraConfig, backbone: nn.Module) -> list[int] | None:
    """Return the numbers of the layers that get adapters, or None for all."""
    if settings.last_layers is None:
        return None
    numbered = [re.search(r"\.(\d+)\.", f".{path}") for path, _ in backbone.named_modules()]
    count = 1 + max((int(found[1]) for found in numbered if found), default=-1)
    if settings.last_layers > count:
        raise ConfigError(
            f"model.lora.{name}.last_layers = {settings.last_layers}, but this tower has {count} numbered layers"
        )
    return list(range(count - settings.last_layers, count))


def save_adapters(model: DualEncoder, folder: Path) -> list[Path]:
    """Write each tower's adapters in PEFT's format (``adapter_config.json``, ``adapter_model.safetensors``).

    They load with ``peft.PeftModel.from_pretrained(backbone, folder / "image")``.

    Args:
        model: A dual encoder with adapters.
        folder: Gets one sub-folder a tower.

    Returns:
        The sub-folders written; empty where the model has no adapters.
    """
    written = []
    for name in TOWERS:
        backbone: Any = getattr(model, f"{name}_tower").backbone
        if hasattr(backbone, "peft_config"):
            backbone.save_pretrained(folder / name)
            written.append(folder / name)
    return written


def load_adapters(model: DualEncoder, folder: Path) -> DualEncoder:
    """Put saved adapters on a model that has none.

    Args:
        model: A dual encoder without adapters; changed in place.
        folder: What ``save_adapters`` wrote.

    Returns:
        The same model.

    Raises:
        DataError: No adapters lie there.
    """
    from peft import PeftModel

    found = [name for name in TOWERS if (folder / name / "adapter_config.json").is_file()]
    if not found:
        raise DataError(f"{folder}: no adapters here; expected image/ or text/ with adapter_config.json")
    for name in found:
        tower = getattr(model, f"{name}_tower")
        with peft_quiet():
            tower.backbone = PeftModel.from_pretrained(tower.backbone, folder / name)
    return model


def has_adapters(model: DualEncoder) -> bool:
    """Tell whether a tower carries adapters."""
    return any(hasattr(getattr(model, f"{name}_tower").backbone, "peft_config") for name in TOWERS)


def merged(model: DualEncoder) -> DualEncoder:
    """Return a copy in fp32 and evaluation mode whose adapters are merged into the weights; the model stays as it is.

    Each adapter is merged with PEFT's NaN check, and the merged backbone must give what the unmerged one gives.

    Args:
        model: A dual encoder, with or without adapters.

    Raises:
        TrainingError: An adapter holds NaN, or merged and unmerged vectors differ by more than ``MERGE_TOLERANCE``.
    """
    unmerged = copy.deepcopy(model).float().eval()
    plain = copy.deepcopy(unmerged)
    for name in TOWERS:
        tower = getattr(plain, f"{name}_tower")
        if hasattr(tower.backbone, "peft_config"):
            try:
                tower.backbone = tower.backbone.merge_and_unload(safe_merge=True)
            except ValueError as error:
                raise TrainingError(f"the {name} tower's adapters cannot be merged: {error}") from error
    if has_adapters(model):
        difference = _largest_difference(unmerged, plain)
        if not difference <= MERGE_TOLERANCE:
            raise TrainingError(
                f"merged and unmerged vectors differ by {difference:.2g}, more than {MERGE_TOLERANCE:g}; "
                "do not use this checkpoint"
            )
    return plain.requires_grad_(False)


def probe_inputs(model: DualEncoder, count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Return random pixels, token ids and a mask that fit a model, from a fixed seed, for comparing two forms of it."""
    generator = torch.Generator().manual_seed(0)
    image = model.config.image
    pixels = torch.randn(count, 3, image.height, image.width, generator=generator)
    length = min(12, model.config.text.max_tokens)
    settings: Any = model.text_tower.backbone.config
    ids = torch.randint(0, settings.vocab_size, (count, length), generator=generator)
    ids[:, -1] = end_token(model)
    return pixels, ids, torch.ones_like(ids)


def end_token(model: DualEncoder) -> int:
    """Return the id that closes a text; CLIP pools where it first stands."""
    settings: Any = model.text_tower.backbone.config
    if model.config.text.kind != "clip" or settings.eos_token_id == LEGACY_CLIP_END:
        # CLIP checkpoints of 2021 state a wrong end token and are pooled at the highest id.
        return int(settings.vocab_size) - 1
    return int(settings.eos_token_id)


@torch.inference_mode()
def _largest_difference(first: DualEncoder, second: DualEncoder) -> float:
    pixels, ids, mask = probe_inputs(second)
    images = (first.encode_images(pixels) - second.encode_images(pixels)).abs().max()
    texts = (first.encode_texts(ids, mask) - second.encode_texts(ids, mask)).abs().max()
    return float(torch.maximum(images, texts))


def _adapted(model: DualEncoder) -> list[tuple[str, LoraConfig]]:
    lora = model.config.lora
    if lora is None:
        return []
    return [(name, settings) for name in TOWERS if (settings := getattr(lora, name)) is not None]
