"""Checkpoints: a folder that holds a dual encoder whole.

    checkpoint.json      configuration, backbone settings, what the run recorded about itself
    model.safetensors    every weight, adapters included
    tokenizer.json       the text tower's tokenizer
    adapters/{image,text}  the adapters once more in PEFT's own format, where the model has any

A checkpoint is written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from onlooker.encoders.config import ModelConfig
from onlooker.encoders.dual import DualEncoder, SavedBackbones, backbone_settings, build
from onlooker.encoders.lora import add_adapters, merged, save_adapters
from onlooker.encoders.text_towers import pad_token_of
from onlooker.errors import DataError
from onlooker.files import write_json

if TYPE_CHECKING:
    from onlooker.runtime.preprocessing import ImageSpec
    from onlooker.runtime.tokenising import TextTokenizer

FORMAT = 1
INFO_FILE = "checkpoint.json"


def save_checkpoint(folder: Path, model: DualEncoder, tokenizer: Path, record: dict[str, Any]) -> Path:
    """Write a checkpoint; an older one of the same name is replaced only when the new one is complete.

    Args:
        folder: Where to.
        model: The dual encoder.
        tokenizer: The ``tokenizer.json`` that goes with its text tower.
        record: What the run says of itself (recipe, epoch, metrics, seed, versions, data and its terms); JSON values.

    Returns:
        ``folder``.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        backbones = backbone_settings(model)
        save_model(model, str(temporary / "model.safetensors"))
        shutil.copyfile(tokenizer, temporary / "tokenizer.json")
        save_adapters(model, temporary / "adapters")
        info = {
            "format": FORMAT,
            "model": model.config.model_dump(mode="json"),
            "backbones": {"image": backbones.image, "text": backbones.text},
            "record": record,
        }
        write_json(temporary / INFO_FILE, info)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def replace_folder(new: Path, folder: Path) -> None:
    """Give the complete folder ``new`` the name ``folder``, taking away an older one of that name.

    A folder cannot be replaced in one step. A kill between the two leaves the older one under another name, where
    ``recover_folder`` finds it.
    """
    for path in new.rglob("*"):
        if path.is_file():
            # After a loss of power the name must not be there before the content.
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> bool:
    """Clear away what a kill within ``replace_folder`` left, putting the older folder back where no newer one is.

    Returns:
        Whether ``folder`` is there now.
    """
    left = sorted(folder.parent.glob(f".{folder.name}.*.old"))
    if left and not folder.is_dir():
        left.pop().rename(folder)
    for path in (*left, *folder.parent.glob(f".{folder.name}.*.tmp")):
        shutil.rmtree(path, ignore_errors=True)
    return folder.is_dir()


def read_info(folder: Path) -> dict[str, Any]:
    """Read ``checkpoint.json``.

    Raises:
        DataError: No checkpoint there, or one of a format this version does not know.
    """
    path = folder / INFO_FILE
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}: no checkpoint here ({INFO_FILE} is missing)") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    found = info.get("format") if isinstance(info, dict) else None
    if found != FORMAT:
        raise DataError(f"{path}: checkpoint format {found!r} is not known here (this version reads {FORMAT})")
    checked: dict[str, Any] = info
    return checked


def load_checkpoint(folder: Path) -> DualEncoder:
    """Open a checkpoint; neither the original weights nor a network are needed.

    Args:
        folder: What ``save_checkpoint`` wrote.

    Returns:
        The model with its adapters unmerged, in evaluation mode.

    Raises:
        DataError: No checkpoint there, or its weights do not fit its configuration.
    """
    info = read_info(folder)
    try:
        config = ModelConfig.model_validate(info["model"])
        model = add_adapters(build(config, SavedBackbones(**info["backbones"])))
    except (ValidationError, KeyError, TypeError) as error:
        raise DataError(f"{folder / INFO_FILE}: the model's configuration is damaged: {error}") from error
    try:
        load_model(model, str(folder / "model.safetensors"))
    except (RuntimeError, OSError, SafetensorError) as error:
        raise DataError(f"{folder / 'model.safetensors'}: the weights do not fit {INFO_FILE}: {error}") from error
    return model.eval()


def image_spec(model: DualEncoder) -> ImageSpec:
    """Return the preprocessing that a model's image tower was made for."""
    from onlooker.runtime.preprocessing import ImageSpec

    image = model.config.image
    return ImageSpec(
        height=image.height,
        width=image.width,
        resize=image.resize,
        interpolation=image.interpolation,
        mean=model.image_tower.mean,
        std=model.image_tower.std,
    )


def make_tokenizer(config: ModelConfig, tokenizer: Path) -> TextTokenizer:
    """Return the tokenizer of a model's text tower, padding as the tower was trained to."""
    from onlooker.runtime.tokenising import TextTokenizer

    return TextTokenizer(tokenizer, max_tokens=config.text.max_tokens, pad_token=pad_token_of(tokenizer))


class TorchEncoder:
    """A dual encoder behind the interface of ``onlooker.runtime``'s Encoder, for evaluation and parity checks.

    Args:
        model: The dual encoder; adapters are merged into a copy.
        tokenizer: The ``tokenizer.json`` of its text tower.
        name: What to call it in reports.
    """

    def __init__(self, model: DualEncoder, tokenizer: Path, name: str = "checkpoint") -> None:
        self.model = merged(model)
        self.bundle_id = name
        self.dimension = model.config.projection.dimension
        self.spec = image_spec(model)
        self._tokenise = make_tokenizer(model.config, tokenizer)

    @torch.inference_mode()
    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode RGB pictures, uint8 (h, w, 3), to float32 (n, dimension), L2-normalised."""
        from onlooker.runtime.preprocessing import preprocess

        vectors = []
        for start in range(0, len(pictures), batch_size):
            pixels = torch.from_numpy(preprocess(pictures[start : start + batch_size], self.spec))
            vectors.append(self.model.encode_images(pixels).numpy())
        return np.concatenate(vectors) if vectors else np.zeros((0, self.dimension), np.float32)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode texts to float32 (n, dimension), L2-normalised."""
        vectors = []
        for start in range(0, len(texts), batch_size):
            tokens = self._tokenise(texts[start : start + batch_size])
            ids, mask = torch.from_numpy(tokens["input_ids"]), torch.from_numpy(tokens["attention_mask"])
            vectors.append(self.model.encode_texts(ids, mask).numpy())
        return np.concatenate(vectors) if vectors else np.zeros((0, self.dimension), np.float32)


def open_encoder(folder: Path) -> TorchEncoder:
    """Open a checkpoint as an encoder of pictures and texts.

    Args:
        folder: A checkpoint, or a run folder that holds ``best/``.

    Raises:
        DataError: No checkpoint there.
    """
    folder = find_checkpoint(folder) or folder
    return TorchEncoder(load_checkpoint(folder), folder / "tokenizer.json", name=str(folder))


def find_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that a folder is, or that it holds as ``best/`` if it is that of a run; None for others."""
    return next((path for path in (folder, folder / "best") if (path / INFO_FILE).is_file()), None)
