"""Signing in at HTTP cameras: Basic and Digest of RFC 7617 and RFC 7616."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_PART = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True)
class Challenge:
    """What a camera asks for in a WWW-Authenticate line.

    Attributes:
        scheme: "basic" or "digest".
        values: Its parameters by their lower-case names.
    """

    scheme: str
    values: dict[str, str]


def read_challenges(lines: Sequence[str]) -> list[Challenge]:
    """Read WWW-Authenticate lines; schemes that are not known are left out.

    Args:
        lines: The values of the header lines; a line may hold several challenges.

    Returns:
        The challenges that can be answered, the safest first.
    """
    found = []
    for line in lines:
        # A scheme is a word followed by space and a parameter; parameters themselves have an equals sign.
        starts = [*re.finditer(r"(?:^|,)\s*([A-Za-z][\w-]*)(?=\s+[\w-]+\s*=|\s*(?:,|$))", line)]
        for start, after in zip(starts, [*starts[1:], None], strict=True):
            part = line[start.end() : None if after is None else after.start()]
            values = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in _PART.findall(part)
            }
            found.append(Challenge(start[1].lower(), values))
    known = [each for each in found if each.scheme == "basic" or _digest_hash(each)]
    return sorted(known, key=lambda each: (each.scheme == "basic", _digest_hash(each) == "md5"))


def _digest_hash(challenge: Challenge) -> str | None:
    if challenge.scheme != "digest" or "nonce" not in challenge.values:
        return None
    qops = [each.strip() for each in challenge.values.get("qop", "auth").split(",")]
    return _HASHES.get(challenge.values.get("algorithm", "MD5").upper()) if "auth" in qops else None


class Answerer:
    """Answers one camera's challenge, request after request."""

    def __init__(self, user: str, password: str) -> None:
        """Keep a sign-in."""
        self._user, self._password = user, password
        self._challenge: Challenge | None = None
        self._count = 0

    def __repr__(self) -> str:
        return "Answerer(***)"

    def take(self, challenge: Challenge) -> None:
        """Answer this challenge from now on."""
        self._challenge, self._count = challenge, 0

    def header(self, method: str, target: str) -> str | None:
        """Return the Authorization line for a request, or None before any challenge was taken.

        Args:
            method: "GET".
            target: Path and query of the request.
        """
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            pair = f"{self._user}:{self._password}".encode()
            return "Basic " + base64.b64encode(pair).decode("ascii")
        self._count += 1
        return self._digest(self._challenge.values, method, target, f"{self._count:08x}", secrets.token_hex(8))

    def _digest(self, values: dict[str, str], method: str, target: str, count: str, client: str) -> str:
        algorithm = values.get("algorithm", "MD5")

        def hashed(text: str) -> str:
            return hashlib.new(_HASHES[algorithm.upper()], text.encode()).hexdigest()

        realm, nonce = values.get("realm", ""), values["nonce"]
        who = hashed(f"{self._user}:{realm}:{self._password}")
        what = hashed(f"{method}:{target}")
        parts = {"username": self._user, "realm": realm, "nonce": nonce, "uri": target}
        if "qop" in values:
            response = hashed(f"{who}:{nonce}:{count}:{client}:auth:{what}")
            bare = f", qop=auth, nc={count}"
            parts["cnonce"] = client
        else:
            response, bare = hashed(f"{who}:{nonce}:{what}"), ""
        parts["response"] = response
        if "opaque" in values:
            parts["opaque"] = values["opaque"]
        quoted = ", ".join(f'{name}="{_quoted(value)}"' for name, value in parts.items())
        return f"Digest {quoted}{bare}" + (f", algorithm={algorithm}" if "algorithm" in values else "")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
