"""Marks by folder and need, and an isolated home, for every test."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import settings

from tests.shared_data import SHARED

# A busy machine is no failure.
settings.register_profile("onlooker", deadline=None)
settings.load_profile("onlooker")

TRAIN_PACKAGES = ("torch", "transformers", "peft", "onnx")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    missing = [name for name in TRAIN_PACKAGES if importlib.util.find_spec(name) is None]
    for item in items:
        if SHARED is None and item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="needs ../shared/data (or ONLOOKER_SHARED)"))
        if missing and item.get_closest_marker("train"):
            item.add_marker(pytest.mark.skip(reason=f"needs the training extra: {', '.join(missing)} missing"))


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep user files and model hubs out of every test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")


@pytest.fixture
def shared() -> Path:
    """The data folder beside the checkout."""
    if SHARED is None:
        pytest.skip("needs ../shared/data (or ONLOOKER_SHARED)")
    return SHARED
