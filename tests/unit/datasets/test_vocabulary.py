from __future__ import annotations

from pathlib import Path

from onlooker.datasets.manifest import Manifest, Record
from onlooker.datasets.vocabulary import vocabulary_of


def manifest(*texts: str) -> Manifest:
    records = [Record(id=str(number), file=f"{number}.jpg", captions=[text]) for number, text in enumerate(texts)]
    return Manifest(dataset="people", root=Path(), terms="made up", records=records)


def test_frequent_words_come_first_and_lone_ones_must_be_known() -> None:
    words = vocabulary_of(
        manifest("Blue shirt, woman's jackte", "blue poncho", "blue shirt"), lambda word: word == "poncho"
    )
    assert words[:2] == ["blue", "shirt"]
    assert "poncho" in words
    assert "jackte" not in words
    assert len(set(words)) == len(words)


def test_the_tables_of_garments_and_colours_are_in_it() -> None:
    assert {"jumper", "sweater", "grey", "gray", "rucksack", "boots"} <= set(vocabulary_of(manifest("a")))
