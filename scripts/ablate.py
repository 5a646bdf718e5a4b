"""What each part of the model brings: trains variants of a recipe with several seeds and tabulates them.

    python scripts/ablate.py --data runs/street.jsonl --pedestrians runs/pedestrians.jsonl -o runs/ablation

Short runs (see ``SHORT``; ``--set`` changes more), all alike but for what the variant leaves out: the differences count,
not the values. A stopped run goes on; finished ones are not trained again. The tables are written to
``table.md`` and ``table.json`` in the output folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import torch

from onlooker.datasets.manifest import Manifest
from onlooker.encoders.checkpoint import open_encoder
from onlooker.evaluation.metrics import figures_of
from onlooker.evaluation.runner import evaluate
from onlooker.evaluation.twins import measure_twins
from onlooker.files import write_json, write_text
from onlooker.training.loop import Training
from onlooker.training.recipes import apply_override, parse_recipe

Table = dict[str, Any]


def plain(recipe: Table) -> None:
    """One global vector, contrast alone, photographs varied a little, texts as they are."""
    twins(recipe)
    recipe["data"]["twins_per_batch"] = 0
    recipe["loss"] = {"kind": "contrastive"}
    recipe["run"]["choose"] = "rsum"
    calm(recipe)


def calm(recipe: Table) -> None:
    """Everything but the cameras' augmentation and the wording."""
    recipe["data"]["augmentation"] = {"loose": 0.35, "loose_margin": 1.0}
    del recipe["data"]["phrasing"]


def twins(recipe: Table) -> None:
    """One global vector; twins in the batch and in the loss."""
    del recipe["model"]["parts"]
    recipe["loss"] = {"kind": "contrastive", "twins": recipe["loss"]["twins"]}


def bands(recipe: Table) -> None:
    """Blocks for regions that are found by their height in the crop instead of by segmentation."""
    recipe["model"]["parts"]["pooling"] = "bands"
    recipe["loss"]["segmentation"] = 0.0


def alone(recipe: Table) -> None:
    """Blocks without a loss of their own: contrast of the whole vectors and twins only."""
    recipe["loss"]["parts"] = 0.0


def whole(recipe: Table) -> None:
    """The recipe as it is."""


VARIANTS: dict[str, tuple[str, Callable[[Table], None]]] = {
    "plain": ("one global vector, contrast alone", plain),
    "twins": ("+ cameras, wording, twins", twins),
    "bands": ("+ region blocks, by height", bands),
    "whole": ("+ region blocks, by segmentation (the recipe)", whole),
    "alone": ("the recipe without the loss on blocks", alone),
    "calm": ("the recipe without cameras and wording", calm),
}
FIGURES = ("r1", "r5", "r10")
SHORT = ("run.epochs=1", "run.start_from=runs/compact", "run.heads_only=true", "run.choose=rsum")
"""One pass of the heads on the towers of ``compact``, which no variant has shaped: two minutes a run on one core."""


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/heads.toml"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pedestrians", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="*", default=["plain", "twins", "bands", "whole"], choices=VARIANTS)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe further")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Manifest.load(options.data)
    pedestrians = Manifest.load(options.pedestrians) if options.pedestrians else None
    found: dict[str, list[Table]] = {}
    for seed in range(options.seeds):
        for name in options.variants:
            folder = options.output / f"{name}-{seed}"
            if not (folder / "figures.json").is_file():
                table = copy.deepcopy(tomllib.loads(options.recipe.read_text(encoding="utf-8")))
                VARIANTS[name][1](table)
                for override in (f"seed={seed}", *SHORT, *options.set):
                    apply_override(table, override)
                train(table, data, folder)
                write_json(folder / "figures.json", measure(folder, data, pedestrians))
            found.setdefault(name, []).append(json.loads((folder / "figures.json").read_text(encoding="utf-8")))
            print(name, seed, found[name][-1], flush=True)
            write_json(options.output / "table.json", found)
            write_text(options.output / "table.md", markdown(found))


def train(table: Table, data: Manifest, folder: Path) -> None:
    """Train one variant, going on where it stood."""
    recipe = parse_recipe(table, str(folder))
    training = Training(recipe, data, folder, figures_of)
    training.resume()
    training.run(after_epoch=lambda entry: print(folder.name, entry, flush=True))


def measure(folder: Path, data: Manifest, pedestrians: Manifest | None) -> Table:
    """Measure the chosen checkpoint on the validation split and on the pedestrians."""
    encoder = open_encoder(folder)
    validation = data.split("val")
    figures: Table = {"twins": measure_twins(encoder, validation).text_to_image}
    sets = {"street": validation} | ({"pedestrians": pedestrians.split("val")} if pedestrians else {})
    for name, manifest in sets.items():
        for texts in ("captions", "phrases"):
            report = evaluate(encoder, manifest, texts=texts).report  # type: ignore[arg-type]
            result = report.results["text-to-image"]
            for figure in FIGURES:
                figures[f"{name} {texts} {figure}"] = getattr(result.metrics, figure)
    return figures


def markdown(found: dict[str, list[Table]]) -> str:
    """Return the table: mean and standard deviation over the seeds, in per cent."""
    columns = list(next(iter(found.values()))[0])
    shown = [column for column in columns if column == "twins" or column.endswith((" r1", " r10"))]
    heads = [column.replace(" r1", " R@1", 1).replace("R@10", "R@10") for column in shown]
    lines = ["| variant | seeds | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(shown)]
    for name, runs in found.items():
        cells = []
        for column in shown:
            values = [100 * run[column] for run in runs]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        lines.append(f"| {VARIANTS[name][0]} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
