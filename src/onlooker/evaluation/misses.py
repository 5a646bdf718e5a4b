"""The page of the worst misses: one HTML file with its pictures inside, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import ConfigError, PictureError
from onlooker.evaluation.encoding import read_crop
from onlooker.evaluation.report import PERCENTAGES, RANKS, Report, headline, notes, percentage, plain
from onlooker.evaluation.runner import Evaluation
from onlooker.files import write_text
from onlooker.runtime.pictures import encode_jpeg

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Record

PREFERRED = 5
"""Pictures shown that the system put first."""

THUMBNAIL_H = 288
THUMBNAIL_W = 288
"""Largest height and width of an embedded picture, in pixels: sharp at the size that the page shows."""

JPEG_QUALITY = 78

CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded and nothing runs, whatever a caption holds."""


@dataclass(frozen=True)
class Shown:
    """One picture on the page.

    Attributes:
        record: Its record.
        similarity: With the text.
        right: Whether the text should find it.
    """

    record: Record
    similarity: float
    right: bool


@dataclass(frozen=True)
class Miss:
    """A text whose right picture did not come first.

    Attributes:
        text: The text.
        rank: The rank of the best right picture, from 2.
        wanted: The best right picture.
        others: How many further pictures would have been right too.
        preferred: What came first, best first.
    """

    text: str
    rank: int
    wanted: Shown
    others: int
    preferred: list[Shown]


def worst_misses(evaluation: Evaluation, count: int = 24) -> list[Miss]:
    """Return the texts whose best right picture has the highest rank, worst first.

    Args:
        evaluation: One that measured ``text-to-image``.
        count: How many at most, at least 1; texts whose right picture came first are no misses.

    Raises:
        ConfigError: If ``count`` is below 1 or the direction was not measured.
    """
    if count < 1:
        raise ConfigError(f"a page of misses shows at least 1, got {count}")
    ranking = evaluation.rankings.get("text-to-image")
    if ranking is None:
        raise ConfigError("misses are shown of text to image, which was not measured: choose that direction or both")
    ranks = ranking.scores.first_rank
    order = np.argsort(-ranks, kind="stable")[:count]
    misses = []
    for query in order[ranks[order] > 1].tolist():
        similarity = ranking.similarity(query)
        right = ranking.right[query]

        shown = partial(_shown, evaluation, similarity, right)
        wanted = int(right[np.argmax(similarity[right])])
        misses.append(
            Miss(
                text=evaluation.encoded.texts[query],
                rank=int(ranks[query]),
                wanted=shown(wanted),
                others=len(right) - 1,
                preferred=[shown(place) for place in ranking.best(query, PREFERRED).tolist()],
            )
        )
    return misses


def _shown(evaluation: Evaluation, similarity: NDArray[np.float32], right: NDArray[np.int64], place: int) -> Shown:
    return Shown(evaluation.picture(place), float(similarity[place]), place in right)


def save_misses(evaluation: Evaluation, path: Path, count: int = 24) -> int:
    """Write the page; arguments and errors as ``worst_misses``.

    The page holds pictures of the dataset: its terms decide who may see it, and stand on it.

    Returns:
        The number of misses on the page.
    """
    misses = worst_misses(evaluation, count)
    write_text(path, page(evaluation, misses))
    return len(misses)


def page(evaluation: Evaluation, misses: list[Miss]) -> str:
    """Return the page as HTML."""
    report = evaluation.report
    pictures: dict[str, str] = {}
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

    def figure(shown: Shown, caption: str) -> str:
        if shown.record.id not in pictures:
            pictures[shown.record.id] = _picture(evaluation, shown.record)
        kind = "right" if shown.right else "wrong"
        return (
            f'<figure class="{kind}">{pictures[shown.record.id]}'
            f"<figcaption><b>{caption}</b> <span>{shown.similarity:.3f}</span>"
            f'<small title="{escape(shown.record.file)}">{escape(shown.record.id)}</small></figcaption></figure>'
        )

    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">',
        f"<title>Worst misses: {escape(report.model)} on {escape(report.dataset)}</title>",
        f"<style>{style}</style></head><body><header><h1>Worst misses</h1><p>{escape(headline(report))}</p>",
        _tiles(report),
        "</header><main>",
    ]
    if not misses:
        parts.append('<p class="none">Every text found a right picture first: there is no miss to show.</p>')
    for number, miss in enumerate(misses, start=1):
        heading = f"the nearest of {miss.others + 1:,} right pictures" if miss.others else "the right picture"
        preferred = "".join(figure(shown, f"{place}.") for place, shown in enumerate(miss.preferred, start=1))
        parts.append(
            f'<article><h2><span class="number">{number}</span>{escape(miss.text)}</h2>'
            f'<div class="row"><section class="wanted">'
            f"<h3>{heading}</h3>"
            f'<div class="strip">{figure(miss.wanted, f"rank {miss.rank:,}")}</div></section>'
            f'<section><h3>what came first</h3><div class="strip">{preferred}</div></section></div></article>'
        )
    parts.append("</main><footer><ul>")
    parts += [f"<li>{escape(note.replace('`', ''))}</li>" for note in notes(report)]
    parts.append(
        "<li>Below a picture: its place, its similarity (cosine) with the text, its record. "
        "A green frame marks a right one.</li>"
        f"<li>The pictures belong to {escape(report.dataset)}; its terms decide who may see this page: "
        f"{escape(report.terms)}</li>"
        f"<li>Model id {escape(report.model_id)}; Onlooker {escape(report.version)}; {escape(report.created)}</li>"
    )
    parts.append("</ul></footer></body></html>")
    return "\n".join(parts) + "\n"


def _tiles(report: Report) -> str:
    result = report.results["text-to-image"]
    tiles = [(label, *percentage(result, name)) for name, label in PERCENTAGES.items()]
    tiles += [(label, *plain(result, name)) for name, label in RANKS.items()]
    cells = "".join(
        f'<div><dt>{label}</dt><dd>{value}</dd><dd class="interval">{interval}</dd></div>'
        for label, value, interval in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _picture(evaluation: Evaluation, record: Record) -> str:
    from PIL import Image

    try:
        crop = read_crop(evaluation.manifest, record)
    except PictureError as error:
        # It could be read while encoding and has changed since; the page is still of use.
        return f'<p class="gone">{escape(str(error))}</p>'
    picture = Image.fromarray(crop)
    picture.thumbnail((THUMBNAIL_W, THUMBNAIL_H))
    data = base64.b64encode(encode_jpeg(np.asarray(picture), JPEG_QUALITY)).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(record.id)}">'
    )
