"""HTTP cameras against a real server of the standard library that behaves as it is told."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from onlooker.errors import SourceError
from onlooker.footage.live import LiveFrame
from onlooker.footage.streams.http import HttpSource
from onlooker.footage.streams.sign_in import Answerer, read_challenges
from onlooker.runtime.pictures import encode_jpeg
from tests.http_server import serving

USER, PASSWORD = "eva", 'p@"ss:w\\ord'
Handle = Callable[[BaseHTTPRequestHandler], None]


def jpeg(number: int) -> bytes:
    return encode_jpeg(np.full((24, 32, 3), 10 * number % 250, np.uint8), 95)


@contextmanager
def camera(handle: Handle) -> Iterator[str]:
    """Serve with a function for every GET; yields the beginning of the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                handle(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def handle(self) -> None:
            # A client may hang up while the next request is waited for.
            with suppress(ConnectionResetError):
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as address:
        yield address


def answer(
    request: BaseHTTPRequestHandler, body: bytes, kind: str = "image/jpeg", status: int = 200, **more: str
) -> None:
    request.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def stream(
    parts: Iterator[bytes] | list[bytes], *, boundary: str = "frame", named: str | None = None, length: bool = True
) -> Handle:
    """Serve parts as MJPEG and end the connection."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={named or boundary}")
        request.send_header("Connection", "close")
        request.end_headers()
        for body in parts:
            size = f"Content-Length: {len(body)}\r\n" if length else ""
            request.wfile.write(f"--{boundary}\r\nContent-Type: image/jpeg\r\n{size}\r\n".encode() + body + b"\r\n")
        request.close_connection = True

    return handle


def source(address: str, **others: object) -> HttpSource:
    return HttpSource("Yard", lambda: address, **{"open_s": 1.0, "stall_s": 0.6, **others})


def frames_of(source: HttpSource, count: int) -> list[LiveFrame]:
    source.open()
    try:
        found: list[LiveFrame] = []
        while len(found) < count:
            if (frame := source.read(1.0)) is not None:
                found.append(frame)
        return found
    finally:
        source.close()


def failing(source: HttpSource) -> SourceError:
    """Open and read until it fails."""
    source.open()
    try:
        with pytest.raises(SourceError) as caught:
            assert all(source.read(0.2) is None or True for _ in range(1000))
        return caught.value
    finally:
        source.close()


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize(
    ("boundary", "named"), [("frame", None), ("frame", '"frame"'), ("--odd", "--odd"), ("odd", "--odd")]
)
def test_mjpeg_as_cameras_write_it(length: bool, boundary: str, named: str | None) -> None:
    with camera(stream([jpeg(n) for n in range(8)], boundary=boundary, named=named, length=length)) as url:
        frames = frames_of(source(url + "/video"), 7)
    assert [round(float(frame.rgb.mean()) / 10) for frame in frames] == list(range(7))
    assert [frame.sequence for frame in frames] == list(range(7))
    assert all(a.time_s <= b.time_s and a.time <= b.time for a, b in itertools.pairwise(frames))


def test_the_end_of_mjpeg_is_a_lost_camera() -> None:
    with camera(stream([jpeg(1)] * 3)) as url:
        assert failing(source(url)).kind == "ended"


def test_damaged_pictures_are_passed_over_and_a_flood_of_them_is_garbage() -> None:
    with camera(stream([jpeg(1), b"\xff\xd8" + bytes(300), jpeg(2), jpeg(3)])) as url:
        yard = source(url)
        assert [round(float(frame.rgb.mean()) / 10) for frame in frames_of(yard, 3)] == [1, 2, 3]
        assert yard.damaged == 1

    def flood() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.02)
            yield b"\xff\xd8" + bytes(300)

    with camera(stream(flood())) as url:
        assert failing(source(url)).kind == "garbage"


def test_a_wrong_length_spoils_only_its_own_picture() -> None:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.send_header("Connection", "close")
        request.end_headers()
        for number, wrong in ((1, 0), (2, -40), (3, 0), (4, 0)):
            body = jpeg(number)
            head = f"--frame\r\nContent-Length: {len(body) + wrong}\r\n\r\n"
            request.wfile.write(head.encode() + body + b"\r\n")
        request.close_connection = True

    with camera(handle) as url:
        assert [round(float(frame.rgb.mean()) / 10) for frame in frames_of(source(url), 3)] == [1, 3, 4]


def test_a_stream_that_freezes() -> None:
    def slow() -> Iterator[bytes]:
        yield jpeg(1)
        time.sleep(2)

    with camera(stream(slow())) as url:
        began_s = time.monotonic()
        error = failing(source(url))
        assert time.monotonic() - began_s < 1.9
    assert error.kind == "frozen"


def test_a_picture_that_trickles_in_is_given_up() -> None:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "image/jpeg")
        request.send_header("Content-Length", "100000")
        request.end_headers()
        for _ in range(40):
            request.wfile.write(b"x")
            time.sleep(0.1)

    with camera(handle) as url, pytest.raises(SourceError, match="takes more than 1 s for one picture") as caught:
        source(url).open()
    assert caught.value.kind == "frozen"


def test_a_picture_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.footage.streams.http.MAX_PICTURE_BYTES", 100_000)
    with camera(lambda request: answer(request, bytes(300_000))) as url:
        with pytest.raises(SourceError, match="more than 100,000 bytes") as caught:
            source(url).open()
        assert caught.value.kind == "garbage"
    with camera(stream([bytes(300_000)], length=False)) as url:
        assert failing(source(url)).kind == "garbage"


def test_snapshots_are_asked_for_at_their_rate() -> None:
    asked: list[float] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        asked.append(time.monotonic())
        answer(request, jpeg(len(asked)))

    with camera(handle) as url:
        frames = frames_of(source(url + "/snap.jpg?user=x&pw=y", rate=10), 4)
    assert [round(float(frame.rgb.mean()) / 10) for frame in frames] == [1, 2, 3, 4]
    assert asked[-1] - asked[0] > 0.2


def test_the_same_snapshot_for_ever_is_frozen() -> None:
    with camera(lambda request: answer(request, jpeg(1))) as url:
        assert failing(source(url, rate=50, same_s=0.3)).kind == "frozen"


def test_a_page_instead_of_pictures_says_so() -> None:
    with camera(lambda request: answer(request, b"<html>", "text/html")) as url:
        with pytest.raises(SourceError, match="answers with text/html, neither MJPEG nor a picture") as caught:
            source(url + "/?password=geheim").open()
        assert caught.value.kind == "codec"
        assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(("status", "words"), [(404, "nothing at that address"), (503, "out of order")])
def test_other_answers(status: int, words: str) -> None:
    with (
        camera(lambda request: answer(request, b"", status=status)) as url,
        pytest.raises(SourceError, match=f"status {status}: it .*{words}") as caught,
    ):
        source(url).open()
    assert caught.value.kind == "unreachable"


def test_nobody_there() -> None:
    with camera(lambda request: answer(request, b"")) as url:
        pass
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        source(url).open()
    assert caught.value.kind == "unreachable"


def test_redirections_stay_on_the_host() -> None:
    def handle(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/old":
            answer(request, b"", status=302, Location="/new")
        elif request.path == "/away":
            answer(request, b"", status=302, Location="http://example.org/")
        elif request.path == "/round":
            answer(request, b"", status=302, Location="/round")
        else:
            answer(request, jpeg(3))

    with camera(handle) as url:
        assert frames_of(source(url + "/old"), 1)
        with pytest.raises(SourceError, match="redirects to another host"):
            source(url + "/away").open()
        with pytest.raises(SourceError, match="redirects without end"):
            source(url + "/round").open()


def digest_server(algorithm: str | None, qop: bool) -> Handle:
    """Check a digest as RFC 7616 says, computed here by hand."""
    hashing = hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5
    counts: set[str] = set()

    def hashed(text: str) -> str:
        return hashing(text.encode()).hexdigest()

    def handle(request: BaseHTTPRequestHandler) -> None:
        line = request.headers.get("Authorization", "")
        given = {
            name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))', line)
        }
        who, what = hashed(f"{USER}:cam, 1:{PASSWORD}"), hashed(f"GET:{request.path}")
        middle = f"abc:{given.get('nc')}:{given.get('cnonce')}:auth" if qop else "abc"
        if given.get("response") == hashed(f"{who}:{middle}:{what}") and given.get("nc") not in counts:
            if qop:
                counts.add(given["nc"])
            answer(request, jpeg(len(counts) + 1 if qop else int(time.monotonic() * 20)))
            return
        challenge = 'Digest realm="cam, 1", nonce="abc", opaque="o"'
        challenge += f", algorithm={algorithm}" if algorithm else ""
        challenge += ', qop="auth,auth-int"' if qop else ""
        request.send_response(401)
        request.send_header("WWW-Authenticate", 'Basic realm="cam"')
        request.send_header("WWW-Authenticate", challenge)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return handle


@pytest.mark.parametrize("algorithm", [None, "MD5", "SHA-256"])
@pytest.mark.parametrize("qop", [True, False])
def test_digest_is_preferred_and_used_for_every_request(algorithm: str | None, qop: bool) -> None:
    with camera(digest_server(algorithm, qop)) as url:
        assert len(frames_of(source(url + "/s?a=1", rate=20, sign_in=lambda: (USER, PASSWORD)), 3)) == 3


def test_basic_sign_in() -> None:
    def handle(request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Authorization") == "Basic ZXZhOnBAInNzOndcb3Jk":
            answer(request, jpeg(1))
        else:
            answer(request, b"", status=401, WWW_Authenticate='Basic realm="x"')

    with camera(handle) as url:
        assert frames_of(source(url, sign_in=lambda: (USER, PASSWORD)), 1)
        with pytest.raises(SourceError, match="refuses the sign-in") as caught:
            source(url, sign_in=lambda: (USER, "geheim")).open()
        assert caught.value.kind == "refused"
        assert "geheim" not in str(caught.value)
        with pytest.raises(SourceError, match="wants a sign-in"):
            source(url).open()


def test_challenges_in_one_line_and_unknown_ones() -> None:
    found = read_challenges(
        ['Negotiate, Basic realm="a, b", Digest realm="c", nonce="n", algorithm=SHA-256, qop="auth"']
    )
    assert [each.scheme for each in found] == ["digest", "basic"]
    assert found[1].values == {"realm": "a, b"}
    assert read_challenges(['Digest realm="c", nonce="n", algorithm=MADE-UP', "NTLM"]) == []
    assert "geheim" not in repr(Answerer("eva", "geheim"))


def test_the_example_of_rfc_7616() -> None:
    answerer = Answerer("Mufasa", "Circle of Life")
    values = {"realm": "http-auth@example.org", "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "qop": "auth"}
    client = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    line = answerer._digest({**values, "algorithm": "MD5"}, "GET", "/dir/index.html", "00000001", client)
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in line
    line = answerer._digest({**values, "algorithm": "SHA-256"}, "GET", "/dir/index.html", "00000001", client)
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in line
