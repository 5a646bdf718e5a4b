"""The search space of a study: which keys of a recipe are varied, and between which values.

A TOML file whose keys are those of a recipe. A list gives choices; ``{ low, high, log, step }`` a range::

    precision = ["half", "int8"]                                      # of the exported bundle
    model.image.size = ["192x96", "240x96"]                           # height and width together
    model.image.queries = { low = 1, high = 8 }                       # both whole: whole numbers
    optimiser.image_lr = { low = 1e-4, high = 1e-3, log = true }
    widths = [                                                        # keys that go together, under a free name
      { "model.projection.dimension" = 128, "model.image.queries" = 2 },
      { "model.projection.dimension" = 256, "model.image.queries" = 4 },
    ]
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from onlooker.errors import ConfigError
from onlooker.export.bundler import Precision
from onlooker.training.recipes import Recipe, parse_recipe, recipe_json

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]  # the backport is installed on Python 3.10 alone

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DEFAULT_SPACE = Path(__file__).with_name("space.toml")
"""The space that is searched where none is named."""

PRECISION = "precision"
PRECISIONS = ("float32", "half", "int8")
SIZE = "model.image.size"
SIZE_FORM = re.compile(r"(\d+)x(\d+)")
RANGE_KEYS = {"low", "high", "log", "step"}
OF_THE_COMMAND = {
    "name": "the study names its recipes itself",
    "seed": "it is set by --seed",
    "run.epochs": "it is set by --epochs",
    "run.text_from": "it is set by --text-from",
}
TEXT_SIDE = re.compile(
    r"optimiser\.text_lr|model\.(text|lora\.text)\..*|model\.projection\.dimension"
    r"|model\.parts\.(dimension|regions)|model\.(temperature|learn_temperature)"
)
"""Keys that decide what the text side is, or that both sides share: a text side taken over as it is fixes them."""

Label = str | int | float | bool


@dataclass(frozen=True)
class Choices:
    """A parameter with a list of values.

    Attributes:
        name: As in the file.
        options: What each choice is called, and the values of the recipe's keys that it sets.
    """

    name: str
    options: dict[Label, dict[str, Any]]

    def settings(self, value: Any) -> dict[str, Any]:
        """Return the recipe's keys and their values for a choice."""
        return self.options[value]

    def samples(self) -> list[Label]:
        """Return every choice."""
        return list(self.options)

    def recipe_keys(self) -> set[str]:
        """Return the recipe's keys that this parameter sets."""
        return {key for values in self.options.values() for key in values}

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(self.options))

    def of(self, table: dict[str, Any]) -> Label | None:
        """Return the choice that a recipe has already, or None."""
        for label, values in self.options.items():
            if all(_look_up(table, key) == value for key, value in values.items()):
                return label
        return None


