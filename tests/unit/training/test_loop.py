"""Whole runs of a tiny CLIP checkpoint on painted people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from onlooker.datasets.manifest import Manifest  # noqa: E402
from onlooker.encoders.checkpoint import load_checkpoint, read_info  # noqa: E402
from onlooker.errors import ConfigError, DataError, TrainingError  # noqa: E402
from onlooker.evaluation.metrics import retrieval  # noqa: E402
from onlooker.training.loop import RunResult, StepReport, Training, restart  # noqa: E402
from onlooker.training.recipes import parse_recipe, recipe_json  # noqa: E402
from tests.tiny_models import OUTFITS, clip_folder, painted_people, recipe_table  # noqa: E402

pytestmark = pytest.mark.train


def score(similarity: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    return asdict(retrieval(similarity, relevant))


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return painted_people(tmp_path_factory.mktemp("people"))


def training(clip: Path, people: Manifest, output: Path, **changes: Any) -> Training:
    return Training(parse_recipe(recipe_table(clip, **changes), "test"), people, output, score)


class Stopped(Exception):
    """Raised by a test after a step, as a kill that leaves the process alive."""


def stopping_after(batches: int) -> Any:
    seen = []

    def after_step(report: StepReport) -> None:
        seen.append(report)
        if len(seen) == batches:
            raise Stopped

    return after_step


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(folder).state_dict())


def assert_same(one: Path, two: Path) -> None:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture(scope="session")
def finished(clip: Path, people: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    output = tmp_path_factory.mktemp("finished") / "run"
    return output, training(clip, people, output, run={"epochs": 12, "choose": "rsum"}).run()


def test_it_learns_the_colours(finished: tuple[Path, RunResult]) -> None:
    _, result = finished
    losses = [entry["train_loss"] for entry in result.history]
    assert losses[-1] < 0.6 * losses[0]
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.history[-1]["r5"] > 0.6 > result.history[0]["r1"]


def test_the_best_is_the_one_that_validation_chose(finished: tuple[Path, RunResult], people: Manifest) -> None:
    output, result = finished
    sums = [entry["r1"] + entry["r5"] + entry["r10"] for entry in result.history]
    assert result.best_epoch == int(np.argmax(sums))
    record = read_info(output / "best")["record"]
    assert record["chosen"] == result.history[result.best_epoch]
    # The weights are of that epoch: measured again they give the same figures.
    from onlooker.encoders.checkpoint import open_encoder
    from onlooker.evaluation.runner import evaluate

    report = evaluate(open_encoder(output), people.split("val"), texts="captions", bootstrap=0).report.to_dict()
    assert report["results"]["text-to-image"]["r1"] == pytest.approx(record["chosen"]["r1"], abs=0.04)


def test_what_the_folder_holds(finished: tuple[Path, RunResult], people: Manifest) -> None:
    output, result = finished
    assert sorted(path.name for path in output.iterdir()) == ["best", "curves.png", "history.json", "last", "run.json"]
    assert json.loads((output / "history.json").read_text()) == result.history
    assert len(result.history) == 12
    from onlooker.runtime.pictures import read_picture

    assert len(np.unique(read_picture(output / "curves.png").reshape(-1, 3), axis=0)) > 20
    for record in (json.loads((output / "run.json").read_text()), read_info(output / "best")["record"]):
        assert record["recipe"]["seed"] == 0
        assert record["data"] == {"dataset": "painted", "terms": people.terms, "splits": {"train": 16, "val": 16}}
        assert {"onlooker", "torch", "transformers", "peft", "python"} <= record["versions"].keys()
        assert 0 < record["parameters"]["trainable"] < record["parameters"]["all"]
        assert record["machine"]["device"] == "cpu"
    adapters = sorted(path.name for path in (output / "best" / "adapters" / "image").iterdir())
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {*adapters}


def test_one_seed_gives_one_result_and_another_seed_another(clip: Path, people: Manifest, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        training(clip, people, tmp_path / name, seed=seed, run={"epochs": 1}).run()
    assert_same(tmp_path / "a" / "best", tmp_path / "b" / "best")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "a" / "best", tmp_path / "c" / "best")


RESUMED = {
    "plain": {"run": {"checkpoint_s": 1e-6}},
    "average, cosine, accumulation": {
        "run": {"checkpoint_s": 1e-6, "ema_decay": 0.9},
        "schedule": {"kind": "cosine"},
        "optimiser": {"accumulate": 3},
        "data": {"word_dropout": 0.2, "augmentation": {"flip": 0.5}},
    },
    "plateau": {"run": {"checkpoint_s": 1e-6}, "schedule": {"kind": "plateau", "patience": 0}},
}


@pytest.mark.parametrize(
    ("kind", "stop"),
    [("plain", 1), ("plain", 3), ("plateau", 6), ("average, cosine, accumulation", 4)],
)
def test_a_stopped_run_ends_as_if_it_had_not(
    clip: Path, people: Manifest, tmp_path: Path, kind: str, stop: int
) -> None:
    changes = RESUMED[kind]
    whole = training(clip, people, tmp_path / "whole", **changes).run()
    with pytest.raises(Stopped):
        training(clip, people, tmp_path / "parts", **changes).run(stopping_after(stop))
    again = training(clip, people, tmp_path / "parts", **changes)
    # Within the first group of batches nothing has been saved yet, and it begins again.
    assert again.resume() == (stop > 2)
    assert again.done < stop
    result = again.run()
    assert result.history == whole.history
    assert result.best_epoch == whole.best_epoch
    assert_same(tmp_path / "parts" / "best", tmp_path / "whole" / "best")


def test_a_stop_that_is_asked_for_saves_first(clip: Path, people: Manifest, tmp_path: Path) -> None:
    """Ctrl-C between two checkpoints loses no step."""
    asked = iter([False, True])
    first = training(clip, people, tmp_path / "run", run={"epochs": 2, "checkpoint_s": 1e6})
    with pytest.raises(KeyboardInterrupt):
        first.run(stop_asked=lambda: next(asked))
    second = training(clip, people, tmp_path / "run", run={"epochs": 2, "checkpoint_s": 1e6})
    assert second.resume()
    assert second.done == 2


def test_a_finished_run_stays_as_it_is(finished: tuple[Path, RunResult], clip: Path, people: Manifest) -> None:
    output, result = finished
    again = training(clip, people, output, run={"epochs": 12, "choose": "rsum"})
    assert again.resume()
    assert again.run().history == result.history


def test_another_recipe_or_other_data_in_the_same_folder_is_refused(
    clip: Path, people: Manifest, tmp_path: Path
) -> None:
    training(clip, people, tmp_path, run={"epochs": 1}).run()
    with pytest.raises(DataError, match=r"another recipe \(optimiser\.image_lr, seed differ\)"):
        training(clip, people, tmp_path, run={"epochs": 1}, seed=3, optimiser={"image_lr": 0.1}).resume()
    fewer = Manifest(people.dataset, people.root, people.terms, people.records[1:])
    with pytest.raises(DataError, match="begun with other records"):
        training(clip, fewer, tmp_path, run={"epochs": 1}).resume()
    # What changes no result may change.
    assert training(clip, people, tmp_path, run={"epochs": 1, "checkpoint_s": 5}, description="New.").resume()
    restart(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not training(clip, people, tmp_path, seed=3).resume()


@pytest.mark.parametrize("file", ["state.pt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"nonsense" * 20])
def test_a_damaged_state_is_one_sentence(
    clip: Path, people: Manifest, tmp_path: Path, file: str, content: bytes
) -> None:
    training(clip, people, tmp_path, run={"epochs": 1}).run()
    (tmp_path / "last" / file).write_bytes(content)
    with pytest.raises(DataError, match=rf"{file}: cannot be read; begin again with --restart"):
        training(clip, people, tmp_path, run={"epochs": 1}).resume()


def test_a_nan_loss_stops_with_the_batch_named(tmp_path: Path) -> None:
    clip = clip_folder(tmp_path / "poisoned", poison=True)
    people = painted_people(tmp_path / "people", captions={5: ["a poison shirt"]})
    run = training(clip, people, tmp_path / "run", run={"checkpoint_s": 1e-6, "epochs": 1})
    seen: list[StepReport] = []
    with pytest.raises(TrainingError) as caught:
        run.run(seen.append)
    message = str(caught.value)
    assert "the loss is nan in epoch 1, batch " in message
    assert f"batch {len(seen) + 1} " in message
    order = list(run.sampler.__iter__())
    batch = order[len(seen)]
    assert 5 in batch
    assert all(f"train{number}" in message for number in batch)


def test_spoilt_weights_at_validation_stop_the_run(tmp_path: Path) -> None:
    clip = clip_folder(tmp_path / "poisoned", poison=True)
    people = painted_people(tmp_path / "people")
    records = [
        record.model_copy(update={"captions": ["poison"]}) if record.id == "val3" else record
        for record in people.records
    ]
    run = training(clip, Manifest("painted", people.root, "", records), tmp_path / "run", run={"epochs": 1})
    with pytest.raises(TrainingError, match="vectors that are not finite on the validation split"):
        run.run()


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 4), (3, 2)])
def test_accumulated_batches_make_one_step(
    clip: Path, people: Manifest, tmp_path: Path, accumulate: int, steps: int
) -> None:
    run = training(clip, people, tmp_path, run={"epochs": 1}, optimiser={"accumulate": accumulate})
    assert (run.batches, run.steps) == (4, steps)
    assert run.run().history[0]["step"] == steps


def test_a_step_is_the_mean_of_its_batches(clip: Path, people: Manifest, tmp_path: Path) -> None:
    """Twice the same batch in a group, and the same batch alone, give the same step; also in a short group."""
    results = []
    for name, batch_size, accumulate in (("alone", 16, 1), ("short group", 16, 7)):
        changes = {"use_lora": False, "optimiser": {"accumulate": accumulate, "clip_norm": 1e9}}
        run = training(clip, people, tmp_path / name, run={"epochs": 1, "batch_size": batch_size}, **changes)
        run.run()
        results.append(tmp_path / name / "best")
    assert_same(*results)


def test_max_steps_end_a_run_early(clip: Path, people: Manifest, tmp_path: Path) -> None:
    result = training(clip, people, tmp_path, run={"epochs": 9, "max_steps": 6}).run()
    assert [entry["step"] for entry in result.history] == [4, 6]


@pytest.mark.parametrize("kind", ["contrastive", "sdm", "sigmoid"])
def test_every_loss_trains_fully_and_in_bfloat16(clip: Path, people: Manifest, tmp_path: Path, kind: str) -> None:
    changes = {"loss": {"kind": kind}, "use_lora": False, "run": {"epochs": 5, "precision": "bfloat16"}}
    run = training(clip, people, tmp_path, **changes)
    assert run.count_parameters()["all"] == run.count_parameters()["trainable"]
    history = run.run().history
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_what_is_asked_for_must_be_there(clip: Path, people: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'holdout'"):
        training(clip, people, tmp_path, data={"train_split": "holdout"})
    with pytest.raises(DataError, match="has any phrases"):
        training(clip, people, tmp_path, data={"texts": "phrases"})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be the folder of a run"):
        training(clip, people, tmp_path / "file").run()
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            training(clip, people, tmp_path, run={"device": "cuda"})


def test_one_validation_picture_is_enough(clip: Path, tmp_path: Path) -> None:
    people = painted_people(tmp_path / "people")
    records = [record for record in people.records if record.split == "train" or record.id == "val0"]
    result = training(clip, Manifest("one", people.root, "", records), tmp_path / "run", run={"epochs": 1}).run()
    assert result.history[0]["r1"] == 1.0


def test_a_recipe_survives_its_record(clip: Path) -> None:
    recipe = parse_recipe(recipe_table(clip), "test")
    assert parse_recipe(recipe_json(recipe), "json") == recipe
    assert len(OUTFITS) == 16


def test_mixes_of_start_and_end_are_validated_and_the_best_of_all_is_kept(
    finished: tuple[Path, RunResult], clip: Path, people: Manifest, tmp_path: Path
) -> None:
    start = str(finished[0])
    settings = {"epochs": 2, "choose": "loss", "start_from": start, "blends": [0.25, 0.5]}
    result = training(clip, people, tmp_path / "run", run=settings).run()
    marks = json.loads((tmp_path / "run" / "blends.json").read_text(encoding="utf-8"))
    assert [entry["blend"] for entry in marks] == [0.25, 0.5]
    least = min(entry["loss"] for entry in [*result.history, *marks])
    assert result.chosen["loss"] == least
    assert read_info(result.best)["record"]["chosen"] == result.chosen
    before = weights(result.best)
    again = training(clip, people, tmp_path / "run", run=settings)
    assert again.resume()
    assert again.run().chosen == result.chosen
    assert all(torch.equal(before[name], value) for name, value in weights(result.best).items())
    with pytest.raises(ConfigError, match=r"need run\.start_from"):
        training(clip, people, tmp_path / "other", run={"blends": [0.5]})
