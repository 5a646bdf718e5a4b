from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.datasets.crops import CropDataset
from onlooker.errors import ConfigError, DataError, OnlookerError, PictureError
from onlooker.evaluation.encoding import encode, read_crop, steps
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.preprocessing import ImageSpec, resize
from tests.unit.evaluation.painted import BentEncoder, paint, painted


def test_every_picture_and_text_once_in_order(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    encoded = encode(FakeEncoder(), manifest, texts="all", batch_size=2)
    assert encoded.picture_vectors.shape == (5, 64)
    assert encoded.picture_vectors.dtype == encoded.text_vectors.dtype == np.float32
    assert encoded.picture_records.tolist() == [0, 1, 2, 3, 4]
    assert encoded.text_records.tolist() == sorted([0, 1, 2, 3, 4] * 3)
    assert encoded.texts[:3] == [*manifest.records[0].captions, *manifest.records[0].phrases]
    alone = FakeEncoder().encode_texts([encoded.texts[7]])[0]
    assert np.array_equal(encoded.text_vectors[7], alone)
    assert np.array_equal(
        encoded.picture_vectors[3], FakeEncoder().encode_images([read_crop(manifest, manifest.records[3])])[0]
    )


def test_a_text_that_repeats_is_encoded_once(tmp_path: Path) -> None:
    manifest = painted(tmp_path, outfits=[("red", "blue"), ("red", "black"), ("red", "grey")])
    encoder = BentEncoder()
    done: list[float] = []
    encoded = encode(encoder, manifest, texts="phrases", batch_size=2, advance=done.append)
    assert encoder.seen == [2, 1, 1]
    assert len(encoded.texts) == len(encoded.text_vectors) == 3
    assert sum(done) == steps(manifest.records, "phrases") == 4


def test_the_crop_is_the_box_and_the_one_of_training(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    boxed = replace(manifest, records=[manifest.records[0].model_copy(update={"box": (5.2, 10.0, 11.5, 40.9)})])
    assert read_crop(manifest, manifest.records[0]).shape == (60, 30, 3)
    crop = read_crop(boxed, boxed.records[0])
    assert crop.shape == (41, 12, 3)
    assert np.array_equal(crop, read_crop(manifest, manifest.records[0])[10:51, 5:17])
    spec = ImageSpec(height=24, width=12)
    assert np.array_equal(resize(crop, spec), CropDataset(boxed, spec)[0]["pixels"])


def test_an_unreadable_picture_is_skipped_and_its_texts_stay(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    manifest.path(manifest.records[1]).write_bytes(b"no picture")
    manifest.path(manifest.records[2]).unlink()
    encoded = encode(FakeEncoder(), manifest, batch_size=2)
    assert encoded.picture_records.tolist() == [0, 3, 4]
    assert [skipped.id for skipped in encoded.skipped] == ["1_0", "2_0"]
    assert "does not exist" in encoded.skipped[1].reason
    assert len(encoded.texts) == 10
    with pytest.raises(PictureError):
        read_crop(manifest, manifest.records[1])


def test_no_readable_picture_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    manifest = replace(painted(tmp_path), root=tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"none of the 5 pictures under .*elsewhere can be read; the first: .*0_0.jpg"):
        encode(FakeEncoder(), manifest)


def test_no_such_text_is_an_error_that_offers_the_others(tmp_path: Path) -> None:
    manifest = painted(tmp_path)
    bare = replace(manifest, records=[record.model_copy(update={"captions": []}) for record in manifest.records])
    with pytest.raises(DataError, match=r"none of the 5 records of painted has captions.*--texts phrases"):
        encode(FakeEncoder(), bare, texts="captions")
    silent = replace(manifest, records=[record.model_copy(update={"phrases": []}) for record in bare.records])
    with pytest.raises(DataError, match=r"none of the 5 records of painted has captions or phrases$"):
        encode(FakeEncoder(), silent, texts="all")


@pytest.mark.parametrize("side", ["pictures", "texts"])
@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (lambda vectors: vectors * np.nan, "has length nan, wanted 1"),
        (lambda vectors: vectors * 2, "has length 2, wanted 1"),
        (lambda vectors: vectors * 0, "has length 0, wanted 1"),
        (lambda vectors: vectors[:, :-1], r"gave vectors of shape \(\d+, 63\)"),
        (lambda vectors: vectors[:-1], r"gave vectors of shape"),
    ],
)
def test_damaged_vectors_are_refused(tmp_path: Path, side: str, bend: Any, message: str) -> None:
    with pytest.raises(OnlookerError, match=message):
        encode(BentEncoder(**{side: bend}), painted(tmp_path))


def test_half_precision_vectors_are_taken(tmp_path: Path) -> None:
    encoder = BentEncoder(pictures=lambda vectors: vectors.astype(np.float16))  # type: ignore[arg-type]
    assert encode(encoder, painted(tmp_path)).picture_vectors.dtype == np.float32


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch size must be at least 1, got 0"):
        encode(FakeEncoder(), painted(tmp_path), batch_size=0)
    with pytest.raises(ConfigError, match="unknown texts 'titles'"):
        encode(FakeEncoder(), painted(tmp_path), texts="titles")  # type: ignore[arg-type]


def test_vectors_are_saved_without_pickle(tmp_path: Path) -> None:
    encoded = encode(FakeEncoder(), painted(tmp_path), texts="all")
    encoded.save(tmp_path / "deep" / "v.npz", model="fake")
    with np.load(tmp_path / "deep" / "v.npz", allow_pickle=False) as saved:
        assert str(saved["model"]) == "fake"
        assert saved["files"].tolist() == [record.file for record in encoded.records]
        assert saved["texts"].tolist() == encoded.texts
        assert np.array_equal(saved["picture_vectors"], encoded.picture_vectors)
        assert np.array_equal(saved["text_records"], encoded.text_records)
    with pytest.raises(ConfigError, match=r"must end in .npz"):
        encoded.save(tmp_path / "v.npy", model="fake")


def test_paint_is_what_the_fake_encoder_sees() -> None:
    encoder = FakeEncoder()
    vector = encoder.encode_texts(["red jacket, blue jeans"])[0]
    similarities = encoder.encode_images([paint("red", "blue"), paint("green", "black")]) @ vector
    assert similarities[0] > similarities[1] + 0.3
