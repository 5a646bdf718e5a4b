"""Settings from the environment, few and light.

They are read by hand: a settings library takes longer to import than a whole search may take to answer.

    ONLOOKER_BUNDLE    folder of the bundle to use; unset: the one that comes with the package
    ONLOOKER_PROVIDER  ONNX Runtime execution provider: "auto" (default), "cpu", "cuda", "tensorrt" ... or its full name
    ONLOOKER_THREADS   threads of one inference, 1..1024; unset: ONNX Runtime chooses (one a physical core)

A value given on the command line or in code wins over the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onlooker.errors import ConfigError

MAX_THREADS = 1024


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    Attributes:
        bundle: Folder of the bundle, or None for the shipped one.
        provider: Name of the execution provider, or "auto".
        threads: Threads of one inference, or None for ONNX Runtime's choice.
    """

    bundle: Path | None = None
    provider: str = "auto"
    threads: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; an empty value counts as unset.

        Args:
            environment: The variables; those of the process when None.

        Returns:
            The settings.

        Raises:
            ConfigError: A value cannot be used; the message names the variable.
        """
        variables = os.environ if environment is None else environment
        bundle = variables.get("ONLOOKER_BUNDLE", "").strip()
        provider = variables.get("ONLOOKER_PROVIDER", "").strip()
        threads = variables.get("ONLOOKER_THREADS", "").strip()
        return cls(
            bundle=Path(bundle).expanduser() if bundle else None,
            provider=provider or "auto",
            threads=_threads(threads) if threads else None,
        )


def _threads(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_THREADS):
        raise ConfigError(f"ONLOOKER_THREADS is {text!r}; set a whole number from 1 to {MAX_THREADS}, or unset it")
    return int(text)
