"""``onlooker watch``: watch all cameras of a configuration and store the people they see."""

from __future__ import annotations

import json as json_module
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TextIO

import typer

from onlooker.cli.options import BundleOption, open_gallery

if TYPE_CHECKING:
    from rich.table import Table

    from onlooker.footage.status import CameraStatus, Snapshot
    from onlooker.footage.watching import Watch
    from onlooker.footage.writer import Stored

SHOW_S = 1.0
"""How often the table is drawn, and everything is looked after."""
SAY_S = 60.0
"""How often a line says how it is going, where there is no terminal."""


def run(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration (see onlooker config).")
    ] = Path("onlooker.toml"),
    bundle: BundleOption = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            metavar="N",
            min=1,
            help="Frames looked at at the same time.  [default: half the cores]",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Threads for each of them.")] = 1,
    nice: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=19, help="How far to stand back behind other processes: searches first."),
    ] = 5,
    metrics: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="HOST:PORT", help="Serve metrics for Prometheus there, such as 127.0.0.1:9464.", show_default=False
        ),
    ] = None,
    state: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Where to write how it is going, for onlooker health.  [default: beside the gallery, "
            "people.db.watch.json]",
            show_default=False,
        ),
    ] = None,
    keep_free: Annotated[
        int, typer.Option(metavar="MB", min=0, help="Pause while less than this is free on the gallery's disk.")
    ] = 100,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: how it is going, and each sighting once it is stored.")
    ] = False,
    every: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="How often to say how it is going.  [default: 60; with --json 10; on a terminal a table shows it]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Watch all cameras and store the people they see, until it is stopped.

    A person can be found about two seconds after leaving the view; whoever is in view when it is stopped (Ctrl-C or
    SIGTERM) is stored too. A second Ctrl-C ends it at once; what was stored before is safe. Cameras that fail are tried
    again and again. Recordings and folders go on where they were, and where there is nothing but recordings, it ends
    with the last of them.

    \b
    Examples:
      onlooker watch
      onlooker watch --config /etc/onlooker.toml --metrics 127.0.0.1:9464
      onlooker watch --json --every 5 > watch.jsonl
      onlooker health                        # is it going well?

    \b
    Exit codes:
      0  stopped, and everything is stored
      1  it ended by itself, or people could not be stored at the end since the disk was full
      2  the configuration, the gallery or the bundle cannot be used
    """  # noqa: D301
    import cv2

    from onlooker.cli.console import note
    from onlooker.errors import OnlookerError
    from onlooker.footage.cameras import load_configuration
    from onlooker.footage.detection import load_detector
    from onlooker.footage.metrics import parse_endpoint, serving
    from onlooker.footage.status import state_file
    from onlooker.footage.watching import Watch, WatchOptions, only_watch
    from onlooker.runtime.encoder import open_encoder

    configuration = load_configuration(config)
    if metrics is not None and not parse_endpoint(metrics)[0].startswith(("127.", "localhost", "::1")):
        note(f"note: everybody who can reach {metrics} can read the metrics, which name the cameras")
    os.nice(nice)
    cv2.setNumThreads(1)
    encoder = open_encoder(bundle or configuration.bundle, threads=threads)
    place = state or state_file(configuration.gallery)
    reporter = _Reporter(place, json=json, every_s=every or (10.0 if json else SAY_S))
    with ExitStack() as stack:
        stack.enter_context(only_watch(configuration.gallery))
        gallery = stack.enter_context(open_gallery(configuration.gallery, encoder, create=True))
        watch = Watch(
            configuration,
            gallery,
            encoder,
            lambda name: load_detector(name, threads=threads),
            options=WatchOptions(workers=workers, kept_free=keep_free * 1_000_000),
            on_stored=reporter.stored,
        )
        if metrics is not None:
            stack.enter_context(serving(metrics, watch.snapshot))
        stack.enter_context(reporter.shown())
        lost = _watch(watch, reporter)
    if lost:
        raise OnlookerError(f"{lost} sightings could not be stored, since {configuration.gallery} could not be written")


def _watch(watch: Watch, reporter: _Reporter) -> int:
    """Watch until somebody says stop or nothing is left to read; return how many sightings could not be stored."""
    from onlooker.footage.status import HUNG_S
    from onlooker.footage.supervising import notify

    stopped = threading.Event()
    with _signals(stopped):
        watch.start()
        notify("READY=1")
        try:
            while not stopped.wait(SHOW_S) and not watch.over:
                watch.check()
                snapshot = watch.snapshot()
                reporter.report(snapshot)
                if snapshot.hung_s <= HUNG_S:
                    notify("WATCHDOG=1", f"STATUS={summary(snapshot)}")
        finally:
            notify("STOPPING=1")
            reporter.say("stopping: what has been seen is being stored; Ctrl-C once more leaves at once")
            lost = watch.stop()
            reporter.report(watch.snapshot(), last=True)
    return lost


@contextmanager
def _signals(stopped: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop; the second leaves at once."""

    def ask(number: int, frame: object) -> None:
        if stopped.is_set():
            # The cursor was hidden by the table.
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")
            os._exit(130)
        stopped.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Reporter:
    """Says how it is going: a table on a terminal, lines elsewhere, JSON lines where asked for, and the state file."""

    def __init__(self, state: Path, *, json: bool, every_s: float) -> None:
        self._state, self._json, self._every_s = state, json, every_s
        self._terminal = sys.stderr.isatty() and not json
        self._lock = threading.Lock()
        self._live: Any = None
        self._said_s = self._written_s = -1e9
        self._known: dict[str, tuple[str, str | None]] = {}
        self._alert: str | None = None
        self._unwritten: str | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while the block runs, where there is a terminal."""
        if not self._terminal:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), auto_refresh=False, transient=False) as self._live:
            yield

    def report(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Show, say and write how it is going, each as often as it is due."""
        from onlooker.footage.status import WRITE_S

        now_s = time.monotonic()
        if last or now_s - self._written_s >= WRITE_S or snapshot.alert != self._alert:
            self._written_s = now_s
            self._write(snapshot)
        if self._live is not None:
            self._live.update(table(snapshot), refresh=True)
            return
        due = last or now_s - self._said_s >= self._every_s
        if due:
            self._said_s = now_s
        if self._json:
            if due:
                self._print({"event": "status", **snapshot.as_json()})
            return
        self._changes(snapshot)
        if due:
            self.say(summary(snapshot))

    def stored(self, stored: Stored) -> None:
        """Say that a sighting is safe on disk; called by the writer's thread."""
        if not self._json:
            return
        with suppress(BrokenPipeError):
            # The main thread meets it too, and stops.
            self._print(sighting_event(stored))

    def say(self, text: str) -> None:
        """Say a line, with the time, unless JSON is wanted."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        elif not self._json:
            self._line(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", sys.stderr)

    def _print(self, value: dict[str, Any]) -> None:
        self._line(json_module.dumps(value, ensure_ascii=False), sys.stdout)

    def _line(self, text: str, stream: TextIO) -> None:
        with self._lock:
            try:
                print(text, file=stream, flush=True)
            except BrokenPipeError:
                raise
            except OSError:
                # Often the log lies on the very disk that is full; watching must not end for it.
                return

    def _write(self, snapshot: Snapshot) -> None:
        from onlooker.footage.status import write_state

        try:
            write_state(self._state, snapshot)
        except OSError as error:
            if self._unwritten != error.strerror:
                self._unwritten = error.strerror
                self.say(
                    f"{self._state} cannot be written ({error.strerror}); onlooker health will not know how it goes"
                )
            return
        self._unwritten = None

    def _changes(self, snapshot: Snapshot) -> None:
        """Say what has changed since the last time: cameras, and whether anything can be stored."""
        for camera in snapshot.cameras:
            now = (camera.status, camera.last_error if camera.status in ("waiting", "fault") else None)
            if camera.status != "connecting" and now != self._known.get(camera.key):
                self._known[camera.key] = now
                self.say(f"{camera.name}: {camera.status}" + (f": {now[1]}" if now[1] else ""))
        if snapshot.alert != self._alert:
            self._alert = snapshot.alert
            self.say(f"paused: {snapshot.alert}" if snapshot.alert else "going on: sightings can be stored again")


def sighting_event(stored: Stored) -> dict[str, Any]:
    """Return the JSON line of a sighting that is safe on disk."""
    sighting = stored.sighting
    return {
        "event": "sighting",
        "sighting": stored.id,
        "camera": sighting.camera,
        "source": sighting.source,
        "track": sighting.track,
        "time": None if sighting.time is None else sighting.time.isoformat(timespec="milliseconds"),
        "start_s": sighting.start_s,
        "end_s": sighting.end_s,
        "delay_s": None if stored.delay_s is None else round(stored.delay_s, 3),
    }


def summary(snapshot: Snapshot) -> str:
    """Return how it is going in one line."""
    running = sum(camera.status == "running" for camera in snapshot.cameras)
    frames = sum(camera.rate for camera in snapshot.cameras)
    looked, dropped = (sum(getattr(camera, what) for camera in snapshot.cameras) for what in ("looked", "dropped"))
    share = dropped / (looked + dropped) if looked + dropped else 0.0
    lag_s = max((camera.lag_s for camera in snapshot.cameras), default=0.0)
    return (
        f"{snapshot.status}: {running} of {len(snapshot.cameras)} cameras, {frames:.1f} frames/s, lag {lag_s:.1f} s, "
        f"{share:.0%} dropped, {sum(camera.following for camera in snapshot.cameras)} in view, "
        f"{snapshot.sightings:,} stored"
    )


COLOURS = {"running": "green", "off": "dim", "ended": "dim", "waiting": "red", "failed": "red", "fault": "red"}


def table(snapshot: Snapshot) -> Table:
    """Draw how it is going."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    drawn.add_column("camera", no_wrap=True)
    drawn.add_column("status", no_wrap=True)
    for name in ("frames/s", "lag", "dropped", "in view", "people"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("last error", ratio=1, overflow="fold")
    for camera in snapshot.cameras:
        drawn.add_row(*_cells(camera, Text(camera.status, style=COLOURS.get(camera.status, "yellow"))))
    delay = "" if snapshot.delay_s is None else f", the last could be found after {snapshot.delay_s:.1f} s"
    drawn.title = Text(f"onlooker watch: {snapshot.gallery}", style="bold")
    drawn.title_justify = "left"
    drawn.caption = Text(snapshot.alert, style="bold red") if snapshot.alert else Text(summary(snapshot) + delay)
    drawn.caption_justify = "left"
    return drawn


def _cells(camera: CameraStatus, status: Any) -> list[Any]:
    from rich.text import Text

    total = camera.looked + camera.dropped
    dropped = f"{camera.dropped:,} ({camera.dropped / total:.0%})" if camera.dropped else "0"
    return [
        Text(camera.name),
        status,
        f"{camera.rate:.1f}",
        f"{camera.lag_s:.1f} s",
        dropped,
        str(camera.following or ""),
        f"{camera.people:,}",
        Text(camera.last_error or "", style="" if camera.status in ("waiting", "failed", "fault") else "dim"),
    ]
