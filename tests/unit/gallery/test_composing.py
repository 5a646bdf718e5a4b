from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlooker.errors import QueryError
from onlooker.files import sha256_of
from onlooker.gallery.composing import Space, Weights, compose, settle, speaks_of, vectors_of
from onlooker.gallery.queries import Query
from onlooker.gallery.search import search
from onlooker.gallery.store import Gallery
from onlooker.runtime.background import Background, write_background
from onlooker.runtime.bundle import Bundle
from onlooker.runtime.calibration import Nobody
from onlooker.runtime.encoder import Encoder
from onlooker.runtime.fake import FakeEncoder
from tests.tiny_bundle import write_tiny_bundle
from tests.unit.gallery.makers import people_gallery, person, vectors_gallery

LAYOUT = {"global": (0, 4), "upper": (4, 8), "lower": (8, 12)}
"""A fabricated bundle's: four colours stand in each block."""
RED, BLUE, GREEN, BLACK = range(4)
GAP_OF_TEXTS, GAP_OF_PICTURES = 3.0, 1.0


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def picture(upper: int, lower: int) -> np.ndarray:
    """A person in two garments: each in its block, and both in the global one; all pictures share an offset."""
    vector = np.full(12, GAP_OF_PICTURES / 12)
    vector[[upper, lower]] += 0.7
    vector[[4 + upper, 8 + lower]] += 1
    return unit(vector)


def text(upper: int | None = None, lower: int | None = None) -> np.ndarray:
    """A text; the block of a region it does not speak of is short."""
    vector = np.zeros(12)
    vector[:4] = GAP_OF_TEXTS / 12
    for region, colour in ((0, upper), (1, lower)):
        if colour is not None:
            vector[colour] += 0.7
            vector[4 * (region + 1) + colour] += 1
    return unit(vector)


EVERYBODY = unit(np.stack([picture(upper, lower) for upper in range(4) for lower in range(4)]))
ALL_TEXTS = unit(
    np.stack(
        [
            text(upper, lower)
            for upper in (None, *range(4))
            for lower in (None, *range(4))
            if (upper, lower) != (None, None)
        ]
    )
)
SPACES = {
    "layout and background": Space(LAYOUT, ALL_TEXTS),
    "layout alone": Space(LAYOUT),
    "background alone": Space({}, ALL_TEXTS),
    "nothing": Space(),
}


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> Space:
    return SPACES[request.param]


def best(query: np.ndarray) -> tuple[int, int]:
    """Upper and lower colour of the person found first."""
    return divmod(int((EVERYBODY @ query).argmax()), 4)


def test_one_text_or_one_picture_comes_back_as_it_is(space: Space) -> None:
    for vector in (text(RED), picture(RED, BLUE)):
        for part in ("texts", "pictures"):
            assert np.array_equal(compose(space, **{part: [vector]}), vector)


@pytest.mark.parametrize("upper", range(4))
@pytest.mark.parametrize("lower", range(4))
def test_a_picture_changed_by_words(upper: int, lower: int) -> None:
    """Beyond what adding the two can do: the one garment is exchanged and the other stays, for every outfit."""
    space = SPACES["layout and background"]
    for new in range(4):
        assert best(compose(space, texts=[text(new)], pictures=[picture(upper, lower)])) == (new, lower)
        assert best(compose(space, texts=[text(None, new)], pictures=[picture(upper, lower)])) == (upper, new)


def test_the_region_that_the_words_speak_of_gives_way() -> None:
    """Where the picture keeps its red jacket, few words of a green one do not get past it."""
    for name in ("layout and background", "layout alone"):
        parts = {"texts": [text(GREEN)], "pictures": [picture(RED, BLUE)]}
        kept = compose(SPACES[name], **parts, weights=Weights(text=0.35, gives_way=0, gives_way_whole=0))
        left = compose(SPACES[name], **parts, weights=Weights(text=0.35, gives_way=1, gives_way_whole=0))
        gone = compose(SPACES[name], **parts, weights=Weights(text=0.35, gives_way=1, gives_way_whole=1))
        assert best(kept) == (RED, BLUE)
        assert best(left) == (GREEN, BLUE)
        begin, end = LAYOUT["upper"]
        assert left[begin + RED] < 0.2 * kept[begin + RED]
        assert gone[RED] < 0.3 * left[RED]
        begin, end = LAYOUT["lower"]
        assert int(left[begin:end].argmax()) == BLUE


