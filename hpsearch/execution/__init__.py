"""How trials are run: the contract between the search and whatever starts workers.

Knows training's results, not Optuna; imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from hpsearch.training.config import Objective
from hpsearch.training.epoch import EpochResult


@dataclass(frozen=True)
class Job:
    """One trial to be trained.

    Args:
        trial: The trial's number in its study.
        config: The complete TrialConfig as plain values.
        seed: The trial's seed.
        data: Folder of the packed data set.
        study_seed: Decides training drawers and validation tasks.
        checkpoint: File the worker writes after each epoch and resumes from when it exists.
        objective: What is validated on.
        fresh: Whether the best weights are scored in the end on tasks of drawers that the study
            never validates on.
        decided: Epochs that were decided on; a later one that the checkpoint holds is reported, and
            its decision waited for, before training goes on. None: all that it holds.
        smallest: The complete configuration of the search space's smallest network, tried when
            memory runs out; None tries none.
    """

    trial: int
    config: dict[str, Any]
    seed: int
    data: Path
    study_seed: int
    checkpoint: Path
    objective: Objective = "tasks_320"
    fresh: bool = False
    decided: int | None = None
    smallest: dict[str, Any] | None = None


class Decision(Enum):
    """What a worker does after an epoch."""

    GO = "go"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Started:
    """A worker has begun a trial.

    `curve` holds the decided epochs its checkpoint knew; `provenance` the worker's software and
    machine, the data's fingerprint, the split and the seeds.
    """

    trial: int
    pid: int
    device: str
    curve: tuple[EpochResult, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochEnded:
    """An epoch has ended and its checkpoint is written; the worker waits for `decide`."""

    trial: int
    result: EpochResult


class Ending(Enum):
    """Why a worker ended a trial."""

    FINISHED = "finished"  # its last epoch, or patience ran out
    DIAGNOSED = "diagnosed"  # the last epoch carried a diagnosis
    STOPPED = "stopped"  # told STOP
    PAUSED = "paused"  # told PAUSE; the checkpoint continues it
    INTERRUPTED = "interrupted"  # asked to stop at once; the checkpoint continues it
    FAILED = "failed"  # an exception; `cause` says which
    OUT_OF_MEMORY = "out of memory"
    ENVIRONMENT = (
        "environment failed"  # disk, permission, data: not the trial's fault; `cause` says
    )


@dataclass(frozen=True)
class Ended:
    """A worker has ended a trial and is free again.

    `scores` holds the dense accuracy on fresh tasks by alphabet, where the job asked for it.
    """

    trial: int
    ending: Ending
    cause: str | None = None
    scores: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Lost:
    """The worker died under a trial; the trial may be submitted again.

    `blameless` says that the trial cannot have been the cause: its node left the cluster.
    """

    trial: int
    cause: str
    blameless: bool = False


Event = Started | EpochEnded | Ended | Lost


class Executor(Protocol):
    """Starts trials and reports what happens to them. Not thread-safe."""

    @property
    def slots(self) -> int:
        """Trials that can run at once."""
        ...

    def submit(self, job: Job) -> None:
        """Start a trial on a free slot.

        Raises:
            RuntimeError: No slot is free.
        """
        ...

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last `EpochEnded`; ignored when the trial is gone."""
        ...

    def events(self, timeout_s: float) -> list[Event]:
        """Return what has happened, in order; wait at most `timeout_s` for something."""
        ...

    def interrupt(self) -> None:
        """Ask every running trial to checkpoint and end within its batch (INTERRUPTED)."""
        ...

    def close(self) -> None:
        """End all workers at once and free everything; may be called twice."""
        ...
