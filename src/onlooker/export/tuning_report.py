"""What a study leaves: every trial as CSV, the front as JSON, table and plot, and a recipe for each chosen point.

trials.csv, pareto.json, pareto.png, best.toml, fastest.toml
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from onlooker.evaluation.plots import new_figure
from onlooker.export.pareto import Front, Point
from onlooker.export.recipe_text import recipe_toml
from onlooker.export.tuning import Plan, Study, TrialRecord
from onlooker.export.tuning_trial import QUALITY_NAMES
from onlooker.files import replacing, write_json, write_text

BLUE, ORANGE, GREY = "#2563a8", "#c2571a", "#9a9a9a"


def write_trials(path: Path, study: Study) -> None:
    """Write every trial that has ended as a line of CSV; times are those of the trial itself."""
    names = [parameter.name for parameter in study.plan.space.parameters]
    figures = ["quality", "r1", "r5", "r10", "image_ms", "image_ms_q1", "image_ms_q3", "text_ms"]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(
            ["trial", "state", *figures, "image_bytes", "text_bytes", "seconds", "repeats", *names, "reason"]
        )
        for record in study.records():
            writer.writerow(
                [
                    record.number,
                    record.state,
                    *_figures(record),
                    "" if record.repeats is None else record.repeats,
                    *(record.params.get(name, "") for name in names),
                    record.reason,
                ]
            )


def _figures(record: TrialRecord) -> list[Any]:
    measured = record.measured
    if measured is None:
        return [""] * 11
    image = measured.image
    return [
        round(measured.quality, 2),
        *(round(share, 4) for share in (measured.r1, measured.r5, measured.r10)),
        *(round(ms, 3) for ms in (image.median_ms, image.q1_ms, image.q3_ms, measured.text.median_ms)),
        measured.image_bytes,
        measured.text_bytes,
        round(measured.seconds, 1),
    ]


def report(study: Study, front: Front, about: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome as JSON values.

    Args:
        study: Where it comes from.
        front: The front.
        about: What else belongs to it: the machine, the manifest, the versions.
    """
    plan = study.plan
    return {
        "quality": QUALITY_NAMES[plan.quality],
        "within": front.within,
        "recipe": plan.base.name,
        "epochs": plan.epochs,
        "seed": plan.seed,
        **about,
        "trials": study.finished(),
        "points": [point_values(plan, point) for point in front.points],
        "timed": [point_values(plan, point) for point in front.timed],
        "best": front.best.record.number,
        "fastest": front.fastest.record.number,
    }


def point_values(plan: Plan, point: Point) -> dict[str, Any]:
    """Return one point as JSON values."""
    measured = point.measured
    return {
        "trial": point.record.number,
        "quality": measured.quality,
        "r1": measured.r1,
        "r5": measured.r5,
        "r10": measured.r10,
        "image": point.time.to_dict(),
        "image_in_trial": measured.image.to_dict(),
        "text": measured.text.to_dict(),
        "image_bytes": measured.image_bytes,
        "text_bytes": measured.text_bytes,
        "precision": plan.space.precision(point.record.params, plan.precision),
        "params": point.record.params,
    }


