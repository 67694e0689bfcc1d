"""One driver with up to a thousand simulated workers: what it stores, and how late it decides.

`python -m benchmarks.scaling` prints the table of docs/internals/scaling.md. Nothing is trained: a
worker ends an epoch every second and waits for its decision. Everything else is the real thing:
driver, pruner, sampler's process, trials' folders, SQLite with synchronous FULL. With `--trainer
command` the trials are those of a program of 60 steps; `--profile` prints where the driver's time
goes.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import json
import math
import pstats
import resource
import sqlite3
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpsearch.driver.driver import Driver
from hpsearch.driver.environment import Observer
from hpsearch.driver.progress import Progress
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Job, Started
from hpsearch.json_files import NO_DATA
from hpsearch.paths import StudyFolder
from hpsearch.seeding import generator
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import DataPlace, StudyPlan, plan_study, save_plan
from hpsearch.training.epoch import EpochResult

from .scaling_history import Filling, fill

EPOCH_S = 1.0
WARM_UP_S = 3.0
MAX_EPOCHS = 100
SETTINGS = {
    "trial.max_epochs": MAX_EPOCHS,
    "sampler.name": "random",
    "pruner.name": "asha",
    "pruner.min_resource": 25,
    "pruner.reduction_factor": 2,
    "budget.trials": 1_000_000,
}


COMMAND = """\
name: scaling
trainer: {command: ["true", "${args}"], max_steps: 60}
space:
  name: scaling
  parameters:
    lr: {type: float, low: 1e-4, high: 0.1, log: true}
    momentum: {type: float, low: 0, high: 1}
    layers: {type: int, low: 1, high: 8}
    optimiser: {type: categorical, choices: [sgd, adam]}
