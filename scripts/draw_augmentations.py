"""Draw the sheet of training augmentations that docs/datasets.md shows, on people of the package's own samples.

    python scripts/draw_augmentations.py docs/images/augmentation.png

Two people are from Intel's one-by-one video (CC BY 4.0), one from COCO 2017 (CC BY 2.0), all seen from behind; see
src/onlooker/samples/ATTRIBUTION.md. The garments of the first two are outlined by hand below, in pixels of the clip's
frames. Training photographs are never published.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from onlooker.datasets import degrade, scenes
from onlooker.datasets.augment import Augmentation, choose_rectangle, erase, mirror, stretch_box, tilt
from onlooker.datasets.masks import LABELS
from onlooker.datasets.recolour import recolour
from onlooker.datasets.samples import Box, Sample, cut, grow, shrink
from onlooker.files import replacing
from onlooker.runtime.pictures import read_picture

SAMPLES = Path(__file__).resolve().parents[1] / "src" / "onlooker" / "samples"
PLAYER = SAMPLES / "photos" / "000000174375.jpg"
PLAYER_BOX: Box = (272, 161, 77, 192)

WIDTH, HEIGHT = 96, 192
GAP, MARGIN, LABEL, CAPTION, ROW_GAP, COLUMN_GAP = 8, 32, 178, 19, 15, 44
PAPER, INK, SOFT, LINE, ACCENT = "#ffffff", "#15191f", "#5b6470", "#dfe2e7", "#1f6f8b"

CAMERAS = Augmentation(
    box_jitter=0.1,
    loose=0.3,
    loose_margin=0.4,
    aspect=0.25,
    upper=0.06,
    lower=0.04,
    tilt=0.2,
    background=0.5,
    occlude=0.15,
    night=0.08,
    overexpose=0.08,
    motion_blur=0.15,
    low_resolution=0.5,
    low_resolution_least=0.15,
    blur=0.15,
    cast=0.3,
    noise=0.25,
    jpeg=0.4,
    erase=0.1,
)
"""The recipe that the last row is drawn with; docs/datasets.md prints it."""


class Person(NamedTuple):
    """One frame of the clip with one person: its number, the person's box, outlines by garment, garment colours."""

    frame: int
    box: Box
    outlines: list[tuple[str, list[tuple[int, int]]]]
    garments: dict[str, list[str]]


MAN = Person(
    1058,
    (357, 0, 169, 393),
    [
        ("skin", [(419, 36), (423, 40), (428, 50), (440, 52), (458, 54), (464, 47), (470, 36), (470, 48), (466, 55),
                  (463, 66), (421, 66), (424, 56), (420, 50)]),
        ("hair", [(422, 2), (430, 0), (460, 0), (468, 5), (472, 14), (471, 24), (469, 38), (466, 50), (458, 55),
                  (440, 52), (430, 50), (424, 46), (421, 38), (420, 20), (419, 10)]),
        ("shoes", [(407, 350), (414, 366), (420, 379), (436, 384), (439, 384), (437, 391), (430, 393), (420, 390),
                   (416, 382), (415, 375), (408, 364)]),
        ("shoes", [(466, 361), (478, 366), (490, 360), (499, 351), (497, 342), (507, 341), (511, 350), (508, 360),
                   (498, 367), (485, 374), (476, 377), (467, 373)]),
        ("jeans", [(388, 254), (400, 261), (420, 266), (440, 267), (460, 266), (480, 261), (496, 250), (494, 275),
                   (492, 300), (496, 320), (497, 335), (502, 345), (500, 352), (490, 362), (478, 368), (468, 365),
                   (463, 340), (459, 315), (455, 300), (447, 281), (443, 290), (443, 310), (442, 335), (441, 360),
                   (441, 375), (437, 385), (420, 381), (414, 370), (409, 355), (407, 330), (405, 310), (403, 298),
                   (396, 280)]),
        ("shirt", [(421, 64), (463, 64), (468, 73), (480, 80), (497, 83), (508, 93), (514, 105), (520, 120),
                   (524, 140), (525, 152), (522, 165), (518, 172), (512, 175), (505, 166), (497, 163), (496, 180),
                   (495, 200), (493, 220), (494, 238), (496, 243), (492, 254), (480, 263), (460, 268), (440, 269),
                   (420, 268), (400, 263), (391, 255), (385, 243), (382, 230), (381, 210), (381, 195), (382, 180),
                   (380, 161), (370, 164), (361, 163), (358, 155), (362, 140), (366, 120), (368, 105), (370, 97),
                   (377, 87), (388, 81), (405, 76), (418, 71)]),
    ],
    {"shirt": ["grey", "white"], "jeans": ["navy", "blue"], "shoes": ["black"]},
)  # fmt: skip

