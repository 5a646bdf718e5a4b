from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker import __version__
from onlooker.errors import GalleryError, QueryError
from onlooker.gallery.records import Sighting, SightingView
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import DIMENSION, ENCODER_ID, key, new_gallery, sighting, track, update


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def test_a_new_gallery_knows_what_it_was_made_with(path: Path) -> None:
    before = datetime.now(timezone.utc)
    with new_gallery(path) as gallery:
        info = gallery.info
    assert (info.encoder_id, info.bundle_name, info.dimension) == (ENCODER_ID, "tiny", DIMENSION)
    assert info.onlooker_version == __version__
    assert before <= info.created <= datetime.now(timezone.utc)


def test_the_folder_is_made_with_the_file(tmp_path: Path) -> None:
    with new_gallery(tmp_path / "a" / "b" / "people.db") as gallery:
        assert gallery.count() == 0


def test_a_sighting_comes_back_as_it_was(path: Path) -> None:
    source = update(name="video/2.mp4")
    time = datetime(2026, 5, 17, 8, 30, 1, 123_457, timezone.utc)
    seen = sighting(
        source, time=time, time_s=1001 / 30000, end_s=2.5, start_s=0.0, box=(-3, 4, 5, 6), crop=b"\xff\0x", track=7
    )
    with new_gallery(path) as gallery:
        (number,) = gallery.commit(source, [seen])
        stored = gallery.sighting(number)
        assert gallery.crop(number) == b"\xff\0x"
    for field in ("camera", "source", "time", "time_s", "start_s", "end_s", "box", "score", "track"):
        assert getattr(stored, field) == getattr(seen, field), field
    assert stored.id == number


def test_time_is_kept_as_whole_microseconds_and_seconds_as_real(path: Path) -> None:
    source = update()
    with new_gallery(path) as gallery:
        gallery.commit(source, [track(source, 1.0, 2.0, time=datetime(1970, 1, 1, 0, 0, 1, 5, timezone.utc))])
    with sqlite3.connect(path) as connection:
        row = connection.execute("SELECT time_us, typeof(time_us), time_s, typeof(time_s) FROM sighting").fetchone()
    connection.close()
    assert row == (1_000_005, "integer", 1.0, "real")


def test_the_file_is_guarded_as_decided(path: Path) -> None:
    with new_gallery(path) as gallery, gallery.reading() as connection:
        values = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        ]
    assert values == ["wal", 2, 1, 1]


def test_the_same_file_twice_adds_nothing_whatever_its_name(path: Path) -> None:
    first, again = update(1, name="a.jpg"), update(1, name="copy of a.jpg")
    with new_gallery(path) as gallery:
        assert gallery.commit(first, [sighting(first)]) == [1]
        assert gallery.commit(again, [sighting(again), sighting(again)]) == []
        assert gallery.count() == 1
        state = gallery.source_state(key(1))
    assert state is not None
    assert (state.name, state.complete, state.sightings) == ("a.jpg", True, 1)


def test_the_same_file_from_another_camera_is_another_source(path: Path) -> None:
    with new_gallery(path) as gallery:
        for camera in ("door", "yard"):
            source = update(1, camera)
            gallery.commit(source, [sighting(source)])
        assert [(camera.name, camera.sightings) for camera in gallery.cameras()] == [("door", 1), ("yard", 1)]


def test_a_source_without_people_is_remembered(path: Path) -> None:
    with new_gallery(path) as gallery:
        assert gallery.source_state(key(5)) is None
        gallery.commit(update(5), [])
        state = gallery.source_state(key(5))
        assert state is not None
        assert (state.complete, state.sightings) == (True, 0)
        (camera,) = gallery.cameras()
        assert (camera.sources, camera.sightings, camera.first, camera.last) == (1, 0, None, None)


def test_cameras_tell_the_span_of_known_times(path: Path) -> None:
    source = update()
    times = [datetime(2026, 5, day, tzinfo=timezone.utc) for day in (3, 1, 2)]
    with new_gallery(path) as gallery:
        gallery.commit(source, [sighting(source, time=time) for time in [*times, None]])
        (camera,) = gallery.cameras()
    assert (camera.sightings, camera.first, camera.last) == (4, times[1], times[0])


