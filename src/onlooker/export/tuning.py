"""A study: Optuna proposes values for a recipe's keys, a trial measures them, a file remembers all.

Two objectives, quality up and milliseconds down. The proposals come from the multi-objective tree-structured Parzen
estimator (Ozaki et al., "Multiobjective Tree-Structured Parzen Estimator", JAIR 2022): it learns from the tens of
trials that a small machine can afford, where a genetic search needs generations of fifty. Pruning exists for one
objective only, so what bounds a trial is its number of epochs.

    <folder>/study.db          Optuna's SQLite storage
    <folder>/trials/<digest>/  what each recipe left; a trial that is run again goes on there

A study ends at any time without harm: a trial that did not finish is found at the next start, marked failed, and tried
again with the same values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from onlooker.errors import ConfigError, DataError, MissingExtraError, OnlookerError, TrainingError
from onlooker.export.bundler import Precision
from onlooker.export.tuning_space import PRECISION, Space
from onlooker.export.tuning_trial import Measured, Quality, keep_little
from onlooker.training.recipes import Recipe

if TYPE_CHECKING:
    import optuna

RANDOM_TRIALS = 10
"""So many trials are drawn at random before the sampler begins to learn from them."""
ATTEMPTS = 3
"""A trial that so many processes ended with is not tried again: its values may be why."""
FAILURES = 3
"""So many failed trials at the start, without a good one, end the study: it is then the recipe or the data."""

State = Literal["complete", "failed", "interrupted"]
Measure = Callable[[Recipe, Precision, Path], Measured]
"""Takes the trial's recipe, the precision of its bundle and the trial's folder."""


@dataclass(frozen=True)
class Plan:
    """What a study varies and how; a study goes on only under the plan it was begun with.

    Attributes:
        base: The recipe that is varied.
        space: Its parameters.
        epochs: Passes over the training pictures in each trial.
        seed: Of the proposals and of every training.
        precision: Of the bundles, where the space does not vary it.
        quality: What counts as quality.
        threads: Of the timed encoder.
        data: Digest of the manifest.
    """

    base: Recipe
    space: Space
    epochs: int
    seed: int
    precision: Precision
    quality: Quality
    threads: int
    data: str

    def describe(self) -> dict[str, Any]:
        """Return all as JSON values."""
        return {
            "recipe": self.base.model_dump(mode="json", exclude_unset=True),
            "space": self.space.describe(),
            "epochs": self.epochs,
            "seed": self.seed,
            "precision": self.precision,
            "quality": self.quality,
            "threads": self.threads,
            "data": self.data,
        }

    def recipe(self, params: dict[str, Any]) -> Recipe:
        """Return the recipe of a trial with these parameters."""
        return self.space.recipe(self.base, params, {"run.epochs": self.epochs, "seed": self.seed})


@dataclass(frozen=True)
class TrialRecord:
    """One trial, as it stands in the study.

    Attributes:
        number: From 0, in the order of their start.
        state: ``interrupted`` trials have been tried again under another number.
        params: The values of the space's parameters.
        measured: The figures of a complete trial.
        reason: Why a trial failed.
        repeats: The number of an earlier trial with the same values, whose figures it took over.
        is_recipe: Whether these are the recipe's own values.
    """

    number: int
    state: State
    params: dict[str, Any]
    measured: Measured | None
    reason: str
    repeats: int | None
    is_recipe: bool


class Study:
    """An open study; use ``open_study``."""

    def __init__(self, folder: Path, plan: Plan, study: optuna.Study) -> None:
        self.folder, self.plan, self._study = folder, plan, study

    @property
    def new(self) -> bool:
        """Whether no trial has been begun."""
        return not self._study.get_trials(deepcopy=False)

    def trial_folder(self, params: dict[str, Any]) -> Path:
        """Return the folder of the trials with these parameters."""
        precision = self.plan.space.precision(params, self.plan.precision)
        what = json.dumps([self.plan.recipe(params).model_dump(mode="json"), precision], sort_keys=True)
        return self.folder / "trials" / hashlib.sha256(what.encode()).hexdigest()[:16]

    def records(self) -> list[TrialRecord]:
        """Return the trials that have ended, by number."""
        return self._records()

    def finished(self) -> int:
        """Return how many trials have ended, well or not; those that are tried again do not count."""
        return sum(record.state != "interrupted" for record in self._records())

    def run(
        self,
        trials: int,
        measure: Measure,
        *,
        before_trial: Callable[[int, dict[str, Any]], None] = lambda number, params: None,
        after_trial: Callable[[TrialRecord], None] = lambda record: None,
    ) -> None:
        """Go on until so many trials have ended.

        Args:
            trials: All trials of the study, those of earlier runs included.
            measure: Trains, exports and measures; its errors of Onlooker's own make the trial a failed one.
            before_trial: Told the number and the parameters.
            after_trial: Told how it ended.

        Raises:
            TrainingError: Nothing but failures at the start; the message has the last reason.
            KeyboardInterrupt: Out of ``measure``; the trial is tried again at the next start.
        """
        from optuna.trial import TrialState

        self._revive()
        if self.new:
            self._enqueue_recipe()
        distributions = self.plan.space.distributions()
        while (done := self.finished()) < trials:
            self._study.sampler = _sampler(self.plan.seed, done)
            trial = self._study.ask(distributions)
            before_trial(trial.number, trial.params)
            folder = self.trial_folder(trial.params)
            try:
                measured = self._known(trial.params, trial) or measure(
                    self.plan.recipe(trial.params),
                    self.plan.space.precision(trial.params, self.plan.precision),
                    folder,
                )
            except KeyboardInterrupt:
                # Wanted, so it says nothing against these values.
                trial.set_user_attr("stopped", True)
                raise
            except OnlookerError as error:
                trial.set_user_attr("reason", str(error))
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                trial.set_user_attr("measured", measured.to_dict())
                self._study.tell(trial, (measured.quality, measured.image.median_ms))
            keep_little(folder)
            records = self._records()
            after_trial(next(record for record in records if record.number == trial.number))
            self._check_progress(records)

    def _known(self, params: dict[str, Any], trial: optuna.Trial) -> Measured | None:
        """Return the figures of an earlier trial with the same values; a training repeated would give the same."""
        for record in self._records():
            if record.state == "complete" and record.params == params and record.repeats is None:
                trial.set_user_attr("repeats", record.number)
                return record.measured
        return None

    def _enqueue_recipe(self) -> None:
        """Begin with the recipe as it is, as far as the space holds its values: what the search has to beat."""
        start = self.plan.space.start(self.plan.base)
        distributions = self.plan.space.distributions()
        if PRECISION in distributions and self.plan.precision in distributions[PRECISION].choices:  # type: ignore[attr-defined]
            start[PRECISION] = self.plan.precision
        whole = set(distributions) - {PRECISION} <= set(start)
        if start:
            self._study.enqueue_trial(start, user_attrs={"is_recipe": whole})

    def _revive(self) -> None:
        """Mark trials that a dead process left running as failed, and queue their values again."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            attempt = trial.user_attrs.get("attempt", 1) + (not trial.user_attrs.get("stopped", False))
            self._study.tell(trial.number, state=TrialState.FAIL)
            # A process that died between beginning a trial and drawing its values has left nothing to try again.
            if attempt <= ATTEMPTS and set(trial.params) == {each.name for each in self.plan.space.parameters}:
                kept = {key: value for key, value in trial.user_attrs.items() if key == "is_recipe"}
                self._study.enqueue_trial(
                    trial.params, user_attrs={**kept, "attempt": attempt, "retry_of": trial.number}
                )

    def _records(self) -> list[TrialRecord]:
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        again = {trial.user_attrs.get("retry_of") for trial in trials}
        names = {parameter.name for parameter in self.plan.space.parameters}
        records = []
        for trial in trials:
            if trial.state not in (TrialState.COMPLETE, TrialState.FAIL):
                continue
            attrs = trial.user_attrs
            state: State = "complete" if trial.state == TrialState.COMPLETE else "failed"
            if state == "failed" and (trial.number in again or set(trial.params) != names):
                state = "interrupted"
            reason = attrs.get("reason", f"the process ended {ATTEMPTS} times during this trial")
            records.append(
                TrialRecord(
                    number=trial.number,
                    state=state,
                    params=dict(trial.params),
                    measured=Measured.from_dict(attrs["measured"]) if state == "complete" else None,
                    reason=reason if state == "failed" else "",
                    repeats=attrs.get("repeats"),
                    is_recipe=bool(attrs.get("is_recipe", False)),
                )
            )
        return records

    def _check_progress(self, records: list[TrialRecord]) -> None:
        failed = [record for record in records if record.state == "failed"]
        if len(failed) >= FAILURES and not any(record.state == "complete" for record in records):
            raise TrainingError(
                f"the first {len(failed)} trials all failed, so the study ends; the last: {failed[-1].reason}"
            )


