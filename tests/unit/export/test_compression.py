"""Weights in fewer bits give the same numbers, and the word embedding is looked up as int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the training extra")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onlooker.export.compression import SMALLEST_INT8, compress  # noqa: E402

pytestmark = pytest.mark.train

WORDS, WIDTH = SMALLEST_INT8 // 256, 256
TABLE = np.random.default_rng(0).normal(size=(WORDS, WIDTH)).astype(np.float32)
TABLE[7] = 0
MATRIX = np.random.default_rng(1).normal(size=(WIDTH, 4)).astype(np.float32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A word embedding that is looked up at two places, and a matrix."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["first"]),
        helper.make_node("Gather", ["table", "others"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["sum"]),
        helper.make_node("MatMul", ["sum", "matrix"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n"]) for name in ("ids", "others")]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4])]
    weights = [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(MATRIX, "matrix")]
    graph = helper.make_graph(nodes, "words", inputs, outputs, weights)
    path = tmp_path / "words.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def run(path: Path) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ids = np.array([0, 7, 1023, 5])
    return np.asarray(session.run(None, {"ids": ids, "others": ids[::-1].copy()})[0])


@pytest.mark.parametrize(("int8", "tolerance", "share"), [(False, 0.02, 0.51), (True, 0.3, 0.27)])
def test_smaller_and_nearly_the_same(source: Path, tmp_path: Path, int8: bool, tolerance: float, share: float) -> None:
    path = compress(source, tmp_path / "small.onnx", int8=int8)
    onnx.checker.check_model(onnx.load(path))
    assert path.stat().st_size < share * source.stat().st_size
    difference = np.abs(run(path) - run(source)).max()
    assert 0 < difference < tolerance


def test_only_the_rows_of_a_texts_words_become_float(source: Path, tmp_path: Path) -> None:
    graph = onnx.load(compress(source, tmp_path / "small.onnx", int8=True)).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert stored["table_int8"] == TensorProto.INT8
    casts = [node.input[0] for node in graph.node if node.op_type == "Cast"]
    assert "table_int8" not in casts
    assert len(casts) == 3


def test_a_file_may_be_compressed_in_place(source: Path) -> None:
    before = run(source)
    assert compress(source, source, int8=False) == source
    np.testing.assert_allclose(run(source), before, atol=0.02)


@pytest.mark.parametrize("axis", [0, 1])
def test_what_was_rounded_before_is_stored_as_int8_and_loses_nothing(tmp_path: Path, axis: int) -> None:
    random = np.random.default_rng(2)
    whole = random.integers(-127, 128, size=(128, 160))
    whole[0], whole[:, 0] = 127, -127
    shape = (128, 1) if axis == 0 else (1, 160)
    rounded = (whole * random.uniform(1e-3, 1e-2, size=shape)).astype(np.float32)
    free = random.normal(size=(160, 128)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["in", "rounded"], ["between"]),
        helper.make_node("MatMul", ["between", "free"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "grid",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 128])],
        [
            helper.make_tensor_value_info("between", TensorProto.FLOAT, ["n", 160]),
            helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 128]),
        ],
        [numpy_helper.from_array(rounded, "rounded"), numpy_helper.from_array(free, "free")],
    )
    source = tmp_path / "grid.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), source)
    path = compress(source, tmp_path / "small.onnx", int8=True)
    onnx.checker.check_model(onnx.load(path))
    stored = {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert stored["rounded_int8"] == TensorProto.INT8
    assert stored["free_half"] == TensorProto.FLOAT16
    import onnxruntime

    given = random.normal(size=(3, 128)).astype(np.float32)
    before, after = (
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(["between"], {"in": given})[0]
        for file in (source, path)
    )
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
