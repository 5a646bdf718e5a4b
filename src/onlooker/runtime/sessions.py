"""One ONNX file, loaded and running: the only module that makes ONNX Runtime sessions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onlooker.errors import BundleError, ProviderError
from onlooker.runtime.providers import Choice, short_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

OUTPUT = "vectors"
_SILENT = 4
"""ONNX Runtime's severity at which it writes nothing of its own: what matters comes as an exception."""


class Tower:
    """A loaded tower: named arrays in, L2-normalised vectors out. Safe to use from several threads at once."""

    def __init__(
        self, path: Path, inputs: tuple[str, ...], dimension: int, choice: Choice, threads: int | None
    ) -> None:
        """Load an ONNX file.

        Args:
            path: The file.
            inputs: Names its graph must have as inputs.
            dimension: Length of the vectors its output ``vectors`` must give.
            choice: The execution provider, and what to fall back to.
            threads: Threads of one run; None lets ONNX Runtime choose.

        Raises:
            BundleError: The file is damaged or its graph has other inputs or outputs.
            ProviderError: The provider that was asked for does not start.
        """
        self.path = path
        self.dimension = dimension
        self.fallback_from: str | None = None
        self._errors = _runtime_errors()
        self._session, self.provider = self._start(choice, threads)
        self._check_graph(inputs)

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Encode one batch.

        Args:
            feed: An array for each input; the first axis of all is the batch of n.

        Returns:
            float32 (n, dimension), L2-normalised.

        Raises:
            BundleError: The graph fails on this input, or gives vectors of another shape, not finite, or zero.
        """
        try:
            (raw,) = self._session.run([OUTPUT], dict(feed))
        except self._errors as error:
            reason = _first_line(error)
            raise BundleError(f"{self.path} fails while running ({reason}); make the bundle again") from error
        vectors = np.asarray(raw, dtype=np.float32)
        wanted = (len(next(iter(feed.values()))), self.dimension)
        if vectors.shape != wanted:
            raise BundleError(
                f"{self.path} gives vectors of shape {vectors.shape} instead of {wanted}; make the bundle again"
            )
        # Reduced precision leaves the length off by some 1e-3; the gallery counts on unit length.
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths) & (lengths > 0)):
            raise BundleError(
                f"{self.path} gives vectors that are not numbers or zero on {short_name(self.provider)}; "
                "try ONLOOKER_PROVIDER=cpu, or make the bundle again"
            )
        normalised: NDArray[np.float32] = vectors / lengths
        return normalised

    def _start(self, choice: Choice, threads: int | None) -> tuple[Any, str]:
        import onnxruntime

        # A provider's library that does not load is reported by the runtime's own logger, on stderr, before any
        # session is.
        onnxruntime.set_default_logger_severity(_SILENT)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT
        options.inter_op_num_threads = 1
        if threads is not None:
            options.intra_op_num_threads = threads
        for name in (choice.provider, *choice.others):
            providers = [name] if name == "CPUExecutionProvider" else [name, "CPUExecutionProvider"]
            try:
                session = onnxruntime.InferenceSession(
                    str(self.path), sess_options=options, providers=providers, enable_fallback=0
                )
            except self._errors as error:
                if name == "CPUExecutionProvider":
                    raise BundleError(
                        f"{self.path} cannot be loaded ({_first_line(error)}); make the bundle again or copy it again"
                    ) from error
                reason = _first_line(error)
            else:
                # The runtime drops a provider that does not start without raising; only this list tells.
                if session.get_providers()[0] == name:
                    return session, name
                reason = "it is in this build, but its driver or a library is missing"
            if not choice.others:
                raise ProviderError(
                    f"execution provider {short_name(name)} does not start ({reason}); choose cpu or auto instead"
                )
            self.fallback_from = name
            logger.warning("execution provider %s does not start (%s); falling back", short_name(name), reason)
        raise ProviderError("no execution provider starts, not even the CPU; install onnxruntime again")

    def _check_graph(self, inputs: tuple[str, ...]) -> None:
        has = {value.name for value in self._session.get_inputs()}
        gives = {value.name for value in self._session.get_outputs()}
        if has != set(inputs) or OUTPUT not in gives:
            raise BundleError(
                f"{self.path} takes {sorted(has)} and gives {sorted(gives)}; a bundle's graph takes {sorted(inputs)} "
                f"and gives ['{OUTPUT}']"
            )


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its classes share no base but Exception, and differ between versions."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
