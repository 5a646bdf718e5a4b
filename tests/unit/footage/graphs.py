"""Tiny ONNX graphs in the layouts of real detectors, whose outputs are what a test wants them to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx", reason="making graphs needs the package onnx (the extra 'train')")

Array = NDArray[Any]


def save_graph(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    picture: str = "images",
    shape: Sequence[int | str] = (1, 3, 64, 96),
    kind: int = 1,
    sizes: bool = False,
    metadata: Mapping[str, str] | None = None,
    times: tuple[str, Array] | None = None,
) -> Path:
    """Write a graph that gives fixed outputs.

    Args:
        path: Where to.
        outputs: Name and value of each output.
        picture: Name of the input that takes the picture.
        shape: Its shape; a name stands for a size that is open.
        kind: Its element type as ONNX numbers them (1 float32, 2 uint8, 10 float16).
        sizes: Whether there is an input orig_target_sizes, whose two numbers multiply the boxes.
        metadata: Properties of the file.
        times: Name of an output, and float32 (3,) weights: the output is multiplied by the weighted sum of the mean
            of each channel as the network is given it, so that what is done to pixels can be seen.

    Returns:
        The path.
    """
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info(picture, kind, list(shape))]
    nodes, constants, given = [], [], []
    if sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
        nodes.append(helper.make_node("Cast", ["orig_target_sizes"], ["wh"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Concat", ["wh", "wh"], ["whwh"], axis=1))
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value, f"{name}_value"))
        now = f"{name}_value"
        if sizes and name == "boxes":
            nodes.append(helper.make_node("Mul", [now, "whwh"], [f"{name}_scaled"]))
            now = f"{name}_scaled"
        if times is not None and times[0] == name:
            constants.append(numpy_helper.from_array(times[1].astype(np.float32).reshape(1, 3, 1, 1), "weights"))
            constants.append(numpy_helper.from_array(np.array([1, 1, 1], np.int64), "flat"))
            constants.append(numpy_helper.from_array(np.array([1], np.int64), "channel"))
            nodes.append(helper.make_node("Cast", [picture], ["pixels"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("GlobalAveragePool", ["pixels"], ["means"]))
            nodes.append(helper.make_node("Mul", ["means", "weights"], ["weighted"]))
            nodes.append(helper.make_node("ReduceSum", ["weighted", "channel"], ["sum"], keepdims=1))
            nodes.append(helper.make_node("Reshape", ["sum", "flat"], ["factor"]))
            nodes.append(helper.make_node("Mul", [now, "factor"], [f"{name}_times"]))
            now = f"{name}_times"
        nodes.append(helper.make_node("Identity", [now], [name]))
        given.append(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
        )
    graph = helper.make_graph(nodes, "detector", inputs, given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path