WOMAN = Person(
    848,
    (384, 8, 137, 370),
    [
        ("shoes", [(416, 356), (422, 364), (432, 364), (434, 360), (434, 372), (428, 377), (421, 373)]),
        ("shoes", [(446, 360), (450, 364), (459, 364), (456, 372), (450, 376), (447, 372)]),
        ("jeans", [(411, 258), (443, 265), (440, 285), (438, 300), (437, 320), (435, 340), (435, 362), (430, 367),
                   (422, 366), (415, 355), (414, 345), (413, 335), (411, 315), (410, 290)]),
        ("jeans", [(450, 265), (482, 264), (480, 285), (477, 315), (472, 332), (466, 345), (465, 355), (458, 367),
                   (450, 367), (446, 360), (448, 345), (449, 320), (449, 295)]),
        ("sweater", [(410, 93), (425, 90), (470, 90), (496, 96), (506, 97), (512, 104), (517, 118), (519, 135),
                     (520, 150), (519, 165), (516, 178), (510, 186), (505, 185), (500, 179), (498, 190), (497, 205),
                     (503, 212), (500, 220), (498, 235), (495, 250), (492, 258), (484, 265), (465, 269), (450, 268),
                     (430, 266), (415, 261), (403, 253), (399, 240), (400, 220), (401, 200), (402, 180), (402, 172),
                     (394, 176), (389, 174), (385, 160), (387, 145), (391, 130), (393, 115), (397, 104)]),
        ("hair", [(451, 10), (459, 9), (470, 12), (479, 20), (485, 32), (489, 48), (490, 62), (489, 78), (493, 90),
                  (496, 100), (492, 108), (487, 113), (484, 122), (478, 130), (468, 131), (455, 130), (441, 128),
                  (440, 118), (437, 109), (430, 103), (420, 100), (415, 94), (418, 91), (426, 89), (425, 70),
                  (427, 58), (431, 44), (436, 28), (444, 15)]),
    ],
    {"sweater": ["grey"], "jeans": ["navy", "black"], "hair": ["black"]},
)  # fmt: skip


class Row(NamedTuple):
    """One kind of variation: its recipe key, what it is, and three pictures with a word on each."""

    name: str
    meaning: str
    pictures: list[tuple[np.ndarray, str]]


def load(person: Person) -> Sample:
    """Return a person of the clip with surroundings, the box ``HEIGHT`` pixels tall."""
    with av.open(str(SAMPLES / "clip.mp4")) as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number == person.frame:
                rgb = frame.to_ndarray(format="rgb24")
                break
    mask = np.zeros(rgb.shape[:2], np.uint8)
    for garment, outline in person.outlines:
        cv2.fillPoly(mask, [np.array(outline, np.int32)], LABELS.index(garment))
    texts = ("a man in a grey shirt, a bag on his left shoulder",)
    sample = Sample(rgb, person.box, texts, mask, person.garments)
    return shrink(cut(sample, grow(person.box, 0.6)), HEIGHT / person.box[3])


def load_player() -> Sample:
    """Return the tennis player of a sample photograph in the same way, without a mask."""
    sample = Sample(read_picture(PLAYER), PLAYER_BOX, ("a man in a blue shirt",))
    return shrink(cut(sample, grow(PLAYER_BOX, 0.6)), HEIGHT / PLAYER_BOX[3])


