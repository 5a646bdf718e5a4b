"""Where the data folder beside the checkout lies, if it is there."""

from __future__ import annotations

import os
from pathlib import Path


def _find() -> Path | None:
    places = [os.environ.get("ONLOOKER_SHARED"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    return next((Path(place) for place in places if place and Path(place).is_dir()), None)


SHARED: Path | None = _find()
"""The folder with street_photos/, flickr8k/, coco_mini_person/, video/ ..., or None."""
