"""From a trained checkpoint or a Hugging Face CLIP folder to a bundle that has passed its gates."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from onlooker.datasets.manifest import Manifest
from onlooker.datasets.vocabulary import vocabulary_of
from onlooker.encoders.checkpoint import (
    TorchEncoder,
    find_checkpoint,
    image_spec,
    load_checkpoint,
    read_info,
    replace_folder,
)
from onlooker.encoders.dual import DualEncoder
from onlooker.encoders.text_towers import pad_token_of, tokenizer_file
from onlooker.errors import ConfigError, DataError, ExportError
from onlooker.evaluation.reliability import to_text
from onlooker.export.calibrating import background_of, calibrate
from onlooker.export.clip_folder import open_clip_folder
from onlooker.export.compression import compress
from onlooker.export.graphs import write_image_graph, write_text_graph
from onlooker.export.parity import check_files, check_ranking
from onlooker.files import sha256_of, write_text
from onlooker.runtime.background import write_background
from onlooker.runtime.bundle import Bundle, write_bundle_info
from onlooker.runtime.encoder import Encoder
from onlooker.runtime.info import BackgroundPart, BundleInfo, CalibrationPart, ImagePart, TextPart
from onlooker.runtime.tokenising import TextTokenizer

Precision = Literal["float32", "half", "int8"]
"""float32: as trained; half: weights stored as float16; int8: half, and the word embedding as int8."""

BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
BACKGROUND = "background.npz"
WORDS = "words.txt"
PACKAGES = ("onlooker", "torch", "transformers", "peft", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Source:
    """What is exported.

    Attributes:
        model: The dual encoder.
        tokenizer: Its ``tokenizer.json``.
        name: Name of the bundle where the user gives none.
        training: What ``model.json`` says of data, terms, recipe and seed.
    """

    model: DualEncoder
    tokenizer: Path
    name: str
    training: dict[str, Any]


def open_source(folder: Path) -> Source:
    """Open a checkpoint, a run folder (its ``best/``), or a Hugging Face CLIP folder.

    Raises:
        DataError: Nothing of the kind is there.
    """
    found = find_checkpoint(folder)
    if found is not None:
        record = read_info(found)["record"]
        name = str(record.get("recipe", {}).get("name", folder.name))
        return Source(load_checkpoint(found), found / "tokenizer.json", name, record)
    model, config = open_clip_folder(folder)
    return Source(
        model, tokenizer_file(config.text), folder.resolve().name.lower(), {"source": "Hugging Face CLIP folder"}
    )


def export_bundle(
    source: Source,
    output: Path,
    *,
    name: str | None = None,
    precision: Precision = "int8",
    manifest: Manifest | None = None,
    training: Manifest | None = None,
    text_from: Path | None = None,
    licence: str = "unstated",
    bootstrap: int = 1000,
    say: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Write a bundle; it takes its name only after it has passed every gate.

    Args:
        source: What to export.
        output: The bundle's folder; an older bundle there is replaced.
        name: Name of the bundle.
        precision: How weights are stored.
        manifest: The split on which rankings are compared, the bundle's metrics are measured and, with ``training``,
            its confidences are fitted.
        training: The split that the background is drawn from.
        text_from: A bundle beside ``output`` whose text tower is this model's too: the new bundle then names it and
            holds no text files of its own.
        licence: Terms of the weights (SPDX where there is one).
        bootstrap: Draws for the intervals of the metrics.
        say: Told what is being done.

    Returns:
        The bundle.

    Raises:
        ConfigError: ``output`` is a folder that holds something else, ``name`` is no file name, or ``text_from`` does
            not lie beside ``output``.
        ExportError: A gate is not passed; ``output`` stays as it was.
    """
    output = Path(os.path.abspath(output))
    name = name or source.name
    if not BUNDLE_NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a bundle; give --name with letters, digits, '.', '_' and '-' alone")
    if output.exists() and not (output / "model.json").is_file() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output} is there and is no bundle; choose another --output")
    torch_encoder = TorchEncoder(source.model, source.tokenizer)
    model = torch_encoder.model
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shared = None if text_from is None else _open_shared(text_from, output, source, model)
    temporary.mkdir(parents=True)
    try:
        say("writing the graphs")
        write_graphs(model, temporary, precision, text=shared is None)
        if shared is None:
            shutil.copyfile(source.tokenizer, temporary / "tokenizer.json")
        say("comparing the files with the model")
        parity: dict[str, Any] = _compare(model, temporary, shared, precision)
        if shared is None and training is not None:
            tokenizer = TextTokenizer(source.tokenizer, max_tokens=model.config.text.max_tokens)
            write_text(temporary / WORDS, "\n".join(vocabulary_of(training, tokenizer.has_word)) + "\n")
        info = _info(source, model, temporary, name, precision, licence, parity, shared)
        bundle = write_bundle_info(temporary, info)
        if training is not None:
            say(f"encoding the background from {len(training)} training pictures")
            write_background(temporary / BACKGROUND, background_of(Encoder.open(bundle), training))
            part = BackgroundPart(file=BACKGROUND, sha256=sha256_of(temporary / BACKGROUND))
            info = info.model_copy(update={"background": part})
            bundle = write_bundle_info(temporary, info)
        if manifest is not None:
            say(f"comparing rankings on {len(manifest)} pictures")
            metrics, ranking = measure(torch_encoder, Encoder.open(bundle), manifest, bootstrap)
            info = info.model_copy(update={"parity": {**parity, "ranking": ranking}, "metrics": metrics})
            bundle = write_bundle_info(temporary, info)
        if manifest is not None and training is not None:
            say(f"fitting confidences on {len(manifest)} pictures")
            info = info.model_copy(update={"calibration": _calibration(bundle, manifest, say)})
            write_bundle_info(temporary, info)
        replace_folder(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle.open(output)


def write_graphs(model: DualEncoder, folder: Path, precision: Precision, *, text: bool = True) -> None:
    """Write ``image.onnx`` and, with ``text``, ``text.onnx`` of a merged model in the precision that is asked for."""
    paths = [folder / "image.onnx"]
    write_image_graph(model, paths[0])
    if text:
        paths.append(folder / "text.onnx")
        write_text_graph(model, paths[1])
    if precision == "float32":
        return
    for path in paths:
        compress(path, path, int8=precision == "int8")


def _open_shared(text_from: Path, output: Path, source: Source, model: DualEncoder) -> Bundle:
    """Open the bundle whose text tower is to be shared, and compare what can be compared without running it."""
    shared = Bundle.open(text_from)
    shared.verify()
    folder = text_from.resolve()
    if folder.parent != output.parent.resolve() or folder.name == output.name:
        raise ConfigError(
            f"--text-from {text_from} does not lie beside {output}; the two bundles are found by each other's place: "
            f"export into {folder.parent}"
        )
    if not BUNDLE_NAME.fullmatch(folder.name):
        raise ConfigError(f"--text-from {text_from}: rename the folder to letters, digits, '.', '_' and '-' alone")
    if shared.text_shared_with is not None:
        raise ConfigError(
            f"--text-from {text_from} has its text tower from {shared.text_shared_with}; name that bundle instead"
        )
    wanted = (sha256_of(source.tokenizer), model.config.text.max_tokens, pad_token_of(source.tokenizer))
    if wanted != (shared.info.text.tokenizer_sha256, shared.max_tokens, shared.pad_token):
        raise ExportError(
            f"the model has another tokenizer or another length of texts than {text_from}; train it on that bundle's "
            "text tower, or leave --text-from away"
        )
    if shared.dimension != model.config.projection.dimension:
        raise ExportError(
            f"the model's vectors have {model.config.projection.dimension} numbers and those of {text_from} "
            f"{shared.dimension}; leave --text-from away"
        )
    return shared


def _compare(model: DualEncoder, folder: Path, shared: Bundle | None, precision: Precision) -> dict[str, Any]:
    """Compare the new files, or the new image tower and the shared text tower, with the model."""
    image = folder / "image.onnx"
    if shared is None:
        return check_files(model, image, folder / "text.onnx", int8=precision == "int8")
    try:
        return check_files(model, image, shared.text_path, int8=shared.info.training.get("precision") == "int8")
    except ExportError as error:
        raise ExportError(f"with the text tower of {shared.path}: {error}") from error


def measure(
    torch_encoder: TorchEncoder, encoder: Encoder, manifest: Manifest, bootstrap: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure the bundle on a split by each kind of text, and compare its rankings with the model's.

    Returns:
        The metrics by kind of text (as ``onlooker evaluate --json`` gives them), and the ranking gate's figures.

    Raises:
        ExportError: The ranking gate is not passed.
    """
    from onlooker.evaluation.agreement import compare_encoders
    from onlooker.evaluation.runner import evaluate

    as_typed = Encoder.open(encoder.bundle, as_typed=True)
    ranking = check_ranking(compare_encoders(torch_encoder, as_typed, manifest, texts="all"))
    metrics: dict[str, Any] = {}
    kinds: tuple[Literal["captions", "phrases"], ...] = ("captions", "phrases")
    for kind in kinds:
        if any(record.texts(kind) for record in manifest.records):
            report = evaluate(encoder, manifest, texts=kind, bootstrap=bootstrap).report.to_dict()
            metrics[kind] = {"data": report["data"], "results": report["results"]}
    return metrics, ranking


def _calibration(bundle: Bundle, manifest: Manifest, say: Callable[[str], None]) -> CalibrationPart | None:
    background = bundle.background()
    assert background is not None, "written a moment ago"
    try:
        part, reliability = calibrate(Encoder.open(bundle), background, bundle.info.temperature, manifest)
    except DataError as error:
        say(f"no confidences: {error}")
        return None
    say(to_text(reliability))
    return part


def _info(
    source: Source,
    model: DualEncoder,
    folder: Path,
    name: str,
    precision: Precision,
    licence: str,
    parity: dict[str, Any],
    shared: Bundle | None,
) -> BundleInfo:
    def part(file: str) -> dict[str, Any]:
        return {"file": file, "sha256": sha256_of(folder / file), "size_bytes": (folder / file).stat().st_size}

    words = folder / WORDS
    if shared is None:
        text = TextPart(
            **part("text.onnx"),
            tokenizer_sha256=sha256_of(folder / "tokenizer.json"),
            words=words.name if words.is_file() else None,
            words_sha256=sha256_of(words) if words.is_file() else None,
            max_tokens=model.config.text.max_tokens,
            pad_token=pad_token_of(folder / "tokenizer.json"),
        )
    else:
        text = shared.info.text.model_copy(update={"shared_with": shared.path.resolve().name})
    return BundleInfo(
        name=name,
        dimension=model.config.projection.dimension,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        license=licence,
        image=ImagePart(**part("image.onnx"), spec=image_spec(model)),
        text=text,
        temperature=float(model.temperature),
        layout=model.config.layout() or None,
        training={"precision": precision, **source.training},
        parity=parity,
        versions={"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    )