def rows(man: Sample, woman: Sample, player: Sample) -> tuple[list[Row], list[Row]]:
    """Return the rows of the left and of the right column."""
    him, her = cut(man, grow(man.box, 0.06)), cut(woman, grow(woman.box, 0.06))
    rng = np.random.default_rng
    coloured = him.rgb.copy()
    for label in np.unique(him.mask):
        shade = np.array(colour_of(int(label)), np.float32)
        inside = him.mask == label
        coloured[inside] = 0.25 * coloured[inside] + 0.75 * shade

    def tilted(degrees: float, shear: float) -> np.ndarray:
        sample, box = tilt(man, grow(man.box, 0.06), degrees, shear)
        return cut(sample, box).rgb

    x, y, w, h = woman.box

    def backgrounds(sample: Sample, seeds: list[int], own: bool) -> list:
        """Pictures of the seeds, counted among those draws that give a drawn place, or the photograph's own."""
        kept = [seed for seed in range(200) if (rng(seed).random() < scenes.OWN_SURROUNDINGS) == own]
        return [(scenes.replace_background(sample, rng(kept[seed])).rgb, "") for seed in seeds]

    def covered(sample: Sample, seed: int, word: str) -> tuple[np.ndarray, str]:
        return scenes.draw_obstacle(sample.rgb, rng(seed))[0], word

    def erased(seed: int, word: str) -> tuple[np.ndarray, str]:
        return erase(him, *choose_rectangle(*him.rgb.shape[:2], rng(seed))).rgb, word

    def painted(sample: Sample, seed: int) -> tuple[np.ndarray, str]:
        changed = recolour(sample, rng(seed))
        garment = next(name for name in changed.garments if changed.garments[name] != sample.garments[name])
        return changed.rgb, f"{changed.garments[garment][0]} {garment}"

    left = [
        Row("as photographed", "a frame of the clip, its garment mask, and the mirror image (flip)",
            [(him.rgb, "picture"), (coloured, "mask"), (mirror(him).rgb, "flip")]),
        Row("box_jitter, loose", "boxes as detectors and people draw them",
            [(cut(woman, grow(woman.box, m)).rgb, f"{m * 100:+.0f} % a side") for m in (-0.06, 0.15, 0.4)]),
        Row("aspect", "the crop is longer in one direction",
            [(cut(man, stretch_box(man.box, s)).rgb, word)
             for s, word in ((0.0, "as it is"), (0.25, "0.25 wider"), (0.5, "0.5 wider"))]),
        Row("upper, lower", "only a part of the person",
            [(cut(woman, (x, y, w, h * 0.6)).rgb, "upper 60 %"), (cut(woman, (x, y, w, h * 0.42)).rgb, "upper 42 %"),
             (cut(woman, (x, y + h * 0.4, w, h * 0.6)).rgb, "lower 60 %")]),
        Row("tilt", "a camera that hangs askew",
            [(tilted(-7, 0.0), "-7 degrees"), (tilted(4, 0.0), "4 degrees"), (tilted(5, 0.08), "with shear")]),
        Row("background", "a drawn street or room instead of what the mask leaves",
            backgrounds(him, [4, 6, 11], own=False)),
        Row("background", "more places, drawn anew every time", backgrounds(her, [12, 22, 18], own=False)),
        Row("background", "or the photograph's own surroundings, moved and blurred",
            backgrounds(her, [0, 1, 2], own=True)),
        Row("occlude, erase", "an obstacle, also a post, or a plain patch",
            [covered(him, 8, "from below"), covered(her, 6, "from the side"), erased(2, "a patch")]),
        Row("recolour", "one garment in another colour; the texts are written anew",
            [painted(him, 14), painted(her, 22), painted(him, 6)]),
    ]  # fmt: skip
    rgb = np.ascontiguousarray(cut(player, grow(player.box, 0.06)).rgb)
    grey = np.ascontiguousarray(her.rgb)
    right = [
        Row("night", "a third to three quarters of the light, one lamp, noise",
            [(degrade.darken(rgb, rng(seed), gain), f"{gain * 100:.0f} %") for seed, gain in ((1, 0.75), (4, 0.55), (7, 0.35))]),
        Row("overexpose", "too much light; white glows",
            [(degrade.overexpose(rgb, rng(seed), gain), f"{gain:.1f} times")
             for seed, gain in ((1, 1.2), (2, 1.5), (3, 1.8))]),
        Row("brightness, contrast, gamma", "lightness alone changes",
            [(degrade.change_tone(rgb, brightness=np.exp(-0.3)), "darker"),
             (degrade.change_tone(rgb, contrast=np.exp(-0.4)), "flatter"),
             (degrade.change_tone(rgb, gamma=np.exp(-0.4)), "gamma")]),
        Row("saturation", "hues stay as they are",
            [(degrade.change_tone(rgb, saturation=f), f"{f} times") for f in (0.6, 0.8, 1.25)]),
        Row("cast", "a cheap camera's white balance, too slight to rename a colour",
            [(degrade.cast(rgb, warmth, tint), word)
             for warmth, tint, word in ((-1, 0, "bluish"), (1, 0, "yellowish"), (0, 1, "greenish"))]),
        Row("motion_blur", "somebody or the camera moved; length as a share of the width",
            [(degrade.blur_motion(grey, grey.shape[1] * share, angle), f"{share * 100:.0f} %")
             for share, angle in ((0.03, 0), (0.06, 20), (0.1, -10))]),
        Row("blur", "out of focus", [(degrade.blur(rgb, s), f"{s} px") for s in (0.6, 1.0, 1.4)]),
        Row("low_resolution", "far away, then enlarged",
            [(degrade.lose_resolution(grey, s), f"{round(HEIGHT * s)} px tall") for s in (0.6, 0.3, 0.15)]),
        Row("noise", "a small sensor; the deviation is in steps of 0 to 255",
            [(degrade.add_noise(rgb, s, rng(s)), f"{s}") for s in (3, 6, 9)]),
        Row("jpeg", "compressed by camera or recorder",
            [(degrade.compress(rgb, q), f"quality {q}") for q in (75, 45, 25)]),
    ]  # fmt: skip
    return left, right


