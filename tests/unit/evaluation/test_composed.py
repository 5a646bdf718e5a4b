from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.masks import LABELS
from onlooker.errors import DataError
from onlooker.evaluation.composed import Material, gather, measure, ranks, recalls
from onlooker.evaluation.painting import COLOURS, COLOURS_OF_A_CASE, Painted, paint_cases
from onlooker.gallery.composing import Space, compose
from onlooker.runtime.fake import COLOURS as FAKE_COLOURS
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.pictures import encode_jpeg, read_picture

scipy_io = pytest.importorskip("scipy.io", reason="needs the training extra")

pytestmark = pytest.mark.train

OUTFITS = [("red", "blue"), ("green", "black"), ("white", "brown"), ("yellow", "grey")]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """People with a jacket above and jeans below on a grey ground, and masks of these; the last has no mask."""
    folder = tmp_path_factory.mktemp("people")
    records = []
    mask = np.zeros((90, 50), np.uint8)
    mask[5:45, 5:45] = LABELS.index("jacket")
    mask[45:85, 5:45] = LABELS.index("jeans")
    scipy_io.savemat(folder / "mask.mat", {"groundtruth": mask})
    for number, (upper, lower) in enumerate(OUTFITS):
        rgb = np.full((90, 50, 3), 127, np.uint8)
        rgb[5:45, 5:45], rgb[45:85, 5:45] = FAKE_COLOURS[upper], FAKE_COLOURS[lower]
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(rgb, 95))
        records.append(
            Record(
                id=str(number),
                file=f"{number}.jpg",
                captions=[f"a tall person who walks about the town in a {upper} jacket and {lower} jeans"],
                phrases=[f"{upper} jacket"],
                box=(3, 3, 44, 84),
                mask="mask.mat" if number < 3 else None,
                garments={"jacket": [upper], "jeans": [lower]} | ({"bag": []} if number == 0 else {}),
                split="val",
            )
        )
    return Manifest("painted", folder, "made by a test, free for all", records)


@pytest.fixture(scope="module")
def material(manifest: Manifest) -> Material:
    return gather(FakeEncoder(), manifest)


def region(case: Painted, garment: str) -> np.ndarray:
    """The middle of a garment in the crop of a case."""
    rows = slice(8, 38) if garment == "jacket" else slice(48, 76)
    return np.stack([picture[rows, 6:38] for picture in case.pictures]).astype(float)


def test_cases_are_the_photograph_with_one_garment_in_other_colours(manifest: Manifest) -> None:
    cases = list(paint_cases(manifest, seed=3))
    assert [case.record for case in cases] == [0, 1, 2]
    for case in cases:
        own = manifest.records[case.record].garments
        other = "jeans" if case.garment == "jacket" else "jacket"
        assert len(set(case.colours)) == COLOURS_OF_A_CASE
        assert set(case.colours) <= set(COLOURS) - set(own[case.garment])
        assert case.things == tuple(f"{colour} {case.garment}" for colour in case.colours)
        assert all(thing in wish for thing, wish in zip(case.things, case.wishes, strict=True))
        assert case.rest == f"{own[other][0]} {other}"
        assert np.array_equal(case.pictures[0], read_picture(manifest.path(manifest.records[case.record]))[3:87, 3:47])
        painted, rest = region(case, case.garment), region(case, other)
        for number in range(1, 1 + COLOURS_OF_A_CASE):
            assert np.abs(painted[number] - painted[0]).mean() > 15
            assert np.array_equal(rest[number], rest[0])
        for number in range(1 + COLOURS_OF_A_CASE, len(case.pictures)):
            assert np.array_equal(painted[number], painted[0])
            assert np.abs(rest[number] - rest[0]).mean() > 15


def test_cases_depend_on_the_seed_and_nothing_else(manifest: Manifest) -> None:
    def shown(seed: int) -> list[tuple[str, ...]]:
        return [case.things for case in paint_cases(manifest, seed=seed)]

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)
    reversed_last = replace(manifest, records=manifest.records[:2])
    assert [case.things for case in paint_cases(reversed_last, seed=1)] == shown(1)[:2]


