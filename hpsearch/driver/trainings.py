"""Trains configurations to their full length, outside a search.

Knows executors by their interface only. The curve of a command is kept in the folder of its job,
so that the same command goes on; a network's is in its checkpoint.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpsearch.driver.job_loop import JobLoop
from hpsearch.driver.progress import RunningTrial
from hpsearch.errors import EnvironmentFailure, cannot
from hpsearch.execution import Decision, Ended, Ending, Executor, Job, Lost
from hpsearch.execution.blame import Fault, fault_of
from hpsearch.paths import TrialFolder, write_atomically
from hpsearch.storage.trial_files import epoch_line, read_curve
from hpsearch.training.epoch import EpochResult

MAX_ATTEMPTS = 3
"""Deaths of workers or programs under one training after which it fails."""


class Trainings(JobLoop):
    """Runs jobs to their end; nothing is stopped but by Ctrl-C."""

    jobs = "trainings"

    def __init__(
        self, executor: Executor, tell: Callable[[str], None], interrupted: Callable[[], int]
    ) -> None:
        """Start without jobs; see `JobLoop`."""
        super().__init__(executor, tell, interrupted)
        self._deaths = Counter[int]()
        self._places: dict[int, Path] = {}
        self._curves: dict[int, Path] = {}  # of commands

    @abstractmethod
    def _name(self, number: int) -> str:
        """Return the name of a job in messages."""

    @abstractmethod
    def _ended_well(self, running: RunningTrial, event: Ended) -> bool:
        """Record the result of a job that has ended by itself; return whether it has one."""

    def _shown(self) -> None:
        """Show how far the jobs are."""

    def _known(self, job: Job) -> Job:
        """Return the job of a command with the steps of its earlier runs."""
        place = self._places[job.trial] = job.checkpoint.parent
        if job.run is None:
            return job
        path = self._curves[job.trial] = TrialFolder(place).epochs
        curve = read_curve(path).epochs
        # What a kill left of a line goes; later ones are appended.
        write_atomically(path, "".join(map(epoch_line, curve)))
        last = curve[-1].epoch if curve else 0
        return replace(job, decided=last, known=tuple(one.to_json() for one in curve))

    def _answer(self, number: int, result: EpochResult) -> Decision:
        self._shown()
        path = self._curves.get(number)
        if path is not None and result.finite:
            try:
                with path.open("a") as file:
                    file.write(epoch_line(result))
            except OSError as error:
                raise cannot("written", path, error, "free space") from error
        return Decision.GO

    def _ended(self, running: RunningTrial, event: Ended | Lost) -> None:
        number, place = running.number, self._places[running.number]
        fault = fault_of(event, trained=bool(running.curve))
        if isinstance(event, Lost) or fault is Fault.UNKNOWN:
            cause = event.cause or "unknown"
            self._deaths[number] += fault is Fault.UNKNOWN
            if (deaths := self._deaths[number]) >= MAX_ATTEMPTS:
                raise EnvironmentFailure(
                    f"{place}: training {self._name(number)} again failed {deaths} times "
                    f"({cause}); fix that, then run the same command again"
                )
            self._tell(f"{self._name(number)}: {cause}; trying it again")
            self._waiting.insert(0, number)
            return
        usual = not isinstance(event, Lost) and event.ending in (Ending.FINISHED, Ending.DIAGNOSED)
        if usual and self._ended_well(running, event):
            return
        if not self._interrupted():  # else the same command trains it again
            raise EnvironmentFailure(
                f"{place}: training {self._name(number)} again failed "
                f"({event.cause or event.ending.value}); see the logs, then run the same command "
                "again"
            )
