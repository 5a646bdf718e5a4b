"""Starting RTSP cameras for the tests, and a network between them and Onlooker that can be made to fail."""

from __future__ import annotations

import importlib.util
import os
import random
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).resolve().parents[2] / "rtsp_server.py"
REGISTRY = Path(tempfile.gettempdir()) / f"onlooker-tests-{os.getuid()}.gst-registry"
"""GStreamer's list of its plugins. It is made anew, in seconds, wherever the home folder is; each test has its own."""
ENVIRONMENT = {**os.environ, "GST_REGISTRY": str(REGISTRY)}
USER, PASSWORD = "eva", "p@ss/w:rd%"


def _missing() -> str | None:
    if not Path(PYTHON).exists() or shutil.which("gst-inspect-1.0") is None:
        return "Debian's gstreamer1.0-tools and python3"
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([PYTHON, "-c", code], capture_output=True, check=False, env=ENVIRONMENT).returncode:
        return "Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi"
    for element in ("x264enc", "x265enc", "rtph264pay", "h265parse", "vp8enc", "gdppay", "avdec_h264"):
        if subprocess.run(["gst-inspect-1.0", "--exists", element], check=False, env=ENVIRONMENT).returncode:
            return f"GStreamer's {element} (Debian: gstreamer1.0-plugins-base, -good, -bad, -ugly, -libav)"
    return None


MISSING = _missing() if importlib.util.find_spec("av") else "PyAV"
needs_rtsp = pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}")


class RtspCamera:
    """An RTSP server in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [PYTHON, str(SCRIPT), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        word, number = self._said().split()
        assert word == "port"
        self.port = int(number)

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def tell(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        assert self._said() == "ok"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def url(self, path: str, port: int | None = None) -> str:
        return f"rtsp://127.0.0.1:{port or self.port}{path}"


@contextmanager
def rtsp_camera() -> Iterator[RtspCamera]:
    camera = RtspCamera()
    try:
        yield camera
    finally:
        camera.kill()


class Network:
    """A TCP proxy in front of a camera. ``mode``: "well", "garbage" (bytes of the stream are spoilt) or "stalled"."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.mode = "well"
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            near, _ = self._listener.accept()
            self.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            thread = threading.Thread(target=self._carry, args=(near, far), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        lots, carried = random.Random(1), 0
        with near, far:
            while not self._stop.is_set():
                if self.mode == "stalled":
                    time.sleep(0.02)
                    continue
                for here in select.select([near, far], [], [], 0.05)[0]:
                    try:
                        data = bytearray(here.recv(65_536))
                        if not data:
                            return
                        if here is far:
                            carried += len(data)
                            if self.mode == "garbage" and carried > 4_000:
                                self._spoil(data, lots)
                        (far if here is near else near).sendall(data)
                    except OSError:
                        return

    @staticmethod
    def _spoil(data: bytearray, lots: random.Random) -> None:
        """Spoil bytes, and leave alone the beginnings of packets of RTSP over TCP, so that its frames stay in step."""
        place = 0
        while place + 4 <= len(data):
            if data[place] != 0x24:
                break
            length = int.from_bytes(data[place + 2 : place + 4], "big")
            for at in range(place + 4 + 14, min(place + 4 + length, len(data)), 3):
                data[at] = lots.randrange(256)
            place += 4 + length

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()


@contextmanager
def network(port: int) -> Iterator[Network]:
    between = Network(port)
    try:
        yield between
    finally:
        between.close()


def until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until something holds; say whether it came to hold."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return holds()
