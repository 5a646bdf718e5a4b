"""Bundles from a CLIP folder and from a checkpoint, behind their gates."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onnx import numpy_helper  # noqa: E402

from onlooker.datasets.manifest import Manifest  # noqa: E402
from onlooker.encoders.checkpoint import TorchEncoder, save_checkpoint  # noqa: E402
from onlooker.encoders.config import ModelConfig  # noqa: E402
from onlooker.encoders.dual import build  # noqa: E402
from onlooker.encoders.lora import add_adapters, merged, probe_inputs  # noqa: E402
from onlooker.errors import ConfigError, ExportError, TrainingError  # noqa: E402
from onlooker.export import bundler, calibrating  # noqa: E402
from onlooker.export.bundler import Precision, export_bundle, open_source, write_graphs  # noqa: E402
from onlooker.export.parity import LEAST_COSINE_INT8, check_files, check_ranking  # noqa: E402
from onlooker.runtime.bundle import Bundle  # noqa: E402
from onlooker.runtime.calibration import Calibration  # noqa: E402
from onlooker.runtime.encoder import Encoder  # noqa: E402
from tests.tiny_models import painted_people, recipe_table  # noqa: E402

pytestmark = pytest.mark.train

TEXTS = ["a person in a red shirt, black jeans", "blue", "grey shirt", "white " * 30]


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((50, 20), (32, 32), (70, 90))
    ]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return painted_people(tmp_path_factory.mktemp("people")).split("val")


@pytest.fixture(scope="session")
def zero_shot(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundles") / "zero-shot"
    export_bundle(open_source(clip), output, precision="float32", licence="MIT")
    return output


@pytest.fixture(scope="session")
def checkpoint(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint for upright crops whose adapters do something."""
    torch.manual_seed(5)
    table = recipe_table(clip)["model"]
    image = {**table["image"], "height": 64, "resize": "stretch"}
    model = add_adapters(build(ModelConfig.model_validate({**table, "image": image})))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    run = tmp_path_factory.mktemp("runs") / "tiny"
    record = {"recipe": {"name": "tiny", "seed": 3}, "data": {"dataset": "painted", "terms": "free for all"}}
    save_checkpoint(run / "best", model, clip / "tokenizer.json", record)
    return run


