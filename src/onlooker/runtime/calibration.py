"""Confidence: how probable it is that a match is who was meant, and that nobody in a gallery is.

A similarity says little by itself. Three things are known beside it: how similar just anybody is to this description
(the background's pictures), how similar this picture is to just any description (the background's texts), and how much
less similar the best of the others is. A logistic function of these and of the number of sightings searched, fitted by
``onlooker.evaluation.calibration``, gives a probability. Others that look like the match itself do not count against
it: they may be the same person seen again.

Probabilities hold for what they were fitted on: one query in two is for a person who is not in the gallery at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onlooker.errors import BundleError

if TYPE_CHECKING:
    from onlooker.runtime.background import Background
    from onlooker.runtime.bundle import Bundle
    from onlooker.runtime.encoder import EncoderLike

KIND = "logistic"
"""The form of a calibration that this version knows."""

FEATURES = ("query", "picture", "margin", "size")
"""What a probability is computed from; see ``evidence``."""

DEPTH = 20
"""The competitors of a match are looked for among so many of the best; a search shows ten as a rule."""


@dataclass(frozen=True)
class Nobody:
    """Whether nobody in a gallery fits.

    Attributes:
        probability: That the person meant is not among the sightings searched; None without a calibration.
        threshold: From this probability on the verdict is that nobody fits: the one at which the stated share of people
            who are there is wrongly dismissed. None without a calibration.
        verdict: Nobody fits, as far as can be told.
    """

    probability: float | None
    threshold: float | None
    verdict: bool


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration with the background it is applied with.

    Attributes:
        background: Pictures and texts that nobody is looking for.
        temperature: Softens the mean over the background: the model's own.
        alike: Two sightings whose vectors have at least this cosine may be the same person.
        match: Intercept and the coefficient of each of ``FEATURES``: log odds that a match is who was meant.
        somebody: The same for the best match: log odds that the person is among the sightings searched at all.
        threshold: Intercept and slope over the logarithm of the number of sightings searched: log odds for somebody
            below which the verdict is nobody.
        sizes: The fewest and the most sightings that it was fitted on; beyond them the nearest counts for
            ``threshold``.
        data: What it was fitted on, as far as the bundle says.
    """

    background: Background
    temperature: float
    alike: float
    match: tuple[float, ...]
    somebody: tuple[float, ...]
    threshold: tuple[float, float]
    sizes: tuple[int, int]
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> Calibration | None:
        """Return the calibration of a bundle, reading its background; None where it has none.

        Raises:
            BundleError: The calibration lacks a number or is of another kind, or the background is damaged or missing.
        """
        values = bundle.calibration
        if values is None:
            return None
        source = bundle.path / "model.json"
        for key, known in (("kind", KIND), ("features", list(FEATURES))):
            if values.get(key) != known:
                raise BundleError(
                    f"{source}: calibration.{key} is {values.get(key)!r}, wanted {known!r}; update onlooker"
                )
        background = bundle.background()
        if background is None:
            raise BundleError(f"{source}: a calibration needs a background; export the bundle again")

        def take(key: str, count: int) -> tuple[float, ...]:
            return _numbers(values, key, count, str(source))

        weights = 1 + len(FEATURES)
        threshold, sizes = take("threshold", 2), take("sizes", 2)
        return cls(
            background=background,
            temperature=_positive(values, "temperature", str(source)),
            alike=_positive(values, "alike", str(source)),
            match=take("match", weights),
            somebody=take("somebody", weights),
            threshold=(threshold[0], threshold[1]),
            sizes=(int(sizes[0]), int(sizes[1])),
            data=data if isinstance(data := values.get("data"), dict) else {},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as they stand in ``model.json``."""
        return {
            "kind": KIND,
            "features": list(FEATURES),
            "temperature": self.temperature,
            "alike": self.alike,
            "match": list(self.match),
            "somebody": list(self.somebody),
            "threshold": list(self.threshold),
            "sizes": list(self.sizes),
        }

    def judge(
        self,
        query: NDArray[np.float32],
        similarities: NDArray[np.float64],
        vectors: NDArray[np.float32],
        searched: int,
    ) -> tuple[NDArray[np.float64], Nobody]:
        """Judge the matches of one query.

        Args:
            query: float32 (d,), L2-normalised.
            similarities: float64 (m,), best first: of the ``DEPTH`` best sightings at least, or of all there are.
            vectors: float32 (m, d), the vector of each match.
            searched: How many sightings were searched, filters applied; at least m.

        Returns:
            For each match the probability (m,), 0 to 1, that it is who was meant; and whether nobody is.
        """
        if not len(similarities):
            return np.zeros(0), Nobody(None, None, verdict=True)
        levels = softmean(vectors @ self.background.texts.T, self.temperature)
        level = float(softmean(self.background.images @ query, self.temperature))
        table = evidence(similarities, vectors, level, levels, searched, temperature=self.temperature, alike=self.alike)
        return self.confidences(table), self.nobody(table[0], searched)

    def confidences(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities (m,) of the matches of one query by their ``evidence`` (m, 4), best first."""
        return falling(logistic(table @ np.array(self.match[1:]) + self.match[0]))

    def nobody(self, best: NDArray[np.float64], searched: int) -> Nobody:
        """Judge by the evidence (4,) of the best match whether nobody fits."""
        somebody = float(best @ np.array(self.somebody[1:]) + self.somebody[0])
        limit = self.limit(searched)
        return Nobody(float(logistic(-somebody)), float(logistic(-limit)), verdict=somebody <= limit)

    def limit(self, searched: int) -> float:
        """Return the log odds for somebody up to which the verdict is nobody, for a number of sightings searched."""
        size = min(max(searched, self.sizes[0]), self.sizes[1])
        return self.threshold[0] + self.threshold[1] * math.log(size)


def calibration_of(encoder: EncoderLike) -> Calibration | None:
    """Return the calibration of an encoder's bundle; None where it has none, and for the test encoder."""
    from onlooker.runtime.encoder import Encoder

    return Calibration.of(encoder.bundle) if isinstance(encoder, Encoder) else None


def evidence(
    similarities: NDArray[np.float64],
    vectors: NDArray[np.float32],
    level: float,
    levels: NDArray[np.float64],
    searched: int,
    *,
    temperature: float,
    alike: float,
) -> NDArray[np.float64]:
    """Return what speaks for and against each match of a query.

    Args:
        similarities: float64 (m,), best first.
        vectors: float32 (m, d), of the matches.
        level: Soft mean of the query's similarities to the background's pictures.
        levels: float64 (m,), soft mean of each match's similarities to the background's texts.
        searched: How many sightings were searched.
        temperature: Unit of the differences.
        alike: See ``Calibration``.

    Returns:
        float64 (m, 4), the columns of ``FEATURES``: how far the similarity is above the level of the query, above the
        level of the picture, and above the best of the others that look different (the level of the query where there
        is none), all in units of the temperature; and the logarithm of the number of sightings searched.
    """
    first = vectors[:DEPTH]
    others = np.where(vectors @ first.T < alike, similarities[:DEPTH], -np.inf)
    np.fill_diagonal(others, -np.inf)
    rival = np.maximum(others.max(axis=1), level)
    return np.stack(
        [
            (similarities - level) / temperature,
            (similarities - levels) / temperature,
            (similarities - rival) / temperature,
            np.full(len(similarities), math.log(searched)),
        ],
        axis=1,
    )


def falling(confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make confidences fall with the rank: nobody understands a second match that is surer than the first.

    Among the first ``DEPTH`` a match is at least as sure as those after it; from there on at most as sure as those
    before it, so that what is shown does not depend on how much is.
    """
    first = np.maximum.accumulate(confidences[:DEPTH][::-1])[::-1]
    if len(confidences) <= DEPTH:
        return first
    rest = np.minimum.accumulate(np.concatenate([first[-1:], confidences[DEPTH:]]))
    return np.concatenate([first, rest[1:]])


def softmean(similarities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Return the mean over the last axis with large similarities counting more: t log(mean(exp(s / t)))."""
    scaled = similarities.astype(np.float64) / temperature
    largest = scaled.max(axis=-1, keepdims=True)
    mean: NDArray[np.float64] = np.log(np.exp(scaled - largest).mean(axis=-1)) + largest[..., 0]
    return mean * temperature


def logistic(log_odds: Any) -> Any:
    """Return the probability of log odds, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(log_odds)))


def _numbers(values: Mapping[str, Any], key: str, count: int, source: str) -> tuple[float, ...]:
    found = values.get(key)
    if not isinstance(found, list) or len(found) != count or not all(map(_is_number, found)):
        raise BundleError(f"{source}: calibration.{key} is {found!r}, wanted {count} numbers; export the bundle again")
    return tuple(float(number) for number in found)


def _positive(values: Mapping[str, Any], key: str, source: str) -> float:
    found: Any = values.get(key)
    if not _is_number(found) or found <= 0:
        raise BundleError(f"{source}: calibration.{key} is {found!r}, wanted a number above 0; export the bundle again")
    return float(found)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
