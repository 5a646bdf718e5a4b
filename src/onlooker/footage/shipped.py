"""The detectors' ONNX files that come with the package, opened on the execution provider that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onlooker.runtime.providers import choose
from onlooker.runtime.sessions import start_session

DETECTORS_FOLDER = Path(__file__).parent / "detectors"


def open_detector(file: str, provider: str, threads: int | None) -> Any:
    """Open a detector's ONNX file.

    Args:
        file: Its name in the package's folder of detectors.
        provider: "auto" or the name of an execution provider (see ``onlooker.runtime.providers``).
        threads: Threads of one run; None lets ONNX Runtime choose.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        ProviderError: The provider is not there or does not start.
        BundleError: The file is missing or damaged.
    """
    return start_session(DETECTORS_FOLDER / file, choose(provider), threads, advice="install onlooker again").session
