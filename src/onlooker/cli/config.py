"""``onlooker config``: write, check and show the configuration file of cameras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from onlooker.footage.cameras import Camera, Configuration
    from onlooker.footage.live import Source

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="[FILE]", help="The configuration file.", show_default=True)]
DEFAULT = Path("onlooker.toml")


@app.callback()
def _group() -> None:
    """Write, check and show the file that says which cameras are watched, and how.

    \b
    Examples:
      onlooker config example
      onlooker config check
      onlooker config check --connect
      onlooker config show --json
    """  # noqa: D301


@app.command("example", short_help="Write a commented onlooker.toml to begin with.")
def example(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="File to write, or - for the terminal.")] = DEFAULT,
) -> None:
    """Write a commented configuration with every key there is. A file that is there already is left alone.

    \b
    Examples:
      onlooker config example
      onlooker config example - | less
    """  # noqa: D301
    from onlooker.cli.console import note
    from onlooker.errors import ConfigError
    from onlooker.files import write_text
    from onlooker.footage.cameras import EXAMPLE

    text = EXAMPLE.read_text(encoding="utf-8")
    if str(file) == "-":
        print(text, end="")
        return
    if file.exists():
        raise ConfigError(f"{file} is there already; give another name, or - to print the example")
    write_text(file, text)
    # Passwords may come to stand in it.
    file.chmod(0o600)
    note(f"wrote {file}; set your cameras in it, then: onlooker config check {file}")


@app.command("check", short_help="Find every mistake in a configuration, with its line.")
def check(
    file: FileArgument = DEFAULT,
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask every camera for a picture, too; all at the same time.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Find every mistake: unknown keys, values that make no sense, passwords that cannot be read, decoders that lack.

    Each is named with its line and key. Exit code 0: all is well; 1: a camera does not answer; 2: there are mistakes.

    \b
    Examples:
      onlooker config check
      onlooker config check /etc/onlooker.toml --connect
    """  # noqa: D301
    from onlooker.cli.console import note
    from onlooker.errors import ConfigError
    from onlooker.footage.cameras import load_configuration

    configuration = load_configuration(file)
    mistakes = _mistakes(configuration)
    if mistakes:
        raise ConfigError(f"{file}: " + "\n  ".join(mistakes))
    for remark in _remarks(file, configuration):
        note(f"note: {remark}")
    answers = _connect(configuration) if connect else {}
    failed = [key for key, answer in answers.items() if answer["error"]]
    if json_:
        print(json.dumps({"file": str(file), "cameras": len(configuration.cameras), "answers": answers}))
    else:
        for key, answer in answers.items():
            what = answer["error"] or f"{answer['width']} x {answer['height']} after {answer['seconds']:.1f} s"
            print(f"{configuration.cameras[key].name}: {what}")
        count = len(configuration.cameras)
        print(f"{file}: no mistake, {count} camera{'' if count == 1 else 's'}")
    if failed:
        raise typer.Exit(1)


