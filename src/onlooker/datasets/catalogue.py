"""The datasets that ``onlooker prepare`` knows, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onlooker.datasets.readers import street
from onlooker.datasets.reading import Reading, ReadOptions
from onlooker.errors import ConfigError


@dataclass(frozen=True)
class Dataset:
    """One dataset that can be read.

    Attributes:
        name: What the user types.
        title: Its published name and size.
        layout: What its top folder holds, one line.
        terms: The conditions of use, one sentence; stored in every manifest.
        read: Reads the annotation files of a top folder.
        default_val: How many records go into a validation split that is made here, 0 for none; used where the publisher made none.
    """

    name: str
    title: str
    layout: str
    terms: str
    read: Callable[[Path, ReadOptions], Reading]
    default_val: int = 0


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "street",
            "Street photographs: 1,798 full-body photos, a caption and a phrase each",
            "photos/, captions.jsonl, garments.json, masks/",
            "Clothing Co-Parsing, Apache-2.0; faces are visible: publish no picture.",
            street.read_street,
            default_val=300,
        ),
        Dataset(
            "pedestrians",
            "Penn-Fudan pedestrian crops: 145, a caption and a phrase each",
            "crops/, captions.jsonl",
            "Penn-Fudan Pedestrian Database, no licence stated: measure with it, ship no weights trained on it, publish no picture.",
            street.read_pedestrians,
        ),
    )
}
"""Every dataset by name, in the order of ``onlooker prepare --list``."""


def find_dataset(name: str) -> Dataset:
    """Return a dataset by name.

    Raises:
        ConfigError: If the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise ConfigError(f"there is no dataset {name!r}; known are {', '.join(DATASETS)}")
    return DATASETS[name]
