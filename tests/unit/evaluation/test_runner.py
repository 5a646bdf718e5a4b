from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.errors import ConfigError, DataError
from onlooker.evaluation.bootstrap import intervals
from onlooker.evaluation.metrics import retrieval
from onlooker.evaluation.runner import evaluate, split_name
from onlooker.runtime.fake import FakeEncoder
from tests.unit.evaluation.painted import OUTFITS, BentEncoder, painted


def test_image_protocol_finds_every_painted_person(tmp_path: Path) -> None:
    evaluation = evaluate(FakeEncoder(), painted(tmp_path), bootstrap=50)
    report = evaluation.report
    assert (report.protocol, report.split, report.pictures, report.texts) == ("image", "val", 5, 10)
    one, other = report.results["text-to-image"], report.results["image-to-text"]
    assert (one.metrics.r1, one.metrics.queries, one.metrics.gallery) == (1.0, 10, 5)
    assert (other.metrics.r1, other.metrics.map, other.metrics.queries, other.metrics.gallery) == (1.0, 1.0, 5, 10)
    assert one.intervals["r1"].low == one.intervals["r1"].high == 1.0


def test_person_protocol_takes_all_pictures_of_the_person(tmp_path: Path) -> None:
    evaluation = evaluate(FakeEncoder(), painted(tmp_path, persons=True), bootstrap=0)
    assert evaluation.report.protocol == "person"
    assert [len(right) for right in evaluation.rankings["text-to-image"].right] == [2] * 20
    assert [len(right) for right in evaluation.rankings["image-to-text"].right] == [4] * 10
    metrics = evaluation.report.results["text-to-image"].metrics
    assert (metrics.r1, metrics.map, metrics.minp) == (1.0, 1.0, 1.0)
    assert evaluation.report.results["text-to-image"].intervals == {}


def test_image_protocol_on_persons_wants_the_one_picture(tmp_path: Path) -> None:
    manifest = painted(tmp_path, persons=True)
    metrics = evaluate(FakeEncoder(), manifest, protocol="image", bootstrap=0).report.results["text-to-image"].metrics
    # The captions of two pictures of one person are the same, so each finds one of the two first.
    assert metrics.r1 == pytest.approx(0.5)
    assert metrics.median_rank == 1.5


def test_numbers_are_those_of_the_full_matrix(tmp_path: Path) -> None:
    evaluation = evaluate(FakeEncoder(), painted(tmp_path), texts="all", bootstrap=0)
    encoded = evaluation.encoded
    similarity = encoded.text_vectors @ encoded.picture_vectors.T
    relevant = encoded.text_records[:, None] == encoded.picture_records[None, :]
    assert evaluation.report.results["text-to-image"].metrics == retrieval(similarity, relevant)
    assert evaluation.report.results["image-to-text"].metrics == retrieval(similarity.T, relevant.T)


def test_texts_of_a_lost_picture_are_counted_not_averaged(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    manifest.path(manifest.records[2]).unlink()
    report = evaluate(FakeEncoder(), manifest, bootstrap=20).report
    one, other = report.results["text-to-image"].metrics, report.results["image-to-text"].metrics
    assert (one.queries, one.without_positive, one.gallery, one.r1) == (10, 2, 4, 1.0)
    assert (other.queries, other.without_positive, other.gallery) == (4, 0, 10)
    assert [skipped.id for skipped in report.skipped] == ["2_0"]


def test_a_picture_without_texts_is_a_distractor(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    records = [manifest.records[0].model_copy(update={"captions": []}), *manifest.records[1:]]
    report = evaluate(FakeEncoder(), replace(manifest, records=records), bootstrap=0).report
    assert report.results["text-to-image"].metrics.gallery == 5
    assert report.results["image-to-text"].metrics.without_positive == 1


def test_records_of_nobody_are_distractors_in_the_person_protocol(tmp_path: Path) -> None:
    manifest = painted(tmp_path, persons=True)
    records = [*manifest.records[:-2], *(r.model_copy(update={"person_id": None}) for r in manifest.records[-2:])]
    report = evaluate(FakeEncoder(), replace(manifest, records=records), protocol="person", bootstrap=10).report
    metrics = report.results["text-to-image"].metrics
    assert (metrics.queries, metrics.without_positive, metrics.gallery) == (20, 4, 10)


def test_a_collapsed_encoder_is_last_everywhere(tmp_path: Path) -> None:
    def collapse(vectors: np.ndarray) -> np.ndarray:
        return np.tile(np.eye(64, dtype=np.float32)[:1], (len(vectors), 1))

    report = evaluate(BentEncoder(pictures=collapse, texts=collapse), painted(tmp_path), bootstrap=0).report  # type: ignore[arg-type]
    assert report.results["text-to-image"].metrics.median_rank == 5
    assert report.results["image-to-text"].metrics.median_rank == 9


@pytest.mark.parametrize("protocol", ["image", "person"])
def test_intervals_draw_pictures_or_persons(tmp_path: Path, protocol: str) -> None:
    manifest = painted(tmp_path, persons=True, outfits=[*OUTFITS, *OUTFITS[:1] * 3, *OUTFITS[1:3]])
    evaluation = evaluate(FakeEncoder(), manifest, protocol=protocol, bootstrap=30, seed=2)
    records = {"text-to-image": evaluation.encoded.text_records, "image-to-text": evaluation.encoded.picture_records}
    for direction, ranking in evaluation.rankings.items():
        clusters = records[direction] // (2 if protocol == "person" else 1)
        expected = intervals(ranking.scores, clusters, resamples=30, seed=2)
        assert evaluation.report.results[direction].intervals == expected
        assert expected["mean_rank"].low < expected["mean_rank"].high


def test_one_direction_limit_and_name(tmp_path: Path) -> None:
    evaluation = evaluate(
        FakeEncoder(), painted(tmp_path), directions=["image-to-text"], limit=3, model="mine", bootstrap=0
    )
    assert list(evaluation.rankings) == list(evaluation.report.results) == ["image-to-text"]
    assert (evaluation.report.records, evaluation.report.limit, evaluation.report.model) == (3, 3, "mine")
    assert evaluation.report.model_id == FakeEncoder().bundle_id


def test_same_call_same_numbers(tmp_path: Path) -> None:
    one = evaluate(FakeEncoder(), painted(tmp_path), texts="phrases").report.results
    assert one == evaluate(FakeEncoder(), painted(tmp_path), texts="phrases").report.results


def test_split_name(tmp_path: Path) -> None:
    records = painted(tmp_path).records
    test = records[0].model_copy(update={"split": "test"})
    none = records[0].model_copy(update={"split": None})
    assert split_name([test, records[0]]) == "val+test"
    assert split_name([none]) == "no split"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directions": []}, "choose directions among text-to-image, image-to-text, got none"),
        ({"directions": ["sideways"]}, "got sideways"),
        ({"bootstrap": 1}, "must be 0 .* or at least 2, got 1"),
        ({"bootstrap": -3}, "got -3"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"limit": 0}, "limit must be at least 1 record, got 0"),
        ({"protocol": "person"}, "no record has one"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_encoded(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    encoder = BentEncoder()
    with pytest.raises(ConfigError, match=message):
        evaluate(encoder, painted(tmp_path), **arguments)
    assert encoder.seen == []


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 0 records"):
        evaluate(FakeEncoder(), replace(painted(tmp_path), records=[]))