@app.command("show", short_help="Show the configuration that holds, with the environment and without secrets.")
def show(
    file: FileArgument = DEFAULT,
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what holds: the file, the environment over it, and defaults. Passwords and sign-ins are hidden.

    \b
    Examples:
      onlooker config show
      ONLOOKER_CAMERAS__ENTRANCE__FRAME_RATE=2 onlooker config show --json
    """  # noqa: D301
    from onlooker.footage.cameras import load_configuration

    values = _shown(load_configuration(file))
    if json_:
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return
    cameras = values.pop("cameras")
    for key, value in values.items():
        print(f"{key} = {_plain(value)}")
    for name, camera in cameras.items():
        print(f"\n[cameras.{name}]")
        for key, value in camera.items():
            print(f"{key} = {_plain(value)}")


def _shown(configuration: Configuration) -> dict[str, Any]:
    """Return the configuration as plain values; keys that are not set are left out."""
    from onlooker.footage.cameras import Retention

    def retention(limits: Retention) -> dict[str, float | str]:
        # JSON has no infinity.
        return {key: value if value < float("inf") else "inf" for key, value in limits.model_dump().items()}

    values = configuration.model_dump(mode="json", exclude={"cameras", "retention"}, exclude_none=True)
    values["retention"] = retention(configuration.retention)
    values["cameras"] = {}
    for key, camera in configuration.cameras.items():
        shown = camera.model_dump(mode="json", exclude={"password", "user", "retention"}, exclude_none=True)
        if camera.user is not None:
            shown["user"] = "***"
        if camera.password is not None:
            shown["password"] = "***"
        shown["retention"] = retention(configuration.retention_of(camera))
        values["cameras"][key] = shown
    return values


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_plain(inner)}" for key, inner in value.items()) + " }"
    return "inf" if value == "inf" else json.dumps(value, ensure_ascii=False)


def _mistakes(configuration: Configuration) -> list[str]:
    """Return what is wrong beyond the file itself: passwords that cannot be read, decoders that are not there."""
    from onlooker.errors import ConfigError
    from onlooker.footage.hardware import DECODINGS

    found = []
    for key, camera in configuration.cameras.items():
        if not camera.enabled:
            continue
        try:
            camera.secret()
        except ConfigError as error:
            found.append(str(error))
        if lacking := DECODINGS[camera.decoder].missing():
            found.append(f'cameras.{key}.decoder: {camera.decoder!r} needs {lacking}; install it or set "software"')
        if camera.detector.endswith(".onnx") and not Path(camera.detector).is_file():
            found.append(f"cameras.{key}.detector: there is no file {camera.detector}")
    return found


def _remarks(file: Path, configuration: Configuration) -> list[str]:
    found = []
    with_password = any(camera.password is not None for camera in configuration.cameras.values())
    if with_password and file.stat().st_mode & 0o077:
        found.append(f"{file} holds passwords and others may read it; chmod 600 {file}")
    for key, camera in configuration.cameras.items():
        path = camera.password_file
        if path is not None and path.exists() and path.stat().st_mode & 0o077:
            found.append(f"cameras.{key}: others may read {path}; chmod 600 {path}")
        if camera.address.kind in ("folder", "video") and not Path(str(camera.address)).exists():
            found.append(f"cameras.{key}: {camera.address} is not there yet")
        if camera.address.kind == "http" and camera.user is not None and camera.address.reveal().startswith("http:"):
            found.append(f"cameras.{key}: http:// carries the sign-in unencrypted; use https:// if the camera has it")
    if not configuration.cameras:
        found.append(f"{file} names no camera")
    return found


def _connect(configuration: Configuration) -> dict[str, dict[str, Any]]:
    """Ask each camera for one picture, all at the same time."""
    from concurrent.futures import ThreadPoolExecutor

    from onlooker.cli.console import progress
    from onlooker.footage.streams.making import make_source

    asked = {key: camera for key, camera in configuration.cameras.items() if camera.enabled}
    if not asked:
        return {}
    answers = {}
    with ThreadPoolExecutor(len(asked)) as pool, progress("asking", len(asked), unit="cameras") as advance:
        waiting = {key: pool.submit(_ask, make_source(camera), camera) for key, camera in asked.items()}
        for key, future in waiting.items():
            answers[key] = future.result()
            advance(1)
    return answers


def _ask(source: Source, camera: Camera) -> dict[str, Any]:
    import time

    from onlooker.errors import ConfigError, SourceError

    began_s = time.monotonic()
    answer: dict[str, Any] = {"error": None, "width": None, "height": None, "seconds": None}
    try:
        source.open()
        frame = source.read(camera.stall_s)
        if frame is None:
            answer["error"] = f"{camera.name} is there, but has no picture within {camera.stall_s:g} s"
        else:
            answer["height"], answer["width"] = frame.rgb.shape[:2]
    except (SourceError, ConfigError) as error:
        answer["error"] = str(error)
    finally:
        source.close()
    answer["seconds"] = round(time.monotonic() - began_s, 2)
    return answer
