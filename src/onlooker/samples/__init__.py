"""Sample photos and footage under free licences, for the demo and the tests (see ATTRIBUTION.md)."""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parent
"""The folder with all of it."""
CLIP = SAMPLES / "clip.mp4"
"""112 s of footage, 768 x 432 at 10 frames/s: six people, one at a time."""
PEOPLE = SAMPLES / "people.json"
"""When each of the six is in the clip, and a description by eye."""
PHOTOS = SAMPLES / "photos"
"""A folder with 14 photographs, most with people in them."""
