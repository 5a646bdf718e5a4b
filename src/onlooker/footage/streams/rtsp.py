"""RTSP cameras, over TCP or UDP."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import av
import av.error

from onlooker.errors import SourceError
from onlooker.footage.hardware import SOFTWARE, Decoding
from onlooker.footage.streams.packets import PacketSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer

    from onlooker.footage.live import SeenClock

SILENT_S = 0.25
"""With less of the time for opening left, the camera did not answer."""
AGAIN_S = 0.2
PROBE_S = 2.0
"""How long FFmpeg may look at a stream whose description lacks its size."""


def rtsp_source(
    name: str,
    address: Callable[[], str],
    *,
    transport: Literal["tcp", "udp"] = "tcp",
    rate: float | None = None,
    open_s: float = 10.0,
    stall_s: float = 5.0,
    decoding: Decoding = SOFTWARE,
    seen: SeenClock | None = None,
) -> PacketSource:
    """Describe an RTSP camera.

    Args:
        name: What it is called in messages.
        address: Gives the address with the sign-in in it; asked anew at each opening, so that a password that has been
            changed in its file is found.
        transport: "tcp" loses nothing, "udp" is for cameras that have nothing else.
        rate: Frames a second to give at most; None gives all.
        open_s: How long it may take to answer.
        stall_s: How long it may send nothing.
        decoding: How to decode.
        seen: Tells when a frame was seen.

    Returns:
        The source, not yet open.
    """
    options = {
        "rtsp_transport": transport,
        "analyzeduration": str(round(PROBE_S * 1_000_000)),
        # Frame rates are not guessed here, and guessing them takes a second.
        "fpsprobesize": "0",
    }

    def opened(hwaccel: HWAccel | None) -> InputContainer:
        began_s = time.monotonic()
        limits = (open_s, stall_s)
        with suppress(av.error.InvalidDataError, av.error.HTTPOtherClientError):
            # Sound beside the picture would only cost.
            only_pictures = {**options, "allowed_media_types": "video"}
            return av.open(address(), options=only_pictures, timeout=limits, hwaccel=hwaccel)
        # A camera that is silent, one that sends garbage and one without a picture (nothing is set up, so it
        # refuses to play) all come to this.
        left_s = open_s - (time.monotonic() - began_s)
        if left_s < SILENT_S:
            raise SourceError(f"{name} does not answer; look after its power, its network and its address")
        # Some servers are not done with the first connection for a moment.
        time.sleep(AGAIN_S)
        with suppress(av.error.HTTPOtherClientError, av.error.HTTPServerError):
            return av.open(address(), options=options, timeout=(left_s, stall_s), hwaccel=hwaccel)
        raise SourceError(
            f"{name} has no picture that can be decoded, or none over {transport}; set its stream to H.264 or H.265, "
            "or try the other transport",
            "codec",
        )

    return PacketSource(name, opened, rate=rate, stall_s=stall_s, decoding=decoding, seen=seen)
