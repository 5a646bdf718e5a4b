"""Training and serving see the same pixels: one picture, taken down both roads to the tower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from onlooker.runtime.bundle import Bundle, write_bundle_info
from onlooker.runtime.embedding import embed_pictures, largest
from onlooker.runtime.encoder import Encoder
from onlooker.runtime.pictures import read_picture
from onlooker.runtime.tokenising import TextTokenizer
from tests.tiny_bundle import SPEC, tiny_info, write_flat_image_tower, write_text_tower, write_tokenizer

pytestmark = pytest.mark.train

NAMES = ["a-plain.jpg", "b-turned.jpg", "c-cmyk.jpg", "d-grey.png", "e-alpha.png", "f-wide.png", "g-deep.png"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(3)
    picture = Image.fromarray(random.integers(0, 256, (50, 30, 3), dtype=np.uint8)).resize((90, 150))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(folder / NAMES[0])
    picture.save(folder / NAMES[1], exif=exif)
    picture.convert("CMYK").save(folder / NAMES[2])
    picture.convert("L").save(folder / NAMES[3])
    picture.convert("RGBA").rotate(20, fillcolor=(0, 0, 0, 0)).save(folder / NAMES[4])
    picture.resize((400, 9)).save(folder / NAMES[5])
    Image.fromarray(random.integers(0, 65_536, (20, 20), dtype=np.uint16)).save(folder / NAMES[6])
    return folder


def bundle_of(folder: Path, resize: str) -> Bundle:
    """A bundle whose image tower hands its input on: every pixel is in the vector."""
    folder.mkdir()
    write_tokenizer(folder / "tokenizer.json")
    write_text_tower(folder / "text.onnx")
    write_flat_image_tower(folder / "image.onnx")
    info = tiny_info(folder)
    spec = SPEC.model_copy(update={"resize": resize, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)})
    image = info.image.model_copy(update={"spec": spec})
    return write_bundle_info(
        folder, info.model_copy(update={"dimension": 3 * SPEC.height * SPEC.width, "image": image})
    )


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("box", [None, (10, 4, 9, 5)], ids=["whole", "box"])
def test_the_tower_gets_the_same_pixels_in_training_and_serving(
    photos: Path, tmp_path: Path, resize: str, box: tuple[int, int, int, int] | None
) -> None:
    from onlooker.datasets.crops import CropDataset
    from onlooker.datasets.manifest import Manifest, Record
    from onlooker.training.batches import Collate

    bundle = bundle_of(tmp_path / "bundle", resize)
    records = [Record(id=name, file=name, captions=["red"], box=box) for name in NAMES]
    dataset = CropDataset(Manifest("test", photos, "none", records), bundle.spec)
    tokenizer = TextTokenizer(bundle.tokenizer_path, max_tokens=bundle.max_tokens, pad_token=bundle.pad_token)
    batch = Collate(tokenizer, bundle.spec)([(dataset[row],) for row in range(len(dataset))])
    trained = batch.pixels.numpy().reshape(len(NAMES), -1)
    trained /= np.linalg.norm(trained, axis=1, keepdims=True)

    def select(picture: np.ndarray) -> np.ndarray:
        if box is None:
            return picture
        x, y, width, height = box
        return largest(np.array([[x, y, x + width, y + height]], dtype=np.float32), picture)

    served = embed_pictures(photos, NAMES, Encoder.open(bundle), select=select)
    assert served.names == NAMES
    np.testing.assert_allclose(served.vectors, trained, atol=1e-6)


def test_the_pictures_of_this_test_are_not_all_alike(photos: Path) -> None:
    shapes = {read_picture(photos / name).shape for name in NAMES}
    assert shapes == {(150, 90, 3), (90, 150, 3), (9, 400, 3), (20, 20, 3)}
