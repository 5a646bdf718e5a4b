"""Smaller files: half-precision storage of weights, and dynamic int8 for the text tower."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onlooker.files import replacing

SMALLEST_STORED_HALF = 256
"""Tensors with fewer numbers stay float32: they weigh nothing, and scales and biases need the precision most."""
INT8_OPERATORS = ["MatMul", "Gemm", "Gather"]
"""What dynamic quantisation touches; Gather is the word embedding, half of a MiniLM's weights."""


def store_half(source: Path, path: Path) -> Path:
    """Store weights as float16 that are cast back to float32 when the file is loaded; arithmetic stays float32.

    ONNX Runtime folds the casts while loading, so that only the file is smaller.

    Args:
        source: An ONNX file with float32 weights.
        path: The file to write; may be ``source``.
    """
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims, dtype=np.int64) < SMALLEST_STORED_HALF:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
    return path


def quantise_dynamic(source: Path, path: Path) -> Path:
    """Write a text tower with int8 weights, one scale a channel; activations are quantised while it runs.

    Weights use seven of the eight bits: processors without VNNI add two products in 16 bits and would overflow.

    Args:
        source: An ONNX file with float32 weights.
        path: The file to write.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logger = logging.getLogger()
    level = logger.level
    # The library advises a pre-processing for convolutional nets on the root logger at each call.
    logger.setLevel(logging.ERROR)
    try:
        with replacing(path) as temporary:
            quantize_dynamic(
                source,
                temporary,
                op_types_to_quantize=INT8_OPERATORS,
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
    finally:
        logger.setLevel(level)
    return path
