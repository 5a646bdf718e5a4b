from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlooker.errors import ConfigError, DataError, PictureError
from onlooker.runtime import embedding
from onlooker.runtime.embedding import (
    Embedded,
    check_output,
    embed_pictures,
    embed_texts,
    find_pictures,
    largest,
    read_lines,
    save_vectors,
)
from onlooker.runtime.fake import FakeEncoder


def save(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 40), colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number, name in enumerate(["b.png", "a/z.jpg", "a/Y.JPG", "C.webp", "a b/ü.png"]):
        save(folder / name, (number * 50, 10, 200 - number * 40))
    (folder / "notes.txt").write_text("no picture")
    save(folder / ".hidden.png", (0, 0, 0))
    save(folder / ".thumbs" / "t.png", (0, 0, 0))
    return folder


def test_pictures_are_found_below_and_sorted(folder: Path) -> None:
    assert find_pictures(folder) == ["C.webp", "a b/ü.png", "a/Y.JPG", "a/z.jpg", "b.png"]


def test_a_folder_without_pictures_and_no_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="holds no picture"):
        find_pictures(tmp_path)
    with pytest.raises(PictureError, match="does not exist"):
        find_pictures(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(PictureError, match="is not a folder"):
        find_pictures(tmp_path / "file")


@pytest.mark.parametrize(("batch", "pixels"), [(32, 10**9), (2, 10**9), (32, 1), (1, 1)])
def test_vectors_are_in_the_order_of_the_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batch: int, pixels: int
) -> None:
    monkeypatch.setattr(embedding, "BATCH", batch)
    monkeypatch.setattr(embedding, "BATCH_PIXELS", pixels)
    names = find_pictures(folder)
    steps: list[float] = []
    result = embed_pictures(folder, names, FakeEncoder(), advance=steps.append)
    assert result.names == names
    assert sum(steps) == len(names)
    for name, vector in zip(names, result.vectors, strict=True):
        assert np.array_equal(FakeEncoder().encode_images([np.asarray(Image.open(folder / name))])[0], vector)


def test_an_unreadable_picture_is_reported_and_left_out(folder: Path) -> None:
    (folder / "a" / "m.jpg").write_bytes(b"broken")
    said: list[str] = []
    result = embed_pictures(folder, find_pictures(folder), FakeEncoder(), failed=said.append)
    assert "a/m.jpg" not in result.names
    assert len(result.names) == len(result.vectors) == 5
    assert said == result.failures
    assert len(said) == 1
    assert str(folder / "a" / "m.jpg") in said[0]


def test_when_none_can_be_read_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(PictureError, match=r"none of the 2 pictures .* the first: .*a\.jpg is not a picture"):
        embed_pictures(tmp_path, find_pictures(tmp_path), FakeEncoder())


def test_a_part_can_be_selected(folder: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def top(picture: np.ndarray) -> np.ndarray:
        seen.append(picture.shape)
        return picture[:10]

    embed_pictures(folder, find_pictures(folder), FakeEncoder(), select=top)
    assert seen == [(40, 20, 3)] * 5


@pytest.mark.parametrize(
    ("boxes", "size"),
    [
        ([], (30, 20)),
        ([[2, 3, 12, 23]], (20, 10)),
        ([[0, 0, 5, 5], [2, 3, 12, 23], [0, 0, 3, 3]], (20, 10)),
        ([[-50, -50, 5.4, 9.6]], (10, 5)),
        ([[10, 10, 900, 900], [0, 0, 9, 9]], (20, 10)),
        ([[100, 100, 200, 200]], (30, 20)),
        ([[5, 5, 5, 25]], (30, 20)),
        ([[12, 20, 2, 3]], (30, 20)),
    ],
)
def test_the_largest_box_is_cut_out(boxes: list[list[float]], size: tuple[int, int]) -> None:
    picture = np.zeros((30, 20, 3), dtype=np.uint8)
    part = largest(np.array(boxes, dtype=np.float32).reshape(-1, 4), picture)
    assert part.shape == (*size, 3)


def test_the_cut_out_part_does_not_hold_the_whole_in_memory() -> None:
    picture = np.arange(30 * 20 * 3, dtype=np.uint8).reshape(30, 20, 3)
    part = largest(np.array([[2, 3, 12, 23]], dtype=np.float32), picture)
    assert np.array_equal(part, picture[3:23, 2:12])
    assert not np.shares_memory(part, picture)


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\rtwo", ["one", "two"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        ("Grün und  blau \n男人\n".encode(), ["Grün und  blau ", "男人"]),
        ("one\u2028still one\ntwo\n".encode(), ["one\u2028still one", "two"]),
    ],
)
def test_one_text_a_line(tmp_path: Path, raw: bytes, lines: list[str]) -> None:
    (tmp_path / "texts.txt").write_bytes(raw)
    assert read_lines(tmp_path / "texts.txt") == lines


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\n\ntwo\n", "line 2 is blank"),
        (b"one\n  \t\n", "line 2 is blank"),
        (b"one\n\n", "line 2 is blank"),
        (b"\none\n", "line 1 is blank"),
        (b"one\ntw\xff\n", "line 2: not UTF-8"),
    ],
)
def test_a_file_without_a_text_on_each_line_is_an_error(tmp_path: Path, raw: bytes, reason: str) -> None:
    (tmp_path / "texts.txt").write_bytes(raw)
    with pytest.raises(DataError, match=rf"texts\.txt.*{reason}"):
        read_lines(tmp_path / "texts.txt")


def test_a_missing_file_of_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt cannot be read \(No such file"):
        read_lines(tmp_path / "gone.txt")


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_texts_keep_their_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BATCH", 1)
    texts = [f"red jacket number {number}" for number in range(count)]
    steps: list[float] = []
    result = embed_texts(texts, FakeEncoder(), advance=steps.append)
    assert result.names == texts
    assert sum(steps) == count
    assert np.array_equal(result.vectors, FakeEncoder().encode_texts(texts))


def test_what_is_saved_is_read_without_pickle(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).random((2, 3)).astype(np.float32)
    path = tmp_path / "new" / "x.npz"
    save_vectors(path, Embedded(["a/b.jpg", "ü 男.png"], vectors), key="names", bundle_id="abc")
    with np.load(path, allow_pickle=False) as stored:
        assert stored["names"].tolist() == ["a/b.jpg", "ü 男.png"]
        assert np.array_equal(stored["vectors"], vectors)
        assert stored["vectors"].dtype == np.float32
        assert str(stored["bundle"]) == "abc"
    assert [one.name for one in path.parent.iterdir()] == ["x.npz"]


def test_the_name_given_is_the_name_written(tmp_path: Path) -> None:
    save_vectors(tmp_path / "vectors", Embedded(["a"], np.ones((1, 2), np.float32)), key="texts", bundle_id="abc")
    assert [one.name for one in tmp_path.iterdir()] == ["vectors"]


def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_output(tmp_path / "new" / "deep" / "x.npz")
    with pytest.raises(ConfigError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(ConfigError, match="cannot be written"):
        check_output(tmp_path / "file" / "x.npz")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_vectors(tmp_path / "file" / "x.npz", Embedded([], np.ones((0, 2), np.float32)), key="a", bundle_id="b")
