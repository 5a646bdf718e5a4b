"""The gates an export must pass: the files do what the model does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.encoders.dual import DualEncoder
from onlooker.encoders.lora import probe_inputs
from onlooker.errors import ExportError

if TYPE_CHECKING:
    from onlooker.evaluation.agreement import Agreement

LEAST_COSINE = 0.9999
"""For float32 arithmetic (float16 storage included); kernels that add up in another order stay above 0.999999."""
LEAST_COSINE_INT8 = 0.995
"""With the word embedding as int8 texts may turn a little: the ranking gate decides, this catches a broken file."""
LARGEST_R1_DROP = 0.005
"""R@1 may fall by half a point on the manifest."""
LEAST_TOP10_OVERLAP = 0.85
"""Share of the ten best pictures that must stay among the ten best."""


@dataclass(frozen=True)
class Parity:
    """How close a file's vectors are to the model's.

    Attributes:
        least_cosine: Of the same input's two vectors, over the probe inputs.
        largest_difference: Of two numbers of the same vector.
    """

    least_cosine: float
    largest_difference: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return asdict(self)


def compare(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> Parity:
    """Compare unit vectors row by row; both float32 [n, d]."""
    return Parity(float((wanted * got).sum(axis=1).min()), float(np.abs(wanted - got).max()))


def check_files(model: DualEncoder, image_file: Path, text_file: Path, *, int8: bool) -> dict[str, Any]:
    """Run both files on probe inputs of several batch sizes and text lengths and compare with torch.

    Args:
        model: Merged, in evaluation mode.
        image_file: The image half.
        text_file: The text half.
        int8: The word embedding is stored as int8.

    Returns:
        The figures of both halves, for ``model.json``.

    Raises:
        ExportError: A file's vectors are not the model's.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3

    def run(path: Path, feed: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        vectors: NDArray[np.float32] = session.run(["vectors"], feed)[0]
        return vectors

    pixels, ids, mask = probe_inputs(model, count=5)
    mask = mask.clone()
    # A padded text: its last token moves forward, what follows is masked.
    middle = ids.shape[1] // 2
    ids[0, middle], mask[0, middle + 1 :] = ids[0, -1], 0
    with torch.inference_mode():
        images, texts = model.encode_images(pixels).numpy(), model.encode_texts(ids, mask).numpy()
    figures = {
        "image": compare(images, run(image_file, {"pixels": pixels.numpy()})),
        "text": compare(texts, run(text_file, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})),
    }
    for name, parity in figures.items():
        least = LEAST_COSINE_INT8 if int8 and name == "text" else LEAST_COSINE
        if not parity.least_cosine >= least:
            raise ExportError(
                f"{name}.onnx: its vectors are not the model's (least cosine {parity.least_cosine:.6f}, wanted "
                f"{least}); nothing was written"
            )
    return {name: parity.to_dict() for name, parity in figures.items()}


def check_ranking(agreement: Agreement) -> dict[str, Any]:
    """Judge how the bundle ranks a manifest compared with the model.

    Args:
        agreement: Model against bundle.

    Returns:
        The figures, for ``model.json``.

    Raises:
        ExportError: R@1 falls too far, or too few of the best ten stay.
    """
    # A drop of exactly the bound passes, whatever its last digit in floating point.
    if agreement.r1_drop > LARGEST_R1_DROP + 1e-9 or agreement.top10_overlap < LEAST_TOP10_OVERLAP:
        raise ExportError(
            f"the bundle ranks otherwise than the model: R@1 {100 * agreement.r1_a:.1f} -> {100 * agreement.r1_b:.1f} "
            f"%, top-10 overlap {agreement.top10_overlap:.2f} (wanted a drop of at most {100 * LARGEST_R1_DROP} points "
            f"and at least {LEAST_TOP10_OVERLAP}); export with --precision float32; nothing was written"
        )
    return {
        "queries": agreement.queries,
        "gallery": agreement.gallery,
        "r1_model": agreement.r1_a,
        "r1_bundle": agreement.r1_b,
        "top10_overlap": agreement.top10_overlap,
        "top1_same": agreement.top1_same,
    }
