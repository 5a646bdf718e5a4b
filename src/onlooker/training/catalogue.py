"""The recipes that come with Onlooker."""

from __future__ import annotations

from pathlib import Path

from onlooker.errors import ConfigError
from onlooker.training.recipes import load_recipe


def _folders() -> list[Path]:
    """Return where recipes lie: in the installed package, or in a checkout beside ``src``."""
    package = Path(__file__).resolve().parents[1]
    return [folder for folder in (package / "recipes", package.parents[1] / "recipes") if folder.is_dir()]


def list_recipes() -> list[tuple[str, str]]:
    """Return (name, one-line description) of each recipe that comes with Onlooker."""
    files = sorted({path.stem: path for folder in _folders() for path in folder.glob("*.toml")}.items())
    return [(name, load_recipe(path).description) for name, path in files]


def find_recipe(name: str) -> Path:
    """Return the file of a recipe.

    Args:
        name: A path, or the bare name of a recipe that comes with Onlooker.

    Raises:
        ConfigError: Neither is there; the message lists the names.
    """
    if Path(name).is_file():
        return Path(name)
    for folder in _folders():
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    known = ", ".join(sorted({path.stem for folder in _folders() for path in folder.glob("*.toml")}))
    raise ConfigError(f"{name}: no such recipe file, and none of that name comes with Onlooker (there are: {known})")
