"""One encoder for several threads: what they ask at the same time is encoded in one batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onlooker.runtime.encoder import EncoderLike

MOST = 32
"""Pictures encoded in one go."""


@dataclass(eq=False)
class _Request:
    pictures: Sequence[NDArray[np.uint8]]
    vectors: NDArray[np.float32] | None = None


class SharedEncoder:
    """An encoder that several threads share.

    While one thread encodes, others queue up; the next one to get its turn encodes for all that wait. So batches grow
    by themselves where there is much to do, and nobody waits for a batch to fill where there is not.
    """

    def __init__(self, encoder: EncoderLike) -> None:
        """Share an encoder; nobody else should use it for pictures."""
        self._encoder = encoder
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Request] = []
        self.batches = 0
        self.pictures = 0

    @property
    def bundle_id(self) -> str:
        """See ``EncoderLike``."""
        return self._encoder.bundle_id

    @property
    def dimension(self) -> int:
        """See ``EncoderLike``."""
        return self._encoder.dimension

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = MOST) -> NDArray[np.float32]:
        """Encode pictures, uint8 (h, w, 3) each, into float32 (n, dimension), L2-normalised."""
        request = _Request(pictures)
        with self._lock:
            self._waiting.append(request)
        with self._turn:
            if request.vectors is None:
                with self._lock:
                    together, self._waiting = self._waiting, []
                self._encode(together, batch_size)
        # Whoever encoded for this thread has failed: then each is on its own, and sees its own error.
        return self._encoder.encode_images(pictures, batch_size) if request.vectors is None else request.vectors

    def encode_texts(self, texts: Sequence[str], batch_size: int = MOST) -> NDArray[np.float32]:
        """Encode texts into float32 (n, dimension), L2-normalised."""
        return self._encoder.encode_texts(texts, batch_size)

    def _encode(self, together: Sequence[_Request], batch_size: int) -> None:
        pictures = [picture for request in together for picture in request.pictures]
        vectors = self._encoder.encode_images(pictures, min(max(batch_size, len(pictures)), MOST))
        self.batches += 1
        self.pictures += len(pictures)
        done = 0
        for request in together:
            request.vectors = vectors[done : done + len(request.pictures)]
            done += len(request.pictures)
