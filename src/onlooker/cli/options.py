"""Options that several commands share, so that they read and behave alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from onlooker.gallery.filters import Filter
    from onlooker.gallery.store import Gallery
    from onlooker.runtime.encoder import EncoderLike

BundleOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="NAME|DIR",
        help="The name of a bundle of the package (base; small: faster, a little less exact), the folder of another "
        'one, or "fake" (colours of clothes, without a model).  [default: base]',
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(metavar="N", min=1, help="Threads to use.  [default: one a core]", show_default=False),
]
GalleryOption = Annotated[
    Path,
    typer.Option("--gallery", "-g", metavar="FILE", help="Gallery made by `onlooker index`.", show_default=False),
]
CameraFilter = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(metavar="NAME", help="Only this camera; may be repeated.", show_default=False),
]
SourceFilter = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="FILE",
        help="Only this photo or video, by its path or file name; may be repeated.",
        show_default=False,
    ),
]
SinceFilter = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="TIME",
        help="Seen then or later: 2026-05-17, 2026-05-17T14:30 (local time, or with a zone: ...Z, ...+02:00), "
        "or how long ago: 45s, 30min, 2h, 3d, 1w. Sightings without a known time are left out.",
        show_default=False,
    ),
]
UntilFilter = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="TIME", help="Seen then or earlier; a date means to its end.", show_default=False),
]


def filter_of(camera: list[str] | None, source: list[str] | None, since: str | None, until: str | None) -> Filter:
    """Return what the four filter options ask for.

    Raises:
        QueryError: A time cannot be read, or the two are in the wrong order.
    """
    from onlooker.gallery.filters import Filter, parse_moment

    return Filter(
        cameras=tuple(camera or ()),
        sources=tuple(source or ()),
        since=None if since is None else parse_moment(since, name="--since"),
        until=None if until is None else parse_moment(until, name="--until", end=True),
    )


def check_sheet(sheet: Path | None) -> None:
    """Refuse the name of a contact sheet that is no PNG.

    Raises:
        ConfigError: It is none.
    """
    if sheet is not None and sheet.suffix.lower() != ".png":
        from onlooker.errors import ConfigError

        raise ConfigError(f"--sheet {sheet} is no PNG; give a name that ends in .png")


def open_gallery(path: Path, encoder: EncoderLike, *, create: bool = False, read_only: bool = False) -> Gallery:
    """Open a gallery for the vectors of an encoder; see ``Gallery.open``."""
    from onlooker.gallery.store import Gallery
    from onlooker.runtime.encoder import bundle_name_of

    return Gallery.open(
        path,
        encoder_id=encoder.bundle_id,
        dimension=encoder.dimension,
        bundle_name=bundle_name_of(encoder),
        create=create,
        read_only=read_only,
    )
