"""The keeper with sources that do as they are told; against real cameras see ``test_rtsp.py``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import ConfigError, SourceError
from onlooker.footage.areas import Masks
from onlooker.footage.hours import parse_hours
from onlooker.footage.keeper import Backoff, CameraKeeper
from onlooker.footage.live import LiveFrame
from tests.unit.footage.rtsp import until

SOON = Backoff(first_s=0.01, longest_s=0.05, steady_s=60)


class Told:
    """A source that gives frames, or fails, as it is told."""

    name = "Told"

    def __init__(self, *, live: bool = True, gap_s: float = 0.005) -> None:
        self.live, self.gap_s = live, gap_s
        self.opened = self.closed = 0
        self.open_error: Exception | None = None
        self.read_error: Exception | None = None
        self.count = 0
        self.wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc)

    def open(self) -> None:
        self.opened += 1
        if self.open_error is not None:
            raise self.open_error
        self.count = 0

    def read(self, timeout_s: float) -> LiveFrame | None:
        time.sleep(self.gap_s)
        if self.read_error is not None:
            raise self.read_error
        self.count += 1
        rgb = np.full((8, 10, 3), 200, np.uint8)
        return LiveFrame(rgb, self.wall(), self.count * self.gap_s, self.count - 1)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def keep() -> object:
    kept: list[CameraKeeper] = []

    def make(source: Told, **others: object) -> CameraKeeper:
        kept.append(CameraKeeper(source, **{"backoff": SOON, **others}))
        kept[-1].start()
        return kept[-1]

    yield make
    for each in kept:
        assert each.stop()


def test_only_the_newest_frame_of_a_live_source_is_kept(keep: Callable[..., CameraKeeper]) -> None:
    keeper = keep(Told())
    assert until(lambda: keeper.state.frames >= 20)
    first = keeper.latest(1)
    assert first is not None
    assert first.sequence >= 19
    assert keeper.state.dropped >= 19
    second = keeper.latest(1)
    assert second is not None
    assert second.sequence > first.sequence


def test_every_frame_of_another_source_is_given(keep: Callable[..., CameraKeeper]) -> None:
    source = Told(live=False, gap_s=0)
    keeper = keep(source)
    time.sleep(0.1)
    assert source.count < 10
    frames = [keeper.latest(1) for _ in range(50)]
    assert [frame.sequence for frame in frames if frame] == list(range(50))
    assert keeper.state.dropped == 0


def test_the_end_of_a_file_is_the_end_and_that_of_a_camera_is_a_failure(keep: Callable[..., CameraKeeper]) -> None:
    for live in (False, True):
        source = Told(live=live)
        source.read_error = SourceError("Told is at its end", "ended")
        keeper = keep(source)
        assert until(
            lambda keeper=keeper, live=live: keeper.state.status == "ended" if not live else keeper.state.reconnects > 1
        )
        assert keeper.latest(0.01) is None


@pytest.mark.parametrize(
    "error", [SourceError("no"), ConfigError("no password"), OSError(5, "io"), ValueError("rtsp://eva:geheim@h")]
)
def test_whatever_fails_shows_in_the_state_and_is_tried_again(
    keep: Callable[..., CameraKeeper], error: Exception
) -> None:
    source = Told()
    source.open_error = error
    keeper = keep(source, backoff=Backoff(0.01, 0.05, 0.01, 0.05, 0.01, 0.05))
    assert until(lambda: source.opened >= 4)
    assert keeper.state.last_error
    assert "geheim" not in keeper.state.last_error
    assert keeper.state.frames == 0
    source.open_error = None
    assert keeper.latest(5) is not None
    assert keeper.state.status == "running"
    assert keeper.state.last_error
    assert source.closed >= 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_does_not_pass_for_a_camera_that_runs() -> None:
    source = Told()
    source.read_error = ZeroDivisionError()
    keeper = CameraKeeper(source)
    keeper.start()
    assert until(lambda: keeper.state.status == "failed")
    assert keeper.latest(5) is None


def test_waits_grow_and_are_drawn_by_lot() -> None:
    backoff = Backoff()
    assert [backoff.wait_s("frozen", n, 1.0) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [backoff.wait_s("frozen", n, 0.0) for n in range(1, 4)] == [0.5, 1, 2]
    assert backoff.wait_s("refused", 1, 0.0) == 15
    assert backoff.wait_s("refused", 9, 1.0) == 600
    assert backoff.wait_s("codec", 9, 1.0) == 300


@given(st.integers(1, 10**9), st.floats(0, 1), st.sampled_from(["refused", "codec", "frozen", "ended"]))
def test_a_wait_has_bounds(failures: int, lot: float, kind: str) -> None:
    assert 0.5 <= Backoff().wait_s(kind, failures, lot) <= 600


def test_failures_in_a_row_wait_longer_and_a_steady_camera_begins_anew() -> None:
    waits: list[int] = []

    class Noted(Backoff):
        def wait_s(self, kind: str, failures: int, lot: float) -> float:
            waits.append(failures)
            return 0.01

    source = Told()
    source.open_error = SourceError("no")
    keeper = CameraKeeper(source, backoff=Noted(steady_s=0.2))
    keeper.start()
    assert until(lambda: len(waits) >= 4)
    source.open_error = None
    assert until(lambda: keeper.state.status == "running")
    time.sleep(0.3)
    before = len(waits)
    source.read_error = SourceError("no")
    assert until(lambda: len(waits) > before)
    assert keeper.stop()
    assert waits[:4] == [1, 2, 3, 4]
    assert waits[before] == 1


def test_masks_are_painted_before_anybody_sees_the_picture(keep: Callable[..., CameraKeeper]) -> None:
    keeper = keep(Told(), masks=Masks([[(0, 0), (0.45, 0), (0.45, 1), (0, 1)]]))
    frame = keeper.latest(2)
    assert frame is not None
    assert frame.rgb[:, :4].max() == 0
    assert frame.rgb[:, 6:].min() == 200


def test_outside_its_hours_a_camera_is_closed(keep: Callable[..., CameraKeeper]) -> None:
    now = [datetime(2026, 11, 24, 7, 59, tzinfo=timezone.utc)]
    source = Told()
    keeper = keep(source, hours=parse_hours("daily 08:00-18:00", timezone.utc), wall=lambda: now[0])
    assert until(lambda: keeper.state.status == "off")
    assert source.opened == 0
    now[0] += timedelta(minutes=1)
    assert keeper.latest(3) is not None
    now[0] += timedelta(hours=10)
    assert until(lambda: keeper.state.status == "off")
    assert keeper.state.last_error is None


def test_a_clock_set_back_opens_anew_and_one_set_forward_is_noted(keep: Callable[..., CameraKeeper]) -> None:
    shift = [timedelta(0)]
    source = Told()
    keeper = keep(source, wall=lambda: datetime.now(timezone.utc) + shift[0])
    assert keeper.latest(2) is not None
    shift[0] = timedelta(hours=1)
    assert until(lambda: any("set forward by 3600.0 s" in note for note in keeper.state.notes))
    assert source.opened == 1
    shift[0] = timedelta(0)
    assert until(lambda: any("set back by 3600.0 s" in note for note in keeper.state.notes))
    assert until(lambda: source.opened == 2)
    assert keeper.state.last_error is None


def test_a_source_that_hangs_holds_up_only_itself(keep: Callable[..., CameraKeeper]) -> None:
    release = threading.Event()
    stuck, free = Told(), Told()
    stuck.open = lambda: release.wait(20) and None  # type: ignore[method-assign]
    first, second = keep(stuck), keep(free)
    assert second.latest(2) is not None
    assert not first.stop(0.05)
    assert first.state.status == "connecting"
    release.set()


def test_stopping_is_quick_while_waiting_and_starting_again_works() -> None:
    source = Told()
    source.open_error = SourceError("no", "refused")
    keeper = CameraKeeper(source)
    keeper.start()
    assert until(lambda: keeper.state.status == "waiting")
    began_s = time.monotonic()
    assert keeper.stop()
    assert time.monotonic() - began_s < 1
    assert keeper.state.status == "stopped"
    source.open_error = None
    keeper.start()
    assert keeper.latest(2) is not None
    assert keeper.stop()