@contextlib.contextmanager
def open_study(folder: Path, plan: Plan) -> Iterator[Study]:
    """Open the study of a folder, or begin one there.

    Args:
        folder: Made if needed.
        plan: What is varied and how.

    Yields:
        The study; nobody else can open it meanwhile.

    Raises:
        ConfigError: The study there was begun with another plan, another process works on it, or the folder cannot be
            one.
        DataError: The file there is no study.
        MissingExtraError: Optuna is not installed.
    """
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise MissingExtraError("tuning needs Optuna: pip install 'onlooker[train]'") from error
    folder = folder.resolve()
    if "?" in str(folder):
        raise ConfigError(f"{folder}: a study's folder cannot have '?' in its path; choose another --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be the folder of a study ({error.strerror})") from error
    file = folder / "study.db"
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with _alone(folder):
            try:
                storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
            except (SQLAlchemyError, RuntimeError) as error:
                raise DataError(f"{file}: no study of this version of Optuna; choose another --output") from error
            try:
                study = optuna.create_study(
                    storage=storage, study_name="model", directions=["maximize", "minimize"], load_if_exists=True
                )
                _check_plan(folder, study, plan)
                yield Study(folder, plan, study)
            finally:
                storage.remove_session()
                storage.engine.dispose()
    finally:
        optuna.logging.set_verbosity(verbosity)


