"""The bundle: a folder with a dual encoder ready to serve, and the one bridge between training and runtime.

    model.json       what it is (``onlooker.runtime.info.BundleInfo``)
    image.onnx       the image tower
    text.onnx        the text tower
    tokenizer.json   the text tower's tokenizer
    words.txt        the words it was trained with, by which typing errors are mended (optional)
    background.npz   vectors that confidences are measured against (optional)

Two bundles may share one text tower: the second then names the first in ``text.shared_with`` and holds none of its
three files; the two folders lie side by side.

Opening one reads ``model.json`` and nothing else. A search needs only a few of its keys, so ``Bundle`` takes them from
the JSON by hand and checks them; the whole is validated when ``info`` is asked for, since pydantic takes as long to
import as a search to run. The weights are not hashed on opening either: that costs more than answering a query.
``verify`` does it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlooker.errors import BundleError
from onlooker.files import sha256_of, write_json

if TYPE_CHECKING:
    from onlooker.runtime.background import Background
    from onlooker.runtime.info import BackgroundPart, BundleInfo, CalibrationPart, ImagePart, TextPart
    from onlooker.runtime.preprocessing import ImageSpec

__all__ = [
    "BackgroundPart",
    "Bundle",
    "BundleInfo",
    "CalibrationPart",
    "ImagePart",
    "TextPart",
    "open_bundle",
    "shipped_names",
    "write_bundle_info",
]

MODEL_JSON = "model.json"
FORMAT = 1
SHIPPED = Path(__file__).resolve().parents[1] / "bundles"
"""Where the bundles lie that come with the package."""
DEFAULT = "base"
"""The shipped bundle that is used where none is named."""


@dataclass(frozen=True)
class _Essentials:
    """The keys of ``model.json`` that a text query needs."""

    name: str
    dimension: int
    image_file: str
    image_bytes: int | None
    text_file: str
    text_bytes: int | None
    tokenizer_file: str
    words_file: str | None
    max_tokens: int
    pad_token: str
    shared_with: str | None
    text_sha256: str
    background_file: str | None
    layout: dict[str, tuple[int, int]]
    id: str


class Bundle:
    """One opened bundle folder; see the module for what lies in it."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        """Take the parsed ``model.json``; use ``open`` or ``shipped`` instead of this.

        Args:
            path: The folder.
            content: The parsed ``model.json``.

        Raises:
            BundleError: A key is missing or of the wrong kind, or the format is another one.
        """
        self.path = path
        self._content = content
        self._essentials = _essentials(path / MODEL_JSON, content)

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Open a bundle folder.

        Args:
            path: The folder.

        Returns:
            The bundle; its files are there and, where ``model.json`` says so, of the right size.

        Raises:
            BundleError: There is no such folder, a file is missing or of another size, the bundle beside it whose text
                tower it shares is not there or has another one, or ``model.json`` is damaged or of another format.
        """
        path = Path(path)
        source = path / MODEL_JSON
        if not path.is_dir():
            raise BundleError(f"there is no bundle folder {path}; give a folder made by `onlooker export`")
        try:
            content = json.loads(source.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BundleError(f"{path} holds no {MODEL_JSON}; give a folder made by `onlooker export`") from error
        except OSError as error:
            raise BundleError(f"{source} cannot be read ({error.strerror}); check its rights") from error
        except ValueError as error:
            raise BundleError(f"{source} is not JSON ({error}); make the bundle again") from error
        if not isinstance(content, dict):
            raise BundleError(f"{source} is not a JSON object; make the bundle again")
        bundle = cls(path, content)
        bundle._check_files()
        return bundle

    @classmethod
    def shipped(cls, name: str = DEFAULT) -> Bundle:
        """Open a bundle that comes with the package.

        Args:
            name: Which one.

        Returns:
            The bundle.

        Raises:
            BundleError: This installation holds no such bundle, or it is damaged.
        """
        names = shipped_names()
        if name not in names:
            there = f"it holds {', '.join(names)}" if names else "it holds none"
            raise BundleError(
                f"this installation has no bundle {name!r} ({there}); name a bundle folder or install onlooker again"
            )
        return cls.open(SHIPPED / name)

    @property
    def name(self) -> str:
        """The short name, such as ``base``."""
        return self._essentials.name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._essentials.dimension

    @property
    def id(self) -> str:
        """32 hex digits that change whenever weights, tokenizer or preprocessing do; what a gallery remembers."""
        return self._essentials.id

    @property
    def image_path(self) -> Path:
        """The ONNX file of the image tower."""
        return self.path / self._essentials.image_file

    @property
    def text_path(self) -> Path:
        """The ONNX file of the text tower."""
        return self._text_folder / self._essentials.text_file

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer file."""
        return self._text_folder / self._essentials.tokenizer_file

    @property
    def words_path(self) -> Path | None:
        """The words that typing errors are mended by; None where the bundle has none."""
        name = self._essentials.words_file
        return None if name is None else self._text_folder / name

    @property
    def text_shared_with(self) -> str | None:
        """The folder name of the bundle beside this one that holds the text tower; None where this one holds it."""
        return self._essentials.shared_with

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut to this many tokens."""
        return self._essentials.max_tokens

    @property
    def pad_token(self) -> str:
        """The token that fills shorter texts of a batch."""
        return self._essentials.pad_token

    @property
    def calibration(self) -> dict[str, Any] | None:
        """The ``calibration`` of ``model.json`` as it stands there, or None; read without validating the rest."""
        value = self._content.get("calibration")
        return value if isinstance(value, dict) else None

    @property
    def layout(self) -> dict[str, tuple[int, int]]:
        """What the columns of a vector are about, as half-open ranges; empty where a vector has no parts."""
        return dict(self._essentials.layout)

    def background(self) -> Background | None:
        """Read the vectors that confidences are measured against; None where the bundle has none.

        Raises:
            BundleError: The file is damaged or its vectors are not this bundle's.
        """
        name = self._essentials.background_file
        if name is None:
            return None
        from onlooker.runtime.background import read_background

        return read_background(self.path / name, self.dimension)

    @cached_property
    def info(self) -> BundleInfo:
        """All of ``model.json``, validated.

        Raises:
            BundleError: A key is missing, unknown, or its value out of bounds; the message names it.
        """
        from pydantic import ValidationError

        from onlooker.runtime.info import BundleInfo

        try:
            return BundleInfo.model_validate(self._content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise BundleError(
                f"{self.path / MODEL_JSON}: {where}: {first['msg']}; make the bundle again or correct the key"
            ) from error

    @property
    def spec(self) -> ImageSpec:
        """How pictures are prepared for the image tower."""
        return self.info.image.spec

    def verify(self) -> None:
        """Validate ``model.json`` and compare every file with its checksum; reads all the weights.

        Raises:
            BundleError: Something does not hold; the message names the file or the key.
        """
        info = self.info
        self._check_files()
        digests = [
            (self.image_path, info.image.sha256),
            (self.text_path, info.text.sha256),
            (self.tokenizer_path, info.text.tokenizer_sha256),
        ]
        if self.words_path is not None and info.text.words_sha256 is not None:
            digests.append((self.words_path, info.text.words_sha256))
        if info.background is not None:
            digests.append((self.path / info.background.file, info.background.sha256))
        for path, wanted in digests:
            found = sha256_of(path)
            if found != wanted:
                raise BundleError(
                    f"{path} is damaged or was replaced: its SHA-256 begins with {found[:12]} and that in {MODEL_JSON} "
                    f"with {wanted[:12]}; copy the bundle again"
                )
        self.background()

    @property
    def _text_folder(self) -> Path:
        shared = self._essentials.shared_with
        # A relative path such as "." has no parent to look in, and a link lies elsewhere than what it points to.
        return self.path if shared is None else self.path.resolve().parent / shared

    def _check_files(self) -> None:
        parts = self._essentials
        if parts.shared_with is not None:
            self._check_shared(parts.shared_with)
        files: list[tuple[Path, int | None]] = [
            (self.image_path, parts.image_bytes),
            (self.text_path, parts.text_bytes),
            (self.tokenizer_path, None),
        ]
        if self.words_path is not None:
            files.append((self.words_path, None))
        if parts.background_file is not None:
            files.append((self.path / parts.background_file, None))
        for path, wanted in files:
            try:
                found = path.stat().st_size
            except OSError as error:
                raise BundleError(f"the bundle {path.parent} lacks {path.name}; copy the whole folder again") from error
            if found == 0 or (wanted is not None and found != wanted):
                expected = "some" if wanted is None else f"{wanted:,}"
                raise BundleError(f"{path} has {found:,} bytes instead of {expected}; copy the bundle again")

    def _check_shared(self, name: str) -> None:
        """Compare the text tower that the other bundle says it has with the one that this bundle was exported with."""
        source = self._text_folder / MODEL_JSON
        try:
            other = json.loads(source.read_text(encoding="utf-8"))["text"]["sha256"]
        except FileNotFoundError as error:
            raise BundleError(
                f"the bundle {self.path} shares the text tower of the bundle {name!r}, and there is no {source}; "
                f"put the two folders side by side"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BundleError(f"{source} cannot be read or names no text tower; copy that bundle again") from error
        if other != self._essentials.text_sha256:
            raise BundleError(
                f"the bundle {self.path} was exported with another text tower than {source.parent} has now; "
                f"export it again with --text-from {source.parent}"
            )


def __getattr__(name: str) -> Any:
    """Hand on the models of ``onlooker.runtime.info`` without importing pydantic before somebody asks for one."""
    if name in ("BackgroundPart", "BundleInfo", "CalibrationPart", "ImagePart", "TextPart"):
        from onlooker.runtime import info

        return getattr(info, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def shipped_names() -> list[str]:
    """Return the names of the bundles that come with this installation, sorted."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MODEL_JSON}"))


def open_bundle(path: Path | None = None) -> Bundle:
    """Open the bundle a command shall use.

    Args:
        path: A folder, or the plain name of a bundle that comes with the package (a folder of that name comes first);
            None takes the environment's ``ONLOOKER_BUNDLE``, and without that the shipped default.

    Returns:
        The bundle.

    Raises:
        BundleError: It is missing or damaged.
        ConfigError: The environment holds a value that cannot be used.
    """
    from onlooker.config import Settings

    chosen = path or Settings.from_environment().bundle
    if chosen is None:
        return Bundle.shipped()
    if not chosen.exists() and str(chosen) in shipped_names():
        return Bundle.shipped(str(chosen))
    return Bundle.open(chosen)


def write_bundle_info(path: Path, info: BundleInfo) -> Bundle:
    """Write ``model.json`` into a folder that holds the other files already, and open the bundle.

    Args:
        path: The folder.
        info: What it holds; its checksums are compared with the files.

    Returns:
        The verified bundle.

    Raises:
        BundleError: A file is missing or is not the one that ``info`` describes.
    """
    write_json(Path(path) / MODEL_JSON, info.model_dump(mode="json"))
    bundle = Bundle.open(path)
    bundle.verify()
    return bundle


def _essentials(source: Path, content: dict[str, Any]) -> _Essentials:
    version = content.get("format")
    if version != FORMAT:
        raise BundleError(
            f"{source} has format {version!r} and this version of onlooker reads format {FORMAT}; "
            "update onlooker or make the bundle again"
        )
    image, text = _take(source, content, "image", dict), _take(source, content, "text", dict)
    digests = [
        _take(source, image, "sha256", str, "image."),
        _take(source, text, "sha256", str, "text."),
        _take(source, text, "tokenizer_sha256", str, "text."),
    ]
    max_tokens = _take(source, text, "max_tokens", int, "text.")
    pad_token = _take(source, text, "pad_token", str, "text.")
    spec = _take(source, image, "spec", dict, "image.")
    background = None if content.get("background") is None else _take(source, content, "background", dict)
    named = json.dumps([*digests, max_tokens, pad_token, spec], sort_keys=True)
    return _Essentials(
        name=_take(source, content, "name", str),
        dimension=_take(source, content, "dimension", int),
        image_file=_file_name(source, image, "file", "image."),
        image_bytes=_size(source, image, "image."),
        text_file=_file_name(source, text, "file", "text."),
        text_bytes=_size(source, text, "text."),
        tokenizer_file=_file_name(source, text, "tokenizer", "text."),
        words_file=None if text.get("words") is None else _file_name(source, text, "words", "text."),
        max_tokens=max_tokens,
        pad_token=pad_token,
        shared_with=None if text.get("shared_with") is None else _file_name(source, text, "shared_with", "text."),
        text_sha256=digests[1],
        background_file=None if background is None else _file_name(source, background, "file", "background."),
        layout=_layout(source, content),
        id=hashlib.sha256(named.encode()).hexdigest()[:32],
    )


def _take(source: Path, part: dict[str, Any], key: str, kind: type, prefix: str = "") -> Any:
    value: Any = part.get(key)
    right = isinstance(value, kind) and not isinstance(value, bool)
    if not right or (kind is int and int(value) < 1):
        names = {dict: "an object", str: "a text", int: "a whole number above 0"}
        raise BundleError(f"{source}: {prefix}{key} is {value!r} and not {names[kind]}; make the bundle again")
    return value


def _file_name(source: Path, part: dict[str, Any], key: str, prefix: str) -> str:
    name: str = _take(source, part, key, str, prefix)
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise BundleError(f"{source}: {prefix}{key} is {name!r} and not a plain file name; make the bundle again")
    return name


def _size(source: Path, part: dict[str, Any], prefix: str) -> int | None:
    if part.get("size_bytes") is None:
        return None
    size: int = _take(source, part, "size_bytes", int, prefix)
    return size


def _layout(source: Path, content: dict[str, Any]) -> dict[str, tuple[int, int]]:
    value: Any = content.get("layout")
    if value is None:
        return {}
    layout: dict[str, tuple[int, int]] = {}
    for name, columns in _take(source, content, "layout", dict).items():
        if (
            not isinstance(columns, list)
            or [type(column) for column in columns] != [int, int]
            or not 0 <= columns[0] < columns[1] <= content["dimension"]
        ):
            raise BundleError(
                f"{source}: layout.{name} is {columns!r} and not two columns [first, behind the last] within the "
                "dimension; make the bundle again"
            )
        layout[name] = (columns[0], columns[1])
    return layout
