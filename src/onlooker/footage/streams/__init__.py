"""The kinds of source: RTSP, USB, HTTP, watched folders and recordings, all behind ``onlooker.footage.live.Source``."""
