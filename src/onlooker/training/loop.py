"""The training run: from a recipe and a manifest to a folder with the best checkpoint, curves and a record.

<output>/best/           the checkpoint that validation chose (see onlooker.encoders.checkpoint)
<output>/last/           where the run stands, to go on after a stop
<output>/history.json, curves.png, run.json
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onlooker.datasets.crops import CropDataset
from onlooker.datasets.manifest import Manifest
from onlooker.datasets.twins import TwinDataset, for_twins
from onlooker.encoders.checkpoint import (
    image_spec,
    load_checkpoint,
    make_tokenizer,
    read_info,
    recover_folder,
    save_checkpoint,
)
from onlooker.encoders.dual import DualEncoder, build
from onlooker.encoders.lora import add_adapters
from onlooker.encoders.text_towers import tokenizer_file
from onlooker.errors import ConfigError, TrainingError
from onlooker.files import write_json
from onlooker.training.batches import Batch, Collate, EpochSampler, TrainingItems, encode_groups, make_loader
from onlooker.training.curves import write_curves
from onlooker.training.frozen import TeacherPanel, open_finished, take_text_side, take_weights
from onlooker.training.objective import Objective
from onlooker.training.optimisation import MovingAverage, Schedule, make_optimiser
from onlooker.training.origins import choose_device, data_digest, versions
from onlooker.training.recipes import Recipe, recipe_json
from onlooker.training.state import Progress, find_state, load_state, save_state
from onlooker.training.validation import Scorer, Validation
from onlooker.training.wording import aim_at_words


@dataclass(frozen=True)
class StepReport:
    """What the caller may show after each batch.

    Attributes:
        epoch: From 0.
        batch: Batches done in this epoch.
        batches: Batches of an epoch.
        loss: Of this batch.
        image_lr: Learning rate of the image tower.
    """

    epoch: int
    batch: int
    batches: int
    loss: float
    image_lr: float


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        best: Folder of the chosen checkpoint.
        history: One entry an epoch.
        best_epoch: The epoch that was chosen, from 0.
        chosen: The figures of the chosen checkpoint: that epoch's entry, or those of a blend with it.
    """

    best: Path
    history: list[dict[str, Any]]
    best_epoch: int
    chosen: dict[str, Any]


