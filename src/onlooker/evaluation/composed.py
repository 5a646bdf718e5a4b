"""How well queries of several parts are answered: pictures, pictures changed by words, and "not".

How the parts become one vector is not decided here: the caller gives a function (``Compose``), so that the shipped way
and its alternatives are measured alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.augment import Augmentation
from onlooker.datasets.samples import cut, grow, sample_of
from onlooker.errors import DataError
from onlooker.evaluation.encoding import Encoded, encode
from onlooker.evaluation.metrics import TIE_MARGIN
from onlooker.evaluation.painting import Painted, paint_cases
from onlooker.runtime.pictures import read_picture

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest
    from onlooker.runtime.encoder import EncoderLike

Vectors = NDArray[np.float32]

SEEN_AGAIN = Augmentation(
    loose=0.5,
    loose_margin=0.3,
    flip=1.0,
    occlude=0.2,
    motion_blur=0.2,
    low_resolution=0.5,
    blur=0.3,
    cast=0.3,
    noise=0.3,
    jpeg=0.5,
)
"""How a photograph is changed before it is searched for by itself: mirrored, framed, lit and stored otherwise."""
LEAST_WEARERS = 0.05
"""Things that fewer of the people have are not counted: the share among ten would be a matter of one person."""
LONG_TEXT = 12
"""Words from which a text counts as a description and not as a search phrase."""


class Compose(Protocol):
    """Joins the parts of a query to one unit vector, as ``onlooker.gallery.composing.compose`` does."""

    def __call__(
        self, *, texts: Sequence[Vectors] = (), pictures: Sequence[Vectors] = (), unwanted: Sequence[Vectors] = ()
    ) -> Vectors:
        """Return float32 (d,) for vectors (d,) of what is wanted in words, shown, and not wanted."""


@dataclass(frozen=True)
class Material:
    """Everything the measurements need, encoded once.

    Attributes:
        encoded: The records' crops and texts.
        again: float32 (p, d), the pictures of ``encoded`` changed as by ``SEEN_AGAIN``.
        cases: The painted photographs, without their pictures.
        pictures: Per case float32 (k, d), the vectors of ``Painted.pictures``.
        texts: Text to vector, for all texts of the cases and all ``tags``.
        tags: Things that people of the records have, by the records' labels.
    """

    encoded: Encoded
    again: Vectors
    cases: list[Painted]
    pictures: list[Vectors]
    texts: dict[str, Vectors]
    tags: list[str]


def gather(
    encoder: EncoderLike, manifest: Manifest, *, seed: int = 0, advance: Callable[[float], None] = lambda steps: None
) -> Material:
    """Encode what is measured.

    Args:
        encoder: What turns pictures and texts into vectors.
        manifest: The records, with garment masks for at least one; take a split of it first.
        seed: Chooses what is painted and how pictures are changed.
        advance: Called with the number of records done; there are three rounds of them.

    Raises:
        DataError: No record has a mask and a garment that can be painted.
        MissingExtraError: SciPy, which reads the masks, is not installed.
    """
    encoded = encode(encoder, manifest, texts="all")
    advance(len(manifest))
    again = []
    for number in encoded.picture_records:
        record = manifest.records[int(number)]
        sample = sample_of(record, read_picture(manifest.path(record)))
        sample = cut(sample, grow(sample.box, SEEN_AGAIN.loose_margin))
        rng = np.random.default_rng([seed, int(number)])
        again.append(encoder.encode_images([np.ascontiguousarray(SEEN_AGAIN.apply(sample, rng).rgb)])[0])
        advance(1)
    cases, pictures = [], []
    for case in paint_cases(manifest, seed=seed, advance=advance):
        pictures.append(encoder.encode_images(list(case.pictures)))
        cases.append(case.without_pictures())
    if not cases:
        raise DataError(f"no record of {manifest.dataset} has a mask and a plain garment large enough to be painted")
    counts = np.array([[tag in record.garments for tag in _all_tags(encoded)] for record in encoded.records]).mean(
        axis=0
    )
    tags = [tag for tag, share in zip(_all_tags(encoded), counts, strict=True) if share >= LEAST_WEARERS]
    said = [text for case in cases for text in (*case.wishes, *case.things, case.rest) if text]
    said = list(dict.fromkeys([*said, *tags]))
    texts = dict(zip(said, encoder.encode_texts(said), strict=True))
    return Material(encoded, np.stack(again), cases, pictures, texts, tags)


def measure(material: Material, compose: Compose, *, seed: int = 0) -> dict[str, Any]:
    """Measure one way of composing.

    Args:
        material: See ``gather``.
        compose: The way.
        seed: Chooses the texts that are wanted by nobody and refused all the same.

    Returns:
        Numbers by name: ``picture``, ``changed``, ``not_twins``, ``not_beside``, ``not_worn``; fractions are 0..1.
    """
    return {
        "picture": seen_again(material, compose),
        "changed": changed(material, compose),
        "not_twins": twins(material, compose),
        "not_beside": beside(material, compose, seed=seed),
        "not_worn": worn(material, compose),
    }


def seen_again(material: Material, compose: Compose) -> dict[str, float]:
    """Search for each photograph by its changed copy among all: R@1, 5, 10."""
    gallery = material.encoded.picture_vectors
    queries = np.stack([compose(pictures=[vector]) for vector in material.again])
    return recalls(ranks(queries, gallery, gallery))


def changed(material: Material, compose: Compose) -> dict[str, float]:
    """Search for "this photograph, but in a red jacket" among all photographs and all painted ones.

    Returns:
        ``r1``, ``r5``, ``r10``, ``median_rank`` of the photograph with its jacket painted red, and how often it comes
        ``before_itself`` (the photograph as it is), ``before_colours`` (its jacket in each other colour) and
        ``before_garment`` (another of its garments painted red).
    """
    gallery = np.concatenate([material.encoded.picture_vectors, *(part[1:] for part in material.pictures)])
    found: dict[str, list[float]] = {"itself": [], "colours": [], "garment": []}
    queries, wanted = [], []
    for case, own in zip(material.cases, material.pictures, strict=True):
        colours = range(1, len(case.colours) + 1)
        for place, wish in zip(colours, case.wishes, strict=True):
            query = compose(texts=[material.texts[wish]], pictures=[own[0]])
            scores = own @ query
            others = [scores[other] for other in colours if other != place]
            found["itself"].append(scores[place] > scores[0] + TIE_MARGIN)
            found["colours"].append(scores[place] > max(others) + TIE_MARGIN)
            if place == 1 and len(own) > len(case.colours) + 1:
                found["garment"].append(scores[1] > scores[-1] + TIE_MARGIN)
            queries.append(query)
            wanted.append(own[place])
    result = recalls(ranks(np.stack(queries), np.stack(wanted), gallery))
    return result | {f"before_{name}": float(np.mean(values)) for name, values in found.items() if values}


def twins(material: Material, compose: Compose) -> dict[str, float]:
    """Ask for what two painted twins share, and for one not to be: "black trousers, not a red jacket".

    Returns:
        How often the other twin comes first, ``text`` where what they share is said and ``picture`` where it is shown
        (the photograph as it is), each beside the same ``..._without`` the "not"; ``picture_r10``: the twin that is
        left is among the first ten of all photographs and the two twins.
    """
    found: dict[str, list[float]] = {"text": [], "text_without": [], "picture": [], "picture_without": [], "r10": []}
    photographs = material.encoded.picture_vectors
    for case, own in zip(material.cases, material.pictures, strict=True):
        shown = own[0]
        said = material.texts.get(case.rest)
        for left in range(1, len(case.colours) + 1):
            refused = left % len(case.colours) + 1
            unwanted = [material.texts[case.things[refused - 1]]]
            pair = own[[left, refused]]
            for name, parts in (("text", {"texts": [said]}), ("picture", {"pictures": [shown]})):
                if name == "text" and said is None:
                    continue
                found[f"{name}_without"].append(_first(pair @ compose(**parts)))
                query = compose(**parts, unwanted=unwanted)
                found[name].append(_first(pair @ query))
            ahead = np.count_nonzero(photographs @ query >= pair[0] @ query - TIE_MARGIN) + 1 - _first(pair @ query)
            found["r10"].append(ahead < 10)
    means = {name: float(np.mean(values)) for name, values in found.items() if values}
    return {("picture_r10" if name == "r10" else name): value for name, value in means.items()}


def beside(material: Material, compose: Compose, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Search with the records' own texts and refuse something they do not have: nothing should change.

    Returns:
        R@1, 5, 10 of ``descriptions`` and ``phrases``, each beside the same ``..._without`` the "not".
    """
    encoded = material.encoded
    places = {int(record): place for place, record in enumerate(encoded.picture_records)}
    things = list(dict.fromkeys(thing for case in material.cases for thing in case.things))
    rng = np.random.default_rng(seed)
    plain, with_not, wanted, long = [], [], [], []
    for text, vector, record in zip(encoded.texts, encoded.text_vectors, encoded.text_records, strict=True):
        place = places.get(int(record))
        absent = [thing for thing in things if _is_absent(thing, text, encoded.records[int(record)].garments)]
        if place is None or not absent:
            continue
        refused = material.texts[absent[int(rng.integers(len(absent)))]]
        plain.append(compose(texts=[vector]))
        with_not.append(compose(texts=[vector], unwanted=[refused]))
        wanted.append(encoded.picture_vectors[place])
        long.append(len(text.split()) > LONG_TEXT)
    result = {}
    for name, queries in (("", with_not), ("_without", plain)):
        rank = ranks(np.stack(queries), np.stack(wanted), encoded.picture_vectors)
        for kind, chosen in (("descriptions", np.array(long)), ("phrases", ~np.array(long))):
            if chosen.any():
                result[kind + name] = recalls(rank[chosen])
    return result


