"""Telling systemd how it is going: ready, alive, a line of status, stopping (``Type=notify`` and ``WatchdogSec=``)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(*lines: str) -> bool:
    """Send lines of systemd's notification protocol (sd_notify(3)) to the supervisor, if there is one.

    Args:
        lines: For example ``READY=1`` or ``WATCHDOG=1``.

    Returns:
        Whether there is one that was told.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        # A name that begins with @ lies in Linux' abstract space, whose names begin with a zero byte.
        line.sendto("\n".join(lines).encode(), "\0" + path[1:] if path.startswith("@") else path)
        return True
    return False