def table(study: Study, front: Front) -> list[str]:
    """Return the front as lines of text, the fastest point first."""
    plan = study.plan
    heading = QUALITY_NAMES[plan.quality]
    rows = [
        ["trial", heading, *([] if plan.quality == "r1" else ["R@1"]), "ms a picture", "quartiles", "ms a text", "MB"]
    ]
    for point in front.points:
        measured, time = point.measured, point.time
        rows.append(
            [
                str(point.record.number),
                f"{point.quality:.1f}",
                *([] if plan.quality == "r1" else [f"{100 * measured.r1:.1f}"]),
                f"{time.median_ms:.2f}",
                f"{time.q1_ms:.2f}-{time.q3_ms:.2f}",
                f"{measured.text.median_ms:.2f}",
                f"{(measured.image_bytes + measured.text_bytes) / 1e6:.1f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    settings = ["settings", *(describe_params(point.record.params) for point in front.points)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), what])
        for row, what in zip(rows, settings, strict=True)
    ]


def describe_params(params: dict[str, Any]) -> str:
    """Return parameters in short: the last part of each name, numbers with three digits."""
    lasts = [name.rpartition(".")[2] for name in params]
    words = []
    for (name, value), last in zip(params.items(), lasts, strict=True):
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        words.append(f"{last if lasts.count(last) == 1 else name}={shown}")
    return " ".join(words)


def write_recipes(folder: Path, study: Study, front: Front) -> list[Path]:
    """Write ``best.toml`` and ``fastest.toml``, which ``onlooker train`` takes as they are.

    They train for as long as the recipe that was varied, not for the few epochs of a trial.
    """
    plan, name = study.plan, QUALITY_NAMES[study.plan.quality]
    written = []
    for kind, point, why in (
        ("best", front.best, f"the best {name}"),
        ("fastest", front.fastest, f"the fastest within {front.within:g} points of {name} of the best"),
    ):
        params, time = point.record.params, point.time
        recipe = plan.space.recipe(plan.base, params, {"name": f"{plan.base.name}-{kind}"})
        comment = [
            f"Trial {point.record.number} of a study of the recipe {plan.base.name}: {why}.",
            f"After {_count(plan.epochs, 'epoch')}: {name} {point.quality:.1f} on the validation split, "
            f"{time.median_ms:.2f} ms a picture ({time.q1_ms:.2f}-{time.q3_ms:.2f}) with "
            f"{_count(plan.threads, 'thread')}.",
            f"Export it with --precision {plan.space.precision(params, plan.precision)}, as it was measured.",
        ]
        write_text(folder / f"{kind}.toml", recipe_toml(recipe, comment))
        written.append(folder / f"{kind}.toml")
    return written


def draw(path: Path, study: Study, front: Front) -> None:
    """Draw quality over milliseconds: all trials, the front with its quartiles, the chosen points, the recipe itself.

    Args:
        path: The PNG file.
        study: The trials.
        front: The front.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plan = study.plan
    timed = {point.record.number: point for point in front.timed}
    records = [record for record in study.records() if record.measured is not None and record.repeats is None]
    figure = new_figure("the plot", (8, 5))
    axes = figure.add_subplot()
    others = [
        _place(record, timed) for record in records if record.number not in {p.record.number for p in front.points}
    ]
    if others:
        axes.scatter(
            [ms for ms, _ in others],
            [quality for _, quality in others],
            s=22,
            color=GREY,
            label=f"{len(others)} other trials",
            zorder=2,
        )
    times = [point.time.median_ms for point in front.points]
    qualities = [point.quality for point in front.points]
    axes.step(times, qualities, where="post", color=BLUE, linewidth=1.2, alpha=0.5, zorder=1)
    spread = [
        [point.time.median_ms - point.time.q1_ms for point in front.points],
        [point.time.q3_ms - point.time.median_ms for point in front.points],
    ]
    axes.errorbar(
        times,
        qualities,
        xerr=spread,
        fmt="o",
        color=BLUE,
        markersize=6,
        capsize=2,
        linewidth=1,
        label="front (bars: quartiles of the time)",
        zorder=3,
    )
    chosen = [("best", front.best), ("fastest", front.fastest)]
    for number, (kind, point) in enumerate(chosen):
        if number and point is front.best:
            continue
        axes.scatter(
            [point.time.median_ms],
            [point.quality],
            s=170,
            facecolors="none",
            edgecolors=ORANGE,
            linewidths=1.8,
            zorder=4,
        )
        both = front.best is front.fastest
        label = "best and fastest" if both else kind if kind == "best" else f"fastest within {front.within:g} points"
        axes.annotate(
            f"{label}: trial {point.record.number}",
            (point.time.median_ms, point.quality),
            # The best lies at the upper right, where there is room on its left alone.
            xytext=(-9, 9) if kind == "best" else (9, -15),
            ha="right" if kind == "best" else "left",
            textcoords="offset points",
            fontsize=8,
            color=ORANGE,
        )
    for record in records:
        if record.is_recipe:
            ms, quality = _place(record, timed)
            axes.scatter(
                ms,
                quality,
                s=110,
                marker="*",
                color="black",
                label=f"the recipe {plan.base.name} as it is",
                zorder=5,
            )
    kind = "of processor time " if plan.threads == 1 else ""
    axes.set_xlabel(f"milliseconds {kind}a picture, batch of 1, {_count(plan.threads, 'thread')}")
    axes.set_ylabel(f"{QUALITY_NAMES[plan.quality]} on the validation split, points")
    axes.set_title(
        f"{plan.base.name}: {_count(study.finished(), 'trial')} of {_count(plan.epochs, 'epoch')}, measured on the "
        "exported files",
        fontsize=10,
    )
    axes.margins(x=0.12, y=0.14)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _place(record: TrialRecord, timed: dict[int, Point]) -> tuple[float, float]:
    """Return milliseconds and quality of a trial, with the time that was measured side by side where there is one."""
    assert record.measured is not None
    point = timed.get(record.number)
    ms = point.time.median_ms if point is not None else record.measured.image.median_ms
    return ms, record.measured.quality


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def write_report(folder: Path, study: Study, front: Front, about: dict[str, Any]) -> dict[str, Any]:
    """Write all files of the outcome; returns what ``pareto.json`` holds."""
    values = report(study, front, about)
    write_trials(folder / "trials.csv", study)
    write_json(folder / "pareto.json", values)
    write_recipes(folder, study, front)
    draw(folder / "pareto.png", study, front)
    return values
