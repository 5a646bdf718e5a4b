"""Every key of a recipe as a table for the documentation, read off the models themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from onlooker.files import write_text
from onlooker.training.recipes import Recipe

BEGIN, END = "<!-- recipe keys: begin -->", "<!-- recipe keys: end -->"
BOUNDS = (("ge", ">= {}"), ("gt", "> {}"), ("le", "<= {}"), ("lt", "< {}"))


@dataclass(frozen=True)
class Key:
    """One key of a recipe.

    Attributes:
        name: Dotted, as ``--set`` takes it.
        values: Type, choices and bounds.
        default: As TOML would have it; ``required`` where there is none, ``none`` where the key may be left out.
        description: What it does, with its unit.
    """

    name: str
    values: str
    default: str
    description: str


def keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[Key]:
    """Yield every key of a model and of the tables in it, in the order of the classes.

    Args:
        model: A pydantic model.
        prefix: Dotted name of the table that it is.
    """
    for name, field in model.model_fields.items():
        dotted = f"{prefix}.{name}".removeprefix(".")
        table = _table(field.annotation)
        if table is not None:
            yield from keys(table, dotted)
        else:
            yield Key(dotted, _values(field), _default(field), field.description or "")


def table() -> str:
    """Return the Markdown table of all keys, between the two marks that ``docs/training.md`` has it in."""
    lines = [BEGIN, "| key | values | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key.name}` | {key.values} | {key.default} | {key.description} |" for key in keys()]
    return "\n".join([*lines, END])


def _table(annotation: Any) -> type[BaseModel] | None:
    options = [annotation, *get_args(annotation)]
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)


def _values(field: FieldInfo) -> str:
    found = [(text, getattr(entry, name, None)) for entry in field.metadata for name, text in BOUNDS]
    bounds = [text.format(value) for text, value in found if value is not None]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f'`"{choice}"`' for choice in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(_type(option) for option in get_args(annotation) if option is not NoneType)
    if origin is tuple:
        return f"list of {_type(get_args(annotation)[0])}"
    return {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}[annotation]


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "none"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, str):
        return f'`"{field.default}"`'
    if isinstance(field.default, tuple):
        return f"`{json.dumps(list(field.default))}`"
    return f"`{field.default:_}`" if isinstance(field.default, int) else f"`{field.default:g}`"


def rewrite(path: Path) -> None:
    """Put the table of today between the marks of a Markdown file."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    write_text(path, before + table() + rest.split(END)[1])


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))
