"""The contents of a bundle's ``model.json``: every key known and bounded, and refused when misspelled."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from onlooker.runtime.preprocessing import ImageSpec

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""A plain file name inside the bundle's folder: no separators, so a bundle cannot point outside itself."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hex."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImagePart(_Part):
    """The image tower.

    Attributes:
        file: ONNX file: input ``pixels`` float32 (n, 3, height, width), output ``vectors`` float32 (n, dimension),
            L2-normalised.
        sha256: Of that file.
        size_bytes: Of that file; checked when it is opened, where given.
        spec: How pictures are prepared.
    """

    file: FileName = "image.onnx"
    sha256: Digest
    size_bytes: Bytes | None = None
    spec: ImageSpec


class TextPart(_Part):
    """The text tower.

    Attributes:
        file: ONNX file: inputs ``input_ids`` and ``attention_mask`` int64 (n, L), output ``vectors`` as for pictures.
        sha256: Of that file.
        size_bytes: Of that file; checked when it is opened, where given.
        tokenizer: ``tokenizer.json`` in the Hugging Face format.
        tokenizer_sha256: Of that file.
        words: The words of the training texts, one a line, the most frequent first: typing errors are mended by them.
        words_sha256: Of that file; there where it is.
        max_tokens: Longer texts are cut to this, special tokens included.
        pad_token: The token that fills shorter texts of a batch.
        shared_with: The folder name of another bundle beside this one, which holds these files; None where they lie
            in this bundle's own folder. The checksums are those of the shared files.
    """

    file: FileName = "text.onnx"
    sha256: Digest
    size_bytes: Bytes | None = None
    tokenizer: FileName = "tokenizer.json"
    tokenizer_sha256: Digest
    words: FileName | None = None
    words_sha256: Digest | None = None
    max_tokens: int = Field(ge=3, le=8192)
    pad_token: str = Field(min_length=1)
    shared_with: FileName | None = None


class BackgroundPart(_Part):
    """Vectors of pictures and texts of the training split: what similarities to anybody at all look like.

    Attributes:
        file: NumPy archive with the float16 arrays ``images`` (n, dimension) and ``texts`` (m, dimension),
            L2-normalised before rounding.
        sha256: Of that file.
    """

    file: FileName = "background.npz"
    sha256: Digest


class CalibrationPart(_Part):
    """What turns similarities into confidences; ``onlooker.runtime.calibration`` says how.

    Attributes:
        kind: The form of the function.
        features: What it is computed from.
        temperature: Unit of the features.
        alike: Cosine from which on two sightings may be the same person.
        match: Intercept and coefficients: log odds that a match is who was meant.
        somebody: The same of the best match: log odds that the person is among the sightings at all.
        threshold: Intercept and slope over the logarithm of the number of sightings: log odds for somebody below which
            the verdict is nobody.
        sizes: The fewest and the most sightings it was fitted on.
        false_dismissals: Share of the people who are there for whom the verdict may be nobody.
        data: What it was fitted on.
        measured: How far it can be trusted, on people left out of the fit.
    """

    kind: Literal["logistic"]
    features: list[str]
    temperature: float = Field(gt=0, allow_inf_nan=False)
    alike: float = Field(gt=0, allow_inf_nan=False)
    match: list[Finite]
    somebody: list[Finite]
    threshold: tuple[Finite, Finite]
    sizes: tuple[int, int]
    false_dismissals: float = Field(gt=0, lt=1)
    data: dict[str, Any] = Field(default_factory=dict)
    measured: dict[str, Any] = Field(default_factory=dict)


class BundleInfo(_Part):
    """All of ``model.json``.

    Attributes:
        format: The version of this layout.
        name: Short name, such as ``base``.
        dimension: Length of the vectors.
        created: When it was made, ISO 8601.
        license: Terms of the weights.
        image: The image tower.
        text: The text tower.
        temperature: The softmax temperature the model was trained with: similarities divided by it are logits.
        layout: What the columns of a vector are about, as half-open ranges: ``{"global": (0, 128), ...}``; None where a
            vector has no parts.
        background: Vectors that confidences are measured against, or None.
        calibration: What turns similarities into confidences, or None while there is none.
        training: Data, its terms, recipe, seeds.
        metrics: Retrieval figures on the validation split.
        parity: How close the files are to the model they came from.
        versions: Of the software that made it.
    """

    format: Literal[1] = 1
    name: FileName
    dimension: int = Field(ge=1, le=65536)
    created: str = Field(min_length=1)
    license: str = Field(min_length=1)
    image: ImagePart
    text: TextPart
    temperature: float = Field(gt=0, le=100, allow_inf_nan=False)
    layout: dict[str, tuple[int, int]] | None = None
    background: BackgroundPart | None = None
    calibration: CalibrationPart | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    parity: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _files_differ(self) -> BundleInfo:
        files = [self.image.file, self.text.file, self.text.tokenizer, "model.json"]
        if self.text.words is not None:
            files.append(self.text.words)
        if self.background is not None:
            files.append(self.background.file)
        if len(set(files)) < len(files):
            raise ValueError(f"every part of a bundle is a file of its own, and model.json is none, got {files}")
        return self

    @model_validator(mode="after")
    def _words_are_checked(self) -> BundleInfo:
        if (self.text.words is None) != (self.text.words_sha256 is None):
            raise ValueError("text.words and text.words_sha256 come together")
        return self

    @model_validator(mode="after")
    def _background_is_there(self) -> BundleInfo:
        if self.calibration is not None and self.background is None:
            raise ValueError("a calibration needs a background")
        return self

    @model_validator(mode="after")
    def _layout_fits(self) -> BundleInfo:
        end = 0
        for name, (start, stop) in sorted((self.layout or {}).items(), key=lambda item: item[1]):
            if not end <= start < stop <= self.dimension:
                raise ValueError(
                    f"layout.{name} is [{start}, {stop}]; wanted parts without overlap, within {self.dimension} columns"
                )
            end = stop
        return self
