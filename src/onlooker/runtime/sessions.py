"""One ONNX file, loaded and running: the only module that makes ONNX Runtime sessions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Started:
    """A session that runs.

    Attributes:
        session: An ``onnxruntime.InferenceSession``.
        provider: The execution provider in use, by ONNX Runtime's name.
        fallback_from: The one that was preferred and did not start, or None.
    """

    session: Any
    provider: str
    fallback_from: str | None


def start_session(path: Path, choice: Choice, threads: int | None, *, advice: str, optimise: bool = True) -> Started:
    """Load an ONNX file on the chosen execution provider; a fallback is logged as a warning.

    Args:
        path: The file.
        choice: The execution provider, and what to fall back to.
        threads: Threads of one run; None lets ONNX Runtime choose.
        advice: What to do about a file that cannot be loaded.
        optimise: Let ONNX Runtime rewrite the graph; off, it loads faster and runs slower.

    Returns:
        The session and what it runs on.

    Raises:
        BundleError: The file is missing or damaged.
        ProviderError: The provider that was asked for does not start.
    """
    import onnxruntime

    # A provider's library that does not load is reported by the runtime's own logger, on stderr, before any session is.
    onnxruntime.set_default_logger_severity(_SILENT)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from decoding and from other sessions: on two busy cores the
    # sample clip takes 73 s of processor time with them and 30 s without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
    fallback_from = None
    for name in (choice.provider, *choice.others):
        providers = [name] if name == "CPUExecutionProvider" else [name, "CPUExecutionProvider"]
        try:
            session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=providers, enable_fallback=0
            )
        except runtime_errors() as error:
            if name == "CPUExecutionProvider":
                raise BundleError(f"{path} cannot be loaded ({first_line(error)}); {advice}") from error
            reason = first_line(error)
        else:
            # The runtime drops a provider that does not start without raising; only this list tells.
            if session.get_providers()[0] == name:
                return Started(session, name, fallback_from)
            reason = "it is in this build, but its driver or a library is missing"
        if not choice.others:
            raise ProviderError(
                f"execution provider {short_name(name)} does not start ({reason}); choose cpu or auto instead"
            )
        fallback_from = name
        logger.warning("execution provider %s does not start (%s); falling back", short_name(name), reason)
    raise ProviderError("no execution provider starts, not even the CPU; install onnxruntime again")


class Tower:
    """A loaded tower: named arrays in, L2-normalised vectors out. Safe to use from several threads at once."""

    def __init__(
        self,
        path: Path,
        inputs: tuple[str, ...],
        dimension: int,
        choice: Choice,
        threads: int | None,
        *,
        optimise: bool = True,
    ) -> None:
        """Load an ONNX file.

        Args:
            path: The file.
            inputs: Names its graph must have as inputs.
            dimension: Length of the vectors its output ``vectors`` must give.
            choice: The execution provider, and what to fall back to.
            threads: Threads of one run; None lets ONNX Runtime choose.
            optimise: See ``start_session``.

        Raises:
            BundleError: The file is damaged or its graph has other inputs or outputs.
            ProviderError: The provider that was asked for does not start.
        """
        self.path = path
        self.dimension = dimension
        self._errors = runtime_errors()
        started = start_session(
            path, choice, threads, advice="make the bundle again or copy it again", optimise=optimise
        )
        self._session, self.provider, self.fallback_from = started.session, started.provider, started.fallback_from
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
            reason = first_line(error)
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

    def _check_graph(self, inputs: tuple[str, ...]) -> None:
        has = {value.name for value in self._session.get_inputs()}
        gives = {value.name for value in self._session.get_outputs()}
        if has != set(inputs) or OUTPUT not in gives:
            raise BundleError(
                f"{self.path} takes {sorted(has)} and gives {sorted(gives)}; a bundle's graph takes {sorted(inputs)} "
                f"and gives ['{OUTPUT}']"
            )


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its classes share no base but Exception, and differ between versions."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, of at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
