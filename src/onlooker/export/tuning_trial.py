"""One trial of a study: a recipe is trained for a few epochs, exported, and the exported files are measured."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from onlooker.encoders.checkpoint import find_checkpoint, read_info
from onlooker.errors import ConfigError, DataError, PictureError, TrainingError
from onlooker.evaluation.encoding import read_crop
from onlooker.evaluation.metrics import Metrics, figures_of
from onlooker.evaluation.runner import evaluate
from onlooker.export.bundler import Precision, export_bundle, open_source
from onlooker.export.timing import EncodeTime, ImageHalf, time_images, time_texts
from onlooker.export.tuning_space import Space
from onlooker.runtime.bundle import Bundle
from onlooker.runtime.encoder import Encoder
from onlooker.runtime.preprocessing import ImageSpec
from onlooker.training.loop import StepReport, Training
from onlooker.training.recipes import Recipe, parse_recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlooker.datasets.manifest import Manifest

Quality = Literal["rsum", "r1"]
"""rsum: R@1 + R@5 + R@10 in points, 0..300; r1: R@1 in points, 0..100; both text to image."""
QUALITY_NAMES: dict[Quality, str] = {"rsum": "R@1+R@5+R@10", "r1": "R@1"}
RUNS = 100
"""Timed runs of a trial."""
TIMED_CROPS = 32
"""Crops of the validation split that times are measured with, spread over the whole of it."""


@dataclass(frozen=True)
class Measured:
    """What a trial gave.

    Attributes:
        quality: In points; see ``Quality``.
        r1: Share (0..1) of texts whose picture comes first; likewise r5 and r10.
        image: Milliseconds for one crop.
        text: Milliseconds for one text.
        image_bytes: Size of the image tower's file.
        text_bytes: Size of the text tower's file.
        dimension: Length of the vectors.
        spec: Preprocessing, as ``model.json`` has it.
        seconds: What the trial took.
    """

    quality: float
    r1: float
    r5: float
    r10: float
    image: EncodeTime
    text: EncodeTime
    image_bytes: int
    text_bytes: int
    dimension: int
    spec: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Measured:
        """Read what ``to_dict`` gave."""
        times = {side: EncodeTime(**values[side]) for side in ("image", "text")}
        return cls(**{**values, **times})


@dataclass(frozen=True)
class Bench:
    """What all trials of a study are measured on.

    Attributes:
        manifest: Training and validation split.
        quality: What counts as quality.
        threads: Of the timed encoder.
        runs: Timed runs of each trial.
        crops: uint8 (h, w, 3) each: what times are measured with.
    """

    manifest: Manifest
    quality: Quality
    threads: int
    runs: int
    crops: list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Hooks:
    """How a trial talks to who started it.

    Attributes:
        say: Told what is being done.
        after_step: Told of each batch of the training.
        stop_asked: Asked between steps; on a yes the state is saved and KeyboardInterrupt is raised.
    """

    say: Callable[[str], None] = lambda text: None
    after_step: Callable[[StepReport], None] = lambda report: None
    stop_asked: Callable[[], bool] = lambda: False


def quality_of(metrics: Metrics, quality: Quality) -> float:
    """Return the quality in points."""
    return 100 * (metrics.r1 if quality == "r1" else metrics.r1 + metrics.r5 + metrics.r10)


def timing_crops(manifest: Manifest, count: int = TIMED_CROPS) -> list[NDArray[np.uint8]]:
    """Return crops of a split, spread evenly over it, that can be read.

    Raises:
        DataError: None can be read.
    """
    crops = []
    places = np.unique(np.linspace(0, len(manifest) - 1, min(count, len(manifest))).round().astype(int))
    for place in places:
        try:
            crops.append(read_crop(manifest, manifest.records[place]))
        except PictureError as error:
            reason = str(error)
    if not crops:
        raise DataError(f"no picture of {manifest.dataset} can be read to measure times with; the last: {reason}")
    return crops


def run_trial(recipe: Recipe, precision: Precision, bench: Bench, folder: Path, hooks: Hooks) -> Measured:
    """Train, export and measure.

    A trial that was stopped or killed goes on from its last saved state when it is run again with the same folder.

    Args:
        recipe: The trial's, with its number of epochs.
        precision: Of the exported bundle.
        bench: What is measured, and on what.
        folder: The trial's own.
        hooks: See there.

    Returns:
        The figures, all of the exported files.

    Raises:
        ConfigError: The recipe asks for what cannot be.
        TrainingError: The training fails or does not fit in memory.
        ExportError: The exported files do not do what the model does.
        KeyboardInterrupt: ``hooks.stop_asked`` said yes.
    """
    started = time.monotonic()
    run, bundle = folder / "run", folder / "bundle"
    best = _train(recipe, bench.manifest, run, hooks)
    hooks.say("exporting")
    export_bundle(open_source(best), bundle, name=recipe.name, precision=precision)
    # Nothing of the training may be at work, or swapped in, while times are measured.
    gc.collect()
    _stop_here(hooks)
    hooks.say("measuring")
    return _measure(recipe, bench, bundle, hooks, started)


def check_space(
    base: Recipe,
    space: Space,
    manifest: Manifest,
    folder: Path,
    advance: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Try the recipe and every value of a space once, so that what cannot be shows before the first trial.

    Args:
        base: The recipe that is varied.
        space: Its parameters.
        manifest: The data.
        folder: The study's; nothing is written.
        advance: Told how many of how many values are done.

    Raises:
        ConfigError: The recipe does not take a value, or no model can be built of it; the message names key and value.
        DataError: The manifest does not serve it.
    """
    alternatives = space.alternatives(base)
    Training(base, manifest, folder, figures_of)
    for number, alternative in enumerate(alternatives, start=1):
        if alternative.shapes:
            try:
                Training(alternative.recipe, manifest, folder, figures_of)
            except (ConfigError, DataError) as error:
                raise type(error)(f"{alternative.what}: {error}") from error
        advance(number, len(alternatives))


