"""``onlooker embed`` as its user meets it: a command line, a real (tiny) bundle, files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlooker.cli import main
from onlooker.runtime import bundle as bundle_module
from onlooker.runtime.bundle import Bundle
from onlooker.runtime.encoder import Encoder
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_tiny_bundle(tmp_path / "tiny")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.new("RGB", (40, 60), (250, 10, 10)).save(folder / "red.jpg")
    Image.new("RGB", (30, 30), (10, 250, 10)).save(folder / "more" / "green.png")
    Image.new("CMYK", (30, 90), (255, 255, 0, 0)).save(folder / "blue.jpg")
    return folder


def tell(*words: object) -> int:
    return main(["embed", *map(str, words)])


@pytest.mark.train
def test_pictures_and_texts_meet(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("a blue jacket\nred\ngreen\nred\n")
    assert tell("images", photos, "--bundle", bundle.path, "-o", tmp_path / "x.npz") == 0
    assert tell("texts", tmp_path / "texts.txt", "--bundle", bundle.path, "-o", tmp_path / "y.npz") == 0
    pictures, texts = np.load(tmp_path / "x.npz"), np.load(tmp_path / "y.npz")
    assert pictures["names"].tolist() == ["blue.jpg", "more/green.png", "red.jpg"]
    assert texts["texts"].tolist() == ["a blue jacket", "red", "green", "red"]
    for vectors in (pictures["vectors"], texts["vectors"]):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    best = (texts["vectors"] @ pictures["vectors"].T).argmax(axis=1)
    assert pictures["names"][best].tolist() == ["blue.jpg", "red.jpg", "more/green.png", "red.jpg"]
    assert str(pictures["bundle"]) == str(texts["bundle"]) == bundle.id
    out, err = capsys.readouterr()
    assert out == ""
    assert "pictures on cpu" in err
    assert "x.npz: 3 pictures\n" in err
    assert "y.npz: 4 texts\n" in err


@pytest.mark.train
def test_unreadable_pictures_are_named_and_counted(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes((photos / "red.jpg").read_bytes()[:200])
    (photos / "empty.png").write_bytes(b"")
    assert tell("images", photos, "--bundle", bundle.path, "-o", tmp_path / "x.npz") == 0
    err = capsys.readouterr().err
    assert f"skipped: {photos / 'broken.jpg'}" in err
    assert f"skipped: {photos / 'empty.png'} is empty" in err
    assert "3 pictures; 2 skipped" in err
    assert len(np.load(tmp_path / "x.npz")["names"]) == 3


@pytest.mark.train
def test_when_none_can_be_read_it_fails_and_writes_nothing(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    assert tell("images", tmp_path / "photos", "--bundle", bundle.path, "-o", tmp_path / "x.npz") == 2
    assert "error: none of the 1 pictures" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.train
def test_detect_takes_the_person_and_else_the_whole(bundle: Bundle, tmp_path: Path) -> None:
    from onlooker.footage.detection import load_detector
    from onlooker.runtime.embedding import largest
    from onlooker.runtime.pictures import read_picture

    photos = Path(bundle_module.__file__).parents[1] / "samples" / "photos"
    folder = tmp_path / "photos"
    folder.mkdir()
    first = sorted(photos.glob("*.jpg"))[0]
    (folder / "people.jpg").write_bytes(first.read_bytes())
    Image.new("RGB", (64, 128), (250, 10, 10)).save(folder / "wall.png")
    assert tell("images", folder, "--detect", "--bundle", bundle.path, "-o", tmp_path / "x.npz") == 0
    stored = np.load(tmp_path / "x.npz")
    assert stored["names"].tolist() == ["people.jpg", "wall.png"]
    rgb, wall = read_picture(first), read_picture(folder / "wall.png")
    boxes = load_detector("union").detect(rgb).boxes
    assert len(boxes) > 0
    wanted = Encoder.open(bundle).encode_images([largest(boxes, rgb), wall])
    np.testing.assert_allclose(stored["vectors"], wanted, atol=1e-5)


@pytest.mark.train
def test_as_a_process_it_says_nothing_on_stdout_and_imports_no_torch(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("red jacket\n")
    code = (
        "import sys; from onlooker.cli import main\n"
        f"code = main(['embed', 'texts', {str(tmp_path / 'texts.txt')!r}, '--bundle', {str(bundle.path)!r},"
        f" '-o', {str(tmp_path / 'y.npz')!r}])\n"
        "assert not {'torch', 'transformers', 'onnx', 'PIL', 'cv2', 'faiss', 'rich'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 2


def test_wrong_input_gives_one_sentence_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("red\n\nblue\n")
    (tmp_path / "folder").mkdir()
    x = tmp_path / "x.npz"
    for words, reason in [
        (("texts", tmp_path / "texts.txt", "-o", x), "texts.txt, line 2 is blank"),
        (("texts", tmp_path / "gone.txt", "-o", x), "gone.txt cannot be read"),
        (("images", tmp_path / "gone", "-o", x), "gone does not exist"),
        (("images", tmp_path / "folder", "-o", x), "folder holds no picture"),
        (("images", tmp_path / "folder", "-o", tmp_path), "is a folder; give the name of a file"),
    ]:
        assert tell(*words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert reason in err
        assert err.count("\n") == 1


def test_a_bundle_or_provider_that_is_not_there(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tell("images", photos, "--bundle", tmp_path / "gone", "-o", tmp_path / "x.npz") == 2
    assert "error: there is no bundle folder" in capsys.readouterr().err
    monkeypatch.setattr(bundle_module, "SHIPPED", tmp_path / "gone")
    assert tell("images", photos, "-o", tmp_path / "x.npz") == 2
    assert "this installation has no bundle 'base'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("images",), ("texts",)])
def test_help_has_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(*words, "--help") == 0
    out = capsys.readouterr().out
    assert "Examples:\n  onlooker embed" in out.replace("    onlooker", "  onlooker").replace("  Examples", "Examples")


def test_the_test_encoder_needs_no_bundle(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("red jacket, red trousers\n")
    assert tell("images", photos, "--bundle", "fake", "-o", tmp_path / "x.npz") == 0
    assert tell("texts", tmp_path / "texts.txt", "--bundle", "fake", "-o", tmp_path / "y.npz") == 0
    pictures, texts = np.load(tmp_path / "x.npz"), np.load(tmp_path / "y.npz")
    assert pictures["names"][(texts["vectors"] @ pictures["vectors"].T).argmax()] == "red.jpg"
