"""Draw a query's matches as cards without their photographs, for data whose pictures must not be published.

Each card has the rank, the similarity, the file name, and the first caption that people wrote for that picture, so that
a reader can judge the match.

    onlooker search "A group of friends on a walk" --gallery flickr8k.db --bundle bundles/flickr8k --json > found.json
    python scripts/draw_results.py found.json flickr8k.jsonl docs/images/results-1.png
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from onlooker.datasets.manifest import Manifest
from onlooker.files import replacing

WIDTH, HEIGHT, GAP, MARGIN, PAD = 232, 190, 16, 36, 14
COLUMNS, SHOWN = 5, 10
PAPER, CARD, EDGE, INK, SOFT, ACCENT = "#f3f4f6", "#ffffff", "#dfe2e7", "#15191f", "#5b6470", "#1f6f8b"


def draw(answer: dict, captions: dict[str, str]) -> Image.Image:
    """Return the picture of one query's answer.

    Args:
        answer: The JSON of one query, as `onlooker search --json` prints it.
        captions: File name to caption.
    """
    matches = answer["matches"][:SHOWN]
    rows = -(-len(matches) // COLUMNS)
    size = (2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP, 2 * MARGIN + 66 + rows * (HEIGHT + GAP) - GAP)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    title, large, small = (ImageFont.load_default(points) for points in (28, 20, 14))
    pen.text((MARGIN, MARGIN), answer["query"], INK, font=title)
    pen.text(
        (MARGIN, MARGIN + 38),
        "the pictures' own captions in place of the pictures, which may not be published",
        SOFT,
        font=small,
    )
    for place, match in enumerate(matches):
        left = MARGIN + place % COLUMNS * (WIDTH + GAP)
        top = MARGIN + 66 + place // COLUMNS * (HEIGHT + GAP)
        name = Path(match["source"]).name
        pen.rounded_rectangle((left, top, left + WIDTH, top + HEIGHT), 10, CARD, EDGE)
        pen.text((left + PAD, top + PAD), f"{match['rank']}", ACCENT, font=large)
        pen.text((left + WIDTH - PAD, top + PAD), f"{match['similarity']:.3f}", INK, font=large, anchor="ra")
        pen.text((left + PAD, top + PAD + 30), name if len(name) < 30 else name[:27] + "...", SOFT, font=small)
        caption = textwrap.wrap(captions.get(name, ""), 29)[:6]
        pen.multiline_text((left + PAD, top + PAD + 54), "\n".join(caption), INK, font=small, spacing=5)
    return sheet


def main() -> int:
    """Draw what the command line names."""
    answer_file, manifest_file, output = map(Path, sys.argv[1:4])
    manifest = Manifest.load(manifest_file)
    captions = {Path(record.file).name: record.captions[0] for record in manifest.records if record.captions}
    with replacing(output) as temporary:
        draw(json.loads(answer_file.read_text(encoding="utf-8")), captions).save(temporary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
