"""Cards that fail, hang or are full, with workers that only say so."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Lost, local
from hpsearch.execution.blame import ENDINGS, ending_of
from hpsearch.execution.cards import Cards
from hpsearch.execution.local import LocalExecutor
from hpsearch.trainers.card_errors import ROWS, Fault, fault_in
from tests.support import fake_worker, hung_worker
from tests.support.jobs import Jobs, follow, points, run, wait_until

Make = Callable[..., LocalExecutor]
FAKE = Path(fake_worker.__file__)
AcceleratorError = getattr(torch, "AcceleratorError", RuntimeError)

SAID: dict[str, tuple[str, Ending]] = {
    # what torch 2.11 to 2.13 say, whole or its beginning
    "allocator": ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0", Ending.OUT_OF_MEMORY),
    "context": ("CUDA error: out of memory\nSearch for `cudaErrorMemory'", Ending.CROWDED),
    "cuBLAS": (
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        Ending.CROWDED,
    ),
    "cuDNN": ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", Ending.FAILED),
    "ECC": ("CUDA error: uncorrectable ECC error encountered", Ending.DEVICE),
    "busy": ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", Ending.DEVICE),
    "gone": ("No CUDA GPUs are available", Ending.DEVICE),
    "build": ("Torch not compiled with CUDA enabled", Ending.ENVIRONMENT),
    "driver": ("The NVIDIA driver on your system is too old (found 11040)", Ending.ENVIRONMENT),
    "kernel": ("CUDA error: an illegal memory access was encountered", Ending.FAILED),
}


@pytest.mark.parametrize("part", [part for part, _ in ROWS])
def test_each_row_of_the_table_decides_how_a_trial_ends(part: str) -> None:
    faults = dict(ROWS)
    assert fault_in(f"CUDA said: {part.upper()} (here)") is faults[part]
    found = ending_of(RuntimeError(f"cuda said: {part} (here)"))
    own = Ending.OUT_OF_MEMORY if "out of memory" in part else Ending.FAILED
    assert found is ENDINGS.get(faults[part], own)


@pytest.mark.parametrize("kind", [RuntimeError, AssertionError, AcceleratorError])
@pytest.mark.parametrize("row", SAID)
def test_what_torch_says_is_recognised(row: str, kind: type[Exception]) -> None:
    message, ending = SAID[row]
    assert ending_of(kind(message)) is ending


def test_other_errors_are_none_of_a_cards() -> None:
    assert fault_in("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)") is None
    assert {fault for _, fault in ROWS} == set(Fault)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a factory of executors on cards with fake workers."""
    made: list[LocalExecutor] = []

    def make(behaviour: str, slots: int, *names: str, **more: Any) -> LocalExecutor:
        monkeypatch.setattr(local, "device_names", lambda: names)
        command = (sys.executable, str(FAKE), behaviour)
        made.append(LocalExecutor(slots, "cuda", command=command, **more))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Return what makes jobs for workers that look at no data."""
    return Jobs(tmp_path / "no data", tmp_path)


def run_all(executor: LocalExecutor, jobs: Jobs, trials: int) -> dict[int, list[Event]]:
    """Run trials as a driver does, and those that are lost again; return their events."""
    waiting, busy = list(range(trials)), 0
    seen: dict[int, list[Event]] = {trial: [] for trial in waiting}

    def all_ended() -> bool:
        nonlocal busy
        while waiting and busy < executor.slots:
            executor.submit(jobs(waiting.pop(0)))
            busy += 1
        for event in executor.events(0.2):
            seen[event.trial].append(event)
            if isinstance(event, EpochEnded):
                executor.decide(event.trial, Decision.GO)
            elif isinstance(event, Ended | Lost):
                busy -= 1
            if isinstance(event, Lost):
                waiting.append(event.trial)
        return not busy and not waiting

    wait_until(all_ended, "the end of all trials")
    return seen


@pytest.mark.parametrize("behaviour", ["dead 5", "hangs 5"])
def test_a_card_that_fails_twice_is_set_aside_and_no_trial_is_lost(
    fake: Make, jobs: Jobs, behaviour: str
) -> None:
    executor = fake(behaviour, 8, *map(str, range(8)), threads=1)
    seen = run_all(executor, jobs, 12)
    assert all(isinstance(events[-1], Ended) for events in seen.values())
    assert {events[-1].ending for events in seen.values()} == {Ending.FINISHED}  # type: ignore[union-attr]
    lost = [event for events in seen.values() for event in events if isinstance(event, Lost)]
    assert [event.blameless for event in lost] == [True, True]
    assert "device 5 failed 2 times and is set aside" in lost[-1].cause
    assert executor.slots == 7


def test_the_last_card_that_fails_is_the_machines_fault(fake: Make, jobs: Jobs) -> None:
    executor = fake("dead 0", 1, "0")
    assert isinstance(run(executor, jobs())[-1], Lost)
    ended = run(executor, jobs())[-1]
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.ENVIRONMENT
    assert "device 0 failed 2 times and is set aside; no device is left" in (ended.cause or "")
    with pytest.raises(EnvironmentFailure):
        executor.events(0.0)


@pytest.mark.parametrize("fits", [True, False])
def test_a_trial_without_memory_is_tried_once_alone(fake: Make, jobs: Jobs, fits: bool) -> None:
    """Three share a card; the first waits until the others have ended, and nobody joins it."""
    executor = fake("fits alone" if fits else "fits nowhere", 3, "0")
    for trial in (1, 2, 0):
        executor.submit(jobs(trial))
    ended: dict[int, Ended] = {}

    def take() -> bool:
        for event in executor.events(0.2):
            if isinstance(event, Ended):
                ended[event.trial] = event
                if event.trial == 1:
                    executor.submit(jobs(3))  # joins only when the first is done
        return len(ended) == 4

    wait_until(take, "four trials")
    assert list(ended)[2:] == [0, 3]
    assert ended[0].cause == "beside []"
    assert ended[0].ending is (Ending.FINISHED if fits else Ending.OUT_OF_MEMORY)


def test_a_trial_that_waits_for_its_card_can_be_interrupted(fake: Make, jobs: Jobs) -> None:
    executor = fake("fits nowhere", 2, "0")
    executor.submit(jobs(1))
    executor.submit(jobs(0))
    wait_until(lambda: executor.events(0.1) == [] and bool(executor._alone), "the wait")
    executor.interrupt()
    seen: list[Event] = []
    wait_until(lambda: bool(seen.extend(executor.events(0.1)) or seen), "the end")
    assert Ended(0, Ending.INTERRUPTED) in seen


def test_a_killed_process_that_hangs_in_the_kernel_parks_its_slot() -> None:
    class Immortal(subprocess.Popen[bytes]):
        alive = True

        def poll(self) -> int | None:
            return None if self.alive else super().wait()

    process = Immortal([sys.executable, "-c", ""])
    cards = Cards(("0", "1"), 4)
    cards.park(2, process)
    assert cards.usable() == [0, 1, 3]
    process.alive = False
    assert cards.usable() == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_worker_that_takes_no_step_is_lost_in_time_and_its_trial_goes_on(
    glyphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNG_MARK", str(tmp_path / "mark"))
    jobs, limit_s = Jobs(glyphs, tmp_path), 8.0
    command = (sys.executable, str(Path(hung_worker.__file__)))
    executor = LocalExecutor(1, threads=1, command=command, step_timeout_s=limit_s)
    try:
        executor.submit(jobs())
        wait_until(lambda: bool(executor.events(0.1)), "the start")
        began = time.monotonic()
        (lost,) = follow(executor, 0)
        assert lost == Lost(0, "worker took no step for 8 s")
        assert time.monotonic() - began < limit_s + 10
        assert points(run(executor, jobs())) == jobs.curve()
    finally:
        executor.close()
