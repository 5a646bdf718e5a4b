"""Watching within this process: turns, faults, silence, days, numbers, photos, retention."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onlooker.errors import ConfigError, SourceError
from onlooker.footage.cameras import Camera, Configuration
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.keeper import Backoff, CameraKeeper
from onlooker.footage.lane_live import LiveLane
from onlooker.footage.lanes import Tools, day_key
from onlooker.footage.live import LiveFrame
from onlooker.footage.microbatch import SharedEncoder
from onlooker.footage.streams.making import make_keeper
from onlooker.footage.tracks import TrackRules
from onlooker.footage.watching import Watch, WatchOptions, limits_of, only_watch
from onlooker.footage.writer import Entry, Writer
from onlooker.gallery.forgetting import Selection, forget
from onlooker.gallery.store import Gallery
from onlooker.runtime.fake import FakeEncoder
from tests.unit.footage.live_scene import Scene, again_and_again
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, BlockDetector, Painted, scene, write_scene
from tests.unit.footage.rtsp import until

SOON = Backoff(first_s=0.05, longest_s=0.1)
OPTIONS = WatchOptions(workers=1, kept_free=0)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with new_gallery(tmp_path) as opened:
        yield opened


def new_gallery(folder: Path) -> Gallery:
    encoder = FakeEncoder()
    return Gallery.open(folder / "g.db", encoder_id=encoder.bundle_id, dimension=encoder.dimension, create=True)


def configured(folder: Path, cameras: dict[str, dict[str, Any]], **more: Any) -> Configuration:
    tables = {key: {"address": f"rtsp://{key}/", "frame_rate": 20, **camera} for key, camera in cameras.items()}
    return Configuration(gallery=folder / "g.db", cameras=tables, **more)


@contextmanager
def watching(
    configuration: Configuration,
    gallery: Gallery,
    sources: dict[str, Scene] | None = None,
    detector: Callable[[str], Detector] = lambda name: BlockDetector(),
    options: WatchOptions = OPTIONS,
    **more: Any,
) -> Iterator[Watch]:
    def keeper(camera: Camera, whole: Configuration) -> CameraKeeper:
        if sources is None or camera.name not in sources:
            return make_keeper(camera, whole)
        return CameraKeeper(sources[camera.name], backoff=SOON)

    watch = Watch(configuration, gallery, FakeEncoder(), detector, options=options, keeper=keeper, **more)
    watch.start()
    try:
        yield watch
    finally:
        if watch.snapshot().status != "stopped":
            assert watch.stop() == 0


def rows(gallery: Gallery) -> list[tuple[Any, ...]]:
    with gallery.reading() as connection:
        return connection.execute(
            "SELECT o.name, s.track, s.start_s, s.end_s FROM sighting s JOIN source o ON o.id = s.source_id "
            "ORDER BY s.id"
        ).fetchall()


class SlowDetector(BlockDetector):
    def __init__(self, slow_s: float) -> None:
        self._slow_s = slow_s

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        time.sleep(self._slow_s)
        return super().detect(rgb)


def test_more_cameras_than_the_machine_can_bear_are_looked_at_evenly(tmp_path: Path, gallery: Gallery) -> None:
    names = ["a", "b", "c", "d"]
    # Somebody stands there all the time, so that the gate lets every frame through.
    people = [Painted(0, 1000, RED, BLUE, speed_px_s=0)]
    sources = {name: Scene(name, people, fps=40) for name in names}
    with watching(
        configured(tmp_path, {name: {} for name in names}), gallery, sources, lambda name: SlowDetector(0.03)
    ) as w:
        time.sleep(3.0)
        cameras = w.snapshot().cameras
    looked = [camera.looked for camera in cameras]
    assert min(looked) >= 8
    assert max(looked) - min(looked) <= 2
    assert all(camera.dropped > camera.looked for camera in cameras)
    # The newest frame is taken: it is never older than one round over all cameras, however long that goes on.
    assert all(camera.lag_s < 1.0 for camera in cameras)


@pytest.mark.slow
def test_who_leaves_can_be_found_within_three_seconds(tmp_path: Path, gallery: Gallery) -> None:
    sources = {"door": Scene("door", again_and_again(0.9, 0.6))}
    stored = []
    with watching(configured(tmp_path, {"door": {}}), gallery, sources, on_stored=stored.append) as watch:
        assert until(lambda: len(stored) >= 1, 12)
        assert 0 < stored[0].delay_s < 3.0
        assert gallery.count() >= 1
        assert watch.snapshot().delay_s == pytest.approx(stored[0].delay_s, abs=0.001)


@pytest.mark.slow
def test_a_camera_that_goes_silent_or_comes_back_ends_its_tracks(tmp_path: Path, gallery: Gallery) -> None:
    source = Scene("door", [Painted(0, 1000, RED, BLUE, speed_px_s=1)])
    with watching(configured(tmp_path, {"door": {}}), gallery, {"door": source}) as watch:
        assert until(lambda: watch.snapshot().cameras[0].looked > 12)
        source.silent = True
        # Nobody is held back until it comes back.
        assert until(lambda: gallery.count() == 1, 5)
        source.silent = False
        looked = watch.snapshot().cameras[0].looked
        assert until(lambda: watch.snapshot().cameras[0].looked > looked + 12)
        source.trouble = SourceError("door is gone", "ended")
        # Its clock begins at 0 again: who is seen then is not taken for going back in time.
        assert until(lambda: gallery.count() == 2, 5)
        looked = watch.snapshot().cameras[0].looked
        assert until(lambda: watch.snapshot().cameras[0].looked > looked + 12)
    assert gallery.count() == 3
    assert [row[1] for row in rows(gallery)] == [1, 2, 3]
    assert all(row[2] < row[3] for row in rows(gallery))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_with_one_camera_leaves_the_others_alone(tmp_path: Path, gallery: Gallery) -> None:
    class Broken:
        def detect(self, rgb: NDArray[np.uint8]) -> Detections:
            raise IndexError("a mistake")

    sources = {name: Scene(name, again_and_again(0.9, 0.6)) for name in ("bad", "good")}
    cameras = {"bad": {"detector": "ssdlite"}, "good": {}}
    with watching(
        configured(tmp_path, cameras), gallery, sources, lambda name: Broken() if name == "ssdlite" else BlockDetector()
    ) as watch:
        assert until(lambda: watch.snapshot().cameras[0].status == "fault")
        # The worker ends with the mistake, and is begun anew.
        assert until(lambda: (watch.check(), watch.snapshot().restarts == 1)[1])
        assert until(lambda: watch.snapshot().sightings >= 1, 10)
        bad, good = watch.snapshot().cameras
        assert "IndexError" in (bad.last_error or "")
        assert good.status == "running"


@pytest.mark.parametrize(
    ("order", "undo", "kind"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "full"),
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "read-only"),
    ],
)
def test_what_cannot_be_written_is_kept_and_written_later(gallery: Gallery, order: str, undo: str, kind: str) -> None:
    stored: list[Any] = []
    entry = made_entry(gallery)
    writer = Writer(gallery, kept_free=0, on_stored=stored.append)
    writer.start()
    assert writer.put(entry)
    assert until(lambda: len(stored) == 1)
    with gallery.reading() as connection:
        connection.execute(order).fetchall()
    # More than fits into pages that are free already.
    for _ in range(12):
        writer.put(entry)
    assert until(lambda: writer.alert is not None and writer.alert.kind == kind)
    with Gallery.open(gallery.path, read_only=True) as reader:
        assert reader.count() == len(stored)
    with gallery.reading() as connection:
        connection.execute(undo).fetchall()
    assert until(lambda: len(stored) == 13)
    assert writer.alert is None
    assert writer.stop() == 0
    assert [row[1] for row in rows(gallery)] == list(range(1, 14))


def test_looking_rests_while_nothing_can_be_stored(tmp_path: Path, gallery: Gallery) -> None:
    sources = {"door": Scene("door", [Painted(0, 1000, RED, BLUE, speed_px_s=0)])}
    with watching(configured(tmp_path, {"door": {}}), gallery, sources) as watch:
        assert until(lambda: watch.snapshot().cameras[0].looked > 3)
        watch._writer._kept_free = 10**18
        assert until(lambda: watch.snapshot().status == "paused", 3)
        # One frame may have been under way.
        time.sleep(0.2)
        looked = watch.snapshot().cameras[0].looked
        time.sleep(0.4)
        paused = watch.snapshot()
        assert paused.cameras[0].looked == looked
        assert paused.alert_kind == "full"
        assert paused.cameras[0].status == "running"
        watch._writer._kept_free = 0
        assert until(lambda: watch.snapshot().cameras[0].looked > looked, 5)


def test_a_disk_without_room_pauses_before_it_is_full(tmp_path: Path, gallery: Gallery) -> None:
    writer = Writer(gallery, kept_free=10**18)
    assert not writer.look()
    assert writer.alert is not None
    assert writer.alert.kind == "full"
    writer._kept_free = 0
    assert writer.look()
    assert writer.alert is None


def test_what_cannot_be_stored_at_the_end_is_counted(tmp_path: Path, gallery: Gallery) -> None:
    lane_entry = made_entry(gallery)
    writer = Writer(gallery, kept_free=10**18)
    writer.start()
    assert writer.put(lane_entry)
    assert writer.stop(0.2) == 1
    assert not writer.put(lane_entry)
    assert gallery.count() == 0


def made_entry(gallery: Gallery, zone: Any = timezone.utc, at: datetime | None = None) -> Entry:
    """Let somebody pass a live lane and give what it hands to the writer."""
    taken: list[Entry] = []
    at = at or datetime(2026, 5, 17, 12, tzinfo=timezone.utc)
    camera = Camera(name="door", address="rtsp://door/", frame_rate=10)
    tools = Tools(gallery, FakeEncoder(), lambda entry: not taken.append(entry), TrackRules())
    keeper = CameraKeeper(Scene("door", []))
    lane = LiveLane("door", camera, BlockDetector(), tools, keeper, zone)
    for number in range(60):
        time_s = number / 10
        rgb = scene([Painted(1.0, 3.0, GREEN, BLACK)], time_s)
        lane.look(LiveFrame(rgb, at + timedelta(seconds=time_s), time_s, number))
    (entry,) = taken
    return entry


def test_another_opening_of_a_camera_begins_anew(gallery: Gallery) -> None:
    taken: list[Entry] = []
    camera = Camera(name="door", address="rtsp://door/", frame_rate=10)
    tools = Tools(gallery, FakeEncoder(), lambda entry: not taken.append(entry), TrackRules())
    lane = LiveLane("door", camera, BlockDetector(), tools, CameraKeeper(Scene("door", [])), timezone.utc)
    at = datetime(2026, 5, 17, tzinfo=timezone.utc)
    # Its clock begins at 0 with each opening; the size of the picture changes once within the last.
    for opening, size in ((0, 192), (10, 192), (20, 192), (22, 160)):
        for number in range(20):
            time_s = number / 10 + (2 if opening == 22 else 0)
            rgb = scene([Painted(0, 9, GREEN, BLACK, speed_px_s=1)], time_s)[:, :size]
            when = at + timedelta(seconds=opening + number / 10)
            lane.look(LiveFrame(rgb, when, time_s, number + (20 if opening == 22 else 0)))
    lane.finish()
    spans = [(entry.sightings[0].start_s, entry.sightings[0].end_s) for entry in taken]
    assert spans == [pytest.approx(span) for span in ((0, 1.9), (10, 11.9), (20, 21.9), (22, 23.9))]


def test_days_are_those_of_the_camera_and_times_count_within_them(gallery: Gallery) -> None:
    at = datetime(2026, 5, 17, 23, 30, tzinfo=timezone.utc)
    entry = made_entry(gallery, at=at)
    (sighting,) = entry.sightings
    assert entry.source.name == "door/2026-05-17"
    assert entry.source.key == day_key("door", "2026-05-17")
    assert sighting.start_s == pytest.approx(23.5 * 3600 + 1.0)
    assert sighting.end_s == pytest.approx(23.5 * 3600 + 3.0)
    assert sighting.time == at + timedelta(seconds=(sighting.time_s or 0) - 23.5 * 3600)
    assert len(sighting.views) >= 1
    later = made_entry(gallery, zone=timezone(timedelta(hours=2)), at=at)
    assert later.source.name == "door/2026-05-18"
    assert later.sightings[0].start_s == pytest.approx(1.5 * 3600 + 1.0)


def test_numbers_of_tracks_never_come_back(tmp_path: Path) -> None:
    def store(count: int) -> list[int]:
        with new_gallery(tmp_path) as gallery:
            stored: list[Any] = []
            writer = Writer(gallery, kept_free=0, on_stored=stored.append)
            writer.start()
            entry = made_entry(gallery)
            for _ in range(count):
                assert writer.put(entry)
            assert writer.stop() == 0
            return [each.sighting.track for each in stored]

    assert store(3) == [1, 2, 3]
    with new_gallery(tmp_path) as gallery:
        forget(gallery, Selection(sightings=(3,)))
    assert store(2) == [4, 5]
    with new_gallery(tmp_path) as gallery:
        forget(gallery, Selection(sightings=(1, 2, 4, 5)))
    assert store(1) == [6]


def test_a_recording_becomes_what_index_makes_of_it(tmp_path: Path, gallery: Gallery) -> None:
    from onlooker.footage.ingest import Ingest, IngestOptions
    from onlooker.footage.sources import find_sources

    people = [Painted(1, 5, RED, BLUE), Painted(3, 8, GREEN, BLACK, x_px=100), Painted(12, 16, BLACK, BLACK)]
    video = write_scene(tmp_path / "yard.mp4", people, 18)
    configuration = configured(tmp_path, {"yard": {"address": str(video), "frame_rate": 5}})
    with watching(configuration, gallery, detector=lambda name: SlowDetector(0.01)) as watch:
        assert until(lambda: gallery.count() == 2, 30)
        first = watch.snapshot().cameras[0]
    # Stopped in the middle, it goes on behind the first two people.
    assert first.status == "running"
    with watching(configuration, gallery) as watch:
        assert until(lambda: watch.over, 30)
        assert 0 < watch.snapshot().cameras[0].looked < 18 * 5 - 40
    found = rows(gallery)
    assert len(found) == 3
    (tmp_path / "other").mkdir()
    with new_gallery(tmp_path / "other") as other:
        Ingest(other, FakeEncoder(), BlockDetector(), IngestOptions(camera="yard", every_s=0.2)).run(
            find_sources([video])
        )
        assert rows(other) == found
    # Known by its bytes from now on.
    with watching(configuration, gallery) as watch:
        assert until(lambda: watch.over, 10)
        assert watch.snapshot().cameras[0].looked == 0
    assert rows(gallery) == found


def test_photos_of_a_folder_are_stored_once(tmp_path: Path, gallery: Gallery) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(scene([Painted(0, 1, RED, BLUE), Painted(0, 1, GREEN, BLACK, x_px=100)], 0)).save(folder / "a.png")
    configuration = configured(tmp_path, {"drop": {"address": str(folder)}})
    with watching(configuration, gallery) as watch:
        assert until(lambda: gallery.count() == 2)
        Image.fromarray(scene([Painted(0, 1, BLUE, RED)], 0)).save(folder / "b.png")
        assert until(lambda: gallery.count() == 3)
        assert until(lambda: (tmp_path / "g.db.drop.seen").read_text().count("\n") == 2)
        assert watch.snapshot().cameras[0].silent_s is None
    with watching(configuration, gallery) as watch:
        time.sleep(0.6)
        assert watch.snapshot().cameras[0].looked == 0
    assert [Path(row[0]).name for row in rows(gallery)] == ["a.png", "a.png", "b.png"]


def test_people_outside_the_region_do_not_count(tmp_path: Path, gallery: Gallery) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(scene([Painted(0, 1, RED, BLUE), Painted(0, 1, GREEN, BLACK, x_px=140)], 0)).save(folder / "a.png")
    left = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
    with watching(configured(tmp_path, {"drop": {"address": str(folder), "region": left}}), gallery):
        assert until(lambda: gallery.count() == 1)
    (found,) = gallery.sightings([1])
    assert found.box[0] < 96


def test_retention_is_enforced_while_watching(tmp_path: Path, gallery: Gallery) -> None:
    sources = {"door": Scene("door", again_and_again(0.9, 0.5))}
    configuration = configured(tmp_path, {"door": {"retention": {"days": 1e-5}}})
    options = WatchOptions(workers=1, kept_free=0, retention_s=0.3)
    with watching(configuration, gallery, sources, options=options) as watch:
        assert until(lambda: watch.snapshot().expired >= 1, 15)
        assert watch.snapshot().last_error is None


def test_limits_come_from_the_configuration(tmp_path: Path) -> None:
    configuration = configured(
        tmp_path,
        {"a": {}, "b": {"retention": {"days": 2, "gigabytes": 3}}, "c": {"enabled": False}},
        retention={"days": float("inf")},
    )
    limits = limits_of(configuration)
    assert (limits["a"].days, limits["a"].gigabytes) == (None, None)
    assert (limits["b"].days, limits["b"].gigabytes) == (2, 3)
    assert "c" in limits


def test_a_gallery_is_watched_into_once_only(tmp_path: Path) -> None:
    with (
        only_watch(tmp_path / "g.db"),
        pytest.raises(ConfigError, match="another onlooker watch"),
        only_watch(tmp_path / "g.db"),
    ):
        pass
    with only_watch(tmp_path / "g.db"):
        pass


def test_nothing_to_watch_is_said(tmp_path: Path, gallery: Gallery) -> None:
    with pytest.raises(ConfigError, match="no camera"):
        Watch(configured(tmp_path, {"a": {"enabled": False}}), gallery, FakeEncoder(), lambda name: BlockDetector())


class CountingEncoder(FakeEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.gate = threading.Event()

    def encode_images(self, pictures: Any, batch_size: int = 32) -> NDArray[np.float32]:
        self.sizes.append(len(pictures))
        self.gate.wait(5)
        return super().encode_images(pictures, batch_size)


def test_what_is_asked_at_the_same_time_is_encoded_together() -> None:
    encoder = CountingEncoder()
    shared = SharedEncoder(encoder)
    pictures = [np.full((20, 10, 3), 10 * number, np.uint8) for number in range(6)]
    answers: dict[int, NDArray[np.float32]] = {}
    threads = [
        threading.Thread(target=lambda n=number: answers.update({n: shared.encode_images(pictures[n : n + 1])}))
        for number in range(6)
    ]
    threads[0].start()
    assert until(lambda: len(encoder.sizes) == 1)
    for thread in threads[1:]:
        thread.start()
    assert until(lambda: len(shared._waiting) == 5)
    encoder.gate.set()
    for thread in threads:
        thread.join()
    assert encoder.sizes == [1, 5]
    expected = FakeEncoder().encode_images(pictures)
    for number in range(6):
        np.testing.assert_array_equal(answers[number][0], expected[number])
