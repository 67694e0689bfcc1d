"""Whose fault the end of a worker is: every exception and exit code, and what it costs a study."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import pytest
import torch

from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError
from hpsearch.execution import Ended, Ending, Job, Lost
from hpsearch.execution.blame import Fault, ending_of, fault_of
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import StudyView, read_study
from tests.support.cases import ENQUEUED, Silent, search
from tests.support.fake_executor import FakeExecutor
from tests.support.slow import rest_slow

Failure = Exception | Lost
C, M, U = Fault.CONFIGURATION, Fault.MACHINE, Fault.UNKNOWN

TABLE: dict[str, tuple[Failure, Fault, Fault]] = {
    # what ended the worker, whose fault it is of a fresh trial, and of one with a checkpoint
    "MemoryError": (MemoryError(), C, U),
    "torch's out of memory": (torch.OutOfMemoryError("CUDA out of memory"), C, U),
    "allocator": (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), C, U),
    "threads": (RuntimeError("can't start new thread"), C, U),
    "C++": (RuntimeError("std::bad_alloc"), C, U),
    "disk full": (OSError(28, "No space left on device"), M, M),
    "no permission": (PermissionError(13, "Permission denied"), M, M),
    "no file": (FileNotFoundError(2, "No such file"), M, M),
    "connection": (ConnectionResetError(), M, M),
    "time-out": (TimeoutError(), M, M),
    "installation": (ImportError("libtorch.so: cannot open"), M, M),
    "our own": (EnvironmentFailure("checkpoint: cannot be written"), M, M),
    "data refused": (InputError("background.npy: cannot be read"), M, M),
    "RuntimeError": (RuntimeError("mat1 and mat2"), U, U),
    "ValueError": (ValueError("x"), U, U),
    "KeyError": (KeyError("x"), U, U),
    "ZeroDivisionError": (ZeroDivisionError(), U, U),
    "AssertionError": (AssertionError(), U, U),
    "RecursionError": (RecursionError(), U, U),
    "zip": (BadZipFile(), U, U),
    "card lost": (RuntimeError("CUDA error: uncorrectable ECC error encountered"), U, U),
    "neighbour": (RuntimeError("CUDA error: out of memory"), U, U),
    "driver too old": (RuntimeError("The NVIDIA driver on your system is too old"), M, M),
    "CUDA": (RuntimeError("CUDA error: an illegal memory access was encountered"), U, U),
    **{
        f"signal {number.name}": (Lost(0, f"worker killed by signal {int(number)}"), U, U)
        for number in (
            signal.SIGKILL,
            signal.SIGSEGV,
            signal.SIGILL,
            signal.SIGBUS,
            signal.SIGABRT,
            signal.SIGFPE,
            signal.SIGTERM,
        )
    },
    **{
        f"exit code {code}": (Lost(0, f"worker exit code {code}"), U, U) for code in (0, 1, 3, 137)
    },
    "silence": (Lost(0, "worker gave no sign of life for 120 s"), U, U),
    "nonsense": (Lost(0, "worker sent an invalid message: x"), U, U),
}


SOME = ("MemoryError", "disk full", "RuntimeError", "signal SIGKILL", "exit code 1")
"""What the driver tells apart: it knows of each ending no more than whose fault it is."""


def event_of(failure: Failure, trial: int = 0) -> Ended | Lost:
    if isinstance(failure, Lost):
        return Lost(trial, failure.cause, failure.blameless)
    return Ended(trial, ending_of(failure), f"{type(failure).__name__}: {failure}")


class Afflicted(FakeExecutor):
    """Ends some trials' workers after so many epochs, whenever they come that far."""

    def __init__(self, failure: Failure, trials: set[int], after: int, slots: int = 1) -> None:
        super().__init__(slots)
        self.failure, self.trials, self.after = failure, trials, after

    def _step(self, trial: int) -> None:
        if trial in self.trials and self._running[trial][1] == self.after:
            del self._running[trial]
            self._events.append(event_of(self.failure, trial))
        else:
            super()._step(trial)


@dataclass
class Found:
    """A study after a search."""

    view: StudyView
    error: HpsearchError | None

    @property
    def states(self) -> list[str]:
        return [trial.state for trial in self.view.trials]

    def deaths(self, trial: int) -> int:
        path = self.view.folder.trial(trial).root / "attempts.json"
        return int(json.loads(path.read_bytes())["attempts"]) if path.exists() else 0

    def has_checkpoint(self, trial: int) -> bool:
        return self.view.folder.trial(trial).checkpoint.exists()


def afflict(output: Path, executor: FakeExecutor, budget: int) -> Found:
    """Search until it ends or gives up."""
    error = None
    try:
        search(output, executor, enqueue=ENQUEUED[:20], budget__trials=budget)
    except EnvironmentFailure as caught:
        error = caught
    view = read_study(StudyFolder(output))
    assert [v for v in check_invariants(view.folder) if v.standing == "broken"] == []
    return Found(view, error)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("epochs", [0, 2])
def test_OB1_each_ending_is_classified(name: str, epochs: int) -> None:
    failure, *faults = TABLE[name]
    assert fault_of(event_of(failure), trained=epochs > 0) is faults[epochs > 0]


def test_an_end_that_is_no_failure_is_nobodys_fault() -> None:
    failures = {Ending.FAILED, Ending.OUT_OF_MEMORY, Ending.ENVIRONMENT, Ending.LIMIT}
    failures |= {Ending.CROWDED, Ending.DEVICE}
    for ending in Ending:
        assert (fault_of(Ended(0, ending), trained=False) is None) == (ending not in failures)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("epochs", rest_slow([0, 2]))