def worn(material: Material, compose: Compose, *, top: int = 10) -> dict[str, dict[str, float]]:
    """Refuse a thing by one word, beside texts that do not name it: how many of the first ten have it all the same.

    Returns:
        By thing: ``share`` among the first ten, ``without`` the "not", and among ``all``, each 0..1, by the labels.
    """
    encoded = material.encoded
    gallery = encoded.picture_vectors
    result = {}
    for tag in material.tags:
        has = np.array([tag in encoded.records[int(record)].garments for record in encoded.picture_records])
        chosen = [
            vector
            for text, vector, record in zip(encoded.texts, encoded.text_vectors, encoded.text_records, strict=True)
            if tag not in text.lower() and tag not in encoded.records[int(record)].garments
        ]
        if not chosen:
            continue
        shares = []
        for unwanted in ([material.texts[tag]], []):
            queries = np.stack([compose(texts=[vector], unwanted=unwanted) for vector in chosen])
            best = np.argpartition(-(queries @ gallery.T), min(top, len(gallery) - 1), axis=1)[:, :top]
            shares.append(float(has[best].mean()))
        result[tag] = {"share": shares[0], "without": shares[1], "all": float(has.mean())}
    return result


def ranks(queries: Vectors, wanted: Vectors, gallery: Vectors) -> NDArray[np.int64]:
    """Return the rank of each query's wanted item, from 1, ties settled against the system.

    Args:
        queries: float32 (q, d).
        wanted: float32 (q, d), the wanted item of each; it is in the gallery.
        gallery: float32 (g, d).

    Returns:
        int64 (q,).
    """
    right = (queries * wanted).sum(axis=1, keepdims=True)
    counted: NDArray[np.int64] = np.count_nonzero(queries @ gallery.T >= right - TIE_MARGIN, axis=1).astype(np.int64)
    return np.maximum(counted, 1)


def recalls(rank: NDArray[np.int64]) -> dict[str, float]:
    """Return R@1, 5, 10 and the median rank of ranks from 1."""
    result = {f"r{k}": float(np.mean(rank <= k)) for k in (1, 5, 10)}
    return result | {"median_rank": float(np.median(rank)), "queries": len(rank)}


def _first(pair: NDArray[np.float32]) -> bool:
    return bool(pair[0] > pair[1] + TIE_MARGIN)


def _all_tags(encoded: Encoded) -> list[str]:
    return sorted({garment for record in encoded.records for garment in record.garments if garment != "hair"})


def _is_absent(thing: str, text: str, garments: dict[str, list[str]]) -> bool:
    colour, garment = thing.split(" ", 1)
    return colour not in text.lower() and colour not in garments.get(garment, [])
