"""The driver's collaborators: observer, storage, sampler process, clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hpsearch.awake import AwakeClock
from hpsearch.driver.progress import Progress
from hpsearch.driver.requests import NoRequests, Requests
from hpsearch.driver.stopping import N_TASKS, tasks_behind
from hpsearch.json_files import read_dataset
from hpsearch.measure import Measure
from hpsearch.samplers.ask_process import Asker
from hpsearch.storage.shared_store import open_store
from hpsearch.storage.trial_store import TrialStore
from hpsearch.study.plan import DataPlace, StudyPlan
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Patience

LONGEST_TURN_S = 60.0
"""Longest turn of the driver's loop, with a locked database; in the rest it was stopped."""


Happened = Literal["trial_start", "report", "trial_end"]


@dataclass(frozen=True)
class TrialEvent:
    """What happened to a trial, after it was recorded.

    Args:
        kind: trial_start, report or trial_end.
        trial: The trial, with what happened.
        shown: How its values are shown.
        result: Of a report, the epoch.
    """

    kind: Happened
    trial: TrialRecord
    shown: Measure
    result: EpochResult | None = None


class Observer(Protocol):
    """Shows a search to the user."""

    def update(self, progress: Callable[[], Progress]) -> None:
        """Show a snapshot when it is due; called about ten times a second."""
        ...

    def message(self, text: str) -> None:
        """Show one event in one line."""
        ...

    def event(self, event: TrialEvent) -> None:  # noqa: ARG002
        """Learn what happened to a trial; by default nothing is done."""
        return


class Suggester(Protocol):
    """Suggests trials; by default a sampler process."""

    pending: int | None
    """The number of the trial that was asked for; None without an open ask."""

    @property
    def seen(self) -> Mapping[str, Any] | None:
        """Summary of the history of the last ask."""
        ...

    def ask(self, history: Sequence[TrialRecord], n: int) -> None:
        """Ask for trial `n`."""
        ...

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the suggested parameters, None when they are not there in time."""
        ...

    def close(self) -> None:
        """End the process, if there is one."""
        ...


@dataclass(frozen=True)
class Environment:
    """The driver's collaborators: storage, sampler process, clock. A replay brings its own."""

    store: TrialStore
    asker: Suggester
    n_tasks: int = N_TASKS
    requests: NoRequests = field(default_factory=NoRequests)
    clock: Callable[[], float] = field(default_factory=lambda: AwakeClock(LONGEST_TURN_S))

    @classmethod
    def of(cls, plan: StudyPlan, data: DataPlace, patience: Patience | None = None) -> Environment:
        """Open the study's database and prepare the sampler process.

        Args:
            plan: The study.
            data: The packed data set.
            patience: How long to wait for both, and who sees the notice.
        """
        config = plan.config
        store = open_store(plan, data, patience)
        asker = Asker(plan.problem, config.sampler, config.seed, plan.prior, patience)
        n_tasks = tasks_behind(config, read_dataset(plan.folder.dataset))
        return cls(store, asker, n_tasks, Requests(plan, (patience or Patience()).tell))
