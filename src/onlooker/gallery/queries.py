"""What a query is: words, pictures, sightings and what is not wanted; and reading many from a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onlooker.errors import QueryError

KEYS = ("query", "image", "like", "not")
"""The keys of a line that are looked at."""


@dataclass(frozen=True)
class Query:
    """One query; at least one of text, pictures and sightings is there.

    Attributes:
        text: The person in words; beside a picture or a sighting, what is to be different. Empty where there is none.
        pictures: Picture files of the person.
        sightings: Sightings of the gallery that show the person.
        unwanted: What must not be there, in words.
    """

    text: str = ""
    pictures: tuple[Path, ...] = ()
    sightings: tuple[int, ...] = ()
    unwanted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(not part.strip() for part in self.unwanted):
            raise QueryError('a text of "not" is empty; say what is not wanted, such as "backpack"')
        if not self.shown and not self.text.strip():
            if self.unwanted:
                raise QueryError(
                    f'the query says only what is not wanted ("{self.unwanted[0]}"); add a text or a picture of what is'
                )
            raise QueryError('the query is empty; describe a person in words, such as "woman in a red coat"')

    @property
    def shown(self) -> bool:
        """Whether a picture or a sighting shows the person."""
        return bool(self.pictures or self.sightings)

    @property
    def composed(self) -> bool:
        """Whether it is anything else than one text."""
        return self.shown or bool(self.unwanted)

    @property
    def pictorial(self) -> bool:
        """Whether it is pictures or sightings of the person and nothing else."""
        return self.shown and not self.text and not self.unwanted

    @property
    def label(self) -> str:
        """The query in one line, for people; a text alone stands as it is."""
        parts = [f"like {path.name}" for path in self.pictures]
        parts += [f"like sighting {number}" for number in self.sightings]
        parts += [self.text] if self.text else []
        parts += [f"not {text}" for text in self.unwanted]
        return "; ".join(parts)


def read_queries(path: Path) -> list[Query]:
    """Read queries, one a line; blank lines are passed over.

    A line is a JSON object (see ``KEYS``; other keys are not looked at), a JSON text in quotes, or simply the text. A
    line that begins with a brace or a quote has to be whole JSON, so that a damaged one is not searched for as if it
    were a description. ``image``, ``like`` and ``not`` are one value or a list; a picture's path is relative to the
    folder of the file.

    Args:
        path: The file, UTF-8.

    Returns:
        The queries in the order of the file, without spaces around their texts.

    Raises:
        QueryError: The file is missing, unreadable or holds no query, or a line is broken; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise QueryError(f"the queries file {path} cannot be read ({error.strerror}); give a text file") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"the queries file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    queries = [
        _query_of(line, f"{path}, line {number}", path.parent) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not queries:
        raise QueryError(f'the queries file {path} holds no query; write one a line, such as {{"query": "a red coat"}}')
    return queries


def _query_of(line: str, place: str, folder: Path) -> Query:
    value: Any = line.strip()
    if value[0] in '{"':
        try:
            value = json.loads(value)
        except ValueError as error:
            raise QueryError(f'{place} is not JSON ({error}); write {{"query": "..."}} or the plain text') from error
    if not isinstance(value, dict):
        value = {"query": value}
    pictures = _list_of(value, "image", str, place)
    sightings = _list_of(value, "like", int, place)
    unwanted = _list_of(value, "not", str, place)
    text = value.get("query")
    if text is None and (pictures or sightings):
        text = ""
    elif not isinstance(text, str) or not text.strip():
        raise QueryError(
            f'{place} has no text under "query"; write {{"query": "a red coat"}}, the plain text, or show the person '
            'with "image" or "like"'
        )
    return Query(text.strip(), tuple(folder / name for name in pictures), tuple(sightings), tuple(unwanted))


def _list_of(line: dict[str, Any], key: str, kind: type, place: str) -> list[Any]:
    value = line.get(key)
    values: list[Any] = [] if value is None else value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, kind) or isinstance(one, bool) or one == "" or (isinstance(one, str) and one.isspace()):
            wanted = "a text" if kind is str else "the number of a sighting"
            raise QueryError(f'{place}: "{key}" holds {json.dumps(one)}, which is not {wanted}; correct the line')
    return [one.strip() if kind is str else one for one in values]
