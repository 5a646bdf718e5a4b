"""``onlooker index``: find the people in photos and videos and store them in a gallery."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from onlooker.cli.options import BundleOption, ThreadsOption, open_gallery

if TYPE_CHECKING:
    from onlooker.footage.ingest import IngestReport


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Photos, videos, or folders of them.", show_default=False),
    ],
    gallery: Annotated[
        Path,
        typer.Option(
            "--gallery", "-g", metavar="FILE", help="The gallery; made where it is missing.", show_default=False
        ),
    ],
    camera: Annotated[
        str,
        typer.Option(metavar="NAME", help="The camera these are from, for filters and results."),
    ] = "default",
    detect: Annotated[
        bool,
        typer.Option(
            "--detect/--no-detect",
            help="Cut people out and follow them, or store whole pictures (of a video a frame a second).",
        ),
    ] = True,
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What finds people: union (finds the most), openimages (about twice as fast) or ssdlite.",
        ),
    ] = "union",
    every: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            metavar="SECONDS",
            help="Look at a frame of a video this often.  [default: 0.2; with --no-detect 1]",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="TIME",
            help="When the recording began: 2026-05-17T14:30 (local time, or with a zone: ...Z, ...+02:00). Photos "
            "have their own time where the camera wrote one.",
            show_default=False,
        ),
    ] = None,
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Find the people in photos and videos and store them in a gallery.

    Each person is stored once for each photo, and once for each time he or she walks through a video. Files are known
    by their content: what is in the gallery already is passed over, also under another name. It may be stopped at any
    moment (Ctrl-C); the same command then goes on where it was.

    \b
    Examples:
      onlooker index photos/ --gallery people.db
      onlooker index entrance.mp4 -g people.db --camera entrance --start 2026-05-17T08:00
      onlooker index recordings/ -g people.db --camera yard --detector openimages --every 0.5
      onlooker index album/ -g album.db --no-detect

    \b
    Exit codes:
      0  something was read, or was in the gallery already (files that cannot be read are named and left out)
      2  nothing could be read, or the gallery, the bundle or an option cannot be used
    """  # noqa: D301
    from onlooker.cli.console import note, progress
    from onlooker.errors import InputError
    from onlooker.footage.detection import load_detector
    from onlooker.footage.ingest import Ingest, IngestOptions
    from onlooker.footage.sources import find_sources
    from onlooker.runtime.encoder import open_encoder

    begun = time.monotonic()
    sources = find_sources(paths)
    options = IngestOptions(camera=camera, every_s=every, start=_moment(start, len(sources.videos)))
    finder = load_detector(detector, threads=threads) if detect else None
    encoder = open_encoder(bundle, threads=threads)
    with open_gallery(gallery, encoder, create=True) as opened:
        ingest = Ingest(opened, encoder, finder, options)
        try:
            with progress("looking for people" if detect else "storing pictures", ingest.steps(sources)) as advance:
                report = ingest.run(sources, advance)
        except KeyboardInterrupt:
            note("stopped; what was found so far is stored, and the same command goes on from there")
            raise
        total = opened.count()
    for warning in report.warnings:
        note(f"note: {warning}")
    for skipped in report.skipped:
        note(f"skipped: {skipped.reason}")
    if json:
        _print_json(report, gallery=gallery, camera=camera, total=total, seconds=time.monotonic() - begun)
    else:
        print(summary(report, gallery, total))
    if not report.read:
        raise InputError(f"none of the {len(sources)} files could be read; the reasons stand above")


def summary(report: IngestReport, gallery: Path, total: int) -> str:
    """Return what was done in one line for people."""
    done = [_count(report.photos, "photo"), _count(report.videos, "video")]
    parts = [part for part in done if part]
    text = f"read {' and '.join(parts)}" if parts else "read nothing new"
    text += f", added {_count(report.sightings, 'sighting') or 'no sighting'}"
    if report.known:
        text += f"; {_count(report.known, 'file')} known already"
    if report.skipped:
        text += f"; {_count(len(report.skipped), 'file')} skipped"
    return f"{text}. {gallery} holds {_count(total, 'sighting') or 'no sighting'}."


def _count(number: int, what: str) -> str:
    """Return "2 photos", "1 photo", or nothing for none."""
    return f"{number:,} {what}{'' if number == 1 else 's'}" if number else ""


def _moment(start: str | None, videos: int) -> Any:
    """Read ``--start``, which can only be right for one recording."""
    from onlooker.errors import ConfigError
    from onlooker.gallery.filters import parse_moment

    if start is None:
        return None
    if videos != 1:
        raise ConfigError(
            f"--start says when one recording began, but there are {videos} videos; index each on its own"
        )
    return parse_moment(start, name="--start")


def _print_json(report: IngestReport, *, gallery: Path, camera: str, total: int, seconds: float) -> None:
    from json import dumps

    result = {
        "gallery": str(gallery),
        "camera": camera,
        "photos": report.photos,
        "videos": report.videos,
        "known": report.known,
        "skipped": [{"file": skipped.file, "reason": skipped.reason} for skipped in report.skipped],
        "warnings": report.warnings,
        "sightings_added": report.sightings,
        "sightings": total,
        "seconds": round(seconds, 3),
    }
    print(dumps(result, indent=2, ensure_ascii=False))
