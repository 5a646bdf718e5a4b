"""Measure whether two pictures are of one person: which comparison of views is best, and how sure one can be.

    python scripts/try_same_person.py BUNDLE --people benchmarks/reid_people.json VIDEO [VIDEO ...]

VIDEO are the files that the list of people names (``vtest.avi`` of Debian's opencv-doc, Intel's
``one-by-one-person-detection.mp4``). Prints the tables of docs/gallery.md and the two numbers in
``onlooker.gallery.likeness``. With ``--write DIR`` it also writes the crops as a folder of the layout of Market-1501, in
which an appearance stands for a camera, for ``onlooker prepare market1501`` and ``onlooker evaluate --reid``.

An appearance is one short stretch of a track; two of them are compared where they are of different tracks, or are the two
halves of one track of the video in which everybody is seen once.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.evaluation.metrics import score_queries, summarise
from onlooker.files import replacing
from onlooker.footage.video import Video
from onlooker.footage.views import pool, shrink
from onlooker.runtime.bundle import open_bundle
from onlooker.runtime.calibration import logistic, softmean
from onlooker.runtime.encoder import Encoder
from onlooker.runtime.pictures import encode_jpeg

Vectors = NDArray[np.float64]
EVERY_S = 0.2
STORED = 3
"""Views of a sighting that a gallery keeps."""
POOLED = 4
"""Views that its own vector is the mean of."""
LEVELS = ((0, 0.02), (0.02, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.01))


@dataclass(frozen=True)
class Appearance:
    """A person seen for a short while: the views, best first."""

    person: str
    number: int
    track: tuple[str, int]
    alone: bool
    crops: list[NDArray[np.uint8]]
    views: Vectors

    @property
    def pooled(self) -> Vectors:
        """One vector for all."""
        return pool(self.views[:POOLED].astype(np.float32)).astype(np.float64)


def appearances(people: Path, videos: list[Path], encoder: Encoder) -> list[Appearance]:
    """Cut the listed people out of the videos and encode them."""
    listed = json.loads(people.read_text(encoding="utf-8"))["videos"]
    found = []
    for path in videos:
        rows = listed[path.name]
        by_time = defaultdict(list)
        for place, row in enumerate(rows):
            by_time[round(row["time_s"], 2)].append(place)
        crops: dict[int, NDArray[np.uint8]] = {}
        for frame in Video(path).frames(EVERY_S):
            for place in by_time.get(round(frame.time_s, 2), ()):
                x, y, width, height = rows[place]["box"]
                crops[place] = shrink(frame.rgb[y : y + height, x : x + width])
        vectors = encoder.encode_images([crops[place] for place in range(len(rows))]).astype(np.float64)
        groups = defaultdict(list)
        for place, row in enumerate(rows):
            groups[row["appearance"]].append(place)
        for number, places in groups.items():
            row = rows[places[0]]
            found.append(
                Appearance(
                    row["person"],
                    number,
                    (path.name, row["track"]),
                    row["person"].startswith("one-by-one"),
                    [crops[place] for place in places],
                    vectors[places],
                )
            )
    return found


COMPARISONS: dict[str, Callable[[Appearance, Appearance], float]] = {
    "pooled vectors": lambda a, b: float(a.pooled @ b.pooled),
    "best views": lambda a, b: float(a.views[0] @ b.views[0]),
    "most alike of 3 x 3 views": lambda a, b: float((a.views[:STORED] @ b.views[:STORED].T).max()),
    "mean of 3 x 3 views": lambda a, b: float((a.views[:STORED] @ b.views[:STORED].T).mean()),
    "each view with its most alike": lambda a, b: _each_with_its_best(a.views[:STORED] @ b.views[:STORED].T),
}


def _each_with_its_best(table: Vectors) -> float:
    return float(table.max(axis=0).mean() + table.max(axis=1).mean()) / 2


def auc(right: Vectors, wrong: Vectors) -> float:
    """Return how often a right pair is more alike than a wrong one, ties half."""
    order = np.sort(wrong)
    below = (np.searchsorted(order, right, "left") + np.searchsorted(order, right, "right")) / 2
    return float(below.mean() / len(wrong))


def fit(values: Vectors, right: NDArray[np.bool_], people: list[tuple[str, str]]) -> tuple[float, float]:
    """Fit log odds = intercept + slope * value, right and wrong pairs weighing the same in sum.

    Pairs of the same two people are alike: together they weigh as the root of their number.
    """
    counts = Counter(people)
    weights = np.array([counts[pair] ** -0.5 for pair in people])
    for kind in (right, ~right):
        weights[kind] /= 2 * weights[kind].sum()
    table = np.stack([np.ones_like(values), values], axis=1)
    numbers = np.zeros(2)
    for _ in range(100):
        share = logistic(table @ numbers)
        slope = (table * (weights * share * (1 - share))[:, None]).T @ table + 1e-9 * np.eye(2)
        step = np.linalg.solve(slope, table.T @ (weights * (right - share)))
        numbers += step
        if np.abs(step).max() < 1e-9:
            break
    return float(numbers[0]), float(numbers[1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="a bundle folder, or the name of a shipped one")
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--people", type=Path, default=Path("benchmarks/reid_people.json"))
    parser.add_argument("--write", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    bundle = open_bundle(Path(arguments.bundle))
    seen = appearances(arguments.people, arguments.videos, Encoder.open(bundle))
    if arguments.write:
        write_market(seen, arguments.write)

    count = len(seen)
    person = np.array([one.person for one in seen])
    same = person[:, None] == person
    allowed = np.array([[a is not b and (a.track != b.track or a.alone) for b in seen] for a in seen])
    first, second = np.triu_indices(count, 1)
    counted = allowed[first, second]
    first, second = first[counted], second[counted]
    right = same[first, second]
    print(f"{count} appearances of {len(set(person))} people; {right.sum()} right pairs, {(~right).sum()} wrong ones\n")
    print("| comparison | AUC | R@1 | mAP | mINP |\n|---|---|---|---|---|")
    tables = {name: np.array([[compare(a, b) for b in seen] for a in seen]) for name, compare in COMPARISONS.items()}
    for name, table in tables.items():
        values = table[first, second]
        # Whom a query must not be compared with goes behind everybody, as neither right nor wrong.
        metrics = summarise(score_queries(np.where(allowed, table, -2.0), same & allowed))
        print(
            f"| {name} | {auc(values[right], values[~right]):.3f} | {metrics.r1:.1%} | {metrics.map:.1%} "
            f"| {metrics.minp:.1%} |"
        )

    background, temperature = bundle.background(), bundle.info.temperature
    if background is None or temperature is None:
        return
    pooled = np.array([one.pooled for one in seen])
    level = softmean(pooled @ background.images.T.astype(np.float64), temperature)
    cosine = tables["pooled vectors"]
    scales = {
        "cosine": cosine / temperature,
        "above the level of the query": (cosine - level[:, None]) / temperature,
        "above the mean level of both": (cosine - (level[:, None] + level) / 2) / temperature,
    }
    print("\n| in units of the temperature | AUC | log loss, other people | intercept | slope |\n|---|---|---|---|---|")
    rows, columns = np.nonzero(allowed)
    hit = same[rows, columns]
    pairs = [tuple(sorted((person[a], person[b]))) for a, b in zip(rows, columns, strict=True)]
    for name, table in scales.items():
        values = table[rows, columns]
        numbers = fit(values, hit, pairs)
        losses = []
        for other in np.unique(person):
            out = (person[rows] == other) | (person[columns] == other)
            inner = fit(values[~out], hit[~out], [pair for pair, no in zip(pairs, out, strict=True) if not no])
            share = logistic(inner[0] + inner[1] * values[out])
            parts = [np.log(share[hit[out]]), np.log(1 - share[~hit[out]])]
            losses.append(-np.mean([part.mean() for part in parts if len(part)]))
        print(
            f"| {name} | {auc(values[hit], values[~hit]):.3f} | {np.mean(losses):.3f} | {numbers[0]:.2f} "
            f"| {numbers[1]:.2f} |"
        )

    table = scales["above the mean level of both"]
    shown: list[float] = []
    were: list[bool] = []
    for other in np.unique(person):
        out = (person[rows] == other) | (person[columns] == other)
        inner = fit(
            table[rows, columns][~out], hit[~out], [pair for pair, no in zip(pairs, out, strict=True) if not no]
        )
        for query in np.flatnonzero(person == other):
            others = np.flatnonzero(allowed[query])
            shown += logistic(inner[0] + inner[1] * table[query, others] - np.log(len(others))).tolist()
            were += same[query, others].tolist()
    print("\n| confidence | pairs | mean | right |\n|---|---|---|---|")
    confidences, truth = np.array(shown), np.array(were)
    for low, high in LEVELS:
        inside = (confidences >= low) & (confidences < high)
        if inside.any():
            print(
                f"| {low:.0%} to {min(high, 1):.0%} | {inside.sum()} | {confidences[inside].mean():.1%} "
                f"| {truth[inside].mean():.1%} |"
            )


def write_market(seen: list[Appearance], folder: Path) -> None:
    """Write the crops in the layout of Market-1501: the best view of an appearance asks, all can be found."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(one.person for one in seen), start=1)}
    for one in seen:
        for view, crop in enumerate(one.crops):
            name = f"{numbers[one.person]:04d}_c{one.number}s1_{view:06d}_00.jpg"
            for part in ("bounding_box_test", "query")[: 2 if view == 0 else 1]:
                with replacing(folder / part / name) as temporary:
                    temporary.write_bytes(encode_jpeg(crop, 95))


if __name__ == "__main__":
    main()
