"""How well queries of several parts are answered: pictures, pictures changed by words, and "not".

    python benchmarks/bench_composed.py --data street.jsonl
    python benchmarks/bench_composed.py --data street.jsonl --bundle my-bundle --json composed.json
    python benchmarks/bench_composed.py --data street.jsonl --sweep
    python benchmarks/bench_composed.py --video one-by-one-person-detection.mp4 --people one-by-one_people.json

The manifest has to name garment masks (SciPy reads them): cases are made by painting garments of its photographs. Each
way of joining the parts is measured on the same vectors, the shipped one (``onlooker.gallery.composing``) last. The
video is indexed by ``onlooker index`` and searched by ``onlooker search`` with frames of each person as pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = 5
"""Frames of each person that are searched for."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure composed queries.", epilog=__doc__.split("\n\n", 2)[2])
    parser.add_argument("--data", type=Path, help="manifest with garment masks, made by `onlooker prepare`")
    parser.add_argument("--split", default="val", help="its split to measure on")
    parser.add_argument("--bundle", help="bundle folder; the shipped one where not given")
    parser.add_argument("--checkpoint", type=Path, help="a training's checkpoint instead of a bundle")
    parser.add_argument("--seed", type=int, default=0, help="of what is painted and drawn")
    parser.add_argument("--sweep", action="store_true", help="measure other weights of the shipped way instead")
    parser.add_argument("--video", type=Path, help="a video to search by its own frames")
    parser.add_argument(
        "--people", type=Path, help='JSON that says who is where in it: {"fps", "people": [{"frames"}]}'
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    if options.data is None and options.video is None:
        parser.error("give --data, --video, or both")
    if (options.video is None) != (options.people is None):
        parser.error("--video and --people go together")
    report: dict[str, Any] = {}
    if options.data is not None:
        report |= measure_photographs(options)
        show(report)
    if options.video is not None:
        report["video"] = measure_video(options.video, options.people, options.bundle)
        right, asked = report["video"]["right"], report["video"]["queries"]
        print(f"\nframes of a video: the right person first for {right} of {asked} pictures")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure_photographs(options: argparse.Namespace) -> dict[str, Any]:
    from onlooker.datasets.manifest import Manifest
    from onlooker.evaluation.composed import gather, measure
    from onlooker.gallery.composing import Space, compose

    manifest = Manifest.load(options.data).split(options.split)
    if options.checkpoint is not None:
        encoder, space = open_checkpoint(options.checkpoint, Manifest.load(options.data).split("train"))
    else:
        from onlooker.runtime.encoder import open_encoder

        encoder = open_encoder(options.bundle)
        space = Space.of(encoder)
    material = gather(encoder, manifest, seed=options.seed)
    ways: dict[str, Callable[..., Any]] = {
        "the picture or the text alone": first_alone,
        "the text or the picture alone": last_alone,
        "sum": plain_sum,
        "shipped": partial(compose, space),
    }
    if options.sweep:
        ways = swept(partial(compose, space), layout=bool(space.layout))
    ways_measured = {name: measure(material, way, seed=options.seed) for name, way in ways.items()}
    return {
        "bundle": options.bundle or str(options.checkpoint or "the shipped one"),
        "model_id": encoder.bundle_id,
        "layout": bool(space.layout),
        "background": space.texts is not None,
        "photographs": len(manifest),
        "painted": len(material.cases),
        "ways": ways_measured,
    }


def swept(compose: Callable[..., Any], *, layout: bool) -> dict[str, Callable[..., Any]]:
    """Return the shipped way with each of its weights varied, the others at their defaults."""
    from dataclasses import replace

    from onlooker.gallery.composing import WEIGHTS

    varied: dict[str, Sequence[float]] = {
        "text": (0.4, 0.45, 0.5, 0.55, 0.6, 0.65),
        "unwanted": (0.1, 0.2, 0.3, 0.4, 0.5),
    }
    if layout:
        varied |= {"gives_way": (0.0, 0.25, 0.5, 0.75, 1.0), "gives_way_whole": (0.0, 0.2, 0.4)}
    return {"shipped": compose} | {
        f"{name} {value}": partial(compose, weights=replace(WEIGHTS, **{name: value}))
        for name, values in varied.items()
        for value in values
    }


def open_checkpoint(path: Path, train: Any) -> tuple[Any, Any]:
    """Open a checkpoint, with the layout and a background as its bundle would have them."""
    from onlooker.encoders.checkpoint import open_encoder
    from onlooker.gallery.composing import Space

    encoder = open_encoder(path)
    texts = list(dict.fromkeys(text for record in train.records for text in record.texts()))
    return encoder, Space(encoder.model.config.layout(), encoder.encode_texts(texts))


def first_alone(*, texts: Sequence[Any] = (), pictures: Sequence[Any] = (), unwanted: Sequence[Any] = ()) -> Any:
    return (*pictures, *texts)[0]


def last_alone(*, texts: Sequence[Any] = (), pictures: Sequence[Any] = (), unwanted: Sequence[Any] = ()) -> Any:
    return (*texts, *pictures)[0]


def plain_sum(*, texts: Sequence[Any] = (), pictures: Sequence[Any] = (), unwanted: Sequence[Any] = ()) -> Any:
    """Add what is wanted, all with the same weight, and take half of what is not away."""
    total = np.sum((*texts, *pictures), axis=0) - 0.5 * np.sum(
        (*unwanted, np.zeros(len((*texts, *pictures)[0]))), axis=0
    )
    return (total / np.linalg.norm(total)).astype(np.float32)


def show(report: dict[str, Any]) -> None:
    print(f"{report['bundle']}: {report['photographs']} photographs, {report['painted']} painted")
    print(f"a layout: {report['layout']}; a background: {report['background']}")
    print('\n"this picture, but in a red jacket"     R@1    R@5   R@10 | before itself  colours  garment')
    for name, figures in report["ways"].items():
        part = figures["changed"]
        cells = [100 * part[key] for key in ("r1", "r5", "r10", "before_itself", "before_colours", "before_garment")]
        print("{:34s} {:7.1f}{:7.1f}{:7.1f} |{:14.1f}{:9.1f}{:9.1f}".format(name, *cells))
    print('\n"not a red jacket": the wanted twin first, % by words  by picture | R@10   beside: descriptions, phrases')
    for name, figures in report["ways"].items():
        part, other = figures["not_twins"], figures["not_beside"]
        cells = [100 * part[key] for key in ("text", "picture", "picture_r10")]
        harm = " ".join(
            "/".join(f"{100 * other[kind][key]:.1f}" for key in ("r1", "r5", "r10"))
            for kind in ("descriptions", "phrases")
            if kind in other
        )
        print("{:40s} {:13.1f}{:12.1f} |{:10.1f}   {}".format(name, *cells, harm))
    shipped = report["ways"]["shipped"]
    print('\n"not bag": share of the first ten that have one, % (without the "not", among all)')
    for tag, part in shipped["not_worn"].items():
        print(f"{tag:14s} {100 * part['share']:5.1f} ({100 * part['without']:.1f}, {100 * part['all']:.1f})")
    again = shipped["picture"]
    print("\na photograph seen again: R@1/5/10 " + "/".join(f"{100 * again[key]:.1f}" for key in ("r1", "r5", "r10")))


def measure_video(video: Path, people: Path, bundle: str | None) -> dict[str, Any]:
    """Index a video, then search it by frames of each person; right is a sighting of the same person first."""
    import av
    from PIL import Image

    about = json.loads(people.read_text(encoding="utf-8"))
    spans = [person["frames"] for person in about["people"]]
    wanted = {
        round(first + (last - first) * (part + 1) / (FRAMES + 1)): number
        for number, (first, last) in enumerate(spans)
        for part in range(FRAMES)
    }
    chosen = [] if bundle is None else ["--bundle", bundle]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        gallery = folder / "video.db"
        command = [sys.executable, "-m", "onlooker"]
        subprocess.run(
            [*command, "index", str(video), "-g", str(gallery), *chosen], check=True, stdout=subprocess.DEVNULL
        )
        with av.open(str(video)) as container, (folder / "queries.jsonl").open("w", encoding="utf-8") as lines:
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    Image.fromarray(frame.to_ndarray(format="rgb24")).save(folder / f"{number}.png")
                    lines.write(json.dumps({"image": f"{number}.png"}) + "\n")
        search = [*command, "search", "--queries", str(folder / "queries.jsonl"), "-g", str(gallery), "--json", *chosen]
        done = subprocess.run(search, check=True, stdout=subprocess.PIPE, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    found = [person_at(answer["matches"][0]["time_s"] * about["fps"], spans) for answer in answers]
    right = [one == other for one, other in zip(found, wanted.values(), strict=True)]
    return {"queries": len(right), "right": sum(right), "found": found, "wanted": list(wanted.values())}


def person_at(frame: float, spans: list[list[int]]) -> int | None:
    return next((number for number, (first, last) in enumerate(spans) if first - 5 <= frame <= last + 5), None)


if __name__ == "__main__":
    main()