@dataclass(frozen=True)
class Range:
    """A parameter with bounds, both included; ``whole`` where only whole numbers are taken."""

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    def settings(self, value: Any) -> dict[str, Any]:
        """Return the recipe's key and its value."""
        return {self.name: value}

    def samples(self) -> list[float]:
        """Return the bounds and a value between them that is not a round number unless it must be."""
        if self.step is not None:
            middle = self.low + self.step * (round((self.high - self.low) / self.step) // 2)
        else:
            middle = self.low + (self.high - self.low) / math.pi
        return [self.low, int(middle) if self.whole else middle, self.high]

    def recipe_keys(self) -> set[str]:
        """Return the recipe's key that this parameter sets."""
        return {self.name}

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def of(self, table: dict[str, Any]) -> float | None:
        """Return the value that a recipe has already, or None where it lies outside or between the steps."""
        value = _look_up(table, self.name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if self.step is not None and not _divides(self.step, value - self.low):
            return None
        return value


Parameter = Choices | Range


@dataclass(frozen=True)
class Alternative:
    """A recipe with one value of a space.

    Attributes:
        what: Names the space, the key and the value, for errors.
        recipe: The recipe.
        shapes: Whether the value decides what the model or its data are, so that only building them shows whether it
            can be.
    """

    what: str
    recipe: Recipe
    shapes: bool


@dataclass(frozen=True)
class Space:
    """The parameters of a study.

    Attributes:
        parameters: In the order of the file.
        source: Names the file in errors.
    """

    parameters: tuple[Parameter, ...]
    source: str

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's form of all parameters."""
        return {parameter.name: parameter.distribution() for parameter in self.parameters}

    def describe(self) -> dict[str, Any]:
        """Return the space as JSON values, to compare studies by."""
        return {
            parameter.name: [[label, values] for label, values in parameter.options.items()]
            if isinstance(parameter, Choices)
            else [parameter.low, parameter.high, parameter.log, parameter.step, parameter.whole]
            for parameter in self.parameters
        }

    def precision(self, params: dict[str, Any], otherwise: Precision) -> Precision:
        """Return the precision of a trial's bundle."""
        return cast("Precision", params.get(PRECISION, otherwise))

    def recipe(self, base: Recipe, params: dict[str, Any], changes: dict[str, Any] | None = None) -> Recipe:
        """Return the recipe of a trial.

        Args:
            base: What the study varies.
            params: A value for each parameter.
            changes: Dotted keys and values that are set besides.

        Raises:
            ConfigError: The recipe does not take these values; the message names the key.
        """
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name != PRECISION:
                values.update(parameter.settings(params[parameter.name]))
        return changed(base, {**values, **(changes or {})}, self.source)

    def start(self, base: Recipe) -> dict[str, Any]:
        """Return the values that the recipe itself has, of the parameters whose space holds them."""
        table = recipe_json(base)
        found = {parameter.name: parameter.of(table) for parameter in self.parameters if parameter.name != PRECISION}
        return {name: value for name, value in found.items() if value is not None}

    def alternatives(self, base: Recipe) -> list[Alternative]:
        """Return the recipe with each choice and the bounds and a middle value of each range, one change at a time.

        Raises:
            ConfigError: The recipe does not take a value; the message names the file, the key and the value.
        """
        found = []
        for parameter in self.parameters:
            if parameter.name == PRECISION:
                continue
            shapes = any(key.startswith(("model.", "data.")) for key in parameter.recipe_keys())
            for value in parameter.samples():
                what = f"{self.source}: {parameter.name} = {value}"
                found.append(Alternative(what, changed(base, parameter.settings(value), what), shapes))
        return found

    def without_text_side(self) -> tuple[Space, list[str]]:
        """Return the space without the keys that a text side taken from elsewhere fixes, and the names left out."""
        left_out = [
            parameter.name
            for parameter in self.parameters
            if any(TEXT_SIDE.fullmatch(key) for key in parameter.recipe_keys())
        ]
        kept = tuple(parameter for parameter in self.parameters if parameter.name not in left_out)
        return Space(kept, self.source), left_out


def load_space(path: Path | None = None) -> Space:
    """Read a search space.

    Args:
        path: A TOML file (see the module); None takes the one that comes with Onlooker.

    Raises:
        ConfigError: Unreadable file, broken TOML, or a parameter that is none; the message names it.
    """
    path = path or DEFAULT_SPACE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the search space ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    return parse_space(table, str(path))


def parse_space(table: dict[str, Any], source: str) -> Space:
    """Check a search space that is already a table; ``source`` names it in errors."""
    parameters = tuple(_parameter(name, value, source) for name, value in _leaves(table, ""))
    if not parameters:
        raise ConfigError(f"{source}: no parameter to vary; see `onlooker tune model --show-space`")
    owners: dict[str, str] = {}
    for parameter in parameters:
        for key in parameter.recipe_keys():
            if key in OF_THE_COMMAND:
                raise ConfigError(f"{source}: {key} cannot be varied: {OF_THE_COMMAND[key]}")
            if key in owners:
                raise ConfigError(f"{source}: {key} is set by {owners[key]!r} and by {parameter.name!r}; keep one")
            owners[key] = parameter.name
    return Space(parameters, source)


def changed(base: Recipe, values: dict[str, Any], source: str) -> Recipe:
    """Return a recipe with some values changed; ``source`` stands before the key in the message of a ConfigError.

    Args:
        base: The recipe; stays as it is.
        values: Dotted keys and their values.
        source: Names where the values come from.
    """
    # Only what was set: a default that follows from another value must be free to follow.
    table = deepcopy(base.model_dump(mode="json", exclude_unset=True))
    for key, value in values.items():
        *parents, last = key.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{source}: {key}: {parent} is no table in the recipe")
        inner[last] = value
    return parse_recipe(table, source)


def _leaves(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield dotted names and what stands there; a table is a range if it has nothing but a range's keys."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and not ({"low", "high"} & set(value)):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _parameter(name: str, value: Any, source: str) -> Parameter:
    if isinstance(value, list):
        return _choices(name, value, source)
    if isinstance(value, dict):
        return _range(name, value, source)
    raise ConfigError(f"{source}: {name} = {value!r}: give a list of choices or a range {{ low = ..., high = ... }}")


def _choices(name: str, values: list[Any], source: str) -> Choices:
    options: dict[Label, dict[str, Any]] = {}
    for value in values:
        label, settings = _choice(name, value, source)
        if label in options:
            raise ConfigError(f"{source}: {name}: {label} is listed twice")
        options[label] = settings
    if not options:
        raise ConfigError(f"{source}: {name}: the list of choices is empty")
    if len({frozenset(settings) for settings in options.values()}) > 1:
        raise ConfigError(f"{source}: {name}: each choice must set the same keys")
    return Choices(name, options)


def _choice(name: str, value: Any, source: str) -> tuple[Label, dict[str, Any]]:
    if name == PRECISION:
        if value not in PRECISIONS:
            raise ConfigError(f"{source}: precision: {value!r} is not one of {', '.join(PRECISIONS)}")
        return value, {PRECISION: value}
    if name == SIZE:
        form = SIZE_FORM.fullmatch(str(value))
        if form is None:
            raise ConfigError(f'{source}: {SIZE}: {value!r} is no size; write height x width, for example "192x96"')
        return value, {"model.image.height": int(form[1]), "model.image.width": int(form[2])}
    if isinstance(value, dict):
        settings = dict(_leaves(value, ""))
        return ", ".join(f"{key}={_short(setting)}" for key, setting in settings.items()), settings
    if isinstance(value, list):
        return _short(value), {name: value}
    return value, {name: value}


def _range(name: str, table: dict[str, Any], source: str) -> Range:
    def wrong(why: str) -> ConfigError:
        return ConfigError(f"{source}: {name}: {why}")

    unknown = sorted(set(table) - RANGE_KEYS)
    if unknown:
        raise wrong(f"{unknown[0]!r} is no key of a range; it has low, high, log and step")
    low, high, log, step = (table.get(key) for key in ("low", "high", "log", "step"))
    for key, number in (("low", low), ("high", high), ("step", step)):
        missing = number is None and key != "step"
        if missing or isinstance(number, bool) or not isinstance(number, int | float | None):
            raise wrong(f"{key} is {number!r} and no number")
    low, high = cast("float", low), cast("float", high)
    whole = all(isinstance(number, int) for number in (low, high, *([] if step is None else [step])))
    if not isinstance(log, bool | None):
        raise wrong(f"log is {log!r}; give true or false")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise wrong(f"low must be below high, got {low} and {high}")
    if log and (low <= 0 or step is not None):
        raise wrong("a logarithmic range has a low above 0 and no step")
    if step is not None and (not math.isfinite(step) or step <= 0 or not _divides(step, high - low)):
        raise wrong(f"the step {step} does not lead from {low} to {high}")
    return Range(name, low, high, bool(log), step, whole)


def _divides(step: float, distance: float) -> bool:
    """Tell whether a distance is a number of whole steps, rounding aside."""
    steps = distance / step
    return abs(steps - round(steps)) < 1e-6


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _look_up(table: dict[str, Any], key: str) -> Any:
    value: Any = table
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
