"""What the commands share: notes and progress bars on stderr, so that stdout stays clean for pipes."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, steps: float, text: str = "") -> None:
        """Count steps done since the last call, and show a few words beside the bar."""
        ...


def note(text: str) -> None:
    """Say something to the user that is not the command's result."""
    print(text, file=sys.stderr, flush=True)


def quiet_libraries() -> None:
    """Keep the loading bars and notices of transformers off the user's terminal; call it before it is imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


@contextmanager
def progress(description: str, total: float | None, *, unit: str = "", done: int = 0) -> Iterator[Advance]:
    """Show a progress bar with count, rate and time left while the block runs; nothing where stderr is no terminal.

    Args:
        description: What is being done, a few words.
        total: The number of steps, or None where it is not known.
        unit: What a step is ("photos").
        done: Steps that were done before (after a resume).

    Yields:
        A function to call with the number of steps done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda steps, text="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, completed=int(done), text="")

        def advance(steps: float, text: str = "") -> None:
            bar.update(task, advance=steps, text=text)

        yield advance


@contextmanager
def stop_switch() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question asked between steps, so that the state is saved; the second is sudden."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