def test_a_bad_sighting_keeps_the_whole_commit_out(path: Path) -> None:
    source = update()
    with new_gallery(path) as gallery:
        for bad in (sighting(source, np.zeros(DIMENSION)), sighting(update(camera="yard")), sighting(update(2))):
            with pytest.raises(GalleryError):
                gallery.commit(source, [sighting(source), bad])
        naive = sighting(source, time=datetime(2026, 5, 17))
        with pytest.raises(GalleryError, match="no time zone"):
            gallery.commit(source, [sighting(source), naive])
        assert gallery.count() == 0
        assert gallery.source_state(key()) is None
        assert gallery.cameras() == []
        assert gallery.commit(source, [sighting(source)])


def test_unknown_sightings_are_query_errors(path: Path) -> None:
    with new_gallery(path) as gallery:
        with pytest.raises(QueryError, match="no sighting 9"):
            gallery.sighting(9)
        with pytest.raises(QueryError, match="no sighting 9"):
            gallery.crop(9)


class TestRewind:
    def test_tracks_across_the_point_are_dropped_and_it_moves_to_their_start(self, path: Path) -> None:
        source = update(complete=False, resume_s=10.0)
        tracks = [track(source, 0.0, 2.0), track(source, 3.0, 7.0), track(source, 6.0, 9.0), track(source, 8.5, 10.5)]
        with new_gallery(path) as gallery:
            gallery.commit(source, tracks)
            # 10.5 >= 10 moves to 8.5; 9.0 >= 8.5 to 6.0; 7.0 >= 6.0 to 3.0; 2.0 < 3.0 stays.
            assert gallery.rewind(key()) == 3.0
            assert gallery.count() == 1
            state = gallery.source_state(key())
            assert state is not None
            assert (state.resume_s, state.complete) == (3.0, False)
            assert gallery.rewind(key()) == 3.0

    def test_the_start_of_a_track_counts_not_the_time_of_its_crop(self, path: Path) -> None:
        source = update(complete=False, resume_s=10.0)
        with new_gallery(path) as gallery:
            gallery.commit(source, [track(source, 9.0, 11.0, start_s=4.0), track(source, 1.0, 4.5)])
            assert gallery.rewind(key()) == 1.0
            assert gallery.count() == 0

    def test_other_sources_are_left_alone(self, path: Path) -> None:
        source, other = update(complete=False, resume_s=5.0), update(2)
        with new_gallery(path) as gallery:
            gallery.commit(other, [track(other, 0.0, 20.0)])
            gallery.commit(source, [track(source, 4.0, 6.0)])
            assert gallery.rewind(key()) == 4.0
            assert gallery.count() == 1

    def test_an_unknown_source_starts_at_the_beginning(self, path: Path) -> None:
        with new_gallery(path) as gallery:
            assert gallery.rewind(key()) == 0.0

    def test_a_complete_source_cannot_be_rewound(self, path: Path) -> None:
        with new_gallery(path) as gallery:
            gallery.commit(update(), [])
            with pytest.raises(GalleryError, match=r"0\.mp4"):
                gallery.rewind(key())

    @settings(max_examples=60, deadline=None)
    @given(
        spans=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=12),
        resume=st.integers(0, 40),
    )
    def test_no_stored_track_reaches_the_point(
        self, tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], resume: int
    ) -> None:
        source = update(complete=False, resume_s=float(resume))
        with new_gallery(tmp_path_factory.mktemp("rewind") / "people.db") as gallery:
            ids = gallery.commit(source, [track(source, float(start), float(start + span)) for start, span in spans])
            point = gallery.rewind(key())
            kept = {number for number in ids if _there(gallery, number)}
        ends = {number: start + span for number, (start, span) in zip(ids, spans, strict=True)}
        starts = {number: start for number, (start, _) in zip(ids, spans, strict=True)}
        assert kept == {number for number in ids if ends[number] < point}
        dropped = [number for number in ids if number not in kept]
        # The largest such point: resume itself, or the start of a dropped track.
        assert point == min([resume, *(starts[number] for number in dropped)])


def _there(gallery: Gallery, number: int) -> bool:
    try:
        gallery.sighting(number)
    except QueryError:
        return False
    return True


