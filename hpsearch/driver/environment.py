"""The driver's collaborators: observer, storage, sampler process, clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hpsearch.awake import AwakeClock
from hpsearch.driver.progress import Progress
from hpsearch.driver.stopping import N_TASKS, tasks_behind
from hpsearch.json_files import read_dataset
from hpsearch.samplers.ask_process import Asker
from hpsearch.storage.shared_store import open_store
from hpsearch.storage.trial_store import TrialStore
from hpsearch.study.plan import DataPlace, StudyPlan
from hpsearch.waiting import Patience

LONGEST_TURN_S = 60.0
"""A turn of the driver's loop waits for a locked database at most so long; the rest was a stop."""


class Observer(Protocol):
    """Shows a search to a person."""

    def update(self, progress: Callable[[], Progress]) -> None:
        """Show where the search stands, if it is time to: called about ten times a second."""
        ...

    def message(self, text: str) -> None:
        """Tell one thing that happened, in one line."""
        ...


@dataclass(frozen=True)
class Environment:
    """The driver's collaborators: storage, sampler process, clock. A replay brings its own."""

    store: TrialStore
    asker: Asker
    n_tasks: int = N_TASKS
    clock: Callable[[], float] = field(default_factory=lambda: AwakeClock(LONGEST_TURN_S))

    @classmethod
    def of(cls, plan: StudyPlan, data: DataPlace, patience: Patience | None = None) -> Environment:
        """Open the study's database and prepare the sampler process.

        Args:
            plan: The study.
            data: The packed data set.
            patience: How long to wait for both, and who is told of it.
        """
        config = plan.config
        store = open_store(plan, data, patience)
        asker = Asker(
            plan.space,
            config.trial,
            config.limits,
            config.sampler,
            config.seed,
            plan.prior,
            patience,
        )
        return cls(store, asker, tasks_behind(config, read_dataset(plan.folder.dataset)))
