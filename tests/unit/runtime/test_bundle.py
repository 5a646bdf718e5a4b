from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.errors import BundleError, ConfigError
from onlooker.files import sha256_of, write_json
from onlooker.runtime import bundle as bundle_module
from onlooker.runtime.background import Background, write_background
from onlooker.runtime.bundle import Bundle, BundleInfo, open_bundle, shipped_names, write_bundle_info
from tests.tiny_bundle import DIMENSION, SPEC, give_words, tiny_info


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle folder whose towers are no graphs: enough for everything but running it."""
    folder = tmp_path / "people"
    folder.mkdir()
    for name in ("image.onnx", "text.onnx", "tokenizer.json"):
        (folder / name).write_bytes(f"the bytes of {name}".encode())
    write_bundle_info(folder, tiny_info(folder, name="people"))
    return folder


def change(folder: Path, key: str, value: Any) -> None:
    """Set a dotted key of model.json; ``...`` deletes it."""
    path = folder / "model.json"
    content = json.loads(path.read_text())
    *parents, last = key.split(".")
    part = content
    for parent in parents:
        part = part[parent]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    write_json(path, content)


@pytest.fixture
def sharing(folder: Path) -> Path:
    """A second bundle beside ``folder`` that takes its text tower from there."""
    second = shutil.copytree(folder, folder.parent / "second")
    (second / "text.onnx").unlink()
    (second / "tokenizer.json").unlink()
    (second / "image.onnx").write_bytes(b"another image tower....")
    change(second, "image.sha256", sha256_of(second / "image.onnx"))
    change(second, "text.shared_with", "people")
    return second


@pytest.fixture
def background(folder: Path) -> Background:
    """Put a background into ``folder``."""
    vectors = np.random.default_rng(0).normal(size=(7, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    background = Background(vectors[:4], vectors[4:])
    write_background(folder / "background.npz", background)
    change(folder, "background", {"file": "background.npz", "sha256": sha256_of(folder / "background.npz")})
    return background


def test_what_was_written_is_what_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert (bundle.name, bundle.dimension, bundle.max_tokens, bundle.pad_token) == ("people", DIMENSION, 16, "[PAD]")
    assert bundle.image_path == folder / "image.onnx"
    assert bundle.text_path == folder / "text.onnx"
    assert bundle.tokenizer_path == folder / "tokenizer.json"
    assert bundle.info == tiny_info(folder, name="people")
    assert bundle.spec == SPEC
    assert bundle.calibration is None
    assert bundle.background() is None
    assert bundle.layout == {}
    assert bundle.text_shared_with is None
    bundle.verify()


def test_a_bundle_without_the_newer_keys_opens(folder: Path) -> None:
    for key in ("layout", "background", "calibration", "text.shared_with"):
        change(folder, key, ...)
    bundle = Bundle.open(folder)
    bundle.verify()
    assert (bundle.layout, bundle.background(), bundle.calibration) == ({}, None, None)


def test_the_layout_says_what_the_columns_are(folder: Path) -> None:
    change(folder, "layout", {"upper": [4, 8], "global": [0, 4]})
    bundle = Bundle.open(folder)
    assert bundle.layout == {"global": (0, 4), "upper": (4, 8)}
    assert bundle.info.layout == bundle.layout


@pytest.mark.parametrize("columns", [[0, 9], [-1, 4], [4, 4], [0, 4.5], [0], "all", [False, True], None])
def test_a_layout_that_does_not_fit_is_named(folder: Path, columns: object) -> None:
    change(folder, "layout", {"upper": columns})
    with pytest.raises(BundleError, match=r"model\.json: layout\.upper is "):
        Bundle.open(folder)


def test_parts_that_overlap_are_refused(folder: Path) -> None:
    change(folder, "layout", {"global": [0, 5], "upper": [4, 8]})
    with pytest.raises(BundleError, match=r"layout\.upper is \[4, 8\]; wanted parts without overlap"):
        Bundle.open(folder).verify()


def test_the_background_is_read_as_float32(folder: Path, background: Background) -> None:
    bundle = Bundle.open(folder)
    bundle.verify()
    read = bundle.background()
    assert read is not None
    assert read.images.dtype == read.texts.dtype == np.float32
    np.testing.assert_allclose(read.images, background.images, atol=1e-3)
    np.testing.assert_allclose(read.texts, background.texts, atol=1e-3)


def test_the_background_does_not_change_what_a_gallery_remembers(folder: Path, background: Background) -> None:
    before = Bundle.open(folder).id
    change(folder, "background", None)
    assert Bundle.open(folder).id == before


@pytest.mark.usefixtures("background")
def test_a_background_that_cannot_be_used_is_named(folder: Path) -> None:
    path = folder / "background.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=r"background\.npz is no archive"):
        Bundle.open(folder).background()
    with pytest.raises(BundleError, match=r"background\.npz is damaged or was replaced"):
        Bundle.open(folder).verify()
    unit = np.eye(3, DIMENSION, dtype=np.float32)
    for images, what in ((unit[:, :4], r"images has shape \(3, 4\)"), (unit * 2, "of images is not of length 1")):
        write_background(path, Background(images, unit))
        change(folder, "background.sha256", sha256_of(path))
        with pytest.raises(BundleError, match=what):
            Bundle.open(folder).verify()
    np.savez(path, images=unit)
    with pytest.raises(BundleError, match="texts"):
        Bundle.open(folder).background()
    path.unlink()
    with pytest.raises(BundleError, match=r"lacks background\.npz"):
        Bundle.open(folder)


def test_a_text_tower_may_lie_in_the_bundle_beside(folder: Path, sharing: Path) -> None:
    bundle = Bundle.open(sharing)
    assert bundle.text_path == folder / "text.onnx"
    assert bundle.tokenizer_path == folder / "tokenizer.json"
    assert bundle.image_path == sharing / "image.onnx"
    assert bundle.text_shared_with == bundle.info.text.shared_with == "people"
    assert bundle.id != Bundle.open(folder).id
    bundle.verify()


def test_sharing_does_not_change_what_a_gallery_remembers(folder: Path, sharing: Path) -> None:
    before = Bundle.open(sharing).id
    for name in ("text.onnx", "tokenizer.json"):
        shutil.copy(folder / name, sharing / name)
    change(sharing, "text.shared_with", None)
    assert Bundle.open(sharing).id == before


def test_a_shared_text_tower_is_found_from_inside_and_through_a_link(
    sharing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(sharing)
    Bundle.open(tmp_path / "elsewhere" / "link").verify()
    monkeypatch.chdir(sharing)
    Bundle.open(Path()).verify()


def test_a_shared_text_tower_that_is_not_there_is_said(folder: Path, sharing: Path) -> None:
    folder.rename(folder.with_name("moved"))
    with pytest.raises(BundleError, match=r"second shares the text tower of the bundle 'people'.*side by side"):
        Bundle.open(sharing)


def test_a_shared_text_tower_that_has_changed_is_said(folder: Path, sharing: Path) -> None:
    (folder / "text.onnx").write_bytes(b"the bytes of text.ONNX")
    with pytest.raises(BundleError, match=r"text\.onnx is damaged or was replaced"):
        Bundle.open(sharing).verify()
    change(folder, "text.sha256", sha256_of(folder / "text.onnx"))
    with pytest.raises(BundleError, match=f"another text tower than .*--text-from .*{os.sep}people"):
        Bundle.open(sharing)
    (folder / "model.json").write_text("[]")
    with pytest.raises(BundleError, match=r"model\.json cannot be read or names no text tower"):
        Bundle.open(sharing)


def test_model_json_survives_a_round_trip(folder: Path) -> None:
    info = Bundle.open(folder).info
    assert BundleInfo.model_validate_json(info.model_dump_json()) == info


CALIBRATION: dict[str, Any] = {
    "kind": "logistic",
    "features": ["query", "picture", "margin", "size"],
    "temperature": 0.07,
    "alike": 0.8,
    "match": [-1.0, 0.3, 0.2, 0.5, -0.5],
    "somebody": [0.5, 0.6, 0.2, 0.0, -0.6],
    "threshold": [-0.2, -0.1],
    "sizes": [5, 300],
    "false_dismissals": 0.1,
    "data": {"dataset": "street"},
    "measured": {"top1_count": 0.02},
}


@pytest.mark.usefixtures("background")
def test_calibration_is_handed_on_as_it_stands(folder: Path) -> None:
    change(folder, "calibration", CALIBRATION)
    bundle = Bundle.open(folder)
    bundle.verify()
    assert bundle.calibration == CALIBRATION


def test_a_calibration_is_validated_and_needs_a_background(folder: Path) -> None:
    change(folder, "calibration", CALIBRATION)
    with pytest.raises(BundleError, match="a calibration needs a background"):
        Bundle.open(folder).verify()
    change(folder, "calibration", {**CALIBRATION, "slope": 20.0})
    with pytest.raises(BundleError, match=r"calibration\.slope"):
        Bundle.open(folder).verify()


def test_the_id_is_short_stable_and_needs_no_weights(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert len(bundle.id) == 32
    assert int(bundle.id, 16) >= 0
    for path in (bundle.image_path, bundle.text_path):
        path.write_bytes(b"x" * path.stat().st_size)
    assert Bundle.open(folder).id == bundle.id


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image.sha256", "0" * 64),
        ("text.sha256", "0" * 64),
        ("text.tokenizer_sha256", "0" * 64),
        ("text.max_tokens", 17),
        ("text.pad_token", "[SEP]"),
        ("image.spec.height", 13),
        ("image.spec.resize", "letterbox"),
        ("image.spec.mean", [0.4, 0.5, 0.5]),
    ],
)
def test_the_id_changes_with_weights_and_preprocessing(folder: Path, key: str, value: object) -> None:
    before = Bundle.open(folder).id
    change(folder, key, value)
    assert Bundle.open(folder).id != before


@pytest.mark.parametrize(("key", "value"), [("name", "other"), ("metrics", {"r1": 0.2}), ("license", "MIT")])
def test_the_id_stays_when_only_words_change(folder: Path, key: str, value: object) -> None:
    before = Bundle.open(folder).id
    change(folder, key, value)
    assert Bundle.open(folder).id == before


def test_no_folder_and_no_model_json_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"there is no bundle folder .*gone"):
        Bundle.open(tmp_path / "gone")
    with pytest.raises(BundleError, match=r"holds no model\.json"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\ufffe"])
def test_a_damaged_model_json_is_an_error(folder: Path, content: str) -> None:
    (folder / "model.json").write_text(content)
    with pytest.raises(BundleError, match=r"model\.json is not"):
        Bundle.open(folder)


@pytest.mark.parametrize("version", [0, 2, "1", None, ...])
def test_another_format_is_refused_with_advice(folder: Path, version: object) -> None:
    change(folder, "format", version)
    with pytest.raises(BundleError, match="reads format 1; update onlooker"):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dimension", 0),
        ("dimension", "8"),
        ("dimension", True),
        ("name", ...),
        ("image", []),
        ("image.spec", ...),
        ("image.sha256", None),
        ("image.file", "../image.onnx"),
        ("text.file", "/etc/passwd"),
        ("text.tokenizer", "..\\tokenizer.json"),
        ("text.tokenizer", ".."),
        ("text.max_tokens", 16.5),
        ("text.pad_token", ...),
        ("image.size_bytes", -3),
        ("text.shared_with", "../people"),
        ("text.shared_with", 3),
        ("background", "background.npz"),
        ("layout", [0, 8]),
    ],
)
def test_a_key_that_cannot_be_used_is_named(folder: Path, key: str, value: object) -> None:
    change(folder, key, value)
    with pytest.raises(BundleError, match=rf"model\.json: {key} is "):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", 0),
        ("image.spec.heigth", 3),
        ("image.spec.resize", "squash"),
        ("image.sha256", "XYZ"),
        ("text.tokenizer", "image.onnx"),
        ("background", {"file": "text.onnx", "sha256": "0" * 64}),
        ("surprise", 1),
    ],
)
def test_the_whole_is_validated_when_it_is_asked_for(folder: Path, key: str, value: object) -> None:
    change(folder, key, value)
    bundle = Bundle.open(folder)
    with pytest.raises(BundleError, match=r"model\.json: "):
        _ = bundle.info


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "tokenizer.json"])
def test_a_missing_or_cut_file_is_named_on_opening(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(BundleError, match=rf"{name} has 0 bytes"):
        Bundle.open(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        Bundle.open(folder)


def test_a_file_of_another_size_is_named_on_opening(folder: Path) -> None:
    (folder / "image.onnx").write_bytes(b"short")
    with pytest.raises(BundleError, match=r"image\.onnx has 5 bytes instead of 23"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "tokenizer.json"])
def test_verify_finds_a_changed_byte(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[3] ^= 1
    (folder / name).write_bytes(bytes(data))
    bundle = Bundle.open(folder)
    with pytest.raises(BundleError, match=rf"{name} is damaged or was replaced"):
        bundle.verify()


def test_writing_refuses_files_that_are_not_the_ones_described(folder: Path) -> None:
    info = tiny_info(folder, name="people")
    (folder / "text.onnx").write_bytes(b"another model....."[:18])
    assert sha256_of(folder / "text.onnx") != info.text.sha256
    with pytest.raises(BundleError, match=r"text\.onnx"):
        write_bundle_info(folder, info)


def test_shipped_bundles_are_found_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "SHIPPED", folder.parent)
    assert shipped_names() == ["people"]
    assert Bundle.shipped("people").path == folder
    with pytest.raises(BundleError, match=r"has no bundle 'base' \(it holds people\)"):
        Bundle.shipped()
    monkeypatch.setattr(bundle_module, "SHIPPED", folder / "nowhere")
    with pytest.raises(BundleError, match="it holds none"):
        Bundle.shipped()


def test_the_environment_chooses_where_nothing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLOOKER_BUNDLE", str(folder))
    assert open_bundle().path == folder
    with pytest.raises(BundleError, match="there is no bundle folder"):
        open_bundle(folder / "other")
    monkeypatch.setenv("ONLOOKER_BUNDLE", "")
    monkeypatch.setenv("ONLOOKER_THREADS", "many")
    with pytest.raises(ConfigError, match="ONLOOKER_THREADS"):
        open_bundle()


def test_opening_imports_neither_pydantic_nor_a_runtime(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from onlooker.runtime.bundle import Bundle\n"
        f"Bundle.open(Path({str(folder)!r})).id\n"
        "print([name for name in ('pydantic', 'onnxruntime', 'tokenizers', 'numpy', 'PIL') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_module_knows_only_its_own_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Bundel'"):
        _ = bundle_module.Bundel


def test_the_list_of_words_is_one_of_the_files(tiny_bundle: Bundle) -> None:
    bundle = give_words(tiny_bundle)
    assert bundle.words_path == bundle.path / "words.txt"
    assert bundle.id == tiny_bundle.id  # vectors of pictures do not depend on it
    (bundle.path / "words.txt").write_text("other\n")
    with pytest.raises(BundleError, match="is damaged or was replaced"):
        bundle.verify()
    (bundle.path / "words.txt").unlink()
    with pytest.raises(BundleError, match=r"lacks words\.txt"):
        Bundle.open(bundle.path)


def test_words_without_a_checksum_are_refused(tiny_bundle: Bundle) -> None:
    text = tiny_bundle.info.text.model_dump() | {"words": "words.txt"}
    with pytest.raises(ValueError, match="come together"):
        BundleInfo.model_validate(tiny_bundle.info.model_dump() | {"text": text})
