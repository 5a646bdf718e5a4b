"""From a camera of the configuration to its source and keeper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onlooker.footage.areas import Masks
from onlooker.footage.hardware import DECODINGS
from onlooker.footage.keeper import Backoff, CameraKeeper
from onlooker.footage.streams.folder import WatchedFolder
from onlooker.footage.streams.http import HttpSource
from onlooker.footage.streams.recording import Recording
from onlooker.footage.streams.rtsp import rtsp_source
from onlooker.footage.streams.usb import usb_source

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera, Configuration
    from onlooker.footage.live import Source


def make_source(camera: Camera, *, memory: Path | None = None) -> Source:
    """Make the source of a camera; nothing is opened yet.

    Args:
        camera: The camera.
        memory: For a watched folder, the file that remembers which photos were acknowledged.

    Returns:
        The source.
    """
    name, address = camera.name, camera.address
    rate, open_s, stall_s = camera.frame_rate, camera.open_s, camera.stall_s
    match address.kind:
        case "rtsp":
            return rtsp_source(
                name,
                lambda: address.reveal(*(camera.sign_in() or ())),
                transport=camera.transport,
                rate=rate,
                open_s=open_s,
                stall_s=stall_s,
                decoding=DECODINGS[camera.decoder],
            )
        case "http":
            return HttpSource(name, address.reveal, sign_in=camera.sign_in, rate=rate, open_s=open_s, stall_s=stall_s)
        case "usb":
            size = None
            if camera.size is not None:
                width, _, height = camera.size.partition("x")
                size = (int(width), int(height))
            return usb_source(name, address.reveal(), size=size, rate=rate, open_s=open_s, stall_s=stall_s)
        case "folder":
            return WatchedFolder(name, Path(address.reveal()), memory=memory)
        case "video":
            return Recording(name, Path(address.reveal()), rate=rate)


def make_keeper(camera: Camera, configuration: Configuration, *, backoff: Backoff | None = None) -> CameraKeeper:
    """Make the keeper of a camera, with its masks and hours; it is not started yet.

    Args:
        camera: One of the configuration's cameras.
        configuration: Where it is from: time zone and gallery.
        backoff: How long to wait after failures.

    Returns:
        The keeper. What a watched folder has seen is remembered beside the gallery.
    """
    gallery = configuration.gallery
    key = next((key for key, each in configuration.cameras.items() if each is camera), "camera")
    source = make_source(camera, memory=gallery.with_name(f"{gallery.name}.{key}.seen"))
    return CameraKeeper(source, masks=Masks(camera.masks), hours=configuration.hours_of(camera), backoff=backoff)
