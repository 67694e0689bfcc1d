"""The Executor interface: the contract between the search and whatever runs trials.

Must not know Optuna; imports no torch.
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
    """One trial to train.

    Args:
        trial: The trial's number in its study.
        config: What trains it, as the plain values of a `Recipe`.
        seed: The trial's seed.
        data: Folder of the packed data set; a command has none.
        study_seed: Selects training drawers and validation tasks.
        checkpoint: File that the worker writes after each epoch and resumes from where it exists;
            the folder that a command's program writes into.
        objective: The validation tasks.
        ways: Their candidates; None means the data's.
        shots: Their support images of each candidate.
        fresh: Whether the best weights are scored at the end on tasks of drawers that the study
            never validates on.
        latency: Whether the network's latency is measured after the first epoch.
        decided: Last epoch that the driver has decided on. A later epoch in the checkpoint is
            reported again, and training waits for its decision. None: all epochs are decided.
        smallest: Complete configuration of the smallest network of the search space. It is trained
            for one step when memory runs out; None skips this test.
        known: The decided steps of a command's trial, as `EpochResult.to_json` returns them.
        run: How a command runs; None for the siamese trainer.
    """

    trial: int
    config: dict[str, Any]
    seed: int
    data: Path
    study_seed: int
    checkpoint: Path
    objective: Objective = "tasks_320"
    ways: int | None = None
    shots: int = 1
    fresh: bool = False
    latency: bool = False
    decided: int | None = None
    smallest: dict[str, Any] | None = None
    known: tuple[dict[str, Any], ...] = ()
    run: dict[str, Any] | None = None


class Decision(Enum):
    """The driver's answer to an epoch."""

    GO = "go"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Started:
    """A worker has started a trial.

    `curve` holds the decided epochs of its checkpoint. `provenance` holds the worker's software
    and machine, the data's fingerprint, the split and the seeds. `note` is a line for the user.
    """

    trial: int
    pid: int
    device: str
    curve: tuple[EpochResult, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class EpochEnded:
    """An epoch has ended and its checkpoint is written; no other is reported before `decide`."""

    trial: int
    result: EpochResult


class Ending(Enum):
    """Why a worker ended a trial."""

    FINISHED = "finished"  # max_epochs or patience was reached
    DIAGNOSED = "diagnosed"  # the last epoch carried a diagnosis
    STOPPED = "stopped"  # decision STOP
    PAUSED = "paused"  # decision PAUSE; resumes from its checkpoint
    INTERRUPTED = "interrupted"  # asked to stop at once; resumes from its checkpoint
    FAILED = "failed"  # an exception; `cause` names it
    LIMIT = "limit exceeded"  # of the study file, by the trial; `cause` names it
    OUT_OF_MEMORY = "out of memory"
    CROWDED = "out of memory beside others"  # other processes hold the card's memory
    DEVICE = "device failed"  # the card, not the trial
    ENVIRONMENT = "environment failed"  # disk, permission, data; `cause` names it


@dataclass(frozen=True)
class Ended:
    """A worker has ended a trial and is free again.

    `scores` holds the dense accuracy on fresh tasks by alphabet, if the job asked for it. `result`
    is the value that a program gave in its end, lower is better; None where its best step counts.
    `ended_by` says what ended a stopped program: verdict, SIGTERM or SIGKILL. `memory` is the most
    that the program and its children took, bytes.
    """

    trial: int
    ending: Ending
    cause: str | None = None
    scores: Mapping[str, float] | None = None
    result: float | None = None
    ended_by: str | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Lost:
    """The worker died while it ran a trial; the trial may be submitted again.

    `blameless` means that the trial cannot have caused it, e.g. because its node left the cluster.
    """

    trial: int
    cause: str
    blameless: bool = False


Event = Started | EpochEnded | Ended | Lost


class Executor(Protocol):
    """Runs trials and reports their events. Not thread-safe."""

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
        """Return new events in order; wait up to `timeout_s` for the first."""
        ...

    def interrupt(self) -> None:
        """Ask every running trial to checkpoint and end within its batch (INTERRUPTED)."""
        ...

    def close(self) -> None:
        """End all workers at once and free everything; may be called twice."""
        ...
