"""A folder that is watched for new photos, as cameras and their recorders fill them by FTP."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from onlooker.errors import PictureError, SourceError
from onlooker.files import write_text
from onlooker.footage.live import LiveFrame
from onlooker.footage.sources import photo_time
from onlooker.runtime.pictures import PICTURE_SUFFIXES, read_picture

LOOK_S = 0.5
"""How often the folder is looked through."""
SETTLE_S = 1.0
"""A file whose size and time have not changed for so long is complete."""

Mark = tuple[str, int, int]
"""What a photo is known by: path within the folder, time of writing in nanoseconds, size in bytes."""


class WatchedFolder:
    """A folder with its sub-folders; each photo is given once, when it is complete, oldest first.

    A photo is complete once its size and time of writing stay as they are for a second, or at once where they have
    done so already. Hidden files are passed over: uploads under a temporary name usually have one. A photo that cannot
    be read though it is complete is passed over and counted; when it is written anew it is looked at again.

    Attributes:
        name: What it is called in messages.
        live: False.
        damaged: Photos passed over since the beginning.
    """

    live = False

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        memory: Path | None = None,
        settle_s: float = SETTLE_S,
        look_s: float = LOOK_S,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Describe the source.

        Args:
            name: What it is called in messages.
            path: The folder.
            memory: File that remembers over restarts which photos were acknowledged; without one all are given again.
            settle_s: How long a file has to stay as it is.
            look_s: How often to look.
            wall: Gives the seconds of the wall clock that files are dated by.
            monotonic: Gives seconds that only grow.
        """
        self.name = name
        self.damaged = 0
        self._path, self._memory = path, memory
        self._settle_s, self._look_s, self._wall, self._monotonic = settle_s, look_s, wall, monotonic
        self._given: set[Mark] = set()
        self._changing: dict[Mark, float] = {}
        self._ready: deque[Mark] = deque()
        self._unacknowledged: dict[str, Mark] = {}

    def open(self) -> None:
        """Begin to watch (see ``Source``)."""
        self.close()
        if not self._path.is_dir():
            raise SourceError(f"{self.name}: there is no folder {self._path}; make it or correct the address")
        if not self._given and self._memory is not None:
            self._given = self._remembered(self._memory)
        self._looked_s = -self._look_s
        self._first: datetime | None = None
        self._last_s, self._sequence = 0.0, -1

    def read(self, timeout_s: float) -> LiveFrame | None:
        """Return the next photo (see ``Source``)."""
        until_s = self._monotonic() + timeout_s
        while True:
            while self._ready:
                if (frame := self._frame(self._ready.popleft())) is not None:
                    return frame
            now_s = self._monotonic()
            if now_s - self._looked_s >= self._look_s:
                self._look()
                self._looked_s = self._monotonic()
                continue
            if now_s >= until_s:
                return None
            time.sleep(min(until_s, self._looked_s + self._look_s) - now_s + 0.001)

    def close(self) -> None:
        """Stop watching (see ``Source``); which photos were given stays known."""
        # Those that were not handed out are to be found again.
        self._given.difference_update(self._ready)
        self._ready.clear()
        self._changing.clear()

    def acknowledge(self, origin: str) -> None:
        """Remember over restarts that a photo is done with.

        Args:
            origin: ``origin`` of its frame.
        """
        mark = self._unacknowledged.pop(origin, None)
        if mark is None or self._memory is None:
            return
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        with self._memory.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(mark, ensure_ascii=False) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def _remembered(self, memory: Path) -> set[Mark]:
        """Read what was acknowledged and forget files that are gone, so that the memory does not grow for ever."""
        try:
            lines = memory.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise SourceError(f"{self.name}: {memory} cannot be read ({error.strerror})") from error
        marks = {mark for line in lines if (mark := _mark_of(line)) is not None}
        kept = {mark for mark in marks if (self._path / mark[0]).exists()}
        if len(kept) < len(lines):
            write_text(memory, "".join(json.dumps(mark, ensure_ascii=False) + "\n" for mark in sorted(kept)))
        return kept

    def _look(self) -> None:
        if not self._path.is_dir():
            raise SourceError(f"{self.name}: the folder {self._path} is gone", "ended")
        now_s, wall_s = self._monotonic(), self._wall()
        changing: dict[Mark, float] = {}
        ready: list[Mark] = []
        there: set[str] = set()
        for mark in self._photos():
            there.add(mark[0])
            if mark in self._given:
                continue
            since_s = self._changing.get(mark, now_s)
            # A clock that was wrong dates files into the future; those have to settle before the eye.
            settled = now_s - since_s >= self._settle_s or wall_s - mark[1] / 1e9 >= self._settle_s
            if settled and mark[2] > 0:
                ready.append(mark)
                self._given.add(mark)
            else:
                changing[mark] = since_s
        self._changing = changing
        self._given = {mark for mark in self._given if mark[0] in there}
        self._ready.extend(sorted(ready, key=lambda mark: (mark[1], mark[0])))

    def _photos(self) -> list[Mark]:
        marks = []
        for parent, folders, files in os.walk(self._path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if name.startswith(".") or Path(name).suffix.lower() not in PICTURE_SUFFIXES:
                    continue
                path = Path(parent) / name
                try:
                    facts = path.stat()
                except OSError:
                    # Gone, or renamed, since the folder was listed.
                    continue
                marks.append((str(path.relative_to(self._path)), facts.st_mtime_ns, facts.st_size))
        return marks

    def _frame(self, mark: Mark) -> LiveFrame | None:
        path = self._path / mark[0]
        self._sequence += 1
        try:
            rgb = read_picture(path)
        except PictureError:
            self.damaged += 1
            return None
        taken = photo_time(path) or datetime.fromtimestamp(mark[1] / 1e9, timezone.utc)
        self._first = self._first or taken
        self._last_s = max(self._last_s, (taken - self._first).total_seconds())
        if self._memory is not None:
            self._unacknowledged[str(path)] = mark
        return LiveFrame(rgb, taken, self._last_s, self._sequence, str(path))


def _mark_of(line: str) -> Mark | None:
    """Read a line of the memory; the last one may be cut off by a power cut."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    match values:
        case [str(name), int(written), int(size)]:
            return name, written, size
    return None
