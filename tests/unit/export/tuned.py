"""Figures of a trial, made up for the tests of studies."""

from __future__ import annotations

from typing import Any

from onlooker.export.timing import EncodeTime
from onlooker.export.tuning_trial import Measured


def measured(quality: float, ms: float, **changes: Any) -> Measured:
    values: dict[str, Any] = {
        "quality": quality,
        "r1": quality / 600,
        "r5": quality / 300,
        "r10": quality / 200,
        "image": EncodeTime(ms, 0.95 * ms, 1.1 * ms, 100, 2 * ms),
        "text": EncodeTime(7.5, 7.4, 7.9, 50, 8.1),
        "image_bytes": 7_000_000,
        "text_bytes": 23_000_000,
        "dimension": 16,
        "spec": {"height": 32, "width": 32},
        "seconds": 12.5,
    }
    return Measured(**{**values, **changes})
