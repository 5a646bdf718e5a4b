"""One small CLIP checkpoint for all tests here, and one thread, since the models are tiny."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_models import clip_folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return clip_folder(tmp_path_factory.mktemp("clip") / "checkpoint")
