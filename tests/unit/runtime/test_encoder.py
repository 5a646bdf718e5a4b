from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from onlooker.errors import BundleError, ConfigError, ProviderError, QueryError
from onlooker.files import write_json
from onlooker.runtime.bundle import Bundle, write_bundle_info
from onlooker.runtime.encoder import Encoder, EncoderLike, bundle_name_of, open_encoder
from onlooker.runtime.fake import FakeEncoder
from onlooker.runtime.preprocessing import preprocess
from onlooker.runtime.spelling import Reading
from tests.tiny_bundle import DIMENSION, SPEC, give_words, tiny_info, write_image_tower, write_tiny_bundle

pytestmark = pytest.mark.train


def plain(colour: tuple[int, int, int], height: int = 30, width: int = 20) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


RED, GREEN, BLUE = plain((250, 5, 5)), plain((5, 250, 5), 80, 9), plain((5, 5, 250), 12, 6)


def test_words_find_the_pictures_of_their_colour(tiny_bundle: Bundle) -> None:
    encoder: EncoderLike = Encoder.open(tiny_bundle)
    pictures = encoder.encode_images([RED, GREEN, BLUE])
    texts = encoder.encode_texts(["a blue jacket", "red", "green"])
    for vectors in (pictures, texts):
        assert vectors.shape == (3, DIMENSION)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (texts @ pictures.T).argmax(axis=1).tolist() == [2, 0, 1]
    assert encoder.bundle_id == tiny_bundle.id
    assert encoder.dimension == DIMENSION


def test_the_tower_sees_exactly_what_preprocess_gives(tiny_bundle: Bundle) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    mean = preprocess([rgb], SPEC).mean(axis=(2, 3))[0]
    wanted = np.zeros(DIMENSION)
    wanted[:3] = mean / np.linalg.norm(mean)
    np.testing.assert_allclose(Encoder.open(tiny_bundle).encode_images([rgb])[0], wanted, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_change_neither_order_nor_values(tiny_bundle: Bundle, batch_size: int) -> None:
    encoder = Encoder.open(tiny_bundle)
    pictures = [RED, GREEN, BLUE, GREEN, RED]
    texts = ["red man a a a a a", "blue", "a green jacket", "red", "a a blue"]
    one_by_one = np.concatenate([encoder.encode_images([picture]) for picture in pictures])
    np.testing.assert_allclose(encoder.encode_images(pictures, batch_size=batch_size), one_by_one, atol=1e-6)
    one_by_one = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode_texts(texts, batch_size=batch_size), one_by_one, atol=1e-6)


def test_nothing_gives_no_rows_and_loads_nothing(tiny_bundle: Bundle) -> None:
    encoder = Encoder.open(tiny_bundle)
    assert encoder.encode_images([]).shape == (0, DIMENSION)
    assert encoder.encode_texts([]).shape == (0, DIMENSION)
    assert encoder._towers == {}


def test_each_tower_is_loaded_at_its_first_use_or_on_demand(tiny_bundle: Bundle) -> None:
    encoder = Encoder.open(tiny_bundle)
    encoder.encode_texts(["red"])
    assert set(encoder._towers) == {"texts"}
    encoder.load()
    assert set(encoder._towers) == {"texts", "images"}


def test_a_text_query_imports_no_picture_library(tiny_bundle: Bundle) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from onlooker.runtime.bundle import Bundle; from onlooker.runtime.encoder import Encoder\n"
        f"encoder = Encoder.open(Bundle.open(Path({str(tiny_bundle.path)!r}))); print(encoder.describe())\n"
        "encoder.encode_texts(['red jacket'])\n"
        "print([name for name in ('PIL', 'cv2', 'pydantic', 'torch', 'faiss', 'av', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"
    assert done.stderr == ""


def test_says_what_runs_where(tiny_bundle: Bundle) -> None:
    encoder = Encoder.open(tiny_bundle, provider="cpu", threads=1)
    wanted = f"bundle tiny {tiny_bundle.id[:8]} (8 dimensions): pictures on cpu, texts on cpu, threads: 1"
    assert encoder.describe() == wanted
    encoder.load()
    assert encoder.describe() == wanted
    assert encoder.provider == "cpu"
    assert encoder.info.name == "tiny"


