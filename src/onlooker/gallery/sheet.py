"""The contact sheet: the crops of the matches with rank, similarity, camera and time, under the query, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from onlooker.files import replacing
from onlooker.gallery.results import clock, file_name, local_time, percent
from onlooker.gallery.search import Match, is_nobody
from onlooker.gallery.store import Gallery

MAX_MATCHES = 60
"""Matches on one sheet; more would make a picture that nobody can open."""

COLUMNS = 5
MARGIN, GAP = 40, 20
CARD_WIDTH, CROP_HEIGHT, PAD = 208, 312, 10
CAPTION_HEIGHT = 112
CARD_HEIGHT = CROP_HEIGHT + CAPTION_HEIGHT
RADIUS = 10

PAPER, CARD, EDGE = "#f3f4f6", "#ffffff", "#dfe2e7"
INK, SOFT, FAINT = "#15191f", "#5b6470", "#8a93a0"
PANEL, TRACK, ACCENT = "#e9ebef", "#e4e7ec", "#1f6f8b"
BEST = "#c2410c"

TITLE, SUBTITLE, SCORE, SMALL = 30, 16, 20, 13

WIDE_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf")
"""Fonts to look for on the machine when a text has letters that Pillow's own font, a Latin one, lacks."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_sheet(gallery: Gallery, query: str, matches: Sequence[Match]) -> Image.Image:
    """Draw the matches of one query.

    Args:
        gallery: Where the crops are.
        query: The text that was searched for; wrapped where it is long.
        matches: What ``search`` found; the first ``MAX_MATCHES`` are drawn.

    Returns:
        An RGB picture, as wide as five cards, or as three where there are few matches.

    Raises:
        QueryError: A match has been deleted from the gallery meanwhile.
    """
    shown = list(matches[:MAX_MATCHES])
    columns = min(COLUMNS, max(3, len(shown)))
    width = 2 * MARGIN + columns * CARD_WIDTH + (columns - 1) * GAP
    title = wrap(query, font_for(query, TITLE), width - 2 * MARGIN)
    head = MARGIN + len(title) * (TITLE + 10) + 6 + SUBTITLE + 26
    rows = -(-len(shown) // columns)
    body = rows * (CARD_HEIGHT + GAP) - GAP if rows else 60
    sheet = Image.new("RGB", (width, head + body + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    y = MARGIN
    for line in title:
        pen.text((MARGIN, y), line, INK, font_for(query, TITLE))
        y += TITLE + 10
    summary = _summary(gallery, matches, len(shown))
    pen.text((MARGIN, y + 6), summary, BEST if is_nobody(matches) else SOFT, font_for(summary, SUBTITLE))
    for place, match in enumerate(shown):
        row, column = divmod(place, columns)
        left, top = MARGIN + column * (CARD_WIDTH + GAP), head + row * (CARD_HEIGHT + GAP)
        _draw_card(sheet, left, top, gallery.crop(match.sighting.id), match)
    return sheet


def write_sheet(path: Path, gallery: Gallery, query: str, matches: Sequence[Match]) -> None:
    """Draw the matches of one query and write them as PNG; see ``draw_sheet``."""
    sheet = draw_sheet(gallery, query, matches)
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _summary(gallery: Gallery, matches: Sequence[Match], shown: int) -> str:
    if not matches:
        return f"Nobody in {gallery.path.name} to choose from"
    count = f"{len(matches)} match{'es' if len(matches) > 1 else ''} in {gallery.path.name}"
    if shown < len(matches):
        count += f", the first {shown} shown"
    return f"Probably nobody here fits: {count}" if is_nobody(matches) else count


def _draw_card(sheet: Image.Image, left: int, top: int, crop: bytes, match: Match) -> None:
    pen = ImageDraw.Draw(sheet)
    right, bottom = left + CARD_WIDTH - 1, top + CARD_HEIGHT - 1
    pen.rounded_rectangle((left, top, right, bottom), RADIUS, CARD, EDGE)
    panel = (left + PAD, top + PAD, right - PAD, top + CROP_HEIGHT)
    _paste_crop(sheet, panel, crop)
    colour = BEST if match.rank == 1 else INK
    _draw_badge(sheet, panel[0] + 8, panel[1] + 8, str(match.rank), colour)

    inner, y = right - left + 1 - 2 * PAD, panel[3] + 10
    score = f"{match.similarity:.3f}"
    pen.text((panel[0], y), score, INK, font_for(score, SCORE))
    if match.confidence is not None:
        sure = f"{percent(match.confidence)} sure"
        font = font_for(sure, SMALL)
        pen.text((panel[2] - font.getlength(sure), y + 6), sure, SOFT, font)
    bar = y + 27
    pen.rounded_rectangle((panel[0], bar, panel[2], bar + 4), 2, TRACK)
    filled = panel[0] + round((panel[2] - panel[0]) * min(max(match.similarity, 0.0), 1.0))
    if filled - panel[0] >= 4:
        pen.rounded_rectangle((panel[0], bar, filled, bar + 4), 2, ACCENT)
    sighting = match.sighting
    place = f"{file_name(sighting.source)}  {clock(sighting.time_s)}".rstrip()
    lines = [(sighting.camera, INK), (local_time(sighting.time), SOFT), (place, FAINT)]
    for row, (line, shade) in enumerate((line, shade) for line, shade in lines if line):
        font = font_for(line, SMALL)
        pen.text((panel[0], bar + 13 + row * 18), shorten(line, font, inner), shade, font)


def _draw_badge(sheet: Image.Image, left: int, top: int, text: str, colour: str) -> None:
    font = font_for(text, SMALL + 2)
    width, height = max(26, round(font.getlength(text)) + 16), 26
    sheet.paste(colour, (left, top), _rounded(width, height, height // 2))
    middle = (left + width / 2, top + height / 2)
    ImageDraw.Draw(sheet).text(middle, text, "#ffffff", font, anchor="mm")


def _rounded(width: int, height: int, radius: int) -> Image.Image:
    """Return the mask of a rectangle with round corners, drawn four times as large so that its edge is smooth."""
    mask = Image.new("L", (width * 4, height * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), radius * 4, 255)
    return mask.resize((width, height), Image.Resampling.LANCZOS)


def _paste_crop(sheet: Image.Image, panel: tuple[int, int, int, int], crop: bytes) -> None:
    width, height = panel[2] - panel[0], panel[3] - panel[1]
    picture = Image.new("RGB", (width, height), PANEL)
    try:
        with Image.open(io.BytesIO(crop)) as stored:
            person = stored.convert("RGB")
    except OSError:
        # A damaged crop must not hide the other matches.
        note = "no picture"
        font = font_for(note, SMALL)
        ImageDraw.Draw(picture).text((width / 2, height / 2), note, SOFT, font, anchor="mm")
    else:
        scale = min(width / person.width, height / person.height)
        size = (max(1, round(person.width * scale)), max(1, round(person.height * scale)))
        person = person.resize(size, Image.Resampling.LANCZOS)
        picture.paste(person, ((width - size[0]) // 2, (height - size[1]) // 2))
    sheet.paste(picture, panel[:2], _rounded(width, height, 6))


def font_for(text: str, size: int) -> Font:
    """Return the font of a size in pixels that has the most letters of a text: Pillow's own, or one of this machine."""
    letters = set(text)
    return max(_fonts(size), key=lambda font: sum(_has(font, letter) for letter in letters))


@lru_cache(maxsize=16)
def _fonts(size: int) -> list[Font]:
    fonts: list[Font] = [ImageFont.load_default(size)]
    for name in WIDE_FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size))
    return fonts


@lru_cache(maxsize=4096)
def _has(font: Font, letter: str) -> bool:
    """Say whether a font has a letter: it draws something else than for a code point that no font has."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffe"))


def wrap(text: str, font: Font, width: float, lines: int = 4) -> list[str]:
    """Break a text into lines of at most ``width`` pixels, between words where it can; the last line may end in "...".

    Args:
        text: The text; line breaks count as spaces.
        font: Its font.
        width: Pixels.
        lines: How many lines at most.
    """
    words = text.split()
    done: list[str] = []
    line = ""
    while words:
        word = words.pop(0)
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if not line:
            # One word wider than the sheet (or a script without spaces): as many letters as fit.
            cut = max(1, _fitting(word, font, width))
            line, word = word[:cut], word[cut:]
        if word:
            words.insert(0, word)
        done.append(line)
        line = ""
    if line:
        done.append(line)
    if len(done) > lines:
        done = [*done[: lines - 1], shorten(" ".join(done[lines - 1 :]), font, width)]
    return done


def shorten(text: str, font: Font, width: float) -> str:
    """Cut a text so that it fits into ``width`` pixels, with "..." in place of its end."""
    if font.getlength(text) <= width:
        return text
    return text[: _fitting(text, font, width - font.getlength("..."))].rstrip() + "..."


def _fitting(text: str, font: Font, width: float) -> int:
    """Return how many letters of a text fit into ``width`` pixels."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low
