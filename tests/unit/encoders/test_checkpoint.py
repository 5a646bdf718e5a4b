from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.encoders.checkpoint import (  # noqa: E402
    load_checkpoint,
    open_encoder,
    read_info,
    recover_folder,
    replace_folder,
    save_checkpoint,
)
from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import build  # noqa: E402
from onlooker.errors import DataError  # noqa: E402
from tests.tiny_models import recipe_table  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def saved(clip: Path, tmp_path: Path) -> Path:
    table = {**recipe_table(clip)["model"], "lora": None}
    model = build(ModelConfig.model_validate(table))
    return save_checkpoint(tmp_path / "run" / "best", model, clip / "tokenizer.json", {"recipe": {"name": "tiny"}})


def test_it_holds_what_it_says(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["checkpoint.json", "model.safetensors", "tokenizer.json"]
    assert [path.name for path in saved.parent.iterdir()] == ["best"]
    assert read_info(saved)["record"] == {"recipe": {"name": "tiny"}}


def test_an_encoder_opens_from_the_run_folder(saved: Path) -> None:
    encoder = open_encoder(saved.parent)
    pictures = [np.full((40, 20, 3), level, np.uint8) for level in (0, 90, 255)]
    images, texts = encoder.encode_images(pictures, batch_size=2), encoder.encode_texts(["red", "blue shirt"], 1)
    assert images.shape == (3, 16)
    assert texts.shape == (2, 16)
    assert images.dtype == texts.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(images, encoder.encode_images(pictures), atol=1e-6)
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 16)


def test_nothing_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint here"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', "{}"])
def test_a_foreign_or_damaged_description_is_named(saved: Path, content: str) -> None:
    (saved / "checkpoint.json").write_text(content)
    with pytest.raises(DataError, match=r"checkpoint\.json"):
        load_checkpoint(saved)


def test_a_damaged_configuration_is_named(saved: Path) -> None:
    info = json.loads((saved / "checkpoint.json").read_text())
    for broken in ({**info, "model": {}}, {key: info[key] for key in ("format", "model")}):
        (saved / "checkpoint.json").write_text(json.dumps(broken))
        with pytest.raises(DataError, match="configuration is damaged"):
            load_checkpoint(saved)


def test_damaged_weights_are_named(saved: Path) -> None:
    whole = (saved / "model.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"x" * 100):
        (saved / "model.safetensors").write_bytes(content)
        with pytest.raises(DataError, match="weights do not fit"):
            load_checkpoint(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(DataError, match="weights do not fit"):
        load_checkpoint(saved)


def make(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(content)
    return folder


def test_replacing_and_recovering(tmp_path: Path) -> None:
    target = tmp_path / "it"
    replace_folder(make(tmp_path / ".it.1.tmp", "one"), target)
    replace_folder(make(tmp_path / ".it.1.tmp", "two"), target)
    assert (target / "file").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    # A kill between the two renames: the older folder is put back, the half-written one goes.
    target.rename(tmp_path / ".it.77.old")
    make(tmp_path / ".it.77.tmp", "three")
    assert recover_folder(target)
    assert (target / "file").read_text() == "two"
    # A kill before the older one was removed: the newer one stays.
    make(tmp_path / ".it.78.old", "zero")
    assert recover_folder(target)
    assert (target / "file").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert not recover_folder(tmp_path / "other")
