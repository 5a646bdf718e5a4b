"""Queries of several parts as one vector: a picture of the person, words that change it, and what must not be there.

Whatever was asked, the answer is one unit vector of the bundle's space, so that a search stays one dot product with
every sighting. Three facts of such a space shape how parts are joined:

* Texts lie elsewhere than pictures (the modality gap): most of a text's vector says "this is a text". Where the bundle
  has a background, that part, the mean of its texts, is taken off a text that changes or refuses something.
* Where the bundle says which columns stand for which region of the body, a text's block is long where the text speaks
  of that region. There the picture gives way: after "in a red jacket" its own jacket is of no interest.
* A dot product can only subtract. "Not a red jacket" pushes sightings back by as much as they are like one, and those
  least like one come forward; the weight is therefore small.

The weights were chosen by measuring (``onlooker.evaluation.composed``); docs/queries.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import QueryError
from onlooker.gallery.queries import Query
from onlooker.gallery.search import Matches
from onlooker.gallery.vectors import read_views
from onlooker.runtime.encoder import Encoder, EncoderLike

if TYPE_CHECKING:
    from onlooker.gallery.store import Gallery

GLOBAL = "global"
"""The block of a vector that stands for the whole person and no region."""
SPEAKS_FULLY = 0.9
"""A text whose block is longer than this share of the background texts' speaks fully of the region."""
PICTURES_AT_ONCE = 32
"""Query pictures that are held in memory together."""

Vectors = NDArray[np.float32]
Rows = Vectors | Sequence[Vectors]
"""Vectors as an array (n, d) or as a sequence of n."""
ReadPerson = Callable[[Path], NDArray[np.uint8]]
"""Reads a picture file and returns the person in it, uint8 (h, w, 3)."""


@dataclass(frozen=True)
class Weights:
    """How much each part of a query counts.

    Attributes:
        text: Share of the text in "this picture, but ...", 0 to 1; the rest is the picture's.
        gives_way: Share of a region of the picture that is left out where the text speaks fully of it, 0 to 1.
        gives_way_whole: The same for the block of the whole person.
        unwanted: Of each unwanted text, beside the 1 of what is wanted.
    """

    text: float = 0.5
    gives_way: float = 0.5
    gives_way_whole: float = 0.0
    unwanted: float = 0.3


WEIGHTS = Weights()
"""The ones that ``onlooker search`` uses."""


@dataclass(frozen=True)
class Space:
    """What is known of a bundle's vectors beside the vectors themselves.

    Attributes:
        layout: Half-open column ranges by name, one of them ``GLOBAL``, or nothing where a vector has no parts.
        texts: float32 (m, d), vectors of texts about people in general; None where there are none.
    """

    layout: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    texts: Vectors | None = None

    @classmethod
    def of(cls, encoder: EncoderLike) -> Space:
        """Return the space of an encoder.

        Raises:
            BundleError: The bundle's background is damaged.
        """
        if not isinstance(encoder, Encoder):
            return cls()
        background = encoder.bundle.background()
        return cls(encoder.bundle.layout, None if background is None else background.texts)

    @cached_property
    def text_mean(self) -> NDArray[np.float64] | float:
        """float64 (d,), where vectors of texts lie; 0 where it is not known."""
        return 0.0 if self.texts is None else np.asarray(self.texts.mean(axis=0, dtype=np.float64))

    @cached_property
    def full_lengths(self) -> dict[str, float]:
        """Length of each block in a text that speaks fully of it; empty where it is not known."""
        if self.texts is None:
            return {}
        lengths = {name: np.linalg.norm(self.texts[:, begin:end], axis=1) for name, (begin, end) in self.layout.items()}
        return {name: float(np.quantile(each, SPEAKS_FULLY)) for name, each in lengths.items()}


def vectors_of(queries: Sequence[Query], encoder: EncoderLike, gallery: Gallery, read: ReadPerson) -> Vectors:
    """Return the vector of each query.

    Args:
        queries: What is asked.
        encoder: Of the gallery's bundle.
        gallery: Holds the sightings that queries name.
        read: Called once for every picture that queries name.

    Returns:
        float32 (q, d), L2-normalised.

    Raises:
        QueryError: The gallery has no such sighting, or the parts of a query cancel each other out.
        PictureError: A picture cannot be read.
        BundleError: The bundle is damaged.
    """
    said = list(dict.fromkeys(text for query in queries for text in (query.text, *query.unwanted) if text))
    texts = dict(zip(said, encoder.encode_texts(said), strict=True))
    if not any(query.composed for query in queries):
        return np.stack([texts[query.text] for query in queries])
    paths = list(dict.fromkeys(path for query in queries for path in query.pictures))
    shown: dict[Path, Vectors] = {}
    for start in range(0, len(paths), PICTURES_AT_ONCE):
        some = paths[start : start + PICTURES_AT_ONCE]
        shown.update(zip(some, encoder.encode_images([read(path) for path in some]), strict=True))
    sightings = {number: _vector_of(gallery, number) for query in queries for number in query.sightings}
    space = Space.of(encoder)
    return np.stack(
        [
            compose(
                space,
                texts=[texts[query.text]] if query.text else [],
                pictures=[*(shown[path] for path in query.pictures), *(sightings[one] for one in query.sightings)],
                unwanted=[texts[text] for text in query.unwanted],
            )
            for query in queries
        ]
    )


