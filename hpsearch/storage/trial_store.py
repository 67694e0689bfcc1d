"""What a driver keeps its trials in: one interface between its decisions and what persists.

`FileStore` is a study's folder with its own database, `SharedStore` a study that several drivers
search on a server, `MemoryStore` a replay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.execution import Job
from hpsearch.storage.trial_files import Deaths
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class Updates:
    """What other drivers have done since the last call.

    Args:
        trials: Trials of other drivers that are new or have ended, and those taken over, whole.
        reports: Epochs of other drivers' running trials: number, epoch, validation error.
        taken: Numbers of trials that this driver now holds and must continue.
        lost: Numbers of trials that another driver has taken from this one.
    """

    trials: tuple[TrialRecord, ...] = ()
    reports: tuple[tuple[int, int, float], ...] = ()
    taken: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()

    def enter_into(self, history: list[TrialRecord]) -> None:
        """Bring a history up to date."""
        for trial in self.trials:
            history[trial.number : trial.number + 1] = [trial]
        for number, epoch, value in self.reports:
            history[number] = history[number].with_value(epoch, value)


NOTHING = Updates()


class TrialStore(ABC):
    """Keeps the trials of one study for one driver.

    By default a store keeps nothing and its driver is the only one. Only a store that drivers
    share raises `NumberTakenError` and `TrialTakenError`: another driver was first. A store that
    writes raises EnvironmentFailure when it cannot.
    """

    @abstractmethod
    def load(self) -> list[TrialRecord]:
        """Return the history, by number."""

    def left_running(self, history: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Return the running trials that this driver continues at once."""
        return [trial for trial in history if trial.state == "running"]

    def updates(self, room: int) -> Updates:  # noqa: ARG002
        """Return what other drivers did; take over at most `room` trials that no driver runs."""
        return NOTHING

    def adopt(self, trial: TrialRecord) -> TrialRecord:
        """Return a running trial with what only its folder knows of it."""
        return trial

    def enter(  # noqa: B027
        self, trial: TrialRecord, origin: str, seen: Mapping[str, Any] | None
    ) -> None:
        """Enter a new trial; `seen` summarises the history of its ask, None without one."""

    @abstractmethod
    def job(self, trial: TrialRecord) -> Job:
        """Return the job that trains a trial."""

    def set_aside_foreign(self, job: Job) -> str | None:  # noqa: ARG002
        """Rename the checkpoints that a job cannot continue from; name them, None without any."""
        return None

    def note_started(self, number: int, provenance: Mapping[str, Any]) -> None:  # noqa: B027
        """Record the machine and software that train a trial."""

    def note_epoch(self, number: int, result: EpochResult) -> None:  # noqa: B027
        """Record an epoch once, also when a resumed trial sends it again."""

    def note_memory(self, number: int, memory: int) -> None:  # noqa: B027
        """Remember the most memory that a trial's program took, bytes, for its result."""

    def note_death(self, trial: TrialRecord, cause: str, ended_well: int) -> int:  # noqa: ARG002
        """Count a worker's death; return how many there were since the trial's last new epoch."""
        return 0

    def deaths(self, trial: TrialRecord) -> Deaths:  # noqa: ARG002
        """Return the deaths of workers under a trial since its last new epoch."""
        return Deaths()

    def set_attribute(self, number: int, key: str, value: Any) -> None:  # noqa: B027
        """Set an attribute of an unfinished trial, after the epochs recorded before it."""

    def pause(self, number: int, epoch: int) -> None:
        """Record that a trial is paused, and let any driver continue it."""
        self.set_attribute(number, "paused", epoch)

    def claim(self, number: int) -> bool:  # noqa: ARG002
        """Take a paused trial before it continues or ends; return whether this driver has it."""
        return True

    def leave(self, number: int) -> None:  # noqa: B027
        """Accept that another driver has a trial now."""

    @abstractmethod
    def end(self, trial: TrialRecord) -> None:
        """Record how a trial ended."""

    def keep_best_checkpoints(self, history: Sequence[TrialRecord]) -> None:  # noqa: B027
        """Delete the checkpoints of finished trials; the best few keep their best weights."""

    def seconds(self) -> float:
        """Return the driver time of all runs so far."""
        return 0.0

    def save_seconds(self, total: float, since: float) -> float:  # noqa: ARG002
        """Record the driver time; return it with that of other drivers.

        Args:
            total: Driver time that this driver knows of, all runs added.
            since: Its own part since it was last saved.
        """
        return total

    def flush(self) -> None:  # noqa: B027
        """Write the recorded epochs to the database when they are due."""

    def close(self) -> None:  # noqa: B027
        """Write everything and close the database."""
