"""The configuration file ``onlooker.toml``: which cameras there are, and what is done with what they show.

The environment overrides the file. A variable is named ``ONLOOKER_`` and the path of the key with two underscores
between its parts, such as ``ONLOOKER_GALLERY`` or ``ONLOOKER_CAMERAS__FRONT_DOOR__PASSWORD``; lists are
written as JSON.

Only this module imports pydantic-settings, and nothing on the way of a search imports this module.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from onlooker.errors import ConfigError
from onlooker.footage.detection import DEFAULT_DETECTOR, DEFAULT_THRESHOLDS
from onlooker.footage.hardware import DECODINGS
from onlooker.footage.hours import Hours, parse_hours
from onlooker.footage.streams.addresses import Address, parse_address
from onlooker.footage.toml_lines import Place, key_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]  # the backport is installed on Python 3.10 alone

PREFIX = "ONLOOKER_"
BETWEEN = "__"
DEFAULT_FILE = Path("onlooker.toml")
EXAMPLE = Path(__file__).parent / "onlooker.example.toml"
"""A configuration with every key, each with its comment."""

_SECRET = re.compile(r"password|user|address")
"""Keys whose values are never shown in an error."""


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ConfigError("an address is a text, for example rtsp://192.168.1.20/stream1")
    return parse_address(value)[0]


def _polygon(value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if any(not 0 <= number <= 1 for corner in value for number in corner):
        raise ConfigError("corners are shares of the picture's width and height, from 0 to 1, not pixels")
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(value, [*value[1:], *value[:1]], strict=True)) / 2
    if abs(area) < 1e-6:
        raise ConfigError("the corners lie on one line; give at least three that enclose something")
    return value


Share = tuple[float, float]
PolygonField = Annotated[tuple[Share, ...], Field(min_length=3), AfterValidator(_polygon)]
AddressField = Annotated[Address, PlainValidator(_address), PlainSerializer(str)]


class Part(BaseModel):
    """A table of the file: unknown keys are mistakes, and mistakes do not show what was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Retention(Part):
    """How long sightings are kept."""

    days: float = Field(30, gt=0, description="Days; inf keeps them for ever.")
    gigabytes: float = Field(math.inf, gt=0, description="Space for this camera; above it the oldest go first.")


