"""``onlooker prepare``: read a published dataset, check it, write its manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onlooker.cli.console import note, progress
from onlooker.errors import ConfigError

if TYPE_CHECKING:
    from onlooker.datasets.manifest import Manifest
    from onlooker.datasets.preparing import Report


def run(
    dataset: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="The dataset's name; see --list.", show_default=False)
    ] = None,
    root: Annotated[
        Path | None, typer.Argument(metavar="ROOT", help="Its top folder, as published.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="MANIFEST", help="The manifest to write (.jsonl); without it nothing is written."
        ),
    ] = None,
    val: Annotated[
        int | None,
        typer.Option(
            min=0, help="Make a validation split of this many records, where the dataset has none.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which records --val takes.")] = 0,
    people: Annotated[
        bool, typer.Option("--people", help="One record per person box instead of one per picture (coco).")
    ] = False,
    min_height: Annotated[int, typer.Option(min=1, help="Least height of a box taken by --people, in pixels.")] = 96,
    detect: Annotated[
        bool,
        typer.Option("--detect", help="Find the person's box in pictures that have none, with the shipped detector."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only look whether the pictures exist; do not open them.")
    ] = False,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="Do not look for pictures; keep every record of the annotation files.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if any problem was found.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that open pictures; the number of cores by default.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the datasets with their layouts and terms.")] = False,
) -> None:
    """Read a published dataset, check it, and write its manifest: a JSON line per picture with all that is known of it.

    \b
    The report compares the counts with the published ones and names missing and unreadable pictures (which are
    skipped), ids that only number the captions, and pictures or people that are in two splits.

    \b
    Examples:
      onlooker prepare --list
      onlooker prepare flickr8k data/flickr8k -o flickr8k.jsonl
      onlooker prepare cuhk-pedes data/CUHK-PEDES -o cuhk.jsonl --quick
      onlooker prepare coco data/coco -o people.jsonl --people --min-height 128
      onlooker prepare street data/street_photos -o street.jsonl --val 300 --seed 0
      onlooker prepare street data/street_photos -o street.jsonl --detect
      onlooker prepare generic my_photos -o mine.jsonl --json > report.json
    """  # noqa: D301
    from onlooker.datasets.preparing import PrepareOptions, prepare

    if show_list:
        _list(as_json)
        return
    if dataset is None or root is None:
        raise ConfigError(
            "give a dataset and its folder: onlooker prepare DATASET ROOT -o MANIFEST; --list shows the datasets"
        )
    options = PrepareOptions(
        quick=quick, text_only=text_only, val=val, seed=seed, people=people, min_height=min_height, workers=workers
    )
    manifest, report = prepare(
        dataset, root, options, lambda description, total: progress(description, total, unit="pictures")
    )
    if detect:
        manifest = _with_boxes(manifest)
    if output is not None:
        manifest.save(output)
    if as_json:
        print(
            json.dumps(
                {**report.as_json(), "manifest": None if output is None else str(output)}, indent=2, ensure_ascii=False
            )
        )
    else:
        _print(report)
        print(f"wrote {len(manifest):,} records to {output}" if output else "nothing written: no -o MANIFEST given")
    if strict and report.problems:
        note(f"{len(report.problems)} kinds of problems found")
        sys.exit(1)


def _with_boxes(manifest: Manifest) -> Manifest:
    from onlooker.datasets.boxes import fill_boxes
    from onlooker.footage.detection import load_detector

    detector = load_detector("union")
    with progress("finding people", len(manifest), unit="pictures") as advance:
        filled_manifest, filled = fill_boxes(manifest, lambda rgb: detector.detect(rgb).boxes, advance)
    note(f"{filled:,} boxes found by the detector")
    return filled_manifest


def _list(as_json: bool) -> None:
    from onlooker.datasets.catalogue import DATASETS

    if as_json:
        values = [{"name": d.name, "title": d.title, "layout": d.layout, "terms": d.terms} for d in DATASETS.values()]
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return
    for each in DATASETS.values():
        print(f"{each.name}\n  {each.title}\n  folder: {each.layout}\n  terms:  {each.terms}")


def _print(report: Report) -> None:
    print(f"{report.dataset} in {report.root}")
    print(f"  annotations  {', '.join(Path(file).name for file in report.files)}")
    read = report.read
    # Records are worth a line only where they are not the pictures again.
    same = {name for name in read if name.endswith("records") and read[name] == read[name.replace("records", "images")]}
    names = [name for name in [*read, *report.published] if read.get(name, 0) or name in report.published]
    names = [name for name in dict.fromkeys(names) if name not in same]
    width = max(len(name) for name in names)
    print(f"  {'':{width}}  {'published':>10}  {'read':>10}  {'kept':>10}")
    for name in names:
        published = f"{report.published[name]:,}" if name in report.published else "-"
        print(f"  {name:{width}}  {published:>10}  {read.get(name, 0):>10,}  {report.kept.get(name, 0):>10,}")
    for kind, counts in report.texts.items():
        if counts["read"]:
            tidied, empty, doubled = (f"{counts[what]:,}" for what in ("changed", "empty", "doubled"))
            print(f"  {kind}: {tidied} tidied, {empty} empty and {doubled} doubled dropped")
    if report.pictures["looked_for"]:
        how = "opened" if report.pictures["opened"] else "found (not opened)"
        print(
            f"  pictures: {report.pictures['present']:,} {how}, {report.pictures['missing']:,} missing, "
            f"{report.pictures['unreadable']:,} unreadable"
        )
    else:
        print("  pictures: not looked for")
    print("  splits: " + ", ".join(f"{split} {count:,}" for split, count in report.splits.items()))
    for finding in report.findings:
        print(f"  {finding.level}: {finding.message} ({finding.count:,})")
        for example in finding.examples:
            print(f"    {example}")
        if finding.examples and finding.count > len(finding.examples):
            print(f"    and {finding.count - len(finding.examples):,} more")
    for remark in report.notes:
        print(f"  note: {remark}")
    if not report.problems:
        print("  no problem found")