@pytest.fixture(scope="session")
def graphs(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint's float32 graphs, written once, since that takes longer than all else here."""
    folder = tmp_path_factory.mktemp("graphs")
    write_graphs(merged(open_source(checkpoint).model), folder, "float32")
    return folder


@pytest.fixture
def written(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an export of the checkpoint take its graphs from ``graphs``."""

    def take(_: Any, path: Path) -> None:
        path.write_bytes((graphs / path.name).read_bytes())

    monkeypatch.setattr(bundler, "write_image_graph", take)
    monkeypatch.setattr(bundler, "write_text_graph", take)


def test_a_zero_shot_bundle_gives_the_vectors_of_transformers(zero_shot: Path, clip: Path) -> None:
    from transformers import CLIPModel

    from onlooker.runtime.preprocessing import preprocess

    encoder, theirs = Encoder.open(Bundle.open(zero_shot)), CLIPModel.from_pretrained(clip).eval()
    spec = Bundle.open(zero_shot).info.image.spec
    assert (spec.height, spec.width, spec.resize, spec.interpolation) == (32, 32, "crop", "bicubic")
    from tests.tiny_models import clip_tokenizer

    tokens = clip_tokenizer()(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.inference_mode():
        images = theirs.get_image_features(pixel_values=torch.from_numpy(preprocess(pictures(), spec)))
        texts = theirs.get_text_features(**tokens)
    for got, wanted in ((encoder.encode_images(pictures()), images), (encoder.encode_texts(TEXTS), texts)):
        wanted = wanted if isinstance(wanted, torch.Tensor) else wanted.pooler_output
        np.testing.assert_allclose(got, torch.nn.functional.normalize(wanted, dim=-1).numpy(), atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("half", 0.01), ("int8", 0.1)])
@pytest.mark.usefixtures("written")
def test_a_bundle_gives_what_the_checkpoint_gives(
    checkpoint: Path, tmp_path: Path, precision: Precision, tolerance: float
) -> None:
    source = open_source(checkpoint)
    bundle = export_bundle(source, tmp_path / "bundle", precision=precision)
    encoder, reference = Encoder.open(bundle), TorchEncoder(source.model, source.tokenizer)
    for count in (1, 3):
        np.testing.assert_allclose(
            encoder.encode_images(pictures()[:count]), reference.encode_images(pictures()[:count]), atol=tolerance
        )
    for texts in (TEXTS, TEXTS[:1], TEXTS[1:2]):
        np.testing.assert_allclose(encoder.encode_texts(texts), reference.encode_texts(texts), atol=tolerance)
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [
        "image.onnx",
        "model.json",
        "text.onnx",
        "tokenizer.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("written")
def test_what_model_json_says(checkpoint: Path, people: Manifest, tmp_path: Path) -> None:
    said: list[str] = []
    bundle = export_bundle(
        open_source(checkpoint),
        tmp_path / "bundle",
        precision="half",
        manifest=people,
        licence="CC0-1.0",
        bootstrap=10,
        say=said.append,
    )
    info = json.loads((tmp_path / "bundle" / "model.json").read_text())
    assert (info["name"], info["license"], info["dimension"]) == ("tiny", "CC0-1.0", 16)
    assert info["training"]["data"]["terms"] == "free for all"
    assert info["training"]["recipe"]["seed"] == 3
    assert info["training"]["precision"] == "half"
    assert info["image"]["spec"]["height"] == 64
    assert info["text"]["pad_token"] == "<|endoftext|>"
    assert info["parity"]["image"]["least_cosine"] > 0.9999
    assert info["parity"]["ranking"]["queries"] == 32
    assert set(info["metrics"]) == {"captions"}
    assert 0 <= info["metrics"]["captions"]["results"]["text-to-image"]["r1"] <= 1
    assert {"onlooker", "torch", "onnxruntime", "python"} <= info["versions"].keys()
    assert info["temperature"] == pytest.approx(0.07, rel=1e-5)
    bundle.verify()
    assert said[-1] == "comparing rankings on 16 pictures"


def damage(folder: Path, file: str) -> None:
    model = onnx.load(folder / file)
    largest = max(
        (tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT),
        key=lambda tensor: np.prod(tensor.dims, dtype=np.int64),
    )
    values = numpy_helper.to_array(largest)
    largest.CopyFrom(numpy_helper.from_array(values[::-1].copy(), largest.name))
    onnx.save(model, folder / file)


@pytest.mark.parametrize("file", ["image.onnx", "text.onnx"])
@pytest.mark.usefixtures("written")
def test_a_damaged_file_fails_and_the_old_bundle_stays(
    zero_shot: Path, checkpoint: Path, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = shutil.copytree(zero_shot, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    def write_and_damage(model: Any, folder: Path, precision: Precision, *, text: bool) -> None:
        write_graphs(model, folder, precision, text=text)
        damage(folder, file)

    monkeypatch.setattr(bundler, "write_graphs", write_and_damage)
    with pytest.raises(ExportError, match=rf"{file}: its vectors are not the model's"):
        export_bundle(open_source(checkpoint), output, precision="float32")
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_gate_itself_sees_damage(checkpoint: Path, graphs: Path, tmp_path: Path) -> None:
    model = merged(open_source(checkpoint).model)
    figures = check_files(model, graphs / "image.onnx", graphs / "text.onnx", int8=False)
    assert min(part["least_cosine"] for part in figures.values()) > 0.99999
    (tmp_path / "text.onnx").write_bytes((graphs / "text.onnx").read_bytes())
    damage(tmp_path, "text.onnx")
    with pytest.raises(ExportError, match=r"text\.onnx"):
        check_files(model, graphs / "image.onnx", tmp_path / "text.onnx", int8=True)
    model.image_projection.weight.data[0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"image\.onnx"):
        check_files(model, graphs / "image.onnx", graphs / "text.onnx", int8=False)


def test_a_nan_adapter_is_never_exported(checkpoint: Path, tmp_path: Path) -> None:
    source = open_source(checkpoint)
    weight = next(weight for name, weight in source.model.named_parameters() if "lora_A" in name)
    weight.data[0, 0] = torch.nan
    with pytest.raises(TrainingError, match="cannot be merged"):
        export_bundle(source, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_not_overwritten(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")
    (tmp_path / "file").write_text("x")
    for name in ("photos", "file"):
        with pytest.raises(ConfigError, match="is there and is no bundle"):
            export_bundle(open_source(clip), tmp_path / name)
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"x"


def test_a_name_that_is_no_file_name_is_refused(clip: Path, tmp_path: Path) -> None:
    for name in ("my bundle", "../x", "x/y"):
        with pytest.raises(ConfigError, match="cannot name a bundle"):
            export_bundle(open_source(clip), tmp_path / "bundle", name=name)


def test_rankings_that_differ_fail(people: Manifest, zero_shot: Path, checkpoint: Path) -> None:
    from onlooker.evaluation.agreement import agreement, compare_encoders

    relevant = np.eye(20, dtype=bool)
    good = np.eye(20) + np.random.default_rng(0).normal(0, 0.05, (20, 20))
    assert check_ranking(agreement(good, good + 1e-4, relevant))["top10_overlap"] == 1
    worse = good.copy()
    worse[0, 0] = -1
    with pytest.raises(ExportError, match=r"R@1 100.0 -> 95.0 %"):
        check_ranking(agreement(good, worse, relevant))
    with pytest.raises(ExportError, match="top-10 overlap"):
        check_ranking(agreement(good, np.eye(20) - (good - np.eye(20)), relevant))
    # Two different models rank differently.
    other = open_source(checkpoint)
    one, two = TorchEncoder(other.model, other.tokenizer), Encoder.open(Bundle.open(zero_shot))
    with pytest.raises(ExportError, match="ranks otherwise"):
        check_ranking(compare_encoders(one, two, people))


@pytest.mark.usefixtures("written")
def test_an_export_whose_rankings_differ_writes_nothing(
    checkpoint: Path, people: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that pass on the probes and still rank otherwise: the tokenizer beside them is another one."""
    source = open_source(checkpoint)
    content = json.loads(source.tokenizer.read_text())
    words = [word for word in content["model"]["vocab"] if not word.startswith("<|")]
    content["model"]["vocab"].update({word: len(words) - 1 - number for number, word in enumerate(words)})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    copy = bundler.shutil.copyfile

    def other_tokenizer(_: Path, target: Path) -> None:
        copy(tmp_path / "tokenizer.json", target)

    monkeypatch.setattr(bundler.shutil, "copyfile", other_tokenizer)
    with pytest.raises(ExportError, match="ranks otherwise"):
        export_bundle(source, tmp_path / "bundle", precision="float32", manifest=people)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.usefixtures("written")
def test_a_background_comes_from_the_training_split(
    checkpoint: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating, "BACKGROUND_SIZE", 8)
    training = painted_people(tmp_path / "people").split("train")
    bundle = export_bundle(open_source(checkpoint), tmp_path / "bundle", precision="float32", training=training)
    bundle.verify()
    background = bundle.background()
    assert background is not None
    assert (background.images.shape, background.texts.shape) == ((8, 16), (8, 16))
    encoder = Encoder.open(bundle)
    texts = encoder.encode_texts(sorted({text for record in training.records for text in record.texts()}))
    assert ((background.texts @ texts.T).max(axis=1) > 0.999).all()
    again = calibrating.background_of(encoder, training)
    np.testing.assert_allclose(again.images, background.images, atol=1e-3)
    other = calibrating.background_of(encoder, training, seed=1)
    assert np.abs(other.images - again.images).max() > 0.01


@pytest.mark.usefixtures("written")
def test_confidences_are_fitted_on_people_left_out(checkpoint: Path, tmp_path: Path) -> None:
    whole = painted_people(tmp_path / "people")
    said: list[str] = []
    bundle = export_bundle(
        open_source(checkpoint),
        tmp_path / "bundle",
        precision="half",
        manifest=whole.split("val"),
        training=whole.split("train"),
        bootstrap=0,
        say=said.append,
    )
    bundle.verify()
    calibration = bundle.info.calibration
    assert calibration is not None
    assert calibration.temperature == pytest.approx(0.07, rel=1e-5)
    assert calibration.data == {"dataset": "painted", "split": "val", "texts": "all", "seed": 0}
    assert calibration.measured["crossfitted"] is True
    assert calibration.measured["people"] == 16
    assert calibration.false_dismissals == 0.1
    assert any("expected calibration error" in text for text in said)
    applied = Calibration.of(bundle)
    assert applied is not None
    assert list(applied.match) == calibration.match

    few = replace(whole, records=whole.split("val").records[:9])
    bundle = export_bundle(
        open_source(checkpoint),
        tmp_path / "few",
        precision="half",
        manifest=few,
        training=whole.split("train"),
        bootstrap=0,
        say=said.append,
    )
    assert bundle.calibration is None
    assert said[-1].startswith("no confidences: confidences need at least 10 people")


@pytest.mark.usefixtures("written")
def test_a_text_tower_is_shared(checkpoint: Path, people: Manifest, tmp_path: Path) -> None:
    source = open_source(checkpoint)
    base = export_bundle(source, tmp_path / "base", precision="int8")
    small = export_bundle(
        source, tmp_path / "small", name="small", precision="half", text_from=tmp_path / "base", manifest=people
    )
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["image.onnx", "model.json"]
    small.verify()
    assert small.info.text == base.info.text.model_copy(update={"shared_with": "base"})
    assert small.info.parity["text"]["least_cosine"] >= LEAST_COSINE_INT8
    np.testing.assert_array_equal(Encoder.open(small).encode_texts(TEXTS), Encoder.open(base).encode_texts(TEXTS))
    for text_from, output, what in (
        ("small", "third", "has its text tower from base; name that bundle"),
        ("base", "deeper/third", "does not lie beside"),
        ("base", "base", "does not lie beside"),
    ):
        with pytest.raises(ConfigError, match=what):
            export_bundle(source, tmp_path / output, text_from=tmp_path / text_from)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "small"]


@pytest.mark.usefixtures("written")
def test_another_text_tower_is_never_shared(checkpoint: Path, zero_shot: Path, tmp_path: Path) -> None:
    """Another tokenizer, another length of vectors, and the same with other weights."""
    source = open_source(checkpoint)
    with pytest.raises(ExportError, match=r"with the text tower of .*zero-shot: text\.onnx: its vectors are not"):
        export_bundle(source, zero_shot.parent / "small", text_from=zero_shot)
    words = json.loads(source.tokenizer.read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(words, indent=3))
    with pytest.raises(ExportError, match="another tokenizer or another length of texts"):
        export_bundle(
            replace(source, tokenizer=tmp_path / "tokenizer.json"), zero_shot.parent / "small", text_from=zero_shot
        )
    model = json.loads((zero_shot / "model.json").read_text())
    changed = shutil.copytree(zero_shot, tmp_path / "changed")
    (changed / "model.json").write_text(json.dumps({**model, "dimension": 8}))
    with pytest.raises(ExportError, match=r"have 16 numbers and those of .* 8"):
        export_bundle(source, tmp_path / "small", text_from=changed)
    assert [path.name for path in zero_shot.parent.iterdir()] == ["zero-shot"]


@pytest.mark.usefixtures("written")
def test_the_layout_is_the_models_own(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert export_bundle(open_source(checkpoint), tmp_path / "plain", precision="float32").layout == {}
    layout = {"global": (0, 12), "upper": (12, 16)}
    monkeypatch.setattr(ModelConfig, "layout", lambda self: layout, raising=False)
    assert export_bundle(open_source(checkpoint), tmp_path / "parts", precision="float32").layout == layout


def test_shortest_texts_have_probes(clip: Path) -> None:
    table = recipe_table(clip)["model"]
    model = build(ModelConfig.model_validate({**table, "lora": None, "text": {**table["text"], "max_tokens": 4}}))
    assert probe_inputs(model)[1].shape == (4, 4)
