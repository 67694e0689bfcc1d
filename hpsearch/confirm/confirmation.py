"""Retrains the best configurations with fresh seeds; networks are scored on fresh tasks.

Knows only the executors' interface. Every run writes its own result file, so the same command
resumes and trains only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.confirm.front import first_of_front
from hpsearch.confirm.gain import is_start
from hpsearch.driver.progress import RunningTrial
from hpsearch.driver.trainings import Trainings
from hpsearch.errors import InputError
from hpsearch.execution import Ended, Ending, Executor, Job
from hpsearch.json_files import ConfirmedRun
from hpsearch.paths import remove, write_atomically
from hpsearch.records import dump_record, read_or_none
from hpsearch.seeding import derive_seed
from hpsearch.storage.agreement import trained_config
from hpsearch.storage.view import StudyView
from hpsearch.study.handed_over import handed_over
from hpsearch.trainers.recipe import Recipe, read_recipe
from hpsearch.training.checkpoint_file import previous, set_aside_foreign
from hpsearch.trial import TrialRecord
from hpsearch.wording import count

MAX_SEEDS = 1000


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


def candidates(view: StudyView) -> list[TrialRecord]:
    """Return the trained trials that can be compared, the lowest error first; none if too few.

    One at least is complete. With several objectives all are.
    """
    trained = [
        t for t in view.trials
        if t.settled and t.trainable and t.value is not None and not is_start(t)
    ]  # fmt: skip
    complete = [t for t in trained if t.state == "complete"]
    found = complete if view.config.goals.several else trained
    if len(found) < 2 or not complete:
        return []
    return sorted(found, key=lambda t: (t.state != "complete", t.value, t.number))


def best_trials(view: StudyView, top: int) -> list[TrialRecord]:
    """Return the trained trials that the study would hand over, the first of them first.

    The one of the lowest error is among them: what it has lost says how lucky the search was. A
    pruned trial is among them only where there is no other to compare.

    With several objectives they are the front's, those that add most to it first; at least two.

    Raises:
        InputError: The study has fewer than two trained trials, or none is complete.
    """
    found = candidates(view)
    if not found:
        complete = sum(t.state == "complete" and not is_start(t) for t in view.trials)
        raise InputError(
            f"{view.folder.root}: {count(complete, 'trained complete trial')}; confirming "
            "compares at least one with another that was trained: continue the search"
        )
    if view.config.goals.several:
        return first_of_front(found, view.config.goals, top)
    ranked = [t for t in handed_over(view.folder, view.config, view.trials) if not is_start(t)]
    ranked += [t for t in found if t not in ranked][: max(0, 2 - len(ranked))]
    return ranked[:top] if found[0] in ranked[:top] else [*ranked[: top - 1], found[0]]


class Confirmation(Trainings):
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
        """Prepare; `run` trains the missing runs and raises EnvironmentFailure if one fails.

        Args:
            view: The study; the caller holds its lock.
            runs: The runs to train.
            packed: Folder of the packed data set; a command has none.
            executor: The study's workers; closed by the caller.
            tell: Prints a one-line message.
            interrupted: Returns the number of interrupts so far.
            progress: Shows the epochs done of the total; returns the remaining time as text.
        """
        super().__init__(executor, tell, interrupted)
        self._view, self._packed, self._progress = view, packed, progress
        self._folder = view.folder.confirmation
        self._runs = {run.number: run for run in runs}
        self._waiting = [run.number for run in runs if read_run(self._folder, run) is None]
        self._configs = {t: self._config(t) for t in {run.trial for run in runs}}

    def _config(self, number: int) -> Recipe:
        view = self._view
        values = trained_config(view, view.trials[number])
        return read_recipe(values, str(view.folder.trial(number).config))

    def _begin(self) -> None:
        if done := len(self._runs) - len(self._waiting):
            self._tell(f"{done} of {len(self._runs)} runs are complete already")
        self._left()

    def _over(self) -> str | None:
        return None if self._waiting or self._running else "all runs are complete"

    def _left(self) -> str:
        """Show the number of epochs done; return the remaining time as text."""
        lengths = {n: self._configs[run.trial].max_epochs for n, run in self._runs.items()}
        left = sum(lengths[n] for n in [*self._waiting, *self._running])
        left -= sum(len(running.curve) for running in self._running.values())
        return self._progress(sum(lengths.values()) - left, sum(lengths.values()))

    def _job(self, number: int) -> Job:
        run, study = self._runs[number], self._view.config
        place = self._folder / run.name
        place.mkdir(parents=True, exist_ok=True)
        job = Job(
            trial=number,
            config=self._configs[run.trial].plain(),
            seed=fresh_seed(study.seed, run.place),
            data=self._packed,
            study_seed=study.seed,
            checkpoint=place / "checkpoint",
            objective=study.objective,
            ways=study.ways,
            shots=study.shots,
            fresh=study.trainer is None,
            run=study.run,
        )
        if aside := set_aside_foreign(job.checkpoint, job.config, job.seed):
            self._tell(f"trial {run.trial}: {aside}")
        return self._known(job)

    def _name(self, number: int) -> str:
        return f"trial {self._runs[number].trial}"

    def _shown(self) -> None:
        self._left()

    def _ended_well(self, running: RunningTrial, event: Ended) -> bool:
        run = self._runs[running.number]
        if self._view.config.trainer is None:
            if not event.scores:
                return False
            error = 1 - sum(event.scores.values()) / len(event.scores)
            of_alphabets = {name: 1 - share for name, share in event.scores.items()}
        elif event.ending is Ending.DIAGNOSED:
            error, of_alphabets = worst_of(self._view), {}
        else:
            finite = [one.validation_error for one in running.curve if one.finite]
            if not finite:
                return False
            error = min(finite) if event.result is None else event.result
            of_alphabets = {}
        diagnosis = running.curve[-1].diagnosis if running.curve else None
        if event.ending is Ending.DIAGNOSED:
            diagnosis = diagnosis or event.cause
        self._record(run, running, error, of_alphabets, diagnosis)
        return True

    def _record(
        self,
        run: Run,
        running: RunningTrial,
        error: float,
        of_alphabets: Mapping[str, float],
        diagnosis: str | None,
    ) -> None:
        """Write a run's result, and delete its checkpoints."""
        curve, place, shown = running.curve, self._folder / run.name, self._view.config.shown
        result = {
            "trial": run.trial,
            "place": run.place,
            "seed": fresh_seed(self._view.config.seed, run.place),
            "error": error,
            "per_alphabet": dict(of_alphabets),
            "validation_error": min((e.validation_error for e in curve if e.finite), default=error)
            if shown.share
            else error,
            "epochs": len(curve),
            "seconds": round(curve[-1].seconds, 2) if curve else 0.0,
            "diagnosis": diagnosis,
            "provenance": dict(running.provenance),
        }
        write_atomically(place / "result.json", dump_record(result))
        for path in (place / "checkpoint", previous(place / "checkpoint")):
            remove(path)
        left, rest = len(self._waiting) + len(self._running), self._left()
        broke = f" ({diagnosis})" if diagnosis else ""
        on = " on fresh tasks" if shown.share else ""
        self._tell(
            f"trial {run.trial}, seed {run.place + 1}: {shown.short} {shown.text(error)}{on}"
            f"{broke}; {left} of {len(self._runs)} runs left{f', {rest}' if rest else ''}"
        )


def worst_of(view: StudyView) -> float:
    """Return the worst value of a complete trial: that of a program that breaks down again."""
    return max(t.value for t in view.trials if t.state == "complete" and t.value is not None)


def fresh_seed(study_seed: int, place: int) -> int:
    """Return a seed that no trial of the study was trained with, in [0, 2**32)."""
    return derive_seed(study_seed, "confirm", place) % 2**32


def read_run(folder: Path, run: Run) -> Mapping[str, Any] | None:
    """Return a run's result, None while there is none or if it is damaged."""
    found = read_or_none(folder / run.name / "result.json", ConfirmedRun)
    ours = found is not None and (found["trial"], found["place"]) == (run.trial, run.place)
    return found if ours else None
