"""``onlooker embed``: the vectors of pictures or texts, for use in other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from onlooker.runtime.embedding import Picture
    from onlooker.runtime.encoder import EncoderLike

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

Output = Annotated[Path, typer.Option("--output", "-o", help="The .npz file to write.", show_default=False)]
BundleFolder = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--bundle", help="Folder of another bundle.  [default: the shipped one]", show_default=False),
]
Provider = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--provider", help="Run on this: auto, cpu, cuda, tensorrt ...  [default: auto]", show_default=False),
]


@app.callback()
def _embed() -> None:
    """Write the vectors of pictures or texts to a .npz file.

    Vectors are float32 and of unit length, so the dot product of a text's and a picture's is their similarity. The file
    also holds the id of the bundle: only vectors of one bundle can be compared.

    \b
    Examples:
      onlooker embed images photos/ -o photos.npz
      onlooker embed texts queries.txt -o queries.npz
    \b
    Then, in Python:
      photos, queries = numpy.load("photos.npz"), numpy.load("queries.npz")
      similarity = queries["vectors"] @ photos["vectors"].T
      print(photos["names"][similarity.argmax(axis=1)])
    """  # noqa: D301


@app.command("images")
def images(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with pictures, searched with its sub-folders.")],
    output: Output,
    detect: Annotated[
        bool,
        typer.Option("--detect", help="Take the largest person of each picture; the whole where none is found."),
    ] = False,
    bundle: BundleFolder = None,
    provider: Provider = None,
) -> None:
    """Write one vector for each picture under DIR.

    The file holds the arrays "names" (paths relative to DIR, sorted) and "vectors" (float32, one row a name). A picture
    that cannot be read is named on stderr and left out; only when none can be read is that an error.

    \b
    Examples:
      onlooker embed images photos/ -o photos.npz
      onlooker embed images street/ --detect -o people.npz
      onlooker embed images photos/ --bundle my-bundle/ --provider cuda -o photos.npz
    """  # noqa: D301
    from onlooker.cli.console import note, progress
    from onlooker.runtime.embedding import check_output, embed_pictures, find_pictures, largest, save_vectors

    check_output(output)
    names = find_pictures(folder)
    encoder = _open(bundle, provider, images=True)
    select = None
    if detect:
        from onlooker.footage.detection import load_detector

        detector = load_detector("union", provider=provider)

        def select(picture: Picture) -> Picture:
            return largest(detector.detect(picture).boxes, picture)

    with progress("embedding pictures", len(names), unit="pictures") as advance:
        embedded = embed_pictures(
            folder, names, encoder, select=select, advance=advance, failed=lambda reason: note(f"skipped: {reason}")
        )
    save_vectors(output, embedded, key="names", bundle_id=encoder.bundle_id)
    skipped = f"; {len(embedded.failures)} skipped" if embedded.failures else ""
    note(f"{output}: {len(embedded.names)} pictures{skipped}")


@app.command("texts")
def texts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Text file (UTF-8), one text a line.")],
    output: Output,
    bundle: BundleFolder = None,
    provider: Provider = None,
) -> None:
    """Write one vector for each line of FILE.

    The file holds the arrays "texts" (the lines) and "vectors" (float32, one row a line, in their order). A blank line
    is an error, since it would have no vector.

    \b
    Examples:
      onlooker embed texts queries.txt -o queries.npz
      onlooker embed texts queries.txt --bundle my-bundle/ -o queries.npz
    """  # noqa: D301
    from onlooker.cli.console import note, progress
    from onlooker.runtime.embedding import check_output, embed_texts, read_lines, save_vectors

    check_output(output)
    lines = read_lines(file)
    encoder = _open(bundle, provider, images=False)
    with progress("embedding texts", len(lines), unit="texts") as advance:
        embedded = embed_texts(lines, encoder, advance=advance)
    save_vectors(output, embedded, key="texts", bundle_id=encoder.bundle_id)
    note(f"{output}: {len(lines)} texts")


def _open(bundle: str | None, provider: str | None, *, images: bool) -> EncoderLike:
    """Open the encoder, load the one tower that is needed, and say what it runs on."""
    from onlooker.cli.console import note
    from onlooker.runtime.encoder import Encoder, open_encoder

    encoder = open_encoder(bundle, provider=provider)
    if isinstance(encoder, Encoder):
        encoder.load(images=images, texts=not images)
        note(encoder.describe())
    return encoder
