from __future__ import annotations

from pathlib import Path

from onlooker.datasets.pictures import check_pictures
from tests.unit.datasets import trees


def tree(root: Path) -> list[str]:
    trees.picture(root / "good.jpg", 1)
    trees.picture(root / "cut.jpg", 2)
    data = (root / "cut.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(data[: len(data) // 2])
    trees.write(root / "text.jpg", "no picture")
    (root / "folder.jpg").mkdir()
    return ["good.jpg", "cut.jpg", "missing.jpg", "text.jpg", "folder.jpg"]


def test_every_bad_picture_is_named_with_its_reason(tmp_path: Path) -> None:
    steps: list[float] = []
    check = check_pictures(tmp_path, tree(tmp_path), workers=3, advance=steps.append)
    assert check.opened
    assert check.present == 1
    assert check.missing == ["missing.jpg"]
    assert list(check.unreadable) == ["cut.jpg", "text.jpg", "folder.jpg"]
    assert all(check.unreadable.values())
    assert list(check.fingerprints) == ["good.jpg"]
    assert sum(steps) == 5


def test_quick_only_looks(tmp_path: Path) -> None:
    check = check_pictures(tmp_path, tree(tmp_path), quick=True)
    assert (check.opened, check.present, check.missing) == (False, 3, ["missing.jpg", "folder.jpg"])
    assert check.fingerprints == {}
