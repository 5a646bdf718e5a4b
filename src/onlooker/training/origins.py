"""What a run comes from, for its record and for telling whether it may go on: data, software, device."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from onlooker.datasets.manifest import Manifest
from onlooker.errors import ConfigError

PACKAGES = ("onlooker", "torch", "transformers", "peft", "safetensors", "numpy")


def data_digest(manifest: Manifest) -> str:
    """Return a hex digest of a manifest's records."""
    digest = hashlib.sha256()
    for record in manifest.records:
        digest.update(record.model_dump_json().encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what a run gives, as far as installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def choose_device(wanted: str) -> torch.device:
    """Return the device of a recipe's ``run.device``.

    Args:
        wanted: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ConfigError: "cuda" where torch sees none.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("run.device = 'cuda', but torch sees no CUDA device here; use 'cpu' or 'auto'")
    return torch.device(wanted)
