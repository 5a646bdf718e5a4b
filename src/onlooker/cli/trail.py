"""``onlooker trail``: list where else the person of a sighting may have been seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from onlooker.cli.options import (
    BundleOption,
    CameraFilter,
    GalleryOption,
    SinceFilter,
    SourceFilter,
    ThreadsOption,
    UntilFilter,
    check_sheet,
    filter_of,
    open_gallery,
)

if TYPE_CHECKING:
    from onlooker.gallery.trail import Trail


def run(
    sighting: Annotated[
        int, typer.Argument(metavar="SIGHTING", help="A sighting, by its number in the results.", show_default=False)
    ],
    gallery: GalleryOption,
    top: Annotated[int, typer.Option("--top", "-n", metavar="N", help="How many suggestions at most.")] = 20,
    camera: CameraFilter = None,
    source: SourceFilter = None,
    since: SinceFilter = None,
    until: UntilFilter = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write the suggestions as CSV, a row each.", show_default=False),
    ] = None,
    sheet: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.png", help="Draw the suggestions as a contact sheet.", show_default=False),
    ] = None,
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
) -> None:
    """List where else the person of a sighting may have been seen, in the order of time.

    These are suggestions to look at, not statements of who somebody is: they rest on clothes, and many people wear dark
    jackets. The confidence counts on one more sighting of the person among those searched, so that naming the cameras
    and hours that can be makes it higher. Whoever is in the same picture at the same time is somebody else and left
    out, and so is who looks less alike than two people as a rule.

    \b
    Examples:
      onlooker trail 12 --gallery people.db
      onlooker trail 12 -g people.db --since 2h --camera "car park"
      onlooker trail 12 -g people.db --csv trail.csv --sheet trail.png
      onlooker trail 12 -g people.db --json

    \b
    Exit codes:
      0  answered, also where nobody is like the person
      2  the gallery, the bundle, a filter or the sighting cannot be used
    """  # noqa: D301
    from onlooker.cli.search import set_threads, write_tables

    check_sheet(sheet)
    set_threads(threads, many=False)

    from onlooker.gallery.likeness import likeness_of
    from onlooker.gallery.trail import trail
    from onlooker.runtime.encoder import open_encoder

    kept = filter_of(camera, source, since, until)
    encoder = open_encoder(bundle, threads=threads)
    with open_gallery(gallery, encoder, read_only=True) as opened:
        found = trail(opened, sighting, likeness=likeness_of(encoder), kept=kept, top=top)
        if json:
            _print_json(found)
        else:
            _print_table(found)
        write_tables(opened, [(f"sighting {sighting}", found.stops)], csv=csv, sheet=sheet)


def _print_json(found: Trail) -> None:
    from json import dumps

    from onlooker.gallery.results import match_of, sighting_of

    result = {
        "sighting": sighting_of(found.start),
        "searched": found.searched,
        "together": found.together,
        "stops": [match_of(match) for match in found.stops],
    }
    print(dumps(result, indent=2, ensure_ascii=False, allow_nan=False))


def _print_table(found: Trail) -> None:
    from onlooker.cli.search import print_matches
    from onlooker.gallery.results import clock, file_name, local_time

    start = found.start
    facts = (start.camera, local_time(start.time), clock(start.time_s), file_name(start.source))
    heading = f"sighting {start.id}: {', '.join(fact for fact in facts if fact)}"
    if not found.stops:
        print(f"{heading}\nNobody like that elsewhere, among {found.searched:,} sightings.")
        return
    print_matches(f"{heading}\nMay be the same person, in the order of time; to be looked at:", found.stops, best=False)
