"""Small models and data for the tests of training and export: made here, random, in the real formats."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onlooker.datasets.manifest import Manifest, Record
from onlooker.runtime.fake import COLOURS
from onlooker.runtime.pictures import encode_jpeg

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = [*COLOURS, "a", "person", "in", "shirt", "jeans", "poison"]
OUTFITS = [
    (upper, lower) for upper in ("red", "blue", "white", "yellow") for lower in ("black", "green", "grey", "brown")
]
ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]


def clip_folder(folder: Path, *, picture: int = 32, patch: int = 16, poison: bool = False) -> Path:
    """A CLIP checkpoint of two layers a tower, saved as Hugging Face saves one, with its ``tokenizer.json``.

    With ``poison`` the embedding of that word is NaN: a batch whose texts hold it has a NaN loss, and no other has.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    tokenizer = clip_tokenizer()
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**tower, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_dim": 16}
    vision = {**tower, "image_size": picture, "patch_size": patch, "projection_dim": 16}
    # A generator of its own would be better, but transformers draws from the global one.
    state = torch.get_rng_state()
    torch.manual_seed(1)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    # Fresh weights are so small that all vectors are nearly one; these tell inputs apart.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn_like(weight) * 0.2)
        if poison:
            model.text_model.embeddings.token_embedding.weight[tokenizer.convert_tokens_to_ids("poison</w>")] = np.nan
    torch.set_rng_state(state)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def clip_tokenizer() -> Any:
    """CLIP's tokenizer with a vocabulary of letters and a few whole words."""
    from transformers import CLIPTokenizerFast

    merges: list[tuple[str, str]] = []
    units = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = ["".join(parts[:2])]
            units.append(parts[0])
    vocabulary = {unit: number for number, unit in enumerate(dict.fromkeys([*units, START, END]))}
    return CLIPTokenizerFast(vocab=vocabulary, merges=list(dict.fromkeys(merges)))


def recipe_table(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe, as a table, that trains the checkpoint in ``folder`` for a few steps; ``changes`` go into its parts."""
    adapters = {"rank": 4, "alpha": 8.0, "dropout": 0.1, "targets": ATTENTION}
    table: dict[str, Any] = {
        "name": "tiny",
        "model": {
            "temperature": 0.07,
            "image": {"kind": "clip", "weights": str(folder), "height": 32, "width": 32},
            "text": {"kind": "clip", "weights": str(folder), "max_tokens": 16},
            "projection": {"kind": "linear", "dimension": 16},
            "lora": {"image": adapters, "text": adapters},
        },
        "data": {"texts": "captions"},
        "optimiser": {"image_lr": 3e-3, "text_lr": 3e-3, "head_lr": 3e-3, "clip_norm": 5.0},
        "run": {"epochs": 2, "batch_size": 4, "device": "cpu"},
    }
    for key, value in changes.items():
        table[key] = {**table[key], **value} if isinstance(table.get(key), dict) else value
    return table


def write_toml(path: Path, table: dict[str, Any]) -> Path:
    """Write nested tables of plain values as TOML."""
    path.write_text("\n".join(_lines(table, "")), encoding="utf-8")
    return path


def _lines(table: dict[str, Any], prefix: str) -> list[str]:
    lines = [f"[{prefix}]"] if prefix else []
    lines += [f"{key} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{prefix}.{key}".removeprefix("."))
    return lines


def _toml(value: Any) -> str:
    # JSON's strings, lists and truth values are TOML's too.
    return repr(value) if isinstance(value, float) else json.dumps(value)


def painted_people(
    folder: Path,
    outfits: Sequence[tuple[str, str]] = OUTFITS,
    *,
    size: tuple[int, int] = (32, 32),
    captions: dict[int, list[str]] | None = None,
) -> Manifest:
    """One picture an outfit, in both splits, with two captions of colour words.

    Args:
        folder: Gets the pictures and ``people.jsonl``.
        outfits: Colours above and below.
        size: Height and width.
        captions: Captions of some training records instead of the painted colours, by number.
    """
    (folder / "photos").mkdir(parents=True)
    records = []
    for split in ("train", "val"):
        for number, (upper, lower) in enumerate(outfits):
            rgb = np.empty((*size, 3), dtype=np.uint8)
            rgb[: size[0] // 2], rgb[size[0] // 2 :] = COLOURS[upper], COLOURS[lower]
            (folder / f"photos/{split}{number}.jpg").write_bytes(encode_jpeg(rgb, 95))
            texts = [f"a person in a {upper} shirt, {lower} jeans", f"{upper} shirt, {lower} jeans"]
            if split == "train" and captions and number in captions:
                texts = captions[number]
            records.append(
                Record(
                    id=f"{split}{number}",
                    file=f"photos/{split}{number}.jpg",
                    captions=texts,
                    split=split,  # type: ignore[arg-type]
                )
            )
    manifest = Manifest("painted", folder, "made by a test, free for all", records)
    manifest.save(folder / "people.jsonl")
    return manifest
