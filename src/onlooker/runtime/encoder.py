"""The encoder: pictures and texts to vectors in one space, by the two towers of a bundle on ONNX Runtime.

Each tower is loaded when its side is first used, so a text query never loads the image tower, Pillow or OpenCV.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from onlooker.config import MAX_THREADS, Settings
from onlooker.errors import BundleError, ConfigError, QueryError
from onlooker.runtime.bundle import Bundle, open_bundle
from onlooker.runtime.providers import AUTO, Choice, choose, short_name
from onlooker.runtime.spelling import Reading, Spelling
from onlooker.runtime.tokenising import TextTokenizer, clean_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlooker.runtime.info import BundleInfo
    from onlooker.runtime.sessions import Tower

logger = logging.getLogger(__name__)


class EncoderLike(Protocol):
    """What the gallery, the footage pipeline and the evaluation ask of an encoder."""

    @property
    def bundle_id(self) -> str:
        """Names the weights and the preprocessing; a gallery accepts only vectors of its own."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode pictures, uint8 (h, w, 3) each, into float32 (n, dimension), L2-normalised."""

    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode texts into float32 (n, dimension), L2-normalised."""


class Encoder:
    """A bundle at work. Safe to use from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        images: Choice,
        texts: Choice,
        threads: int | None,
        *,
        few_texts: bool = False,
        as_typed: bool = False,
    ) -> None:
        """Take what ``open`` has chosen; use that instead."""
        self._few_texts = few_texts
        self._as_typed = as_typed
        self._spelling: Spelling | None = None
        self.bundle = bundle
        self._choices = {"images": images, "texts": texts}
        self._threads = threads
        self._towers: dict[str, Tower] = {}
        self._lock = threading.Lock()
        self._tokenizer = TextTokenizer(bundle.tokenizer_path, max_tokens=bundle.max_tokens, pad_token=bundle.pad_token)

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        provider: str | None = None,
        threads: int | None = None,
        few_texts: bool = False,
        as_typed: bool = False,
    ) -> Encoder:
        """Open an encoder; no weights are loaded before they are needed.

        "auto" puts pictures on the best provider there is and texts on the CPU: starting a GPU takes longer than
        encoding hundreds of queries. A provider named here serves both.

        Args:
            bundle: What to run.
            provider: "auto", a short name ("cpu", "cuda", "tensorrt" ...) or ONNX Runtime's; None takes the
                environment's ``ONLOOKER_PROVIDER``, and without that "auto".
            threads: Threads of one inference, 1..1024; None takes ``ONLOOKER_THREADS``, and without that ONNX Runtime
                chooses (one a physical core).
            few_texts: For a process that encodes a few texts and ends: the text tower then loads in less than half the
                time (26 instead of 64 ms for the shipped one) and takes a third longer for each text.
            as_typed: Mend no typing errors; else texts are read as ``read_text`` says.

        Returns:
            The encoder.

        Raises:
            ProviderError: There is no such provider here; the message lists those there are.
            ConfigError: ``threads`` or a value of the environment cannot be used.
        """
        settings = Settings.from_environment()
        wanted = provider or settings.provider
        threads = settings.threads if threads is None else threads
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise ConfigError(f"threads is {threads}; give a number from 1 to {MAX_THREADS}")
        images = choose(wanted)
        texts = Choice("CPUExecutionProvider") if wanted.lower() == AUTO else images
        return cls(bundle, images, texts, threads, few_texts=few_texts, as_typed=as_typed)

    @property
    def bundle_id(self) -> str:
        """Names the weights and the preprocessing; see ``Bundle.id``."""
        return self.bundle.id

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.bundle.dimension

    @property
    def info(self) -> BundleInfo:
        """All of the bundle's ``model.json``."""
        return self.bundle.info

    @property
    def provider(self) -> str:
        """The short name of the image side's execution provider: the one in use once loaded, until then the choice."""
        return self._provider("images")

    def describe(self) -> str:
        """Say in one line which bundle runs on what, any fallback included."""
        sides = [self._say("images", "pictures"), self._say("texts", "texts")]
        threads = "" if self._threads is None else f", threads: {self._threads}"
        name = f"bundle {self.bundle.name} {self.bundle_id[:8]} ({self.dimension} dimensions)"
        return f"{name}: {', '.join(sides)}{threads}"

    def load(self, *, images: bool = True, texts: bool = True) -> None:
        """Load towers now instead of at their first use, for instance before a server says that it is ready.

        Args:
            images: Load the image tower.
            texts: Load the text tower and the tokenizer.

        Raises:
            BundleError: A file is damaged.
            ProviderError: The provider that was asked for does not start.
        """
        if images:
            self._tower("images")
        if texts:
            self._tower("texts")
            self._tokenizer(["."])

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode pictures.

        Args:
            pictures: uint8 (h, w, 3) each, RGB, of any sizes.
            batch_size: Pictures in one inference, at least 1.

        Returns:
            float32 (n, dimension), L2-normalised, in the order given.

        Raises:
            ValueError: A picture is of another shape or type, or ``batch_size`` is below 1.
            BundleError: The bundle's file is damaged.
            ProviderError: The provider that was asked for does not start.
        """
        vectors = np.empty((len(pictures), self.dimension), dtype=np.float32)
        if not pictures:
            return vectors
        from onlooker.runtime.preprocessing import preprocess

        spec = self.bundle.spec
        for part in _batches(len(pictures), batch_size):
            vectors[part] = self._tower("images").run({"pixels": preprocess(pictures[part], spec)})
        return vectors

    def read_text(self, text: str) -> Reading:
        """Say how a text is read: cleaned, and its typing errors mended where the bundle has words to mend them by.

        Raises:
            BundleError: A file of the bundle is damaged.
        """
        text = clean_text(text)
        path = self.bundle.words_path
        if self._as_typed or path is None:
            return Reading(text)
        if self._spelling is None:
            self._spelling = Spelling.load(path, self._tokenizer.has_word)
        return self._spelling.read(text)

    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Encode texts, each as ``read_text`` reads it.

        Args:
            texts: Descriptions; longer ones than the tower takes are cut.
            batch_size: Texts in one inference, at least 1.

        Returns:
            float32 (n, dimension), L2-normalised, in the order given.

        Raises:
            QueryError: A text has nothing visible in it; the message says which.
            ValueError: ``batch_size`` is below 1.
            BundleError: A file of the bundle is damaged.
            ProviderError: The provider that was asked for does not start.
        """
        cleaned = [self.read_text(text).text for text in texts]
        for number, text in enumerate(cleaned, start=1):
            if not text:
                raise QueryError(f"text {number} of {len(cleaned)} is empty; describe a person in words")
        vectors = np.empty((len(cleaned), self.dimension), dtype=np.float32)
        # Texts of about one length share a batch, so little is spent on padding.
        order = sorted(range(len(cleaned)), key=lambda row: len(cleaned[row]))
        for part in _batches(len(cleaned), batch_size):
            rows = order[part]
            feed = self._tokenizer([cleaned[row] for row in rows])
            vectors[rows] = self._tower("texts").run(feed)
        return vectors

    def _tower(self, side: str) -> Tower:
        tower = self._towers.get(side)
        if tower is None:
            with self._lock:
                tower = self._towers.get(side)
                if tower is None:
                    tower = self._towers[side] = self._load(side)
        return tower

    def _load(self, side: str) -> Tower:
        from onlooker.runtime.sessions import Tower

        path = self.bundle.image_path if side == "images" else self.bundle.text_path
        inputs = ("pixels",) if side == "images" else ("input_ids", "attention_mask")
        optimise = side == "images" or not self._few_texts
        try:
            tower = Tower(path, inputs, self.dimension, self._choices[side], self._threads, optimise=optimise)
        except BundleError:
            # A file that is not the one that was exported is the likelier and clearer reason; this names it.
            self.bundle.verify()
            raise
        logger.info("%s on %s", path, short_name(tower.provider))
        return tower

    def _provider(self, side: str) -> str:
        tower = self._towers.get(side)
        return short_name(tower.provider if tower else self._choices[side].provider)

    def _say(self, side: str, what: str) -> str:
        tower = self._towers.get(side)
        instead = f" instead of {short_name(tower.fallback_from)}" if tower and tower.fallback_from else ""
        return f"{what} on {self._provider(side)}{instead}"