def _check_plan(folder: Path, study: optuna.Study, plan: Plan) -> None:
    wanted = json.loads(json.dumps(plan.describe()))
    begun = study.user_attrs.get("plan")
    if begun is None or not study.get_trials(deepcopy=False):
        study.set_user_attr("plan", wanted)
        return
    other = [key for key in wanted if wanted[key] != begun.get(key)]
    if other:
        raise ConfigError(
            f"{folder}: the study there was begun with another {' and '.join(other)}; give what it was begun with, or "
            "choose another --output"
        )


def _sampler(seed: int, done: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of the next trial.

    A sampler's random state is not stored, so one seed for all would make a study that goes on propose its first values
    again. Seeded anew by the number of trials done, it proposes what an uninterrupted study would.
    """
    from optuna.samplers import TPESampler

    return TPESampler(seed=int(np.random.default_rng([seed, done]).integers(1 << 31)), n_startup_trials=RANDOM_TRIALS)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process out while the block runs.

    An SQLite transaction as lock: it works on every system, and the system itself ends it when its process dies.
    """
    connection = sqlite3.connect(folder / "study.lock", timeout=0, isolation_level=None)
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise ConfigError(f"{folder}: cannot be the folder of a study ({error})") from error
            raise ConfigError(
                f"{folder}: another process works on this study; wait for it, or choose another --output"
            ) from error
        yield
    finally:
        connection.close()