class Camera(Part):
    """One camera, or another source.

    ``name`` is what the gallery calls it; without one it is the key of its table.
    """

    name: str = Field("", max_length=100, description="What the gallery and searches call it.")
    enabled: bool = Field(True, description="false leaves it out.")
    address: AddressField = Field(description="rtsp://, http://, https://, /dev/videoN, a folder or a video file.")
    user: str | None = Field(None, min_length=1, description="User to sign in as.")
    password: SecretStr | None = Field(None, description="Password, in the file itself.")
    password_env: str | None = Field(None, min_length=1, description="Environment variable that holds the password.")
    password_file: Path | None = Field(None, description="File whose first line is the password.")
    transport: Literal["tcp", "udp"] = Field("tcp", description="How RTSP brings its packets.")
    decoder: str = Field("software", description=f"How to decode RTSP: {', '.join(DECODINGS)}.")
    size: str | None = Field(None, pattern=r"^\d{2,5}x\d{2,5}$", description="Size to ask a USB camera for.")
    frame_rate: float = Field(5, gt=0, le=120, description="Frames a second to look at, at most.")
    open_s: float = Field(10, gt=0, le=120, description="Seconds it may take to answer.")
    stall_s: float = Field(5, gt=0, le=600, description="Seconds it may send nothing before it counts as frozen.")
    region: PolygonField | None = Field(None, description="Polygon in which people have to stand to count.")
    masks: tuple[PolygonField, ...] = Field((), description="Polygons painted black before anything else.")
    hours: str | None = Field(None, description="When it is looked at; always where not given.")
    time_zone: str | None = Field(None, description="Time zone of its hours.")
    retention: Retention | None = Field(None, description="How long its sightings are kept.")
    detector: str = Field(DEFAULT_DETECTOR, description="Person detector, or the path of an ONNX file.")

    @model_validator(mode="before")
    @classmethod
    def _sign_in_from_address(cls, value: Any) -> Any:
        """Move a sign-in that stands in the address to the keys for it, so that the address can be shown."""
        if not isinstance(value, Mapping) or not isinstance(value.get("address"), str):
            return value
        try:
            _, sign_in = parse_address(value["address"])
        except ConfigError:
            # Said again, with its place, when the address itself is read.
            return value
        if sign_in is None:
            return value
        if "user" in value or (sign_in.password is not None and any(key.startswith("password") for key in value)):
            raise ConfigError("the sign-in stands both in the address and under user or password; leave one out")
        password = {} if sign_in.password is None else {"password": sign_in.password}
        return {**value, "user": sign_in.user, **password}

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value != value.strip() or any(ord(character) < 32 for character in value):
            raise ConfigError("a name has no space around it and stands on one line")
        return value

    @field_validator("decoder")
    @classmethod
    def _known_decoder(cls, value: str) -> str:
        return _one_of(value, DECODINGS)

    @field_validator("detector")
    @classmethod
    def _known_detector(cls, value: str) -> str:
        return value if value.endswith(".onnx") else _one_of(value, DEFAULT_THRESHOLDS, "or the path of an .onnx file")

    @field_validator("hours")
    @classmethod
    def _sensible_hours(cls, value: str | None) -> str | None:
        if value is not None:
            parse_hours(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        _zone(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Camera:
        given = self.model_fields_set
        passwords = [key for key in ("password", "password_env", "password_file") if getattr(self, key) is not None]
        if len(passwords) > 1:
            raise ConfigError(f"{' and '.join(passwords)} are given; keep one of them")
        if passwords and self.user is None:
            raise ConfigError(f"{passwords[0]} is given without a user; add user = ...")
        if self.user is not None and self.address.kind not in ("rtsp", "http"):
            raise ConfigError("user and password are for rtsp:// and http:// addresses")
        if self.user is not None and ":" in self.user:
            raise ConfigError("a user with a colon cannot sign in anywhere; correct user")
        for key, kinds in (("transport", ("rtsp",)), ("decoder", ("rtsp",)), ("size", ("usb",))):
            if key in given and self.address.kind not in kinds:
                raise ConfigError(
                    f"{key} is for {kinds[0]} cameras, and this is a {self.address.kind} source; leave it out"
                )
        return self

    def secret(self) -> str | None:
        """Return the password, read from where it is kept; None where there is none. Never show it.

        Raises:
            ConfigError: The variable is not set, or the file cannot be read.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_env is not None:
            value = os.environ.get(self.password_env)
            if not value:
                raise ConfigError(
                    f"camera {self.name}: the environment variable {self.password_env} is not set; set it"
                )
            return value
        if self.password_file is not None:
            try:
                lines = self.password_file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                raise ConfigError(
                    f"camera {self.name}: password_file {self.password_file} cannot be read ({reason})"
                ) from None
            if not lines or not lines[0]:
                raise ConfigError(f"camera {self.name}: password_file {self.password_file} is empty")
            return lines[0]
        return None

    def sign_in(self) -> tuple[str, str] | None:
        """Return user and password, or None where there is no user. Never show it.

        Raises:
            ConfigError: The password cannot be read.
        """
        return None if self.user is None else (self.user, self.secret() or "")

    def against(self, folder: Path) -> Camera:
        """Return the camera with relative paths taken from a folder."""
        update: dict[str, Any] = {"address": self.address.against(folder)}
        if self.password_file is not None:
            update["password_file"] = folder / self.password_file.expanduser()
        if self.detector.endswith(".onnx"):
            update["detector"] = str(folder / Path(self.detector).expanduser())
        return self.model_copy(update=update)


class Configuration(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter=BETWEEN,
        nested_model_default_partial_update=True,
    )

    gallery: Path = Field(Path("people.db"), description="The gallery file that sightings are stored in.")
    bundle: str | None = Field(None, description="Name or folder of the bundle; the shipped one where not given.")
    time_zone: str | None = Field(None, description="Time zone of all hours; this machine's where not given.")
    retention: Retention = Field(Retention(), description="How long sightings of all cameras are kept.")
    cameras: dict[str, Camera] = Field({}, description="The cameras, a table each.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file; read no other place."""
        return env_settings, init_settings

    @field_validator("cameras", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ConfigError("cameras are tables with a name each: [cameras.entrance]")
        for key in value:
            if not re.fullmatch(r"[a-z0-9_]{1,60}", str(key)):
                raise ConfigError(
                    f"the table [cameras.{key}] has to be called by small letters, digits and underscores, so that the "
                    "environment can name it; its name = ... may be anything"
                )
        return {
            key: {"name": key, **camera} if isinstance(camera, Mapping) else camera for key, camera in value.items()
        }

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        _zone(value)
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> Configuration:
        seen: dict[str, str] = {}
        for key, camera in self.cameras.items():
            if camera.name in seen:
                raise ConfigError(f"cameras.{seen[camera.name]} and cameras.{key} have the same name; change one")
            seen[camera.name] = key
        return self

    def hours_of(self, camera: Camera) -> Hours | None:
        """Return when a camera is looked at, or None for always."""
        return None if camera.hours is None else parse_hours(camera.hours, self.zone_of(camera))

    def zone_of(self, camera: Camera) -> tzinfo | None:
        """Return the time zone of a camera's hours and days, or None for this machine's."""
        return _zone(camera.time_zone or self.time_zone)

    def retention_of(self, camera: Camera) -> Retention:
        """Return how long a camera's sightings are kept."""
        return camera.retention or self.retention

    def against(self, folder: Path) -> Configuration:
        """Return the configuration with relative paths taken from a folder, that of its file."""
        bundle = self.bundle
        if bundle is not None and ("/" in bundle or bundle.startswith("~")):
            bundle = str(folder / Path(bundle).expanduser())
        return self.model_copy(
            update={
                "gallery": folder / self.gallery.expanduser(),
                "bundle": bundle,
                "cameras": {key: camera.against(folder) for key, camera in self.cameras.items()},
            }
        )


def load_configuration(path: Path = DEFAULT_FILE) -> Configuration:
    """Read a configuration file, with the environment over it; relative paths are taken from the file's folder.

    Args:
        path: A TOML file.

    Returns:
        The configuration. No camera is asked, no password read yet.

    Raises:
        ConfigError: The file cannot be read, or is wrong; every mistake is named with its line and key, and no secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            f"{path}: cannot read the configuration ({reason}); 'onlooker config example' writes one to begin with"
        ) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _toml_mistake(str(error), text)
        raise ConfigError(f"{path}, line {line}: {message}") from None
    mistakes: list[str] | None = None
    # The settings library takes names with an underscore before them for orders to itself.
    if orders := [key for key in table if key.startswith("_")]:
        raise ConfigError(f"{path}, line {key_lines(text)[orders[0],]}, {orders[0]}: there is no such key; take it out")
    try:
        configuration = Configuration(**table)
    except ValidationError as error:
        # Raised outside: what pydantic keeps of the input must not hang on our error as its context.
        mistakes = _mistakes(error, key_lines(text))
    except SettingsError:
        mistakes = [_unreadable()]
    if mistakes is not None:
        if len(mistakes) == 1:
            raise ConfigError(f"{path}, {mistakes[0]}")
        raise ConfigError(f"{path} has {len(mistakes)} mistakes:" + "".join(f"\n  {mistake}" for mistake in mistakes))
    return configuration.against(path.parent)


def _unreadable() -> str:
    """Name the environment variable whose JSON is broken, without its value."""
    names = []
    for name in _variables():
        try:
            json.loads(os.environ[name])
        except ValueError:
            names.append(name)
    # A list or a table is what is read as JSON; of the other values most are none.
    broken = [name for name in names if os.environ[name].lstrip()[:1] in ("[", "{")] or names
    return f"environment variable {' or '.join(broken)}: not the JSON that is wanted there; correct or unset it"


def _toml_mistake(message: str, text: str) -> tuple[str, int]:
    found = re.search(r"\s*\(at line (\d+), column (\d+)\)", message)
    if found is None:
        return f"not TOML: {message[:1].lower()}{message[1:]}", max(text.count("\n"), 1)
    return f"not TOML: {message[: found.start()]} (column {found[2]})", int(found[1])


def _mistakes(error: ValidationError, lines: dict[Place, int]) -> list[str]:
    from_environment = _variables()
    found = []
    for each in error.errors(include_url=False):
        # Names that pydantic adds for the branch of a union begin with a bracket or a function.
        place: Place = tuple(part for part in each["loc"] if not (isinstance(part, str) and "[" in part))
        key = ".".join(str(part) for part in place) or "(the whole)"
        variable = next((name for name, own in from_environment.items() if own == tuple(map(str, place))), None)
        if variable is None and each["type"] == "missing" and place[:-1] not in lines:
            variable = next(
                (name for name, own in from_environment.items() if own[: len(place) - 1] == place[:-1]), None
            )
        at = f"environment variable {variable}" if variable else f"line {_line(place, lines)}"
        found.append(f"{at}, {key}: {_words(each, place)}")
    return found


def _variables() -> dict[str, tuple[str, ...]]:
    """Return the variables of the environment that the settings read, with the path of the key each sets."""
    return {
        name: tuple(part.lower() for part in name[len(PREFIX) :].split(BETWEEN))
        for name in os.environ
        if name.upper().startswith(PREFIX)
    }


def _line(place: Place, lines: dict[Place, int]) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _words(mistake: Any, place: Place) -> str:
    kind, message, given = mistake["type"], mistake["msg"], mistake["input"]
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        return (
            f"there is no such key; did you mean {near[0]}?" if near else f"no such key; known are {', '.join(known)}"
        )
    if kind == "missing":
        return "this is missing; add it"
    if kind in ("value_error", "assertion_error"):
        return str(message).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    wanted = str(message).replace("Input should", "it should").replace("'", "")
    if kind == "string_pattern_mismatch" and place[-1] == "size":
        wanted = 'it should be width x height, for example "1280x720"'
    if isinstance(given, (str, int, float, bool)) and not _SECRET.search(str(place[-1])):
        return f"{given!r} cannot be used: {wanted}"
    return wanted[:1].lower() + wanted[1:]


def _known_keys(place: Place) -> list[str]:
    models: dict[Place, type[BaseModel]] = {(): Configuration, ("retention",): Retention}
    if place[:1] == ("cameras",) and len(place) >= 2:
        return list(Retention.model_fields if place[2:3] == ("retention",) else Camera.model_fields)
    return list(models.get(place, Configuration).model_fields)


def _one_of(value: str, known: Mapping[str, object], other: str = "") -> str:
    if value not in known:
        raise ConfigError(f"{value!r} is not known; choose one of {', '.join(known)}{', ' if other else ''}{other}")
    return value


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f'there is no time zone {name!r}; write one such as "Europe/Berlin" or "UTC"') from None