sampler: {name: random}
pruner: {name: asha, min_resource: 20, reduction_factor: 2}
budget: {trials: 1000000}
"""


@dataclass
class SimulatedExecutor:
    """Workers that end an epoch each second; time is real, training is not."""

    workers: int
    known: int
    """Trials that were there before."""
    lags: list[float] = field(default_factory=list)
    ends: int = 0
    busy: list[int] = field(default_factory=list)
    epochs: int = MAX_EPOCHS
    """Epochs of a trial."""

    def __post_init__(self) -> None:
        """Begin with idle workers."""
        self._jobs: dict[int, Job] = {}
        self._epoch: dict[int, int] = {}
        self._due: list[tuple[float, int]] = []
        self._asked: dict[int, float] = {}
        self._told: deque[Event] = deque()
        self._phase = generator(0, "phase")

    @property
    def slots(self) -> int:
        """Trials at once."""
        return self.workers

    def submit(self, job: Job) -> None:
        """Start a trial; its first epoch ends within a second, so that not all end at once."""
        # The trials that were there before are spread over their lengths, so that trials end and
        # begin from the start on, as they do in a search that has run for long.
        new = job.trial >= self.known
        self._jobs[job.trial] = job
        self._epoch[job.trial] = 0 if new else int(self._phase.integers(self.epochs))
        curve = (self._result(job.trial, e) for e in range(1, self._epoch[job.trial] + 1))
        self._told.append(Started(job.trial, 0, "simulated", tuple(curve)))
        wait = EPOCH_S * float(self._phase.random())
        heapq.heappush(self._due, (time.monotonic() + wait, job.trial))

    def decide(self, trial: int, decision: Decision) -> None:
        """Note how long the worker has waited, and go on as told."""
        now = time.monotonic()
        self.lags.append(now - self._asked.pop(trial))
        if decision is Decision.GO and self._epoch[trial] < self.epochs:
            heapq.heappush(self._due, (now + EPOCH_S, trial))
            return
        self.ends += 1
        stopped = Ending.STOPPED if decision is Decision.STOP else Ending.PAUSED
        ending = Ending.FINISHED if decision is Decision.GO else stopped
        del self._jobs[trial]
        self._told.append(Ended(trial, ending))

    def events(self, timeout_s: float) -> list[Event]:
        """Return the epochs that are due."""
        self.busy.append(len(self._jobs))
        now = time.monotonic()
        if not self._told and (not self._due or self._due[0][0] > now):
            until = self._due[0][0] - now if self._due else timeout_s
            time.sleep(min(timeout_s, until))
            now = time.monotonic()
        events = list(self._told)
        self._told.clear()
        while self._due and self._due[0][0] <= now:
            due, trial = heapq.heappop(self._due)
            self._asked[trial] = due
            self._epoch[trial] += 1
            events.append(EpochEnded(trial, self._result(trial, self._epoch[trial])))
        return events

    def _result(self, trial: int, epoch: int) -> EpochResult:
        noise = generator(self._jobs[trial].seed, "simulated").random()
        error = 0.2 + 0.5 * float(noise) + 0.2 * math.exp(-epoch / 10)
        return EpochResult(epoch, error, error, epoch * EPOCH_S, 1000 * epoch, 10**9 * epoch)

    def interrupt(self) -> None:
        """End every trial at once."""
        self._told.extend(Ended(trial, Ending.INTERRUPTED) for trial in self._jobs)
        self._jobs.clear()

    def close(self) -> None:
        """Free nothing."""


class Watch(Observer):
    """An observer that measures while all trials run, and ends the search after some time."""

    def __init__(self, seconds: float, executor: SimulatedExecutor) -> None:
        self._seconds, self._executor = seconds, executor
        self._created = time.monotonic()
        self.start_s = self.began = self.cpu = 0.0

    def update(self, progress: Callable[[], Progress]) -> None:
        """Forget what happened before everything ran."""
        now = time.monotonic()
        if not self.start_s:
            if len(progress().running) >= 0.9 * progress().slots:
                self.start_s = now - self._created
        elif not self.began and now - self._created > self.start_s + WARM_UP_S:
            self.began, self.cpu = now, _cpu_s()
            self._executor.lags.clear()
            self._executor.busy.clear()
            self._executor.ends = 0

    def message(self, text: str) -> None:
        """Show nothing."""

    def interrupts(self) -> int:
        """Interrupt when the time is over."""
        return 2 if self.began and time.monotonic() >= self.began + self._seconds else 0


def plan_of(trainer: str, folder: Path) -> tuple[StudyPlan, dict[str, Any]]:
    """Return a study of a trainer, and what it notes of its data."""
    if trainer == "command":
        file = folder.with_name("scaling.yaml")
        file.write_text(COMMAND)
        return plan_study(str(file), folder, {}), NO_DATA
    dataset = {"kind": "glyphs", "fingerprint": "f" * 64, "packed": "/nowhere", "n_tasks": 320}
    return plan_study("quickstart", folder, SETTINGS), dataset


def measure(
    workers: int, finished: int, seconds: float, folder: Path, trainer: str = "siamese"
) -> dict[str, float]:
    """Run one driver with so many workers on a study with so many finished trials."""
    plan, dataset = plan_of(trainer, folder)
    epochs = plan.resource.whole
    executor = SimulatedExecutor(workers, known=finished + workers, epochs=epochs)
    with study_lock(plan.folder):
        save_plan(plan, dataset)
        fill(plan, Filling(finished, running=workers, epochs=epochs))
        watch = Watch(seconds, executor)
        stored = _reports(plan.folder)
        driver = Driver(plan, DataPlace("/nowhere", ""), executor, watch, watch.interrupts)
        driver.run()
    lasted = time.monotonic() - watch.began
    lags = sorted(executor.lags)
    return {
        "workers": workers,
        "finished before": finished,
        "busy": round(statistics.mean(executor.busy)),
        "reports/s": round(len(lags) / lasted, 1),
        "stored in all": _reports(plan.folder) - stored,
        "lag p50 ms": round(1000 * lags[len(lags) // 2], 1),
        "lag p95 ms": round(1000 * lags[int(len(lags) * 0.95)], 1),
        "lag max ms": round(1000 * lags[-1], 1),
        "ended/s": round(executor.ends / lasted, 1),
        "start s": round(watch.start_s, 1),
        "driver CPU": round((_cpu_s() - watch.cpu) / lasted, 3),
        "MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _reports(folder: StudyFolder) -> int:
    with sqlite3.connect(folder.database) as connection:
        (count,) = connection.execute("SELECT count(*) FROM trial_intermediate_values").fetchone()
    return int(count)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print one JSON line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--finished", type=int, nargs="+", default=[0, 10_000])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--trainer", choices=("siamese", "command"), default="siamese")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    for finished in arguments.finished:
        for workers in arguments.workers:
            profile = cProfile.Profile(time.process_time)
            with tempfile.TemporaryDirectory() as folder:
                place, trainer = Path(folder) / "study", arguments.trainer
                with profile if arguments.profile else nullcontext():
                    row = measure(workers, finished, arguments.seconds, place, trainer)
            print(json.dumps(row), flush=True)  # noqa: T201
            if arguments.profile:
                pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
