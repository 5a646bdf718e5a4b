from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from onlooker.errors import QueryError
from onlooker.gallery import sheet as sheet_module
from onlooker.gallery.search import Match, search
from onlooker.gallery.sheet import CARD_WIDTH, MARGIN, MAX_MATCHES, draw_sheet, font_for, shorten, wrap, write_sheet
from onlooker.gallery.store import Gallery
from onlooker.runtime.fake import COLOURS, FakeEncoder
from tests.unit.gallery.makers import jpeg, new_gallery, people_gallery, person, sighting, update

LONG = "woman in a long grey cardigan, " * 40


@pytest.fixture
def people(tmp_path: Path) -> Gallery:
    return Gallery.open(people_gallery(tmp_path / "people.db"), read_only=True)


def matches_of(gallery: Gallery, text: str, top: int = 10) -> list[Match]:
    return search(gallery, FakeEncoder().encode_texts([text]), top)[0]


def colours_in(picture: Image.Image) -> set[tuple[int, int, int]]:
    found = picture.getcolors(1 << 20)
    assert found is not None
    return {colour for _, colour in found if isinstance(colour, tuple)}  # type: ignore[misc]


def near(colours: set[tuple[int, int, int]], name: str) -> bool:
    return any(max(abs(a - b) for a, b in zip(colour, COLOURS[name], strict=True)) < 12 for colour in colours)


def test_a_sheet_shows_the_crops_in_order(people: Gallery, tmp_path: Path) -> None:
    path = tmp_path / "out" / "sheet.png"
    with people:
        matches = matches_of(people, "red jacket, blue jeans", 4)
        write_sheet(path, people, "red jacket, blue jeans", matches)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        left = picture.crop((MARGIN, 0, MARGIN + CARD_WIDTH, picture.height))
        assert near(colours_in(left), "red")
        assert near(colours_in(left), "blue")
        assert not near(colours_in(left), "green")
    assert matches[0].sighting.id == 1


@pytest.mark.parametrize(
    "query", ["hat", LONG, "x" * 2000, "赤いコートの女性 🧥 женщина مرأة ß", "two\nlines\ttab", "\x00\u200b"]
)
def test_any_query_can_be_written_above(people: Gallery, query: str) -> None:
    with people:
        matches = matches_of(people, "red jacket", 3)
        picture = draw_sheet(people, query, matches)
    assert 600 < picture.width < 1300
    assert 400 < picture.height < 800


def test_nobody_makes_a_small_sheet(people: Gallery) -> None:
    with people:
        picture = draw_sheet(people, "hat", [])
    assert picture.height < 300


def test_the_widest_sheet_has_five_columns_and_sixty_cards(tmp_path: Path) -> None:
    source = update()
    crop = jpeg(person("red", "blue"))
    with new_gallery(tmp_path / "people.db") as gallery:
        gallery.commit(source, [sighting(source, crop=crop) for _ in range(MAX_MATCHES + 5)])
        (matches,) = search(gallery, np.ones((1, 8), np.float32), 100)
        assert len(matches) == MAX_MATCHES + 5
        full, cut = draw_sheet(gallery, "hat", matches[:MAX_MATCHES]), draw_sheet(gallery, "hat", matches)
        five, six = draw_sheet(gallery, "hat", matches[:5]), draw_sheet(gallery, "hat", matches[:6])
    assert full.size == cut.size
    assert five.width == six.width == full.width
    assert five.height < six.height


@pytest.mark.parametrize("crop", [b"not a picture", jpeg(person("red", "blue"))[:60]])
def test_a_damaged_crop_does_not_hide_the_others(tmp_path: Path, crop: bytes) -> None:
    source = update()
    with new_gallery(tmp_path / "people.db") as gallery:
        gallery.commit(source, [sighting(source, crop=crop), sighting(source, crop=jpeg(person("green", "blue")))])
        (matches,) = search(gallery, np.ones((1, 8), np.float32))
        picture = draw_sheet(gallery, "hat", matches)
    assert near(colours_in(picture), "green")


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (3000, 2000)])
def test_crops_of_any_shape_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    source = update()
    crop = jpeg(np.full((size[1], size[0], 3), 200, np.uint8))
    with new_gallery(tmp_path / "people.db") as gallery:
        gallery.commit(source, [sighting(source, crop=crop, time_s=1.0, end_s=1.0)])
        (matches,) = search(gallery, np.ones((1, 8), np.float32))
        assert draw_sheet(gallery, "hat", matches).width > 600


def test_a_match_deleted_meanwhile_is_said(tmp_path: Path) -> None:
    with Gallery.open(people_gallery(tmp_path / "people.db")) as gallery:
        matches = matches_of(gallery, "red jacket")
        gallery.remove([matches[0].sighting.id])
        with pytest.raises(QueryError, match="no sighting"):
            draw_sheet(gallery, "red jacket", matches)


def test_without_fonts_of_the_machine(people: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_module, "WIDE_FONTS", ("no such font.ttf",))
    sheet_module._fonts.cache_clear()
    try:
        with people:
            draw_sheet(people, "赤い ß", matches_of(people, "red jacket"))
    finally:
        sheet_module._fonts.cache_clear()


def test_lines_fit_and_nothing_is_lost() -> None:
    font = font_for("hat", 20)
    lines = wrap(LONG[:200], font, 300, lines=20)
    assert all(font.getlength(line) <= 300 for line in lines)
    assert " ".join(lines) == " ".join(LONG[:200].split())
    letters = wrap("x" * 200, font, 300, lines=20)
    assert all(font.getlength(line) <= 300 for line in letters)
    assert "".join(letters) == "x" * 200


def test_too_long_a_text_ends_in_dots() -> None:
    font = ImageFont.load_default(20)
    lines = wrap(LONG, font, 300)
    assert len(lines) == 4
    assert lines[-1].endswith("...")
    assert all(font.getlength(line) <= 300 for line in lines)
    assert shorten("hat", font, 300) == "hat"
    assert wrap("", font, 300) == []
