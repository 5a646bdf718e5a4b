"""``onlooker export`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.cli import main  # noqa: E402
from tests.tiny_models import clip_folder, painted_people  # noqa: E402

pytestmark = pytest.mark.train


@pytest.mark.slow
def test_a_clip_folder_becomes_a_bundle_that_embeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    clip_folder(tmp_path / "tiny-clip")
    painted_people(tmp_path / "people")
    capsys.readouterr()
    data = str(tmp_path / "people" / "people.jsonl")
    words = ["export", str(tmp_path / "tiny-clip"), "-o", str(tmp_path / "bundle"), "--data", data]
    assert main([*words, "--precision", "half", "--licence", "MIT"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'bundle'}: bundle tiny-clip, 16 numbers a vector, ")
    assert "captions: R@1/5/10" in out
    assert "comparing the files with the model" in err
    assert json.loads((tmp_path / "bundle" / "model.json").read_text())["license"] == "MIT"
    (tmp_path / "texts").write_text("red shirt\nblue jeans\n")
    texts = ["embed", "texts", str(tmp_path / "texts"), "-o", str(tmp_path / "t.npz")]
    assert main([*texts, "--bundle", str(tmp_path / "bundle")]) == 0
    with np.load(tmp_path / "t.npz") as stored:
        assert stored["vectors"].shape == (2, 16)
        np.testing.assert_allclose(np.linalg.norm(stored["vectors"], axis=1), 1, atol=1e-5)


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    assert "onlooker export runs/base -o bundles/base" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument"),
        (["x"], "--output"),
        (["nothere", "-o", "y"], "nothere: neither a checkpoint of 'onlooker train' nor a Hugging Face CLIP folder"),
        (["nothere", "-o", "y", "--precision", "int4"], "choose float32, half or int8"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
