"""``onlooker tune``: search for good settings; ``model`` varies a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest
    from onlooker.export.tuning import Plan, Study, TrialRecord
    from onlooker.export.tuning_trial import Bench
    from onlooker.training.loop import StepReport

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Search for the settings that give the best and the fastest.

    \b
    Examples:
      onlooker tune model base --data street.jsonl -o studies/base --trials 20 --epochs 3
      onlooker tune model --show-space > space.toml
    """  # noqa: D301


@app.command("model", no_args_is_help=True, short_help="Vary a recipe: retrieval quality against encode time.")
def model(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with Onlooker (onlooker train --list).")
    ] = "",
    data: Annotated[Path | None, typer.Option("--data", help="Manifest written by 'onlooker prepare'.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the study. Default: studies/NAME.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the whole study, those of earlier runs included.")] = 20,
    epochs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Passes over the training pictures in each trial: few, since unpromising trials cannot be cut short "
            "where two goals are weighed.",
        ),
    ] = 3,
    space: Annotated[
        Path | None, typer.Option("--space", help="TOML file of what is varied. Default: see --show-space.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of every training.")] = 0,
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            help="Threads of the encoder whose time is measured: processor time with one, else time on the clock.",
        ),
    ] = 1,
    train_threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the trainings. Default: all cores.")
    ] = None,
    quality: Annotated[
        str, typer.Option(help="What is weighed against time: rsum (R@1+R@5+R@10, of 300 points) or r1 (R@1, of 100).")
    ] = "rsum",
    within: Annotated[
        float, typer.Option(min=0, help="'fastest' may lie so many points of that quality below the best.")
    ] = 3.0,
    precision: Annotated[
        str, typer.Option(help="How weights are stored where the space does not vary it: float32, half or int8.")
    ] = "int8",
    text_from: Annotated[
        Path | None,
        typer.Option(
            "--text-from",
            help="Run folder or checkpoint whose text side every trial takes over as it is: only image sides are "
            "trained, which is faster, and all can share one text tower.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a value of the recipe for all trials; may be repeated."
        ),
    ] = None,
    show_space: Annotated[
        bool, typer.Option("--show-space", help="Print the space that is searched by default, and stop.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Vary a recipe and show which variants are worth having: none is both better and faster than they are.

    \b
    Each trial trains the recipe with other values for a few epochs, exports it, and measures the exported files:
    retrieval quality on the validation split, and milliseconds for one picture from the crop to the vector. At the end
    the times of the best trials are measured again, side by side. The folder then holds trials.csv, pareto.json,
    pareto.png, and two recipes for 'onlooker train': best.toml, and fastest.toml, the fastest within --within points.

    \b
    Stop it with Ctrl-C (or lose power): the same command goes on where it was.

    \b
    Examples:
      onlooker tune model base --data street.jsonl -o studies/base --trials 20 --epochs 3
      onlooker tune model base --data street.jsonl -o studies/small --text-from runs/base --quality r1
      onlooker tune model --show-space > space.toml
      onlooker tune model my.toml --data people.jsonl -o studies/my --space space.toml --set run.batch_size=32
    """  # noqa: D301
    from onlooker.cli.console import note, quiet_libraries
    from onlooker.errors import ConfigError

    quiet_libraries()
    if show_space:
        from onlooker.export.tuning_space import DEFAULT_SPACE

        print(DEFAULT_SPACE.read_text(encoding="utf-8"), end="")
        return
    if not recipe or data is None:
        raise ConfigError("which recipe and which data? For example: onlooker tune model base --data street.jsonl")
    _one_of("--quality", quality, ("rsum", "r1"))
    _one_of("--precision", precision, ("float32", "half", "int8"))
    import torch

    from onlooker.datasets.manifest import Manifest
    from onlooker.export.tuning import Plan
    from onlooker.export.tuning_space import load_space
    from onlooker.export.tuning_trial import RUNS, Bench, timing_crops, with_text_from
    from onlooker.training.catalogue import find_recipe
    from onlooker.training.origins import data_digest
    from onlooker.training.recipes import load_recipe

    if train_threads is not None:
        torch.set_num_threads(train_threads)
    base = load_recipe(find_recipe(recipe), set_)
    wanted = load_space(space)
    if text_from is not None:
        base = with_text_from(base, text_from, recipe)
    if base.run.text_from is not None:
        wanted, left_out = wanted.without_text_side()
        if left_out:
            note(f"the text side stays that of {base.run.text_from}; not varied: {', '.join(left_out)}")
    manifest = Manifest.load(data)
    quality_ = cast('Literal["rsum", "r1"]', quality)
    plan = Plan(
        base=base,
        space=wanted,
        epochs=epochs,
        seed=seed,
        precision=cast('Literal["float32", "half", "int8"]', precision),
        quality=quality_,
        threads=threads,
        data=data_digest(manifest),
    )
    crops = timing_crops(manifest.split(base.data.val_split))
    bench = Bench(manifest, quality_, threads, RUNS, crops)
    about = {"data": manifest.dataset, "split": base.data.val_split, "texts": base.data.texts}
    outcome, lines = _tune(plan, bench, output or Path("studies") / base.name, trials, within, about)
    print(json.dumps(outcome) if json_ else "\n".join(lines))


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    from onlooker.errors import ConfigError

    if value not in known:
        raise ConfigError(f"{option} {value!r}: choose {', '.join(known[:-1])} or {known[-1]}")


def _tune(
    plan: Plan, bench: Bench, folder: Path, trials: int, within: float, about: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    from onlooker.cli.console import note, stop_switch
    from onlooker.export.pareto import measure_front
    from onlooker.export.timing import machine
    from onlooker.export.tuning import open_study
    from onlooker.export.tuning_report import table, write_report, write_trials

    with open_study(folder, plan) as study, stop_switch() as stop_asked:
        if study.new:
            _check(plan, bench.manifest, folder)
        elif study.finished() < trials:
            note(f"going on after {study.finished()} of {trials} trials ({folder})")
        try:
            _run(study, bench, trials, stop_asked)
            note("measuring the times of the front and what is near it side by side")
            about = {**about, "machine": machine(plan.threads)}
            front = measure_front(study, bench, within, stop_asked=stop_asked)
        except KeyboardInterrupt:
            write_trials(folder / "trials.csv", study)
            note(f"stopped after {study.finished()} of {trials} trials; the same command goes on ({folder})")
            raise
        outcome = write_report(folder, study, front, about)
        lines = [
            *table(study, front),
            f"best: trial {front.best.record.number}, train it with: onlooker train {folder / 'best.toml'}",
            f"fastest within {within:g} points of {outcome['quality']}: trial {front.fastest.record.number}, "
            f"train it with: onlooker train {folder / 'fastest.toml'}",
        ]
        return outcome, lines


def _check(plan: Plan, manifest: Manifest, folder: Path) -> None:
    from onlooker.cli.console import note, progress
    from onlooker.export.tuning_trial import check_space

    note("trying every value of the space once, before the first trial")
    with progress("checking", 1.0) as advance:
        check_space(plan.base, plan.space, manifest, folder, lambda done, of: advance(1 / of))


def _run(study: Study, bench: Bench, trials: int, stop_asked: Callable[[], bool]) -> None:
    from onlooker.cli.console import note, progress
    from onlooker.export.tuning_report import describe_params, write_trials
    from onlooker.export.tuning_trial import Hooks, Measured, run_trial
    from onlooker.training.recipes import Recipe

    done = study.finished()
    with progress("tuning", trials, unit="trials", done=done) as advance:
        shown = float(done)

        def show(position: float, text: str) -> None:
            nonlocal shown
            advance(position - shown, text)
            shown = position

        def before(number: int, params: dict[str, Any]) -> None:
            note(f"trial {number} ({study.finished() + 1} of {trials}): {describe_params(params)}")

        def measure(recipe: Recipe, precision: Any, folder: Path) -> Measured:
            start = study.finished()

            def after_step(report: StepReport) -> None:
                part = (report.epoch + report.batch / report.batches) / recipe.run.epochs
                # Exporting and measuring take the rest.
                show(start + 0.9 * part, f"epoch {report.epoch + 1} loss {report.loss:.3f}")

            def say(text: str) -> None:
                show(shown, text)

            return run_trial(recipe, precision, bench, folder, Hooks(say, after_step, stop_asked))

        def after(record: TrialRecord) -> None:
            show(study.finished(), "")
            note(_result_line(record, study))
            write_trials(study.folder / "trials.csv", study)

        study.run(trials, measure, before_trial=before, after_trial=after)


def _result_line(record: TrialRecord, study: Study) -> str:
    from onlooker.export.tuning_trial import QUALITY_NAMES

    if record.measured is None:
        return f"  failed: {record.reason}"
    quality, ms = record.measured.quality, record.measured.image.median_ms
    complete = [each.measured for each in study.records() if each.measured is not None]
    best = max(complete, key=lambda each: each.quality)
    fastest = min(each.image.median_ms for each in complete)
    repeated = "" if record.repeats is None else f" (the values of trial {record.repeats} again)"
    return (
        f"  {QUALITY_NAMES[study.plan.quality]} {quality:.1f}, {ms:.2f} ms a picture{repeated}; "
        f"so far the best {best.quality:.1f} at {best.image.median_ms:.2f} ms, the fastest {fastest:.2f} ms"
    )
