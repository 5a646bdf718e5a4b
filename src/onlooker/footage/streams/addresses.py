"""Addresses of cameras: which kind each is, and how it is shown without the secrets it may carry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from onlooker.errors import ConfigError
from onlooker.footage.sources import VIDEO_SUFFIXES

Kind = Literal["rtsp", "http", "usb", "folder", "video"]

_HIDDEN = "***"
_EXAMPLES = "for example rtsp://192.168.1.20/stream1, http://192.168.1.21/video.mjpg, /dev/video0 or a folder"


class Address:
    """Where a camera is. Its text form shows neither a sign-in nor the values of a query string.

    Attributes:
        kind: "rtsp", "http" (https too), "usb", "folder" (watched for photos) or "video" (a recording).
    """

    # No dataclass: pydantic-settings would want one written as JSON in the environment.

    def __init__(self, kind: Kind, url: str) -> None:
        """Keep an address without a sign-in; ``parse_address`` makes one from what is written."""
        self.kind = kind
        self._url = url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self.kind, self._url) == (other.kind, other._url)

    def __hash__(self) -> int:
        return hash((self.kind, self._url))

    def reveal(self, user: str | None = None, password: str | None = None) -> str:
        """Return the address as it is, with a sign-in put into it where one is given. Never show or log this."""
        if user is None:
            return self._url
        parts = urlsplit(self._url)
        sign_in = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
        return urlunsplit(parts._replace(netloc=f"{sign_in}@{parts.netloc}"))

    def against(self, folder: Path) -> Address:
        """Return the address with a relative path taken from a folder."""
        if self.kind not in ("folder", "video"):
            return self
        return Address(self.kind, str(folder / self._url))

    def __str__(self) -> str:
        if self.kind not in ("rtsp", "http"):
            return self._url
        parts = urlsplit(self._url)
        # Many cameras take the password in the query string; which of its values is one cannot be known.
        query = re.sub(r"=[^&;]*", f"={_HIDDEN}", parts.query) if "=" in parts.query else parts.query and _HIDDEN
        return urlunsplit(parts._replace(query=query, fragment=""))

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


@dataclass(frozen=True)
class SignIn:
    """A sign-in found in an address."""

    user: str
    password: str | None

    def __repr__(self) -> str:
        return "SignIn(***)"


def parse_address(text: str) -> tuple[Address, SignIn | None]:
    """Take an address apart.

    Args:
        text: ``rtsp://...``, ``http://...``, ``https://...``, ``/dev/videoN``, or the path of a folder or video.

    Returns:
        The address without a sign-in, and the sign-in it carried, if any.

    Raises:
        ConfigError: It is none of these; the message shows no secret.
    """
    text = text.strip()
    if not text or any(ord(character) < 32 for character in text):
        raise ConfigError(f"an address is wanted, {_EXAMPLES}")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is None:
        if re.fullmatch(r"/dev/(video\d+|v4l/.+)", text):
            return Address("usb", text), None
        path = Path(text).expanduser()
        is_video = path.is_file() or (not path.is_dir() and path.suffix.lower() in VIDEO_SUFFIXES)
        return Address("video" if is_video else "folder", str(path)), None
    name = scheme[1].lower()
    if name not in ("rtsp", "http", "https"):
        raise ConfigError(f"addresses that begin with {name}:// are not known; give another, {_EXAMPLES}")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # The library's message quotes the address, and with it the password.
        host = None
    if not host:
        raise ConfigError(
            "the address has no host or no sensible port; a password with characters like / or @ belongs under "
            f"'password'; {_EXAMPLES}"
        )
    clean = urlunsplit(_without_sign_in(parts))
    sign_in = None
    if parts.username is not None:
        password = None if parts.password is None else unquote(parts.password)
        sign_in = SignIn(unquote(parts.username), password)
    return Address("rtsp" if name == "rtsp" else "http", clean), sign_in


def _without_sign_in(parts: SplitResult) -> SplitResult:
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.rpartition("@")[2])
