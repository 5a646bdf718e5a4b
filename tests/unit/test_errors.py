from __future__ import annotations

import inspect
import re

import pytest

from onlooker import errors

CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == errors.__name__
}


def drawn() -> dict[str, int]:
    """The classes drawn in the module's docstring, with the exit code written beside them or beside their parent."""
    codes: dict[str, int] = {}
    code = 0
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^[\s│├└─]*(\w+Error)\b(?:\s+exit (\d))?", line)
        if found:
            code = int(found[2]) if found[2] else code
            codes[found[1]] = code
    return codes


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert set(drawn()) == set(CLASSES)
    assert {name: kind.exit_code for name, kind in CLASSES.items()} == drawn()


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_is_one_of_ours_and_says_when(kind: type[errors.OnlookerError]) -> None:
    assert issubclass(kind, errors.OnlookerError)
    assert kind.__doc__
    assert str(kind("photos/a.jpg is empty")) == "photos/a.jpg is empty"


def test_errors_are_also_the_builtin_they_stand_for() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert all(
        issubclass(kind, errors.InputError)
        == (name not in ("OnlookerError", "TrainingError", "ExportError", "SourceError", "MissingExtraError"))
        for name, kind in CLASSES.items()
    )
