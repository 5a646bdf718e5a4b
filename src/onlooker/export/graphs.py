"""Towers as ONNX files with a dynamic batch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from onlooker.encoders.dual import DualEncoder
from onlooker.encoders.lora import probe_inputs
from onlooker.files import replacing

OPSET = 18
"""LayerNormalization is one operator from 17 on, which keeps it whole in reduced precision; 18 is what torch writes."""


class _Images(nn.Module):
    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.encode_images(pixels)


class _Texts(nn.Module):
    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model.encode_texts(input_ids, attention_mask)


def write_image_graph(model: DualEncoder, path: Path) -> Path:
    """Write the image half: ``pixels`` float32 [n, 3, height, width] to ``vectors`` float32 [n, dimension].

    Args:
        model: Merged, in evaluation mode, on the CPU.
        path: The file.
    """
    pixels, _, _ = probe_inputs(model)
    return _write(_Images(model), (pixels,), {"pixels": {0: "n"}}, path)


def write_text_graph(model: DualEncoder, path: Path) -> Path:
    """Write the text half: ``input_ids``, ``attention_mask`` int64 [n, tokens] to ``vectors`` float32 [n, dimension].

    Args:
        model: Merged, in evaluation mode, on the CPU.
        path: The file.
    """
    _, ids, mask = probe_inputs(model)
    axes = {0: "n", 1: "tokens"}
    return _write(_Texts(model), (ids, mask), {"input_ids": axes, "attention_mask": axes}, path)


def _write(module: nn.Module, inputs: tuple[Tensor, ...], axes: dict[str, dict[int, str]], path: Path) -> Path:
    dimensions: dict[str, torch.export.Dim] = {}
    shapes = {
        name: {axis: dimensions.setdefault(label, torch.export.Dim(label, min=1)) for axis, label in of.items()}
        for name, of in axes.items()
    }
    with replacing(path) as temporary, _quiet():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=list(axes),
            output_names=["vectors"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        onnx.save(_stripped(program.model_proto), temporary)
    return path


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out what only a debugger reads: each node's Python stack, with this machine's paths, and inner shapes."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and deprecation notices of its own internals off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
