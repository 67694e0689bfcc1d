"""Retrains the best configurations with fresh seeds and scores them on fresh tasks.

Knows only the executors' interface. Every run writes its own result file, so the same command
resumes and trains only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import (
    Decision,
    Ended,
    Ending,
    EpochEnded,
    Event,
    Executor,
    Job,
    Lost,
    Started,
)
from hpsearch.json_files import ConfirmedRun
from hpsearch.paths import write_atomically
from hpsearch.records import dump_record, read_or_none
from hpsearch.seeding import derive_seed
from hpsearch.storage.agreement import trained_config
from hpsearch.storage.view import StudyView
from hpsearch.training.checkpoint_file import set_aside_foreign
from hpsearch.training.config import TrialConfig
from hpsearch.trial import TrialRecord
from hpsearch.wording import count, percent

MAX_ATTEMPTS = 3
"""Deaths of workers under one run after which confirming fails."""
MAX_SEEDS = 1000
INTERRUPT_S = 10.0
TICK_S = 0.1


@dataclass(frozen=True)
class Run:
    """One retraining: a trial's configuration with one fresh seed."""

    trial: int
    place: int
    """Index of the fresh seed, from 0; runs of one place share the seed and the tasks."""

    @property
    def number(self) -> int:
        """The number that identifies it to executors."""
        return self.trial * MAX_SEEDS + self.place

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.trial:05d}-{self.place}"


@dataclass
class _Active:
    """A run on a worker."""

    run: Run
    values: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    diagnosis: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def best_trials(view: StudyView, top: int) -> list[TrialRecord]:
    """Return the complete trials with the lowest validation error, the lowest first.

    Raises:
        InputError: The study has fewer than two complete trials.
    """
    complete = [t for t in view.trials if t.state == "complete" and t.value is not None]
    if len(complete) < 2:
        raise InputError(
            f"{view.folder.root}: {count(len(complete), 'complete trial')}; confirming compares "
            "at least two: continue the search"
        )
    return sorted(complete, key=lambda t: (t.value, t.number))[:top]


