"""``onlooker export``: a checkpoint or a CLIP folder in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def run(
    source: Annotated[Path, typer.Argument(help="A run folder, a checkpoint, or a Hugging Face CLIP folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Manifest on which rankings are compared and metrics measured.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of it.")] = "val",
    text_from: Annotated[
        Path | None,
        typer.Option(
            "--text-from",
            metavar="FOLDER",
            help="Share the text tower of this bundle beside the output; refused where the model's is another.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle. Default: the recipe's.")] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="How weights are stored: float32; half (float16); int8 (half, and the word embedding as int8)."
        ),
    ] = "int8",
    licence: Annotated[str, typer.Option(help="Terms of the weights, for example Apache-2.0.")] = "unstated",
    json_: Annotated[bool, typer.Option("--json", help="Print model.json.")] = False,
) -> None:
    """Turn a trained checkpoint or a Hugging Face CLIP folder into a bundle.

    The files are compared with the model before the bundle takes its name: vectors on probe inputs, and with --data the
    rankings of that split. A mismatch fails the export and leaves what was there before.

    With --data the bundle also gets its confidences: a background from the manifest's training split, and a calibration
    fitted on --split and measured on people left out of the fit.

    \b
    Examples:
      onlooker export runs/base -o bundles/base --data street.jsonl --licence Apache-2.0
      onlooker export runs/small -o bundles/small --data street.jsonl --text-from bundles/base
      onlooker export ~/models/clip-vit-base-patch16 -o bundles/clip --precision half
    """  # noqa: D301
    from onlooker.cli.console import note, quiet_libraries
    from onlooker.errors import ConfigError

    if precision not in ("float32", "half", "int8"):
        raise ConfigError(f"--precision {precision!r}: choose float32, half or int8")
    quiet_libraries()
    from onlooker.datasets.manifest import Manifest
    from onlooker.export.bundler import Precision, export_bundle, open_source

    manifest = None if data is None else Manifest.load(data)
    training = None
    if manifest is not None and "train" in manifest.split_counts():
        training = manifest.split("train")
    elif manifest is not None:
        note(f"{data} has no training split, so the bundle gets no background and gives no confidences")
    bundle = export_bundle(
        open_source(source),
        output,
        name=name,
        precision=cast("Precision", precision),
        manifest=None if manifest is None else manifest.split(split),
        training=training,
        text_from=text_from,
        licence=licence,
        say=note,
    )
    if json_:
        print((output / "model.json").read_text(encoding="utf-8"), end="")
        return
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"{output}: bundle {bundle.name}, {bundle.dimension} numbers a vector, {size / 1e6:.1f} MB")
    for kind, measured in bundle.info.metrics.items():
        figures = measured["results"]["text-to-image"]
        print(f"  {kind}: R@1/5/10 {100 * figures['r1']:.1f}/{100 * figures['r5']:.1f}/{100 * figures['r10']:.1f} %")