def test_a_provider_that_does_not_start_is_fallen_back_from_aloud(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    from onlooker.runtime.providers import Choice

    # ONNX Runtime does not know this one and so leaves it out, as it does with CUDA where the driver is missing.
    choice = Choice("CUDAExecutionProvider", ("CPUExecutionProvider",))
    encoder = Encoder(tiny_bundle, choice, choice, None)
    assert encoder.provider == "cuda"
    with pytest.warns(UserWarning, match="not in available provider names"):
        encoder.load(texts=False)
    assert encoder.provider == "cpu"
    assert "pictures on cpu instead of cuda" in encoder.describe()
    assert "cuda does not start" in caplog.text
    with pytest.warns(UserWarning, match="not in available"), pytest.raises(ProviderError, match="cuda does not start"):
        Encoder(tiny_bundle, Choice("CUDAExecutionProvider"), choice, None).load()


def test_the_environment_chooses_provider_and_threads(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLOOKER_THREADS", "2")
    assert Encoder.open(tiny_bundle).describe().endswith("threads: 2")
    assert Encoder.open(tiny_bundle, threads=1).describe().endswith("threads: 1")
    monkeypatch.setenv("ONLOOKER_PROVIDER", "abacus")
    with pytest.raises(ProviderError, match="'abacus' is not known"):
        Encoder.open(tiny_bundle)
    assert Encoder.open(tiny_bundle, provider="cpu").provider == "cpu"


@pytest.mark.parametrize("threads", [0, -1, 5000])
def test_a_senseless_number_of_threads_is_refused(tiny_bundle: Bundle, threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads is {threads}"):
        Encoder.open(tiny_bundle, threads=threads)


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_an_empty_text_is_an_error_that_says_which(tiny_bundle: Bundle, text: str) -> None:
    with pytest.raises(QueryError, match="text 2 of 3 is empty"):
        Encoder.open(tiny_bundle).encode_texts(["red", text, "blue"])


def test_very_long_and_strange_texts_are_encoded(tiny_bundle: Bundle) -> None:
    vectors = Encoder.open(tiny_bundle).encode_texts(["red " * 5000, "\ud800 red", "'; DROP TABLE \x00 red", "赤い"])
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_senseless_batch_size_is_refused(tiny_bundle: Bundle, batch_size: int) -> None:
    encoder = Encoder.open(tiny_bundle)
    with pytest.raises(ValueError, match=f"at least 1, got {batch_size}"):
        encoder.encode_images([RED], batch_size=batch_size)
    with pytest.raises(ValueError, match=f"at least 1, got {batch_size}"):
        encoder.encode_texts(["red"], batch_size=batch_size)


def test_many_threads_share_one_encoder(tiny_bundle: Bundle) -> None:
    encoder = Encoder.open(tiny_bundle, threads=1)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: encoder.encode_texts(["red jacket", "blue"]), range(40)))
    assert all(np.array_equal(result, results[0]) for result in results)


def test_a_damaged_tower_is_named_with_its_checksum(tiny_bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    size = tiny_bundle.image_path.stat().st_size
    tiny_bundle.image_path.write_bytes(b"\x07" * size)
    with pytest.raises(BundleError, match=r"image\.onnx is damaged or was replaced"):
        Encoder.open(Bundle.open(tiny_bundle.path)).encode_images([RED])
    # Nothing of ONNX Runtime's own words reaches the screen.
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_no_graph_is_an_error_even_with_the_right_checksum(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b").path
    (folder / "image.onnx").write_bytes(b"not a graph")
    bundle = write_bundle_info(folder, tiny_info(folder))
    with pytest.raises(BundleError, match=r"image\.onnx cannot be loaded"):
        Encoder.open(bundle).encode_images([RED])


def test_a_graph_with_other_outputs_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b").path
    write_image_tower(folder / "image.onnx", output="features")
    bundle = write_bundle_info(folder, tiny_info(folder))
    with pytest.raises(BundleError, match=r"gives \['features'\]; a bundle's graph takes \['pixels'\]"):
        Encoder.open(bundle).encode_images([RED])


def test_a_wrong_dimension_is_refused(tiny_bundle: Bundle) -> None:
    content = json.loads((tiny_bundle.path / "model.json").read_text())
    write_json(tiny_bundle.path / "model.json", {**content, "dimension": 9})
    with pytest.raises(BundleError, match=r"shape \(1, 8\) instead of \(1, 9\)"):
        Encoder.open(Bundle.open(tiny_bundle.path)).encode_texts(["red"])


def test_vectors_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b").path
    write_image_tower(folder / "image.onnx", scale=float("nan"))
    bundle = write_bundle_info(folder, tiny_info(folder))
    with pytest.raises(BundleError, match="not numbers or zero on cpu"):
        Encoder.open(bundle).encode_images([RED])


def test_a_graph_that_fails_on_the_input_is_an_error(tiny_bundle: Bundle) -> None:
    content = json.loads((tiny_bundle.path / "model.json").read_text())
    content["image"]["spec"]["height"] = 13
    write_json(tiny_bundle.path / "model.json", content)
    with pytest.raises(BundleError, match=r"image\.onnx fails while running"):
        Encoder.open(Bundle.open(tiny_bundle.path)).encode_images([RED])


def test_a_command_opens_a_folder_the_environments_bundle_or_the_test_encoder(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(str(tiny_bundle.path), provider="cpu", threads=1)
    assert (encoder.bundle_id, bundle_name_of(encoder)) == (tiny_bundle.id, "tiny")
    monkeypatch.setenv("ONLOOKER_BUNDLE", str(tiny_bundle.path))
    assert open_encoder().bundle_id == tiny_bundle.id
    fake = open_encoder("fake")
    assert isinstance(fake, FakeEncoder)
    assert bundle_name_of(fake) == "fake"
    monkeypatch.chdir(tiny_bundle.path)
    with pytest.raises(BundleError, match="there is no bundle folder fake"):
        open_encoder("./fake")


def test_typing_errors_are_mended_unless_asked_not_to(tiny_bundle: Bundle) -> None:
    bundle = give_words(tiny_bundle)
    encoder = Encoder.open(bundle)
    assert encoder.read_text(" a  blue jakcet") == Reading("a blue jacket", (("jakcet", "jacket"),))
    np.testing.assert_array_equal(encoder.encode_texts(["bleu bule"]), encoder.encode_texts(["blue blue"]))
    as_typed = Encoder.open(bundle, as_typed=True)
    assert as_typed.read_text("a blue jakcet") == Reading("a blue jakcet")


def test_a_bundle_without_words_mends_nothing(tiny_bundle: Bundle) -> None:
    assert Encoder.open(tiny_bundle).read_text("a blue jakcet") == Reading("a blue jakcet")