class Training:
    """One run of a recipe on a manifest.

    Args:
        recipe: What to do.
        manifest: The data; must have the recipe's training and validation splits.
        output: The run's folder.
        scorer: Measures ranks (see ``onlooker.training.validation.Scorer``).

    Raises:
        ConfigError: The recipe asks for what this machine does not have.
        DataError: A split is missing or has no fitting text.
    """

    def __init__(self, recipe: Recipe, manifest: Manifest, output: Path, scorer: Scorer) -> None:
        self.recipe, self.manifest, self.output, self._scorer = recipe, manifest, output, scorer
        torch.manual_seed(recipe.seed)
        self.device = choose_device(recipe.run.device)
        self.model: DualEncoder = add_adapters(build(recipe.effective_model())).to(self.device)
        taken: set[str] = set()
        if recipe.run.start_from is not None:
            taken = take_weights(self.model, recipe.run.start_from, "run.start_from")
        if recipe.run.heads_only:
            self.model.keep("image_tower", "text_tower")
        self._start: dict[str, Tensor] = {}
        if recipe.run.blends:
            learning = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
            state = self.model.state_dict()
            self._start = {name: state[name].clone() for name in taken & learning}
        teachers = [open_finished(folder, "run.teachers").to(self.device) for folder in recipe.run.teachers]
        if (source := recipe.run.text_from) is not None:
            # Opened once where it is a teacher too: then both are one tower, and texts are read once.
            known = dict(zip(recipe.run.teachers, teachers, strict=True))
            finished = known.get(source) or open_finished(source, "run.text_from").to(self.device)
            take_text_side(self.model, finished, "run.text_from")
        self._teachers = TeacherPanel(teachers) if teachers else None
        if self.device.type == "cpu":
            # Depthwise convolutions run about 1.5 times as fast in this layout on a CPU.
            self.model.image_tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tokenizer_path = tokenizer_file(recipe.model.text)
        begun = recipe.run.text_from is not None or "text_parts.scores.weight" in taken
        if recipe.model.parts is not None and not begun:
            aim_at_words(self.model, self.tokenizer_path)
        tokenizer = make_tokenizer(recipe.model, self.tokenizer_path)
        spec = image_spec(self.model)
        data = recipe.data
        augmentation = data.augmentation
        needs: dict[str, Any] = augmentation.needs() if augmentation is not None else {}
        if data.twins_per_batch:
            needs["masks"] = True
        self.dataset = CropDataset(
            manifest.split(data.train_split),
            spec,
            data.texts,
            augment=augmentation.apply if augmentation is not None else None,
            seed=recipe.seed,
            texts_per_item=data.texts_per_image,
            grid=(spec.height // 16, spec.width // 16) if recipe.loss.segmentation else None,
            cache=data.cache_bytes > 0,
            cache_bytes=data.cache_bytes,
            **needs,
        )
        twins = None
        if data.twins_per_batch:
            twins = TwinDataset(self.dataset, for_twins(augmentation).apply if augmentation is not None else None)
        self.sampler = EpochSampler(len(self.dataset), recipe.run.batch_size, recipe.seed, data.twins_per_batch)
        collate = Collate(tokenizer, spec, word_dropout=data.word_dropout, phrasing=data.phrasing)
        self._loader = make_loader(TrainingItems(self.dataset, twins), self.sampler, collate, data.workers)
        self._validation = Validation(
            manifest.split(data.val_split),
            spec,
            tokenizer,
            data.texts,
            recipe.run.batch_size,
            twins=data.twins_per_batch > 0,
        )
        parts = recipe.model.parts
        self._objective = Objective(recipe.loss, parts.regions if parts is not None else ())
        self.batches = len(self.sampler)
        self.steps = self._total_steps()
        self._optimiser = make_optimiser(self.model, recipe.optimiser)
        self._schedule = Schedule(self._optimiser, recipe.schedule, self.steps)
        decay = recipe.run.ema_decay
        self._average = MovingAverage(self.model, decay) if decay is not None else None
        self._progress = Progress()
        self._data = data_digest(manifest)
        self._saved_at = time.monotonic()

    def _total_steps(self) -> int:
        steps = self.recipe.run.epochs * -(-self.batches // self.recipe.optimiser.accumulate)
        return min(steps, self.recipe.run.max_steps or steps)

    def resume(self) -> bool:
        """Go on from the state in the output folder, if there is one; returns whether there was.

        Raises:
            DataError: The state belongs to another recipe.
        """
        recover_folder(self.output / "best")
        found = find_state(self.output / "last")
        if found is None:
            return False
        self._progress = load_state(
            found,
            self.model,
            self._optimiser,
            self._schedule,
            self._average,
            recipe_json(self.recipe),
            self._data,
        )
        return True

    @property
    def done(self) -> int:
        """Batches done so far, over all epochs."""
        return self._progress.epoch * self.batches + self._progress.batch

    def run(
        self,
        after_step: Callable[[StepReport], None] = lambda report: None,
        after_epoch: Callable[[dict[str, Any]], None] = lambda entry: None,
        stop_asked: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Train to the end, keep the best checkpoint, write curves and the record.

        Args:
            after_step: Called after each batch.
            after_epoch: Called with the epoch's entry of the history.
            stop_asked: Looked at after each optimiser step; when it says yes the state is saved and the run ends.

        Returns:
            Where the best checkpoint is, and the history.

        Raises:
            TrainingError: A loss is NaN or infinite; the message names the batch. The last good state stays on disk.
            ConfigError: The output folder cannot be made.
            KeyboardInterrupt: ``stop_asked`` said yes; the state is saved.
        """
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.output}: cannot be the folder of a run ({error.strerror})") from error
        progress = self._progress
        self.model.train()
        while progress.epoch < self.recipe.run.epochs and progress.step < self.steps:
            self._epoch(after_step, stop_asked)
            entry = self._validate()
            after_epoch(entry)
            progress.history.append(entry)
            self._keep_if_best(entry)
            progress.epoch, progress.batch, progress.epoch_losses = progress.epoch + 1, 0, []
            self._save()
        self._blend()
        write_curves(self.output, progress.history, f"{self.recipe.name}, seed {self.recipe.seed}")
        write_json(self.output / "run.json", self._record())
        assert progress.best_epoch is not None
        chosen = read_info(self.output / "best")["record"]["chosen"]
        return RunResult(self.output / "best", progress.history, progress.best_epoch, chosen)

    def _epoch(self, after_step: Callable[[StepReport], None], stop_asked: Callable[[], bool]) -> None:
        progress = self._progress
        self.dataset.set_epoch(progress.epoch)
        self.sampler.start(progress.epoch, progress.batch)
        accumulate = self.recipe.optimiser.accumulate
        for batch in self._loader:
            loss = self._forward(batch)
            value = float(loss.detach())
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss is {value} in epoch {progress.epoch + 1}, batch {progress.batch + 1} "
                    f"(records {self._names(batch)}); lower the learning rates or set optimiser.clip_norm"
                )
            # The group that closes an epoch may be a short one.
            group = min(accumulate, self.batches - progress.batch // accumulate * accumulate)
            (loss / group).backward()  # type: ignore[no-untyped-call]
            progress.batch += 1
            progress.epoch_losses.append(value)
            if progress.batch % accumulate == 0 or progress.batch == self.batches:
                self._step()
            rate = self._optimiser.param_groups[0]["lr"]
            after_step(StepReport(progress.epoch, progress.batch, self.batches, value, rate))
            if progress.step >= self.steps:
                return
            if progress.batch % accumulate == 0:
                stopping = stop_asked()
                if stopping or time.monotonic() - self._saved_at > self.recipe.run.checkpoint_s:
                    self._save()
                if stopping:
                    raise KeyboardInterrupt

    def _forward(self, batch: Batch) -> Tensor:
        pixels = batch.pixels.to(self.device)
        if self.device.type == "cpu":
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            images = self.model.look(pixels)
            texts = encode_groups(self.model, batch.groups, self.device)
        teachers = None
        if self._teachers is not None:
            teachers = self._teachers.ask(batch, pixels, self.model, texts.vectors.float())
        return self._objective(images.float(), texts.float(), batch, self.model.temperature, teachers)

    def _step(self) -> None:
        if self.recipe.optimiser.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._schedule.after_step()
        self._progress.step += 1
        if self._average is not None:
            self._average.update(self.model)

    def _validate(self) -> dict[str, Any]:
        progress = self._progress
        with self._averaged():
            figures = self._validation.run(self.model, self._objective.whole, self._scorer)
        self._schedule.after_epoch(figures["loss"])
        train_loss = sum(progress.epoch_losses) / max(1, len(progress.epoch_losses))
        return {
            "epoch": progress.epoch,
            "step": progress.step,
            "train_loss": train_loss,
            "temperature": float(self.model.temperature.detach()),
            **figures,
        }

    def _blend(self) -> None:
        """Validate mixes of the start and the best weights, and keep the best of all (WiSE-FT, Wortsman et al., 2022).

        What a last step learns it learns at the cost of what came before; between the two, both are often better.
        """
        marks = self.output / "blends.json"
        if not self.recipe.run.blends or marks.is_file():
            return
        best = load_checkpoint(self.output / "best").state_dict()
        chosen = read_info(self.output / "best")["record"]["chosen"]
        found = []
        for share in self.recipe.run.blends:
            mixed = {
                name: torch.lerp(start.cpu(), best[name], share) if name in self._start else best[name]
                for name, start in {**best, **self._start}.items()
            }
            self.model.load_state_dict(mixed)
            figures = self._validation.run(self.model, self._objective.whole, self._scorer)
            entry = {**chosen, **figures, "blend": share}
            found.append(entry)
            value = self._value(entry)
            if self._progress.best is None or value > self._progress.best:
                self._progress.best = value
                save_checkpoint(
                    self.output / "best", self.model, self.tokenizer_path, {**self._record(), "chosen": entry}
                )
        write_json(marks, found)

    def _value(self, entry: dict[str, Any]) -> float:
        """Return what the best checkpoint is chosen by, more being better."""
        total = entry["r1"] + entry["r5"] + entry["r10"]
        values: dict[str, float] = {
            "loss": -entry["loss"],
            "r1": entry["r1"],
            "rsum": total,
            "rsum+twins": total + entry.get("twins", 0.0),
        }
        return values[self.recipe.run.choose]

    def _keep_if_best(self, entry: dict[str, Any]) -> None:
        value = self._value(entry)
        progress = self._progress
        if progress.best is not None and not value > progress.best:
            return
        progress.best, progress.best_epoch = value, entry["epoch"]
        with self._averaged():
            save_checkpoint(self.output / "best", self.model, self.tokenizer_path, {**self._record(), "chosen": entry})

    @contextlib.contextmanager
    def _averaged(self) -> Any:
        """Use the averaged weights while the block runs."""
        if self._average is None:
            yield
            return
        self._average.swap(self.model)
        try:
            yield
        finally:
            self._average.swap(self.model)

    def _autocast(self) -> Any:
        wanted = self.recipe.run.precision
        if wanted == "bfloat16" or (wanted == "auto" and self.device.type == "cuda"):
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _save(self) -> None:
        save_state(
            self.output / "last",
            self.model,
            self._optimiser,
            self._schedule,
            self._average,
            self._progress,
            recipe_json(self.recipe),
            self._data,
        )
        self._saved_at = time.monotonic()

    def _names(self, batch: Batch) -> str:
        records = self.dataset.manifest.records
        names = [records[number].id for number in batch.records]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    def count_parameters(self) -> dict[str, int]:
        """Return how many weights the model has (``all``) and how many are trained (``trainable``)."""
        counts = [(weight.numel(), weight.requires_grad) for weight in self.model.parameters()]
        return {
            "all": sum(count for count, _ in counts),
            "trainable": sum(count for count, trained in counts if trained),
        }

    def _record(self) -> dict[str, Any]:
        return {
            "recipe": recipe_json(self.recipe),
            "data": {
                "dataset": self.manifest.dataset,
                "terms": self.manifest.terms,
                "splits": {str(name): count for name, count in self.manifest.split_counts().items()},
            },
            "parameters": self.count_parameters(),
            "epochs_done": self._progress.epoch,
            "machine": {"system": platform.platform(), "device": str(self.device), "threads": torch.get_num_threads()},
            "versions": versions(),
        }


def restart(output: Path) -> None:
    """Remove what an earlier run left in its folder."""
    for name in ("last", "best"):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in ("history.json", "curves.png", "run.json", "blends.json"):
        (output / name).unlink(missing_ok=True)
