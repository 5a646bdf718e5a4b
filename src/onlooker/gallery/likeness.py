"""Whether two sightings may be of the same person: a probability from how alike their pictures are.

Two pictures of anybody are more alike than a picture and a text, and two people in dark jackets may be as alike as one
person seen from two sides. So the cosine is taken in units of the bundle's temperature above the level of both pictures
(how alike they are to just anybody, the background of the bundle), and a logistic function of that says how strongly it
speaks for one person. What the probability is then depends on how many were searched, as it does for a description:
it counts on one more sighting of the person among them. Who walks to and fro all day is seen more often than that, and
the probabilities are too low; nothing here knows.

A likeness is a suggestion to look at, not a statement of who somebody is: it rests on clothes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onlooker.runtime.calibration import Nobody, falling, logistic, softmean

if TYPE_CHECKING:
    from onlooker.runtime.calibration import Calibration
    from onlooker.runtime.encoder import EncoderLike

INTERCEPT = -6.86
"""Log odds of one person at a cosine that is no higher than the level, where right and wrong pairs are as many.

Fitted, with ``SLOPE``, by ``scripts/try_same_person.py`` on 17 people in two videos (68 stretches of tracks told apart
by eye, 170 right pairs and 2,097 wrong ones, many of them people in like clothes at one place); see docs/gallery.md.
"""

SLOPE = 1.57
"""What one temperature more of cosine adds to the log odds."""


@dataclass(frozen=True)
class Likeness:
    """Judges pictures against pictures; fits ``onlooker.gallery.search.Judge``.

    Attributes:
        background: float32 (n, d), vectors of pictures of people that nobody is looking for.
        temperature: The unit of cosines: the model's own.
    """

    background: NDArray[np.float32]
    temperature: float

    @classmethod
    def of(cls, calibration: Calibration | None) -> Likeness | None:
        """Return the likeness of a bundle by its calibration; None where it has none."""
        return None if calibration is None else cls(calibration.background.images, calibration.temperature)

    def evidence(
        self, query: NDArray[np.float32], similarities: NDArray[np.float64], vectors: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return how strongly each picture speaks for being of the same person.

        Args:
            query: float32 (d,), L2-normalised, of a picture or a sighting.
            similarities: float64 (m,), cosines of the others with it.
            vectors: float32 (m, d), of the others.

        Returns:
            float64 (m,), log odds where as many pairs are of one person as of two; above 0 speaks for one.
        """
        level = softmean(self.background @ query, self.temperature)
        levels = softmean(vectors @ self.background.T, self.temperature)
        above: NDArray[np.float64] = (similarities - (level + levels) / 2) / self.temperature
        return INTERCEPT + SLOPE * above

    def judge(
        self,
        query: NDArray[np.float32],
        similarities: NDArray[np.float64],
        vectors: NDArray[np.float32],
        searched: int,
    ) -> tuple[NDArray[np.float64], Nobody]:
        """Judge what was found for the picture of a person.

        Args:
            query: float32 (d,), L2-normalised.
            similarities: float64 (m,), best first.
            vectors: float32 (m, d), of each match.
            searched: How many sightings were searched.

        Returns:
            For each match the probability (m,), 0 to 1, that it is the same person; and a verdict that knows nothing:
            one picture says too little for "nobody".
        """
        odds = self.evidence(query, similarities, vectors) - math.log(max(searched, 1))
        return falling(np.asarray(logistic(odds), dtype=np.float64)), Nobody(None, None, verdict=not len(similarities))


def likeness_of(encoder: EncoderLike) -> Likeness | None:
    """Return the likeness of an encoder's bundle; None where it has no calibration, and for the test encoder.

    Raises:
        BundleError: The bundle's calibration or background is damaged.
    """
    from onlooker.runtime.calibration import calibration_of

    return Likeness.of(calibration_of(encoder))
