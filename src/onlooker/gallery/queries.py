"""Reading many queries from a file: JSON Lines, or one plain text a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onlooker.errors import QueryError


def read_queries(path: Path) -> list[str]:
    """Read queries, one a line; blank lines are passed over.

    A line is a JSON object with a text under ``query`` (its other keys are not looked at), a JSON text in quotes, or
    simply the text. A line that begins with a brace or a quote has to be whole JSON, so that a damaged one is not
    searched for as if it were a description.

    Args:
        path: The file, UTF-8.

    Returns:
        The queries in the order of the file, without spaces around them.

    Raises:
        QueryError: The file is missing, unreadable or holds no query, or a line is broken; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise QueryError(f"the queries file {path} cannot be read ({error.strerror}); give a text file") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"the queries file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    queries = [_query_of(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not queries:
        raise QueryError(f'the queries file {path} holds no query; write one a line, such as {{"query": "a red coat"}}')
    return queries


def _query_of(line: str, place: str) -> str:
    text: Any = line.strip()
    if text[0] in '{"':
        try:
            text = json.loads(text)
        except ValueError as error:
            raise QueryError(f'{place} is not JSON ({error}); write {{"query": "..."}} or the plain text') from error
        if isinstance(text, dict):
            text = text.get("query")
    if not isinstance(text, str) or not text.strip():
        raise QueryError(f'{place} has no text under "query"; write {{"query": "a red coat"}} or the plain text')
    return text.strip()
