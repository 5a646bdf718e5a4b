from __future__ import annotations

from pathlib import Path

import numpy as np

from onlooker.datasets.boxes import fill_boxes
from onlooker.datasets.manifest import Manifest, Record
from tests.unit.datasets import trees


def test_the_largest_person_fills_an_empty_box(tmp_path: Path) -> None:
    for number in range(3):
        trees.picture(tmp_path / f"{number}.png", number, (60 + number, 100))
    (tmp_path / "broken.png").write_text("no picture")
    names = ["0.png", "1.png", "2.png", "broken.png"]
    records = [Record(id=name, file=name) for name in names]
    records[2] = records[2].model_copy(update={"box": (1.0, 2.0, 3.0, 4.0)})
    manifest = Manifest("generic", tmp_path, "", records)
    people = {60: [[0, 0, 10, 10], [5.004, 6, 30, 90]], 61: []}

    def find(rgb: np.ndarray) -> np.ndarray:
        return np.asarray(people[rgb.shape[1]], np.float32).reshape(-1, 4)

    steps: list[float] = []
    filled, count = fill_boxes(manifest, find, steps.append)
    assert [record.box for record in filled.records] == [(5.0, 6.0, 25.0, 84.0), None, (1.0, 2.0, 3.0, 4.0), None]
    assert (count, sum(steps)) == (1, 4)
    assert manifest.records[0].box is None
    filled.save(tmp_path / "m.jsonl")
    assert Manifest.load(tmp_path / "m.jsonl").records == filled.records
