from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.cli import main
from onlooker.datasets.manifest import Manifest, Record
from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.metrics import summarise
from onlooker.evaluation.reidentification import UNKNOWN, Side, measure, score, to_text
from onlooker.runtime.fake import FakeEncoder
from tests.unit.gallery.makers import jpeg, person

STRANGER = -1


def side(similarities: list[float], people: list[int], cameras: list[int], first: int = 0) -> Side:
    """Vectors in the plane, each with the wanted cosine to (1, 0)."""
    vectors = np.array([(cosine, (1 - cosine**2) ** 0.5) for cosine in similarities], np.float32)
    return Side(vectors, np.array(people), np.array(cameras), np.arange(first, first + len(people)))


def ask(person_id: int = 1, camera: int = 1) -> Side:
    return side([1.0], [person_id], [camera], 1000)


def test_the_same_person_from_the_same_camera_does_not_count() -> None:
    gallery = side([0.95, 0.9, 0.8, 0.7], [1, 2, 1, 1], [1, 1, 2, 3])
    scores = score(ask(), gallery)
    # Left are 2 (wrong, 0.9), 1 (0.8) and 1 (0.7): ranks 2 and 3.
    assert scores.first_rank.tolist() == [2]
    assert scores.positives.tolist() == [2]
    assert scores.average_precision[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.inverse_penalty[0] == pytest.approx(2 / 3)


def test_another_person_from_the_same_camera_counts_and_so_does_a_stranger() -> None:
    gallery = side([0.9, 0.8, 0.7], [2, STRANGER, 1], [1, 5, 2])
    assert score(ask(), gallery).first_rank.tolist() == [3]


def test_a_person_seen_by_one_camera_alone_has_no_right_picture() -> None:
    gallery = side([0.9, 0.8], [1, 2], [1, 2])
    scores = score(ask(), gallery)
    assert scores.positives.tolist() == [0]
    with pytest.raises(DataError, match="right item"):
        summarise(scores)


def test_an_unknown_camera_is_no_camera_and_nothing_finds_itself() -> None:
    query = ask(camera=UNKNOWN)
    gallery = replace(side([1.0, 0.9, 0.5], [1, 2, 1], [UNKNOWN, 1, UNKNOWN]), records=np.array([1000, 1, 2]))
    scores = score(query, gallery)
    assert scores.positives.tolist() == [1]
    assert scores.first_rank.tolist() == [2]


def slow(queries: Side, gallery: Side) -> tuple[list[float], list[float], list[float]]:
    """The protocol word by word: R@1, AP and INP of each query that has a right picture."""
    first, precision, penalty = [], [], []
    for query in range(len(queries.records)):
        ranked = []
        for item in range(len(gallery.records)):
            own = gallery.records[item] == queries.records[query]
            same = gallery.people[item] == queries.people[query]
            near = gallery.cameras[item] == queries.cameras[query] != UNKNOWN
            if not own and not (same and near):
                ranked.append((-float(gallery.vectors[item] @ queries.vectors[query]), bool(same)))
        places = [place for place, (_, right) in enumerate(sorted(ranked), start=1) if right]
        if places:
            first.append(float(places[0] == 1))
            precision.append(float(np.mean([number / place for number, place in enumerate(places, start=1)])))
            penalty.append(len(places) / places[-1])
    return first, precision, penalty


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_against_the_protocol_word_by_word(seed: int) -> None:
    random = np.random.default_rng(seed)

    def some(count: int, first: int, strangers: int) -> Side:
        vectors = random.normal(size=(count, 5)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Side(
            vectors,
            random.integers(strangers, 4, count),
            random.integers(UNKNOWN, 3, count),
            np.arange(first, first + count),
        )

    queries, gallery = some(6, 0, 0), some(25, 4, STRANGER)
    first, precision, penalty = slow(queries, gallery)
    metrics = summarise(score(queries, gallery))
    assert metrics.queries - metrics.without_positive == len(first)
    assert metrics.r1 == pytest.approx(np.mean(first))
    assert metrics.map == pytest.approx(np.mean(precision))
    assert metrics.minp == pytest.approx(np.mean(penalty))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Two people before two cameras each, in clothes that the fake encoder knows, and a stranger."""
    people = {"1": ("red", "blue"), "2": ("green", "black"), None: ("white", "white")}
    records = []
    for person_id, camera, role in (
        ("1", "a", "query"),
        ("1", "a", "gallery"),
        ("1", "b", "gallery"),
        ("2", "b", "query"),
        ("2", "a", "gallery"),
        (None, "a", "gallery"),
    ):
        name = f"{len(records)}.jpg"
        (tmp_path / name).write_bytes(jpeg(person(*people[person_id])))
        records.append(Record(id=name, file=name, person_id=person_id, camera=camera, role=role, split="test"))
    return Manifest("market1501", tmp_path, "none", records)


def test_a_manifest_with_queries_and_a_gallery(manifest: Manifest) -> None:
    found = measure(FakeEncoder(), manifest, bootstrap=20)
    assert (found.metrics.r1, found.metrics.map, found.metrics.minp) == (1.0, 1.0, 1.0)
    assert (found.metrics.queries, found.metrics.gallery, found.people, found.cameras) == (2, 4, 2, 2)
    assert "mINP          100.0 %" in to_text(found)


def test_without_roles_every_known_person_asks(manifest: Manifest) -> None:
    records = [record.model_copy(update={"role": None}) for record in manifest.records]
    found = measure(FakeEncoder(), replace(manifest, records=records), bootstrap=0)
    assert (found.metrics.queries, found.metrics.gallery, found.metrics.without_positive) == (5, 6, 0)


def test_what_cannot_be_measured(manifest: Manifest) -> None:
    nobody = [record.model_copy(update={"person_id": None}) for record in manifest.records]
    with pytest.raises(ConfigError, match="no record of the manifest has one"):
        measure(FakeEncoder(), replace(manifest, records=nobody))
    with pytest.raises(DataError, match="the role 'gallery'"):
        measure(FakeEncoder(), replace(manifest, records=manifest.records[:1]))
    with pytest.raises(ConfigError, match="bootstrap draws"):
        measure(FakeEncoder(), manifest, bootstrap=1)
    with pytest.raises(ConfigError, match="batch size"):
        measure(FakeEncoder(), manifest, batch_size=0)


def test_the_command(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.cli.evaluate.open_model", lambda model: FakeEncoder())
    manifest.save(tmp_path / "market.jsonl")
    arguments = ["evaluate", "fake", "--data", str(tmp_path / "market.jsonl"), "--split", "test", "--reid"]
    assert main([*arguments, "--json", "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["reidentification"]["r1"] == 1.0
    assert json.loads((tmp_path / "out" / "reid.json").read_text()) == printed
    assert main([*arguments, "--twins", "--limit", "3"]) == 2
    assert "leave --twins and --limit away" in capsys.readouterr().err
