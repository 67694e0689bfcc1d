"""What a driver writes to, asks and reads the time from. Knows nothing of what it does with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hpsearch.search.asking import Asker
from hpsearch.search.ledger import Ledger
from hpsearch.search.record import StudyRecord, read_json
from hpsearch.search.study_folder import StudyPlan

N_TASKS = 320
"""One-shot tasks behind a validation error where the data set's description does not say."""


@dataclass(frozen=True)
class DataPlace:
    """Where workers find the data."""

    packed: str
    fingerprint: str


@dataclass(frozen=True)
class Surroundings:
    """What a driver writes to, asks and reads the time from; a replay brings its own."""

    record: StudyRecord
    ledger: Ledger
    asker: Asker
    n_tasks: int = N_TASKS
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, plan: StudyPlan, data: DataPlace) -> Surroundings:
        """Open the study's database and prepare the helper that is asked."""
        config = plan.config
        record = StudyRecord(plan.folder, config.name)
        asker = Asker(
            plan.space, config.trial, config.limits, config.sampler, config.seed, plan.prior
        )
        n_tasks = read_json(plan.folder.dataset).get("n_tasks", N_TASKS)
        return cls(record, Ledger(plan, data, record), asker, n_tasks)