def test_pictures_that_cannot_be_read_and_small_garments_give_no_case(manifest: Manifest) -> None:
    first = manifest.records[0]
    gone = first.model_copy(update={"file": "gone.jpg"})
    small = first.model_copy(update={"box": (0, 0, 50, 5)})
    unknown = first.model_copy(update={"garments": {"jacket": []}})
    steps: list[float] = []
    records = [gone, small, unknown.model_copy(update={"garments": {}})]
    assert list(paint_cases(replace(manifest, records=records), advance=steps.append)) == []
    assert steps == [1, 1, 1]
    with pytest.raises(DataError, match="no record of painted has a mask"):
        gather(FakeEncoder(), replace(manifest, records=[manifest.records[3]]))


def test_the_shipped_way_on_an_encoder_that_knows_colours(material: Material) -> None:
    """What can be known of an encoder that reads colours of an upper and a lower half without error."""
    result = measure(material, partial(compose, Space()))
    assert result["picture"]["r1"] == 1
    assert result["changed"]["queries"] == 3 * COLOURS_OF_A_CASE
    assert result["changed"]["before_colours"] > 0.8
    assert result["changed"]["before_garment"] > 0.6
    # Painted shades lie between the fake encoder's colours, so neither is without error.
    assert result["not_twins"]["text"] > 0.8 > 0.6 > result["not_twins"]["text_without"]
    assert result["not_beside"]["descriptions_without"]["r1"] == 1
    assert result["not_beside"]["descriptions"]["r1"] >= 0.5
    assert set(result["not_worn"]) == {"bag"}
    assert result["not_worn"]["bag"]["all"] == 0.25


def test_the_ways_are_told_apart(material: Material) -> None:
    def picture_alone(
        *, texts: Sequence[np.ndarray] = (), pictures: Sequence[np.ndarray] = (), unwanted: Sequence[np.ndarray] = ()
    ) -> np.ndarray:
        return [*pictures, *texts][0]

    result = measure(material, picture_alone)
    assert result["changed"]["before_itself"] == 0
    assert result["changed"]["r1"] == 0
    for name in ("text", "picture"):
        assert result["not_twins"][name] == result["not_twins"][f"{name}_without"]
    for kind in ("descriptions", "phrases"):
        assert result["not_beside"][kind] == result["not_beside"][f"{kind}_without"]
    assert all(part["share"] == part["without"] for part in result["not_worn"].values())


def test_a_collapsed_encoder_gains_nothing_from_ties(material: Material) -> None:
    same = np.full(64, 0.125, np.float32)
    flat = replace(
        material,
        encoded=replace(
            material.encoded,
            picture_vectors=np.tile(same, (len(material.encoded.picture_vectors), 1)),
            text_vectors=np.tile(same, (len(material.encoded.text_vectors), 1)),
        ),
        again=np.tile(same, (len(material.again), 1)),
        pictures=[np.tile(same, (len(part), 1)) for part in material.pictures],
        texts=dict.fromkeys(material.texts, same),
    )
    result = measure(flat, partial(compose, Space()))
    assert result["picture"]["r1"] == result["changed"]["r1"] == result["not_twins"]["text"] == 0
    assert result["changed"]["before_itself"] == result["not_beside"]["phrases"]["r1"] == 0


def test_ranks_against_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(20, 6)).astype(np.float32)
    queries = rng.normal(size=(9, 6)).astype(np.float32)
    wanted = rng.integers(0, 20, 9)
    found = ranks(queries, gallery[wanted], gallery)
    for query, place, rank in zip(queries, wanted, found, strict=True):
        order = sorted(range(20), key=lambda item: -float(gallery[item] @ query))
        assert rank == order.index(place) + 1
    twice = np.concatenate([gallery, gallery])
    assert np.array_equal(ranks(queries, gallery[wanted], twice), 2 * found)


def test_recalls() -> None:
    assert recalls(np.array([1, 1, 3, 9, 40])) == {"r1": 0.4, "r5": 0.6, "r10": 0.8, "median_rank": 3, "queries": 5}
