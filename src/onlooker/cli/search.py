"""``onlooker search``: find the people in a gallery who fit a description or a picture.

Modules are imported where they are needed: over a small gallery, importing is most of what a search costs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    import numpy as np
    from numpy.typing import NDArray

    from onlooker.footage.detections import Detector
    from onlooker.gallery.composing import ReadPerson
    from onlooker.gallery.queries import Query
    from onlooker.gallery.results import Answer
    from onlooker.gallery.search import Match, Matches
    from onlooker.gallery.store import Gallery
    from onlooker.runtime.encoder import EncoderLike


def run(
    gallery: GalleryOption,
    text: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="TEXT",
            help="The person in words, best in quotes; beside --image or --like, what is to be different.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            metavar="PICTURE",
            help="Find the person in this picture (the largest one in it); may be repeated for one person.",
            show_default=False,
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Take the whole --image and look for nobody in it.")] = False,
    like: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option(
            metavar="ID",
            help="Find others like this sighting of the gallery (its number in the results); may be repeated.",
            show_default=False,
        ),
    ] = None,
    unwanted: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--not", metavar="TEXT", help="What must not be there; may be repeated.", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-n", metavar="N", help="How many matches at most.")] = 10,
    camera: CameraFilter = None,
    source: SourceFilter = None,
    since: SinceFilter = None,
    until: UntilFilter = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; with --queries one line of JSON a query.")] = False,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write the matches as CSV, a row each.", show_default=False),
    ] = None,
    sheet: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE.png",
            help="Draw the matches as a contact sheet; with --queries one a query: FILE-1.png, FILE-2.png ...",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help='Search for many at once: a file with a line {"query": "..."} or a plain text for each; "image", '
            '"like" and "not" may stand beside "query".',
            show_default=False,
        ),
    ] = None,
    as_typed: Annotated[
        bool, typer.Option("--as-typed", help='Mend no typing errors; otherwise "jaket" is read as "jacket".')
    ] = False,
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Find the people in a gallery who fit a description or a picture.

    Prints the best matches with their similarity, the cosine between the description and the person, and their
    confidence: how probable it is that this is who was meant, where one description in two is of somebody who is not
    there. Where nobody is likely to fit, a line says so before the nearest are listed. Filters narrow what is searched,
    not what is shown: the top ten of one camera are ten wherever it has seen so many.

    A picture finds people who look like the one in it; TEXT beside it says what is to be different. --not pushes back,
    gently, whoever fits its words. The confidence of a picture alone is that the other is the same person, as far as
    clothes tell; it is a suggestion to look at. Words joined with a picture, and --not, have none.

    \b
    Examples:
      onlooker search "woman in a long grey cardigan, dark boots" --gallery people.db
      onlooker search "man with a red backpack" -g people.db --camera entrance --since 2h
      onlooker search "child in a yellow raincoat" -g people.db --since 2026-05-17 --until 2026-05-18 --json
      onlooker search "blue dress" -g people.db --top 20 --csv matches.csv --sheet matches.png
      onlooker search --image child.jpg -g people.db
      onlooker search "in a red jacket" --image child.jpg -g people.db
      onlooker search --like 12 --not hat -g people.db
      onlooker search "man in a dark suit" --not backpack --not "white shirt" -g people.db
      onlooker search --queries wanted.jsonl -g people.db --json > answers.jsonl

    \b
    Exit codes:
      0  answered, also where nobody matches
      2  the gallery, the bundle, a filter, a picture or the query cannot be used
    """  # noqa: D301
    from onlooker.errors import QueryError

    alone = text is not None or image or like or unwanted
    if bool(alone) == (queries is not None):
        raise QueryError(
            "give one description, or many with --queries FILE; exactly one of the two (--image, --like and --not are "
            "of the one)"
        )
    if whole and not image and queries is None:
        raise QueryError("--whole says how to take the picture of --image; give one, or leave it away")
    if top < 1:
        raise QueryError(f"--top {top} asks for nothing; give 1 or more")
    check_sheet(sheet)
    set_threads(threads, many=queries is not None)

    kept = filter_of(camera, source, since, until)
    asked = _asked(text, image or (), like or (), unwanted or (), queries)

    from onlooker.gallery.composing import settle, vectors_of
    from onlooker.gallery.likeness import Likeness
    from onlooker.gallery.search import search
    from onlooker.runtime.calibration import calibration_of
    from onlooker.runtime.encoder import open_encoder

    encoder = open_encoder(bundle, threads=threads, few_texts=queries is None, as_typed=as_typed)
    with open_gallery(gallery, encoder, read_only=True) as opened:
        vectors = vectors_of(asked, encoder, opened, _person_reader(whole=whole, threads=threads))
        # Words joined with a picture have no confidence, so the background is not read for them.
        known = any(query.pictorial or not query.composed for query in asked)
        calibration = calibration_of(encoder) if known else None
        likeness = Likeness.of(calibration)
        judges = [likeness if query.pictorial else None if query.composed else calibration for query in asked]
        wanted = top + max(len(query.sightings) for query in asked)
        found = search(opened, vectors, wanted, kept, calibration=judges)
        answers = [
            (query.label, _with_mended(encoder, query, settle(query, matches, top)))
            for query, matches in zip(asked, found, strict=True)
        ]
        if json:
            _print_json(answers, lines=queries is not None)
        else:
            _print_tables(opened, answers)
        write_tables(opened, answers, csv=csv, sheet=sheet, numbered=queries is not None)


