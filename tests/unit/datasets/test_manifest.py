from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from onlooker.datasets.manifest import Manifest, Record
from onlooker.errors import DataError

TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=30)
NAME = st.text(alphabet="abz09_-é ", min_size=1, max_size=12)
LENGTH = st.floats(0.5, 5000, allow_nan=False)
RECORD = st.builds(
    Record,
    id=NAME,
    file=NAME.map(lambda name: f"photos/{name}.jpg"),
    captions=st.lists(TEXT, max_size=3),
    phrases=st.lists(TEXT, max_size=2),
    person_id=st.none() | NAME,
    split=st.sampled_from([None, "train", "val", "test"]),
    box=st.none() | st.tuples(LENGTH, LENGTH, LENGTH, LENGTH),
    mask=st.none() | NAME,
    garments=st.dictionaries(NAME, st.lists(NAME, max_size=2), max_size=2),
)


def a_manifest(root: Path = Path("data")) -> Manifest:
    records = [
        Record(id="a.jpg", file="photos/a.jpg", captions=["A man."], phrases=["man"], person_id="1", split="train"),
        Record(id="b.jpg", file="photos/b.jpg", captions=["A woman."], split="val", box=(1, 2, 3.5, 4)),
        Record(id="c.jpg", file="photos/c.jpg", mask="masks/c.mat", garments={"coat": ["red"], "hat": []}),
    ]
    return Manifest("street", root, "Free.", records)


@settings(max_examples=50)
@given(st.lists(RECORD, max_size=5, unique_by=lambda record: record.id))
def test_what_is_saved_is_loaded(records: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        manifest = Manifest("generic", Path("/data/set"), "Töne", records)
        manifest.save(path)
        assert Manifest.load(path) == manifest


def test_the_file_is_json_lines_with_a_header(tmp_path: Path) -> None:
    a_manifest(Path("/data")).save(tmp_path / "m.jsonl")
    lines = (tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {"format": 1, "dataset": "street", "root": "/data", "terms": "Free.", "records": 3}
    assert json.loads(lines[2])["box"] == [1.0, 2.0, 3.5, 4.0]
    assert "person_id" not in json.loads(lines[2])


def test_a_relative_root_is_kept_relative_to_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    a_manifest(Path("data")).save(Path("out/m.jsonl"))
    assert json.loads(Path("out/m.jsonl").read_text().splitlines()[0])["root"] == "../data"
    loaded = Manifest.load(Path("out/m.jsonl"))
    assert loaded.path(loaded.records[0]).resolve() == tmp_path / "data/photos/a.jpg"
    # Moving both together keeps them joined, from any working folder.
    moved = tmp_path / "moved"
    moved.mkdir()
    os.rename("out", moved / "out")
    monkeypatch.chdir("/")
    loaded = Manifest.load(moved / "out/m.jsonl")
    assert loaded.root.resolve() == moved / "data"


def test_splits() -> None:
    manifest = a_manifest()
    assert manifest.split_counts() == {"train": 1, "val": 1, None: 1}
    assert [record.id for record in manifest.split("val").records] == ["b.jpg"]
    assert len(manifest) == 3
    with pytest.raises(DataError, match=r"no split 'test'; it has train \(1\), val \(1\), none \(1\)"):
        manifest.split("test")


def test_texts_of_a_record() -> None:
    record = a_manifest().records[0]
    assert (record.texts("captions"), record.texts("phrases"), record.texts()) == (
        ["A man."],
        ["man"],
        ["A man.", "man"],
    )
    assert a_manifest().mask_path(a_manifest().records[2]) == Path("data/masks/c.mat")
    assert a_manifest().mask_path(record) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"file": "../secret.jpg"},
        {"file": "/etc/passwd"},
        {"mask": "a/../../b"},
        {"box": (0, 0, 0, 5)},
        {"box": (0, 0, 5, -1)},
        {"box": (0, 0, float("nan"), 1)},
        {"box": (0, 0, 1)},
        {"split": "dev"},
        {"id": ""},
        {"colour": "red"},
    ],
)
def test_a_record_refuses(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate({"id": "a", "file": "a.jpg", **bad})


HEADER = '{"format": 1, "dataset": "d", "root": "/d", "terms": "t", "records": 1}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: no valid JSON"),
        ("[1]\n", "line 1: a JSON object is wanted, got list"),
        ('{"id": "a", "file": "a.jpg"}\n', "line 1: no manifest header"),
        ('{"format": 2, "later": true}\n', "format 2, this version reads up to 1: update"),
        (HEADER + '{"id": "a", "file": \n', r"line 2: no valid JSON \(.* at column \d+\)"),
        (HEADER + '{"id": "a"}\n', "line 2: key 'file': Field required"),
        (HEADER + '{"id": "a", "file": "a.jpg", "box": [1, 2, 3]}\n', "line 2: key 'box"),
        (HEADER, "has 0 records but its first line promises 1"),
        (HEADER.replace("1}", "2}") + '{"id": "a", "file": "a.jpg"}\n' * 2, "the id 'a' stands twice"),
    ],
)
def test_a_broken_manifest_names_line_and_key(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        Manifest.load(path)


def test_no_manifest_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the manifest"):
        Manifest.load(tmp_path / "none.jsonl")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="not UTF-8"):
        Manifest.load(tmp_path / "picture.jpg")
