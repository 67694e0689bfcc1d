"""What a driver needs around it: who watches, where the data lies, what it writes to and asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hpsearch.awake import AwakeClock
from hpsearch.driver.progress import Progress
from hpsearch.driver.stopping import N_TASKS, tasks_behind
from hpsearch.errors import InputError
from hpsearch.json_files import read_dataset
from hpsearch.samplers.ask_process import Asker
from hpsearch.seeding import derive_seed
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.peers import Peers
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
    """What a driver writes to, asks and reads the time from; a replay brings its own."""

    record: StudyRecord
    ledger: TrialStore
    asker: Asker
    n_tasks: int = N_TASKS
    clock: Callable[[], float] = field(default_factory=lambda: AwakeClock(LONGEST_TURN_S))
    peers: Peers | None = None
    """The study's other drivers, where its storage allows for them."""

    @classmethod
    def of(cls, plan: StudyPlan, data: DataPlace, patience: Patience | None = None) -> Environment:
        """Open the study's database and prepare the helper that is asked.

        Args:
            plan: The study.
            data: The packed data set.
            patience: How long both are waited for, and who is told.
        """
        config = plan.config
        record = StudyRecord(plan.folder, config.name, config.storage, config.lease_s, patience)
        record.seed = config.seed
        asker = Asker(
            plan.space,
            config.trial,
            config.limits,
            config.sampler,
            config.seed,
            plan.prior,
            patience,
        )
        peers = None
        if record.leases:
            _check_same(record, plan, data)
            peers = Peers(record, record.leases)
        n_tasks = tasks_behind(config, read_dataset(plan.folder.dataset))
        return cls(record, TrialStore(plan, data, record), asker, n_tasks, peers=peers)


def _check_same(record: StudyRecord, plan: StudyPlan, data: DataPlace) -> None:
    """Refuse to join a study of this name that was begun with something else.

    Raises:
        InputError: Its configuration, space or data is another one.
    """
    mark = derive_seed(0, plan.fixed_part(), data.fingerprint)
    known = record.attribute("plan")
    if known is None:
        record.set_attribute("plan", mark)
    elif known != mark:
        record.close()
        raise InputError(
            f"{record.place}: holds a study {plan.config.name!r} that was begun with another "
            "configuration, space or data set; set another `name`, or search with the same"
        )
