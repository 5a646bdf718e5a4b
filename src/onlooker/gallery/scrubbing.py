"""Wiping what SQLite leaves behind when it moves rows from one page to another.

With ``secure_delete`` SQLite overwrites a row when it is deleted. But where pages are split or joined, rows are copied
to another place, and their old place becomes unused space as it is; ``secure_delete`` knows nothing of such copies.
Writing the whole file anew (``VACUUM``) would be rid of them, and would take as much room again and keep every writer
out. So the unused space of each page is filled with zeros where it lies: SQLite never looks at it, and a crash in the
middle leaves some of it wiped and some not.

That is only right while the file holds the newest version of every page and nobody writes: the log is empty, and the
caller holds the write lock. The work is done by a process of its own, for which this file is run by itself: a process
that opens and closes a file by its own means loses, by the rules of POSIX, all locks that SQLite holds for it there.

Source: "Database File Format", https://www.sqlite.org/fileformat2.html, sections 1.5 to 1.8.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEADER = 100
"""Bytes of the file's own header, before the page header of page 1."""

TREE_PAGES = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}
"""First byte of a page that holds rows or index entries, and the length of its header."""


def scrub(path: Path, first: int, count: int) -> bool:
    """Wipe the unused space of some pages in a process of its own.

    Args:
        path: The gallery, locked by the caller, its log empty.
        first: The first page, from 1.
        count: How many pages.

    Returns:
        Whether it could be done.
    """
    # Without site packages and the user's settings: this file needs the standard library alone, and starts faster.
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), os.path.abspath(path), str(first), str(count)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def wiped(page: bytes, number: int, usable: int) -> bytes:
    """Return a page with its unused space filled with zeros.

    Args:
        page: Its bytes.
        number: Its number, from 1.
        usable: Bytes of a page that SQLite uses.

    Returns:
        The page, which means the same to SQLite; as it was where it is no page of rows or where it makes no sense.
    """
    start = HEADER if number == 1 else 0
    length = TREE_PAGES.get(page[start])
    if length is None:
        return page
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    content = int.from_bytes(page[start + 5 : start + 7], "big") or 65_536
    unused = start + length + 2 * cells
    if not unused <= content <= usable:
        return page
    clean = bytearray(page)
    clean[unused:content] = bytes(content - unused)
    block, before = int.from_bytes(page[start + 1 : start + 3], "big"), content - 1
    while block:
        # A chain of free blocks, ascending; each begins with the place of the next and its own size.
        following = int.from_bytes(page[block : block + 2], "big")
        size = int.from_bytes(page[block + 2 : block + 4], "big")
        if not (before < block and size >= 4 and block + size <= usable):
            return page
        clean[block + 4 : block + size] = bytes(size - 4)
        block, before = following, block
    return bytes(clean)


def _is_pointer_map(number: int, usable: int) -> bool:
    """Say whether a page of a file that can shrink is a table of who points to whom, not a page of rows."""
    return number >= 2 and (number - 2) % (usable // 5 + 1) == 0


def _main() -> None:
    path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with open(path, "r+b", buffering=0) as file:
        head = file.read(HEADER)
        size = int.from_bytes(head[16:18], "big")
        size = 65_536 if size == 1 else size
        usable = size - head[20]
        shrinks = int.from_bytes(head[52:56], "big") != 0
        file.seek((first - 1) * size)
        for number in range(first, first + count):
            page = file.read(size)
            if len(page) < size:
                break
            if shrinks and _is_pointer_map(number, usable):
                continue
            clean = wiped(page, number, usable)
            if clean != page:
                os.pwrite(file.fileno(), clean, (number - 1) * size)
        os.fsync(file.fileno())


if __name__ == "__main__":
    _main()
