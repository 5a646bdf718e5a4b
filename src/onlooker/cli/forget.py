"""``onlooker forget``: delete sightings so that nothing of them is left in the gallery's files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from onlooker.cli.options import CameraFilter, GalleryOption, SinceFilter, SourceFilter, UntilFilter, filter_of

if TYPE_CHECKING:
    from onlooker.gallery.forgetting import Removed, Selected, Selection


def run(
    gallery: GalleryOption,
    sightings: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Argument(metavar="ID", help="Sightings, by their numbers in the results.", show_default=False),
    ] = None,
    track: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="N", help="The track with this number in the one --source.", show_default=False),
    ] = None,
    camera: CameraFilter = None,
    source: SourceFilter = None,
    since: SinceFilter = None,
    until: UntilFilter = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="Delete nothing more: erase what an earlier run had to leave while somebody was reading."
        ),
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, max=86_400, metavar="S", help="Seconds to wait for somebody who is reading.")
    ] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete people from a gallery: by sighting, track, camera, time or source; all that is given must hold.

    Crops, vectors and rows are overwritten, so that nothing of them can be found in the gallery's files. A camera or
    source that is named without a time goes with its name, and `onlooker index` would read such a file again; what else
    is forgotten does not come back, whatever is indexed or resumed.

    The original photos and videos are not touched, nor are copies of the gallery, and neither are sheets and tables
    that were written from it.

    \b
    Examples:
      onlooker forget 12 15 --gallery people.db
      onlooker forget -g people.db --source entrance.mp4 --track 3
      onlooker forget -g people.db --camera entrance --until 2026-05-17 --dry-run
      onlooker forget -g people.db --camera "car park" --yes --json
      onlooker forget -g people.db --finish

    \b
    Exit codes:
      0  deleted and erased, nothing to delete, a dry run, or the answer was no
      1  deleted, but somebody was reading all the while: run it again with --finish
      2  the gallery or what was chosen cannot be used
    """  # noqa: D301
    from onlooker.errors import ConfigError
    from onlooker.gallery.forgetting import Removed, forget, select
    from onlooker.gallery.forgetting import finish as erase
    from onlooker.gallery.store import Gallery

    chosen = sightings or camera or source or since or until or track is not None
    if finish and (chosen or dry_run):
        raise ConfigError("--finish deletes nothing more; give it alone, or leave it away")
    if finish:
        with Gallery.open(gallery) as opened:
            _report(Removed(erased=erase(opened, wait_s=wait, on_wait=_say_waiting)), gallery, json=json)
        return
    what = _selection(sightings, track, camera, source, since, until)
    if dry_run:
        with Gallery.open(gallery, read_only=True) as opened:
            selected = select(opened, what)
        _print_selected(selected, gallery, json=json)
        return
    with Gallery.open(gallery) as opened:
        selected = select(opened, what)
        if selected and not yes:
            _ask(selected, gallery)
        removed = forget(opened, what, wait_s=wait, on_wait=_say_waiting)
        _report(removed, gallery, json=json)


def _selection(
    sightings: list[int] | None,
    track: int | None,
    camera: list[str] | None,
    source: list[str] | None,
    since: str | None,
    until: str | None,
) -> Selection:
    from onlooker.gallery.forgetting import Selection

    return Selection(sightings=tuple(sightings or ()), track=track, kept=filter_of(camera, source, since, until))


def summary(selected: Selected) -> str:
    """Return what a selection names in a few lines for people."""
    from onlooker.gallery.results import local_time

    lines = [f"{_count(len(selected.ids), 'sighting')} ({_size(selected.bytes)})"]
    if selected.first is not None:
        lines[0] += f", seen from {local_time(selected.first)} to {local_time(selected.last)}"
    for what, names, count, dropped in (
        ("camera", selected.cameras, len(selected.cameras), selected.dropped_cameras),
        ("source", selected.sources, selected.source_count, selected.dropped_sources),
    ):
        if count:
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            gone = f" ({'it goes' if dropped == 1 else f'{dropped:,} of them go'} as a whole)" if dropped else ""
            lines.append(f"{_count(count, what)}: {', '.join(names)}{more}{gone}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _ask(selected: Selected, gallery: Path) -> None:
    from onlooker.cli.console import note
    from onlooker.errors import ConfigError

    note(summary(selected))
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked whether to delete them; add --yes")
    # On stderr, so that what is printed for a pipe stays clean.
    print(f"Delete them from {gallery} for good? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        note("nothing was deleted")
        raise typer.Exit


def _say_waiting() -> None:
    from onlooker.cli.console import note

    note("deleted; waiting for somebody who is reading the gallery, so that the log can be erased ...")


def _print_selected(selected: Selected, gallery: Path, *, json: bool) -> None:
    if not json:
        print(f"would delete from {gallery}:\n{summary(selected)}" if selected else f"{gallery} holds none of them")
        return
    from json import dumps

    result: dict[str, Any] = {
        "gallery": str(gallery),
        "dry_run": True,
        "sightings": len(selected.ids),
        "ids": list(selected.ids),
        "bytes": selected.bytes,
        "first": None if selected.first is None else selected.first.isoformat(),
        "last": None if selected.last is None else selected.last.isoformat(),
        "cameras": list(selected.cameras),
        "sources": selected.source_count,
        "whole_cameras": selected.dropped_cameras,
        "whole_sources": selected.dropped_sources,
    }
    print(dumps(result, indent=2, ensure_ascii=False))


def _report(removed: Removed, gallery: Path, *, json: bool) -> None:
    from onlooker.errors import OnlookerError

    if json:
        from json import dumps

        result = {
            "gallery": str(gallery),
            "dry_run": False,
            "sightings": removed.sightings,
            "bytes": removed.bytes,
            "whole_cameras": removed.cameras,
            "whole_sources": removed.sources,
            "erased": removed.erased,
        }
        print(dumps(result, indent=2, ensure_ascii=False))
    else:
        print(f"deleted {_count(removed.sightings, 'sighting')} ({_size(removed.bytes)}) from {gallery}")
    if not removed.erased:
        raise OnlookerError(
            f"somebody has been reading {gallery} all the while, so that its log still holds what was deleted; "
            f"close what reads it and run `onlooker forget --gallery {gallery} --finish`"
        )
