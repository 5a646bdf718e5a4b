from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onlooker.errors import ConfigError
from onlooker.footage.detections import Detections, Detector
from onlooker.footage.ingest import BATCH, Ingest, IngestOptions, IngestReport
from onlooker.footage.sources import find_sources
from onlooker.footage.tracks import TrackRules
from onlooker.gallery.records import SourceKey
from onlooker.gallery.search import search
from onlooker.gallery.store import Gallery
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.pictures import decode_picture
from tests.unit.footage.dump import dump
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, WHITE, BlockDetector, Painted, scene, write_scene

PEOPLE = [
    Painted(1.0, 4.0, RED, BLUE),
    Painted(2.0, 6.0, WHITE, BLACK, x_px=100),
    Painted(9.0, 11.0, GREEN, BLACK, x_px=60),
    Painted(14.0, 18.0, BLUE, BLUE, x_px=40),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("painted") / "yard.mp4", PEOPLE, 20)


def open_gallery(path: Path) -> Gallery:
    encoder = FakeEncoder()
    return Gallery.open(path, encoder_id=encoder.bundle_id, dimension=encoder.dimension, create=True)


def ingest(
    path: Path,
    *paths: Path,
    detector: Detector | None = BlockDetector(),  # noqa: B008 - it keeps no state
    options: IngestOptions | None = None,
    advance: Callable[[float], None] = lambda steps: None,
) -> IngestReport:
    with open_gallery(path) as gallery:
        return Ingest(gallery, FakeEncoder(), detector, options).run(find_sources(paths), advance)


def photo_of(path: Path, *people: Painted) -> Path:
    Image.fromarray(scene(people, 0.0)).save(path)
    return path


