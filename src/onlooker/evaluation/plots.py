"""Plots as PNG: an empty figure to draw on, and the curve of R@k over k; matplotlib comes with the training extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onlooker.errors import MissingExtraError
from onlooker.evaluation.metrics import recall_at
from onlooker.evaluation.report import headline
from onlooker.evaluation.runner import Evaluation
from onlooker.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 50
"""The last k of the curve: nobody looks further down a list of matches."""


def new_figure(what: str, size: tuple[float, float]) -> Figure:
    """Return an empty figure.

    Args:
        what: What is to be drawn, for the error.
        size: Width and height in inches, at 150 dots each.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs matplotlib: pip install 'onlooker[train]' (everything else is written without it)"
        ) from error
    # A Figure of its own, not pyplot: no global state, no window system.
    return Figure(figsize=size, dpi=150, layout="constrained")


def save_curve(evaluation: Evaluation, path: Path) -> None:
    """Draw R@k for k = 1..50, a line per direction, beside what chance would give.

    Args:
        evaluation: What was measured.
        path: The PNG file.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    figure = new_figure("the curve", (6.4, 4.2))
    axes = figure.add_subplot()
    longest = 1
    for direction, color in zip(evaluation.rankings, ("#2563a8", "#c2571a"), strict=False):
        scores = evaluation.rankings[direction].scores
        places = np.arange(1, min(LONGEST, scores.gallery) + 1)
        longest = max(longest, len(places))
        values = [100 * recall_at(scores, int(k)) for k in places]
        label = f"{direction.replace('-', ' ')} (R@1 {values[0]:.1f} %)"
        axes.plot(places, values, color=color, linewidth=2, label=label)
        right = scores.positives[scores.scored]
        chance = [100 * _chance(right, scores.gallery, int(k)) for k in places]
        axes.plot(places, chance, color=color, linewidth=1, linestyle=":")
    axes.set_title(headline(evaluation.report), fontsize=8, wrap=True)
    axes.set_xlabel("k")
    axes.set_ylabel("R@k, % of queries")
    axes.set_ylim(0, 100)
    axes.set_xlim(1, max(2, longest))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, title="dotted: by chance", title_fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _chance(right: np.ndarray[tuple[int], np.dtype[np.int64]], gallery: int, k: int) -> float:
    """Return the mean probability that k items drawn at random hold at least one of the right ones."""
    left = gallery - right[:, None] - np.arange(k)
    return float(np.mean(1 - np.prod(np.maximum(left, 0) / (gallery - np.arange(k)), axis=1)))
