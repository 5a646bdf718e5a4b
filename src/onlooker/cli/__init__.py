"""The command line: one small file per command, loaded only when that command runs.

A command file ``onlooker/cli/<name>.py`` holds one function ``run`` with typer annotations. It is listed in
``COMMANDS`` with its one-line help, so that ``onlooker --help`` and the start of a command import nothing but typer.

Exit codes: 0 done; 1 a run failed; 2 what was given cannot be used (typer's usage errors too); 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from onlooker import __version__
from onlooker.errors import OnlookerError

COMMANDS: dict[str, str] = {
    "demo": "Index the sample photos and footage, run four descriptions, write sheets to demo/.",
    "index": "Find the people in photos and videos and store them in a gallery.",
    "search": "Find the people in a gallery who fit a description.",
    "trail": "List where else the person of a sighting may have been seen.",
    "forget": "Delete people from a gallery so that nothing of them is left in it.",
    "embed": "Write the vectors of pictures or texts to a file.",
    "config": "Write, check and show the file that says which cameras are watched.",
    "watch": "Watch all cameras and store the people they see, until it is stopped.",
    "health": "Say whether watching is going well, for a supervisor.",
    "prepare": "Read a published dataset and write a manifest.",
    "train": "Train a dual encoder from a recipe and a manifest.",
    "tune": "Search for the settings of a recipe that give the best and the fastest model.",
    "evaluate": "Measure the retrieval quality of a bundle or checkpoint on a manifest.",
    "export": "Turn a trained checkpoint or a Hugging Face CLIP folder into a bundle.",
}
"""Each command with its one-line help, in the order of the help page."""

EXIT_INTERRUPTED = 130


class LazyGroup(TyperGroup):
    """A group of commands that imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the command names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return one command, or None for an unknown name; on the help page a stand-in that knows only its help."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in sys.argv[1:] and not getattr(self, "load_all", False):
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        return load_command(cmd_name)


def load_command(name: str) -> Any:
    """Import ``onlooker.cli.<name>`` and build its command, which may be a group of sub-commands (``app``)."""
    module = importlib.import_module(f"onlooker.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name, short_help=COMMANDS[name])(module.run)
    command = typer.main.get_command(app)
    command.name = name
    return command


def _version(value: bool) -> None:
    if value:
        print(f"onlooker {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Describe a person in words and find them in photos and footage, on this computer alone.

    \b
    Examples:
      onlooker demo
      onlooker index photos/ entrance.mp4 --gallery people.db --camera entrance
      onlooker search "woman in a long grey cardigan, dark boots" --gallery people.db
    """  # noqa: D301


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; the only place that turns errors into messages.

    Args:
        arguments: The words after ``onlooker``; those of the process when None.

    Returns:
        The exit code.
    """
    if arguments is not None:
        sys.argv = ["onlooker", *arguments]
    try:
        app(prog_name="onlooker", standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except OnlookerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone (``| head``); closing stderr keeps the interpreter from complaining at exit.
        sys.stderr.close()
        return EXIT_INTERRUPTED
    return 0