class TestChanges:
    def test_nothing_is_new_after_reading_all(self, path: Path) -> None:
        source = update()
        with new_gallery(path) as gallery:
            gallery.commit(source, [sighting(source)])
            ids, vectors, sequence = gallery.vectors()
            changes = gallery.changes_since(sequence)
        assert ids.tolist() == [1]
        assert vectors.dtype == np.float16
        assert changes.sequence == sequence
        assert (len(changes.ids), len(changes.removed)) == (0, 0)
        assert changes.vectors.shape == (0, DIMENSION)

    def test_additions_and_removals_since_a_state(self, path: Path) -> None:
        with new_gallery(path) as gallery:
            first, second = update(1), update(2)
            gallery.commit(first, [sighting(first), sighting(first)])
            sequence = gallery.changes_since(0).sequence
            gallery.commit(second, [sighting(second, np.eye(DIMENSION)[3])])
            assert gallery.remove([1, 99]) == 1
            changes = gallery.changes_since(sequence)
            assert changes.ids.tolist() == [3]
            assert changes.vectors.tolist() == np.eye(DIMENSION)[3:4].tolist()
            assert changes.removed.tolist() == [1]
            assert changes.sequence > sequence
            everything = gallery.changes_since(0)
            assert everything.ids.tolist() == [2, 3]

    def test_a_deleted_id_is_never_used_again(self, path: Path) -> None:
        with new_gallery(path) as gallery:
            first, second = update(1), update(2)
            assert gallery.commit(first, [sighting(first)]) == [1]
            gallery.remove([1])
            assert gallery.commit(second, [sighting(second)]) == [2]

    def test_removing_nothing_is_no_change(self, path: Path) -> None:
        with new_gallery(path) as gallery:
            assert gallery.remove([]) == 0
            assert gallery.changes_since(0).sequence == 0


def test_deleted_people_leave_no_bytes_behind(path: Path) -> None:
    source = update()
    secret = b"SECRET-CROP-" * 2000
    with new_gallery(path) as gallery:
        gallery.commit(source, [sighting(source, crop=secret), sighting(source)])
        everything = [path, path.with_name("people.db-wal")]
        assert any(b"SECRET-CROP" in file.read_bytes() for file in everything)
        gallery.remove([1])
        assert not any(b"SECRET-CROP" in file.read_bytes() for file in everything if file.exists())
        with gallery.reading() as connection:
            assert connection.execute("SELECT count(*) FROM vector").fetchone()[0] == 1
            assert connection.execute("SELECT count(*) FROM crop").fetchone()[0] == 1


def test_threads_of_one_process_share_a_gallery(path: Path) -> None:
    with new_gallery(path) as gallery:

        def work(number: int) -> None:
            source = update(number)
            for _ in range(5):
                gallery.commit(update(number, complete=False, resume_s=1.0), [track(source, 0.0, 0.5)])
                gallery.vectors()
                gallery.cameras()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert gallery.count() == 20


READER = """
import sys
from pathlib import Path
from onlooker.gallery.store import Gallery
with Gallery.open(Path(sys.argv[1]), read_only=True) as gallery:
    for _ in sys.stdin:
        ids, vectors, sequence = gallery.vectors()
        print(gallery.count(), len(ids), sequence, flush=True)
"""


def test_a_reading_process_follows_a_writing_one(path: Path) -> None:
    with new_gallery(path) as gallery:
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert reader.stdin is not None
        assert reader.stdout is not None
        with reader:
            for number in range(1, 4):
                source = update(number)
                gallery.commit(source, [sighting(source)])
                reader.stdin.write("\n")
                reader.stdin.flush()
                assert reader.stdout.readline().split() == [str(number)] * 3
            reader.stdin.close()
        assert reader.returncode == 0


def test_a_reader_is_not_held_up_by_an_open_write(path: Path) -> None:
    source = update()
    with new_gallery(path) as writer, Gallery.open(path, read_only=True) as reader:
        writer.commit(source, [sighting(source)])
        with writer.writing() as connection:
            connection.execute("DELETE FROM sighting")
            assert reader.count() == 1
        assert reader.count() == 0


def test_a_reader_cannot_write(path: Path) -> None:
    new_gallery(path).close()
    source = update()
    with Gallery.open(path, read_only=True) as reader, pytest.raises(GalleryError, match="cannot be written"):
        reader.commit(source, [sighting(source)])


def test_views_of_one_track_are_one_sighting(path: Path) -> None:
    source = update()
    views: Sighting = sighting(source, np.eye(3, DIMENSION))
    with new_gallery(path) as gallery:
        assert gallery.commit(source, [views, sighting(source)]) == [1, 2]
        ids, vectors, _ = gallery.vectors()
    assert ids.tolist() == [1, 1, 1, 2]
    assert vectors.shape == (4, DIMENSION)


