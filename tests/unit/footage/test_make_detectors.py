from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.footage.shipped import DETECTORS_FOLDER

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.train

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_detectors.py"


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("make_detectors", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks its module up by name.
    sys.modules["make_detectors"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_detectors"]


def convolutions(random: np.random.Generator) -> Any:
    """Return a model of a dense, a depthwise and a small dense convolution, of 16,384, 18,432 and 4,096 weights."""
    shapes = {"dense": (2048, 8, 1, 1), "depthwise": (2048, 1, 3, 3), "small": (2, 2048, 1, 1)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["dense"] *= np.geomspace(1e-3, 10, 2048, dtype=np.float32)[:, None, None, None]
    weights["dense"][5] = 0
    nodes = [
        onnx.helper.make_node("Conv", ["x", "dense"], ["a"]),
        onnx.helper.make_node("Conv", ["a", "depthwise"], ["b"], group=2048),
        onnx.helper.make_node("Conv", ["b", "small"], ["y"]),
    ]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 8, 8, 8]), ("y", [1, 2, 6, 6]))
    ]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, "convolutions", values[:1], values[1:], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)


def run(model: Any, picture: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": picture})[0]
    return result


def test_large_dense_weights_become_int8_and_others_stay(script: Any) -> None:
    random = np.random.default_rng(0)
    picture = random.normal(size=(1, 8, 8, 8)).astype(np.float32)
    model = convolutions(random)
    before = run(model, picture)
    after = run(script.halve(script.to_int8(model)), picture)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds == {
        "dense.codes": onnx.TensorProto.INT8,
        "dense.scale.half": onnx.TensorProto.FLOAT16,
        "depthwise.half": onnx.TensorProto.FLOAT16,
        "small.half": onnx.TensorProto.FLOAT16,
    }
    assert np.abs(after - before).max() < 0.02 * np.abs(before).max()


def test_each_channel_is_rounded_to_within_half_a_step_of_its_own(script: Any) -> None:
    weights = np.random.default_rng(1).normal(size=(6, 4, 3, 3)).astype(np.float32)
    weights *= np.array([1e-6, 1e-3, 1, 10, 0, 1e3], np.float32)[:, None, None, None]
    codes, scale = script.rounded(weights)
    assert codes.dtype == np.int8
    assert scale.shape == (6, 1, 1, 1)
    assert (np.abs(codes).max(axis=(1, 2, 3)) == [127, 127, 127, 127, 0, 127]).all()
    assert (np.abs(codes * scale - weights) <= scale * 0.5001).all()


def test_only_the_rows_of_person_are_kept_and_give_the_same(script: Any) -> None:
    random = np.random.default_rng(2)
    classes, person = script.OPENIMAGES_CLASSES, script.OPENIMAGES_PERSON
    tensors = {
        "head": random.normal(size=(classes * 3, 8, 1, 1)).astype(np.float32),
        "bias": random.normal(size=classes * 3).astype(np.float32),
        "last head": random.normal(size=(classes * 2, 8, 1, 1)).astype(np.float32),
        "shape": np.array([1, -1, classes]),
        "person": np.array(person),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "head", "bias"], ["a"]),
        make("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
        make("Reshape", ["b", "shape"], ["c"]),
        make("GlobalAveragePool", ["x"], ["d"]),
        make("Conv", ["d", "last head"], ["e"]),
        make("Reshape", ["e", "shape"], ["f"]),
        make("Concat", ["c", "f"], ["classes"], axis=1),
        make("Gather", ["classes", "person"], ["logits"], axis=2),
    ]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 8, 5, 5]), ("logits", [1, 77]))
    ]
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "heads", values[:1], values[1:], initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
    picture = random.normal(size=(1, 8, 5, 5)).astype(np.float32)
    before = run(model, picture)
    np.testing.assert_allclose(run(script.only_person(model), picture), before, rtol=1e-5, atol=1e-6)
    assert {tuple(tensor.dims) for tensor in model.graph.initializer} == {(3, 8, 1, 1), (3,), (2, 8, 1, 1), (2,)}


@pytest.mark.parametrize("name", ["openimages", "ssdlite"])
def test_the_shipped_files_compute_in_float32_from_int8(name: str) -> None:
    model = onnx.load(DETECTORS_FOLDER / f"{name}.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    sizes = dict.fromkeys(kinds.values(), 0)
    for tensor in model.graph.initializer:
        sizes[tensor.data_type] += len(tensor.raw_data)
    assert sizes[onnx.TensorProto.INT8] > 0.6 * model.ByteSize()
    assert not {node.op_type for node in model.graph.node} & {"DequantizeLinear", "QuantizeLinear", "ConvInteger"}