def test_what_all_texts_share_changes_nothing() -> None:
    shared = unit(ALL_TEXTS.mean(axis=0))
    for parts in (
        {"texts": [text(GREEN)], "pictures": [picture(RED, BLUE)]},
        {"texts": [text(GREEN)], "unwanted": [text(RED)]},
    ):
        centred, plain = (compose(SPACES[name], **parts) for name in ("background alone", "nothing"))
        apart = abs(float(centred @ shared) - float(plain @ shared))
        assert apart > 0.05
    gap = np.zeros(12)
    gap[:4] = 0.5
    centred, plain = (
        compose(SPACES[name], texts=[text(GREEN)], pictures=[picture(RED, BLUE)])
        for name in ("background alone", "nothing")
    )
    assert centred @ gap < plain @ gap - 0.1


def test_a_picture_changed_by_words_without_a_background() -> None:
    query = compose(SPACES["layout alone"], texts=[text(GREEN)], pictures=[picture(RED, BLUE)])
    assert best(query) == (GREEN, BLUE)


def test_words_change_a_picture_in_every_space(space: Space) -> None:
    seen = picture(RED, BLUE)
    changed = compose(space, texts=[text(GREEN)], pictures=[seen])
    assert changed @ picture(GREEN, BLUE) > changed @ picture(BLACK, BLUE)
    assert changed @ picture(GREEN, BLUE) > changed @ picture(GREEN, BLACK)


def test_what_is_not_wanted_falls_back(space: Space) -> None:
    wanted = compose(space, texts=[text(None, BLUE)], unwanted=[text(RED)])
    others = [wanted @ picture(colour, BLUE) for colour in (GREEN, BLACK)]
    assert all(wanted @ picture(RED, BLUE) < other for other in others)
    # And who fits stays before who does not.
    assert min(others) > max(wanted @ picture(colour, GREEN) for colour in range(4))


def test_several_of_a_kind(space: Space) -> None:
    both = compose(space, texts=[text(None, BLUE)], unwanted=[text(RED), text(GREEN)])
    assert max(both @ picture(RED, BLUE), both @ picture(GREEN, BLUE)) < both @ picture(BLACK, BLUE)
    seen = compose(space, pictures=[picture(RED, BLUE), picture(RED, GREEN)])
    assert seen @ picture(RED, BLUE) > seen @ picture(GREEN, BLUE)
    said = compose(space, texts=[text(RED), text(None, BLUE)])
    assert best(said) == (RED, BLUE)


def test_a_text_speaks_of_what_its_blocks_are_long_in() -> None:
    for name in ("layout and background", "layout alone"):
        shares = speaks_of(SPACES[name], text(RED))
        assert shares["global"] == 1
        assert shares["upper"] > 0.9
        assert shares["lower"] < 0.05
    assert speaks_of(SPACES["nothing"], text(RED)) == {}


def test_nothing_wanted_or_nothing_left() -> None:
    with pytest.raises(QueryError, match="has to say what is wanted"):
        compose(Space())
    with pytest.raises(QueryError, match="has to say what is wanted"):
        compose(Space(), unwanted=[text(RED)])
    with pytest.raises(QueryError, match="cancel each other out"):
        compose(Space(), texts=[text(RED), -text(RED)])


numbers = st.integers(0, 2**32 - 1)


@given(numbers, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.sampled_from(sorted(SPACES)))
def test_any_query_is_one_unit_vector(seed: int, texts: int, pictures: int, unwanted: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    parts = {
        kind: unit(rng.normal(size=(count, 12)))
        for kind, count in (("texts", texts), ("pictures", pictures), ("unwanted", unwanted))
    }
    if texts + pictures == 0:
        with pytest.raises(QueryError):
            compose(SPACES[name], **parts)
        return
    query = compose(SPACES[name], **parts)
    assert query.dtype == np.float32
    assert query.shape == (12,)
    assert abs(float(np.linalg.norm(query)) - 1) < 1e-5
    flipped = {kind: vectors[::-1] for kind, vectors in parts.items()}
    assert np.allclose(compose(SPACES[name], **flipped), query, atol=1e-5)


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Gallery]:
    path = people_gallery(tmp_path / "people.db")
    with Gallery.open(path, read_only=True) as gallery:
        yield gallery


def painted(path: Path) -> np.ndarray:
    """Reads "red-blue.jpg" as a person in a red jacket and blue trousers."""
    return person(*path.stem.split("-"))


def test_vectors_of_queries(people: Gallery) -> None:
    encoder = FakeEncoder()
    queries = [
        Query("red jacket"),
        Query(pictures=(Path("green-blue.jpg"),)),
        Query(sightings=(4,)),
        Query("red jacket", unwanted=("blue jeans",)),
        Query("blue jeans", (Path("red-black.jpg"),)),
    ]
    vectors = vectors_of(queries, encoder, people, painted)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[0], encoder.encode_texts(["red jacket"])[0])
    found = search(people, vectors, 1)
    assert [matches[0].sighting.id for matches in found[1:]] == [3, 4, 2, 1]


