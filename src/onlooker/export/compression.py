"""Smaller files that compute the same: weights are stored in fewer bits and computed with in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from onlooker.files import replacing

SMALLEST_HALF = 256
"""Tensors with fewer numbers stay float32: they weigh nothing, and scales and biases need the precision."""
SMALLEST_INT8 = 1 << 18
"""Embeddings with at least so many numbers may be stored as int8: a model's words, not its positions."""


SMALLEST_GRID = 1 << 14
"""Matrices with fewer numbers are not looked at for a grid: they weigh little."""
GRID_TOLERANCE = 1e-3
"""How far from a whole number of steps, in steps, a weight may lie that was rounded before training (float32 noise)."""


def compress(source: Path, path: Path, *, int8: bool) -> Path:
    """Store weights as float16, and with ``int8`` as int8 what loses nothing or next to nothing by it.

    That is the word embedding, with a scale each row, and every matrix that lies on a grid of 8 bits already because it
    was rounded before training (``text.rounded`` of a recipe). Arithmetic stays float32. ONNX Runtime turns weights
    back while it loads the file; of a word embedding only the rows of a text's words are turned back, at each run, so
    that the table costs no time and little memory.

    Args:
        source: An ONNX file with float32 weights.
        path: The file to write; may be ``source``.
        int8: Store the word embedding and what lies on a grid as int8.
    """
    model = onnx.load(source)
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims, dtype=np.int64) < SMALLEST_HALF:
            continue
        kinds = {node.op_type for node in readers.get(tensor.name, [])}
        large = np.prod(tensor.dims, dtype=np.int64) >= SMALLEST_INT8
        if int8 and large and kinds == {"Gather"} and len(tensor.dims) == 2:
            _embedding_to_int8(graph, tensor, readers[tensor.name])
        elif int8 and (grid := _grid_of(tensor)) is not None:
            before += _grid_to_int8(graph, tensor, *grid)
        else:
            before += _to_half(tensor)
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
    return path


def _to_half(tensor: onnx.TensorProto) -> list[onnx.NodeProto]:
    values = numpy_helper.to_array(tensor)
    if np.abs(values).max() > np.finfo(np.float16).max:
        return []
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
    return [helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_cast", to=TensorProto.FLOAT)]


def _grid_of(tensor: onnx.TensorProto) -> tuple[int, NDArray[np.float32]] | None:
    """Return along which axis a matrix lies on a grid of 8 bits, and the step of each row or column, or None."""
    if len(tensor.dims) != 2 or np.prod(tensor.dims, dtype=np.int64) < SMALLEST_GRID:
        return None
    values = numpy_helper.to_array(tensor)
    for axis in (0, 1):
        steps = np.abs(values).max(axis=1 - axis).astype(np.float32) / 127
        steps[steps == 0] = 1
        counted = values / np.expand_dims(steps, 1 - axis)
        if np.abs(counted - np.round(counted)).max() < GRID_TOLERANCE:
            return axis, steps
    return None


def _grid_to_int8(
    graph: onnx.GraphProto, tensor: onnx.TensorProto, axis: int, steps: NDArray[np.float32]
) -> list[onnx.NodeProto]:
    """Store a matrix in whole steps; return the nodes that turn it back.

    Not one DequantizeLinear: ONNX Runtime joins that with the product that follows into one that rounds its inputs too.
    """
    name = tensor.name
    whole = np.round(numpy_helper.to_array(tensor) / np.expand_dims(steps, 1 - axis)).astype(np.int8)
    tensor.CopyFrom(numpy_helper.from_array(whole, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(np.expand_dims(steps, 1 - axis), f"{name}_steps"))
    return [
        helper.make_node("Cast", [f"{name}_int8"], [f"{name}_whole"], name=f"{name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_whole", f"{name}_steps"], [name], name=f"{name}_restored"),
    ]


def _rows_to_int8(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 values and the float32 scale of each row, (n, 1), of a table (n, width)."""
    scale = np.abs(values).max(axis=1, keepdims=True).astype(np.float32) / 127
    scale[scale == 0] = 1
    return np.round(values / scale).astype(np.int8), scale


def _embedding_to_int8(graph: onnx.GraphProto, tensor: onnx.TensorProto, gathers: list[onnx.NodeProto]) -> None:
    """Look up int8 rows and their scales, and multiply only those."""
    name = tensor.name
    rows, scale = _rows_to_int8(numpy_helper.to_array(tensor))
    tensor.CopyFrom(numpy_helper.from_array(rows, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    for gather in gathers:
        place = list(graph.node).index(gather)
        ids, output = gather.input[1], gather.output[0]
        parts = [
            helper.make_node("Gather", [f"{name}_int8", ids], [f"{output}_int8"], name=f"{output}_rows", axis=0),
            helper.make_node(
                "Cast", [f"{output}_int8"], [f"{output}_float"], name=f"{output}_cast", to=TensorProto.FLOAT
            ),
            helper.make_node("Gather", [f"{name}_scale", ids], [f"{output}_scale"], name=f"{output}_scales", axis=0),
            helper.make_node("Mul", [f"{output}_float", f"{output}_scale"], [output], name=f"{output}_scaled"),
        ]
        del graph.node[place]
        for offset, part in enumerate(parts):
            graph.node.insert(place + offset, part)
