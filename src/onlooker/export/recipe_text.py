"""A recipe as the TOML file that ``onlooker train`` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from onlooker.training.recipes import Recipe

BARE = re.compile(r"[A-Za-z0-9_-]+")


def recipe_toml(recipe: Recipe, comment: list[str]) -> str:
    """Return what was set in a recipe as TOML; defaults stay unwritten.

    Args:
        recipe: The recipe.
        comment: Lines that stand above it.
    """
    lines = [f"# {line}".rstrip() for line in comment]
    lines += _lines(recipe.model_dump(mode="json", exclude_unset=True), "")
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, Any], prefix: str) -> Iterator[str]:
    # TOML has no null: None is a default wherever a recipe may have it, so leaving it out says the same.
    plain = {key: value for key, value in table.items() if value is not None and not isinstance(value, dict)}
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    if prefix and (plain or not inner):
        yield from ("", f"[{prefix}]")
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield from _lines(value, f"{prefix}.{_key(key)}".removeprefix("."))


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # JSON's strings, whole numbers and truth values are TOML's too, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
