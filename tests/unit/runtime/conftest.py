from __future__ import annotations

from pathlib import Path

import pytest

from onlooker.runtime.bundle import Bundle
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Bundle:
    """A real bundle of a few kilobytes; only for tests marked ``train``, since onnx writes its graphs."""
    return write_tiny_bundle(tmp_path / "tiny")