class Confirmation:
    """Trains the missing runs on any executor."""

    def __init__(
        self,
        view: StudyView,
        runs: list[Run],
        packed: Path,
        executor: Executor,
        tell: Callable[[str], None],
        interrupted: Callable[[], int],
        progress: Callable[[float, float], str] = lambda _done, _all: "",
    ) -> None:
        """Prepare; `train` starts the runs.

        Args:
            view: The study; the caller holds its lock.
            runs: The runs to train.
            packed: Folder of the packed data set.
            executor: The study's workers; closed by the caller.
            tell: Prints a one-line message.
            interrupted: Returns the number of interrupts so far.
            progress: Shows the epochs done of the total; returns the remaining time as text.
        """
        self._view, self._runs, self._executor, self._packed = view, runs, executor, packed
        self._tell, self._interrupted, self._progress = tell, interrupted, progress
        self._folder = view.folder.confirmation
        self._waiting = [run for run in runs if read_run(self._folder, run) is None]
        self._active: dict[int, _Active] = {}
        self._deaths: dict[int, int] = {}
        self._lengths = {t: self._config(t).max_epochs for t in {run.trial for run in runs}}

    def train(self) -> bool:
        """Train the missing runs; return whether all are complete.

        Raises:
            EnvironmentFailure: A run failed, or its workers died; the same command resumes.
        """
        done = len(self._runs) - len(self._waiting)
        if done:
            self._tell(f"{done} of {len(self._runs)} runs are complete already")
        self._left()
        while self._waiting or self._active:
            if self._interrupted():
                self._interrupt()
                return False
            while self._waiting and len(self._active) < self._executor.slots:
                self._submit(self._waiting.pop(0))
            for event in self._executor.events(TICK_S):
                self._handle(event)
        return True

    def _config(self, trial: int) -> TrialConfig:
        view = self._view
        values = trained_config(view, view.trials[trial])
        return TrialConfig.from_values(values, str(view.folder.trial(trial).config))

    def _left(self) -> str:
        """Show the number of epochs done; return the remaining time as text."""
        waiting = sum(self._lengths[run.trial] for run in self._waiting)
        running = sum(self._lengths[a.run.trial] - len(a.values) for a in self._active.values())
        total = sum(self._lengths[run.trial] for run in self._runs)
        return self._progress(total - waiting - running, total)

    def _submit(self, run: Run) -> None:
        view, config = self._view, self._config(run.trial)
        place = self._folder / run.name
        place.mkdir(parents=True, exist_ok=True)
        self._active[run.number] = _Active(run)
        job = Job(
            trial=run.number,
            config=config.plain(),
            seed=fresh_seed(view.config.seed, run.place),
            data=self._packed,
            study_seed=view.config.seed,
            checkpoint=place / "checkpoint",
            objective=view.config.objective,
            fresh=True,
        )
        if aside := set_aside_foreign(job.checkpoint, job.config, job.seed):
            self._tell(f"trial {run.trial}: {aside}")
        self._executor.submit(job)

    def _handle(self, event: Event) -> None:
        active = self._active.get(event.trial)
        if active is None:
            return
        if isinstance(event, Started):
            active.provenance = dict(event.provenance)
            for result in event.curve:
                active.values[result.epoch] = result.validation_error
        elif isinstance(event, EpochEnded):
            active.values[event.result.epoch] = event.result.validation_error
            active.seconds, active.diagnosis = event.result.seconds, event.result.diagnosis
            self._executor.decide(event.trial, Decision.GO)
            self._left()
        elif isinstance(event, Ended):
            del self._active[event.trial]
            self._ended(active, event)
        elif isinstance(event, Lost):
            del self._active[event.trial]
            deaths = self._deaths.get(event.trial, 0) + (not event.blameless)
            self._deaths[event.trial] = deaths
            if deaths >= MAX_ATTEMPTS:
                raise EnvironmentFailure(
                    f"{self._folder / active.run.name}: its worker died {deaths} times "
                    f"({event.cause}); fix that, then run the same command again"
                )
            self._tell(f"trial {active.run.trial}: {event.cause}; trying it again")
            self._waiting.insert(0, active.run)

    def _ended(self, active: _Active, event: Ended) -> None:
        run = active.run
        if event.ending is Ending.INTERRUPTED:
            return
        if event.ending not in (Ending.FINISHED, Ending.DIAGNOSED) or not event.scores:
            raise EnvironmentFailure(
                f"{self._folder / run.name}: training trial {run.trial} again failed "
                f"({event.cause or event.ending.value}); see the logs, then run the same command "
                "again"
            )
        error = 1 - sum(event.scores.values()) / len(event.scores)
        result = {
            "trial": run.trial,
            "place": run.place,
            "seed": fresh_seed(self._view.config.seed, run.place),
            "error": error,
            "per_alphabet": {name: 1 - share for name, share in event.scores.items()},
            "validation_error": min(active.values.values()),
            "epochs": len(active.values),
            "seconds": round(active.seconds, 2),
            "diagnosis": active.diagnosis,
            "provenance": active.provenance,
        }
        place = self._folder / run.name
        write_atomically(place / "result.json", dump_record(result))
        for name in ("checkpoint", "checkpoint.previous"):
            (place / name).unlink(missing_ok=True)
        left, rest = len(self._waiting) + len(self._active), self._left()
        broke = f" ({active.diagnosis})" if active.diagnosis else ""
        self._tell(
            f"trial {run.trial}, seed {run.place + 1}: error {percent(error)} on fresh tasks"
            f"{broke}; {left} of {len(self._runs)} runs left{f', {rest}' if rest else ''}"
        )

    def _interrupt(self) -> None:
        """Ask for checkpoints and handle the last events."""
        self._tell("stopping: running trainings write their checkpoints")
        self._executor.interrupt()
        deadline = time.monotonic() + INTERRUPT_S
        while self._active and self._interrupted() < 2 and time.monotonic() < deadline:
            for event in self._executor.events(TICK_S):
                if isinstance(event, Ended | Lost):
                    self._active.pop(event.trial, None)


def fresh_seed(study_seed: int, place: int) -> int:
    """Return a seed that no trial of the study was trained with, in [0, 2**32)."""
    return derive_seed(study_seed, "confirm", place) % 2**32


def read_run(folder: Path, run: Run) -> Mapping[str, Any] | None:
    """Return a run's result, None while there is none or if it is damaged."""
    found = read_or_none(folder / run.name / "result.json", ConfirmedRun)
    ours = found is not None and (found["trial"], found["place"]) == (run.trial, run.place)
    return found if ours else None
