"""Paraphrases: read with the line of every error, paired with their own texts, ranked as the evaluation ranks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.datasets.manifest import Manifest
from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.encoding import encode
from onlooker.evaluation.paraphrases import (
    Paraphrase,
    Robustness,
    _recall,
    load,
    measure,
    steps,
    to_markdown,
    to_text,
)
from onlooker.runtime.fake import FakeEncoder
from tests.unit.evaluation.painted import OUTFITS, painted

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "paraphrases.jsonl"
GOOD = {"id": "0_0", "kind": "keywords", "text": "red jacket blue trousers", "of": "caption"}


def _write(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def _items(manifest: Manifest, *, wrong: Sequence[int] = ()) -> list[Paraphrase]:
    """Key words of every outfit; those numbered in ``wrong`` tell of the next outfit instead."""
    items = []
    for number, record in enumerate(manifest.records):
        told = OUTFITS[(number + (number in wrong)) % len(OUTFITS)]
        items.append(Paraphrase(id=record.id, kind="keywords", text=f"{told[0]} coat {told[1]} shorts", of="caption"))
    return items


def _measure(manifest: Manifest, items: Sequence[Paraphrase], bootstrap: int = 50) -> Robustness:
    encoder = FakeEncoder()
    encoded = encode(encoder, manifest)
    return measure(encoder, encoded, items, protocol="image", source="p.jsonl", bootstrap=bootstrap)


def test_same_meaning_loses_nothing(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    result = _measure(manifest, _items(manifest))
    assert [kind.kind for kind in result.kinds] == ["keywords", "all"]
    recall = result.kinds[0].recall[1]
    assert (recall.original, recall.paraphrased, recall.difference) == (1.0, 1.0, 0.0)
    assert (result.kinds[0].texts, result.gallery) == (5, 5)


def test_what_a_wording_loses_is_counted_and_paired(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    result = _measure(manifest, _items(manifest, wrong=[1, 3]), bootstrap=200)
    recall = result.kinds[0].recall[1]
    assert recall.paraphrased == pytest.approx(0.6)
    assert recall.difference == pytest.approx(-0.4)
    assert recall.interval is not None
    assert -1 <= recall.interval.low < -0.4 < recall.interval.high <= 0
    # Among five pictures the right one is always among the first five.
    assert result.kinds[0].recall[5].difference == 0


def test_kinds_are_apart_and_all_is_their_mean(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    right, wrong = _items(manifest), _items(manifest, wrong=range(5))
    items = [*right, *(item.model_copy(update={"kind": "wrong"}) for item in wrong)]
    found = {result.kind: result.recall[1].paraphrased for result in _measure(manifest, items).kinds}
    assert found == {"keywords": 1.0, "wrong": 0.0, "all": 0.5}


def test_the_original_is_the_named_sort_of_text(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    first = manifest.records[0].model_copy(update={"phrases": ["green coat black shorts"]})
    manifest = replace(manifest, records=[first, *manifest.records[1:]])
    item = _items(manifest)[0]
    recalls = {}
    for of in ("caption", "phrase"):
        recalls[of] = _measure(manifest, [item.model_copy(update={"of": of})]).kinds[0].recall[1]
    assert (recalls["caption"].original, recalls["phrase"].original) == (1.0, 0.0)
    # One picture alone has no interval.
    assert recalls["caption"].interval is None


def test_a_lost_picture_leaves_its_paraphrases_out(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    manifest.path(manifest.records[2]).unlink()
    result = _measure(manifest, _items(manifest)).kinds[-1]
    assert (result.texts, result.without_positive, result.recall[1].paraphrased) == (4, 1, 1.0)
    with pytest.raises(DataError, match=r"none of the 1 paraphrases of p\.jsonl"):
        _measure(manifest, _items(manifest)[2:3])


def test_person_protocol_takes_every_picture_of_the_person(tmp_path: Path) -> None:
    manifest = painted(tmp_path, persons=True)
    items = [
        Paraphrase(id=record.id, kind="k", text=record.captions[1], of="caption") for record in manifest.records[:4]
    ]
    encoder = FakeEncoder()
    result = measure(encoder, encode(encoder, manifest), items, protocol="person", source="p.jsonl", bootstrap=10)
    assert result.kinds[0].recall[1].paraphrased == 1.0
    assert "persons" in to_text(result)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=2, max_size=12),
    st.integers(0, 1000),
)
def test_the_interval_is_that_of_drawing_whole_clusters(pairs: list[tuple[bool, bool, int]], seed: int) -> None:
    old = np.array([[before] * 3 for before, _, _ in pairs], dtype=float)
    new = np.array([[after] * 3 for _, after, _ in pairs], dtype=float)
    clusters = np.array([cluster for _, _, cluster in pairs])
    recall = _recall(old, new, clusters, 40, seed)[1]
    members = np.unique(clusters)
    if len(members) < 2:
        assert recall.interval is None
        return
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=40)
    means = []
    for draw in drawn:
        weights = np.array([draw[np.searchsorted(members, cluster)] for cluster in clusters])
        means.append(np.average((new - old)[:, 0], weights=weights))
    assert recall.interval is not None
    assert (recall.interval.low, recall.interval.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_reports_say_the_same(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    result = _measure(manifest, _items(manifest, wrong=[0]))
    paths = result.save(tmp_path / "out")
    assert [path.name for path in paths] == ["paraphrases.json", "paraphrases.md"]
    values = json.loads(paths[0].read_text(encoding="utf-8"))
    assert values == result.to_dict()
    assert values["kinds"]["keywords"]["r1"]["difference"] == pytest.approx(-0.2)
    assert values["bootstrap"]["drawn"] == "pictures"
    page = paths[1].read_text(encoding="utf-8")
    assert page == to_markdown(result)
    assert "| keywords | 5 | R@1 | 100.0 % | 80.0 % | -20.0 [" in page
    assert "keywords" in to_text(result)


def test_without_draws_there_are_no_intervals(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    result = _measure(manifest, _items(manifest), bootstrap=0)
    assert result.to_dict()["bootstrap"] is None
    assert result.kinds[0].recall[1].interval is None
    assert "[" not in to_text(result)
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        _measure(manifest, _items(manifest), bootstrap=1)


def test_the_texts_are_encoded_once_each(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    items = [*_items(manifest), *(item.model_copy(update={"kind": "again"}) for item in _items(manifest))]
    done: list[float] = []
    encoder = FakeEncoder()
    measure(encoder, encode(encoder, manifest), items, protocol="image", source="p", bootstrap=0, advance=done.append)
    assert sum(done) == steps(items, manifest) == 5 + 10


def test_a_file_is_read_in_order_without_its_blank_lines(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    other = {**GOOD, "kind": "typos", "text": "  rde top ", "of": "phrase"}
    items = load(_write(tmp_path / "p.jsonl", [GOOD, "", other]), manifest)
    assert [(item.kind, item.text, item.of) for item in items] == [
        ("keywords", "red jacket blue trousers", "caption"),
        ("typos", "rde top", "phrase"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({**GOOD, "id": "nobody"}, "line 2: none of the 5 records measured here has the id 'nobody'"),
        ("{", "line 2: no valid JSON"),
        ("[1]", "line 2: a JSON object is wanted, got list"),
        ({**GOOD, "text": " "}, "line 2: key 'text'"),
        ({**GOOD, "of": "query"}, "line 2: key 'of'"),
        ({**GOOD, "note": "x"}, "line 2: key 'note'"),
        ({key: GOOD[key] for key in ("id", "text", "of")}, "line 2: key 'kind'"),
        ({**GOOD, "kind": "all"}, 'line 2: the kind "all" is the row over every kind'),
        ({**GOOD}, "line 2: the same as line 1"),
        ({**GOOD, "id": "4_0", "of": "phrase"}, "line 2: the record '4_0' has no phrase"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: object, message: str) -> None:
    manifest = painted(tmp_path)
    records = [*manifest.records[:-1], manifest.records[-1].model_copy(update={"phrases": []})]
    path = _write(tmp_path / "p.jsonl", [GOOD, line])
    with pytest.raises(DataError) as error:
        load(path, replace(manifest, records=records))
    assert f"{path}, {message}" in str(error.value)


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    with pytest.raises(DataError, match="cannot read the paraphrases"):
        load(tmp_path / "gone.jsonl", manifest)
    with pytest.raises(DataError, match="holds no paraphrase"):
        load(_write(tmp_path / "empty.jsonl", ["", " "]), manifest)
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        load(tmp_path / "bytes.jsonl", manifest)


def test_the_shipped_set_has_a_hundred_pictures_in_five_kinds() -> None:
    items = [Paraphrase.model_validate_json(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]
    assert len({(item.id, item.kind) for item in items}) == len(items) == 500
    assert len({item.text for item in items}) == 500
    by_kind = {kind: {item.id for item in items if item.kind == kind} for kind in {item.kind for item in items}}
    assert set(by_kind) == {"american", "typos", "keywords", "long sentence", "everyday words"}
    assert all(ids == by_kind["typos"] and len(ids) == 100 for ids in by_kind.values())
