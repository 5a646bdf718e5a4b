"""Opening what is not a gallery, is not accessible, or was made by another version or bundle."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onlooker.errors import GalleryError
from onlooker.gallery import connection, schema
from onlooker.gallery.store import Gallery
from tests.unit.gallery.makers import DIMENSION, ENCODER_ID, new_gallery, sighting, update

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="onlooker-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Permissions do not hold root back, so a test run as root becomes somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def set_header(path: Path, pragma: str, value: int) -> None:
    file = sqlite3.connect(path)
    file.execute(f"PRAGMA {pragma} = {value}")
    file.commit()
    file.close()


READ_AND_WRITE = pytest.mark.parametrize("read_only", [True, False])


@READ_AND_WRITE
def test_a_missing_file(path: Path, read_only: bool) -> None:
    with pytest.raises(GalleryError, match=r"no gallery .*people\.db; make it with `onlooker index"):
        Gallery.open(path, read_only=read_only)
    assert not path.exists()


@READ_AND_WRITE
def test_a_text_file(path: Path, read_only: bool) -> None:
    path.write_text("hello, I am a letter" * 300)
    with pytest.raises(GalleryError, match="is not a gallery"):
        Gallery.open(path, read_only=read_only)
    assert path.read_text().startswith("hello")


@READ_AND_WRITE
def test_another_programs_database(path: Path, read_only: bool) -> None:
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE meta (name TEXT)")
    file.close()
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="is not a gallery"):
        Gallery.open(path, read_only=read_only)
    with pytest.raises(GalleryError, match="is not a gallery"):
        Gallery.open(path, encoder_id=ENCODER_ID, dimension=DIMENSION, create=True)
    assert path.read_bytes() == before


@READ_AND_WRITE
def test_an_empty_file_is_no_gallery_until_created(path: Path, read_only: bool) -> None:
    path.touch()
    with pytest.raises(GalleryError, match="is not a gallery"):
        Gallery.open(path, read_only=read_only)
    with new_gallery(path) as gallery:
        assert gallery.count() == 0


@READ_AND_WRITE
def test_a_folder(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(GalleryError, match=r"folder|no gallery"):
        Gallery.open(tmp_path, read_only=read_only)


def test_a_damaged_file(path: Path) -> None:
    with new_gallery(path) as gallery:
        source = update()
        gallery.commit(source, [sighting(source, crop=b"x" * 50_000)])
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(GalleryError, match="damaged"), Gallery.open(path, read_only=True) as gallery:
        gallery.vectors()


@READ_AND_WRITE
def test_a_newer_format_is_refused(path: Path, read_only: bool) -> None:
    new_gallery(path).close()
    set_header(path, "user_version", len(schema.STEPS) + 3)
    with pytest.raises(GalleryError, match=r"format 5 and this Onlooker knows up to 2; update Onlooker"):
        Gallery.open(path, read_only=read_only)


def test_another_bundle_is_refused_with_both_names(path: Path) -> None:
    new_gallery(path).close()
    with pytest.raises(
        GalleryError, match=r"made with the bundle tiny \(0123456789ab\), not with large \(ffff"
    ) as caught:
        Gallery.open(path, encoder_id="f" * 32, dimension=DIMENSION, bundle_name="large", read_only=True)
    assert "--bundle" in str(caught.value)
    assert "index the files again" in str(caught.value)


def test_another_dimension_is_refused(path: Path) -> None:
    new_gallery(path).close()
    with pytest.raises(GalleryError, match="dimension 8, not 9"):
        Gallery.open(path, encoder_id=ENCODER_ID, dimension=9)


def test_a_new_gallery_needs_a_bundle(path: Path) -> None:
    with pytest.raises(GalleryError, match="needs a bundle"):
        Gallery.open(path, create=True)
    assert not path.exists()


def test_opening_again_with_create_keeps_everything(path: Path) -> None:
    with new_gallery(path) as gallery:
        source = update()
        gallery.commit(source, [sighting(source)])
        info = gallery.info
    with new_gallery(path) as gallery:
        assert gallery.count() == 1
        assert gallery.info == info


def test_odd_file_names(tmp_path: Path) -> None:
    path = tmp_path / "Übung ?mode=x#1%20.db"
    new_gallery(path).close()
    assert path.is_file()
    with Gallery.open(path, read_only=True) as gallery:
        assert gallery.count() == 0


def test_a_file_that_may_not_be_written(common: Path, ordinary_user: None) -> None:
    path = common / "people.db"
    with _as_owner():
        new_gallery(path).close()
        path.chmod(0o444)
    with pytest.raises(GalleryError, match=r"people\.db cannot be (written|opened).*permission"):
        new_gallery(path)


def test_a_folder_that_may_not_be_written(common: Path, ordinary_user: None) -> None:
    with _as_owner():
        common.chmod(0o555)
    with pytest.raises(GalleryError, match=r"people\.db cannot be opened; check the permissions"):
        new_gallery(common / "people.db")
    with pytest.raises(GalleryError, match="cannot be made"):
        new_gallery(common / "new" / "people.db")


def test_a_file_that_may_not_be_read(common: Path, ordinary_user: None) -> None:
    path = common / "people.db"
    with _as_owner():
        new_gallery(path).close()
        path.chmod(0o000)
    with pytest.raises(GalleryError, match=r"people\.db cannot be opened for reading; check"):
        Gallery.open(path, read_only=True)


def test_reading_in_a_folder_that_may_not_be_written(common: Path, ordinary_user: None) -> None:
    """SQLite needs its log beside the file: with a writer at work it is there, without one the error says so."""
    path = common / "people.db"
    with _as_owner():
        writer = new_gallery(path)
        common.chmod(0o555)
    with Gallery.open(path, read_only=True) as gallery:
        assert gallery.count() == 0
    with _as_owner():
        writer.close()
    with pytest.raises(GalleryError, match=r"cannot be opened for reading; check the permissions.*folder"):
        Gallery.open(path, read_only=True)


class _as_owner:
    """Be root again for a step of preparation, where the test runs as root."""

    def __enter__(self) -> None:
        self.user = os.geteuid()
        if os.getuid() == 0:
            os.seteuid(0)

    def __exit__(self, *_: object) -> None:
        if os.getuid() == 0:
            os.seteuid(self.user)


HOLDER = """
import sys
from onlooker.gallery.store import Gallery
with Gallery.open(sys.argv[1]) as gallery, gallery.writing():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_waits_and_then_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_gallery(path).close()
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.2)
    source = update()
    with Gallery.open(path) as gallery:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(GalleryError, match="locked by another process"):
                gallery.commit(source, [sighting(source)])
            holder.communicate("\n")
        assert gallery.commit(source, [sighting(source)]) == [1]


def test_two_processes_may_create_one_gallery(path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from tests.unit.gallery.makers import *\n"
        "from pathlib import Path\n"
        "source = update(int(sys.argv[3]))\n"
        "with new_gallery(Path(sys.argv[1])) as gallery: gallery.commit(source, [sighting(source)])\n"
    )
    root = str(Path(__file__).parents[3])
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path), root, str(number)]) for number in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with Gallery.open(path, read_only=True) as gallery:
        assert gallery.count() == 3