def test_OB1_one_bad_trial_of_a_large_budget(tmp_path: Path, name: str, epochs: int) -> None:
    """A configuration's fault fails it and spares the rest; a machine's costs nothing."""
    failure, *faults = TABLE[name]
    fault = faults[epochs > 0]
    found = afflict(tmp_path / "s", Afflicted(failure, {1}, epochs), 4)
    if fault is M:
        assert found.error is not None
        assert found.error.exit_code == 3
        assert found.states == ["complete", "running"]
        assert found.deaths(1) == 0
        assert found.has_checkpoint(1) == (epochs > 0)
    else:
        assert found.error is None
        assert found.states == ["complete", "failed", "complete", "complete"]
        assert found.deaths(1) == (3 if fault is U else 0)
        assert not found.has_checkpoint(1)
    again = afflict(tmp_path / "s", FakeExecutor(), 4)
    assert again.error is None
    assert again.states[2:] == ["complete"] * 2
    assert again.states[1] == ("complete" if fault is M else "failed")


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("epochs", rest_slow([0, 2]))
def test_OB5_all_trials_of_a_small_budget(tmp_path: Path, name: str, epochs: int) -> None:
    """Exit 3 with the cause; only what is the configurations' fault has spent trials."""
    failure, *faults = TABLE[name]
    fault = faults[epochs > 0]
    found = afflict(tmp_path / "s", Afflicted(failure, {0, 1}, epochs), 2)
    assert found.error is not None
    assert found.error.exit_code == 3
    cause = failure.cause if isinstance(failure, Lost) else str(failure)
    assert cause in str(found.error)
    if fault is C:
        assert found.states == ["failed", "failed"]
        return
    assert set(found.states) == {"running"}
    assert found.has_checkpoint(0) == (epochs > 0)
    again = afflict(tmp_path / "s", FakeExecutor(), 2)  # the machine was mended
    assert again.states == ["complete", "complete"]
    assert again.error is None


def test_OB5_a_streak_goes_back_to_the_queue_and_its_deaths_are_remembered(tmp_path: Path) -> None:
    everything = set(range(20))
    executor = Afflicted(RuntimeError("broken"), everything, 1)
    found = afflict(tmp_path / "s", executor, 20)
    assert "5 trials failed in a row" in str(found.error)
    assert found.states == ["running"] * 5
    assert [found.deaths(n) for n in range(5)] == [3] * 5
    second = Afflicted(RuntimeError("broken"), everything, 1)
    found = afflict(tmp_path / "s", second, 20)
    assert second.submitted == [0, 1, 2, 3, 4]  # one more try each: the count outlives the process
    assert [found.deaths(n) for n in range(5)] == [4] * 5
    found = afflict(tmp_path / "s", Afflicted(RuntimeError("broken"), {2}, 1), 20)
    assert found.error is None
    assert [n for n, state in enumerate(found.states) if state == "failed"] == [2]


def test_OB5_the_last_trial_is_not_judged_without_a_witness(tmp_path: Path) -> None:
    found = afflict(tmp_path / "s", Afflicted(RuntimeError("broken"), {3}, 0), 4)
    assert found.states == ["complete"] * 3 + ["running"]
    assert "trial 3 died 3 times without ending an epoch, and no other trial ended well" in str(
        found.error
    )
    more = afflict(tmp_path / "s", Afflicted(RuntimeError("broken"), {3}, 0), 5)
    assert more.error is None
    assert more.states == ["complete"] * 3 + ["failed", "complete"]


def test_deaths_are_counted_also_where_a_trial_removes_its_folder(tmp_path: Path) -> None:
    class Removing(Afflicted):
        def _step(self, trial: int) -> None:
            shutil.rmtree(tmp_path / "s" / "trials" / f"{trial:05d}")
            super()._step(trial)

    executor = Removing(RuntimeError("broken"), {0}, 0)
    found = afflict(tmp_path / "s", executor, 1)
    assert "trial 0 died 3 times" in str(found.error)
    assert executor.submitted == [0, 0, 0]


def test_a_new_epoch_begins_the_count_anew(tmp_path: Path) -> None:
    class Slow(FakeExecutor):
        """Dies twice before each epoch of trial 0."""

        died = 0

        def _step(self, trial: int) -> None:
            if trial == 0 and self.died < 2:
                self.died += 1
                del self._running[trial]
                self._events.append(Lost(trial, "worker killed by signal 9"))
                return
            self.died = 0
            super()._step(trial)

    executor = Slow()
    found = afflict(tmp_path / "s", executor, 2)
    assert found.error is None
    assert found.states == ["complete"] * 2
    assert executor.submitted.count(0) > 6


def test_two_workers_wait_for_a_witness_that_still_trains(tmp_path: Path) -> None:
    """Trial 0 dies at once, thrice, while trial 1 trains to its end."""
    found = afflict(tmp_path / "s", Afflicted(RuntimeError("broken"), {0}, 0, slots=2), 2)
    assert found.error is None
    assert found.states == ["failed", "complete"]


def test_a_node_that_leaves_counts_against_nobody(tmp_path: Path) -> None:
    class Leaving(FakeExecutor):
        left = 0

        def submit(self, job: Job) -> None:
            super().submit(job)
            if job.trial == 0 and self.left < 9:
                self.left += 1
                del self._running[job.trial]
                self._events.append(Lost(job.trial, "node x left the cluster", blameless=True))

    observer = Silent()
    search(tmp_path / "s", Leaving(), observer=observer, enqueue=ENQUEUED[:1], budget__trials=1)
    view = read_study(StudyFolder(tmp_path / "s"))
    assert [trial.state for trial in view.trials] == ["complete"]
    assert not (view.folder.trial(0).root / "attempts.json").exists()
