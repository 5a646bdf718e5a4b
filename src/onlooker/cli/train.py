"""``onlooker train``: a recipe and a manifest in, a checkpoint out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with Onlooker (see --list).")
    ] = "",
    data: Annotated[Path | None, typer.Option("--data", help="Manifest written by 'onlooker prepare'.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run. Default: runs/NAME.")
    ] = None,
    lora: Annotated[
        bool | None, typer.Option("--lora/--full", help="Train with LoRA adapters, or every weight.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random, instead of the recipe's.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be repeated."),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again, even where a run could go on.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    results: Annotated[
        bool, typer.Option("--results/--no-results", help="Save the validation split's retrieval results at the end.")
    ] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes that come with Onlooker, and stop.")] = False,
) -> None:
    """Train a dual encoder from a recipe and a manifest.

    Stop it with Ctrl-C (or lose power): the same command goes on from the last saved state, and ends with the same
    weights as a run without a stop. The folder then holds best/ (the checkpoint that validation chose), curves.png,
    history.json, run.json and the retrieval results of the validation split (results.csv).

    \b
    Examples:
      onlooker prepare street photos/ -o street.jsonl
      onlooker train base --data street.jsonl
      onlooker train seed --data flickr30k.jsonl --full --set run.batch_size=32
      onlooker train my.toml --data people.jsonl -o runs/second --seed 1
    """  # noqa: D301
    from onlooker.cli.console import quiet_libraries
    from onlooker.errors import ConfigError
    from onlooker.training.catalogue import find_recipe, list_recipes

    if list_:
        for name, description in list_recipes():
            print(f"{name:10} {description}")
        return
    if not recipe or data is None:
        raise ConfigError("which recipe and which data? For example: onlooker train base --data street.jsonl")
    quiet_libraries()
    import torch

    from onlooker.datasets.manifest import Manifest
    from onlooker.training.recipes import load_recipe

    if threads is not None:
        torch.set_num_threads(threads)
    overrides = list(set_ or [])
    if seed is not None:
        overrides.append(f"seed={seed}")
    if lora is not None:
        overrides.append(f"use_lora={str(lora).lower()}")
    chosen = load_recipe(find_recipe(recipe), overrides)
    if lora and chosen.model.lora is None:
        raise ConfigError(
            f"--lora: the recipe {chosen.name} has no adapters; add [model.lora.image] or [model.lora.text]"
        )
    _train(chosen, Manifest.load(data), output or Path("runs") / chosen.name, restart, results, json_)


def _train(recipe: Any, manifest: Any, output: Path, begin_again: bool, results: bool, as_json: bool) -> None:
    import json

    from onlooker.cli.console import note, progress, stop_switch
    from onlooker.evaluation.metrics import figures_of
    from onlooker.training.loop import StepReport, Training, restart

    training = Training(recipe, manifest, output, figures_of)
    counts = training.count_parameters()
    note(f"{recipe.name}: {counts['all'] / 1e6:.1f} M weights, {counts['trainable'] / 1e6:.1f} M of them trained")
    if begin_again:
        restart(output)
    elif training.resume():
        note(f"going on after {training.done} of {recipe.run.epochs * training.batches} batches ({output / 'last'})")
    total = recipe.run.epochs * training.batches
    with progress("training", total, unit="batches", done=training.done) as advance:

        def after_step(report: StepReport) -> None:
            advance(1, f"epoch {report.epoch + 1} loss {report.loss:.3f} rate {report.image_lr:.1e}")

        def after_epoch(entry: dict[str, Any]) -> None:
            note(
                f"epoch {entry['epoch'] + 1}: loss {entry['train_loss']:.3f}, validation loss {entry['loss']:.3f}, "
                f"R@1/5/10 {100 * entry['r1']:.1f}/{100 * entry['r5']:.1f}/{100 * entry['r10']:.1f} %"
                + (f", twins told apart {100 * entry['twins']:.1f} %" if "twins" in entry else "")
            )

        with stop_switch() as stop_asked:
            result = training.run(after_step, after_epoch, stop_asked)
    if results:
        _save_results(result.best, manifest, recipe, output)
    best = result.chosen
    if as_json:
        print(json.dumps({"best": str(result.best), "chosen": best}))
    else:
        figures = f"R@1 {100 * best['r1']:.1f} %, validation loss {best['loss']:.3f}"
        print(f"{result.best}: epoch {best['epoch'] + 1}, {figures}")


def _save_results(best: Path, manifest: Any, recipe: Any, output: Path) -> None:
    from onlooker.encoders.checkpoint import open_encoder
    from onlooker.evaluation.results import save_results
    from onlooker.evaluation.runner import evaluate

    val = manifest.split(recipe.data.val_split)
    evaluation = evaluate(open_encoder(best), val, texts=recipe.data.texts)
    save_results(evaluation, output / "results.csv")