def settle(query: Query, matches: Matches, top: int) -> Matches:
    """Return the matches of a query as they are shown.

    A sighting that the query names is left out: it would come first, and nobody needs to find it again. A query that
    joins words with pictures, or refuses something, has no confidence: nothing knows its similarities.

    Args:
        query: What was asked.
        matches: What ``search`` found for its vector, at least ``top`` and as many more as the query names sightings.
        top: How many are wanted.

    Returns:
        At most ``top`` matches, ranks counted anew.
    """
    if not query.composed:
        return matches.first(top)
    kept = [match for match in matches if match.sighting.id not in query.sightings][:top]
    return Matches(
        replace(match, rank=rank, confidence=match.confidence if query.pictorial else None)
        for rank, match in enumerate(kept, start=1)
    )


def _vector_of(gallery: Gallery, sighting_id: int) -> Vectors:
    with gallery.reading() as connection:
        views = read_views(connection, sighting_id, gallery.info.dimension)
    if not len(views):
        raise QueryError(f"there is no sighting {sighting_id} in {gallery.path}; take a number that a search has shown")
    mean: Vectors = _mean(views.astype(np.float32)).astype(np.float32)
    return mean


def compose(
    space: Space, *, texts: Rows = (), pictures: Rows = (), unwanted: Rows = (), weights: Weights = WEIGHTS
) -> Vectors:
    """Join the parts of one query.

    Args:
        space: Of the bundle that all vectors are from.
        texts: float32 (t, d), L2-normalised: what is wanted in words; beside pictures, what is to be different.
        pictures: float32 (p, d), L2-normalised: pictures of the person.
        unwanted: float32 (u, d), L2-normalised: texts of what is not wanted.
        weights: How much each part counts.

    Returns:
        float32 (d,), L2-normalised. One text or one picture alone comes back as it is.

    Raises:
        QueryError: Nothing is wanted, or the parts cancel each other out.
    """
    said, seen, refused = tuple(texts), tuple(pictures), tuple(unwanted)
    if not said and not seen:
        raise QueryError("a query has to say what is wanted, not only what is not; give a text or a picture as well")
    if len(said) + len(seen) == 1 and not refused:
        alone: Vectors = (*said, *seen)[0]
        return alone
    wanted = _changed(space, seen, said, weights) if said and seen else _mean(said or seen)
    for text in refused:
        wanted = wanted - weights.unwanted * _mean([text - space.text_mean])
    length = float(np.linalg.norm(wanted))
    if not length > 1e-6:
        raise QueryError("the parts of the query cancel each other out; ask for something else than what is refused")
    result: Vectors = (wanted / length).astype(np.float32)
    return result


def _changed(space: Space, seen: Sequence[Vectors], said: Sequence[Vectors], weights: Weights) -> NDArray[np.float64]:
    """Return a picture changed by words, of unit length."""
    picture = _mean(seen)
    shares = [speaks_of(space, text) for text in said]
    for name, (begin, end) in space.layout.items():
        strength = weights.gives_way_whole if name == GLOBAL else weights.gives_way
        picture[begin:end] *= 1 - strength * max(share[name] for share in shares)
    # What gives way leaves room: the rest of the picture does not grow into it.
    text = _mean([text - space.text_mean for text in said])
    return _mean([(1 - weights.text) * picture + weights.text * text])


def speaks_of(space: Space, text: NDArray[np.floating]) -> dict[str, float]:
    """Return how much a text speaks of each part of a vector.

    Args:
        space: Its space.
        text: (d,), L2-normalised.

    Returns:
        Part to share, 0 to 1: the length of the text's block beside a long one of the background texts, or, without a
        background, beside its longest region; 1 for ``GLOBAL``, which every text speaks of. Empty without a layout.
    """
    lengths = {name: float(np.linalg.norm(text[begin:end])) for name, (begin, end) in space.layout.items()}
    longest = max((length for name, length in lengths.items() if name != GLOBAL), default=1.0)
    return {
        name: 1.0 if name == GLOBAL else min(1.0, length / max(space.full_lengths.get(name, longest), 1e-6))
        for name, length in lengths.items()
    }


def _mean(vectors: Vectors | Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Return the mean, of unit length: two views of one person, or two wishes, weigh as much as one."""
    mean: NDArray[np.float64] = np.mean(vectors, axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if length > 1e-6:
        mean /= length
    return mean
