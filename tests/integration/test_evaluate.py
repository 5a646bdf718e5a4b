"""``onlooker evaluate`` as it is called: a manifest on disk, a model, files and output."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onlooker.cli import evaluate as command
from onlooker.cli import main
from onlooker.datasets.manifest import Manifest
from onlooker.runtime.bundle import shipped_names
from onlooker.runtime.fake import FakeEncoder
from tests.dressed import dressed_people
from tests.tiny_bundle import give_confidences, write_tiny_bundle
from tests.unit.evaluation.painted import BentEncoder, painted


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Five painted people, all in the validation split, and one test record."""
    whole = painted(tmp_path)
    records = [*whole.records, whole.records[0].model_copy(update={"id": "held out", "split": "test"})]
    path = tmp_path / "painted.jsonl"
    replace(whole, records=records).save(path)
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """MODEL is the fake encoder, whatever its name."""
    monkeypatch.setattr(command, "open_model", lambda model: FakeEncoder())


@pytest.mark.train
def test_a_bundle_from_manifest_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outfits = [("red", "red"), ("green", "green"), ("blue", "blue")]
    manifest = painted(tmp_path, outfits=outfits)
    manifest.save(tmp_path / "three.jsonl")
    bundle = write_tiny_bundle(tmp_path / "tiny")
    out = tmp_path / "out"
    arguments = ["evaluate", str(bundle.path), "--data", str(tmp_path / "three.jsonl"), "--out", str(out)]
    results = ["--results", str(tmp_path / "results.csv"), "--save-vectors", str(tmp_path / "v.npz")]
    assert main([*arguments, *results, "--top", "2", "--json"]) == 0
    printed, said = capsys.readouterr()
    report = json.loads(printed)
    assert report == json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["model"] == {"name": "tiny", "id": bundle.id, "dimension": bundle.dimension}
    assert report["results"]["text-to-image"]["r1"] == 1.0
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md", "misses.html", "curve.png"}
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["image"] for row in rows if row["rank"] == "1"] == [r.file for r in manifest.records for _ in range(2)]
    assert len(rows) == 6 * 2
    with np.load(tmp_path / "v.npz") as vectors:
        assert vectors["picture_vectors"].shape == (3, bundle.dimension)
    assert "wrote" in said


