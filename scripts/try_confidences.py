"""Try ways of telling that nobody fits, and of saying how sure a match is, on a bundle's validation split.

    python scripts/try_confidences.py BUNDLE --data street.jsonl

Prints the two tables of attempts in docs/evaluation.md. Everything fitted is fitted on other people than it is measured
on. The bundle needs a background; its own calibration is not used.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.manifest import Manifest
from onlooker.evaluation.calibration import DEPTH, FALSE_DISMISSALS, FOLDS, SHOWN, Split, fit_logistic
from onlooker.evaluation.encoding import encode
from onlooker.evaluation.reliability import SIZES, calibration_error, log_even
from onlooker.runtime.background import Background
from onlooker.runtime.bundle import Bundle
from onlooker.runtime.calibration import evidence, logistic, softmean
from onlooker.runtime.encoder import Encoder

Table = dict[str, NDArray[np.float64]]
QUERY, PICTURE, MARGIN, SIZE = "query", "picture", "margin", "size"


class Attempts:
    """What is known of the best matches in many galleries, one row a gallery."""

    def __init__(self, split: Split, background: Background, seed: int = 0) -> None:
        """Take a split and the background of its encoder."""
        self.split = split
        self.rng = np.random.default_rng(seed)
        self.folds = np.array_split(self.rng.permutation(split.people), FOLDS)
        images = np.sort((split.texts @ background.images.T).astype(np.float64), axis=1)
        texts = (split.pictures @ background.texts.T).astype(np.float64)
        self.mean, self.deviation = images.mean(axis=1), images.std(axis=1)
        self.q99, self.q90 = np.quantile(images, 0.99, axis=1), np.quantile(images, 0.9, axis=1)
        self.tail = np.maximum(images - self.q90[:, None], 0).sum(axis=1) / (images > self.q90[:, None]).sum(axis=1)
        self.picture_mean, self.picture_deviation = texts.mean(axis=1), texts.std(axis=1)

    def draw(
        self, people: NDArray[np.int64], among: NDArray[np.int64], size: Callable[[int], int], repeats: int
    ) -> tuple[Table, list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
        """Draw galleries, with the person and without; see ``Split.trials``.

        Returns:
            Statistics by name; the evidence of the first matches of each gallery, and whether each is right.
        """
        split = self.split
        pool = np.flatnonzero(np.isin(split.picture_person, among))
        rows: list[dict[str, float]] = []
        matches: list[NDArray[np.float64]] = []
        rights: list[NDArray[np.bool_]] = []
        for text in np.flatnonzero(np.isin(split.text_person, people)).tolist():
            similarity = (split.pictures @ split.texts[text]).astype(np.float64)
            own = np.flatnonzero(split.picture_person == split.text_person[text])
            others = pool[split.picture_person[pool] != split.text_person[text]]
            for _ in range(repeats):
                count = min(size(len(others) + len(own)), len(others) + len(own))
                chosen = self.rng.choice(others, max(count - len(own), 1), replace=False)
                for gallery, present in ((np.concatenate([own, chosen]), 1.0), (chosen, 0.0)):
                    best = gallery[np.argsort(-similarity[gallery], kind="stable")[:DEPTH]]
                    table = evidence(
                        similarity[best],
                        split.pictures[best],
                        float(split.levels[text]),
                        split.picture_levels[best],
                        len(gallery),
                        temperature=split.temperature,
                        alike=split.alike,
                    )
                    matches.append(table[:SHOWN])
                    rights.append(np.isin(best[:SHOWN], own))
                    rows.append(self._row(text, similarity, gallery, best, table[0], present, similarity[own].max()))
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}, matches, rights

    def _row(
        self,
        text: int,
        similarity: NDArray[np.float64],
        gallery: NDArray[np.int64],
        best: NDArray[np.int64],
        table: NDArray[np.float64],
        present: float,
        own: float,
    ) -> dict[str, float]:
        top, picture = float(similarity[best[0]]), int(best[0])
        z = (top - self.mean[text]) / self.deviation[text]
        t = (top - self.picture_mean[picture]) / self.picture_deviation[picture]
        return {
            "present": present,
            "first": present * float(similarity[best[0]] == own),
            "similarity": top,
            "z": z,
            "q99": top - self.q99[text],
            "t": t,
            "s": (z + t) / 2,
            "normal": 0.5 * z * abs(z) - np.log(len(gallery)),
            "extreme": (top - self.q90[text]) / self.tail[text] - np.log(0.1 * len(gallery)),
            "second": top - float(similarity[best[min(1, len(best) - 1)]]),
            "evidence": float(softmean(similarity[gallery], self.split.temperature)) - float(self.split.levels[text]),
            QUERY: table[0],
            PICTURE: table[1],
            MARGIN: table[2],
            SIZE: table[3],
        }


SINGLE = {
    "similarity of the best match": "similarity",
    "z-norm: by mean and deviation over background pictures": "z",
    "above the 99 % quantile over background pictures": "q99",
    "above the soft mean over background pictures": QUERY,
    "t-norm: by mean and deviation over background texts": "t",
    "above the soft mean over background texts": PICTURE,
    "s-norm: mean of z-norm and t-norm": "s",
    "expected impostors, normal tail": "normal",
    "expected impostors, exponential tail of the upper tenth (extreme values)": "extreme",
    "lead over the second": "second",
    "lead over the best that looks different": MARGIN,
    "soft mean over the whole gallery, above that over the background": "evidence",
}
FITTED = {
    "logistic: similarity, size": ("similarity", SIZE),
    "logistic: query, size": (QUERY, SIZE),
    "logistic: query, 99 % quantile, z-norm, size": (QUERY, "q99", "z", SIZE),
    "logistic: query, margin, size": (QUERY, MARGIN, SIZE),
    "**logistic: query, picture, margin, size**": (QUERY, PICTURE, MARGIN, SIZE),
    "logistic: those and all above": (QUERY, PICTURE, MARGIN, SIZE, "similarity", "z", "q99", "s", "extreme", "second"),
}
MATCHES = {
    "query, size": (0, 3),
    "query, picture, size": (0, 1, 3),
    "query, margin, size": (0, 2, 3),
    "**query, picture, margin, size**": (0, 1, 2, 3),
}


def share_right(table: Table, statistic: NDArray[np.float64]) -> str:
    """Return the share of absent people found absent, at the rate of dismissals of all there and of those first."""
    there, first = table["present"] > 0, table["first"] > 0
    limits = (np.quantile(statistic[people], FALSE_DISMISSALS) for people in (there, first))
    return " / ".join(f"{100 * (statistic[~there] < limit).mean():.0f}" for limit in limits)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--repeats", type=int, default=4)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    background = bundle.background()
    if background is None:
        parser.error(f"{options.bundle} has no background")
    encoded = encode(Encoder.open(bundle), Manifest.load(options.data).split(options.split), texts="all")
    split = Split(encoded, background, bundle.info.temperature)
    attempts = Attempts(split, background)
    everybody = np.unique(split.picture_person)
    sizes = [size for size in SIZES if size <= len(split.pictures)]

    fits, measured = [], {size: [] for size in sizes}
    for fold in attempts.folds:
        others = np.setdiff1d(split.people, fold)
        among = np.setdiff1d(everybody, fold)
        fits.append(attempts.draw(others, among, lambda most: log_even(attempts.rng, most), options.repeats))
        for size in sizes:
            measured[size].append(attempts.draw(fold, everybody, lambda most, size=size: size, options.repeats)[0])
    whole = {
        size: {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        for size, parts in measured.items()
    }
    print(f"| statistic of the best match | {' | '.join(map(str, sizes))} | log loss |")
    print(f"|---|{'---|' * (len(sizes) + 1)}")
    for name, key in SINGLE.items():
        print(f"| {name} | {' | '.join(share_right(whole[size], whole[size][key]) for size in sizes)} | |")
    for name, keys in FITTED.items():
        odds: dict[int, NDArray[np.float64]] = {}
        weights = [
            fit_logistic(np.column_stack([table[key] for key in keys]), table["present"] > 0) for table, _, _ in fits
        ]
        for size in sizes:
            pairs = zip(weights, measured[size], strict=True)
            odds[size] = np.concatenate(
                [np.column_stack([part[key] for key in keys]) @ np.array(w[1:]) + w[0] for w, part in pairs]
            )
        loss = np.mean([np.logaddexp(0, np.where(whole[n]["present"] > 0, -1, 1) * odds[n]).mean() for n in sizes])
        print(f"| {name} | {' | '.join(share_right(whole[size], odds[size]) for size in sizes)} | {loss:.3f} |")
    firsts = [f"{100 * whole[size]['first'].sum() / whole[size]['present'].sum():.0f}" for size in sizes]
    print(f"| *ranked first, of the people there (R@1)* | {' | '.join(firsts)} | |")

    print("\n| logistic of a match | calibration error, best | log loss, best | log loss, first ten |")
    print("|---|---|---|---|")
    tests = [
        attempts.draw(fold, everybody, lambda most: log_even(attempts.rng, most), options.repeats)
        for fold in attempts.folds
    ]
    for name, columns in MATCHES.items():
        confidences, right, best = [], [], []
        for (_, evidences, rights), (_, shown, wanted) in zip(fits, tests, strict=True):
            weights_ = fit_logistic(np.concatenate(evidences)[:, columns], np.concatenate(rights))
            confidences.append(logistic(np.concatenate(shown)[:, columns] @ np.array(weights_[1:]) + weights_[0]))
            right.append(np.concatenate(wanted))
            best.append(np.concatenate([np.arange(len(part)) == 0 for part in wanted]))
        p, y, top = (np.concatenate(parts) for parts in (confidences, right, best))
        loss = -np.log(np.where(y, p, 1 - p))
        error = calibration_error(p[top], y[top], counts=True)
        print(f"| {name} | {error:.3f} | {loss[top].mean():.3f} | {loss.mean():.4f} |")


if __name__ == "__main__":
    main()
