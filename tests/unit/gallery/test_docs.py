"""What ``docs/gallery.md`` says of the file is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from onlooker.gallery import schema
from onlooker.gallery.results import CSV_COLUMNS
from tests.unit.gallery.makers import new_gallery, vectors_gallery

PAGE = (Path(__file__).parents[3] / "docs" / "gallery.md").read_text(encoding="utf-8")


def test_tables_and_columns(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "people.db") as gallery, gallery.reading() as connection:
        tables = {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if row[1] != "only_row"]
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
    section = PAGE.split("## Tables")[1].split("##")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", section, re.MULTILINE)
    described = {name: re.findall(r"`(\w+)`", columns) for name, columns in rows}
    assert described == tables
    assert f"Tables, format {len(schema.STEPS)}" in PAGE
    assert f"0x{schema.APPLICATION_ID:08X}" in PAGE


def test_the_columns_of_the_csv() -> None:
    section = PAGE.split("### CSV")[1].split("###")[0]
    assert [word for word in re.findall(r"`(\w+)`", section) if word in CSV_COLUMNS] == list(CSV_COLUMNS)


def test_the_reading_lines_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors_gallery(tmp_path / "people.db", list(np.eye(12, 16))).close()
    np.savez("queries.npz", vectors=np.eye(12, 16, dtype=np.float32)[4:5])
    one, whole = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    space = {"numpy": np, "value": np.eye(3)[1].astype("<f2").tobytes()}
    exec(one, space)
    assert np.asarray(space["vector"]).tolist() == [0, 1, 0]
    space = {}
    exec(whole, space)
    space["connection"].close()  # type: ignore[attr-defined]
    assert capsys.readouterr().out.splitlines()[0] == "5 1.0"
