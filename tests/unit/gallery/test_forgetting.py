from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onlooker.errors import QueryError
from onlooker.gallery.filters import Filter
from onlooker.gallery.forgetting import Selection, finish, forget, select
from onlooker.gallery.records import Sighting, SightingView, SourceUpdate, encode_vectors
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import jpeg, new_gallery, sighting, update

WIDE = 256
NOON = datetime(2026, 5, 17, 12, tzinfo=timezone.utc)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def noise(seed: int, size: tuple[int, int] = (60, 24)) -> bytes:
    """The JPEG of a picture that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return jpeg(np.asarray(Image.fromarray(pixels)))


def person(source: SourceUpdate, seed: int, *, views: int = 3, **more: object) -> Sighting:
    """A sighting with crops and vectors that are found in the bytes of a file if they are there."""
    random = np.random.default_rng(seed)
    looks = tuple(
        SightingView(
            time_s=float(number),
            box=(1, 2, 30, 60),
            crop=noise(10 * seed + number),
            vector=random.normal(size=WIDE).astype(np.float32),
        )
        for number in range(views)
    )
    vector = random.normal(size=WIDE).astype(np.float32)
    return sighting(source, vector, box=(1, 2, 30, 60), crop=noise(10 * seed), views=looks, **more)


def traces(seen: Sighting) -> list[bytes]:
    """Pieces of a sighting's crops and vectors: of a crop beginning, middle and end behind the common header."""
    vectors = [seen.vector, *(view.vector for view in seen.views)]
    blobs = [encode_vectors(vector, WIDE, seen.source)[0] for vector in vectors]
    crops = {seen.crop, *(view.crop for view in seen.views)}
    pieces = [crop[start : start + 32] for crop in crops for start in (640, len(crop) // 2, len(crop) - 40)]
    return pieces + [blob[start : start + 32] for blob in blobs for start in (0, WIDE)]


def everything(path: Path) -> bytes:
    """All bytes of the gallery's files."""
    files = [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]
    return b"".join(file.read_bytes() for file in files if file.exists())


def fill(gallery: Gallery) -> dict[int, Sighting]:
    """Three cameras, four recordings, eight people a minute apart."""
    seen: dict[int, Sighting] = {}
    for number, (camera, name) in enumerate(
        (("entrance", "/footage/one.mp4"), ("entrance", "/footage/two.mp4"), ("yard", "/yard/one.mp4"), ("roof", "x"))
    ):
        source = update(number, camera, name=name)
        people = [
            person(source, 10 * number + one, time=NOON + timedelta(minutes=2 * number + one), track=one + 1)
            for one in range(2)
        ]
        seen |= zip(gallery.commit(source, people), people, strict=True)
    return seen


@pytest.mark.parametrize(
    ("what", "ids"),
    [
        (Selection(sightings=(3, 5)), {3, 5}),
        (Selection(kept=Filter(cameras=("entrance",))), {1, 2, 3, 4}),
        (Selection(kept=Filter(sources=("one.mp4",))), {1, 2, 5, 6}),
        (Selection(kept=Filter(sources=("one.mp4",), cameras=("yard",))), {5, 6}),
        (Selection(kept=Filter(sources=("two.mp4",)), track=2), {4}),
        (Selection(kept=Filter(since=NOON + timedelta(minutes=5))), {6, 7, 8}),
        (Selection(kept=Filter(until=NOON, cameras=("entrance",))), {1}),
        (Selection(kept=Filter(cameras=("yard",)), sightings=(1, 6)), {6}),
    ],
)
def test_what_is_forgotten_is_in_no_byte_of_the_files(path: Path, what: Selection, ids: set[int]) -> None:
    with new_gallery(path, WIDE) as gallery:
        seen = fill(gallery)
        assert all(piece in everything(path) for one in seen.values() for piece in traces(one))
        selected = select(gallery, what)
        assert set(selected.ids) == ids
        removed = forget(gallery, what)
        assert removed.erased
        assert (removed.sightings, removed.bytes) == (len(ids), selected.bytes)
        left = everything(path)
        for number, one in seen.items():
            assert [piece in left for piece in traces(one)] == [number not in ids] * len(traces(one)), number
        assert not select(gallery, Selection(sightings=tuple(ids))).ids
    left = everything(path)
    assert not any(piece in left for number in ids for piece in traces(seen[number]))


@given(st.data())
@settings(max_examples=6)
def test_nothing_is_left_whatever_came_and_went_before(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """SQLite moves rows from page to page; none of the places they once had may keep them."""
    path = tmp_path_factory.mktemp("files") / "people.db"
    gone: list[Sighting] = []
    with new_gallery(path, WIDE) as gallery:
        alive: dict[int, Sighting] = {}
        for step in range(data.draw(st.integers(2, 8))):
            source = update(step, f"camera at gate {step % 3}", name=f"/footage of {step:03}.mp4")
            views = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
            people = [person(source, 100 * step + one, views=count) for one, count in enumerate(views)]
            alive |= zip(gallery.commit(source, people), people, strict=True)
            chosen = data.draw(st.lists(st.sampled_from(sorted(alive)), unique=True)) if alive else []
            if chosen:
                forget(gallery, Selection(sightings=tuple(chosen)))
                gone += [alive.pop(number) for number in chosen]
        left = everything(path)
        assert not any(piece in left for one in gone for piece in traces(one))
        assert all(piece in left for one in alive.values() for piece in traces(one))


def test_a_whole_camera_goes_with_its_name_and_its_sources(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery:
        fill(gallery)
        assert b"entrance" in everything(path)
        what = Selection(kept=Filter(cameras=("entrance",)))
        selected = select(gallery, what)
        assert (selected.cameras, selected.dropped_cameras, selected.dropped_sources) == (("entrance",), 1, 2)
        assert selected.sources == ("/footage/one.mp4", "/footage/two.mp4")
        removed = forget(gallery, what)
        assert (removed.sources, removed.cameras) == (2, 1)
        assert b"entrance" not in everything(path)
        assert b"/footage/" not in everything(path)
        assert b"/yard/one.mp4" in everything(path)
        assert [camera.name for camera in gallery.cameras()] == ["roof", "yard"]


def test_a_whole_source_is_unknown_afterwards_and_its_camera_stays_while_it_has_others(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery:
        fill(gallery)
        forget(gallery, Selection(kept=Filter(sources=("/footage/one.mp4",))))
        assert gallery.source_state(update(0, "entrance").key) is None
        assert b"/footage/one.mp4" not in everything(path)
        assert [camera.name for camera in gallery.cameras()] == ["entrance", "roof", "yard"]
        forget(gallery, Selection(kept=Filter(sources=("x",))))
        assert b"roof" not in everything(path)


def test_a_source_of_which_only_some_are_forgotten_is_not_read_again(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery:
        fill(gallery)
        removed = forget(gallery, Selection(kept=Filter(cameras=("entrance",), since=NOON)))
        assert (removed.sightings, removed.sources) == (4, 0)
        state = gallery.source_state(update(0, "entrance").key)
        assert state is not None
        assert state.complete
        assert state.sightings == 0
        again = update(0, "entrance", name="/footage/one.mp4")
        assert gallery.commit(again, [person(again, 1)]) == []


def test_a_recording_is_not_gone_on_with_where_somebody_was_forgotten(path: Path) -> None:
    source = update(0, "door", name="door.mp4", complete=False, resume_s=10.0)
    with new_gallery(path, WIDE) as gallery:
        gallery.commit(source, [person(source, 1, time_s=6.0, end_s=9.0), person(source, 2, time_s=7.0, end_s=11.0)])
        forget(gallery, Selection(sightings=(2,)))
        assert gallery.rewind(source.key) == 11.0
        assert gallery.count() == 1


def test_forgetting_twice_is_no_error_and_forgetting_who_never_was_is(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery:
        fill(gallery)
        assert forget(gallery, Selection(sightings=(2,))).sightings == 1
        assert forget(gallery, Selection(sightings=(2,))).sightings == 0
        with pytest.raises(QueryError, match="never was a sighting 99 in this gallery"):
            forget(gallery, Selection(sightings=(1, 99)))
        with pytest.raises(QueryError, match="no camera 'door'"):
            forget(gallery, Selection(kept=Filter(cameras=("door",))))
        with pytest.raises(QueryError, match="no source"):
            select(gallery, Selection(kept=Filter(sources=("three.mp4",))))
        assert gallery.count() == 7


def test_a_selection_says_who() -> None:
    with pytest.raises(QueryError, match="who is to be forgotten"):
        Selection()
    with pytest.raises(QueryError, match="name one source"):
        Selection(track=1, kept=Filter(cameras=("door",)))


def test_a_reader_in_the_middle_of_reading_holds_up_the_erasing_and_no_more(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery:
        seen = fill(gallery)
        waited: list[bool] = []
        with Gallery.open(path, read_only=True) as reader, reader.reading() as connection:
            assert connection.execute("SELECT count(*) FROM sighting").fetchone() == (8,)
            removed = forget(gallery, Selection(sightings=(1,)), wait_s=0.0, on_wait=lambda: waited.append(True))
            assert (removed.sightings, removed.erased, waited) == (1, False, [True])
            assert any(piece in everything(path) for piece in traces(seen[1]))
            # Others may write in the meantime.
            source = update(9, "late", name="late.mp4")
            gallery.commit(source, [person(source, 77)])
        assert finish(gallery)
        assert not any(piece in everything(path) for piece in traces(seen[1]))


def test_erasing_waits_for_a_reader_who_finishes(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery, Gallery.open(path, read_only=True) as reader:
        fill(gallery)
        reads = threading.Event()

        def read() -> None:
            with reader.reading() as connection:
                connection.execute("SELECT count(*) FROM sighting").fetchone()
                reads.set()
                time.sleep(0.7)

        thread = threading.Thread(target=read)
        thread.start()
        reads.wait()
        assert forget(gallery, Selection(sightings=(1,)), wait_s=30.0).erased
        thread.join()
        assert reader.count() == 7


def test_the_file_gets_smaller(path: Path) -> None:
    with new_gallery(path, WIDE) as gallery:
        source = update(0, "door", name="a.mp4")
        gallery.commit(source, [sighting(source, np.ones(WIDE), crop=bytes([one]) * 40_000) for one in range(1, 101)])
        gallery.erase_log()
        before = path.stat().st_size
        assert before > 4_000_000
        forget(gallery, Selection(kept=Filter(cameras=("door",))))
        assert path.stat().st_size < before / 4
        with gallery.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
