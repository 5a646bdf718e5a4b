"""On which line of a TOML file each key stands; the library that reads TOML does not say."""

from __future__ import annotations

from collections import defaultdict

Place = tuple["str | int", ...]


def key_lines(text: str) -> dict[Place, int]:
    """Find the line of every table and key.

    Args:
        text: A TOML document without mistakes of syntax.

    Returns:
        The line, from 1, by the path of the key: names, and whole numbers within arrays (of tables, or in brackets).
    """
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.line = text, 0, 1
        self.lines: dict[Place, int] = {}
        self.counts: dict[Place, int] = defaultdict(int)

    def read(self) -> dict[Place, int]:
        table: Place = ()
        while self._skip(newlines=True):
            if self._here() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _header(self) -> Place:
        line = self.line
        array = self.text.startswith("[[", self.at)
        self._step(2 if array else 1)
        path = self._within_arrays(self._key(), last=not array)
        self._step(2 if array else 1)
        if array:
            self.lines.setdefault(path, line)
            path = (*path, self.counts[path])
            self.counts[path[:-1]] += 1
        self._note(path, line)
        return path

    def _within_arrays(self, key: list[str], *, last: bool) -> Place:
        """Add to a header's key the number of the latest table of each array on its way."""
        path: Place = ()
        for number, name in enumerate(key):
            path = (*path, name)
            if (last or number < len(key) - 1) and self.counts.get(path):
                path = (*path, self.counts[path] - 1)
        return path

    def _pair(self, table: Place) -> None:
        line = self.line
        path = (*table, *self._key())
        self._skip()
        self._step(1)
        self._note(path, line)
        self._value(path)

    def _note(self, path: Place, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip()
            if self._here() in ("'", '"'):
                names.append(self._string())
            else:
                start = self.at
                while self._here().isalnum() or self._here() in ("-", "_"):
                    self._step(1)
                names.append(self.text[start : self.at])
            self._skip()
            if self._here() != ".":
                return names
            self._step(1)

    def _value(self, path: Place) -> None:
        self._skip()
        here = self._here()
        if here == "[":
            self._step(1)
            number = 0
            while self._skip(newlines=True) and self._here() != "]":
                if self._here() == ",":
                    self._step(1)
                    continue
                self._note((*path, number), self.line)
                self._value((*path, number))
                number += 1
            self._step(1)
        elif here == "{":
            self._step(1)
            while self._skip(newlines=True) and self._here() != "}":
                if self._here() == ",":
                    self._step(1)
                else:
                    self._pair(path)
            self._step(1)
        elif here in ("'", '"'):
            self._string()
        else:
            while self.at < len(self.text) and self._here() not in ",]}#\n":
                self._step(1)

    def _string(self) -> str:
        """Read a string and return its words between the quotes; escapes within a key are left as they are."""
        quote = self._here()
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self._step(len(mark))
        start = self.at
        while self.at < len(self.text) and not self.text.startswith(mark, self.at):
            self._step(2 if self._here() == "\\" and quote == '"' else 1)
        found = self.text[start : self.at]
        self._step(len(mark))
        # A long string may end with one or two quotes of its own.
        while len(mark) == 3 and self._here() == quote:
            self._step(1)
        return found

    def _skip(self, *, newlines: bool = False) -> bool:
        """Pass over space and comments; say whether anything is left."""
        while (here := self._here()) and (here in " \t\r" or here == "#" or (newlines and here == "\n")):
            if here == "#":
                while self._here() not in ("", "\n"):
                    self._step(1)
                if not newlines:
                    break
            else:
                self._step(1)
        return bool(self._here())

    def _here(self) -> str:
        return self.text[self.at : self.at + 1]

    def _step(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count