def set_threads(threads: int | None, *, many: bool) -> None:
    """Set the threads of the linear algebra, which reads these variables when it is first imported and never again.

    One query over a gallery is a product of a matrix and a vector: memory sets its pace, and waking threads for each
    block costs more than they do.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    if not many:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _asked(
    text: str | None, image: Sequence[Path], like: Sequence[int], unwanted: Sequence[str], queries: Path | None
) -> list[Query]:
    from onlooker.errors import QueryError
    from onlooker.gallery.queries import Query, read_queries

    if queries is not None:
        return read_queries(queries)
    if text is not None and not text.strip():
        raise QueryError('the query is empty; describe a person in words, such as "woman in a red coat"')
    return [Query((text or "").strip(), tuple(image), tuple(like), tuple(part.strip() for part in unwanted))]


def _person_reader(*, whole: bool, threads: int | None) -> ReadPerson:
    """Return what reads the person of a query picture; the detector is loaded when the first one is read."""
    detectors: list[Detector] = []

    def read(path: Path) -> NDArray[np.uint8]:
        from onlooker.runtime.pictures import read_picture

        picture = read_picture(path)
        if whole:
            return picture
        from onlooker.footage.boxes import area
        from onlooker.footage.detection import load_detector
        from onlooker.footage.views import cut

        if not detectors:
            detectors.append(load_detector(threads=threads))
        found = detectors[0].detect(picture)
        # Cut as `index` cuts: what is compared should be framed alike.
        largest = int(area(found.boxes).argmax()) if len(found) else -1
        view = cut(picture, found.boxes[largest], float(found.scores[largest])) if len(found) else None
        if view is None:
            from onlooker.errors import QueryError

            raise QueryError(f"nobody was found in {path}; give another picture, or take all of it with --whole")
        return view.crop

    return read


def _with_mended(encoder: EncoderLike, query: Query, matches: Matches) -> Matches:
    """Say which words of a query were read as others."""
    from onlooker.gallery.search import Matches
    from onlooker.runtime.encoder import Encoder

    texts = [text for text in (query.text, *query.unwanted) if text]
    mended = [change for text in texts if isinstance(encoder, Encoder) for change in encoder.read_text(text).changes]
    return Matches(matches, matches.nobody, mended=mended)


def _print_json(answers: Sequence[Answer], *, lines: bool) -> None:
    from onlooker.gallery.results import to_json, to_json_line

    for query, matches in answers:
        print(to_json_line(query, matches) if lines else to_json(query, matches))


def _print_tables(gallery: Gallery, answers: Sequence[Answer]) -> None:
    for number, (query, matches) in enumerate(answers):
        if number:
            print()
        _print_table(gallery, query, matches)


def _print_table(gallery: Gallery, query: str, matches: Sequence[Match]) -> None:
    from onlooker.gallery.search import is_nobody, mended_of

    heading = query
    mended = ", ".join(f'"{typed}" as "{read}"' for typed, read in mended_of(matches))
    if mended:
        heading += f"\nRead {mended}; --as-typed takes the words as they stand."
    if not matches:
        print(f"{heading}\nNobody: no sighting in {gallery.path} passes the filters.")
        return
    if is_nobody(matches):
        heading += "\nProbably nobody here fits; the nearest are:"
    print_matches(heading, matches)


def print_matches(heading: str, matches: Sequence[Match], *, best: bool = True) -> None:
    """Print matches as a table, plain for pipes and fitted to the width of a terminal.

    Args:
        heading: Lines above it.
        matches: One a row.
        best: Whether the first row stands out.
    """
    from onlooker.gallery.results import to_text

    if not sys.stdout.isatty():
        print(f"{heading}\n{to_text(matches)}")
        return
    _print_rich(heading, matches, best=best)


def _print_rich(heading: str, matches: Sequence[Match], *, best: bool) -> None:
    """Print a table that fits itself to the width of the terminal; only there, since rich takes long to import."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from onlooker.gallery.results import RIGHT_ALIGNED, table_of

    columns, rows = table_of(matches)
    title = Text(heading, "bold")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        right = name in RIGHT_ALIGNED
        wide = name in ("camera", "file")
        table.add_column(name, justify="right" if right else "left", no_wrap=not wide, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row), style="bold" if best and row is rows[0] else "")
    Console().print(table)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn a failed write into an error that names the file asked for, not the temporary one beside it."""
    try:
        yield
    except OSError as error:
        from onlooker.errors import ConfigError

        raise ConfigError(f"{path} cannot be written ({error.strerror or error}); give another place") from error


def write_tables(
    gallery: Gallery, answers: Sequence[Answer], *, csv: Path | None, sheet: Path | None, numbered: bool = False
) -> None:
    """Write answers as CSV and as contact sheets, where they are asked for.

    Args:
        gallery: Holds the crops.
        answers: Queries with their matches.
        csv: The file, or None.
        sheet: The picture, or None.
        numbered: Whether each answer has a picture of its own, with a number in its name.
    """
    if csv is not None:
        _write_csv(csv, answers)
    if sheet is not None:
        _write_sheets(sheet, gallery, answers, numbered=numbered)


def _write_csv(path: Path, answers: Sequence[Answer]) -> None:
    from onlooker.cli.console import note
    from onlooker.gallery.results import write_csv

    with _naming(path):
        write_csv(path, answers)
    rows = sum(len(matches) for _, matches in answers)
    note(f"{path}: {rows} row{'' if rows == 1 else 's'}")


def _write_sheets(path: Path, gallery: Gallery, answers: Sequence[Answer], *, numbered: bool) -> None:
    from onlooker.cli.console import note
    from onlooker.gallery.sheet import write_sheet

    digits = len(str(len(answers)))
    for number, (query, matches) in enumerate(answers, start=1):
        target = path.with_stem(f"{path.stem}-{number:0{digits}d}") if numbered else path
        with _naming(target):
            write_sheet(target, gallery, query, matches)
        note(f"{target}: {query}")
