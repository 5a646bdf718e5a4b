"""From a text to the numbers a text tower takes: the one tokenising for training and serving."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onlooker.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def clean_text(text: str) -> str:
    """Bring a text to the one form that towers see: NFC, single spaces, no control characters, no lone surrogates.

    Args:
        text: Anything.

    Returns:
        The cleaned text; empty when nothing visible is left.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    # Control characters part words as a space does; format characters (zero width joiners, byte order marks) part
    # nothing.
    kept = (
        " " if category in ("Cc", "Zs", "Zl", "Zp") else "" if category == "Cf" else sign
        for sign in text
        for category in (unicodedata.category(sign),)
    )
    return " ".join("".join(kept).split())


class TextTokenizer:
    """Turns texts into token ids by a ``tokenizer.json`` in the Hugging Face format.

    The file is read at the first call, so making one costs nothing; one can be pickled into the workers of a data
    loader.
    """

    def __init__(self, path: Path, *, max_tokens: int, pad_token: str = "[PAD]") -> None:
        """Name the file; nothing is read yet.

        Args:
            path: The ``tokenizer.json``.
            max_tokens: Longer texts are cut to this many tokens, the special ones included; at least 3.
            pad_token: The token that fills shorter texts of a batch; its id is looked up in the file.

        Raises:
            ValueError: ``max_tokens`` is below 3, which leaves no room for a word between the special tokens.
        """
        if max_tokens < 3:
            raise ValueError(f"max_tokens is at least 3, got {max_tokens}")
        self.path = Path(path)
        self.max_tokens = max_tokens
        self.pad_token = pad_token
        self._tokenizer: Any = None

    def __call__(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Tokenise a batch.

        Args:
            texts: n texts; each is cleaned by ``clean_text`` first.

        Returns:
            ``input_ids`` and ``attention_mask`` (1 for a token, 0 for padding), int64 (n, L) each, where L is the
            length of the longest text of this batch and at most ``max_tokens``.

        Raises:
            BundleError: The tokenizer file is missing or damaged, or does not know the padding token.
        """
        if not texts:
            empty = np.zeros((0, 0), dtype=np.int64)
            return {"input_ids": empty, "attention_mask": empty.copy()}
        encoded = self._loaded().encode_batch([clean_text(text) for text in texts])
        return {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
        }

    @property
    def pad_id(self) -> int:
        """The id of the padding token."""
        return self._find_pad(self._loaded())

    @property
    def vocabulary_size(self) -> int:
        """The number of tokens, added ones included."""
        return int(self._loaded().get_vocab_size())

    def has_word(self, word: str) -> bool:
        """Say whether a word in lower case is one token, which only frequent words are."""
        tokenizer = self._loaded()
        # Byte-pair vocabularies mark the end of a word.
        return any(tokenizer.token_to_id(token) is not None for token in (word, f"{word}</w>"))

    def _find_pad(self, tokenizer: Any) -> int:
        number = tokenizer.token_to_id(self.pad_token)
        if number is None:
            raise BundleError(
                f"{self.path} has no token {self.pad_token!r} to pad with; correct pad_token in model.json"
            )
        return int(number)

    def _loaded(self) -> Any:
        if self._tokenizer is None:
            # Batches here are too small to gain from the library's threads, which also complain on stderr when a data
            # loader forks after their first use.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            from tokenizers import Tokenizer

            try:
                content = self.path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise BundleError(f"{self.path} cannot be read; the bundle is incomplete, make it again") from error
            # The library raises plain Exception with the parser's words for a damaged file.
            try:
                tokenizer = Tokenizer.from_str(content)
            except Exception as error:
                raise BundleError(f"{self.path} is not a tokenizer file ({error}); make the bundle again") from error
            tokenizer.enable_truncation(max_length=self.max_tokens)
            tokenizer.enable_padding(pad_id=self._find_pad(tokenizer), pad_token=self.pad_token, length=None)
            self._tokenizer = tokenizer
        return self._tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tokenizer": None}
