"""Fitting and measuring confidences: by sub-galleries drawn from a split, with the person meant and without.

A trial is one text searched for in one gallery: some pictures of other people drawn from the split, once with the
pictures of the text's person among them and once with these taken out. Sizes are drawn evenly on a logarithmic scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import DataError
from onlooker.evaluation.encoding import Encoded
from onlooker.runtime.background import Background
from onlooker.runtime.calibration import DEPTH, Calibration, evidence, logistic, softmean

FALSE_DISMISSALS = 0.1
"""Share of the people in a gallery for whom the verdict may be that nobody fits."""
LEAST_SIZE = 5
"""Pictures in the smallest gallery of the fit."""
LEAST_PEOPLE = 10
"""With fewer people than this, nothing can be said."""
FOLDS = 5
TRIALS = 12_000
"""Trials of a fit, about; more change nothing, since they are of the same people."""
QUERIES = 4_000
"""Texts that are searched for at most."""
SHOWN = 10
"""Matches of a trial that are counted, as many as a search shows."""
ALIKE_QUANTILE = 0.999
"""Of the cosines of different people in the background."""
RIDGE = 1e-3


@dataclass(frozen=True)
class Trials:
    """What many trials gave.

    Attributes:
        evidence: float64 (r, 4), of the first ``DEPTH`` matches of each trial; see ``evidence`` in
            ``onlooker.runtime.calibration``.
        right: bool (r,), the match is the person meant.
        rank: int64 (r,), from 0.
        trial: int64 (r,), which trial the match belongs to.
        present: bool (t,), the person meant is in the gallery.
        size: int64 (t,), pictures in the gallery.
        drawn: int64 (t,), pictures in the gallery before the person was taken out.
    """

    evidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    rank: NDArray[np.int64]
    trial: NDArray[np.int64]
    present: NDArray[np.bool_]
    size: NDArray[np.int64]
    drawn: NDArray[np.int64]

    @property
    def best(self) -> NDArray[np.int64]:
        """The row of each trial's best match."""
        return np.flatnonzero(self.rank == 0)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Which matches a search shows, and count here, bool (r,)."""
        return self.rank < SHOWN

    @classmethod
    def joined(cls, parts: Sequence[Trials]) -> Trials:
        """Return several as one, numbering the trials on."""
        begins = np.cumsum([0, *(len(part.present) for part in parts[:-1])])
        return cls(
            evidence=np.concatenate([part.evidence for part in parts]),
            right=np.concatenate([part.right for part in parts]),
            rank=np.concatenate([part.rank for part in parts]),
            trial=np.concatenate([part.trial + begin for part, begin in zip(parts, begins, strict=True)]),
            present=np.concatenate([part.present for part in parts]),
            size=np.concatenate([part.size for part in parts]),
            drawn=np.concatenate([part.drawn for part in parts]),
        )


class Split:
    """The vectors of a split, seen as people to look for and people to look among."""

    def __init__(self, encoded: Encoded, background: Background, temperature: float, *, seed: int = 0) -> None:
        """Prepare a split.

        Args:
            encoded: Its vectors; records of one ``person_id`` are one person, a record without one is a person.
            background: What levels are measured against.
            temperature: Of the model.
            seed: Of the choice of texts where there are too many.

        Raises:
            DataError: There are too few people with a picture and a text.
        """
        names = [record.person_id or f"record {record.id}" for record in encoded.records]
        number = {name: place for place, name in enumerate(dict.fromkeys(names))}
        person = np.array([number[name] for name in names])
        self.pictures = encoded.picture_vectors
        self.picture_person = person[encoded.picture_records]
        asked = np.isin(person[encoded.text_records], self.picture_person)
        texts = np.flatnonzero(asked)
        rng = np.random.default_rng(seed)
        if len(texts) > QUERIES:
            texts = np.sort(rng.permutation(texts)[:QUERIES])
        self.texts = encoded.text_vectors[texts]
        self.text_person = person[encoded.text_records[texts]]
        self.temperature = temperature
        self.people = np.unique(self.text_person)
        if len(self.people) < LEAST_PEOPLE:
            raise DataError(
                f"confidences need at least {LEAST_PEOPLE} people with a picture and a text, and this split has "
                f"{len(self.people)}; choose a larger split"
            )
        self.levels = softmean(self.texts @ background.images.T, temperature)
        self.picture_levels = softmean(self.pictures @ background.texts.T, temperature)
        self.alike = alike_of(background)

    def trials(
        self,
        searched: NDArray[np.int64],
        among: NDArray[np.int64],
        sizes: Callable[[np.random.Generator, int], int],
        repeats: int,
        rng: np.random.Generator,
    ) -> Trials:
        """Draw trials.

        Args:
            searched: The people whose texts ask.
            among: The people in the galleries.
            sizes: Draws the size of a gallery, given the most there can be.
            repeats: Galleries for each text.
            rng: Draws the galleries.
        """
        pool = np.flatnonzero(np.isin(self.picture_person, among))
        rows: list[NDArray[np.float64]] = []
        right: list[NDArray[np.bool_]] = []
        counts: list[tuple[int, bool, int, int]] = []
        for text in np.flatnonzero(np.isin(self.text_person, searched)).tolist():
            similarity = (self.pictures @ self.texts[text]).astype(np.float64)
            own = np.flatnonzero(self.picture_person == self.text_person[text])
            others = pool[self.picture_person[pool] != self.text_person[text]]
            for _ in range(repeats):
                size = min(sizes(rng, len(others) + len(own)), len(others) + len(own))
                chosen = rng.choice(others, max(size - len(own), 1), replace=False)
                for gallery, present in ((np.concatenate([own, chosen]), True), (chosen, False)):
                    best = gallery[np.argsort(-similarity[gallery], kind="stable")[:DEPTH]]
                    rows.append(self._evidence(text, best, similarity[best], len(gallery)))
                    right.append(self.picture_person[best] == self.text_person[text])
                    counts.append((len(right[-1]), present, len(gallery), len(own) + len(chosen)))
        matches, present_, size_, drawn = (np.array(column) for column in zip(*counts, strict=True))
        return Trials(
            evidence=np.concatenate(rows),
            right=np.concatenate(right),
            rank=np.concatenate([np.arange(count) for count in matches]),
            trial=np.repeat(np.arange(len(matches)), matches),
            present=present_,
            size=size_,
            drawn=drawn,
        )

    def _evidence(
        self, text: int, best: NDArray[np.int64], similarity: NDArray[np.float64], size: int
    ) -> NDArray[np.float64]:
        return evidence(
            similarity,
            self.pictures[best],
            float(self.levels[text]),
            self.picture_levels[best],
            size,
            temperature=self.temperature,
            alike=self.alike,
        )


def alike_of(background: Background) -> float:
    """Return the cosine from which on two pictures may be of one person: half way from different people to the same."""
    cosines = (background.images @ background.images.T)[np.triu_indices(len(background.images), 1)]
    return float((1 + np.quantile(cosines, ALIKE_QUANTILE)) / 2) if len(cosines) else 1.0


def fit(trials: Trials, split: Split, background: Background) -> Calibration:
    """Fit a calibration to trials.

    Args:
        trials: With people present and taken out.
        split: What they are from.
        background: What it will be applied with.

    Returns:
        The calibration.
    """
    match = fit_logistic(trials.evidence[trials.shown], trials.right[trials.shown])
    best = trials.evidence[trials.best]
    somebody = fit_logistic(best, trials.present)
    there = trials.present
    scores = best[there] @ np.array(somebody[1:]) + somebody[0]
    threshold = fit_quantile(np.log(trials.size[there]), scores, FALSE_DISMISSALS)
    sizes = (int(trials.size.min()), int(trials.size.max()))
    return Calibration(background, split.temperature, split.alike, match, somebody, threshold, sizes)


def fit_logistic(table: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[float, ...]:
    """Fit a logistic regression with a weak ridge by Newton's method.

    Args:
        table: float64 (n, f).
        labels: bool (n,).

    Returns:
        Intercept and f coefficients.
    """
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    design = np.column_stack([np.ones(len(table)), (table - mean) / deviation])
    wanted = labels.astype(np.float64)
    ridge = RIDGE * len(table) / 100 * np.diag([1e-3, *[1.0] * table.shape[1]])
    weights = np.zeros(design.shape[1])

    def loss(weights: NDArray[np.float64]) -> float:
        odds = design @ weights
        return float((np.logaddexp(0, odds) - wanted * odds).sum() + 0.5 * weights @ ridge @ weights)

    weights = _newton(
        weights,
        loss,
        lambda weights: (
            design.T @ (logistic(design @ weights) - wanted) + ridge @ weights,
            (design.T * (lambda p: p * (1 - p))(logistic(design @ weights))) @ design + ridge,
        ),
    )
    slopes = weights[1:] / deviation
    return (float(weights[0] - slopes @ mean), *(float(slope) for slope in slopes))


def fit_quantile(x: NDArray[np.float64], y: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Fit the line below which a share ``level`` of the y lies, whatever x: quantile regression, slightly smoothed.

    Args:
        x: float64 (n,).
        y: float64 (n,).
        level: 0 to 1.

    Returns:
        Intercept and slope.
    """
    design = np.column_stack([np.ones(len(x)), x - x.mean()])
    middle = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ middle
    # The corner of the loss is rounded over this width, so that it has a curvature everywhere.
    width = 0.05 * max(float(rest.std()), 1e-9)
    start = middle + np.array([np.quantile(rest, level), 0.0])

    def loss(line: NDArray[np.float64]) -> float:
        rest = y - design @ line
        return float((level * rest + width * np.logaddexp(0, -rest / width)).sum())

    def derivatives(line: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        below = logistic(-(y - design @ line) / width)
        gradient = design.T @ (below - level)
        curvature = (design.T * (below * (1 - below) / width)) @ design
        return gradient, curvature + 1e-6 * np.eye(2) * len(y)

    intercept, slope = _newton(start, loss, derivatives)
    return float(intercept - slope * x.mean()), float(slope)


def _newton(
    start: NDArray[np.float64],
    loss: Callable[[NDArray[np.float64]], float],
    derivatives: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """Minimise a convex function by Newton's method, halving steps that do not help."""
    weights, value = start, loss(start)
    for _ in range(200):
        gradient, curvature = derivatives(weights)
        step = np.linalg.solve(curvature, gradient)
        scale = 1.0
        while scale > 1e-6 and loss(weights - scale * step) > value:
            scale /= 2
        weights = weights - scale * step
        before, value = value, loss(weights)
        if abs(before - value) <= 1e-10 * (1 + abs(value)):
            break
    return weights
