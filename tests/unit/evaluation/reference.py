"""The metrics once more, by the book: the whole ranking of each query, item by item. Slow, and shares no code."""

from __future__ import annotations

from statistics import mean, median
from typing import Any


def ranking(row: list[float], right: set[int], margin: float) -> list[int]:
    """The gallery best first; where a wrong item is tied with a right one, the wrong one comes first."""
    wrong_first = sorted((i for i in range(len(row)) if i not in right), key=lambda i: -row[i])
    order = wrong_first[:]
    for item in sorted(right, key=lambda i: -row[i]):
        place = 0
        while place < len(order) and (order[place] in right or row[order[place]] + margin >= row[item]):
            place += 1
        order.insert(place, item)
    return order


def reference(similarity: Any, relevant: Any, margin: float = 0.0) -> dict[str, float]:
    """Every metric of a full matrix and a full relevance matrix."""
    first, precision, penalty = [], [], []
    for row, marks in zip(similarity.tolist(), relevant.tolist(), strict=True):
        right = {i for i, mark in enumerate(marks) if mark}
        if not right:
            continue
        order = ranking(row, right, margin)
        places = [place for place, item in enumerate(order, start=1) if item in right]
        first.append(places[0])
        precision.append(mean(found / place for found, place in enumerate(places, start=1)))
        penalty.append(len(right) / places[-1])
    return {
        "r1": mean(rank <= 1 for rank in first),
        "r5": mean(rank <= 5 for rank in first),
        "r10": mean(rank <= 10 for rank in first),
        "map": mean(precision),
        "minp": mean(penalty),
        "median_rank": median(first),
        "mean_rank": mean(first),
        "queries": len(similarity),
        "without_positive": len(similarity) - len(first),
        "gallery": similarity.shape[1],
    }
