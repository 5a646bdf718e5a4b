"""``onlooker demo``: the whole way from footage to a found person, on sample data that comes with the package."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onlooker.cli.options import BundleOption, ThreadsOption, open_gallery

if TYPE_CHECKING:
    from onlooker.footage.detections import Detector
    from onlooker.gallery.search import Match
    from onlooker.gallery.store import Gallery
    from onlooker.runtime.encoder import EncoderLike

CLIP_CAMERA = "hall"
PHOTO_CAMERA = "photos"
SEARCHES: tuple[tuple[str, str | None], ...] = (
    ("man in a light shirt and blue jeans", CLIP_CAMERA),
    ("woman with long blonde hair in a long grey cardigan", CLIP_CAMERA),
    ("woman in black with long wavy blonde hair", CLIP_CAMERA),
    ("cook in a white shirt with braces and black trousers", None),
)
"""Three of the six people in the clip, and one who is in the photos, with the camera that is searched (None: all)."""
TOP = 5


def run(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the gallery and the sheets.")
    ] = Path("demo"),
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Index the sample photos and footage, search for four people, and draw the results.

    The samples come with the package: 14 photos and two minutes of footage in which six people appear one at a time.
    Nothing is downloaded. A second run finds the gallery filled and only searches.

    \b
    Examples:
      onlooker demo
      onlooker demo --out /tmp/demo
      onlooker search "woman in black trousers" --gallery demo/demo.db
    """  # noqa: D301
    from onlooker.cli.console import note
    from onlooker.footage.detection import load_detector
    from onlooker.gallery.filters import Filter
    from onlooker.gallery.search import search
    from onlooker.gallery.sheet import write_sheet
    from onlooker.runtime.calibration import calibration_of
    from onlooker.runtime.encoder import open_encoder

    begun = time.monotonic()
    encoder = open_encoder(bundle, threads=threads)
    path = out / "demo.db"
    _make_room(out, path, encoder)
    with open_gallery(path, encoder, create=True) as gallery:
        _fill(gallery, encoder, load_detector("union", threads=threads))
        sheets = []
        vectors = encoder.encode_texts([text for text, _ in SEARCHES])
        calibration = calibration_of(encoder)
        for number, (text, camera) in enumerate(SEARCHES, start=1):
            kept = Filter(cameras=() if camera is None else (camera,))
            (matches,) = search(gallery, vectors[number - 1 : number], TOP, kept, calibration=calibration)
            sheet = out / f"{number}-{re.sub(r'[^a-z]+', '-', text.lower())}.png"
            write_sheet(sheet, gallery, text, matches)
            sheets.append(sheet)
            _print_answer(text, camera, matches)
    note(f"done in {time.monotonic() - begun:.0f} s; the matches as pictures:")
    for sheet in sheets:
        note(f"  {sheet}")
    note("try your own:")
    note(f'  onlooker search "woman in black" --gallery {path}{_option(bundle)}')


def _option(bundle: str | None) -> str:
    return "" if bundle is None else f" --bundle {bundle}"


def _make_room(out: Path, path: Path, encoder: EncoderLike) -> None:
    """Make the folder, and take away a demo gallery that another bundle has left there."""
    from onlooker.errors import ConfigError
    from onlooker.gallery.store import Gallery

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {out} cannot be made ({error.strerror}); choose another with --out") from error
    if path.exists():
        with Gallery.open(path, read_only=True) as gallery:
            same = gallery.info.encoder_id == encoder.bundle_id
        if not same:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                (out / name).unlink(missing_ok=True)


def _fill(gallery: Gallery, encoder: EncoderLike, detector: Detector) -> None:
    """Index the samples, each kind under a camera of its own."""
    from onlooker.cli.console import note, progress
    from onlooker.footage.ingest import Ingest, IngestOptions
    from onlooker.footage.sources import find_sources
    from onlooker.samples import CLIP, PHOTOS

    for camera, what, place in ((PHOTO_CAMERA, "photos", PHOTOS), (CLIP_CAMERA, "footage", CLIP)):
        sources = find_sources([place])
        ingest = Ingest(gallery, encoder, detector, IngestOptions(camera=camera))
        note(f"looking for people in the sample {what} ...")
        with progress(f"sample {what}", ingest.steps(sources)) as advance:
            report = ingest.run(sources, advance)
        known = " (known already)" if report.known else ""
        note(f"  {report.sightings} sightings added{known}")


def _print_answer(text: str, camera: str | None, matches: Sequence[Match]) -> None:
    from onlooker.gallery.results import to_text

    print(f"\n{text}   [{'all cameras' if camera is None else f'camera {camera}'}]\n{to_text(matches)}", flush=True)
