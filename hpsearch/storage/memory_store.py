"""Trials of a replay: nothing is written, and a trial's configuration is its parameters."""

from __future__ import annotations

from pathlib import Path

from hpsearch.execution import Job
from hpsearch.seeding import trial_seed
from hpsearch.storage.trial_store import TrialStore
from hpsearch.trial import TrialRecord


class MemoryStore(TrialStore):
    """Keeps only how trials ended; the driver holds the rest of the history."""

    def __init__(self, study_seed: int) -> None:
        """Start without trials."""
        self._seed = study_seed
        self.ended: dict[int, TrialRecord] = {}

    def load(self) -> list[TrialRecord]:
        """Return no trial: a replay always starts from nothing."""
        return []

    def job(self, trial: TrialRecord) -> Job:
        """Return the job; its config holds the parameters as the space names them."""
        params, seed = dict(trial.params), trial_seed(self._seed, trial.number)
        return Job(trial.number, params, seed, Path(), self._seed, Path())

    def end(self, trial: TrialRecord) -> None:
        """Keep the final record."""
        self.ended[trial.number] = trial