def colour_of(label: int) -> tuple[float, float, float]:
    """Return a colour to show a label in; the background is white."""
    shades = {0: (255, 255, 255), LABELS.index("hair"): (90, 84, 80), LABELS.index("skin"): (232, 190, 160)}
    shades |= {LABELS.index("shirt"): (31, 111, 139), LABELS.index("jeans"): (214, 142, 62)}
    return shades.get(label, (120, 60, 110))


def fitted(rgb: np.ndarray) -> Image.Image:
    """Return a crop as the tower would see it: squashed to one size."""
    # Enlarging a small crop smoothly, or shrinking a large one by area, keeps grain and blocks as they are.
    shrinks = rgb.shape[0] > HEIGHT or rgb.shape[1] > WIDTH
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return Image.fromarray(cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=method))


def draw() -> Image.Image:
    """Return the sheet."""
    people = load(MAN), load(WOMAN), load_player()
    columns = rows(*people)
    column = LABEL + 3 * WIDTH + 2 * GAP
    row = HEIGHT + CAPTION + ROW_GAP
    together = 2 * column + COLUMN_GAP
    count = (together + GAP) // (WIDTH + GAP)
    head, foot = 74, 44 + HEIGHT + 6
    size = 2 * MARGIN + together, 2 * MARGIN + head + max(map(len, columns)) * row + foot
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    title, strong, small, tiny = (ImageFont.load_default(points) for points in (26, 16, 13, 12))
    pen.text((MARGIN, MARGIN - 6), "How training pictures are varied", INK, font=title)
    pen.text(
        (MARGIN, MARGIN + 30),
        "Each row is a key of [data.augmentation] and three of its outcomes. Hues stay true, so that colour names stay right; only recolour changes them, and the texts with them.",
        SOFT,
        font=small,
    )
    for number, kinds in enumerate(columns):
        left = MARGIN + number * (column + COLUMN_GAP)
        for place, kind in enumerate(kinds):
            top = MARGIN + head + place * row
            pen.line((left, top - ROW_GAP // 2, left + column, top - ROW_GAP // 2), LINE)
            name = wrapped(kind.name, strong, LABEL - 20)
            pen.multiline_text((left, top + 4), name, ACCENT, font=strong, spacing=4)
            below = top + 10 + 21 * (name.count("\n") + 1)
            pen.multiline_text((left, below), wrapped(kind.meaning, small, LABEL - 20), INK, font=small, spacing=4)
            for index, (rgb, word) in enumerate(kind.pictures):
                x = left + LABEL + index * (WIDTH + GAP)
                sheet.paste(fitted(rgb), (x, top))
                pen.text((x + WIDTH / 2, top + HEIGHT + 3), word, SOFT, font=tiny, anchor="ma")
    top = MARGIN + head + max(map(len, columns)) * row
    pen.line((MARGIN, top - ROW_GAP // 2, MARGIN + together, top - ROW_GAP // 2), LINE)
    pen.text((MARGIN, top + 4), "All together", ACCENT, font=strong)
    pen.text((MARGIN + 110, top + 7), "as a recipe for cameras draws them", INK, font=small)
    spread = (together - count * WIDTH) / (count - 1)
    for index in range(count):
        varied = CAMERAS.apply(people[index % 3], np.random.default_rng(100 + index))
        sheet.paste(fitted(varied.rgb), (round(MARGIN + index * (WIDTH + spread)), top + 36))
    return sheet


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Break a text into lines of at most ``width`` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def reduced(sheet: Image.Image) -> Image.Image:
    """Return the sheet in 256 colours, a third of the bytes; rare vivid colours get their share of them."""
    colours, place, counts = np.unique(
        np.asarray(sheet).reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    # By how many different pixels there are of a colour's kind, not by its area: walls are large and even.
    rng = np.random.default_rng(0)
    weight = counts**0.3
    sample = colours[rng.choice(len(colours), 30_000, p=weight / weight.sum())].astype(np.float32)
    cv2.setRNGSeed(0)
    fixed = np.array([ImageColor.getrgb(name) for name in (PAPER, INK, SOFT, LINE, ACCENT)], np.float32)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 12, 0.0)
    _, _, centres = cv2.kmeans(sample, 256 - len(fixed), None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    palette = np.rint(np.vstack([fixed, centres]))
    nearest = np.empty(len(colours), np.uint8)
    for start in range(0, len(colours), 20_000):
        some = colours[start : start + 20_000].astype(np.float32)
        apart = (palette**2).sum(axis=1) - 2 * some @ palette.T
        nearest[start : start + 20_000] = apart.argmin(axis=1)
    small = Image.fromarray(nearest[place.ravel()].reshape(sheet.height, sheet.width), "P")
    small.putpalette(palette.astype(np.uint8).ravel().tolist())
    return small


def main() -> int:
    """Draw the sheet into the file that the command line names."""
    with replacing(Path(sys.argv[1])) as temporary:
        reduced(draw()).save(temporary, format="PNG", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
