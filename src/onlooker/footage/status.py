"""How watching is going: a snapshot, the state file that carries it to other processes, and whether it is healthy."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from onlooker.errors import InputError
from onlooker.files import write_json

FORMAT = 1
WRITE_S = 5.0
"""Seconds between two writings of the state file."""
STALE_S = 30.0
"""A state file older than this is of a process that hangs or is gone."""
HUNG_S = 60.0
"""A thread that has been at one frame for so long hangs."""
SILENT_S = 60.0
"""A camera that should run and has given nothing for so long is said to be down."""

UP = ("running", "off", "ended")
"""What a camera may be without anything being wrong: outside its hours, or a file at its end, too."""


@dataclass(frozen=True, kw_only=True)
class CameraStatus:
    """How one camera is doing.

    Attributes:
        key: Its table in the configuration.
        name: What the gallery calls it.
        status: See ``CameraState``; "fault" after a mistake in Onlooker.
        rate: Frames a second looked at of late.
        lag_s: How old its last frame was when it had been looked at; of a live camera.
        frames: Frames it has given.
        looked: Frames looked at.
        dropped: Frames that were replaced by a newer one before anybody looked.
        damaged: Packets or pictures that could not be decoded.
        reconnects: How often it was opened again.
        following: People in sight, or a moment ago.
        people: Sightings since the start.
        last_error: What was wrong last; stays.
        last_frame: When its last frame was seen, UTC, ISO 8601.
        silent_s: Seconds without a frame, where there should be some; None where not.
    """

    key: str
    name: str
    status: str
    rate: float
    lag_s: float
    frames: int
    looked: int
    dropped: int
    damaged: int
    reconnects: int
    following: int
    people: int
    last_error: str | None
    last_frame: str | None
    silent_s: float | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How all of it is doing.

    Attributes:
        status: "running", "paused" (nothing can be stored), "stopping" or "stopped".
        time: When this was so, UTC, ISO 8601.
        started: When watching began.
        pid: The process.
        gallery: The gallery file.
        alert: Why it is paused, or None.
        alert_kind: "full", "read-only" or "gallery".
        pending: Transactions that wait to be written.
        sightings: Stored since the start.
        refused: Sightings that the gallery did not accept.
        delay_s: Seconds from when the last person stored left to when he or she could be found.
        longest_delay_s: The longest of these.
        hung_s: How long the slowest thread has been at what it does.
        restarts: Threads that ended by a mistake and were begun anew.
        expired: Sightings deleted because they were kept long enough.
        last_error: What was wrong last with storing or deleting; stays.
        cameras: Each camera.
    """

    status: str
    time: str
    started: str
    pid: int
    gallery: str
    alert: str | None
    alert_kind: str | None
    pending: int
    sightings: int
    refused: int
    delay_s: float | None
    longest_delay_s: float | None
    hung_s: float
    restarts: int
    expired: int
    last_error: str | None
    cameras: tuple[CameraStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"format": FORMAT, **asdict(self)}


def state_file(gallery: Path) -> Path:
    """Return where the state of watching is written, beside a gallery."""
    return gallery.with_name(gallery.name + ".watch.json")


def write_state(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot so that nobody ever reads half of one.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    write_json(path, snapshot.as_json())


@dataclass(frozen=True)
class Health:
    """Whether watching is going well.

    Attributes:
        reasons: What is wrong, a sentence each; none where all is well.
        remarks: What is not well and no reason to start anew: cameras that are down while others run.
    """

    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons


def read_health(path: Path, now: datetime, *, every_camera: bool = False, stale_s: float = STALE_S) -> Health:
    """Judge how watching is going from its state file.

    Args:
        path: The state file.
        now: The time, with a zone.
        every_camera: Whether one camera that is down is a reason, too.
        stale_s: Seconds after which a state file is too old.

    Returns:
        The judgement.

    Raises:
        InputError: The file is there and is no state file.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["format"] != FORMAT:
            raise InputError(
                f"{path} has format {state['format']}, and this Onlooker knows {FORMAT}; use the same version"
            )
        return _judged(state, now, every_camera, stale_s)
    except FileNotFoundError:
        return Health((f"there is no {path}: onlooker watch has not been started here",))
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no state file of onlooker watch ({type(error).__name__}); name another") from error


def _judged(state: dict[str, Any], now: datetime, every_camera: bool, stale_s: float) -> Health:
    written = datetime.fromisoformat(state["time"])
    age_s = (now - written).total_seconds()
    if state["status"] == "stopped":
        return Health((f"onlooker watch was stopped at {_plain(written)}",))
    reasons: list[str] = []
    remarks: list[str] = []
    # A state from the future is of a clock that was set back since; it gets old all the same, only later.
    if age_s > stale_s:
        reasons.append(
            f"onlooker watch has said nothing for {age_s:.0f} s, since {_plain(written)}: it hangs or is gone"
        )
    if state["alert"] is not None:
        reasons.append(f"nothing can be stored: {state['alert']}")
    if state["hung_s"] > HUNG_S:
        reasons.append(f"a thread has been at one frame for {state['hung_s']:.0f} s")
    down = [
        camera for camera in state["cameras"] if (camera["silent_s"] or 0) > SILENT_S or camera["status"] == "fault"
    ]
    for camera in down:
        text = f"{camera['name']} gives no pictures"
        if camera["silent_s"] is not None:
            text += f", for {camera['silent_s']:.0f} s now"
        (reasons if every_camera else remarks).append(
            text + (f" ({camera['last_error']})" if camera["last_error"] else "")
        )
    if down and len(down) == len(state["cameras"]) and not every_camera:
        reasons.append("not a single camera gives pictures")
    return Health(tuple(reasons), tuple(remarks))


def _plain(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
