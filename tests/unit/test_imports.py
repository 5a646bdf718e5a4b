"""What may import what: the serving half without torch, rooms only downwards, nothing heavy where a query starts."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import onlooker

SOURCE = Path(onlooker.__file__).parent

TRAINING_ONLY = (
    *("torch", "transformers", "peft", "safetensors", "onnx", "onnxscript"),
    *("matplotlib", "optuna", "sqlalchemy"),
)
"""Packages of the training extra; a machine that only serves has none of them."""

ROOMS_BELOW: dict[str, set[str]] = {
    "runtime": set(),
    "gallery": {"runtime"},
    "footage": {"gallery", "runtime"},
    # One preprocessing serves training and serving, so the training half may use the runtime, never the reverse.
    "datasets": {"runtime"},
    "encoders": {"runtime"},
    "training": {"encoders", "datasets", "runtime"},
    "evaluation": {"datasets", "encoders", "runtime"},
    "export": {"evaluation", "training", "encoders", "datasets", "runtime"},
}
"""Each room with those it may import; ``cli`` may import all, and all may import ``BASE``."""

BASE = {"errors", "files", "config", "__version__"}
"""What lies under every room; these may import only each other."""

SERVING_ROOMS = ("runtime", "gallery", "footage")
SERVING_COMMANDS = ("index", "search", "embed", "demo", "watch", "health", "forget", "trail", "config")


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, inside functions and for type checking too."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, *([node.module] if node.module else []), alias.name])


def own_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Place ("file:line") and room of everything a file imports from Onlooker itself."""
    for line, name in imports_of(path):
        first, *rest = name.split(".")
        if first == "onlooker":
            yield f"{path.relative_to(SOURCE)}:{line}", rest[0] if rest else ""


def test_every_room_is_known_here() -> None:
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert rooms - {"cli", "samples", "bundles"} <= set(ROOMS_BELOW)


@pytest.mark.parametrize("room", ROOMS_BELOW)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    allowed = ROOMS_BELOW[room] | BASE | {room}
    files = list((SOURCE / room).rglob("*.py"))
    assert files
    wrong = [f"{place} imports {other}" for path in files for place, other in own_imports(path) if other not in allowed]
    assert wrong == []


def test_the_base_imports_only_itself() -> None:
    wrong = [
        f"{place} imports {other}"
        for name in ("errors", "files", "config")
        for place, other in own_imports(SOURCE / f"{name}.py")
        if other not in BASE
    ]
    assert wrong == []


def test_no_import_goes_round_in_a_circle() -> None:
    def reach(room: str) -> set[str]:
        return ROOMS_BELOW[room].union(*map(reach, ROOMS_BELOW[room]))

    assert not [room for room in ROOMS_BELOW if room in reach(room)]


@pytest.mark.parametrize("place", [*SERVING_ROOMS, *(f"cli/{name}.py" for name in SERVING_COMMANDS)])
def test_the_serving_half_names_no_package_of_the_training_extra(place: str) -> None:
    path = SOURCE / place
    files = [path] if path.suffix else sorted(path.rglob("*.py"))
    wrong = [
        f"{file.relative_to(SOURCE)}:{line} imports {name}"
        for file in files
        for line, name in imports_of(file)
        if name.split(".")[0] in TRAINING_ONLY
    ]
    assert wrong == []


BLOCKED = f"""
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAINING_ONLY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_serving_half_imports_where_the_training_extra_is_missing() -> None:
    out = run(
        "import onlooker.errors, onlooker.files, onlooker.config, onlooker.cli.console\n"
        f"for room in {SERVING_ROOMS!r}:\n"
        "    package = importlib.import_module(f'onlooker.{room}')\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "        print(found.name)\n"
        f"for name in {SERVING_COMMANDS!r}:\n"
        "    importlib.import_module(f'onlooker.cli.{name}')\n"
    )
    assert "onlooker.runtime.encoder" in out
    assert "onlooker.gallery.store" in out
    assert "onlooker.footage.detection" in out


def test_the_block_of_these_tests_blocks() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED + "import torch"], capture_output=True, text=True, check=False)
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("errors, onlooker.files, onlooker.config", ("numpy", "pydantic")),
        ("runtime.bundle", ("numpy", "pydantic", "onnxruntime", "tokenizers", "PIL")),
        ("runtime.encoder", ("pydantic", "onnxruntime", "tokenizers", "PIL", "cv2")),
        ("runtime.fake", ("pydantic", "onnxruntime", "PIL", "cv2")),
        ("runtime.embedding", ("pydantic", "onnxruntime", "tokenizers", "PIL", "cv2")),
        ("runtime.preprocessing", ("PIL", "cv2", "onnxruntime")),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(modules: str, heavy: tuple[str, ...]) -> None:
    assert run(f"import onlooker.{modules}\nprint(sorted(set({heavy!r}) & set(sys.modules)))") == "[]\n"


def test_an_import_starts_no_thread() -> None:
    modules = "onlooker.runtime.encoder, onlooker.runtime.pictures, onlooker.runtime.embedding"
    assert run(f"import threading, {modules}\nprint(threading.active_count())") == "1\n"