def looks(count: int = 3) -> tuple[SightingView, ...]:
    return tuple(
        SightingView(time_s=1.0 + number, box=(number, 2, 3, 4), crop=b"look%d" % number, vector=np.eye(8)[number] * 2)
        for number in range(count)
    )


def test_views_are_stored_with_their_sighting_and_go_with_it(path: Path) -> None:
    source = update()
    with new_gallery(path) as gallery:
        seen = track(source, 1.0, 4.0, box=(0, 2, 3, 4), crop=b"look0", views=looks())
        first, second = gallery.commit(source, [seen, track(source, 2.0, 3.0)])
        stored = gallery.views(first)
        assert [(view.time_s, view.box, view.crop) for view in stored] == [
            (1.0, (0, 2, 3, 4), b"look0"),
            (2.0, (1, 2, 3, 4), b"look1"),
            (3.0, (2, 2, 3, 4), b"look2"),
        ]
        assert [view.vector.tolist() for view in stored] == np.eye(8)[:3].tolist()
        assert gallery.views(second) == []
        assert gallery.vectors()[0].tolist() == [first, second]
        with gallery.reading() as connection:
            # The best crop is there once.
            assert connection.execute("SELECT count(*) FROM view WHERE jpeg IS NULL").fetchone() == (1,)
        gallery.remove([first])
        with gallery.reading() as connection:
            assert connection.execute("SELECT count(*) FROM view").fetchone() == (0,)
        with pytest.raises(QueryError, match="no sighting 1"):
            gallery.views(first)


def test_a_view_that_does_not_fit_stores_nothing(path: Path) -> None:
    source = update()
    bad = SightingView(time_s=1.0, box=(0, 2, 3, 4), crop=b"look0", vector=np.ones(5, np.float32))
    with new_gallery(path) as gallery:
        seen = sighting(source, time_s=1.0, box=(0, 2, 3, 4), crop=b"look0", views=(bad,))
        with pytest.raises(GalleryError, match="dimension"):
            gallery.commit(source, [seen])
        assert gallery.source_state(source.key) is None


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ((*looks(), looks()[2]), "4 views"),
        (looks()[1:], "another than its own crop"),
        ((looks()[0], SightingView(time_s=1.0, box=(0, 0, 0, 1), crop=b"x", vector=np.ones(8))), "empty box"),
        ((looks()[0], SightingView(time_s=1.0, box=(0, 0, 1, 1), crop=b"", vector=np.ones(8))), "no crop"),
        ((looks()[0], SightingView(time_s=float("nan"), box=(0, 0, 1, 1), crop=b"x", vector=np.ones(8))), "nan"),
    ],
)
def test_views_are_checked(views: tuple[SightingView, ...], words: str) -> None:
    with pytest.raises(GalleryError, match=words):
        sighting(update(), box=(0, 2, 3, 4), crop=b"look0", views=views)


def test_camera_bytes_are_those_of_its_crops_and_vectors(path: Path) -> None:
    source = update()
    with new_gallery(path) as gallery:
        ids = gallery.commit(source, [track(source, 1.0, 4.0, box=(0, 2, 3, 4), crop=b"look0", views=looks())] * 2)
        assert camera_bytes(gallery) == 2 * (16 + 3 * (5 + 16))
        gallery.remove(ids[:1])
        assert camera_bytes(gallery) == 16 + 3 * (5 + 16)


def camera_bytes(gallery: Gallery) -> int:
    with gallery.reading() as connection:
        return int(connection.execute("SELECT sum(bytes) FROM camera").fetchone()[0])


def test_resuming_does_not_look_again_where_somebody_was_deleted(path: Path) -> None:
    source = update(complete=False, resume_s=10.0)
    with new_gallery(path) as gallery:
        ids = gallery.commit(source, [track(source, 6.0, 9.0), track(source, 7.0, 11.0), track(source, 8.0, 12.0)])
        # Without a barrier, reading would go on at 6 s and find the second one again.
        gallery.remove(ids[1:2])
        assert gallery.rewind(source.key) == 11.0
        # The one who crosses the barrier stays; only what begins behind it is read again.
        assert [seen.id for seen in gallery.sightings([ids[0], ids[2]])] == [ids[0], ids[2]]
        assert gallery.rewind(source.key) == 11.0
        later = update(complete=False, resume_s=20.0)
        kept = gallery.commit(later, [track(source, 12.0, 13.0), track(source, 14.0, 21.0)])
        assert gallery.rewind(source.key) == 14.0
        assert gallery.count() == 3
        assert gallery.sighting(kept[0]).end_s == 13.0
