"""Which gallery items are right for which query: the two protocols that caption datasets are measured by.

* ``image`` (Flickr8k, Flickr30k, COCO): a text is right for the picture it was written for, and for no other; a
  picture's right texts are its own.
* ``person`` (CUHK-PEDES, ICFG-PEDES, RSTPReid): a text is right for every picture of the same person id, a picture for
  every text of that person. A record without a person id stays in the gallery as a distractor; its texts have no
  right picture and are counted as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onlooker.datasets.manifest import Record
from onlooker.errors import ConfigError

Protocol = Literal["image", "person"]
"""A protocol by name."""

NOBODY = -1
"""The label of a record that is right for nothing."""

RULES: dict[str, str] = {
    "image": "a text is right for the one picture it was written for; a picture's right texts are its own",
    "person": "a text is right for every picture of the same person id; a picture's right texts are that person's",
}
"""Each protocol in a sentence, for reports."""

CLUSTERS: dict[str, str] = {"image": "pictures", "person": "persons"}
"""What the bootstrap draws: the texts of one picture, and the pictures of one person, are not independent."""


def choose(protocol: str, records: Sequence[Record]) -> Protocol:
    """Return the protocol to measure by: the one asked for, or with ``auto`` the one the records allow.

    Args:
        protocol: ``image``, ``person`` or ``auto`` (``person`` if every record has a person id, ``image`` if none has).
        records: The records to be measured on.

    Raises:
        ConfigError: If the name is unknown, ``auto`` finds only some records with a person id, or ``person`` is asked
            for and no record has one.
    """
    known = sum(record.person_id is not None for record in records)
    if protocol == "auto":
        if 0 < known < len(records):
            raise ConfigError(
                f"{known} of {len(records)} records have a person id, so the protocol is not clear: say --protocol "
                "person (the others are then distractors) or --protocol image"
            )
        return "person" if known else "image"
    if protocol == "person":
        if known == 0:
            raise ConfigError("the person protocol needs person ids, and no record has one: use --protocol image")
        return "person"
    if protocol == "image":
        return "image"
    raise ConfigError(f"unknown protocol {protocol!r}; choose one of {', '.join((*get_args(Protocol), 'auto'))}")


def labels(records: Sequence[Record], protocol: Protocol) -> NDArray[np.int64]:
    """Return int64 (n,): records that are right for each other have the same label; NOBODY is right for nothing."""
    if protocol == "image":
        return np.arange(len(records), dtype=np.int64)
    numbers: dict[str, int] = {}
    return np.array(
        [
            NOBODY if record.person_id is None else numbers.setdefault(record.person_id, len(numbers))
            for record in records
        ],
        dtype=np.int64,
    )


def relevant(queries: NDArray[np.int64], gallery: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the right items of each query: the gallery items with its label.

    Args:
        queries: int64 (q,) labels.
        gallery: int64 (g,) labels.

    Returns:
        q arrays of ascending indexes into the gallery; queries of one label share one array.
    """
    order = np.argsort(gallery, kind="stable").astype(np.int64)
    ordered = gallery[order]
    nothing = np.empty(0, dtype=np.int64)
    items: dict[int, NDArray[np.int64]] = {NOBODY: nothing}
    for label in np.unique(queries):
        if label != NOBODY:
            start, stop = np.searchsorted(ordered, [label, label + 1])
            items[int(label)] = order[start:stop]
    return [items[int(label)] for label in queries]
