"""Painted people before live cameras: a source that plays a scene in real time, and an MJPEG server that does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import SourceError
from onlooker.footage.live import LiveFrame
from onlooker.runtime.pictures import encode_jpeg
from tests.http_server import serving
from tests.unit.footage.painted import BLACK, BLUE, GREEN, RED, WHITE, Painted, scene

CLOTHES = ((RED, BLUE), (GREEN, BLACK), (WHITE, RED))


def again_and_again(there_s: float, gone_s: float, count: int = 1000, x_px: int = 20) -> list[Painted]:
    """People who come one after another, each dressed otherwise than the one before."""
    period_s = there_s + gone_s
    return [
        Painted(gone_s + turn * period_s, (turn + 1) * period_s, *CLOTHES[turn % 3], x_px=x_px, speed_px_s=6)
        for turn in range(count)
    ]


class Scene:
    """A live source that plays a scene; ``trouble`` is raised by the next reading."""

    live = True

    def __init__(self, name: str, people: Sequence[Painted], fps: float = 10.0) -> None:
        self.name, self._people, self._gap_s = name, people, 1 / fps
        self.trouble: SourceError | None = None
        self.silent = False
        self._began_s: float | None = None

    def open(self) -> None:
        self._count, self._opened_s = 0, time.monotonic()
        self._began_s = self._began_s or self._opened_s

    def read(self, timeout_s: float) -> LiveFrame | None:
        time.sleep(self._gap_s)
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        if self.silent:
            return None
        assert self._began_s is not None
        now_s = time.monotonic()
        self._count += 1
        rgb = scene(self._people, now_s - self._began_s)
        return LiveFrame(rgb, datetime.now(timezone.utc), now_s - self._opened_s, self._count - 1)

    def close(self) -> None:
        pass


@contextmanager
def mjpeg_server(picture: Callable[[], NDArray[np.uint8]], fps: float = 10.0) -> Iterator[str]:
    """Serve what a function paints as an MJPEG camera; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            begun_s = time.monotonic()
            with suppress(OSError):
                for number in itertools.count():
                    body = encode_jpeg(picture(), 92)
                    self.wfile.write(
                        f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                        + body
                        + b"\r\n"
                    )
                    time.sleep(max(begun_s + (number + 1) / fps - time.monotonic(), 0))

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as address:
        yield f"{address}/"
