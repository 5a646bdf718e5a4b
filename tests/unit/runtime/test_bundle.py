from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onlooker.errors import BundleError, ConfigError
from onlooker.files import sha256_of, write_json
from onlooker.runtime import bundle as bundle_module
from onlooker.runtime.bundle import Bundle, BundleInfo, open_bundle, shipped_names, write_bundle_info
from tests.tiny_bundle import DIMENSION, SPEC, tiny_info


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


def test_what_was_written_is_what_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert (bundle.name, bundle.dimension, bundle.max_tokens, bundle.pad_token) == ("people", DIMENSION, 16, "[PAD]")
    assert bundle.image_path == folder / "image.onnx"
    assert bundle.text_path == folder / "text.onnx"
    assert bundle.tokenizer_path == folder / "tokenizer.json"
    assert bundle.info == tiny_info(folder, name="people")
    assert bundle.spec == SPEC
    assert bundle.calibration is None
    bundle.verify()


def test_model_json_survives_a_round_trip(folder: Path) -> None:
    info = Bundle.open(folder).info
    assert BundleInfo.model_validate_json(info.model_dump_json()) == info


def test_calibration_is_handed_on_as_it_stands(folder: Path) -> None:
    change(folder, "calibration", {"kind": "logistic", "slope": 20.0})
    assert Bundle.open(folder).calibration == {"kind": "logistic", "slope": 20.0}


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
    with pytest.raises(BundleError, match=r"has no bundle 'compact' \(it holds people\)"):
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