def test_the_people_of_a_video_can_be_found(tmp_path: Path, video: Path) -> None:
    start = datetime(2026, 5, 17, 8, 0, tzinfo=timezone.utc)
    report = ingest(tmp_path / "g.db", video, options=IngestOptions(camera="yard", start=start))
    assert (report.videos, report.photos, report.sightings, report.skipped, report.warnings) == (1, 0, 4, [], [])
    encoder = FakeEncoder()
    with open_gallery(tmp_path / "g.db") as gallery:
        queries = ["red shirt, blue jeans", "white shirt, black trousers", "green coat, black trousers", "blue dress"]
        for person, matches in zip(PEOPLE, search(gallery, encoder.encode_texts(queries), 1), strict=True):
            found = matches[0].sighting
            assert matches[0].similarity > 0.8
            assert (found.start_s, found.end_s) == pytest.approx((person.start_s, person.end_s))
            assert found.start_s <= found.time_s <= found.end_s
            assert found.time == start + timedelta(seconds=found.time_s)
            assert (found.camera, found.source) == ("yard", str(video))
            crop = decode_picture(gallery.crop(found.id), "crop")
            assert np.abs(crop[len(crop) // 4, crop.shape[1] // 2].astype(int) - person.upper).max() < 40
            x, _, width, height = found.box
            assert crop.shape[:2] == (height, width)
            assert person.x_px - 3 <= x <= person.x_px + 8 * 4 + 3
        tracks = [gallery.sighting(number).track for number in range(1, 5)]
        for number in range(1, 5):
            views = gallery.views(number)
            assert 1 <= len(views) <= 3
            assert (views[0].crop, views[0].box) == (gallery.crop(number), gallery.sighting(number).box)
            assert all(view.time_s is not None and np.isfinite(view.vector).all() for view in views)
    assert tracks == [1, 2, 3, 4]


def test_the_people_of_photos_are_stored_with_their_boxes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo_of(tmp_path / "in" / "b.png")
    two = [Painted(0, 0, GREEN, BLACK, x_px=20), Painted(0, 0, WHITE, WHITE, x_px=120)]
    photo_of(tmp_path / "in" / "c.png", *two)
    report = ingest(tmp_path / "g.db", tmp_path / "in")
    assert (report.photos, report.sightings) == (2, 2)
    with open_gallery(tmp_path / "g.db") as gallery:
        stored = [gallery.sighting(number) for number in (1, 2)]
    assert {sighting.source for sighting in stored} == {str(tmp_path / "in" / "c.png")}
    assert sorted(sighting.box[0] for sighting in stored) == [19, 119]
    for sighting in stored:
        assert (sighting.time_s, sighting.end_s, sighting.track, sighting.time) == (None, None, None, None)
        assert sighting.score == pytest.approx(0.9)


def test_many_photos_are_encoded_in_batches_and_all_stored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(BATCH + 5):
        photo_of(tmp_path / "in" / f"{number:03}.png", Painted(0, 0, RED, BLUE, x_px=10 + number * 3))
    steps: list[float] = []
    report = ingest(tmp_path / "g.db", tmp_path / "in", advance=steps.append)
    assert (report.photos, report.sightings, sum(steps)) == (BATCH + 5, BATCH + 5, BATCH + 5)


def test_the_same_file_again_adds_nothing_whatever_its_name(tmp_path: Path, video: Path) -> None:
    (tmp_path / "in").mkdir()
    photo_of(tmp_path / "in" / "a.png", Painted(0, 0, RED, BLUE))
    shutil.copy(tmp_path / "in" / "a.png", tmp_path / "in" / "b.png")
    shutil.copy(video, tmp_path / "in" / "copy.mp4")
    first = ingest(tmp_path / "g.db", tmp_path / "in", video)
    assert (first.photos, first.videos, first.known, first.sightings) == (1, 1, 2, 5)
    before = dump(tmp_path / "g.db")
    again = ingest(tmp_path / "g.db", tmp_path / "in", video)
    assert (again.photos, again.videos, again.known, again.sightings) == (0, 0, 4, 0)
    assert dump(tmp_path / "g.db") == before
    elsewhere = ingest(tmp_path / "g.db", video, options=IngestOptions(camera="gate"))
    assert (elsewhere.videos, elsewhere.sightings) == (1, 4)


def test_without_a_detector_whole_pictures_are_stored(tmp_path: Path, video: Path) -> None:
    path = photo_of(tmp_path / "a.png", PEOPLE[0])
    report = ingest(tmp_path / "g.db", path, video, detector=None)
    assert (report.photos, report.videos, report.sightings) == (1, 1, 1 + 20)
    with open_gallery(tmp_path / "g.db") as gallery:
        stored = [gallery.sighting(number) for number in range(1, 22)]
    assert {sighting.box for sighting in stored} == {(0, 0, 192, 108)}
    assert [sighting.time_s for sighting in stored[1:]] == pytest.approx(list(range(20)))
    assert {sighting.track for sighting in stored} == {None}


def test_unreadable_files_are_named_and_the_rest_is_read(tmp_path: Path, video: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_text("no picture")
    (folder / "b.mp4").write_text("no video")
    photo_of(folder / "c.png", Painted(0, 0, RED, BLUE))
    shutil.copy(video, folder / "d.mp4")
    steps: list[float] = []
    with open_gallery(tmp_path / "g.db") as gallery:
        run = Ingest(gallery, FakeEncoder(), BlockDetector())
        sources = find_sources([folder])
        assert run.steps(sources) == pytest.approx(2 + 100, abs=1)
        report = run.run(sources, steps.append)
    assert [Path(skipped.file).name for skipped in report.skipped] == ["a.jpg", "b.mp4"]
    assert all(skipped.file in skipped.reason for skipped in report.skipped)
    assert (report.photos, report.videos, report.sightings, report.read) == (1, 1, 5, 2)
    assert sum(steps) == 102


def test_a_video_that_ends_early_is_stored_with_a_warning(tmp_path: Path, video: Path) -> None:
    mkv = write_scene(tmp_path / "a.mkv", PEOPLE, 20)
    data = mkv.read_bytes()
    mkv.write_bytes(data[: len(data) * 6 // 10])
    report = ingest(tmp_path / "g.db", mkv)
    assert report.videos == 1
    assert 1 <= report.sightings < 4
    assert len(report.warnings) >= 1
    assert all("a.mkv" in warning for warning in report.warnings)
    assert ingest(tmp_path / "g.db", mkv).known == 1


class Stopped(Exception):
    pass


def stopping_after(frames: int) -> Callable[[float], None]:
    done = 0.0

    def advance(steps: float) -> None:
        nonlocal done
        done += steps
        if done >= frames:
            raise Stopped

    return advance


@pytest.mark.parametrize("rules", [TrackRules(), TrackRules(longest_s=1.5)], ids=["usual", "short stretches"])
def test_stopped_anywhere_and_run_again_ends_the_same(tmp_path: Path, video: Path, rules: TrackRules) -> None:
    options = IngestOptions(rules=rules)
    ingest(tmp_path / "whole.db", video, options=options)
    whole = dump(tmp_path / "whole.db")
    assert len(whole) == 4 if rules == TrackRules() else len(whole) > 4
    for frames in (1, 12, 26, 34, 37, 38, 50, 61, 62, 75, 85, 99):
        path = tmp_path / f"{frames}.db"
        with pytest.raises(Stopped):
            ingest(path, video, options=options, advance=stopping_after(frames))
        report = ingest(path, video, options=options)
        assert report.videos == 1
        assert dump(path) == whole, f"stopped after {frames} frames"


def test_stopped_again_and_again_ends_the_same(tmp_path: Path, video: Path) -> None:
    ingest(tmp_path / "whole.db", video)
    path = tmp_path / "g.db"
    stops = 0
    for _ in range(20):
        try:
            ingest(path, video, advance=stopping_after(45 + stops * 15))
            break
        except Stopped:
            stops += 1
    assert stops >= 2
    assert dump(path) == dump(tmp_path / "whole.db")


def test_stopped_among_whole_frames_ends_the_same(tmp_path: Path, video: Path) -> None:
    options = IngestOptions(every_s=0.1)
    ingest(tmp_path / "whole.db", video, detector=None, options=options)
    with pytest.raises(Stopped):
        ingest(tmp_path / "g.db", video, detector=None, options=options, advance=stopping_after(77))
    assert 0 < len(dump(tmp_path / "g.db")) < 77
    ingest(tmp_path / "g.db", video, detector=None, options=options)
    assert dump(tmp_path / "g.db") == dump(tmp_path / "whole.db")


def test_an_interrupted_source_is_not_complete(tmp_path: Path, video: Path) -> None:
    from onlooker.files import sha256_of

    with pytest.raises(Stopped):
        ingest(tmp_path / "g.db", video, advance=stopping_after(60))
    with open_gallery(tmp_path / "g.db") as gallery:
        state = gallery.source_state(SourceKey(sha256_of(video), "default"))
    assert state is not None
    assert not state.complete
    assert state.resume_s == pytest.approx(8.2)
    assert state.sightings == 2


class Unsure(BlockDetector):
    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        found = super().detect(rgb)
        return Detections(found.boxes, np.full(len(found), 0.51, np.float32))


def test_how_sure_the_detector_has_to_be_in_a_photo_is_a_rule(tmp_path: Path) -> None:
    path = photo_of(tmp_path / "a.png", Painted(0, 0, RED, BLUE))
    for least, found in ((0.55, 0), (0.5, 1)):
        options = IngestOptions(rules=TrackRules(least_photo_score=least))
        report = ingest(tmp_path / f"{least}.db", path, detector=Unsure(), options=options)
        assert (report.photos, report.sightings) == (1, found)


def test_options_that_make_no_sense_are_refused() -> None:
    for every_s in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"give 0\.01 or more"):
            IngestOptions(every_s=every_s)
    with pytest.raises(ConfigError, match="the name of a camera is empty"):
        IngestOptions(camera=" ")
    with pytest.raises(ConfigError, match="has no time zone"):
        IngestOptions(start=datetime(2026, 5, 17))
