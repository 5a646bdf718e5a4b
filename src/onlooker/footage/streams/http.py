"""HTTP cameras: a stream of JPEGs (MJPEG), or one picture a request (snapshots); the answer tells which."""

from __future__ import annotations

import http.client
import io
import re
import ssl
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from onlooker import __version__
from onlooker.errors import PictureError, SourceError
from onlooker.footage.live import LiveFrame, SeenClock, Slots
from onlooker.footage.streams.sign_in import Answerer, read_challenges
from onlooker.runtime.pictures import decode_picture

MAX_PICTURE_BYTES = 30_000_000
MAX_LINE_BYTES = 8_192
MAX_LINES = 100
MAX_REDIRECTS = 3
SAME_S = 60.0
"""A camera whose snapshots are the same to the byte for so long is frozen; a sensor has noise."""

_PICTURES = ("image/jpeg", "image/jpg", "image/pjpeg", "image/png", "image/webp")


class HttpSource:
    """An HTTP camera.

    Neither carries presentation times: ``time_s`` is this machine's monotonic clock since the first picture.

    Attributes:
        name: What it is called in messages.
        live: True.
        damaged: Pictures passed over since it was opened.
    """

    live = True

    def __init__(
        self,
        name: str,
        address: Callable[[], str],
        *,
        sign_in: Callable[[], tuple[str, str] | None] = lambda: None,
        rate: float | None = None,
        open_s: float = 10.0,
        stall_s: float = 5.0,
        same_s: float = SAME_S,
        seen: SeenClock | None = None,
    ) -> None:
        """Describe the source.

        Args:
            name: What it is called in messages.
            address: Gives the address, http or https, without a sign-in; https is checked against this machine's
                certificates.
            sign_in: Gives user and password, or None; asked anew at each opening.
            rate: Pictures a second to give, or to ask for, at most; None gives all of a stream, and one snapshot a
                second.
            open_s: How long it may take to answer, and to send a whole snapshot.
            stall_s: How long a stream may send no usable picture.
            same_s: How long snapshots may stay the same.
            seen: Tells when a picture was seen.
        """
        self.name = name
        self.damaged = 0
        self._address, self._sign_in, self._rate = address, sign_in, rate
        self._open_s, self._stall_s, self._same_s = open_s, stall_s, same_s
        self._seen = seen or SeenClock()
        self._answerer: Answerer | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._parts: _Parts | None = None

    def open(self) -> None:
        """Connect (see ``Source``); the first answer tells whether it is a stream or snapshots."""
        self.close()
        try:
            self._open()
        except SourceError:
            self.close()
            raise

    def _open(self) -> None:
        pair = self._sign_in()
        self._answerer = None if pair is None else Answerer(*pair)
        self._url = self._address()
        response = self._get()
        kind = response.headers.get_content_type()
        self._first: bytes | None = None
        if kind.startswith("multipart/"):
            self._parts = _Parts(self.name, response, str(response.headers.get_param("boundary") or ""))
        elif kind in _PICTURES:
            self._first = self._body(response)
        else:
            raise SourceError(
                f"{self.name} answers with {kind}, neither MJPEG nor a picture; correct the path of its address",
                "codec",
            )
        self.damaged, self._sequence = 0, -1
        self._slots, self._begin_s = Slots(self._rate), None
        self._last_bytes: bytes | None = None
        self._arrived_s = self._changed_s = self._next_s = time.monotonic()
        self._bad_since_s: float | None = None
        self._seen.restart()

    _begin_s: float | None

    def read(self, timeout_s: float) -> LiveFrame | None:
        """Return the next picture (see ``Source``)."""
        if self._connection is None and self._parts is None:
            raise SourceError(f"{self.name} is not open", "ended")
        until_s = time.monotonic() + timeout_s
        return self._next_snapshot(until_s) if self._parts is None else self._next_part(self._parts, until_s)

    def close(self) -> None:
        """Disconnect (see ``Source``)."""
        self._parts = None
        if self._response is not None:
            # It holds the socket where it is the last answer on its connection.
            self._response.close()
            self._response = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _next_part(self, parts: _Parts, until_s: float) -> LiveFrame | None:
        while True:
            picture = parts.next(self._arrived_s + self._stall_s)
            self._arrived_s = time.monotonic()
            if (frame := self._given(picture, self._arrived_s)) is not None:
                return frame
            if self._arrived_s >= until_s:
                return None

    def _next_snapshot(self, until_s: float) -> LiveFrame | None:
        picture, self._first = self._first, None
        if picture is None:
            now_s = time.monotonic()
            if self._next_s > now_s:
                time.sleep(max(min(self._next_s, until_s) - now_s, 0))
                if self._next_s > until_s:
                    return None
            self._next_s = max(self._next_s, time.monotonic() - 1) + 1 / (self._rate or 1.0)
            response = self._get()
            if (kind := response.headers.get_content_type()) not in _PICTURES:
                raise SourceError(
                    f"{self.name} answers with {kind} instead of a picture; restart the camera", "garbage"
                )
            picture = self._body(response)
        now_s = time.monotonic()
        if picture == self._last_bytes:
            if now_s - self._changed_s > self._same_s:
                raise SourceError(
                    f"{self.name} gives the same picture for {self._same_s:g} s; restart the camera", "frozen"
                )
            return None
        self._last_bytes, self._changed_s = picture, now_s
        return self._given(picture, now_s, all_wanted=True)

    def _given(self, picture: bytes, now_s: float, *, all_wanted: bool = False) -> LiveFrame | None:
        self._sequence += 1
        self._begin_s = now_s if self._begin_s is None else self._begin_s
        time_s = now_s - self._begin_s
        if not all_wanted and not self._slots.wants(time_s):
            return None
        try:
            rgb = decode_picture(picture, self.name)
        except PictureError:
            self.damaged += 1
            self._bad_since_s = now_s if self._bad_since_s is None else self._bad_since_s
            if now_s - self._bad_since_s > self._stall_s:
                raise SourceError(
                    f"{self.name} has sent nothing but damaged pictures for {self._stall_s:g} s; restart the camera",
                    "garbage",
                ) from None
            return None
        self._bad_since_s = None
        return LiveFrame(rgb, self._seen.now(), time_s, self._sequence)

    def _get(self) -> http.client.HTTPResponse:
        """Ask for the address, following redirections on the same host and answering a challenge once."""
        answered = False
        for _ in range(MAX_REDIRECTS + 2):
            response = self._request()
            if response.status in (301, 302, 303, 307, 308) and (place := response.headers.get("Location")):
                self._follow(place)
                self._body(response)
            elif response.status == 401 and self._answerer is not None:
                challenges = read_challenges(response.headers.get_all("WWW-Authenticate") or [])
                stale = challenges and challenges[0].values.get("stale", "").lower() == "true"
                if answered and not stale:
                    raise SourceError(f"{self.name} refuses the sign-in; correct its user and password", "refused")
                if not challenges:
                    raise SourceError(f"{self.name} wants a kind of sign-in that is not known here", "refused")
                self._answerer.take(challenges[0])
                answered = True
                self._body(response)
            elif response.status in (401, 403):
                raise SourceError(f"{self.name} wants a sign-in; set its user and password", "refused")
            elif response.status != 200:
                what = "has nothing at that address; correct its path" if response.status == 404 else "is out of order"
                raise SourceError(f"{self.name} answers with status {response.status}: it {what}")
            else:
                return response
        raise SourceError(f"{self.name} redirects without end; correct its address")

    def _request(self) -> http.client.HTTPResponse:
        parts = urlsplit(self._url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        words = None
        # A camera may have closed a connection that was kept; then it is made anew, once.
        for fresh in (self._connection is None, True):
            self._connection = self._connection or self._connect(parts.scheme, parts.hostname or "", parts.port)
            connection = self._connection
            headers = {"User-Agent": f"onlooker/{__version__}", "Accept": "*/*"}
            if self._answerer is not None and (line := self._answerer.header("GET", target)) is not None:
                headers["Authorization"] = line
            try:
                connection.request("GET", target, headers=headers)
                # Kept, since the connection gives its socket away where the answer is the last on it.
                socket = connection.sock
                response = connection.getresponse()
                socket.settimeout(self._stall_s)
            except (OSError, http.client.HTTPException, ValueError) as failure:
                words = _words(failure)
                self.close()
                if fresh:
                    break
                continue
            self._response = response
            return response
        raise SourceError(f"{self.name} cannot be reached ({words}); look after its power, network and address")

    def _connect(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._open_s, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=self._open_s)

    def _follow(self, place: str) -> None:
        here, there = urlsplit(self._url), urlsplit(urljoin(self._url, place))
        if there.hostname != here.hostname or (here.scheme == "https" and there.scheme != "https"):
            # Another host is not to be given this camera's password.
            raise SourceError(f"{self.name} redirects to another host; give that one's address instead")
        if (there.scheme, there.port) != (here.scheme, here.port):
            self.close()
        self._url = there.geturl()

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """Read an answer whole, within limits of size and time."""
        until_s = time.monotonic() + self._open_s
        body = io.BytesIO()
        error = None
        try:
            while chunk := response.read1(65_536):
                body.write(chunk)
                if body.tell() > MAX_PICTURE_BYTES:
                    error = SourceError(
                        f"{self.name} sends a picture of more than {MAX_PICTURE_BYTES:,} bytes", "garbage"
                    )
                elif time.monotonic() > until_s:
                    error = SourceError(f"{self.name} takes more than {self._open_s:g} s for one picture", "frozen")
                if error is not None:
                    break
        except (OSError, http.client.HTTPException, ValueError) as failure:
            kind = "frozen" if isinstance(failure, TimeoutError) else "ended"
            error = SourceError(f"{self.name} stops in the middle of a picture ({_words(failure)})", kind)
        if error is not None:
            self.close()
            raise error
        # Reading in pieces does not end an answer by itself, and the next one could not begin.
        response.close()
        return body.getvalue()


class _Parts:
    """The pictures of a multipart answer, one after another."""

    def __init__(self, name: str, response: http.client.HTTPResponse, boundary: str) -> None:
        self._name, self._response = name, response
        # Some cameras write the two dashes into the name of the boundary, and some do not.
        self._boundary = b"--" + boundary.strip('"').removeprefix("--").encode("latin-1")
        self._buffer = bytearray()

    def next(self, until_s: float) -> bytes:
        """Return the next picture, which must be complete by a time of the monotonic clock."""
        self._until_s = until_s
        self._skip_to_boundary()
        length = self._headers()
        if length is not None:
            while len(self._buffer) < length:
                self._more()
            return self._take(length)
        end = self._find(b"\r\n" + self._boundary)
        return self._take(end)

    def _skip_to_boundary(self) -> None:
        place = self._find(self._boundary)
        begin = self._buffer.rfind(b"\n", 0, place) + 1
        if not self._buffer[begin:place].strip(b"-"):
            # With more dashes than were announced.
            self._boundary, place = bytes(self._buffer[begin : place + len(self._boundary)]), begin
        self._take(place)
        line = self._line()
        if line == self._boundary + b"--":
            raise SourceError(f"{self._name} has ended its stream", "ended")

    def _headers(self) -> int | None:
        length = None
        for _ in range(MAX_LINES):
            line = self._line()
            if not line:
                return length
            found = re.fullmatch(rb"content-length:\s*(\d{1,9})\s*", line, re.IGNORECASE)
            if found and 0 < int(found[1]) <= MAX_PICTURE_BYTES:
                length = int(found[1])
        raise SourceError(f"{self._name} sends something that is no MJPEG", "garbage")

    def _line(self) -> bytes:
        end = self._find(b"\n", MAX_LINE_BYTES)
        return self._take(end + 1).rstrip(b"\r\n")

    def _find(self, what: bytes, limit: int | None = None) -> int:
        start = 0
        limit = limit or MAX_PICTURE_BYTES
        while (place := self._buffer.find(what, start)) < 0:
            if len(self._buffer) > limit:
                raise SourceError(f"{self._name} sends something that is no MJPEG", "garbage")
            start = max(len(self._buffer) - len(what) + 1, 0)
            self._more()
        return place

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _more(self) -> None:
        error = None
        try:
            chunk = self._response.read1(65_536)
            if not chunk:
                error = SourceError(f"{self._name} has ended its stream", "ended")
        except (OSError, http.client.HTTPException, ValueError) as failure:
            if isinstance(failure, TimeoutError):
                error = SourceError(f"{self._name} sends nothing any more", "frozen")
            else:
                error = SourceError(f"{self._name} has broken off ({_words(failure)})", "ended")
        if error is None and time.monotonic() > self._until_s:
            error = SourceError(f"{self._name} has sent no whole picture in time", "frozen")
        if error is not None:
            raise error
        self._buffer += chunk


def _words(failure: BaseException) -> str:
    """Return what went wrong without quoting an address."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {failure.verify_message}"
    if isinstance(failure, TimeoutError):
        return "no answer"
    return getattr(failure, "strerror", None) or type(failure).__name__
