"""Opening every picture of a dataset once: which are missing, which cannot be read, and what each is recognised by."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from onlooker.datasets.fingerprints import Fingerprint, fingerprint
from onlooker.errors import PictureError

_BLOCK = 1024


@dataclass
class PictureCheck:
    """The outcome of opening pictures.

    Attributes:
        opened: Whether the pictures were decoded, or only looked for.
        present: How many were there and, if opened, could be read.
        missing: Files that are not there.
        unreadable: Files that cannot be read, with the reason.
        fingerprints: By file, of every picture that was opened.
    """

    opened: bool
    present: int = 0
    missing: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)


def check_pictures(
    root: Path,
    files: Sequence[str],
    *,
    quick: bool = False,
    workers: int | None = None,
    advance: Callable[[float], None] = lambda steps: None,
) -> PictureCheck:
    """Open every file, or with ``quick`` only look whether it is there.

    Args:
        root: The folder that the files are relative to.
        files: POSIX paths without repetition.
        quick: Do not open anything.
        workers: Threads; the number of cores when None. Decoding releases the interpreter lock.
        advance: Called with 1 after every file.

    Returns:
        What was found, in the order of ``files``.
    """
    check = PictureCheck(opened=not quick)
    if quick:
        for file in files:
            if (root / file).is_file():
                check.present += 1
            else:
                check.missing.append(file)
            advance(1)
        return check

    def look(file: str) -> Fingerprint | str | None:
        try:
            return fingerprint(root / file)
        except FileNotFoundError:
            return None
        except PictureError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        # In blocks, since a queue of every file of a large dataset takes more memory than the fingerprints.
        for start in range(0, len(files), _BLOCK):
            block = files[start : start + _BLOCK]
            for file, found in zip(block, pool.map(look, block), strict=True):
                if found is None:
                    check.missing.append(file)
                elif isinstance(found, str):
                    check.unreadable[file] = found
                else:
                    check.present += 1
                    check.fingerprints[file] = found
                advance(1)
    finally:
        # Ctrl-C must not wait for the pictures that are still queued.
        pool.shutdown(wait=True, cancel_futures=True)
    return check
