"""Figures of watching for Prometheus, in its text format, over HTTP on this machine.

``prometheus-client`` (Apache-2.0) writes the format and serves it; it is imported only where metrics are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onlooker.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import Metric

    from onlooker.footage.status import CameraStatus, Snapshot

PER_CAMERA: tuple[tuple[str, str, str, Callable[[CameraStatus], float]], ...] = (
    ("gauge", "up", "Whether the camera gives pictures (1), or need not at the moment.", lambda one: not _down(one)),
    ("counter", "frames", "Frames the camera has given.", lambda one: one.frames),
    ("counter", "frames_looked", "Frames looked at.", lambda one: one.looked),
    ("counter", "frames_dropped", "Frames replaced by a newer one before anybody looked.", lambda one: one.dropped),
    ("counter", "damaged", "Packets or pictures that could not be decoded.", lambda one: one.damaged),
    ("counter", "reconnects", "How often the camera was opened again.", lambda one: one.reconnects),
    ("counter", "sightings", "Sightings found.", lambda one: one.people),
    ("gauge", "frame_rate", "Frames a second looked at of late.", lambda one: one.rate),
    ("gauge", "lag_seconds", "How old the last frame was when it had been looked at.", lambda one: one.lag_s),
    ("gauge", "following", "People in sight.", lambda one: one.following),
)
"""Kind, name after ``onlooker_camera_``, help and value of each figure of a camera."""

OVERALL: tuple[tuple[str, str, str, Callable[[Snapshot], float]], ...] = (
    ("counter", "sightings", "Sightings stored.", lambda whole: whole.sightings),
    ("counter", "sightings_refused", "Sightings that the gallery did not accept.", lambda whole: whole.refused),
    ("counter", "sightings_expired", "Sightings deleted by retention.", lambda whole: whole.expired),
    ("counter", "thread_restarts", "Threads begun anew after a mistake.", lambda whole: whole.restarts),
    ("gauge", "pending", "Transactions that wait to be written.", lambda whole: whole.pending),
    (
        "gauge",
        "delay_seconds",
        "From when the last person left to when he or she could be found.",
        lambda whole: whole.delay_s or 0,
    ),
    ("gauge", "longest_delay_seconds", "The longest of these.", lambda whole: whole.longest_delay_s or 0),
    ("gauge", "hung_seconds", "How long the slowest thread has been at one frame.", lambda whole: whole.hung_s),
)
"""The same for the whole, after ``onlooker_``."""

ALERTS = ("full", "read-only", "gallery")


def _down(camera: CameraStatus) -> bool:
    from onlooker.footage.status import UP

    return camera.status not in UP


class Figures:
    """Turns snapshots into metrics whenever they are asked for."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """Take figures from a function that gives the present snapshot."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics (see ``prometheus_client.registry.Collector``)."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        whole = self._snapshot()
        for kind, name, text, value in OVERALL:
            yield kinds[kind](f"onlooker_{name}", text, value=float(value(whole)))
        paused = GaugeMetricFamily(
            "onlooker_paused", "Whether nothing can be stored (1), by reason.", labels=["reason"]
        )
        for reason in ALERTS:
            paused.add_metric([reason], float(whole.alert_kind == reason))
        yield paused
        for kind, name, text, figure in PER_CAMERA:
            family = kinds[kind](f"onlooker_camera_{name}", text, labels=["camera"])
            for camera in whole.cameras:
                family.add_metric([camera.name], float(figure(camera)))
            yield family


def parse_endpoint(text: str) -> tuple[str, int]:
    """Read HOST:PORT, or a PORT of the loopback.

    Raises:
        ConfigError: It is neither.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.strip("[]") if colon else "127.0.0.1"
    if not host or not (port.isascii() and port.isdigit()) or not int(port) <= 65_535:
        raise ConfigError(f"{text!r} is no place for metrics; write HOST:PORT, for example 127.0.0.1:9464")
    return host, int(port)


@contextmanager
def serving(endpoint: str, snapshot: Callable[[], Snapshot]) -> Iterator[int]:
    """Serve metrics while the block runs.

    Args:
        endpoint: HOST:PORT; port 0 takes any free one.
        snapshot: Gives the present figures.

    Yields:
        The port.

    Raises:
        ConfigError: The place makes no sense or is taken.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    host, port = parse_endpoint(endpoint)
    registry = CollectorRegistry()
    registry.register(Figures(snapshot))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigError(f"metrics cannot be served at {endpoint} ({error.strerror}); choose another port") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