FAKE = "fake"
"""Named in place of a bundle folder: the test encoder, which knows colours of clothes and nothing else."""


def open_encoder(
    bundle: Path | str | None = None,
    *,
    provider: str | None = None,
    threads: int | None = None,
    few_texts: bool = False,
    as_typed: bool = False,
) -> EncoderLike:
    """Open the encoder a command shall use; the one place where a command line's ``--bundle`` is understood.

    Args:
        bundle: A bundle folder or the name of a shipped bundle; None takes the environment's ``ONLOOKER_BUNDLE``, and
            without that the shipped default. The text "fake" opens ``onlooker.runtime.fake.FakeEncoder``, for trials
            without a model (a folder of the name is "./fake").
        provider: As for ``Encoder.open``.
        threads: As for ``Encoder.open``.
        few_texts: As for ``Encoder.open``.
        as_typed: As for ``Encoder.open``.

    Returns:
        The encoder; no weights are loaded before they are needed.

    Raises:
        BundleError: The bundle is missing or damaged.
        ProviderError: There is no such provider here.
        ConfigError: ``threads`` or a value of the environment cannot be used.
    """
    if bundle == FAKE:
        from onlooker.runtime.fake import FakeEncoder

        return FakeEncoder()
    opened = open_bundle(None if bundle is None else Path(bundle))
    return Encoder.open(opened, provider=provider, threads=threads, few_texts=few_texts, as_typed=as_typed)


def bundle_name_of(encoder: EncoderLike) -> str:
    """Return the short name of an encoder's bundle, for messages; "fake" for the test encoder."""
    return encoder.bundle.name if isinstance(encoder, Encoder) else FAKE


def _batches(count: int, batch_size: int) -> list[slice]:
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, got {batch_size}")
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]
