"""All that a gallery holds, in a form that two galleries can be compared by."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

CONTENT = """
    SELECT c.name, o.name, o.complete, s.time_us, s.time_s, s.start_s, s.end_s, s.x, s.y, s.width, s.height, s.score,
           s.track, crop.jpeg, (SELECT group_concat(hex(v.value)) FROM vector v WHERE v.sighting_id = s.id)
    FROM sighting s JOIN source o ON o.id = s.source_id JOIN camera c ON c.id = s.camera_id
    JOIN crop ON crop.sighting_id = s.id ORDER BY s.id
"""


def dump(path: Path) -> list[tuple[Any, ...]]:
    """Return every sighting with its crop and vectors, in the order they were stored; ids apart."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(CONTENT).fetchall()