@pytest.mark.train
def test_confidences_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colours = ("red", "green", "blue")
    outfits = [(upper, lower) for upper in colours for lower in colours] + [("red", "white"), ("blue", "black")]
    painted(tmp_path, outfits=outfits).save(tmp_path / "eleven.jsonl")
    bundle = write_tiny_bundle(tmp_path / "tiny")
    out = tmp_path / "out"
    words = ["evaluate", str(bundle.path), "--data", str(tmp_path / "eleven.jsonl"), "--texts", "all", "--confidence"]
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"error: --confidence: {bundle.path} has no confidences to measure; export a bundle with --data and a training "
        "split"
    ]
    give_confidences(bundle)
    assert main([*words, "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)["confidence"]
    assert printed == json.loads((out / "confidence.json").read_text(encoding="utf-8"))
    assert (printed["people"], printed["texts"], printed["crossfitted"]) == (11, 33, False)
    assert [test["size"] for test in printed["nobody"]] == [6]
    assert (out / "reliability.png").is_file()
    assert main(words) == 0
    assert "judged by the bundle's own\n  expected calibration error, best match" in capsys.readouterr().out
    # On the split it was fitted on, its own figures would flatter it.
    content = json.loads((bundle.path / "model.json").read_text())
    content["calibration"]["data"] = {"dataset": "painted", "split": "val", "seed": 0}
    (bundle.path / "model.json").write_text(json.dumps(content))
    assert main(words) == 0
    assert "each person judged by a fit without them" in capsys.readouterr().out


@pytest.mark.train
@pytest.mark.slow
def test_a_checkpoint_is_opened_as_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onlooker.encoders.checkpoint import save_checkpoint
    from onlooker.encoders.config import ImageTowerConfig, ModelConfig, TextTowerConfig
    from onlooker.encoders.dual import build
    from onlooker.encoders.pretrained import minilm_folder

    config = ModelConfig(
        image=ImageTowerConfig(kind="efficientnet-lite0", height=64, width=32),
        text=TextTowerConfig(kind="minilm", max_tokens=16),
    )
    save_checkpoint(tmp_path / "run" / "best", build(config), minilm_folder() / "tokenizer.json", {})
    painted(tmp_path).save(tmp_path / "painted.jsonl")
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "painted.jsonl"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"]["dimension"] == 256
    assert report["results"]["text-to-image"]["queries"] == 10


@pytest.mark.shared
@pytest.mark.skipif("base" not in shipped_names(), reason="the base bundle is not in this installation")
def test_the_shipped_bundle_on_real_pedestrians(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared / "pedestrians"
    lines = [json.loads(line) for line in (source / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    folder = next(path.parent for path in source.rglob(lines[0]["file"]))
    from onlooker.datasets.manifest import Record

    records = [
        Record(id=line["file"], file=line["file"], captions=[line["caption"]], phrases=[line["query"]])
        for line in lines[:60]
    ]
    Manifest("pedestrians", folder, "measure only", records).save(tmp_path / "p.jsonl")
    assert main(["evaluate", "shipped", "--data", str(tmp_path / "p.jsonl"), "--split", "all", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["results"]["text-to-image"]
    # Chance is 1/60 and a median rank of 30.
    assert result["r1"] > 0.1
    assert result["median_rank"] < 12


@pytest.mark.usefixtures("fake")
def test_table_on_stdout_and_notes_on_stderr(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Manifest.load(manifest).path(Manifest.load(manifest).records[1]).write_bytes(b"broken")
    assert main(["evaluate", "fake", "--data", str(manifest)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("fake on painted (val): 4 pictures, 10 captions, image protocol\n")
    assert "100.0 % [100.0, 100.0]" in out
    assert "skipped 1_0: " in err
    assert "skipped" not in out


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("options", "records", "queries"),
    [
        (["--split", "all"], 6, 12),
        (["--split", "test"], 1, 2),
        (["--texts", "phrases"], 5, 5),
        (["--texts", "all"], 5, 15),
        (["--limit", "2"], 2, 4),
    ],
)
def test_what_is_measured(
    manifest: Path, capsys: pytest.CaptureFixture[str], options: list[str], records: int, queries: int
) -> None:
    assert main(["evaluate", "fake", "--data", str(manifest), "--json", "--bootstrap", "0", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["data"]["records"] == records
    assert report["results"]["text-to-image"]["queries"] == queries


@pytest.mark.train
@pytest.mark.usefixtures("fake")
def test_the_swap_test_beside_the_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dressed_people(tmp_path).save(tmp_path / "dressed.jsonl")
    arguments = [
        "evaluate",
        "fake",
        "--data",
        str(tmp_path / "dressed.jsonl"),
        "--twins",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "Swap test: 3 photographs and their twins" in out
    assert "twins.json" in err
    assert main([*arguments, "--json"]) == 0
    swap = json.loads(capsys.readouterr().out)["twins"]
    assert swap == json.loads((tmp_path / "out" / "twins.json").read_text(encoding="utf-8"))
    assert swap["pairs"] == 3


@pytest.mark.usefixtures("fake")
def test_one_direction_writes_no_page_of_the_other(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--direction", "image-to-text", "--out", str(tmp_path / "out"), "--json"]
    assert main(["evaluate", "fake", "--data", str(manifest), *options]) == 0
    assert list(json.loads(capsys.readouterr().out)["results"]) == ["image-to-text"]
    assert not (tmp_path / "out" / "misses.html").exists()


@pytest.mark.usefixtures("fake")
def test_paraphrases_are_reported_beside_their_texts(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"id": "0_0", "kind": "keywords", "text": "red jacket blue trousers", "of": "caption"}
    (tmp_path / "p.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")
    options = ["--paraphrases", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "out")]
    arguments = ["evaluate", "fake", "--data", str(manifest), *options]
    assert main(arguments) == 0
    assert "keywords     1      R@1   100.0 %   100.0 %      +0.0" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["paraphrases"] == json.loads((tmp_path / "out" / "paraphrases.json").read_text(encoding="utf-8"))
    assert printed["paraphrases"]["kinds"]["keywords"]["r1"]["paraphrased"] == 1.0
    assert printed["results"]["text-to-image"]["queries"] == 10


@pytest.mark.usefixtures("fake")
def test_paraphrases_of_another_split_are_refused(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"id": "held out", "kind": "keywords", "text": "red jacket", "of": "phrase"}
    (tmp_path / "p.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")
    assert main(["evaluate", "fake", "--data", str(manifest), "--paraphrases", str(tmp_path / "p.jsonl")]) == 2
    err = capsys.readouterr().err
    assert "p.jsonl, line 1: none of the 5 records measured here has the id 'held out'" in err


@pytest.mark.usefixtures("fake")
def test_without_matplotlib_all_but_the_curve_is_written(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["evaluate", "fake", "--data", str(manifest), "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.md", "misses.html"}
    assert "pip install 'onlooker[train]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--results", "r.xlsx"], "written as .csv or .json"),
        (["--save-vectors", "v.txt"], "must end in .npz"),
        (["--results", "r.csv", "--direction", "image-to-text"], "--results are of text to image"),
        (["--out", "painted.jsonl"], "painted.jsonl is a file; --out wants a folder"),
        (["--split", "train"], "has no split 'train'"),
        (["--protocol", "person"], "no record has one"),
        (["--bootstrap", "1"], "at least 2, got 1"),
        (["--paraphrases", "p.jsonl"], "cannot read the paraphrases p.jsonl"),
        (["--paraphrases", "photos"], "cannot read the paraphrases photos"),
        (["--paraphrases", "painted.jsonl"], "painted.jsonl, line 1: key 'id'"),
        (["--paraphrases", "p.jsonl", "--limit", "3"], "leave --limit away"),
        (["--paraphrases", "p.jsonl", "--direction", "image-to-text"], "--paraphrases are of text to image"),
        (["--data", "gone.jsonl"], "cannot read the manifest"),
    ],
)
def test_a_wrong_command_is_one_sentence_before_anything_is_encoded(
    manifest: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    encoder = BentEncoder()
    monkeypatch.setattr(command, "open_model", lambda model: encoder)
    monkeypatch.chdir(manifest.parent)
    assert main(["evaluate", "fake", "--data", str(manifest), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert encoder.seen == []


@pytest.mark.parametrize("options", [["--limit", "0"], ["--split", "dev"], ["--top", "0"], ["--seed", "-1"]])
def test_values_out_of_range_are_usage_errors(
    manifest: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["evaluate", "fake", "--data", str(manifest), *options]) == 2
    assert options[0] in capsys.readouterr().err


def test_no_such_model(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "nowhere", "--data", str(manifest)]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err


@pytest.mark.train
def test_a_folder_that_is_no_model(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["evaluate", str(tmp_path / "empty"), "--data", str(manifest)]) == 2
    assert "no checkpoint here" in capsys.readouterr().err


def test_a_checkpoint_without_the_training_extra(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onlooker.encoders.checkpoint", None)
    (tmp_path / "run").mkdir()
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(manifest)]) == 2
    assert "pip install 'onlooker[train]'" in capsys.readouterr().err


def test_a_broken_bundle(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "model.json").write_text("{", encoding="utf-8")
    assert main(["evaluate", str(tmp_path / "bundle"), "--data", str(manifest)]) == 2
    assert "model.json is not JSON" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    assert "onlooker evaluate shipped --data" in capsys.readouterr().out


def test_a_bundle_is_evaluated_without_importing_torch_or_matplotlib() -> None:
    code = (
        "import sys; import onlooker.cli.evaluate, onlooker.evaluation.runner, onlooker.evaluation.misses, "
        "onlooker.evaluation.plots, onlooker.evaluation.results, onlooker.evaluation.agreement; "
        "print(sorted({'torch', 'transformers', 'matplotlib', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
