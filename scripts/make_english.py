"""Makes the list of English words by which a rare word is told from a typing error.

    apt-get download wamerican wbritish
    for package in wamerican_*.deb wbritish_*.deb; do dpkg -x "$package" lists; done
    python scripts/make_english.py lists/usr/share/dict

The lists are those of SCOWL 2020.12.07 as Debian packages them; the result is ``src/onlooker/runtime/english/``.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
from hashlib import sha256
from pathlib import Path

SOURCES = {
    "american-english": "9f513f1ceadb6a01c5485b7dbdfd5118dc66cd70b59cae2851292112d4066a32",
    "british-english": "7424d6682301dc86f73b0a5c8c53f0ba4c9f0a41fb2d1cb7e5fe7f8a04f15fb0",
}
"""File names and the SHA-256 of each."""
OUTPUT = Path(__file__).resolve().parents[1] / "src" / "onlooker" / "runtime" / "english" / "words.txt.gz"
WORD = re.compile(r"[a-z]{4,}")


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the two lists")
    folder = parser.parse_args().folder
    words: set[str] = set()
    for name, digest in SOURCES.items():
        content = (folder / name).read_bytes()
        if sha256(content).hexdigest() != digest:
            print(f"{folder / name} is not the file of version 2020.12.07-2; get that one", file=sys.stderr)
            return 2
        # Names of people and places, in capitals, are no words for clothes; shorter words are never mended.
        words.update(word for word in content.decode("utf-8").split() if WORD.fullmatch(word))
    OUTPUT.parent.mkdir(exist_ok=True)
    packed = gzip.compress("\n".join(sorted(words)).encode() + b"\n", compresslevel=9, mtime=0)
    OUTPUT.write_bytes(packed)
    print(f"{OUTPUT}: {len(words):,} words, {len(packed):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