def with_text_from(recipe: Recipe, checkpoint: Path, source: str) -> Recipe:
    """Return a recipe that trains the image side alone, on the text side of a finished run.

    Args:
        recipe: What describes the image side; adapters of its text side fall away.
        checkpoint: A run folder or a checkpoint.
        source: Names the recipe in errors.

    Raises:
        DataError: There is no checkpoint.
        ConfigError: The recipe cannot take it.
    """
    read_info(find_checkpoint(checkpoint) or checkpoint)
    table = recipe.model_dump(mode="json", exclude_unset=True)
    adapters = table["model"].get("lora")
    if adapters and "text" in adapters:
        adapters.pop("text")
        if not adapters:
            table["model"].pop("lora")
    table.setdefault("run", {})["text_from"] = str(checkpoint)
    return parse_recipe(table, source)


def image_half(folder: Path, measured: Measured, threads: int) -> ImageHalf:
    """Open the image tower that a trial has left in its folder.

    Raises:
        BundleError: Its file is gone.
    """
    spec = ImageSpec.model_validate(measured.spec)
    return ImageHalf(folder / "bundle" / "image.onnx", spec, measured.dimension, threads)


def _train(recipe: Recipe, manifest: Manifest, output: Path, hooks: Hooks) -> Path:
    try:
        training = Training(recipe, manifest, output, figures_of)
        training.resume()
        return training.run(after_step=hooks.after_step, stop_asked=hooks.stop_asked).best
    except torch.OutOfMemoryError as error:
        raise TrainingError(f"the model does not fit in memory: {str(error).splitlines()[0]}") from error


def _measure(recipe: Recipe, bench: Bench, folder: Path, hooks: Hooks, started: float) -> Measured:
    bundle = Bundle.open(folder)
    val = bench.manifest.split(recipe.data.val_split)
    encoder = Encoder.open(bundle, provider="cpu")
    evaluation = evaluate(
        encoder, val, texts=recipe.data.texts, directions=("text-to-image",), bootstrap=0, model=recipe.name
    )
    metrics = evaluation.report.results["text-to-image"].metrics
    _stop_here(hooks)
    timed = Encoder.open(bundle, provider="cpu", threads=bench.threads)
    text = time_texts(timed, list(dict.fromkeys(evaluation.encoded.texts)), threads=bench.threads)
    half = ImageHalf(bundle.image_path, bundle.spec, bundle.dimension, bench.threads)
    (image,) = time_images([half], bench.crops, threads=bench.threads, runs=bench.runs, stop_asked=hooks.stop_asked)
    return Measured(
        quality=quality_of(metrics, bench.quality),
        r1=metrics.r1,
        r5=metrics.r5,
        r10=metrics.r10,
        image=image,
        text=text,
        image_bytes=bundle.image_path.stat().st_size,
        text_bytes=bundle.text_path.stat().st_size,
        dimension=bundle.dimension,
        spec=bundle.spec.model_dump(mode="json"),
        seconds=time.monotonic() - started,
    )


def keep_little(folder: Path) -> None:
    """Take away what is large in a finished trial's folder; the image tower's file and the curves stay."""
    for name in ("best", "last"):
        shutil.rmtree(folder / "run" / name, ignore_errors=True)
    for name in ("text.onnx", "tokenizer.json"):
        (folder / "bundle" / name).unlink(missing_ok=True)


def _stop_here(hooks: Hooks) -> None:
    if hooks.stop_asked():
        raise KeyboardInterrupt