def test_texts_alone_are_encoded_as_ever(people: Gallery) -> None:
    encoder = FakeEncoder()
    texts = ["red jacket", "blue jeans", "red jacket"]
    vectors = vectors_of([Query(text) for text in texts], encoder, people, painted)
    assert np.array_equal(vectors, encoder.encode_texts(texts))


def test_a_sighting_with_several_views_is_their_mean(tmp_path: Path) -> None:
    views = np.zeros((2, 64), np.float32)
    views[0, 0] = views[1, 1] = 1
    with vectors_gallery(tmp_path / "views.db", [views, views[:1]]) as gallery:
        (vector,) = vectors_of([Query(sightings=(1,))], FakeEncoder(), gallery, painted)
    assert np.allclose(vector[:2], 0.5**0.5, atol=1e-3)


def test_an_unknown_sighting(people: Gallery) -> None:
    with pytest.raises(QueryError, match=r"there is no sighting 9 in .*people\.db"):
        vectors_of([Query(sightings=(9,))], FakeEncoder(), people, painted)


def test_a_named_sighting_is_not_found_again(people: Gallery) -> None:
    query = Query(sightings=(2, 4))
    (found,) = search(people, vectors_of([query], FakeEncoder(), people, painted), 3)
    matches = settle(query, found, 1)
    assert [(match.rank, match.sighting.id in (1, 3)) for match in matches] == [(1, True)]
    plain = Query("red jacket")
    (found,) = search(people, vectors_of([plain], FakeEncoder(), people, painted), 3)
    assert settle(plain, found, 2) == found[:2]


def test_a_composed_query_has_no_confidence(people: Gallery) -> None:
    """The calibration was fitted on descriptions alone."""

    class Half:
        def judge(self, query: np.ndarray, similarities: np.ndarray, *_: object) -> tuple[np.ndarray, Nobody]:
            return np.full(len(similarities), 0.5), Nobody(0.9, 0.6, verdict=True)

    queries = [Query("red jacket"), Query("red jacket", unwanted=("hat",))]
    vectors = vectors_of(queries, FakeEncoder(), people, painted)
    found = search(people, vectors, 2, calibration=Half())
    plain, composed = (settle(*pair, 2) for pair in zip(queries, found, strict=True))
    assert [match.confidence for match in plain] == [0.5, 0.5]
    assert plain.nobody == Nobody(0.9, 0.6, verdict=True)
    assert [match.confidence for match in composed] == [None, None]
    assert composed.nobody == Nobody(None, None, verdict=False)


def test_a_query_of_pictures_alone_keeps_its_confidence(people: Gallery) -> None:
    class Half:
        def judge(self, query: np.ndarray, similarities: np.ndarray, *_: object) -> tuple[np.ndarray, Nobody]:
            return np.full(len(similarities), 0.5), Nobody(None, None, verdict=False)

    queries = [Query(sightings=(2,)), Query("red", sightings=(2,)), Query(sightings=(2,), unwanted=("hat",))]
    vectors = vectors_of(queries, FakeEncoder(), people, painted)
    found = search(people, vectors, 3, calibration=[Half(), Half(), None])
    shown = [settle(*pair, 2) for pair in zip(queries, found, strict=True)]
    assert [[match.confidence for match in matches] for matches in shown] == [[0.5] * 2, [None] * 2, [None] * 2]
    assert [query.pictorial for query in queries] == [True, False, False]


def test_the_space_of_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    encoder = Encoder.open(write_tiny_bundle(folder))
    space = Space.of(encoder)
    assert (dict(space.layout), space.texts) == ({}, None)
    assert Space.of(FakeEncoder()) == Space()
    texts = encoder.encode_texts(["red", "green jacket", "a man"])
    write_background(folder / "background.npz", Background(texts[:1], texts))
    content = json.loads((folder / "model.json").read_text())
    content["layout"] = {"global": [0, 4], "upper": [4, 8]}
    content["background"] = {"file": "background.npz", "sha256": sha256_of(folder / "background.npz")}
    (folder / "model.json").write_text(json.dumps(content))
    space = Space.of(Encoder.open(Bundle.open(folder)))
    assert space.layout == {"global": (0, 4), "upper": (4, 8)}
    assert space.texts is not None
    assert np.allclose(space.texts, texts, atol=1e-3)
    assert np.allclose(space.text_mean, texts.mean(axis=0), atol=1e-3)
    assert set(space.full_lengths) == {"global", "upper"}
