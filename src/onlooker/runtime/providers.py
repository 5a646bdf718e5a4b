"""Choosing ONNX Runtime's execution provider: what is on this machine, what was asked for, what is really used.

A provider that ONNX Runtime was built with may still fail to start (no driver, no library). ``Choice.others`` says
what to fall back to; where a provider was asked for by name nothing does, since a silent CPU run is what the user
wanted to avoid.
"""

from __future__ import annotations

from dataclasses import dataclass

from onlooker.errors import ProviderError

NAMES: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "nvtensorrtrtx": "NvTensorRTRTXExecutionProvider",
}
"""Short names for the command line, and ONNX Runtime's."""

AUTO = "auto"
AUTO_ORDER = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""What "auto" tries, in turn. TensorRT must be asked for by name: it compiles for minutes at its first start."""


@dataclass(frozen=True)
class Choice:
    """Which provider to start.

    Attributes:
        provider: ONNX Runtime's name of the first choice.
        others: What to fall back to when it does not start, in turn; empty where it was asked for by name.
    """

    provider: str
    others: tuple[str, ...] = ()


def short_name(provider: str) -> str:
    """Return the short name of an execution provider ("cpu"), or the name itself where there is none."""
    return next((short for short, full in NAMES.items() if full == provider), provider)


def available() -> list[str]:
    """Return the execution providers this ONNX Runtime was built with, by its names, the CPU last.

    Those that only forward to a web service are left out: pictures do not leave the machine.
    """
    import onnxruntime

    return [name for name in onnxruntime.get_available_providers() if name != "AzureExecutionProvider"]


def choose(wanted: str = AUTO, *, there: list[str] | None = None) -> Choice:
    """Choose an execution provider.

    Args:
        wanted: "auto", a short name of ``NAMES``, or ONNX Runtime's name; letter case does not matter.
        there: The providers to choose from; those of this machine when None.

    Returns:
        The choice.

    Raises:
        ProviderError: There is no such provider, or this ONNX Runtime has none of it; the message lists those there
            are.
    """
    there = available() if there is None else there
    if wanted.lower() == AUTO:
        first, *others = [name for name in AUTO_ORDER if name in there] or ["CPUExecutionProvider"]
        return Choice(first, tuple(others))
    known = {**NAMES, **{full.lower(): full for full in [*NAMES.values(), *there]}}
    name = known.get(wanted.lower())
    if name is None or name not in there:
        names = ", ".join(short_name(provider) for provider in there)
        what = "is not known" if name is None else "is not in this build of ONNX Runtime"
        raise ProviderError(f"execution provider {wanted!r} {what}; choose auto or one of: {names}")
    return Choice(name)
