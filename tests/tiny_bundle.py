"""A real bundle of a few kilobytes, built where it is needed: its ONNX graphs take mean colour and mean word vector.

Both towers put the mean colour red, green, blue of a picture and the words "red", "green", "blue" of a text on the same
three axes, so "red" finds a red picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onlooker.files import sha256_of
from onlooker.runtime.background import Background, write_background
from onlooker.runtime.bundle import (
    BackgroundPart,
    Bundle,
    BundleInfo,
    CalibrationPart,
    ImagePart,
    TextPart,
    write_bundle_info,
)
from onlooker.runtime.preprocessing import ImageSpec

DIMENSION = 8
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "man", "jacket", "a"]
SPEC = ImageSpec(height=12, width=6, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def write_tokenizer(path: Path) -> None:
    """Write a word-level tokenizer.json with CLS and SEP around the text and, to be overridden, a fixed padding."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(max_length=128)
    tokenizer.save(str(path))


def write_image_tower(path: Path, *, output: str = "vectors", scale: float = 1.0) -> None:
    """Write a graph: mean over the pixels, a matrix to DIMENSION, unit length."""
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.zeros((3, DIMENSION), dtype=np.float32)
    matrix[:, :3] = scale * np.eye(3)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["long"]),
        helper.make_node("LpNormalization", ["long"], [output], axis=1, p=2),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SPEC.height, SPEC.width])
    _save(path, nodes, [pixels], output, [numpy_helper.from_array(matrix, "matrix")])


def write_flat_image_tower(path: Path) -> None:
    """Write a graph that gives its whole input as the vector, scaled to unit length."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Flatten", ["pixels"], ["long"], axis=1),
        helper.make_node("LpNormalization", ["long"], ["vectors"], axis=1, p=2),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SPEC.height, SPEC.width])
    _save(path, nodes, [pixels], "vectors", [], dimension=3 * SPEC.height * SPEC.width)


def write_text_tower(path: Path) -> None:
    """Write a graph: mean of word vectors under the mask, unit length."""
    from onnx import TensorProto, helper, numpy_helper

    words = np.full((len(WORDS), DIMENSION), 0.01, dtype=np.float32)
    words[4:7, :3] = 2 * np.eye(3) - 1
    axis = np.array([1], dtype=np.int64)
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["each"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["wide"]),
        helper.make_node("Mul", ["each", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["vectors"], axis=1, p=2),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    constants = [
        numpy_helper.from_array(words, "words"),
        numpy_helper.from_array(axis, "one"),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
    ]
    _save(path, nodes, inputs, "vectors", constants)


def write_tiny_bundle(folder: Path, *, name: str = "tiny") -> Bundle:
    """Write the four files of a bundle and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json")
    write_image_tower(folder / "image.onnx")
    write_text_tower(folder / "text.onnx")
    return write_bundle_info(folder, tiny_info(folder, name=name))


def give_words(bundle: Bundle, words: str = "red blue green jacket man") -> Bundle:
    """Give a tiny bundle words to mend typing errors by; its ``model.json`` is replaced."""
    (bundle.path / "words.txt").write_text("\n".join(words.split()) + "\n", encoding="utf-8")
    text = bundle.info.text.model_copy(
        update={"words": "words.txt", "words_sha256": sha256_of(bundle.path / "words.txt")}
    )
    return write_bundle_info(bundle.path, bundle.info.model_copy(update={"text": text}))


def give_confidences(bundle: Bundle, *, limit: float = -1.0) -> Bundle:
    """Give a tiny bundle a background of colours and a made-up calibration.

    Args:
        bundle: Its ``model.json`` is replaced.
        limit: Log odds for somebody up to which nobody fits, in galleries of any size.
    """
    rng = np.random.default_rng(0)
    vectors = np.zeros((24, DIMENSION), np.float32)
    vectors[:, :3] = rng.normal(size=(24, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_background(bundle.path / "background.npz", Background(vectors[:12], vectors[12:]))
    calibration = CalibrationPart(
        kind="logistic",
        features=["query", "picture", "margin", "size"],
        temperature=0.1,
        alike=0.95,
        match=[-1.0, 0.3, 0.2, 0.3, -0.5],
        somebody=[0.5, 0.6, 0.2, 0.0, -0.6],
        threshold=(limit, 0.0),
        sizes=(5, 300),
        false_dismissals=0.1,
    )
    background = BackgroundPart(sha256=sha256_of(bundle.path / "background.npz"))
    changed = bundle.info.model_copy(update={"background": background, "calibration": calibration})
    return write_bundle_info(bundle.path, changed)


def tiny_info(folder: Path, *, name: str = "tiny") -> BundleInfo:
    """Describe the files that lie in ``folder``."""
    return BundleInfo(
        name=name,
        dimension=DIMENSION,
        created="2026-01-01T00:00:00Z",
        license="Apache-2.0",
        image=ImagePart(
            sha256=sha256_of(folder / "image.onnx"), size_bytes=(folder / "image.onnx").stat().st_size, spec=SPEC
        ),
        text=TextPart(
            sha256=sha256_of(folder / "text.onnx"),
            size_bytes=(folder / "text.onnx").stat().st_size,
            tokenizer_sha256=sha256_of(folder / "tokenizer.json"),
            max_tokens=16,
            pad_token="[PAD]",
        ),
        temperature=0.05,
    )


def _save(path: Path, nodes: list, inputs: list, output: str, constants: list, *, dimension: int = DIMENSION) -> None:
    import onnx
    from onnx import TensorProto, helper

    vectors = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", dimension])
    graph = helper.make_graph(nodes, path.stem, inputs, [vectors], constants)
    # Old enough for every ONNX Runtime that Onlooker supports.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
