"""An RTSP camera for the tests, run by the system's Python with GStreamer; it does what its standard input says.

    /usr/bin/python3 tests/rtsp_server.py [PORT]

prints ``port N`` and then obeys one command a line, each answered with ``ok``:

    rate R            frames a second from now on, below 25
    size W H          another resolution, in the middle of the stream
    freeze / thaw     stop sending / go on
    quit              end every connection and exit

Streams: /h264, /h265, /vp8, /sound (audio alone), /unknown (no codec that anybody knows), and /locked (H.264 with a
sign-in: user "eva", password "p@ss/w:rd%"). The picture is a ball that moves.
"""

from __future__ import annotations

import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

USER, PASSWORD = "eva", "p@ss/w:rd%"
FRONT = (
    "( videotestsrc is-live=true pattern=ball ! "
    "capsfilter name=size caps=video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! "
)
X264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 bitrate=800 threads=1"
STREAMS = {
    "/h264": FRONT + f"{X264} ! rtph264pay name=pay0 pt=96 config-interval=-1 )",
    "/h265": FRONT + "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=12 bitrate=800 ! "
    "h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1 )",
    "/vp8": FRONT + "vp8enc deadline=1 ! rtpvp8pay name=pay0 pt=96 )",
    "/unknown": FRONT + "rtpgstpay name=pay0 pt=96 )",
    "/sound": "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8 )",
}
STREAMS["/locked"] = STREAMS["/h264"]


class Camera:
    def __init__(self, port: int) -> None:
        self.server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(port))
        self.medias: list[GstRtspServer.RTSPMedia] = []
        self.size, self.gap_s, self.sent_s = ("320", "240"), 0.0, 0.0
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(USER, PASSWORD), token)
        # Everybody else may have the streams that are not locked.
        anybody = GstRtspServer.RTSPToken()
        anybody.set_string("media.factory.role", "anybody")
        auth.set_default_token(anybody)
        self.server.set_auth(auth)
        mounts = self.server.get_mount_points()
        for path, launch in STREAMS.items():
            factory = GstRtspServer.RTSPMediaFactory()
            factory.set_launch(launch)
            factory.set_shared(True)
            factory.set_latency(0)
            for role in ("user", "anybody"):
                # Who may see a stream but not have it made is asked for a sign-in.
                may = "false" if role == "anybody" and path == "/locked" else "true"
                permissions = f"{role}, media.factory.access=(boolean)true, media.factory.construct=(boolean){may}"
                factory.add_role_from_structure(Gst.Structure.new_from_string(permissions))
            factory.connect("media-configure", self.configured)
            mounts.add_factory(path, factory)
        self.server.attach(None)

    def configured(self, _: object, media: GstRtspServer.RTSPMedia) -> None:
        self.medias.append(media)
        self.apply(media)
        size = media.get_element().get_by_name_recurse_up("size")
        if size is not None:
            size.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.thin)

    def apply(self, media: GstRtspServer.RTSPMedia) -> None:
        size = media.get_element().get_by_name_recurse_up("size")
        if size is not None:
            width, height = self.size
            caps = f"video/x-raw,format=I420,width={width},height={height},framerate=25/1"
            size.set_property("caps", Gst.Caps.from_string(caps))

    def thin(self, *_: object) -> Gst.PadProbeReturn:
        now_s = time.monotonic()
        if now_s - self.sent_s < self.gap_s:
            return Gst.PadProbeReturn.DROP
        self.sent_s = now_s
        return Gst.PadProbeReturn.OK

    def obey(self, words: list[str]) -> bool:
        match words:
            case ["rate", rate]:
                self.gap_s = 1 / float(rate) - 0.02
            case ["size", width, height]:
                self.size = (width, height)
            case ["freeze"]:
                self.gap_s = float("inf")
            case ["thaw"]:
                self.gap_s = 0.0
            case _:
                return False
        for media in self.medias:
            self.apply(media)
        return True


def main() -> None:
    Gst.init(None)
    camera = Camera(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    loop = GLib.MainLoop()

    def listen() -> None:
        for line in sys.stdin:
            if not camera.obey(line.split()):
                break
            print("ok", flush=True)
        loop.quit()

    threading.Thread(target=listen, daemon=True).start()
    print("port", camera.server.get_bound_port(), flush=True)
    loop.run()


main()
