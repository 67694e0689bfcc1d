"""Keeps a study's trials in its folder and its database.

A trial's result is written to its folder first and to the database after it. A driver that is
killed in between finds the result at its next start and adopts it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError, cannot
from hpsearch.execution import Job
from hpsearch.front.order import front_of
from hpsearch.paths import remove, write_atomically
from hpsearch.records import dump_record, read_or_none, set_aside
from hpsearch.seeding import trial_seed
from hpsearch.storage import trial_files
from hpsearch.storage.agreement import keep_config, refuse_disagreements
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.optuna_queue import enter_waiting
from hpsearch.storage.trial_store import TrialStore
from hpsearch.study.objectives import LATENCY
from hpsearch.study.plan import DataPlace, StudyPlan
from hpsearch.training.checkpoint_file import keep_best_weights, previous, set_aside_foreign
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import ADDED, TrialRecord

KEPT_CHECKPOINTS = 3
"""Number of best trials that keep their weights; the others keep only results."""
SHOWN = ("host", "device", "threads", "commit")
"""Keys of a trial's provenance that are also user attributes in the database."""


class FileStore(TrialStore):
    """Writes what happens to trials, in an order that survives a kill at any point."""

    def __init__(self, plan: StudyPlan, data: DataPlace, record: StudyRecord) -> None:
        """Write into a plan's folder and a record that is open."""
        self._plan, self._data, self._record = plan, data, record
        record.seed = plan.config.seed
        self._curves: dict[int, dict[int, EpochResult]] = {}
        self._adopted: dict[int, EpochResult] = {}
        self._memory: dict[int, int] = {}
        self._deaths: dict[int, trial_files.Deaths] = {}  # a program may remove its trial's folder
        self._deleted: set[int] = set()
        self._shrunk: set[int] = set()

    def load(self) -> list[TrialRecord]:
        """Return the history; the database gets the results that only the folders have.

        Raises:
            InputError: Trials have folders that the database does not know, or results that it
                contradicts, or Optuna's own function enqueued one that cannot be trained.
        """
        history = self._read()
        for position, trial in enumerate(history):
            if not trial.finished:
                history[position] = self.adopt(trial)
        self.keep_best_checkpoints(history)
        for left in self._plan.folder.temporary_files():
            remove(left)
        return history

    def _read(self) -> list[TrialRecord]:
        folder = self._plan.folder
        known = folder.trial_numbers()  # first, because another driver may enter a trial
        history = self._record.load()
        strangers = [n for n in known if n >= len(history)]
        if strangers:
            database, last = self._record.database, folder.trial(strangers[-1]).root
            raise InputError(
                f"{database}: knows {len(history)} trials, {last} is there; {database.restored_by}"
            )
        refuse_disagreements(folder, history)
        for trial in enter_waiting(self._plan, self._record):
            history[trial.number] = trial
        for trial in history:
            if trial.added:
                self._record.notice(f"trial {trial.number}: {ADDED}; nothing is learnt from it")
        return history

    def adopt(self, trial: TrialRecord) -> TrialRecord:
        """Return a running trial with what its folder knows; the database gets its result, if any.

        An invalid result is set aside, and the trial continues from its checkpoint.
        """
        path = self._plan.folder.trial(trial.number).result
        try:
            ended = trial_files.load_result(path).trial
            if problem := trial_files.differing_params(ended.params, trial.params):
                raise ValueError(f"{problem} in the database")
        except FileNotFoundError:
            return self._adopt_epochs(trial)
        except ValueError as error:
            aside = set_aside(path).name if path.is_file() else "there"
            self._record.notice(
                f"trial {trial.number}: {path}: {error}; left as {aside}, the trial continues "
                "from its checkpoint"
            )
            return self._adopt_epochs(trial)
        for epoch, value in ended.values.items():
            self._record.report(ended.number, epoch, value)
        self._record.end(ended, self._attributes(ended))
        return ended

    def _adopt_epochs(self, trial: TrialRecord) -> TrialRecord:
        """Add the epochs that only the trial's folder has; the database gets them in groups."""
        values, seconds = dict(trial.values), trial.seconds
        curve = trial_files.read_curve(self._plan.folder.trial(trial.number).epochs).epochs
        for result in curve:
            values.setdefault(result.epoch, result.validation_error)
            seconds = round(result.seconds, 2)
            self._adopted[trial.number] = result
            self._record.report(trial.number, result.epoch, result.validation_error)
        goals, figures = self._plan.config.goals, trial.figures
        if curve and goals.measured:
            exact = {name: figures[name] for name in goals.exact if name in figures}
            reported = [(one.validation_error, one.metrics) for one in curve]
            figures = goals.over_curve(exact, reported)
        value = min(filter(math.isfinite, values.values()), default=None)
        return replace(trial, values=values, value=value, seconds=seconds, figures=figures)

    def enter(self, trial: TrialRecord, origin: str, seen: Mapping[str, Any] | None) -> None:
        """Enter a new trial in one transaction; it keeps its number."""
        seed = trial_seed(self._plan.config.seed, trial.number)
        attributes: dict[str, Any] = {"origin": origin, "seed": seed}
        attributes |= {"figures": dict(trial.figures)} if trial.figures else {}
        if seen is not None:
            attributes["seen"] = dict(seen)
        ranges = self._plan.space.distributions()
        held = {name: ranges[name] for name in ranges if name in trial.params}
        self._record.add(trial, held, attributes)

    def job(self, trial: TrialRecord) -> Job:
        """Return a trial's job; write its configuration if it is missing.

        Raises:
            InputError: The configuration in the folder contradicts the database.
        """
        folder = self._plan.folder.trial(trial.number)
        config = self._plan.resource.config(trial.params)
        keep_config(self._plan.folder, trial.number, config)
        known = trial_files.read_curve(folder.epochs).epochs if self._plan.run else []
        return Job(
            trial=trial.number,
            config=config.plain(),
            seed=trial_seed(self._plan.config.seed, trial.number),
            data=Path(self._data.packed),
            study_seed=self._plan.config.seed,
            checkpoint=folder.checkpoint,
            objective=self._plan.config.objective,
            ways=self._plan.config.ways,
            shots=self._plan.config.shots,
            latency=LATENCY in self._plan.config.goals.measured and not self._plan.run,
            decided=trial.last_epoch,
            known=tuple(one.to_json() for one in known if one.epoch <= trial.last_epoch),
            run=self._plan.run,
        )

    def set_aside_foreign(self, job: Job) -> str | None:
        """Rename the checkpoints that a job cannot continue from; name them, None without any."""
        return set_aside_foreign(job.checkpoint, job.config, job.seed)

    def note_death(self, trial: TrialRecord, cause: str, ended_well: int) -> int:
        """Count a worker's death; return how many there were since the trial's last new epoch.

        Only a worker's death counts, not the driver's, which the trial did not cause.

        Args:
            trial: The running trial.
            cause: How its worker died.
            ended_well: Trials of the study that have ended well so far.
        """
        before = self.deaths(trial)
        deaths = trial_files.Deaths(
            attempts=before.attempts + 1,
            epoch=trial.last_epoch,
            death=cause,
            ended_well=before.ended_well if before.attempts else ended_well,
        )
        path = self._plan.folder.trial(trial.number).attempts
        write_atomically(path, json.dumps(deaths.model_dump()) + "\n")
        self._deaths[trial.number] = deaths
        return deaths.attempts

    def note_memory(self, number: int, memory: int) -> None:
        """Remember the most memory that a trial's program took, bytes, over all its runs."""
        self._memory[number] = max(memory, self._memory.get(number, 0))

    def deaths(self, trial: TrialRecord) -> trial_files.Deaths:
        """Return the deaths of workers under a trial since its last new epoch."""
        held = read_or_none(self._plan.folder.trial(trial.number).attempts, trial_files.Deaths)
        deaths = trial_files.Deaths(**held) if held else self._deaths.get(trial.number)
        return deaths if deaths and deaths.epoch == trial.last_epoch else trial_files.Deaths()

    def note_started(self, number: int, provenance: Mapping[str, Any]) -> None:
        """Record the machine and software of a trial; after a move both, the newer one last."""
        if not provenance:
            return
        held = trial_files.read_provenance(self._plan.folder.trial(number))
        entries = [*(one for one in held if one != provenance), dict(provenance)]
        if entries != held:
            text = json.dumps(entries, indent=1) + "\n"
            write_atomically(self._plan.folder.trial(number).provenance, text)

    def note_epoch(self, number: int, result: EpochResult) -> None:
        """Append an epoch to epochs.jsonl once, also after a resume; report it to the database.

        Raises:
            EnvironmentFailure: The line could not be written.
        """
        curve = self._curves.setdefault(number, {})
        if result.epoch not in curve:
            path = self._plan.folder.trial(number).epochs
            try:
                # The first epoch overwrites the file: a resumed trial sends its curve again from
                # epoch 1, and a kill may have left half a line.
                with path.open("a" if curve else "w") as file:
                    file.write(trial_files.epoch_line(result))
            except OSError as error:
                raise cannot("written", path, error, "free space") from error
            curve[result.epoch] = result
        self._record.report(number, result.epoch, result.validation_error)

    def end(self, trial: TrialRecord) -> None:
        """Write result.json, then the database; remove what a killed worker left half-written."""
        for left in self._plan.folder.trial(trial.number).temporary_files():
            left.unlink(missing_ok=True)
        result = dump_record({"trial": trial.to_json(), **self._attributes(trial)})
        write_atomically(self._plan.folder.trial(trial.number).result, result)
        self._record.end(trial, self._attributes(trial))
        self._curves.pop(trial.number, None)

    def _attributes(self, trial: TrialRecord) -> dict[str, Any]:
        attributes: dict[str, Any] = {"cause": trial.cause} if trial.cause else {}
        attributes |= {} if trial.result is None else {"result": trial.result}
        attributes |= {"figures": dict(trial.figures)} if trial.figures else {}
        if trial.number in self._memory:
            attributes["memory_gb"] = round(self._memory[trial.number] / 1e9, 4)
        curve = self._curves.get(trial.number)
        last = curve[max(curve)] if curve else self._adopted.get(trial.number)
        held = trial_files.read_provenance(self._plan.folder.trial(trial.number))
        attributes |= {k: held[-1][k] for k in SHOWN if held and k in held[-1]}
        if last is not None:
            attributes |= {"epochs": last.epoch, "seconds": round(last.seconds, 2)}
            attributes |= {"images": last.images, "multiply_adds": last.multiply_adds}
            attributes |= {"peak_bytes": last.peak_bytes} if last.peak_bytes else {}
        return attributes

    def keep_best_checkpoints(self, history: Sequence[TrialRecord]) -> None:
        """Delete the checkpoints of finished trials, except the weights of the best few.

        With several objectives the front is kept, whole.
        """
        scored = [t for t in history if t.state == "complete" and t.value is not None]
        scored.sort(key=lambda t: (t.value, t.number))
        goals = self._plan.config.goals
        best = front_of(scored, goals) if goals.several else scored[:KEPT_CHECKPOINTS]
        kept = {t.number for t in best}
        for trial in history:
            if not trial.finished or trial.number in self._deleted:
                continue
            checkpoint = self._plan.folder.trial(trial.number).checkpoint
            if trial.number not in kept:
                self._deleted.add(trial.number)
                for path in (checkpoint, previous(checkpoint)):
                    remove(path)
            elif trial.number not in self._shrunk:
                self._shrunk.add(trial.number)
                keep_best_weights(checkpoint)

    def set_attribute(self, number: int, key: str, value: Any) -> None:
        """Set an attribute of an unfinished trial, after the epochs recorded before it."""
        self._record.set_trial_attribute(number, key, value)

    def seconds(self) -> float:
        """Return the driver time of all runs so far."""
        return float(self._record.attribute("driver_seconds", 0.0))

    def save_seconds(self, total: float, since: float) -> float:  # noqa: ARG002
        """Record the driver time; return it."""
        self._record.set_attribute("driver_seconds", round(total, 1))
        return total

    def flush(self) -> None:
        """Write the recorded epochs to the database when they are due."""
        self._record.flush()

    def close(self) -> None:
        """Write everything and let go of the database."""
        self._record.close()
