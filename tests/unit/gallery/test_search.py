from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.errors import QueryError
from onlooker.gallery.filters import Filter
from onlooker.gallery.records import from_microseconds
from onlooker.gallery.scan import VectorScan
from onlooker.gallery.search import is_nobody, search
from onlooker.gallery.store import Gallery
from onlooker.runtime.calibration import Nobody
from onlooker.runtime.fake import FakeEncoder
from tests.unit.gallery.makers import new_gallery, people_gallery, sighting, update


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return people_gallery(tmp_path / "people.db")


def vectors_of(*texts: str) -> NDArray[np.float32]:
    return FakeEncoder().encode_texts(texts)


def test_the_person_described_comes_first(people: Path) -> None:
    with Gallery.open(people, read_only=True) as gallery:
        red, green = search(gallery, vectors_of("red jacket, blue jeans", "green coat and blue trousers"), 2)
    assert [match.rank for match in red] == [1, 2]
    assert (red[0].sighting.id, green[0].sighting.id) == (1, 3)
    assert red[0].similarity > red[1].similarity
    assert red[0].confidence is None
    assert red[0].sighting.source == "/photos/0.jpg"


def test_top_is_the_most_not_the_least(people: Path) -> None:
    with Gallery.open(people, read_only=True) as gallery:
        (matches,) = search(gallery, vectors_of("red jacket"), 100)
    assert len({match.sighting.id for match in matches}) == len(matches) == 4


@pytest.mark.parametrize("resident", [False, True])
def test_filters_narrow_what_is_searched(people: Path, resident: bool) -> None:
    with Gallery.open(people, read_only=True) as gallery:
        scan = VectorScan.load(gallery) if resident else None
        (matches,) = search(gallery, vectors_of("red jacket"), 10, Filter(cameras=("car park",)), scan=scan)
        assert {match.sighting.camera for match in matches} == {"car park"}
        assert len(matches) == 2
        late = Filter(since=datetime(2030, 1, 1, tzinfo=timezone.utc))
        assert search(gallery, vectors_of("red jacket", "a hat"), 10, late, scan=scan) == [[], []]
        with pytest.raises(QueryError, match="it has car park, entrance"):
            search(gallery, vectors_of("red jacket"), 10, Filter(cameras=("roof",)), scan=scan)


def test_an_empty_gallery_cannot_be_searched(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "people.db") as gallery, pytest.raises(QueryError, match="holds no sightings; fill it"):
        search(gallery, np.ones((1, 8), np.float32))


def test_views_of_one_sighting_are_one_match(tmp_path: Path) -> None:
    source = update()
    with new_gallery(tmp_path / "people.db") as gallery:
        gallery.commit(source, [sighting(source, np.eye(3, 8)), sighting(source, np.ones(8))])
        (matches,) = search(gallery, np.eye(1, 8, dtype=np.float32), 5)
    assert [(match.sighting.id, round(match.similarity, 3)) for match in matches] == [(1, 1.0), (2, 0.354)]


class Recorder:
    """A calibration that notes what it is given."""

    def __init__(self, verdict: bool = True) -> None:
        self.seen: list[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32], int]] = []
        self.verdict = verdict

    def judge(
        self,
        query: NDArray[np.float32],
        similarities: NDArray[np.float64],
        vectors: NDArray[np.float32],
        searched: int,
    ) -> tuple[NDArray[np.float64], Nobody]:
        self.seen.append((query, similarities, vectors, searched))
        return similarities / 2, Nobody(0.8, 0.7, verdict=self.verdict)


def test_nobody_when_there_is_nothing_or_nothing_likely(people: Path) -> None:
    with Gallery.open(people, read_only=True) as gallery:
        (unsure,) = search(gallery, vectors_of("red jacket"), 3, calibration=Recorder())
        (sure,) = search(gallery, vectors_of("red jacket"), 3, calibration=Recorder(verdict=False))
        (unknown,) = search(gallery, vectors_of("red jacket"), 3)
        late = Filter(since=datetime(2030, 1, 1, tzinfo=timezone.utc))
        (nothing,) = search(gallery, vectors_of("red jacket"), 3, late, calibration=Recorder(verdict=False))
    assert is_nobody([])
    assert is_nobody(nothing)
    assert is_nobody(unsure)
    assert [match.confidence for match in unsure] == [match.similarity / 2 for match in unsure]
    assert unsure.nobody == unsure.first(1).nobody == Nobody(0.8, 0.7, verdict=True)
    assert unsure.first(1) == unsure[:1]
    assert not is_nobody(sure)
    assert not is_nobody(unknown)
    assert not is_nobody(list(unknown))
    assert unknown.nobody == Nobody(None, None, verdict=False)


@pytest.mark.parametrize("resident", [False, True])
def test_what_a_calibration_is_given(people: Path, resident: bool) -> None:
    """More matches than are shown, with their vectors, and how many sightings the filter let through."""
    with Gallery.open(people, read_only=True) as gallery:
        scan = VectorScan.load(gallery) if resident else None
        recorder = Recorder()
        queries = vectors_of("red jacket", "green coat")
        answers = search(gallery, queries, 1, scan=scan, calibration=recorder)
        search(gallery, queries[:1], 1, Filter(cameras=("car park",)), scan=scan, calibration=recorder)
    assert [len(matches) for matches in answers] == [1, 1]
    assert [searched for *_, searched in recorder.seen] == [4, 4, 2]
    for query, similarities, vectors, _ in recorder.seen:
        np.testing.assert_allclose(vectors @ query, similarities, atol=1e-5)
    assert [len(similarities) for _, similarities, _, _ in recorder.seen] == [4, 4, 2]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cameras=st.sets(st.sampled_from(["a", "b", "c"])),
    since=st.none() | st.integers(0, 60),
    until=st.none() | st.integers(60, 120),
)
def test_equal_to_a_slow_filter_and_sort(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cameras: set[str], since: int | None, until: int | None
) -> None:
    random = np.random.default_rng(seed)
    rows = []
    with new_gallery(tmp_path_factory.mktemp("search") / "people.db") as gallery:
        for number, camera in enumerate("abc"):
            source = update(number, camera)
            seen = []
            for _ in range(random.integers(1, 15)):
                second = None if random.random() < 0.2 else int(random.integers(0, 120))
                vector = random.integers(-1, 2, 8) + 0.25
                time = None if second is None else from_microseconds(second * 1_000_000)
                seen.append(sighting(source, vector, time=time))
                stored = (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float64)
                rows.append((camera, second, stored))
            gallery.commit(source, seen)
        query = random.normal(size=8).astype(np.float32)
        kept = Filter(
            cameras=tuple(cameras),
            since=None if since is None else from_microseconds(since * 1_000_000),
            until=None if until is None else from_microseconds(until * 1_000_000),
        )
        wanted = [
            (-float((vector * query.astype(np.float64)).sum()), number)
            for number, (camera, second, vector) in enumerate(rows, start=1)
            if (not cameras or camera in cameras)
            and (since is None or (second is not None and second >= since))
            and (until is None or (second is not None and second <= until))
        ]
        for scan in (None, VectorScan.load(gallery, faiss_rows=1), VectorScan.load(gallery, faiss_rows=1 << 60)):
            (matches,) = search(gallery, query[None], 7, kept, scan=scan)
            assert [(-match.similarity, match.sighting.id) for match in matches] == sorted(wanted)[:7]
