"""The curves of a run, as JSON always and as PNG where matplotlib is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onlooker.files import replacing, write_json

RANKS = ("r1", "r5", "r10")


def write_curves(folder: Path, history: list[dict[str, Any]], title: str) -> list[Path]:
    """Write ``history.json`` and ``curves.png``.

    Args:
        folder: The run's folder.
        history: One entry an epoch with ``train_loss``, ``loss`` and the ranks' shares (0..1).
        title: Stands above the plot.

    Returns:
        The files written.
    """
    write_json(folder / "history.json", history)
    written = [folder / "history.json"]
    try:
        import matplotlib as mpl
    except ImportError:
        return written
    mpl.use("Agg")
    from matplotlib import pyplot

    epochs = [entry["epoch"] + 1 for entry in history]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for key, label in (("train_loss", "training"), ("loss", "validation")):
        left.plot(epochs, [entry[key] for entry in history], marker="o", markersize=3, label=label)
    left.set(title="Loss", xlabel="epoch", ylabel="loss")
    for key in RANKS:
        right.plot(epochs, [100 * entry[key] for entry in history], marker="o", markersize=3, label=f"R@{key[1:]}")
    right.set(title="Text to image, validation", xlabel="epoch", ylabel="%", ylim=(0, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    with replacing(folder / "curves.png") as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
    return [*written, folder / "curves.png"]
