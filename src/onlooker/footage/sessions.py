"""Opening the detectors' ONNX files on the execution provider that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onlooker.errors import OnlookerError, ProviderError
from onlooker.runtime.providers import AUTO, choose, short_name


def create_session(path: Path, *, provider: str = AUTO, threads: int | None = None) -> Any:
    """Open an ONNX file that is part of the package.

    Args:
        path: The file.
        provider: "auto" or the name of an execution provider (see ``onlooker.runtime.providers``).
        threads: Threads of one run; None lets ONNX Runtime choose.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        ProviderError: The provider is not there or does not start.
        OnlookerError: The file is missing, so the installation is damaged.
    """
    import onnxruntime

    if not path.is_file():
        raise OnlookerError(f"{path} is missing; install onlooker again")
    choice = choose(provider)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from decoding and encoding: on two busy cores the sample clip
    # took 73 s of processor time with them and 30 s without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    for name in (choice.provider, *choice.others):
        names = [name] if name == "CPUExecutionProvider" else [name, "CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(path), options, providers=names, enable_fallback=0)
        if session.get_providers()[0] == name:
            return session
    raise ProviderError(
        f"execution provider {short_name(choice.provider)} does not start; choose --provider auto or cpu"
    )
