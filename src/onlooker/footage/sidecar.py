"""What a user says of a detector of his or her own: the file ``NAME.toml`` beside ``NAME.onnx``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onlooker.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]  # the backport is installed on Python 3.10 alone

Format = Literal["yolov8", "yolox", "yolov5", "yolo-end2end", "yolov7-end2end", "detr", "rf-detr", "rt-detr"]
FORMATS: tuple[str, ...] = get_args(Format)
"""The layouts that are known, in the order in which they are tried; docs/footage.md says what each looks like."""
Side = Annotated[int, Field(ge=32, le=8192)]
Triple = tuple[float, float, float]
ClassIndex = Annotated[int, Field(ge=0)]


class Sidecar(BaseModel):
    """The keys of the file; each one left out (None) is recognised from the graph.

    Attributes:
        format: Layout of the outputs.
        person: Index of the class that is a person, or several.
        size: Width and height of the input in pixels.
        fit: How a picture becomes that size: ``letterbox`` in the middle, in the upper left ``corner``, or ``stretch``.
        colours: Order of the channels, ``rgb`` or ``bgr``.
        scale: Pixels 0..255 are multiplied by this first,
        mean: then this is subtracted for each channel,
        std: and the result divided by this.
        threshold: Persons below this score are dropped.
        score_factor: Scores are multiplied by this (and capped at 1) to bring them to the scale of the shipped ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format | None = None
    person: ClassIndex | tuple[ClassIndex, ...] | None = None
    size: tuple[Side, Side] | None = None
    fit: Literal["letterbox", "corner", "stretch"] | None = None
    colours: Literal["rgb", "bgr"] | None = None
    scale: float | None = Field(default=None, gt=0)
    mean: Triple | None = None
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = (
        None
    )
    threshold: float | None = Field(default=None, gt=0, le=1)
    score_factor: float = Field(default=1.0, gt=0)


def read_sidecar(model: Path) -> Sidecar:
    """Read the file beside a detector.

    Args:
        model: The ONNX file.

    Returns:
        What it says; nothing where there is no such file.

    Raises:
        ConfigError: It cannot be read, or a key or value is wrong.
    """
    path = model.with_suffix(".toml")
    if not path.exists():
        return Sidecar()
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); check its rights") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML ({error}); correct it") from error
    try:
        return Sidecar.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{path}: there is no key {key!r}; known are: {', '.join(Sidecar.model_fields)}"
            ) from error
        raise ConfigError(f"{path}: {key} = {table[key]!r} does not do ({first['msg']})") from error
