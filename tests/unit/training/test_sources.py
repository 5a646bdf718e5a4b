"""Rules that hold for all of the source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.train

SOURCE = Path(__file__).resolve().parents[3] / "src"


def test_torch_load_never_unpickles_code() -> None:
    calls = 0
    for path in [*SOURCE.rglob("*.py"), *(SOURCE.parent / "scripts").rglob("*.py")]:
        for call in re.finditer(r"torch\.load\(([^\n]*)", path.read_text(encoding="utf-8")):
            calls += 1
            assert "weights_only=True" in call.group(1), path
    assert calls >= 2
