"""USB cameras and whatever else Linux shows as /dev/videoN (V4L2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import av

from onlooker.errors import SourceError
from onlooker.footage.streams.packets import PacketSource

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer

    from onlooker.footage.live import SeenClock


def usb_source(
    name: str,
    device: str,
    *,
    size: tuple[int, int] | None = None,
    rate: float | None = None,
    open_s: float = 10.0,
    stall_s: float = 5.0,
    driver: str = "v4l2",
    seen: SeenClock | None = None,
) -> PacketSource:
    """Describe a USB camera.

    Args:
        name: What it is called in messages.
        device: Its device file.
        size: Width and height to ask it for, in pixels; its own choice where None.
        rate: Frames a second to give at most; the camera runs at its own rate.
        open_s: How long it may take to open.
        stall_s: How long it may send nothing.
        driver: FFmpeg's name of the kind of device.
        seen: Tells when a frame was seen.

    Returns:
        The source, not yet open.
    """
    options = {} if size is None else {"video_size": f"{size[0]}x{size[1]}"}

    def opened(hwaccel: HWAccel | None) -> InputContainer:
        if driver == "v4l2" and not os.path.exists(device):
            raise SourceError(f"{name} is not there: no {device}; plug it in or correct its address")
        return av.open(device, format=driver, options=options, timeout=(open_s, stall_s))

    return PacketSource(name, opened, rate=rate, stall_s=stall_s, seen=seen)
